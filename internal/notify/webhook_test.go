package notify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/testserver"
)

func secret(b byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune('a'+b)), 32)))
}

var onLoopback = egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

func texter(t *testing.T, url string, now func() time.Time, secrets ...string) *Webhook {
	t.Helper()
	w, err := NewWebhook(WebhookConfig{URL: url, Secrets: secrets, Client: egress.New(onLoopback), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func codeSMS(t *testing.T, id string) SMS {
	t.Helper()
	_, c := codeFor("de", Reset)
	c.Origin.Browser = `<b>{{.Code}}"\`
	s, err := printer(t).Text(contoso, CodeText(Envelope{id, "de", "+4915112345678"}, c))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestATextArrivesSignedAndOnce(t *testing.T) {
	server := testserver.Webhook(t, secret(1))
	client := texter(t, server.URL, nil, secret(1))
	s := codeSMS(t, "sms-1")
	for range 2 { // the same id again is the same text
		if err := client.Send(t.Context(), s); err != nil {
			t.Fatal(err, server.Refused())
		}
	}
	got := server.WaitFor("+4915112345678", 1)
	if len(got) != 1 || server.Replays() != 1 {
		t.Fatalf("got %d texts and %d replays, want one of each", len(got), server.Replays())
	}
	if x := got[0]; x.Body != s.Text || x.Kind != "code" || x.Lang != "de" || x.Code() != "73920146" || !strings.Contains(x.Body, `<b>{{.Code}}"\`) {
		t.Errorf("got %+v, want the text %q", x, s.Text)
	}
	other := s
	other.Text = "another text under the same id"
	if err := client.Send(t.Context(), other); KindOf(err) != Temporary || err == nil {
		t.Errorf("another text under a used id: got %v", err)
	}
}

func TestASecretIsRotatedWithoutAGap(t *testing.T) {
	before, after := testserver.Webhook(t, secret(1)), testserver.Webhook(t, secret(2))
	for i, url := range []string{before.URL, after.URL} {
		if err := texter(t, url, nil, secret(1), secret(2)).Send(t.Context(), codeSMS(t, "sms-1")); err != nil {
			t.Errorf("receiver %d: %v", i, err)
		}
	}
	if err := texter(t, after.URL, nil, secret(1)).Send(t.Context(), codeSMS(t, "sms-2")); err == nil || len(after.Texts("")) != 1 {
		t.Errorf("a retired secret was accepted: %v", err)
	}
}

func TestAProviderRefusesAStaleClock(t *testing.T) {
	server := testserver.Webhook(t, secret(1))
	for _, off := range []time.Duration{-6 * time.Minute, 6 * time.Minute} {
		client := texter(t, server.URL, func() time.Time { return time.Now().Add(off) }, secret(1))
		if err := client.Send(t.Context(), codeSMS(t, "sms-1")); err == nil || KindOf(err) != Temporary {
			t.Errorf("clock off by %s: got %v", off, err)
		}
	}
}

func TestEachWayAProviderFailsHasItsKind(t *testing.T) {
	server := testserver.Webhook(t, secret(1))
	client := texter(t, server.URL, nil, secret(1))
	for name, x := range map[string]struct {
		fault testserver.WebhookFault
		want  Kind
	}{
		"wrong message":   {testserver.WebhookFault{Status: 422}, Permanent},
		"gone":            {testserver.WebhookFault{Status: 410}, Permanent},
		"not found":       {testserver.WebhookFault{Status: 404}, Temporary},
		"not us":          {testserver.WebhookFault{Status: 401}, Temporary},
		"too many":        {testserver.WebhookFault{Status: 429}, Temporary},
		"down":            {testserver.WebhookFault{Status: 503}, Temporary},
		"broken":          {testserver.WebhookFault{Status: 500}, Uncertain},
		"gateway timeout": {testserver.WebhookFault{Status: 504}, Uncertain},
		"redirect":        {testserver.WebhookFault{Redirect: "/elsewhere"}, Temporary},
		"cut":             {testserver.WebhookFault{Cut: true}, Uncertain},
		"hang":            {testserver.WebhookFault{Hang: true}, Uncertain},
	} {
		t.Run(name, func(t *testing.T) {
			server.Fault(x.fault)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if x.fault.Hang {
				ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second) // a busy machine must have sent it by then
			}
			defer cancel()
			err := client.Send(ctx, codeSMS(t, "sms-"+strings.ReplaceAll(name, " ", "-")))
			if err == nil || KindOf(err) != x.want {
				t.Errorf("got %v, want %s", err, x.want)
			}
		})
	}
	if n := len(server.Texts("")); n != 2 { // cut and hang: kept, and nobody told us
		t.Errorf("the provider kept %d texts, want 2", n)
	}
	strict, err := NewWebhook(WebhookConfig{URL: server.URL + "?key=hunter2", Secrets: []string{secret(1)}, Client: egress.New(egress.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	err = strict.Send(t.Context(), codeSMS(t, "sms-x"))
	if KindOf(err) != Temporary || !errors.Is(err, egress.ErrRefused) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a target that is not allowed: got %v, want a temporary error that names no key", err)
	}
}

func TestAProviderConfigurationIsCheckedAndKeepsItsSecrets(t *testing.T) {
	good := WebhookConfig{URL: "https://sms.example/send?key=hunter2", Secrets: []string{secret(1)}, Client: http.DefaultClient}
	for name, change := range map[string]func(*WebhookConfig){
		"http beyond loopback": func(c *WebhookConfig) { c.URL = "http://sms.example/" },
		"no url":               func(c *WebhookConfig) { c.URL = "" },
		"a user in the url":    func(c *WebhookConfig) { c.URL = "https://u:p@sms.example/" },
		"no secret":            func(c *WebhookConfig) { c.Secrets = nil },
		"three secrets":        func(c *WebhookConfig) { c.Secrets = []string{secret(1), secret(2), secret(3)} },
		"a secret without its prefix": func(c *WebhookConfig) {
			c.Secrets = []string{strings.TrimPrefix(secret(1), "whsec_")}
		},
		"a short secret": func(c *WebhookConfig) { c.Secrets = []string{"whsec_c2hvcnQ="} },
		"no client":      func(c *WebhookConfig) { c.Client = nil },
	} {
		c := good
		change(&c)
		if _, err := NewWebhook(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewWebhook(good); err != nil {
		t.Error(err)
	}
	for _, f := range []string{"%v", "%+v", "%s", "%#v"} {
		if out := fmt.Sprintf(f, good); strings.Contains(out, "hunter2") || strings.Contains(out, "whsec_") {
			t.Errorf("%s prints a secret: %s", f, out)
		}
	}
}
