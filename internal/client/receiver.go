package client

import "time"

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
