package egress

import (
	"encoding/base64"
	"net/http"
	"testing"
	"time"
)

func TestTheSignatureOfAWebhookIsThePublishedOne(t *testing.T) {
	// The example of the Standard Webhooks specification's reference libraries.
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	const first = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	h := http.Header{}
	SignWebhook(h, [][]byte{secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if h.Get("Webhook-Id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("Webhook-Timestamp") != "1614265330" || h.Get("Webhook-Signature") != first {
		t.Errorf("got %v", h)
	}
	SignWebhook(h, [][]byte{secret, []byte("the one before")}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got := h.Get("Webhook-Signature"); len(got) != 2*len(first)+1 || got[:len(first)+1] != first+" " {
		t.Errorf("with two secrets: %s", got)
	}
}
