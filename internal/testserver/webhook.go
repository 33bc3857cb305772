package testserver

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// WebhookServer is a text message provider on loopback that checks every request as a strict stranger would (Standard
// Webhooks: method, content type, exact JSON, signature, time, repeated ids) and keeps the texts. Safe for concurrent
// use.
type WebhookServer struct {
	URL string

	t      testing.TB
	secret []byte
	now    func() time.Time
	stop   chan struct{}

	mu      sync.Mutex
	fault   WebhookFault
	texts   []Text
	bodies  map[string][]byte
	replays int
	refused []string
	arrived chan struct{}
}

// WebhookFault is how the provider misbehaves from now on. The zero value is a good provider.
type WebhookFault struct {
	Status   int    // answer this and keep nothing
	Redirect string // answer 307 to here
	Hang     bool   // keep the text and never answer
	Cut      bool   // keep the text and close the connection without an answer
}

// Text is one text message as it arrived.
type Text struct {
	ID   string `json:"id"`
	To   string `json:"to"`
	Body string `json:"text"`
	Kind string `json:"kind"`
	Lang string `json:"lang"`
}

var boundCode = regexp.MustCompile(`(?m)^@\S+ #([0-9]+)$`)

// Code returns the code of the domain-bound last line, or "".
func (x Text) Code() string {
	if m := boundCode.FindStringSubmatch(x.Body); m != nil {
		return m[1]
	}
	return ""
}

// Webhook runs a provider until the test ends. secret is what the sender signs with, as whsec_ and base64. now is
// the provider's clock, time.Now when left out.
func Webhook(t testing.TB, secret string, now ...func() time.Time) *WebhookServer {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || !strings.HasPrefix(secret, "whsec_") {
		t.Fatalf("secret %q is not whsec_ and base64", secret)
	}
	s := &WebhookServer{t: t, secret: raw, now: time.Now, stop: make(chan struct{}), bodies: map[string][]byte{}, arrived: make(chan struct{})}
	if len(now) > 0 {
		s.now = now[0]
	}
	server := httptest.NewServer(s)
	s.URL = server.URL + "/texts"
	t.Cleanup(func() { close(s.stop); server.Close() })
	return s
}

// Fault changes how the provider behaves for requests it gets from now on.
func (s *WebhookServer) Fault(f WebhookFault) { s.mu.Lock(); s.fault = f; s.mu.Unlock() }

// Refused returns why requests were turned away as malformed, unsigned or stale.
func (s *WebhookServer) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.refused...)
}

// Replays returns how often an id came again with the same body. Such a request is accepted and not kept twice.
func (s *WebhookServer) Replays() int { s.mu.Lock(); defer s.mu.Unlock(); return s.replays }

// Texts returns what arrived for a number, oldest first; with "" what arrived for anybody.
func (s *WebhookServer) Texts(to string) []Text {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Text
	for _, x := range s.texts {
		if to == "" || x.To == to {
			out = append(out, x)
		}
	}
	return out
}

// WaitFor returns the texts for a number as soon as there are n, and fails the test when they do not come.
func (s *WebhookServer) WaitFor(to string, n int) []Text {
	s.t.Helper()
	limit := time.After(waitLimit)
	for {
		s.mu.Lock()
		arrived := s.arrived
		s.mu.Unlock()
		if got := s.Texts(to); len(got) >= n {
			return got
		}
		select {
		case <-arrived:
		case <-limit:
			s.t.Fatalf("got %d texts for %q after %s, want %d; turned away: %q", len(s.Texts(to)), to, waitLimit, n, s.Refused())
		}
	}
}

func (s *WebhookServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	f := s.fault
	s.mu.Unlock()
	switch {
	case f.Redirect != "":
		http.Redirect(w, r, f.Redirect, http.StatusTemporaryRedirect)
		return
	case f.Status != 0:
		w.WriteHeader(f.Status)
		return
	}
	status, err := s.accept(r)
	if err != nil {
		s.mu.Lock()
		s.refused = append(s.refused, err.Error())
		s.mu.Unlock()
		http.Error(w, err.Error(), status)
		return
	}
	switch {
	case f.Hang:
		select {
		case <-s.stop:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case f.Cut:
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusAccepted)
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// accept judges one request and keeps its text.
func (s *WebhookServer) accept(r *http.Request) (status int, err error) {
	if r.Method != http.MethodPost || r.URL.Path != "/texts" || r.URL.RawQuery != "" {
		return http.StatusMethodNotAllowed, fmt.Errorf("%s %s", r.Method, r.URL)
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || (len(params) > 0 && !strings.EqualFold(params["charset"], "utf-8")) {
		return http.StatusUnsupportedMediaType, fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 16<<10))
	if err != nil {
		return http.StatusRequestEntityTooLarge, err
	}
	id, stamp := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return http.StatusBadRequest, fmt.Errorf("timestamp %q", stamp)
	}
	if off := s.now().Sub(time.Unix(seconds, 0)); off.Abs() > 5*time.Minute {
		return http.StatusUnauthorized, fmt.Errorf("timestamp is off by %s", off)
	}
	if !s.signed(r.Header.Get("webhook-signature"), id, stamp, body) {
		return http.StatusUnauthorized, fmt.Errorf("no signature fits: %q", r.Header.Get("webhook-signature"))
	}
	var x Text
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&x); err != nil {
		return http.StatusBadRequest, err
	}
	if _, err := d.Token(); err != io.EOF {
		return http.StatusBadRequest, fmt.Errorf("more than one JSON value")
	}
	if x.ID == "" || x.ID != id || !e164.MatchString(x.To) || x.Body == "" || x.Lang == "" || (x.Kind != "code" && x.Kind != "notice") {
		return http.StatusUnprocessableEntity, fmt.Errorf("fields %+v under id %q", x, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.bodies[id]; known {
		if !bytes.Equal(before, body) {
			return http.StatusConflict, fmt.Errorf("id %s again with another body", id)
		}
		s.replays++
		return http.StatusAccepted, nil
	}
	s.bodies[id] = body
	s.texts = append(s.texts, x)
	close(s.arrived)
	s.arrived = make(chan struct{})
	return http.StatusAccepted, nil
}

// signed is the receiver's half of Standard Webhooks, written apart from the sender's on purpose.
func (s *WebhookServer) signed(header, id, stamp string, body []byte) bool {
	if id == "" || strings.Contains(id, ".") {
		return false
	}
	mac := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	want := mac.Sum(nil)
	for _, one := range strings.Fields(header) {
		version, sig, ok := strings.Cut(one, ",")
		if !ok || version != "v1" {
			continue
		}
		if got, err := base64.StdEncoding.DecodeString(sig); err == nil && hmac.Equal(got, want) {
			return true
		}
	}
	return false
}
