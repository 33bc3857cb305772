package client

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/regain-id/regain/internal/event"
)

// ReceiverKind is by what protocol a receiver hears.
type ReceiverKind string

// The kinds.
const (
	ReceiverSSF     ReceiverKind = "ssf"     // OpenID Shared Signals Framework 1.0: it makes its streams by itself
	ReceiverWebhook ReceiverKind = "webhook" // one address that signed JSON is posted to (Standard Webhooks)
)

// SubjectFormat is how a receiver is told whom an event is about (RFC 9493).
type SubjectFormat string

// The formats.
const (
	FormatIssSub SubjectFormat = "iss_sub" // by issuer and subject at the identity provider
	FormatEmail  SubjectFormat = "email"   // by the corporate mail address
	FormatOpaque SubjectFormat = "opaque"  // by a name for this receiver alone
)

// What a receiver of kind ssf may hear: names of security events, without the address that stands before them on the wire.
const (
	SessionRevoked             = "session-revoked"                    // CAEP 1.0 §3.1
	CredentialChange           = "credential-change"                  // CAEP 1.0 §3.3
	RecoveryActivated          = "recovery-activated"                 // RISC 1.0 §2.9
	RecoveryInformationChanged = "recovery-information-changed"       // RISC 1.0 §2.10
	CredentialChangeRequired   = "account-credential-change-required" // RISC 1.0 §2.1
)

// Heard returns the types of events there are to hear for a kind of receiver: names of security events, or types of the
// event catalogue. nil for a kind there is not.
func Heard(k ReceiverKind) []string {
	switch k {
	case ReceiverSSF:
		return []string{CredentialChange, SessionRevoked, RecoveryActivated, RecoveryInformationChanged, CredentialChangeRequired}
	case ReceiverWebhook:
		return []string{string(event.PasswordReset), string(event.PasswordChanged), string(event.AccountUnlocked), string(event.MethodAdded), string(event.MethodChanged),
			string(event.MethodRemoved), string(event.AttemptProved), string(event.AttemptDisputed), string(event.PersonDeactivated)}
	}
	return nil
}

// What a receiver of kind ssf may hear of people and groups as SCIM knows them (RFC 9967), by what stands behind
// urn:ietf:params:scim:event: on the wire. It hears what it lists and no more: they tell much more than the others, and of
// everybody.
const (
	FeedCreateNotice = "prov:create:notice"
	FeedPutNotice    = "prov:put:notice"
	FeedPatchNotice  = "prov:patch:notice"
	FeedDelete       = "prov:delete"
	FeedActivate     = "prov:activate"
	FeedDeactivate   = "prov:deactivate"
	FeedAnswer       = "misc:asyncresp"
)

// Feeds are all of these, in the order they are shown.
func Feeds() []string {
	return []string{FeedCreateNotice, FeedPutNotice, FeedPatchNotice, FeedDelete, FeedActivate, FeedDeactivate, FeedAnswer}
}

// FeedURI is what such an event is called on the wire.
func FeedURI(name string) string { return "urn:ietf:params:scim:event:" + name }

// Bounds of what a receiver may have.
const (
	MaxFollowed = 20 // connectors a receiver follows

	MaxHosts   = 10 // hosts that events may be pushed to
	MaxStreams = 4  // streams of one receiver
	MaxIgnored = 64 // event types a stream may ask for, those we do not know included
)

// Receiver is a program that hears what happened.
type Receiver struct {
	ID       string
	Version  int64
	Key      string // as an app's: small letters, digits and dashes
	Name     string // what staff read
	Kind     ReceiverKind
	Events   []string // types it may hear; none: all there are for its kind
	Format   SubjectFormat
	IDP      string // of FormatIssSub: whose subjects; "" means the only provider
	Disabled bool
	Created  time.Time
	Updated  time.Time

	// Of kind ssf.
	Secrets  []Token  // OAuth client secrets, hashed; at most MaxTokens live
	Audience string   // aud of what it is sent
	Hosts    []string // hosts it may have events pushed to
	// Connectors are the ids of those of whose people, groups and answers the receiver hears, of what Feeds lists; none: of all.
	Connectors []string

	// Of kind webhook.
	URL  string
	Sign []SignSecret // at most MaxTokens; each of them signs
}

// SignSecret is one secret that webhooks are signed with. Secret is sealed at rest; it must be readable to sign.
type SignSecret struct {
	ID      string    `json:"id"`
	Secret  []byte    `json:"secret"` // 32 random bytes; people see them as whsec_ and base64
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"` // zero: no end
}

// StreamStatus says whether events go out (SSF 1.0 §8.1.2).
type StreamStatus string

// The statuses.
const (
	StreamEnabled  StreamStatus = "enabled"
	StreamPaused   StreamStatus = "paused"   // events are kept
	StreamDisabled StreamStatus = "disabled" // events are dropped
)

// Stream is one way by which a receiver of kind ssf hears (SSF 1.0 §8.1.1).
type Stream struct {
	ID            string
	Version       int64
	Receiver      string // id
	Delivery      string // push (RFC 8935) or poll (RFC 8936)
	Endpoint      string // of push
	Authorization string // header sent with each push; sealed at rest, never shown
	Requested     []string
	Description   string
	Profile       string // "" or sse-id1: the older shape of events
	Status        StreamStatus
	Reason        string
	Verified      time.Time // when a verification was last asked for
	Created       time.Time
	Updated       time.Time
}

// Health is how deliveries to one receiver or stream went of late. It holds no bodies and no addresses.
type Health struct {
	Client  string    // id of a receiver (webhook) or stream
	Good    time.Time // when one last arrived
	Bad     time.Time // when one last failed
	Class   string    // class of that failure: timeout, refused-address, status-500 …
	Waiting int       // deliveries that have not arrived yet
	Dead    int       // given up
}

// Hears reports whether the receiver may hear a type of event, by the name Heard or Feeds lists it under.
func (r *Receiver) Hears(name string) bool {
	if len(r.Events) == 0 {
		return slices.Contains(Heard(r.Kind), name)
	}
	return slices.Contains(r.Events, name)
}

// Feed reports whether the receiver hears anything that Feeds lists.
func (r *Receiver) Feed() bool {
	return slices.ContainsFunc(Feeds(), func(name string) bool { return r.Kind == ReceiverSSF && r.Hears(name) })
}

// Follows reports whether the receiver hears of what a connector brings.
func (r *Receiver) Follows(connector string) bool {
	return len(r.Connectors) == 0 || slices.Contains(r.Connectors, connector)
}

// Check reports the first thing wrong with the receiver.
func (r *Receiver) Check() error {
	if !keyForm.MatchString(r.Key) {
		return fmt.Errorf("key %q: want 1 to 40 small letters, digits or dashes", r.Key)
	}
	if n := len([]rune(r.Name)); n < 1 || n > 60 || strings.ContainsFunc(r.Name, unicode.IsControl) {
		return fmt.Errorf("name %q: want 1 to 60 characters on one line", r.Name)
	}
	known := Heard(r.Kind)
	if known == nil {
		return fmt.Errorf("kind %q: want %s or %s", r.Kind, ReceiverSSF, ReceiverWebhook)
	}
	if r.Kind == ReceiverSSF {
		known = append(known, Feeds()...)
	}
	for i, e := range r.Events {
		if !slices.Contains(known, e) || slices.Contains(r.Events[:i], e) {
			return fmt.Errorf("event %q: want %s, each once", e, strings.Join(known, ", "))
		}
	}
	switch r.Format {
	case FormatIssSub, FormatEmail, FormatOpaque:
	default:
		return fmt.Errorf("format %q: want %s, %s or %s", r.Format, FormatIssSub, FormatEmail, FormatOpaque)
	}
	if len(r.IDP) > 64 || r.IDP != "" && r.Format != FormatIssSub {
		return fmt.Errorf("provider %q: it is of format %s only", r.IDP, FormatIssSub)
	}
	if r.Kind == ReceiverWebhook {
		return r.checkWebhook()
	}
	return r.checkSSF()
}

func (r *Receiver) checkSSF() error {
	if r.URL != "" || len(r.Sign) > 0 {
		return fmt.Errorf("an address and secrets to sign with are of kind %s", ReceiverWebhook)
	}
	if r.Audience == "" || len(r.Audience) > 300 || !visible(r.Audience) {
		return fmt.Errorf("audience %q: want 1 to 300 characters without spaces", r.Audience)
	}
	if len(r.Connectors) > MaxFollowed {
		return fmt.Errorf("%d connectors: want at most %d", len(r.Connectors), MaxFollowed)
	}
	if len(r.Hosts) > MaxHosts {
		return fmt.Errorf("%d hosts: want at most %d", len(r.Hosts), MaxHosts)
	}
	for i, h := range r.Hosts {
		if u, err := url.Parse("https://" + h + "/"); err != nil || u.Host != h || u.User != nil || h == "" || h != strings.ToLower(h) || len(h) > 260 || slices.Contains(r.Hosts[:i], h) {
			return fmt.Errorf("host %q: want events.example.org or events.example.org:8443, each once", h)
		}
	}
	if len(r.Secrets) > MaxTokens {
		return fmt.Errorf("%d secrets: at most %d live at a time", len(r.Secrets), MaxTokens)
	}
	return nil
}

func (r *Receiver) checkWebhook() error {
	if r.Audience != "" || len(r.Hosts) > 0 || len(r.Secrets) > 0 || len(r.Connectors) > 0 {
		return fmt.Errorf("an audience, hosts, connectors and client secrets are of kind %s", ReceiverSSF)
	}
	if err := checkReturn(r.URL); err != nil {
		return err
	}
	if len(r.Sign) > MaxTokens {
		return fmt.Errorf("%d secrets: at most %d live at a time", len(r.Sign), MaxTokens)
	}
	for _, s := range r.Sign {
		if n := len(s.Secret); n < 24 || n > 64 {
			return fmt.Errorf("secret of %d bytes: want 24 to 64", n)
		}
	}
	return nil
}

// visible reports whether a text has no spaces and nothing that does not print.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
}

// MayPush returns why events may not be pushed to an address: nil for https, or http on loopback, at one of the receiver's
// hosts. What the host's name resolves to is judged when it is connected to.
func (r *Receiver) MayPush(endpoint string) error {
	if err := checkReturn(endpoint); err != nil {
		return err
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	if !slices.Contains(r.Hosts, strings.ToLower(u.Host)) {
		return fmt.Errorf("address %q: its host is not one that events may be pushed to", endpoint)
	}
	return nil
}

// until is when a secret ends that another one takes the place of: not later than it did before. The zero time is no end.
func until(expires, keep time.Time) time.Time {
	if expires.IsZero() || keep.Before(expires) {
		return keep
	}
	return expires
}

// AddSecret gives a receiver of kind ssf another client secret. Those it has work until keep, and not at all when that is
// not after the new one was made; the oldest goes when there are more than MaxTokens.
func (r *Receiver) AddSecret(k Token, keep time.Time) error {
	var kept []Token
	for _, old := range r.Secrets {
		if old.Expires = until(old.Expires, keep); old.Expires.After(k.Created) {
			kept = append(kept, old)
		}
	}
	kept = append(kept, k)
	r.Secrets = kept[max(0, len(kept)-MaxTokens):]
	return r.Check()
}

// AddSign gives a receiver of webhooks another secret, as AddSecret does. Until the older one ends both sign, so that the
// receiver may change over at any moment between.
func (r *Receiver) AddSign(k SignSecret, keep time.Time) error {
	var kept []SignSecret
	for _, old := range r.Sign {
		if old.Expires = until(old.Expires, keep); old.Expires.After(k.Created) {
			kept = append(kept, old)
		}
	}
	kept = append(kept, k)
	r.Sign = kept[max(0, len(kept)-MaxTokens):]
	return r.Check()
}

// LiveSign returns the secrets that sign at a time, newest first.
func (r *Receiver) LiveSign(now time.Time) [][]byte {
	var live [][]byte
	for _, s := range slices.Backward(r.Sign) {
		if s.Expires.IsZero() || s.Expires.After(now) {
			live = append(live, s.Secret)
		}
	}
	return live
}

// LiveSecrets returns the hashes of the client secrets that open something at a time.
func (r *Receiver) LiveSecrets(now time.Time) [][]byte {
	var live [][]byte
	for _, s := range r.Secrets {
		if s.Expires.IsZero() || s.Expires.After(now) {
			live = append(live, s.Hash)
		}
	}
	return live
}

// Disable stops everything the receiver hears and does, or lets it hear again. It reports whether that changed anything.
func (r *Receiver) Disable(disabled bool) bool {
	changed := r.Disabled != disabled
	r.Disabled = disabled
	return changed
}

// Ways of delivery.
const (
	DeliverPush = "push" // RFC 8935
	DeliverPoll = "poll" // RFC 8936
)

// Check reports the first thing wrong with a stream of a receiver.
func (s *Stream) Check(r *Receiver) error {
	if s.Delivery == DeliverPush {
		if err := r.MayPush(s.Endpoint); err != nil {
			return err
		}
	}
	return s.check(r)
}

// CheckChange is Check for a stream that was there before. One whose receiver lost the host it is pushed to can still be
// paused or turned to poll; nothing is pushed to it.
func (s *Stream) CheckChange(r *Receiver, before *Stream) error {
	if s.Delivery == before.Delivery && s.Endpoint == before.Endpoint {
		return s.check(r)
	}
	return s.Check(r)
}

func (s *Stream) check(r *Receiver) error {
	if r.Kind != ReceiverSSF {
		return fmt.Errorf("streams are of kind %s", ReceiverSSF)
	}
	switch s.Delivery {
	case DeliverPush:
	case DeliverPoll:
		if s.Endpoint != "" || s.Authorization != "" {
			return errors.New("an address and a header are of delivery by push")
		}
	default:
		return fmt.Errorf("delivery %q: want %s or %s", s.Delivery, DeliverPush, DeliverPoll)
	}
	if len(s.Authorization) > 4096 || strings.ContainsFunc(s.Authorization, func(c rune) bool { return c < ' ' || c > '~' }) {
		return errors.New("authorization header: want at most 4096 characters of ASCII on one line")
	}
	if len(s.Requested) > MaxIgnored {
		return fmt.Errorf("%d event types: want at most %d", len(s.Requested), MaxIgnored)
	}
	for _, e := range s.Requested {
		if len(e) > 300 || !visible(e) {
			return fmt.Errorf("event type %q: want at most 300 characters without spaces", e)
		}
	}
	if len(s.Description) > 600 || len(s.Reason) > 600 || strings.ContainsFunc(s.Description+s.Reason, unicode.IsControl) {
		return errors.New("description or reason: want at most 600 bytes on one line")
	}
	if s.Profile != "" && s.Profile != ProfileSSE {
		return fmt.Errorf("profile %q: want none or %s", s.Profile, ProfileSSE)
	}
	switch s.Status {
	case StreamEnabled, StreamPaused, StreamDisabled:
		return nil
	}
	return fmt.Errorf("status %q: want %s, %s or %s", s.Status, StreamEnabled, StreamPaused, StreamDisabled)
}

// ProfileSSE is the shape of events before SSF 1.0, with the subject inside the event.
const ProfileSSE = "sse-id1"

// Turn changes the status of a stream, and returns the event of it; nothing when it has that status already. The actor is
// who did it: a stream whose receiver did not is told.
func (s *Stream) Turn(to StreamStatus, reason, actor string, now time.Time) []event.Event {
	if s.Status == to {
		return nil
	}
	s.Status, s.Reason, s.Updated = to, reason, now
	e := event.New(now, event.StreamChanged, actor, "", s.ID, event.Success).With("stream", s.ID).With("status", string(to))
	if reason != "" {
		e = e.With("reason", reason)
	}
	return []event.Event{e}
}
