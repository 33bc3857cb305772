package signal

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/method"
)

// Config is what a Service is made of.
type Config struct {
	Base         string // the deployment's address: iss of every security event token, to the letter
	Organisation string // whose deployment it is
	Store        Store
	Signing      Signing
	Keys         Keys
	HTTP         *http.Client // of package egress: it refuses private targets and follows no redirect
	Issued       []Issued     // every identity provider there is
	Limits       limit.Spender
	Now          func() time.Time
	Log          *slog.Logger
}

// Issued says how people are known at an identity provider before they signed in by it.
type Issued struct {
	IDP        string // name of the provider
	Issuer     string
	Attribute  string   // SCIM attribute that holds their subject there; "" for none: it is learned at a sign-in
	Connectors []string // names of the connectors whose people it may speak for; none: everybody's
}

// Store is what the store does for a Service.
type Store interface {
	Hearers
	Outbox
	People
	Streams
	Polling
	Access
}

// Hearers are whom an event is told to.
type Hearers interface {
	Event(ctx context.Context, id string) (event.Event, error)
	Receivers(ctx context.Context) ([]client.Receiver, error)
	Receiver(ctx context.Context, key string) (*client.Receiver, error)
	ReceiverByID(ctx context.Context, id string) (*client.Receiver, error)
	LiveStreams(ctx context.Context) ([]client.Stream, error)
	StreamsOf(ctx context.Context, receiver string) ([]client.Stream, error)
	Stream(ctx context.Context, id string) (*client.Stream, error)
}

// Outbox is what waits to be delivered, and how it went.
type Outbox interface {
	Earlier(ctx context.Context, client, person, event string, now time.Time) (bool, error)
	EarlierOf(ctx context.Context, client, ref, event string) (bool, error)
	WaitingFor(ctx context.Context, client string, most int) (int, error)
	PutDelivery(ctx context.Context, kind, ref string, now, until time.Time) error
	Redirect(ctx context.Context, stream, kind string) error
	NoteDelivery(ctx context.Context, client string, good bool, class string, now time.Time) error
	UpdateReceiver(ctx context.Context, key string, change func(*client.Receiver) ([]event.Event, error)) (*client.Receiver, error)
}

// People is whom an event is about.
type People interface {
	Group(ctx context.Context, id, connector string) (*account.Group, error)
	Person(ctx context.Context, id string) (*account.Person, error)
	Methods(ctx context.Context, person string) ([]method.Method, error)
	SubjectAt(ctx context.Context, person, idp string) (issuer, subject string, err error)
	PersonAt(ctx context.Context, issuer, subject string) (person string, err error)
	Excluded(ctx context.Context, stream, person string) (bool, error)
	RemoveSubject(ctx context.Context, stream, person string, now time.Time) error
	AddSubject(ctx context.Context, stream, person string) error
}

// Streams are made and changed by receivers.
type Streams interface {
	CreateStream(ctx context.Context, s *client.Stream, events ...event.Event) error
	UpdateStream(ctx context.Context, id string, change func(*client.Stream) ([]event.Event, error)) (*client.Stream, error)
	DeleteStream(ctx context.Context, id string, events ...event.Event) error
}

// Polling is what waits for a receiver to fetch it.
type Polling interface {
	Polled(ctx context.Context, stream string, n int, now time.Time) (items []event.Item, more bool, err error)
	Acked(ctx context.Context, stream string, ids []string) (int64, error)
	Refused(ctx context.Context, stream string, ids []string, class string, now time.Time) (int64, error)
}

// Signing keeps the keys that security event tokens are signed with.
type Signing interface {
	SigningKeys(ctx context.Context, purpose string) ([]keyring.SigningKey, error)
	EnsureSigning(ctx context.Context, purpose, alg string, now time.Time) error
}

// Keys makes names by which a receiver knows people and nobody else does.
type Keys interface {
	Hash(purpose string, parts ...string) []byte
}

// Service tells receivers what happened. Safe for concurrent use.
type Service struct {
	Config
	base  string // without a slash at its end
	lines lines
}

// New returns a service.
func New(c Config) (*Service, error) {
	if c.Base == "" || c.Store == nil || c.Signing == nil || c.Keys == nil || c.HTTP == nil || c.Now == nil {
		return nil, errors.New("signal: want base, store, signing, keys, an HTTP client and a clock")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{Config: c, base: strings.TrimSuffix(c.Base, "/")}, nil
}
