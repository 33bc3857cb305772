package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/web"
)

// Door is who lets people in: signin.Door.
type Door interface {
	In(h Handler) web.Handler
	Session(r *web.Request) (*session.Session, error)
	StepUp(r *web.Request, s *session.Session, to string, want ...string) (web.Page, error)
	Begin(r *web.Request, f session.Flow) (web.Page, error)
}

// Handler answers a request of somebody who is signed in.
type Handler = func(*web.Request, *session.Session) (web.Page, error)

// Finder answers what was typed into the box.
type Finder interface {
	FindPeople(ctx context.Context, text string, n int) (found []*account.Person, more bool, err error)
	PeopleByEnding(ctx context.Context, digits string, n int) (found []*account.Person, more bool, err error)
	AttemptByReference(ctx context.Context, reference string) (*reset.Attempt, error)
}

// Reader reads what a room shows.
type Reader interface {
	Person(ctx context.Context, id string) (*account.Person, error)
	Attempt(ctx context.Context, id string) (*reset.Attempt, error)
	GroupsOf(ctx context.Context, person string) ([]account.GroupOf, error)
	SessionsOf(ctx context.Context, person string, now time.Time) ([]session.Session, error)
	EventsOf(ctx context.Context, subject, before string, n int) ([]event.Event, error)
	EventsIn(ctx context.Context, txn string) ([]event.Event, error)
}

// Names turns ids into what people call them.
type Names interface {
	ConnectorNames(ctx context.Context) (map[string]string, error)
	NamesOf(ctx context.Context, people []string) (map[string]string, error)
}

// Apps are the apps that send people here, or that people may go back to, as they are now: who disables one sees at once
// that it is.
type Apps interface {
	Apps(ctx context.Context) ([]client.App, error)
	App(ctx context.Context, key string) (*client.App, error)
	UpdateApp(ctx context.Context, key string, change func(*client.App) ([]event.Event, error)) (*client.App, error)
}

// Receivers are the systems that hear what happened.
type Receivers interface {
	Receivers(ctx context.Context) ([]client.Receiver, error)
	Receiver(ctx context.Context, key string) (*client.Receiver, error)
	UpdateReceiver(ctx context.Context, key string, change func(*client.Receiver) ([]event.Event, error)) (*client.Receiver, error)
	StreamsOf(ctx context.Context, receiver string) ([]client.Stream, error)
	// Health returns how deliveries to receivers or streams went of late, in the order asked for.
	Health(ctx context.Context, clients ...string) ([]client.Health, error)
}

// Connectors are the identity providers that provision people, and the brake on each.
type Connectors interface {
	Connectors(ctx context.Context) ([]client.Connector, error)
	ConnectorByName(ctx context.Context, name string) (*client.Connector, error)
	CreateConnector(ctx context.Context, c *client.Connector, events ...event.Event) error
	UpdateConnector(ctx context.Context, id string, change func(*client.Connector) ([]event.Event, error)) (*client.Connector, error)
	// AllHeard returns what was last heard of connectors, by their ids; under "" of whoever came with a secret that is nobody's.
	AllHeard(ctx context.Context) (map[string]client.LastHeard, error)
	// Brake returns how many people left of late, and how many of each wave can be brought back.
	Brake(ctx context.Context, connector string) (b client.Brake, held map[string]int, err error)
	// Undo brings them back; one that was broken off goes on when it is asked for again.
	Undo(ctx context.Context, connector, wave, actor string, now time.Time) (client.Undone, error)
}

// Store is everything the rooms ask for.
type Store interface {
	Finder
	Reader
	Names
	Receivers
	Connectors
	// KeepStaff notes that a page for staff is about to be shown in a session, and reports whether it may be.
	KeepStaff(ctx context.Context, session string, now time.Time) (bool, error)
	// UpdatePerson runs change on a person and their methods and commits them with the events. fault.NotFound.
	UpdatePerson(ctx context.Context, id, connector string, change func(*account.Person, *[]method.Method) ([]event.Event, error)) (*account.Person, error)
	// Record writes facts that come with no other change.
	Record(ctx context.Context, events ...event.Event) error
}

// Judge says whether somebody could reset now: reset.Service.
type Judge interface {
	Readiness(ctx context.Context, p *account.Person, action policy.Action) (*reset.Readiness, error)
}

// Teller tells receivers what happened: signal.Service.
type Teller interface {
	// Test sends a receiver a test, signed like everything else.
	Test(ctx context.Context, receiver string) error
}

// Keys makes keys of buckets.
type Keys interface {
	Hash(purpose string, parts ...string) []byte
}

// Config is what the rooms need. Every field but Teller and Rules is.
type Config struct {
	Base   string // public base URL without path
	Door   Door
	Staff  *staff.Service
	Judge  Judge
	Store  Store
	Apps   Apps
	Teller Teller // nil: receivers cannot be tested from here
	Limits limit.Spender
	Keys   Keys
	Hash   func(token string) []byte // of the link of an invitation; nil when it is none of ours
	Now    func() time.Time
	// Rules tells how far the server bends to a connector, rule by rule; nil: that cannot be changed from here.
	Rules func(*client.Connector) []Rule
}

// The paths.
const (
	PathSearch     = "/console"
	PathPeople     = "/console/people/"    // and an id
	PathAttempts   = "/console/attempts/"  // and a reference
	PathApps       = "/console/apps"       // alone, or with a key, and with what is to be done
	PathReceivers  = "/console/receivers"  // likewise
	PathConnectors = "/console/connectors" // likewise; a name is the key
	PathInvite     = "/console/invite"
	PathBegin      = "/console/invite/begin"
)

// How often one member of staff may ask, and be refused.
const (
	maxSearches = 120
	maxLooks    = 60
	maxChanges  = 30 // of apps, receivers and connectors, and of what providers said of people
	maxTests    = 10
	inTime      = 10 * time.Minute
	maxRefusals = 6 // are written down in an hour; the page comes always
)

// rooms are the handlers.
type rooms struct{ Config }

// member is somebody whom the door let in and who has a role.
type member struct {
	*session.Session
	Role staff.Role
}

// room is one page. Least is the role it needs; a room without one judges by itself who may enter.
type room struct {
	method, path string
	least        staff.Role
	staff        func(*web.Request, *member) (web.Page, error)
	open         web.Handler
}

// rooms lists every page there is. A test walks it.
func (c *rooms) all() []room {
	get, post := http.MethodGet, http.MethodPost
	return []room{
		{method: get, path: PathSearch, least: staff.Helpdesk, staff: c.search},
		{method: post, path: PathSearch, least: staff.Helpdesk, staff: c.find},
		{method: get, path: PathPeople + "{id}", least: staff.Helpdesk, staff: c.person},
		{method: post, path: PathPeople + "{id}/alert/confirm", least: staff.Helpdesk, staff: c.judgeAlert(true)},
		{method: post, path: PathPeople + "{id}/alert/lift", least: staff.Helpdesk, staff: c.judgeAlert(false)},
		{method: get, path: PathAttempts + "{reference}", least: staff.Helpdesk, staff: c.attempt},
		{method: get, path: PathApps, least: staff.Administrator, staff: c.apps},
		{method: get, path: PathApps + "/{key}", least: staff.Administrator, staff: c.app},
		{method: post, path: PathApps + "/{key}/disable", least: staff.Administrator, staff: c.changing(PathApps, c.disableApp(true))},
		{method: post, path: PathApps + "/{key}/enable", least: staff.Administrator, staff: c.changing(PathApps, c.disableApp(false))},
		{method: post, path: PathApps + "/{key}/rotate", least: staff.Administrator, staff: c.changing(PathApps, c.rotateApp)},
		{method: get, path: PathReceivers, least: staff.Administrator, staff: c.receivers},
		{method: get, path: PathReceivers + "/{key}", least: staff.Administrator, staff: c.receiver},
		{method: post, path: PathReceivers + "/{key}/disable", least: staff.Administrator, staff: c.changing(PathReceivers, c.disableReceiver(true))},
		{method: post, path: PathReceivers + "/{key}/enable", least: staff.Administrator, staff: c.changing(PathReceivers, c.disableReceiver(false))},
		{method: post, path: PathReceivers + "/{key}/rotate", least: staff.Administrator, staff: c.changing(PathReceivers, c.rotateReceiver)},
		{method: post, path: PathReceivers + "/{key}/test", least: staff.Administrator, staff: c.testReceiver},
		{method: get, path: PathConnectors, least: staff.Administrator, staff: c.connectors},
		{method: post, path: PathConnectors, least: staff.Administrator, staff: c.connect},
		{method: get, path: PathConnectors + "/{key}", least: staff.Administrator, staff: c.connector},
		{method: post, path: PathConnectors + "/{key}/rotate", least: staff.Administrator, staff: c.changing(PathConnectors, c.rotateConnector, lifeField)},
		{method: post, path: PathConnectors + "/{key}/bend", least: staff.Administrator, staff: c.changing(PathConnectors, c.bendConnector, c.ruleFields()...)},
		{method: post, path: PathConnectors + "/{key}/undo", least: staff.Administrator, staff: c.changing(PathConnectors, c.undoConnector)},
		{method: get, path: PathInvite, open: c.invite},
		{method: post, path: PathInvite, open: c.redeem},
		{method: get, path: PathBegin, open: c.begin},
	}
}

// Mount adds every room to the site, or says what is missing.
func Mount(s *web.Site, config Config) error {
	c := &rooms{config}
	if c.Base == "" || c.Door == nil || c.Staff == nil || c.Judge == nil || c.Store == nil || c.Apps == nil || c.Limits == nil || c.Keys == nil || c.Hash == nil || c.Now == nil {
		return errors.New("console: base, door, staff, judge, store, apps, limits, keys, hash and now are needed")
	}
	for _, r := range c.all() {
		h := r.open
		if h == nil {
			h = c.enter(r.least, r.staff)
		}
		s.Handle(r.method, r.path, h)
	}
	return nil
}

// enter is the one place where a room is opened: for somebody signed in, with the role, with a step-up, who used a room in
// the last minutes. A stranger is sent to sign in, who left their desk for too long to step up again.
func (c *rooms) enter(least staff.Role, h func(*web.Request, *member) (web.Page, error)) web.Handler {
	return c.Door.In(func(r *web.Request, s *session.Session) (web.Page, error) {
		role, err := c.Staff.Role(r.Context(), s)
		if err != nil {
			return web.Page{}, err
		}
		if !role.Covers(least) {
			return c.refused(r, s)
		}
		kept, err := c.Store.KeepStaff(r.Context(), s.ID, c.Now())
		if err != nil {
			return web.Page{}, err
		}
		if !kept {
			return c.Door.StepUp(r, s, r.URL.Path)
		}
		page, err := h(r, &member{s, role})
		if err != nil || page.Goto != "" {
			return page, err
		}
		page.Frame, err = c.frame(r.Context(), s)
		if err == nil {
			page.Frame.Rooms = beside(role, r.URL.Path)
		}
		return page, err
	})
}

// frame says who is signed in.
func (c *rooms) frame(ctx context.Context, s *session.Session) (*web.Frame, error) {
	p, err := c.Store.Person(ctx, s.Person)
	if err != nil || p == nil {
		return &web.Frame{}, err
	}
	return &web.Frame{Name: p.Name()}, nil
}

// beside are the rooms that somebody with a role may go to, and which of them a path is in.
func beside(role staff.Role, path string) []web.Room {
	in := func(at string) bool { return path == at || strings.HasPrefix(path, at+"/") }
	apps, receivers, connectors := in(PathApps), in(PathReceivers), in(PathConnectors)
	all := []web.Room{{Path: PathSearch, Icon: "search", Text: message.Key("console.room.search"), Here: !apps && !receivers && !connectors}}
	if role.Covers(staff.Administrator) {
		all = append(all,
			web.Room{Path: PathApps, Icon: "monitor", Text: message.Key("console.room.apps"), Here: apps},
			web.Room{Path: PathReceivers, Icon: "message-square", Text: message.Key("console.room.receivers"), Here: receivers},
			web.Room{Path: PathConnectors, Icon: "users", Text: message.Key("console.room.connectors"), Here: connectors})
	}
	return all
}

// refused tells somebody without a role so, with what could help their administrator: the names of the claims that came,
// never their values.
func (c *rooms) refused(r *web.Request, s *session.Session) (web.Page, error) {
	now := c.Now()
	ok, _, err := c.Limits.Spend(r.Context(), now, c.bucket("console/refused", s.Person, maxRefusals, time.Hour))
	if err == nil && ok {
		err = c.Store.Record(r.Context(), event.New(now, event.StaffRefused, "person:"+s.Person, s.Person, s.ID, event.Failure).
			With("idp", s.IDP).With("claims", s.Claims[:min(len(s.Claims), maxClaims)]))
	}
	if err != nil {
		return web.Page{}, err
	}
	page := RefusedPage{Claims: s.Claims}.Page()
	page.Frame, err = c.frame(r.Context(), s)
	return page, err
}

// maxClaims is how many names of claims are written down or shown.
const maxClaims = 50

func (c *rooms) bucket(purpose, who string, burst int, per time.Duration) limit.Bucket {
	return limit.Bucket{Key: c.Keys.Hash(purpose, who), Burst: burst, Per: per}
}

// spend counts what a member of staff does, whatever comes of it.
func (c *rooms) spend(r *web.Request, m *member, purpose string, most int) error {
	ok, retry, err := c.Limits.Spend(r.Context(), c.Now(), c.bucket(purpose, m.Person, most, inTime))
	if err != nil {
		return err
	}
	if !ok {
		return web.Limited(retry)
	}
	return nil
}
