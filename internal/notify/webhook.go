package notify

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regain-id/regain/internal/egress"
)

// WebhookConfig is how the text message provider is reached. It prints without its secrets.
type WebhookConfig struct {
	URL     string           // https; http on loopback only
	Secrets []string         // one or two, whsec_ and 24 to 64 bytes in base64; each signs, so that a secret can be rotated
	Client  *http.Client     // of package egress; it must not follow redirects
	Now     func() time.Time // nil: time.Now
	Timeout time.Duration    // for one request; default 10 s
}

// String tells where texts go, without secrets and without the query, which may hold one.
func (c WebhookConfig) String() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "webhook"
	}
	return fmt.Sprintf("webhook %s://%s%s, %d secrets", u.Scheme, u.Host, u.EscapedPath(), len(c.Secrets))
}

// GoString is String, so that %#v does not print the secrets either.
func (c WebhookConfig) GoString() string { return c.String() }

// Webhook hands text messages to a provider the operator brings, as signed requests
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). Safe for concurrent use.
type Webhook struct {
	config  WebhookConfig
	secrets [][]byte
}

// NewWebhook checks a configuration and fills in its defaults. It does not connect.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname()))) {
		return nil, errors.New("webhook url: want https, or http on loopback, without a user")
	}
	if c.Client == nil {
		return nil, errors.New("webhook: no http client")
	}
	if len(c.Secrets) < 1 || len(c.Secrets) > 2 {
		return nil, fmt.Errorf("webhook: %d secrets, want one or two", len(c.Secrets))
	}
	w := &Webhook{config: c}
	for i, s := range c.Secrets {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
		if err != nil || !strings.HasPrefix(s, "whsec_") || len(raw) < 24 || len(raw) > 64 {
			return nil, fmt.Errorf("webhook secret %d: want whsec_ and 24 to 64 bytes in base64", i+1)
		}
		w.secrets = append(w.secrets, raw)
	}
	if w.config.Now == nil {
		w.config.Now = time.Now
	}
	if w.config.Timeout <= 0 {
		w.config.Timeout = 10 * time.Second
	}
	return w, nil
}

// payload is the body of a request. Fields are only ever added.
type payload struct {
	ID   string `json:"id"`
	To   string `json:"to"`
	Text string `json:"text"`
	Kind string `json:"kind"` // code or notice
	Lang string `json:"lang"`
}

// Send hands one text to the provider, once. nil means that it answered 2xx. Every error is an *Error: Permanent when
// the provider says that this message is wrong (400, 410, 413, 422); Temporary when it is sure that it did not take it
// and it may later (no connection, 408, 425, 429, 503, any other 3xx and 4xx: those are about our configuration);
// Uncertain when the request was sent and no answer came, or another 5xx did.
func (w *Webhook) Send(ctx context.Context, s SMS) error {
	if !plainID.MatchString(s.ID) || !e164.MatchString(s.To) || s.Text == "" {
		return permanent("text of another form")
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(payload(s)); err != nil {
		return permanent("encode text: %w", err)
	}
	raw := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.config.URL, bytes.NewReader(raw))
	if err != nil {
		return permanent("request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	egress.SignWebhook(r.Header, w.secrets, s.ID, w.config.Now(), raw)
	answer, err := w.config.Client.Do(r)
	if err != nil {
		kind := Temporary
		if connected.Load() {
			kind = Uncertain
		}
		return &Error{kind, fmt.Errorf("text provider: %w", withoutURL(err))}
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	if kind, ok := judgeStatus(answer.StatusCode); !ok {
		return &Error{kind, fmt.Errorf("text provider answered %d", answer.StatusCode)}
	}
	return nil
}

// withoutURL drops the address from a client error: its query may hold the provider's key.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func judgeStatus(status int) (Kind, bool) {
	switch {
	case status >= 200 && status < 300:
		return 0, true
	case status == http.StatusBadRequest, status == http.StatusGone, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return Permanent, false
	case status >= 300 && status < 500, status == http.StatusServiceUnavailable:
		return Temporary, false
	}
	return Uncertain, false
}
