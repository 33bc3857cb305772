package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// digest is 32 bytes that stand for the hash of something.
func digest(of string) []byte { return []byte(fmt.Sprintf("%-32.32s", of)) }

// known is a person in the store.
func known(t *testing.T, s *store.Store) *account.Person {
	t.Helper()
	p := ada("c1")
	p.UserName, p.ExternalID = "ada-"+p.ID, "ext-"+p.ID
	must(t, s.CreatePerson(t.Context(), p, nil))
	return p
}

// binding ties a person to the account of their own id.
func binding(p *account.Person) *session.Binding {
	return &session.Binding{IDP: "work", Key: "key-" + p.ID, Person: p.ID, Issuer: "https://op.example", Subject: "sub-" + p.ID, Made: noon}
}

// visit is a session as a sign-in makes it.
func visit(p *account.Person) *session.Session {
	v := &session.Session{
		ID: id(), IDP: "work", Issuer: "https://op.example", Subject: "sub-" + p.ID, ACR: "mfa", AMR: []string{"pwd", "otp"}, AuthTime: noon.Add(-time.Minute), StepUp: noon.Add(-time.Minute),
		Network: "192.0.2.0/24", Agent: "Firefox", IDToken: "ey.canary-token", Roles: []session.RoleClaim{{Claim: "groups", Value: "canary-role"}}, Claims: []string{"groups", "sub"},
		Started: noon, Seen: noon, Expires: noon.Add(session.Life),
	}
	v.Hash, v.SID = digest(v.ID), "sid-"+v.ID
	return v
}

// arrived signs a person in.
func arrived(t *testing.T, s *store.Store, p *account.Person) *session.Session {
	t.Helper()
	return ok[*session.Session](t)(s.Arrive(t.Context(), p.ID, binding(p), "", func(*account.Person) (*session.Session, []event.Event, error) {
		v := visit(p)
		return v, []event.Event{event.New(noon, event.SessionStarted, "person:"+p.ID, p.ID, v.ID, event.Success)}, nil
	}))
}

// epochMoves ends whatever a person has open, as a reset does.
func epochMoves(t *testing.T, s *store.Store, p *account.Person) {
	t.Helper()
	ok[*account.Person](t)(s.UpdatePerson(t.Context(), p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) { p.Epoch++; return nil, nil }))
}

func TestASessionReadsAsItWasMadeAndHoldsNothingPersonalInClear(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		v := arrived(t, s, p)
		want := visit(p)
		want.ID, want.Hash, want.SID, want.Version, want.Person, want.Epoch, want.LiveEpoch, want.LiveActive = v.ID, v.Hash, v.SID, 1, p.ID, 1, 1, true
		same(t, "made", v, want)
		same(t, "by cookie", ok[*session.Session](t)(s.Session(t.Context(), v.Hash)), want)
		same(t, "by id", ok[*session.Session](t)(s.SessionByID(t.Context(), v.ID)), want)
		same(t, "of the person", ok[[]session.Session](t)(s.SessionsOf(t.Context(), p.ID, noon)), []session.Session{*want})
		same(t, "tie", ok[*session.Binding](t)(s.Binding(t.Context(), "work", "key-"+p.ID)), binding(p))
		if !v.Alive(noon) {
			t.Error("a new session is not alive")
		}
		for what, none := range map[string]func() (*session.Session, error){
			"another cookie": func() (*session.Session, error) { return s.Session(t.Context(), digest("other")) },
			"no cookie":      func() (*session.Session, error) { return s.Session(t.Context(), nil) },
			"another id":     func() (*session.Session, error) { return s.SessionByID(t.Context(), "\xff") },
		} {
			if got, err := none(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
		for _, secret := range []string{"192.0.2.0", "Firefox", "canary"} {
			count(t, s, 0, `SELECT count(*) FROM sessions WHERE `+holds(s, "sealed"), secret)
		}
	})
}

// holds is a condition on a column of bytes that holds the text of the first argument.
func holds(s *store.Store, column string) string {
	if s.Kind() == store.PostgreSQL {
		return `position(convert_to($1, 'UTF8') IN ` + column + `) > 0`
	}
	return `instr(` + column + `, CAST($1 AS BLOB)) > 0`
}

func TestASessionIsOverWhenItsPersonsEpochMovesOnAnyReplica(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		c := store.Config{URL: storetest.URL(t, kind), Ring: storetest.Ring()}
		here := storetest.OpenConfig(t, c)
		there := here
		if kind == store.PostgreSQL {
			there = storetest.OpenConfig(t, c)
		}
		for name, end := range map[string]func(p *account.Person) error{
			"reset": func(p *account.Person) error {
				_, err := there.UpdatePerson(t.Context(), p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) { p.Epoch++; return nil, nil })
				return err
			},
			"deactivated": func(p *account.Person) error {
				_, err := there.UpdatePerson(t.Context(), p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
					return p.Deactivate("connector:c1", noon), nil
				})
				return err
			},
			"deleted": func(p *account.Person) error { return there.DeletePerson(t.Context(), p.ID, "", 0) },
		} {
			p := known(t, here)
			v := arrived(t, here, p)
			b := browser(p)
			must(t, here.PutBrowser(t.Context(), b))
			must(t, end(p))
			got := ok[*session.Session](t)(here.Session(t.Context(), v.Hash))
			if got.Alive(noon) {
				t.Errorf("%s: the session is alive: %+v", name, got)
			}
			if all := ok[[]session.Session](t)(here.SessionsOf(t.Context(), p.ID, noon)); len(all) != 0 {
				t.Errorf("%s: %d sessions", name, len(all))
			}
			if got := ok[*session.Browser](t)(here.BrowserByHash(t.Context(), b.Hash, noon)); got != nil {
				t.Errorf("%s: the browser is trusted: %+v", name, got)
			}
		}
	})
}

func TestASessionOfWhomWasErasedGivesNoRights(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		v := arrived(t, s, p)
		must(t, s.Exec(t.Context(), `DELETE FROM person_keys WHERE person = '`+p.ID+`'`))
		if got := ok[*session.Session](t)(s.Session(t.Context(), v.Hash)); got.Roles != nil || got.IDToken != "" || got.Network != "" {
			t.Errorf("got %+v", got)
		}
		must(t, s.Record(t.Context(), event.New(noon, event.PersonUpdated, "system", p.ID, "", event.Success).Sealed("a", "new key"))) // they are back, with another key
		if got := ok[*session.Session](t)(s.Session(t.Context(), v.Hash)); got.Roles != nil {
			t.Errorf("back again: %+v", got)
		}
		ended := ok[*session.Session](t)(s.UpdateSession(t.Context(), v.ID, func(v *session.Session) ([]event.Event, error) { return v.End("elsewhere", "system", noon), nil }))
		if ended.Ended.IsZero() {
			t.Error("it cannot be ended any more")
		}
	})
}

func TestASessionIsChangedWithItsEventsOrNotAtAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		v := arrived(t, s, p)
		step := noon.Add(time.Hour)
		got := ok[*session.Session](t)(s.UpdateSession(t.Context(), v.ID, func(v *session.Session) ([]event.Event, error) {
			v.StepUp, v.Claims, v.Person, v.Epoch, v.Hash, v.Seen = step, []string{"sub"}, "somebody else", 7, digest("x"), step
			return []event.Event{event.New(noon, event.SessionSteppedUp, "person:"+p.ID, p.ID, v.ID, event.Success)}, nil
		}))
		want := *v
		want.Version, want.StepUp, want.Claims = 2, step, []string{"sub"}
		same(t, "after", got, &want)
		same(t, "read again", ok[*session.Session](t)(s.Session(t.Context(), v.Hash)), &want)
		same(t, "left alone", ok[*session.Session](t)(s.UpdateSession(t.Context(), v.ID, func(v *session.Session) ([]event.Event, error) { return nil, nil })), &want)
		if _, err := s.UpdateSession(t.Context(), v.ID, func(v *session.Session) ([]event.Event, error) {
			v.ACR = "x"
			return nil, fault.New(fault.Denied, text)
		}); !fault.Is(err, fault.Denied) {
			t.Errorf("a change that fails: %v", err)
		}
		same(t, "after failing", ok[*session.Session](t)(s.SessionByID(t.Context(), v.ID)), &want)
		if _, err := s.UpdateSession(t.Context(), id(), nil); !fault.Is(err, fault.NotFound) {
			t.Errorf("none: %v", err)
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'session.stepped_up'`)
	})
}

func TestTheLastUseIsKeptToTheMinuteAndNeverUndone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		v := arrived(t, s, p)
		for after, want := range map[time.Duration]time.Duration{session.SeenEvery - time.Second: 0, session.SeenEvery: session.SeenEvery} {
			fresh := arrived(t, s, known(t, s))
			must(t, s.SeenSession(t.Context(), fresh.ID, noon.Add(after)))
			if got := ok[*session.Session](t)(s.SessionByID(t.Context(), fresh.ID)); !got.Seen.Equal(noon.Add(want)) {
				t.Errorf("after %v: seen at %v", after, got.Seen)
			}
		}
		ok[*session.Session](t)(s.UpdateSession(t.Context(), v.ID, func(v *session.Session) ([]event.Event, error) {
			must(t, s.SeenSession(t.Context(), v.ID, noon.Add(time.Hour)))
			v.ACR = "other"
			return nil, nil
		}))
		if got := ok[*session.Session](t)(s.SessionByID(t.Context(), v.ID)); !got.Seen.Equal(noon.Add(time.Hour)) || got.ACR != "other" {
			t.Errorf("got %+v", got)
		}
		if n := len(ok[[]session.Session](t)(s.SessionsOf(t.Context(), p.ID, noon.Add(time.Hour+session.Idle+session.SeenEvery)))); n != 0 {
			t.Errorf("%d idle sessions are listed", n)
		}
		ok[*session.Session](t)(s.UpdateSession(t.Context(), v.ID, func(v *session.Session) ([]event.Event, error) { return v.End("signed_out", "person:"+p.ID, noon), nil }))
		must(t, s.SeenSession(t.Context(), v.ID, noon.Add(3*time.Hour)))
		if got := ok[*session.Session](t)(s.SessionByID(t.Context(), v.ID)); !got.Seen.Equal(noon.Add(time.Hour)) {
			t.Error("an ended session is used")
		}
	})
}

func TestAProviderEndsOneOfItsSessionsOrAllOfASubject(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, other := known(t, s), known(t, s)
		one, two, three, foreign := arrived(t, s, p), arrived(t, s, p), arrived(t, s, p), arrived(t, s, other)
		end := func(issuer, sid, subject string) int {
			t.Helper()
			return ok[int](t)(s.EndSessions(t.Context(), issuer, sid, subject, "idp", noon))
		}
		for name, n := range map[string]int{
			"another issuer": end("https://evil.example", one.SID, one.Subject), "another sid": end(one.Issuer, "sid", one.Subject),
			"neither": end(one.Issuer, "", ""), "no issuer": end("", one.SID, ""), "no text": end(one.Issuer, "\xff", ""),
		} {
			if n != 0 {
				t.Errorf("%s ends %d", name, n)
			}
		}
		if n := end(one.Issuer, one.SID, one.Subject); n != 1 {
			t.Errorf("by sid: %d ended", n)
		}
		if got := ok[*session.Session](t)(s.SessionByID(t.Context(), one.ID)); got.Alive(noon) || got.Why != "idp" || !got.Ended.Equal(noon) {
			t.Errorf("got %+v", got)
		}
		if n := end(one.Issuer, "", one.Subject); n != 2 {
			t.Errorf("by subject: %d ended", n)
		}
		for _, v := range []*session.Session{two, three} {
			if ok[*session.Session](t)(s.SessionByID(t.Context(), v.ID)).Alive(noon) {
				t.Error("alive")
			}
		}
		if !ok[*session.Session](t)(s.SessionByID(t.Context(), foreign.ID)).Alive(noon) {
			t.Error("somebody else's session ended")
		}
		if n := end(one.Issuer, "", one.Subject); n != 0 {
			t.Errorf("again: %d", n)
		}
		count(t, s, 3, `SELECT count(*) FROM events WHERE type = 'session.ended'`)
	})
}

func TestOfManyWhoEndASessionOneTellsOfIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		v := arrived(t, s, p)
		var ended atomic.Int64
		for _, err := range race(16, func(i int) error {
			if i%2 == 0 {
				n, err := s.EndSessions(t.Context(), v.Issuer, "", v.Subject, "idp", noon)
				ended.Add(int64(n))
				return err
			}
			_, err := s.UpdateSession(t.Context(), v.ID, func(v *session.Session) ([]event.Event, error) { return v.End("signed_out", "person:"+p.ID, noon), nil })
			return err
		}) {
			must(t, err)
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'session.ended'`)
	})
}

func TestAnArrivalReplacesTheSessionBefore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		replace := func(old string) (*session.Session, error) {
			return s.Arrive(t.Context(), p.ID, nil, old, func(*account.Person) (*session.Session, []event.Event, error) {
				return visit(p), nil, nil
			})
		}
		old := arrived(t, s, p)
		fresh := ok[*session.Session](t)(replace(old.ID))
		if got := ok[*session.Session](t)(s.Session(t.Context(), old.Hash)); got.Alive(noon) || got.Why != session.WhyReplaced {
			t.Errorf("the old one: %+v", got)
		}
		if got := ok[*session.Session](t)(s.Session(t.Context(), fresh.Hash)); !got.Alive(noon) {
			t.Errorf("the new one: %+v", got)
		}
		for _, over := range []string{old.ID, id(), "\xff"} { // ended, and never there
			ok[*session.Session](t)(replace(over))
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'session.ended'`)

		busy := arrived(t, s, p)
		for _, err := range race(16, func(int) error { _, err := replace(busy.ID); return err }) {
			must(t, err)
		}
		count(t, s, 2, `SELECT count(*) FROM events WHERE type = 'session.ended'`)

		// An arrival that is refused leaves no tie, and ends nothing.
		if _, err := s.Arrive(t.Context(), known(t, s).ID, &session.Binding{IDP: "other", Key: "k"}, fresh.ID, func(*account.Person) (*session.Session, []event.Event, error) {
			return nil, nil, fault.New(fault.Denied, text)
		}); !fault.Is(err, fault.Denied) {
			t.Errorf("refused: %v", err)
		}
		if b := ok[*session.Binding](t)(s.Binding(t.Context(), "other", "k")); b != nil {
			t.Errorf("tied: %+v", b)
		}
		if !ok[*session.Session](t)(s.Session(t.Context(), fresh.Hash)).Alive(noon) {
			t.Error("ended")
		}
		if _, err := s.Arrive(t.Context(), id(), binding(p), "", nil); !fault.Is(err, fault.NotFound) {
			t.Errorf("nobody: %v", err)
		}
	})
}

func TestAnAccountIsTiedToOnePersonAndAPersonToOneAccountOfAProvider(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, other := known(t, s), known(t, s)
		arrive := func(p *account.Person, b *session.Binding) error {
			v, err := s.Arrive(t.Context(), p.ID, b, "", func(*account.Person) (*session.Session, []event.Event, error) {
				return nil, []event.Event{event.New(noon, event.IdentityMade, "person:"+p.ID, p.ID, "", event.Success), event.New(noon, event.SessionStarted, "person:"+p.ID, p.ID, "", event.Success)}, nil
			})
			if v != nil {
				t.Errorf("a session nobody asked for: %+v", v)
			}
			return err
		}
		for range 2 {
			must(t, arrive(p, binding(p)))
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'identity.made'`)
		count(t, s, 2, `SELECT count(*) FROM events WHERE type = 'session.started'`)
		if err := arrive(other, binding(p)); !fault.Is(err, fault.Conflict) {
			t.Errorf("somebody else's account: %v", err)
		}
		if err := arrive(p, binding(other)); !fault.Is(err, fault.Conflict) {
			t.Errorf("another account: %v", err)
		}
		second := binding(p)
		second.IDP = "second"
		must(t, arrive(p, second))
		moved := binding(p)
		moved.Issuer, moved.Subject = "https://moved.example", "moved"
		must(t, arrive(p, moved))
		same(t, "tie", ok[*session.Binding](t)(s.Binding(t.Context(), "work", "key-"+p.ID)), binding(p))
		must(t, s.DeletePerson(t.Context(), p.ID, "", 0))
		if b := ok[*session.Binding](t)(s.Binding(t.Context(), "work", "key-"+p.ID)); b != nil {
			t.Errorf("the tie outlived the person: %+v", b)
		}
	})
}

func TestOfManyWhoClaimAnAccountOneGetsIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		people := make([]*account.Person, 16)
		for i := range people {
			people[i] = known(t, s)
		}
		var won, lost atomic.Int64
		for _, err := range race(len(people), func(i int) error {
			_, err := s.Arrive(t.Context(), people[i].ID, &session.Binding{IDP: "work", Key: "one"}, "", func(*account.Person) (*session.Session, []event.Event, error) {
				return visit(people[i]), []event.Event{event.New(noon, event.IdentityMade, "stranger", people[i].ID, "", event.Success)}, nil
			})
			switch {
			case err == nil:
				won.Add(1)
			case fault.Is(err, fault.Conflict):
				lost.Add(1)
				err = nil
			}
			return err
		}) {
			must(t, err)
		}
		if won.Load() != 1 || lost.Load() != 15 {
			t.Errorf("%d got the account, %d did not", won.Load(), lost.Load())
		}
		count(t, s, 1, `SELECT count(*) FROM identities`)
		count(t, s, 1, `SELECT count(*) FROM sessions`)
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'identity.made'`)
	})
}

func TestPeopleAreFoundForTheirFirstSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		hr, lab := connector("hr"), connector("lab")
		must(t, s.CreateConnector(t.Context(), hr))
		must(t, s.CreateConnector(t.Context(), lab))
		p := ada(hr.ID)
		must(t, s.CreatePerson(t.Context(), p, nil))
		twin := ada(lab.ID)
		twin.UserName, twin.Active = "ada2", false
		must(t, s.CreatePerson(t.Context(), twin, nil))
		for _, test := range []struct {
			attribute, value string
			connectors       []string
			want             []*account.Person
		}{
			{"userName", " ADA@contoso.EXAMPLE", nil, []*account.Person{p}},
			{"userName", "ada2", nil, []*account.Person{twin}},
			{"userName", "ada2", []string{"hr"}, nil},
			{"userName", "ada2", []string{"hr", "lab"}, []*account.Person{twin}},
			{"userName", "ada2", []string{"unknown"}, nil},
			{"externalId", "ext-ada", nil, []*account.Person{p, twin}},
			{"externalId", "ext-ada", []string{"lab"}, []*account.Person{twin}},
			{"externalId", "EXT-ADA", nil, nil},
			{"emails.work", "ADA@contoso.example", []string{"hr"}, []*account.Person{p}},
			{"emails.work", "ada@contoso.example", nil, []*account.Person{p, twin}},
			{"emails.work", "ada@home.example", nil, nil}, // their own, which proves nothing at work
			{"userName", "", nil, nil}, {"externalId", "", nil, nil}, {"emails.work", " ", nil, nil}, {"userName", "a\x00", nil, nil}, {"externalId", "\xff", nil, nil},
		} {
			got := ok[[]*account.Person](t)(s.PeopleBy(t.Context(), test.attribute, test.value, test.connectors))
			same(t, fmt.Sprint(test.attribute, test.value, test.connectors), got, test.want)
		}
		if _, err := s.PeopleBy(t.Context(), "displayName", "Ada", nil); err == nil {
			t.Error("by any attribute")
		}
	})
}

func browser(p *account.Person) *session.Browser {
	b := &session.Browser{ID: id(), Person: p.ID, Epoch: 1, Agent: "canary-agent", Network: "canary-net", Made: noon, Expires: noon.Add(session.BrowserLife)}
	b.Hash = digest(b.ID)
	return b
}

func TestATrustedBrowserIsItsPersonsUntilForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, other := known(t, s), known(t, s)
		b, second := browser(p), browser(p)
		for _, b := range []*session.Browser{b, second} {
			must(t, s.PutBrowser(t.Context(), b, event.New(noon, event.BrowserTrusted, "person:"+p.ID, p.ID, "", event.Success)))
		}
		same(t, "by cookie", ok[*session.Browser](t)(s.BrowserByHash(t.Context(), b.Hash, noon)), b)
		same(t, "all", ok[[]session.Browser](t)(s.BrowsersOf(t.Context(), p.ID, noon)), []session.Browser{*second, *b})
		count(t, s, 0, `SELECT count(*) FROM browsers WHERE `+holds(s, "sealed"), "canary")
		if late := ok[*session.Browser](t)(s.BrowserByHash(t.Context(), b.Hash, b.Expires)); late != nil {
			t.Error("trusted for ever")
		}
		gone := event.New(noon, event.BrowserForgotten, "person:"+p.ID, p.ID, "", event.Success)
		if ok[bool](t)(s.ForgetBrowser(t.Context(), other.ID, b.ID, gone)) {
			t.Error("forgotten by somebody else")
		}
		if !ok[bool](t)(s.ForgetBrowser(t.Context(), p.ID, b.ID, gone)) || ok[bool](t)(s.ForgetBrowser(t.Context(), p.ID, b.ID, gone)) {
			t.Error("not forgotten once")
		}
		same(t, "left", ok[[]session.Browser](t)(s.BrowsersOf(t.Context(), p.ID, noon)), []session.Browser{*second})
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'browser.forgotten'`)
		count(t, s, 2, `SELECT count(*) FROM work WHERE kind = 'notice'`)
	})
}
