package signal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
)

// Names of security events that are about a stream and not about a person (SSF 1.0 §8.1.4, §8.1.5).
const (
	verification  = "verification"
	streamUpdated = "stream-updated"
)

// Addresses that stand before the names of security events on the wire.
const (
	caepEvents = "https://schemas.openid.net/secevent/caep/event-type/"
	riscEvents = "https://schemas.openid.net/secevent/risc/event-type/"
	ssfEvents  = "https://schemas.openid.net/secevent/ssf/event-type/"
	sseEvents  = "https://schemas.openid.net/secevent/sse/event-type/" // of the drafts before SSF
)

// uri is what an event type is called on the wire; "" for a name there is not.
func uri(name string) string {
	switch name {
	case client.CredentialChange, client.SessionRevoked:
		return caepEvents + name
	case client.RecoveryActivated, client.RecoveryInformationChanged, client.CredentialChangeRequired:
		return riscEvents + name
	case verification, streamUpdated:
		return ssfEvents + name
	}
	if slices.Contains(client.Feeds(), name) {
		return client.FeedURI(name)
	}
	return ""
}

// Supported returns the event types a receiver may ask for, as they are called on the wire.
func Supported(r *client.Receiver) []string {
	var all []string
	for _, name := range append(client.Heard(client.ReceiverSSF), client.Feeds()...) {
		if r.Hears(name) {
			all = append(all, uri(name))
		}
	}
	return all
}

// Delivered returns the event types a stream hears: those its receiver may ask for and it did, or all of them when it asked
// for none in particular, but for those of a feed: they must be asked for, and have no form of before SSF.
func Delivered(r *client.Receiver, s *client.Stream) []string {
	all := Supported(r)
	if len(s.Requested) == 0 || s.Profile == client.ProfileSSE {
		all = slices.DeleteFunc(all, func(u string) bool { return strings.HasPrefix(u, client.FeedURI("")) })
	}
	if len(s.Requested) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(u string) bool { return !slices.Contains(s.Requested, u) })
}

// errNothing is why a delivery is dropped: there is nothing to say any more, or nothing this receiver may be told.
type errNothing struct{ class string }

func (e errNothing) Error() string { return "nothing to deliver: " + e.class }

// Dropped returns the class of an error of Set after which the delivery is to be dropped, and "" for any other: the person
// is unknown to the receiver, or the event is gone.
func Dropped(err error) string {
	if e, ok := errors.AsType[errNothing](err); ok {
		return e.class
	}
	return ""
}

// claims is a security event token (RFC 8417 §2.2, SSF 1.0 §4). There is no sub and no exp, so that it can never pass for an ID token
// or a logout token (RFC 8417 §4.5, §4.6).
type claims struct {
	Issuer   string                    `json:"iss"`
	ID       string                    `json:"jti"`
	Issued   int64                     `json:"iat"`
	Audience string                    `json:"aud"`
	Txn      string                    `json:"txn,omitempty"`
	Subject  subject                   `json:"sub_id,omitempty"`
	Events   map[string]map[string]any `json:"events"`
}

// Set returns the security event token of one delivery to a stream, signed, and its jti, which is the delivery's id. It is
// the same however often it is asked for, while the key is. An error that Dropped knows means that there is none to be.
func (s *Service) Set(ctx context.Context, st *client.Stream, r *client.Receiver, i event.Item) (token, jti string, err error) {
	_, name, arg := parseRef(i.Ref)
	type_ := uri(name)
	if type_ == "" {
		return "", "", errNothing{"unknown-type"}
	}
	c := claims{Issuer: s.Base, ID: i.ID, Issued: born(i).Unix(), Audience: r.Audience}
	var facts map[string]any
	switch name {
	case verification, streamUpdated:
		c.Subject, facts = subject{"format": "opaque", "id": st.ID}, aboutStream(name, arg)
	default:
		e, err := s.Store.Event(ctx, i.Event)
		if fault.Is(err, fault.NotFound) {
			return "", "", errNothing{"no-event"}
		}
		if err == nil {
			c.Subject, err = s.about(ctx, r, e, name)
		}
		if err == nil {
			facts, err = s.tell(ctx, e, name)
		}
		if err != nil {
			return "", "", err
		}
		c.Issued, c.Txn = e.At.Unix(), txn(e)
	}
	if st.Profile == client.ProfileSSE { // the drafts of 2021: SSE 1.0 §7.1.4.1, §11.1.2
		if e, about := strings.CutPrefix(type_, ssfEvents); about {
			type_ = sseEvents + e // a stream was no subject then
		} else {
			facts["subject"] = c.Subject
		}
		c.Subject = nil
	}
	c.Events = map[string]map[string]any{type_: facts}
	token, err = s.sign(ctx, c)
	return token, i.ID, err
}

// about says whom or what a security event of a name is about, as the receiver knows them.
func (s *Service) about(ctx context.Context, r *client.Receiver, e event.Event, name string) (subject, error) {
	if slices.Contains(client.Feeds(), name) {
		return s.resource(ctx, e)
	}
	return s.subjectOf(ctx, r, e.Subject)
}

// tell is what a security event of a name tells of an event of ours.
func (s *Service) tell(ctx context.Context, e event.Event, name string) (map[string]any, error) {
	if slices.Contains(client.Feeds(), name) {
		return s.feedFacts(ctx, e, name)
	}
	return s.facts(ctx, e, name)
}

// txn ties the events of one act together, here and in what an app is told of it.
func txn(e event.Event) string {
	if e.Txn != "" {
		return e.Txn
	}
	return e.ID
}

// born is when a delivery came to be: its id is a UUIDv7.
func born(i event.Item) time.Time {
	id, err := uuid.Parse(i.ID)
	if err != nil || id.Version() != 7 {
		return time.Time{}
	}
	return time.Unix(id.Time().UnixTime()).UTC()
}

// aboutStream is what an event about a stream tells: the state a receiver wanted to hear again, or the status and why.
func aboutStream(name, arg string) map[string]any {
	facts := map[string]any{}
	switch {
	case name == verification && arg != "":
		facts["state"] = arg
	case name == streamUpdated:
		status, reason, _ := strings.Cut(arg, " ")
		facts["status"] = status
		if reason != "" {
			facts["reason"] = reason
		}
	}
	return facts
}

// eventKeys returns the RS256 keys of events, and makes them where there are none yet: before a receiver reads them, or the
// first event is signed.
func (s *Service) eventKeys(ctx context.Context) ([]keyring.SigningKey, error) {
	read := func() ([]keyring.SigningKey, error) {
		keys, err := s.Signing.SigningKeys(ctx, keyring.ForEvents)
		return slices.DeleteFunc(slices.Clone(keys), func(k keyring.SigningKey) bool { return k.Alg != keyring.RS256 }), err
	}
	keys, err := read()
	if _, found := keyring.Signer(keys); err != nil || found {
		return keys, err
	}
	if err := s.Signing.EnsureSigning(ctx, keyring.ForEvents, keyring.RS256, s.Now()); err != nil {
		return nil, err
	}
	return read()
}

// sign makes a JWS in the compact form, by the RS256 key for events: the CAEP interoperability profile asks for that
// algorithm (§2.6).
func (s *Service) sign(ctx context.Context, c claims) (string, error) {
	keys, err := s.eventKeys(ctx)
	if err != nil {
		return "", err
	}
	key, found := keyring.Signer(keys)
	if !found {
		return "", errors.New("no key to sign events with")
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	head := jws.NewHeaders()
	if err := errors.Join(head.Set(jws.TypeKey, "secevent+jwt"), head.Set(jws.KeyIDKey, key.ID)); err != nil {
		return "", err
	}
	signed, err := jws.Sign(payload, jws.WithKey(jwa.RS256(), key.Private(), jws.WithProtectedHeaders(head)))
	if err != nil {
		return "", fmt.Errorf("sign event: %w", err)
	}
	return string(signed), nil
}

// makeRef names a delivery: to whom, what, and a word about it.
func makeRef(clientID, name, arg string) string {
	ref := clientID + " " + name
	if arg != "" {
		ref += " " + base64.RawURLEncoding.EncodeToString([]byte(arg))
	}
	return ref
}

// parseRef is the reverse of makeRef.
func parseRef(ref string) (clientID, name, arg string) {
	clientID, rest, _ := strings.Cut(ref, " ")
	name, coded, _ := strings.Cut(rest, " ")
	plain, err := base64.RawURLEncoding.DecodeString(coded)
	if err != nil {
		return clientID, name, ""
	}
	return clientID, name, string(plain)
}
