package signal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
)

const (
	requestTime = 10 * time.Second // for one request, its answer included
	maxAnswer   = 16 << 10         // of an answer that refuses: only its code is looked at, and nothing is kept
	mostAsked   = time.Hour        // of Retry-After that is heeded
)

// push sends one security event token to a stream (RFC 8935 §2).
func (s *Service) push(ctx context.Context, i event.Item) error {
	id, name, _ := parseRef(i.Ref)
	st, err := s.Store.Stream(ctx, id)
	if err != nil || st == nil { // deleted: nobody is there
		return err
	}
	r, err := s.Store.ReceiverByID(ctx, st.Receiver)
	if err != nil || r == nil {
		return err
	}
	if st.Delivery != client.DeliverPush { // it changed while this was written
		if err := s.Store.Redirect(ctx, st.ID, kindOfStream(st)); err != nil {
			return err
		}
		return event.Later{After: time.Second, Class: "fetched-now"}
	}
	if name != streamUpdated { // the one that says so goes out
		switch {
		case r.Disabled, st.Status == client.StreamDisabled:
			return nil
		case st.Status == client.StreamPaused:
			return event.Later{After: whilePaused, Class: "paused"}
		}
	}
	if err := s.turn(ctx, i, st.ID); err != nil {
		return err
	}
	token, _, err := s.Set(ctx, st, r, i)
	if err != nil {
		s.lines.give(st.ID)
		if class := Dropped(err); class != "" {
			return s.Store.NoteDelivery(ctx, st.ID, false, class, s.Now())
		}
		return err
	}
	o := outcome{class: "refused-address", final: true}
	if r.MayPush(st.Endpoint) == nil { // its hosts may have become fewer
		o = s.send(ctx, st.Endpoint, strings.NewReader(token), func(h http.Header) {
			h.Set("Content-Type", "application/secevent+jwt")
			h.Set("Accept", "application/json")
			if st.Authorization != "" {
				h.Set("Authorization", st.Authorization)
			}
		}, judgePush)
	}
	return s.settle(ctx, i, st.ID, st.Updated, o)
}

// refusals are the codes by which a receiver refuses a token for good (RFC 8935 §2.4, RFC 8417 §7.1).
var refusals = []string{"invalid_request", "invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied", "invalid_state"}

// judgePush reads the answer to a token: 202 is the only one that says it arrived, so that a page that answers everything
// with 200 is noticed (RFC 8935 §2.2); 400 says that it never will be taken.
func judgePush(status int, body io.Reader) outcome {
	switch status {
	case http.StatusAccepted:
		return outcome{}
	case http.StatusBadRequest:
		o := outcome{class: "status-400", answered: true, final: true}
		var refusal struct {
			Err string `json:"err"`
		}
		if b, err := io.ReadAll(body); err == nil && json.Unmarshal(b, &refusal) == nil && slices.Contains(refusals, refusal.Err) {
			o.class = strings.ReplaceAll(refusal.Err, "_", "-")
		}
		return o
	}
	return outcome{class: statusClass(status)}
}

// send makes one request and judges the answer. Of the answer at most maxAnswer bytes are read, by judge alone.
func (s *Service) send(ctx context.Context, to string, body io.Reader, head func(http.Header), judge func(int, io.Reader) outcome) outcome {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, body)
	if err != nil {
		return outcome{class: "refused-address", final: true}
	}
	head(req.Header)
	req.Header.Set("User-Agent", "security-events/1")
	began := s.Now()
	resp, err := s.Config.HTTP.Do(req)
	if err != nil {
		return outcome{class: errorClass(err)}
	}
	defer resp.Body.Close()
	limited := io.LimitReader(resp.Body, maxAnswer)
	o := judge(resp.StatusCode, limited)
	if o.class == "" {
		_, _ = io.Copy(io.Discard, limited) // so that the connection can be used again; it arrived, whatever follows
	} else if !o.answered {
		o.least = retryAfter(resp.Header, mostAsked)
	}
	o.took = s.Now().Sub(began) // with its body: one that drips is slow
	return o
}

// retryAfter is how long an answer asks to wait (RFC 9110 §10.2.3), in seconds and at most so long.
func retryAfter(h http.Header, most time.Duration) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(min(n, 1<<20))*time.Second, most)
}

// statusClass is the class of an answer that is not the one we wait for.
func statusClass(status int) string {
	if status >= 300 && status < 400 {
		return "redirect" // following it would carry what is signed to an address nobody registered
	}
	return "status-" + strconv.Itoa(status)
}

// errorClass is a word for why no answer came. The error itself is not kept: it names addresses.
func errorClass(err error) string {
	if errors.Is(err, egress.ErrRefused) {
		return "refused-address"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "no-such-host"
	}
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	if unverified || unknown || name {
		return "certificate"
	}
	if e, ok := errors.AsType[*url.Error](err); ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return "not-connected"
	}
	return "broken-off"
}
