package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/regain-id/regain/internal/session"
)

const (
	eventTokenTyp = "secevent+jwt"
	newestEvent   = 5 * time.Minute // ahead of our clock
	maxEvents     = 20
)

// The types of events that are acted on (CAEP 1.0 §3, RISC 1.0 §2). A transmitter of older drafts sends the same names.
const (
	caep = "https://schemas.openid.net/secevent/caep/event-type/"
	risc = "https://schemas.openid.net/secevent/risc/event-type/"
)

var eventKinds = map[string]session.NoticeKind{
	caep + "session-revoked":       session.SessionsRevoked,
	risc + "sessions-revoked":      session.SessionsRevoked,
	risc + "credential-compromise": session.CredentialCompromise,
	caep + "credential-change":     session.CredentialCompromise, // only when an administrator revoked it: kindOf
	risc + "account-disabled":      session.AccountDisabled,
	risc + "account-enabled":       session.AccountEnabled,
}

// judgeEvent checks a security event token (RFC 8417 §2.2, SSF 1.0 §4.1) and returns what it says of one of the provider's
// accounts; nil when it is a good one that says nothing we act on: of another type, such as verification, or of a subject
// named otherwise than by issuer and subject, or by another issuer. It is the only place where that is done. An *eventFault
// is final; any other error means that the keys could not be read.
func (p *provider) judgeEvent(ctx context.Context, raw string) (*session.Notice, error) {
	// The type tells it from an ID token and from a logout token, which the same key may sign and which have others.
	if typ := headerType(raw); typ != eventTokenTyp {
		return nil, invalidEvent("want a token of type " + eventTokenTyp)
	}
	if _, err := jose.ParseSignedCompact(raw, joseAlgorithms); err != nil { // before anybody is asked for keys
		return nil, invalidEvent("no token that is signed with a public key in a known way")
	}
	began := p.now()
	if _, err := p.events.get(ctx, false); err != nil {
		return nil, fmt.Errorf("%w: %w", errProvider, err)
	}
	payload, err := p.events.VerifySignature(ctx, raw)
	if errors.Is(err, errNoKey) && !p.events.readSince(began) { // signed with a new key, and we could not look just now
		return nil, fmt.Errorf("%w: %w", errProvider, err)
	}
	if err != nil {
		return nil, &eventFault{"invalid_key", "no key of the issuer verifies the signature", err}
	}
	c, err := readEvent(payload)
	if err != nil {
		return nil, err
	}
	if c.Issuer != p.Events.Issuer {
		return nil, &eventFault{"invalid_issuer", "another issuer than the one agreed on", nil}
	}
	if !slices.Contains(c.Audience, p.Events.Audience) {
		return nil, &eventFault{"invalid_audience", "not meant for us", nil}
	}
	if err := c.window(p.now()); err != nil {
		return nil, err
	}
	return c.notice(p.Name, p.Issuer)
}

// securityEvent is what a security event token says, in the form every later look relies on.
type securityEvent struct {
	Issuer   string
	Audience []string
	ID       string
	Issued   time.Time
	Expires  time.Time // zero: it does not
	From     time.Time // nbf; zero: at once
	Subject  json.RawMessage
	Events   map[string]json.RawMessage
}

// readEvent reads the claims and refuses what no security event has: a subject of its own or a nonce would make it look
// like a sign-in (SSF 1.0 §4.1.7).
func readEvent(payload []byte) (*securityEvent, error) {
	var c claims
	if json.Unmarshal(payload, &c) != nil || c == nil {
		return nil, invalidEvent("claims are no object")
	}
	for _, no := range []string{"sub", "nonce"} {
		if _, has := c[no]; has {
			return nil, invalidEvent("a security event has no " + no)
		}
	}
	out := &securityEvent{Subject: c["sub_id"]}
	var ok bool
	if out.Issuer, ok = c.text("iss"); !ok {
		return nil, &eventFault{"invalid_issuer", "iss is missing", nil}
	}
	if one, is := c.text("aud"); is {
		out.Audience = []string{one}
	} else {
		out.Audience = c.list("aud")
	}
	if out.ID, ok = c.text("jti"); !ok || out.ID == "" || !plain(out.ID) {
		return nil, invalidEvent("jti is missing, too long or no plain text")
	}
	var err1, err2, err3 error
	out.Issued, err1 = c.seconds("iat")
	out.Expires, err2 = c.seconds("exp")
	out.From, err3 = c.seconds("nbf")
	if errors.Join(err1, err2, err3) != nil || out.Issued.IsZero() {
		return nil, invalidEvent("iat is missing, or a time is no whole number of seconds")
	}
	if json.Unmarshal(c["events"], &out.Events) != nil || len(out.Events) == 0 || len(out.Events) > maxEvents {
		return nil, invalidEvent(fmt.Sprintf("want 1 to %d events", maxEvents))
	}
	return out, nil
}

// window checks when the statement was made. A transmitter that was cut off for days may still tell what happened.
func (c *securityEvent) window(now time.Time) error {
	switch {
	case c.Issued.After(now.Add(newestEvent)) || c.From.After(now.Add(newestEvent)):
		return invalidEvent("it is of the future")
	case c.Issued.Before(now.Add(-session.NoticeLife)):
		return invalidEvent("it is more than seven days old")
	case !c.Expires.IsZero() && !c.Expires.After(now.Add(-skew)):
		return invalidEvent("it has expired")
	}
	return nil
}

// notice returns what the statement says of an account of the provider; nil when that is nothing we act on.
func (c *securityEvent) notice(idp, issuer string) (*session.Notice, error) {
	n := &session.Notice{IDP: idp, Issuer: issuer, From: c.Issuer, ID: c.ID, At: c.Issued}
	var about json.RawMessage
	for name, body := range c.Events {
		if _, known := eventKinds[name]; !known {
			continue
		}
		if about != nil {
			return nil, invalidEvent("two events in one statement")
		}
		about = body
		var e struct {
			ChangeType string `json:"change_type"`
			Initiating string `json:"initiating_entity"`
		}
		if json.Unmarshal(body, &e) != nil || string(body) == "null" {
			return nil, invalidEvent("the event is no object, or not of its form")
		}
		n.Kind = eventKinds[name]
		if name == caep+"credential-change" && (e.ChangeType != "revoke" || e.Initiating != "admin") {
			n.Kind = "" // people change their own passwords; that is no alarm
		}
	}
	if n.Kind == "" {
		return nil, nil
	}
	who, err := c.who(about)
	if err != nil || who.Issuer != issuer || who.Subject == "" || !plain(who.Subject) {
		return nil, err // somebody else's account, or named in a way that could be anybody's
	}
	n.Subject = who.Subject
	return n, nil
}

// issSub is a subject identifier of the format iss_sub (RFC 9493 §3.2.3).
type issSub struct{ Issuer, Subject string }

// who returns the account the statement is about: by sub_id, or by the subject inside the event as drafts before SSF 1.0
// had it. The zero value for any other format: an address is never taken for an account. Two that differ are refused.
func (c *securityEvent) who(body json.RawMessage) (issSub, error) {
	var inside struct {
		Subject json.RawMessage `json:"subject"`
	}
	if json.Unmarshal(body, &inside) != nil {
		return issSub{}, invalidEvent("the event is no object, or not of its form")
	}
	outer, err1 := readSubject(c.Subject)
	inner, err2 := readSubject(inside.Subject)
	switch {
	case err1 != nil || err2 != nil:
		return issSub{}, invalidEvent("the subject is no object, or not of its form")
	case c.Subject == nil && inside.Subject == nil:
		return issSub{}, invalidEvent("no subject")
	case c.Subject != nil && inside.Subject != nil && outer != inner:
		return issSub{}, invalidEvent("two subjects that differ")
	case c.Subject == nil:
		return inner, nil
	}
	return outer, nil
}

// readSubject reads one subject; nothing for none and for one of another format.
func readSubject(raw json.RawMessage) (issSub, error) {
	if raw == nil {
		return issSub{}, nil
	}
	var s struct {
		Format  string `json:"format"`
		Type    string `json:"subject_type"` // before RFC 9493 the format was called that, and written iss-sub
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	}
	if string(raw) == "null" || json.Unmarshal(raw, &s) != nil {
		return issSub{}, errors.New("no subject")
	}
	if s.Format != "iss_sub" && !(s.Format == "" && (s.Type == "iss_sub" || s.Type == "iss-sub")) {
		return issSub{}, nil
	}
	return issSub{s.Issuer, s.Subject}, nil
}

// readEventKeys reads the keys that sign security events: from where the configuration says, else from where the
// transmitter's own document says (SSF 1.0 §7.1), else those of the ID tokens. A transmitter that cannot be asked now is not
// one without a document: its events are to come again.
func (p *provider) readEventKeys(ctx context.Context) ([]jose.JSONWebKey, error) {
	at := p.Events.JWKS
	if at == "" {
		var err error
		if at, err = p.discoverEvents(ctx); err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
	}
	if at == "" {
		return p.readJWKS(ctx)
	}
	var raw json.RawMessage
	if err := p.getJSON(ctx, at, &raw); err != nil {
		return nil, fmt.Errorf("events: keys: %w", err)
	}
	return readKeys(raw)
}

// discoverEvents returns the address of the transmitter's keys; "" when it has no document.
func (p *provider) discoverEvents(ctx context.Context) (string, error) {
	u, err := url.Parse(p.Events.Issuer)
	if err != nil {
		return "", err
	}
	root, path := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
	places := []string{root + eventsDocument + path}
	if path != "" { // where some put it, as OpenID Connect does
		places = append(places, root+path+eventsDocument)
	}
	for _, at := range places {
		var m struct {
			Issuer string `json:"issuer"`
			JWKS   string `json:"jwks_uri"`
		}
		err := p.getJSON(ctx, at, &m)
		if status, ok := errors.AsType[statusError](err); ok && status >= 400 && status < 500 && status != 429 {
			continue
		}
		switch {
		case err != nil:
			return "", fmt.Errorf("ssf-configuration: %w", err)
		case m.Issuer != p.Events.Issuer:
			return "", fmt.Errorf("ssf-configuration: issuer is %.200q, configured is %q: they must be equal to the letter", m.Issuer, p.Events.Issuer)
		case m.JWKS == "":
			return "", errors.New("ssf-configuration: jwks_uri is missing")
		}
		if err := checkEndpoint(p.Issuer, m.JWKS); err != nil {
			return "", fmt.Errorf("ssf-configuration: jwks_uri: %w", err)
		}
		return m.JWKS, nil
	}
	return "", nil
}

const eventsDocument = "/.well-known/ssf-configuration"
