package signal

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

// follower registers a receiver that hears all there is of a feed, of some connectors.
func (w *wire) follower(key string, connectors ...string) *client.Receiver {
	w.t.Helper()
	r := w.receiver(key, client.FormatOpaque)
	return have[*client.Receiver](w.t)(w.store.UpdateReceiver(w.t.Context(), r.Key, func(r *client.Receiver) ([]event.Event, error) {
		r.Events, r.Connectors = append(client.Feeds(), client.SessionRevoked), connectors
		return nil, nil
	}))
}

// feed are the addresses of all events of a feed.
func feed() (all []string) {
	for _, name := range client.Feeds() {
		all = append(all, client.FeedURI(name))
	}
	return all
}

// provisioned writes what a connector does with somebody or a group, with its events.
type provisioned struct {
	*wire
	by string // the connector
}

func (p provisioned) event(t event.Type, subject, group string, pairs ...any) event.Event {
	p.clock.pass(time.Second)
	e := event.New(p.clock.now(), t, "connector:"+p.by, subject, "", event.Success)
	if group != "" {
		e = e.With("group", group)
		e.Ref = group
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		e = e.With(pairs[i].(string), pairs[i+1])
	}
	return e
}

func (p provisioned) create(login string) *account.Person {
	p.t.Helper()
	who := &account.Person{ID: uuid.Must(uuid.NewV7()).String(), Connector: p.by, ExternalID: "ext-" + login, UserName: login, Active: true, DisplayName: "canary-" + login,
		Attrs: []byte(`{"userName":"` + login + `","title":"canary-title"}`), Created: p.clock.now(), Updated: p.clock.now()}
	e := p.event(event.PersonCreated, who.ID, "", "active", true, "attributes", []string{"userName", "displayName", "externalId"}, "version", 1)
	if err := p.store.CreatePerson(p.t.Context(), who, nil, e); err != nil {
		p.t.Fatal(err)
	}
	return who
}

func (p provisioned) update(id string, events ...event.Event) {
	p.t.Helper()
	have[*account.Person](p.t)(p.store.UpdatePerson(p.t.Context(), id, p.by, func(a *account.Person, _ *[]method.Method) ([]event.Event, error) {
		a.Updated = a.Updated.Add(time.Microsecond)
		return events, nil
	}))
}

func TestAStrictReceiverTakesEveryEventOfAFeed(t *testing.T) {
	for _, delivery := range []string{methodPush, methodPoll} {
		t.Run(delivery[len(delivery)-4:], func(t *testing.T) {
			w := newWire(t)
			r := w.follower("replica")
			s := w.strict(r, "canary")
			s.line(map[string]any{"order": "begin"}, nil)
			s.line(map[string]any{"order": "token"}, nil)
			var st document
			s.line(map[string]any{"order": "create", "method": delivery, "events": feed()}, &st)

			p := provisioned{w, "c1"}
			eve := p.create("eve")
			p.update(eve.ID, p.event(event.PersonUpdated, eve.ID, "", "attributes", []string{"title", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"}, "by", "PATCH", "version", 2))
			p.update(eve.ID, p.event(event.PersonUpdated, eve.ID, "", "attributes", []string{"title"}, "by", "PUT", "version", 3))
			p.update(eve.ID, p.event(event.PersonDeactivated, eve.ID, ""))
			p.update(eve.ID, p.event(event.PersonReactivated, eve.ID, ""))
			group := uuid.Must(uuid.NewV7()).String()
			must(t, w.store.CreateGroup(t.Context(), &account.Group{ID: group, Connector: "c1", ExternalID: "ext-group", DisplayName: "canary-group", Created: w.clock.now(), Updated: w.clock.now()}, nil,
				p.event(event.GroupCreated, "", group, "members", 0, "attributes", []string{"displayName"}, "version", 1)))
			must(t, w.store.Record(t.Context(), p.event(event.GroupUpdated, "", group, "added", 1, "removed", 0, "replaced", false, "by", "PATCH", "version", 2)))
			must(t, w.store.Record(t.Context(), p.event(event.GroupDeleted, "", group)))
			done := p.event(event.RequestAnswered, eve.ID, "", "method", "PATCH", "status", 200, "resource", "User", "id", eve.ID, "version", `W/"5"`).Sealed("bulkId", "b1")
			done.Txn = "019dbb30-5d7e-7001-8d3c-000000000001:0"
			must(t, w.store.Record(t.Context(), done))
			failed := p.event(event.RequestAnswered, "", "", "method", "POST", "status", 409, "resource", "User").Sealed("path", "/Users").
				Sealed("response", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"userName: the value is taken"}`)
			failed.Outcome, failed.Txn = event.Failure, "019dbb30-5d7e-7001-8d3c-000000000001:1"
			must(t, w.store.Record(t.Context(), failed))
			must(t, w.store.DeletePerson(t.Context(), eve.ID, "c1", 0, p.event(event.PersonDeleted, eve.ID, "")))

			s.line(map[string]any{"order": "now", "now": w.clock.now().Unix()}, nil)
			w.deliver()
			if delivery == methodPoll {
				var fetched int
				s.line(map[string]any{"order": "poll", "stream": st.ID, "most": 3}, &fetched)
			}
			s.unbroken()
			user, grp := map[string]any{"format": "scim", "uri": "/Users/" + eve.ID}, map[string]any{"format": "scim", "uri": "/Groups/" + group}
			want := []struct {
				name    string
				subject map[string]any
				event   map[string]any
			}{
				{"prov:create:notice", user, map[string]any{"attributes": []any{"id", "userName", "displayName", "externalId", "active"}, "version": `W/"1"`}},
				{"prov:patch:notice", user, map[string]any{"attributes": []any{"title", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"}, "version": `W/"2"`}},
				{"prov:put:notice", user, map[string]any{"attributes": []any{"title"}, "version": `W/"3"`}},
				{"prov:deactivate", user, map[string]any{}}, {"prov:activate", user, map[string]any{}}, {"prov:delete", user, map[string]any{}},
				{"prov:create:notice", grp, map[string]any{"attributes": []any{"id", "displayName"}, "version": `W/"1"`}},
				{"prov:patch:notice", grp, map[string]any{"attributes": []any{"members"}, "version": `W/"2"`}}, {"prov:delete", grp, map[string]any{}},
				{"misc:asyncresp", user, map[string]any{"method": "PATCH", "status": "200", "bulkId": "b1", "version": `W/"5"`, "location": w.base + "/scim/v2/Users/" + eve.ID}},
				{"misc:asyncresp", map[string]any{"format": "scim", "uri": "/Users"}, map[string]any{"method": "POST", "status": "409", "response": map[string]any{
					"schemas": []any{"urn:ietf:params:scim:api:messages:2.0:Error"}, "status": "409", "scimType": "uniqueness", "detail": "userName: the value is taken"}}},
			}
			got := s.events(st.ID)
			if len(got) != len(want) {
				t.Errorf("got %v, want %d events", types(got), len(want))
			}
			order := map[string][]string{}
			for _, e := range got {
				uri := fmt.Sprint(e.Subject["uri"])
				order[uri] = append(order[uri], strings.TrimPrefix(e.Type, client.FeedURI("")))
				i := slices.IndexFunc(want, func(x struct {
					name           string
					subject, event map[string]any
				}) bool {
					// Nobody is left to ask for the externalId of one that is deleted, whichever event tells of them.
					return client.FeedURI(x.name) == e.Type && x.subject["uri"] == uri && reflect.DeepEqual(x.event, e.Event)
				})
				if i < 0 {
					t.Errorf("came and was not to: %s %v %v", e.Type, e.Subject, e.Event)
					continue
				}
				want = slices.Delete(want, i, i+1)
				if e.Type == client.FeedURI(client.FeedAnswer) && !strings.HasPrefix(e.Txn, "019dbb30-5d7e-7001-8d3c-000000000001:") {
					t.Errorf("txn %q", e.Txn)
				}
			}
			if len(want) > 0 {
				t.Errorf("did not come: %v", want)
			}
			if o := order["/Groups/"+group]; !slices.Equal(o, []string{"prov:create:notice", "prov:patch:notice", "prov:delete"}) {
				t.Errorf("of the group: %v", o)
			}
			if o := slices.DeleteFunc(order["/Users/"+eve.ID], func(n string) bool { return n == client.FeedAnswer }); !slices.Equal(o,
				[]string{"prov:create:notice", "prov:patch:notice", "prov:put:notice", "prov:deactivate", "prov:activate", "prov:delete"}) {
				t.Errorf("of the person: %v", o)
			}
		})
	}
}

// stream makes a stream of a receiver that hears the events of these addresses.
func (w *wire) stream(r *client.Receiver, profile string, requested ...string) *client.Stream {
	w.t.Helper()
	st := &client.Stream{Receiver: r.ID, Delivery: client.DeliverPoll, Requested: requested, Profile: profile, Status: client.StreamEnabled, Created: w.clock.now(), Updated: w.clock.now()}
	must(w.t, w.store.CreateStream(w.t.Context(), st))
	return st
}

// fetched are the names of what waits for a stream, which is taken away.
func (w *wire) fetched(st *client.Stream) (all []string) {
	w.t.Helper()
	w.work()
	items, _, err := w.store.Polled(w.t.Context(), st.ID, 100, w.clock.now())
	must(w.t, err)
	var ids []string
	for _, i := range items {
		_, name, _ := parseRef(i.Ref)
		all, ids = append(all, name), append(ids, i.ID)
	}
	have[int64](w.t)(w.store.Acked(w.t.Context(), st.ID, ids))
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFeedIsHeardByWhoeverAskedForItAndMay(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWire(t, kind)
			all, one, two := w.follower("all"), w.follower("one", "c1"), w.follower("two", "c2")
			plain := w.receiver("plain", client.FormatOpaque) // hears all there is, and no feed
			streams := map[string]*client.Stream{
				"all": w.stream(all, "", feed()...), "one": w.stream(one, "", feed()...), "two": w.stream(two, "", feed()...), "plain": w.stream(plain, "", feed()...),
				"unasked": w.stream(all, ""), "older": w.stream(all, client.ProfileSSE, feed()...), "some": w.stream(all, "", client.FeedURI(client.FeedDelete)),
			}
			hear := func(what string, want map[string][]string) {
				t.Helper()
				for name, st := range streams {
					if got := w.fetched(st); !slices.Equal(got, want[name]) {
						t.Errorf("%s: %s heard %v, want %v", what, name, got, want[name])
					}
				}
			}
			p, q := provisioned{w, "c1"}, provisioned{w, "c2"}
			eve := p.create("eve")
			hear("created", map[string][]string{"all": {"prov:create:notice"}, "one": {"prov:create:notice"}})
			bob := q.create("bob")
			hear("created by another", map[string][]string{"all": {"prov:create:notice"}, "two": {"prov:create:notice"}})
			// Staff who disable somebody are no connector: whose the person is decides.
			off := event.New(w.clock.now(), event.PersonDeactivated, "cli:root", eve.ID, "", event.Success)
			p.update(eve.ID, off)
			hear("disabled by staff", map[string][]string{"all": {"prov:deactivate"}, "one": {"prov:deactivate"}, "plain": nil, "unasked": {"session-revoked"}, "older": nil})
			// A stream that is not to hear of somebody does not, to the end.
			must(t, w.store.RemoveSubject(t.Context(), streams["all"].ID, bob.ID, w.clock.now()))
			q.update(bob.ID, q.event(event.PersonUpdated, bob.ID, "", "attributes", []string{"title"}, "by", "PUT", "version", 2))
			hear("not to be heard of", map[string][]string{"two": {"prov:put:notice"}})
			must(t, w.store.DeletePerson(t.Context(), bob.ID, "c2", 0, q.event(event.PersonDeleted, bob.ID, "")))
			hear("deleted", map[string][]string{"two": {"prov:delete"}, "some": {"prov:delete"}})
			failed := p.event(event.RequestAnswered, "", "", "method", "POST", "status", 409, "resource", "User")
			failed.Outcome = event.Failure
			must(t, w.store.Record(t.Context(), failed))
			hear("answered", map[string][]string{"all": {"misc:asyncresp"}, "one": {"misc:asyncresp"}})
			have[*client.Receiver](t)(w.store.UpdateReceiver(t.Context(), "one", func(r *client.Receiver) ([]event.Event, error) {
				r.Disabled = true
				return nil, nil
			}))
			p.update(eve.ID, p.event(event.PersonReactivated, eve.ID, ""))
			hear("with one disabled", map[string][]string{"all": {"prov:activate"}})
		})
	}
}

func TestAFeedIsNoWorkWhereNobodyFollows(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWire(t, kind)
			w.receiver("plain", client.FormatOpaque)
			waits := func() (n int) {
				for _, l := range have[[]store.Load](t)(w.store.Backlog(t.Context(), w.clock.now())) {
					n += l.Due
				}
				return n
			}
			before := waits()
			p := provisioned{w, "c1"}
			p.create("eve")
			if n := waits() - before; n != 0 {
				t.Errorf("%d rows of work", n)
			}
			r := w.follower("all")
			p.create("bob")
			if n := waits() - before; n != 1 {
				t.Errorf("%d rows of work, want 1", n)
			}
			have[*client.Receiver](t)(w.store.UpdateReceiver(t.Context(), r.Key, func(r *client.Receiver) ([]event.Event, error) {
				r.Events, r.Connectors = nil, nil
				return nil, nil
			}))
			p.create("joe")
			if n := waits() - before; n != 1 {
				t.Errorf("%d rows of work after it follows no more, want 1", n)
			}
		})
	}
}

func TestWhatHappensToAGroupIsToldInOrder(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWire(t, kind)
			st := w.stream(w.follower("all"), "", feed()...)
			p, group := provisioned{w, "c1"}, uuid.Must(uuid.NewV7()).String()
			var events []event.Event
			for _, what := range []event.Type{event.GroupCreated, event.GroupUpdated} {
				e := p.event(what, "", group, "attributes", []string{"displayName"})
				must(t, w.store.Record(t.Context(), e))
				events = append(events, e)
			}
			must(t, w.store.Record(t.Context(), p.event(event.GroupCreated, "", uuid.Must(uuid.NewV7()).String()))) // another one keeps nobody waiting
			turn := func(e event.Event) error {
				err := w.svc.turn(t.Context(), event.Item{ID: e.ID, Event: e.ID}, st.ID)
				if err == nil {
					w.svc.lines.give(st.ID)
				}
				return err
			}
			late := func(err error) bool { l, ok := err.(event.Later); return ok && l.Class == "in-order" }
			if err := turn(events[1]); !late(err) { // what came before is not even expanded
				t.Errorf("the second, with the first not expanded: %v", err)
			}
			w.work()
			if first, second := turn(events[0]), turn(events[1]); first != nil || !late(second) {
				t.Errorf("the first %v, the second %v", first, second)
			}
			w.fetched(st)
			if err := turn(events[1]); err != nil {
				t.Errorf("the second, once the first has arrived: %v", err)
			}
		})
	}
}
