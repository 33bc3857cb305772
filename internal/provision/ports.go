package provision

import (
	"context"
	"errors"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/pkg/scim"
)

// Store is everything provisioning keeps. All methods may be called concurrently. Where a connector is named, what another
// one brought is fault.NotFound. A value that is taken is a *scim.ConflictError that names the attribute.
type Store interface {
	People
	Groups
	Methods
	Connectors
	Roles
	Requests
}

// People keeps people with their methods. Closures run on the current row, may run more than once, have no side effects
// and ask the store nothing; an error of theirs ends the call, wrapped, with nothing changed.
type People interface {
	CreatePerson(ctx context.Context, p *account.Person, methods []method.Method, events ...event.Event) error
	// UpdatePerson writes what differs after change, methods matched by id, in one commit with the events. A person left as
	// they were keep their version.
	UpdatePerson(ctx context.Context, id, connector string, change func(*account.Person, *[]method.Method) ([]event.Event, error)) (*account.Person, error)
	// DeletePerson returns fault.Conflict when expectVersion is neither 0 nor the current version.
	DeletePerson(ctx context.Context, id, connector string, expectVersion int64, events ...event.Event) error
	// ApplyPeople does several writes in one commit, one after the other, each whole or not at all.
	ApplyPeople(ctx context.Context, connector string, writes []account.PersonWrite) []account.PersonResult
	PersonOf(ctx context.Context, id, connector string) (*account.Person, error)
	// KnownPerson and ListKnown read a person, and a page of people, with what is wanted beside the rows.
	KnownPerson(ctx context.Context, id, connector string, want account.Beside) (*account.Known, error)
	ListKnown(ctx context.Context, connector string, q *scim.Query, want account.Beside) (List[*account.Known], error)
	ListPeople(ctx context.Context, connector string, q *scim.Query) (List[*account.Person], error)
	// SeenBefore reports whether the user name key, or the connector's external id, was deleted or given up since then.
	SeenBefore(ctx context.Context, connector, externalID, userNameKey string, since time.Time) (bool, error)
	Memberships(ctx context.Context, person string) ([]account.Membership, error)
}

// Groups keeps groups. Their members are never loaded to be changed.
type Groups interface {
	CreateGroup(ctx context.Context, g *account.Group, members []Member, events ...event.Event) error
	// UpdateGroup applies a change and what it says of the members in one commit; when nothing differs and no member moved
	// the group keeps its version and no event is written.
	UpdateGroup(ctx context.Context, id, connector string, change func(*account.Group) ([]event.Event, *MemberChange, error)) (*account.Group, error)
	DeleteGroup(ctx context.Context, id, connector string, expectVersion int64, events ...event.Event) error
	Group(ctx context.Context, id, connector string) (*account.Group, error)
	ListGroups(ctx context.Context, connector string, q *scim.Query) (List[*account.Group], error)
	// MembersOf returns at most limit members in order of id, after the given one.
	MembersOf(ctx context.Context, group, after string, limit int) ([]Member, error)
	// Missing returns those of ids that name nothing of a kind, User or Group, that the connector brought.
	Missing(ctx context.Context, connector, kind string, ids []string) ([]string, error)
	// GroupsOf returns the groups a person or a group is in, directly or through others, in order of id.
	GroupsOf(ctx context.Context, member string) ([]GroupOf, error)
}

// Methods answers about methods; they are changed with their person.
type Methods interface {
	Methods(ctx context.Context, person string) ([]method.Method, error)
	MethodOf(ctx context.Context, id, connector string) (*method.Method, error)
	// ListMethods leaves out removed ones.
	ListMethods(ctx context.Context, connector string, q *scim.Query) (List[method.Owned], error)
	// KnownDestination reports whether the person had the destination at that time.
	KnownDestination(ctx context.Context, person string, hash []byte, before time.Time) (bool, error)
	// DestinationUses counts the people who have the destination now.
	DestinationUses(ctx context.Context, hash []byte) (int, error)
}

// Connectors knows who may call.
type Connectors interface {
	// ConnectorByToken returns nil when no live token has that hash.
	ConnectorByToken(ctx context.Context, hash []byte, now time.Time) (*client.Connector, error)
	// TokenOwner returns the id of the connector that a token is or was of, while that is known; "" when it is not.
	TokenOwner(ctx context.Context, hash []byte) (string, error)
	// NoteHeard writes down the last request of a connector, and with bad that it failed; connector "" is nobody's.
	NoteHeard(ctx context.Context, connector, what string, status int, bad bool, now time.Time) error
}

// Roles knows which groups make people staff.
type Roles interface {
	RoleRules(ctx context.Context) ([]staff.Rule, error)
	// Record writes facts that come with no other change.
	Record(ctx context.Context, events ...event.Event) error
}

// Requests keeps what connectors want to be answered later.
type Requests interface {
	// KeepRequest gives the request an id, and brings work of kind Kind with it. fault.Limited when too much waits.
	KeepRequest(ctx context.Context, q *client.Request) error
	// Request returns nil when there is none any more, and whether it is the first in its connector's line.
	Request(ctx context.Context, id string) (q *client.Request, first bool, err error)
	FailRequest(ctx context.Context, id string) error
	// FinishRequest makes the next one in the line due.
	FinishRequest(ctx context.Context, q *client.Request, now time.Time) error
	// RecordAnswer writes nothing when there is an event of that id.
	RecordAnswer(ctx context.Context, e event.Event) error
	Event(ctx context.Context, id string) (event.Event, error)
	// ConnectorByID returns nil when there is none any more.
	ConnectorByID(ctx context.Context, id string) (*client.Connector, error)
}

// Member is one member of a group.
type Member = account.Member

// MemberChange says what becomes of a group's members.
type MemberChange = account.MemberChange

// GroupOf is a group somebody is in.
type GroupOf = account.GroupOf

// List is a page of rows.
type List[T any] = scim.Rows[T]

// answer turns an error of the store into one the engine answers with. What it does not know stays as it is: logged, and a
// bare 500.
func answer(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*scim.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*scim.ConflictError](err); ok {
		return err
	}
	switch kind, _ := fault.Read(err); kind {
	case fault.NotFound:
		return scim.ErrNotFound
	case fault.Invalid:
		return &scim.Error{Status: 400, Type: "invalidValue", Detail: "a value cannot be stored", Cause: err}
	case fault.Conflict, fault.Unavailable:
		return &scim.Error{Status: 503, Detail: "busy; nothing was changed", RetryAfter: time.Second, Cause: err}
	}
	return err
}
