package testserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTheWebhookSinkTurnsAwayWhatIsNotExactlyRight(t *testing.T) {
	key := strings.Repeat("k", 32)
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))
	const good = `{"id":"m1","to":"+4915112345678","text":"hi","kind":"notice","lang":"en"}`
	type request struct{ method, kind, id, body, key, extra string }
	right := request{http.MethodPost, "application/json", "m1", good, key, ""}
	at := time.Unix(1_800_000_000, 0)
	for name, change := range map[string]func(*request){
		"nothing wrong":          func(*request) {},
		"another method":         func(r *request) { r.method = http.MethodPut },
		"another content type":   func(r *request) { r.kind = "text/plain" },
		"another key":            func(r *request) { r.key = strings.Repeat("x", 32) },
		"a body changed after":   func(r *request) { r.extra = " " },
		"an unknown field":       func(r *request) { r.body = strings.Replace(good, `"lang"`, `"x":1,"lang"`, 1) },
		"two values":             func(r *request) { r.body = good + good },
		"an id that differs":     func(r *request) { r.id = "m2" },
		"a number without plus":  func(r *request) { r.body = strings.Replace(good, "+49", "49", 1) },
		"two numbers":            func(r *request) { r.body = strings.Replace(good, "5678", "5678,+491511", 1) },
		"an unknown kind":        func(r *request) { r.body = strings.Replace(good, "notice", "spam", 1) },
		"a list where text goes": func(r *request) { r.body = strings.Replace(good, `"hi"`, `["hi"]`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := Webhook(t, secret, func() time.Time { return at })
			x := right
			change(&x)
			stamp := strconv.FormatInt(at.Unix()-299, 10)
			m := hmac.New(sha256.New, []byte(x.key))
			m.Write([]byte(x.id + "." + stamp + "." + x.body))
			r, err := http.NewRequestWithContext(t.Context(), x.method, s.URL, strings.NewReader(x.body+x.extra))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", x.kind)
			r.Header.Set("webhook-id", x.id)
			r.Header.Set("webhook-timestamp", stamp)
			r.Header.Set("webhook-signature", "v1a,AAAA v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			want := 0
			if name == "nothing wrong" {
				want = 1
			}
			if got := len(s.Texts("")); got != want || (answer.StatusCode == http.StatusAccepted) != (want == 1) || len(s.Refused()) != 1-want {
				t.Errorf("kept %d texts, status %d, turned away %q; want %d kept", got, answer.StatusCode, s.Refused(), want)
			}
		})
	}
}
