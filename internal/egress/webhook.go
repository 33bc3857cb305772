package egress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SignWebhook sets the headers by which a receiver knows that a body is ours, now, and has come only once
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme"): one HMAC-SHA256
// for each secret, in their order, so that a receiver that holds any of them is content and secrets can be rotated.
func SignWebhook(h http.Header, secrets [][]byte, id string, now time.Time, body []byte) {
	stamp := strconv.FormatInt(now.Unix(), 10)
	all := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(id + "." + stamp + "."))
		m.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", strings.Join(all, " "))
}
