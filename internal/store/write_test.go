package store_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func TestOneWriteOfAnAccountAtATime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, _ := begun(t, s)
		attempts := make([]*reset.Attempt, 16)
		for i := range attempts {
			attempts[i] = attempt()
			attempts[i].Person = p.ID
			must(t, s.CreateAttempt(t.Context(), attempts[i]))
		}
		var won atomic.Int64
		for i, err := range race(len(attempts), func(i int) error {
			w := write(attempts[i], "uuid-1")
			_, err := s.BeginWrite(t.Context(), attempts[i].ID, w, func(a *reset.Attempt) ([]event.Event, error) {
				a.State, a.Write = reset.Writing, w.ID
				return []event.Event{event.New(noon, event.WriteStarted, "system", p.ID, a.ID, event.Success)}, nil
			})
			if err == nil {
				won.Add(1)
			}
			return err
		}) {
			if _, say := fault.Read(err); err != nil && (!fault.Is(err, fault.Conflict) || say.Key != "reset.write.running") {
				t.Errorf("attempt %d: %v", i, err)
			}
		}
		if won.Load() != 1 {
			t.Errorf("%d began to write one account", won.Load())
		}
		count(t, s, 1, `SELECT count(*) FROM attempts WHERE state = 'writing'`)
		count(t, s, 1, `SELECT count(*) FROM writes`)
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'write.started'`)
		// Another account is free, and so is this one once the write has ended.
		free := attempts[0]
		if got := ok[*reset.Attempt](t)(s.Attempt(t.Context(), free.ID)); got.State == reset.Writing {
			free = attempts[1]
		}
		w := writing(t, s, free, "uuid-2")
		same(t, "write", ok[*reset.Write](t)(s.Write(t.Context(), w.ID)), w)
		ok[*reset.Attempt](t)(s.FinishAttempt(t.Context(), free.ID, func(_ *reset.Attempt, _ *account.Person, w *reset.Write) ([]event.Event, error) {
			w.State = reset.WriteUnresolved
			return nil, nil
		}))
		writing(t, s, free, "uuid-2")
		if none, err := s.Write(t.Context(), ""); none != nil || err != nil {
			t.Errorf("no write: %v, %v", none, err)
		}
	})
}

func TestFinishingChangesAttemptPersonAndWriteTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, a := begun(t, s)
		w := writing(t, s, a, "uuid-1")
		finish := func(then error) (*reset.Attempt, error) {
			return s.FinishAttempt(t.Context(), a.ID, func(a *reset.Attempt, p *account.Person, w *reset.Write) ([]event.Event, error) {
				p.Epoch++
				p.HoldUntil = noon.Add(time.Hour)
				a.State, a.Ended, a.Epoch = reset.Done, noon, p.Epoch
				w.State, w.Ended = reset.WriteApplied, noon
				return []event.Event{event.New(noon, event.PasswordReset, "person:"+p.ID, p.ID, a.ID, event.Success).Sealed("network", a.Network)}, then
			})
		}
		if _, err := finish(errors.New("no")); err == nil {
			t.Fatal("the closure's error is lost")
		}
		if got := ok[*reset.Attempt](t)(s.Attempt(t.Context(), a.ID)); got.State != reset.Writing || got.LiveEpoch != 1 {
			t.Errorf("a failed finish left %+v", got)
		}
		count(t, s, 0, `SELECT count(*) FROM events WHERE type = 'password.reset'`)
		got := ok[*reset.Attempt](t)(finish(nil))
		if got.State != reset.Done || got.LiveEpoch != 2 || got.Epoch != 2 || got.Alive(noon) == nil {
			t.Errorf("got %+v", got)
		}
		same(t, "attempt", ok[*reset.Attempt](t)(s.Attempt(t.Context(), a.ID)), got)
		person := ok[*account.Person](t)(s.Person(t.Context(), p.ID))
		if person.Epoch != 2 || person.Version != 2 || !person.HoldUntil.Equal(noon.Add(time.Hour)) {
			t.Errorf("person %+v", person)
		}
		if w := ok[*reset.Write](t)(s.Write(t.Context(), w.ID)); w.State != reset.WriteApplied || !w.Ended.Equal(noon) {
			t.Errorf("write %+v", w)
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'password.reset'`)
		count(t, s, 1, `SELECT count(*) FROM work WHERE kind = 'notice'`)
		// Nothing to change: no new versions.
		again := ok[*reset.Attempt](t)(s.FinishAttempt(t.Context(), a.ID, func(*reset.Attempt, *account.Person, *reset.Write) ([]event.Event, error) { return nil, nil }))
		same(t, "after nothing", again, got)
	})
}

func TestFinishingAnAttemptOfNobodyHasNoPersonAndNoWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, gone := begun(t, s)
		must(t, s.DeletePerson(t.Context(), p.ID, "", 0))
		nobody := attempt()
		must(t, s.CreateAttempt(t.Context(), nobody))
		for _, a := range []*reset.Attempt{gone, nobody} {
			ran := false
			ok[*reset.Attempt](t)(s.FinishAttempt(t.Context(), a.ID, func(a *reset.Attempt, p *account.Person, w *reset.Write) ([]event.Event, error) {
				ran = p == nil && w != nil && *w == reset.Write{}
				w.State = reset.WriteApplied // must not be saved anywhere
				a.State = reset.Cancelled
				return nil, nil
			}))
			if !ran {
				t.Error("a person or a write came from nowhere")
			}
		}
		count(t, s, 0, `SELECT count(*) FROM writes`)
		count(t, s, 2, `SELECT count(*) FROM attempts WHERE state = 'cancelled'`)
		if _, err := s.FinishAttempt(t.Context(), "", func(*reset.Attempt, *account.Person, *reset.Write) ([]event.Event, error) { return nil, nil }); !fault.Is(err, fault.NotFound) {
			t.Errorf("finishing none: %v", err)
		}
	})
}

func TestFinishingAndProvisioningAtOnceNeitherBlockNorLoseAnything(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, a := begun(t, s)
		must(t, s.CreateMethods(t.Context(), p.ID, []method.Method{seed(), mail("x@y.example")}, nil))
		w := writing(t, s, a, "uuid-1")
		const n = 8
		for i, err := range race(4*n, func(i int) error {
			var err error
			switch i % 4 {
			case 0:
				_, err = s.FinishAttempt(t.Context(), a.ID, func(a *reset.Attempt, p *account.Person, w *reset.Write) ([]event.Event, error) {
					p.Epoch++
					a.Refusals++
					w.Marker += "x"
					return []event.Event{fact(p.ID)}, nil
				})
			case 1:
				_, err = s.UpdatePerson(t.Context(), p.ID, "", func(p *account.Person, ms *[]method.Method) ([]event.Event, error) {
					p.Epoch++
					(*ms)[0].Display += "x"
					return []event.Event{fact(p.ID)}, nil
				})
			case 2:
				_, err = s.UpdateAttempt(t.Context(), a.ID, func(a *reset.Attempt) ([]event.Event, error) { a.Extended++; return nil, nil })
				if fault.Is(err, fault.Conflict) {
					err = nil // many were faster
				}
			case 3:
				ms, e := s.Methods(t.Context(), p.ID)
				if err = e; err == nil {
					err = s.Failed(t.Context(), ms[1].ID, noon, fact(p.ID))
				}
			}
			return err
		}) {
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		}
		got := ok[*reset.Attempt](t)(s.Attempt(t.Context(), a.ID))
		if got.Refusals != n || got.LiveEpoch != 1+2*n {
			t.Errorf("refusals %d, epoch %d, want %d, %d", got.Refusals, got.LiveEpoch, n, 1+2*n)
		}
		if w := ok[*reset.Write](t)(s.Write(t.Context(), w.ID)); w.Marker != "7"+strings.Repeat("x", n) {
			t.Errorf("marker %q", w.Marker)
		}
		ms := ok[[]method.Method](t)(s.Methods(t.Context(), p.ID))
		if ms[0].Display != "phone app"+strings.Repeat("x", n) || ms[1].Failures != n {
			t.Errorf("display %q, failures %d", ms[0].Display, ms[1].Failures)
		}
	})
}

func TestAnAccountIsTiedToOnePersonAndAPersonToOneAccount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, q := ada("c1"), ada("c1")
		q.ID, q.UserName, q.ExternalID = id(), "bob", "bob"
		must(t, s.CreatePerson(t.Context(), p, nil))
		must(t, s.CreatePerson(t.Context(), q, nil))
		l := reset.Link{Person: p.ID, Directory: "ldap", Ref: "uuid-1", Login: "ada", Made: noon}
		made := func() event.Event { return event.New(noon, event.LinkMade, "system", p.ID, "", event.Success) }
		for range 2 {
			must(t, s.PutLink(t.Context(), l, made()))
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'link.made'`)
		same(t, "link", ok[*reset.Link](t)(s.Link(t.Context(), p.ID, "ldap")), &l)
		stolen, second := l, l
		stolen.Person, second.Ref = q.ID, "uuid-2"
		for _, bad := range []reset.Link{stolen, second} {
			if err := s.PutLink(t.Context(), bad, made()); !fault.Is(err, fault.Conflict) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		if none, err := s.Link(t.Context(), q.ID, "ldap"); none != nil || err != nil {
			t.Errorf("no link: %v, %v", none, err)
		}
	})
}
