package signin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/session"
)

const (
	maxEventBody = 64 << 10
	minToken     = 32
)

// hear takes a security event token that a provider pushes (RFC 8935 §2). Anybody can call it, so it counts before it looks,
// and reads nothing of somebody who does not hold the provider's token. What is acknowledged is never sent again: only what
// was acted on, or never will be, is. A provider that can be believed later is told to try again.
func (d *Door) hear(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	rest, _ := strings.CutPrefix(r.URL.Path, PathSignIn+"/")
	name, ok := strings.CutSuffix(rest, "/events")
	p := d.find(name)
	switch {
	case !ok || p == nil || p.Events == nil:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	if err := d.Sessions.MayNotify(r.Context(), session.Origin{Addr: d.site.Client(r)}); err != nil {
		d.later503(w, r, p, err)
		return
	}
	if !p.Events.sent(r) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		d.refuseEvent(w, r, p, http.StatusUnauthorized, &eventFault{"authentication_failed", "the token is not the one agreed on", nil})
		return
	}
	err := d.heard(w, r, p)
	if bad, ok := errors.AsType[*eventFault](err); ok {
		d.refuseEvent(w, r, p, http.StatusBadRequest, bad)
		return
	}
	if err != nil {
		d.later503(w, r, p, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// later503 asks a transmitter to send the same again: nothing of it was taken.
func (d *Door) later503(w http.ResponseWriter, r *http.Request, p *provider, err error) {
	status, wait := http.StatusServiceUnavailable, "30"
	if fault.Is(err, fault.Limited) {
		status, wait = http.StatusTooManyRequests, "60"
	} else {
		d.Log.WarnContext(r.Context(), "security event not taken yet", "idp", p.Name, "cause", err)
	}
	w.Header().Set("Retry-After", wait)
	http.Error(w, "try again later", status)
}

// refuseEvent tells what is wrong by one of the words of RFC 8935 §2.4. Its descriptions are ours; what came is never
// repeated.
func (d *Door) refuseEvent(w http.ResponseWriter, r *http.Request, p *provider, status int, bad *eventFault) {
	d.Log.WarnContext(r.Context(), "security event refused", "idp", p.Name, "cause", bad)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Language", "en")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"err": bad.word, "description": bad.say}) //nolint:errcheck // the caller is gone
}

// eventFault is a security event that will never be taken.
type eventFault struct {
	word  string // of RFC 8935 §2.4
	say   string
	cause error
}

func (e *eventFault) Error() string {
	if e.cause != nil {
		return e.word + ": " + e.say + ": " + e.cause.Error()
	}
	return e.word + ": " + e.say
}

func invalidEvent(say string) error { return &eventFault{"invalid_request", say, nil} }

// sent reports whether a request carries the token. Both are hashed first, so that time does not tell the length.
func (e *Events) sent(r *http.Request) bool {
	all := r.Header.Values("Authorization")
	if len(all) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(all[0], " ")
	have, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(e.Token))
	return subtle.ConstantTimeCompare(have[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// heard reads, judges and acts. An *eventFault is final; any other error is not.
func (d *Door) heard(w http.ResponseWriter, r *http.Request, p *provider) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/"+eventTokenTyp {
		return invalidEvent("want the content type application/" + eventTokenTyp)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEventBody))
	if err != nil {
		return invalidEvent(fmt.Sprintf("a body of more than %d bytes, or broken off", maxEventBody))
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	n, err := p.judgeEvent(ctx, string(body))
	if err != nil {
		return err
	}
	if n == nil { // nothing we act on, or of nobody we could know
		return nil
	}
	person, first, err := d.Sessions.Heard(ctx, n)
	if err != nil {
		return err
	}
	d.Log.InfoContext(ctx, "security event taken", "idp", p.Name, "signal", string(n.Kind), "known", person != "", "first", first)
	return nil
}
