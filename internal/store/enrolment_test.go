package store_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// enrolment is a way on its way in a session.
func enrolment(v *session.Session) *register.Enrolment {
	return &register.Enrolment{
		ID: id(), Person: v.Person, Epoch: v.Epoch, Session: v.ID, Kind: method.Email, State: register.Open, Destination: "canary@home.example",
		Secret: []byte("canary-seed"), Display: "canary-name", Codes: []string{"canary-code"}, Sends: 1, Send: reset.Asked,
		Created: noon, Expires: noon.Add(register.Life),
	}
}

// enrolling is a person who has signed in and begun to register a way.
func enrolling(t *testing.T, s *store.Store) (*account.Person, *session.Session, *register.Enrolment) {
	t.Helper()
	p := known(t, s)
	v := arrived(t, s, p)
	e := enrolment(v)
	must(t, s.PutEnrolment(t.Context(), e))
	return p, v, e
}

func TestAnEnrolmentReadsAsItWasBegunAndIsSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, v, e := enrolling(t, s)
		want := enrolment(v)
		want.ID, want.Version, want.DestinationHash = e.ID, 1, s.DestinationHash(method.Email, "canary@home.example")
		same(t, "begun", e, want)
		same(t, "read", ok[*register.Enrolment](t)(s.Enrolment(t.Context(), e.ID)), want)
		same(t, "open", ok[*register.Enrolment](t)(s.OpenEnrolment(t.Context(), v.ID, e.Expires.Add(-time.Microsecond))), want)
		count(t, s, 1, `SELECT count(*) FROM enrolments WHERE sealed IS NOT NULL`)
		count(t, s, 0, `SELECT count(*) FROM enrolments WHERE `+holds(s, "sealed"), "canary")
		for what, none := range map[string]func() (*register.Enrolment, error){
			"past":            func() (*register.Enrolment, error) { return s.OpenEnrolment(t.Context(), v.ID, e.Expires) },
			"another session": func() (*register.Enrolment, error) { return s.OpenEnrolment(t.Context(), id(), noon) },
			"another id":      func() (*register.Enrolment, error) { return s.Enrolment(t.Context(), "\xff") },
		} {
			if got, err := none(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
	})
}

func TestBeginningAnotherEnrolmentLeavesTheOneBefore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, v, e := enrolling(t, s)
		elsewhere := enrolment(arrived(t, s, p))
		must(t, s.PutEnrolment(t.Context(), elsewhere))
		for _, err := range race(16, func(int) error { return s.PutEnrolment(t.Context(), enrolment(v)) }) {
			must(t, err)
		}
		count(t, s, 1, `SELECT count(*) FROM enrolments WHERE state = 'open' AND session = $1`, v.ID)
		count(t, s, 0, `SELECT count(*) FROM enrolments WHERE state = 'left' AND sealed IS NOT NULL`)
		if got := ok[*register.Enrolment](t)(s.Enrolment(t.Context(), e.ID)); got.State != register.Left || got.Destination != "" || got.Secret != nil || got.Codes != nil {
			t.Errorf("the one before: %+v", got)
		}
		if got := ok[*register.Enrolment](t)(s.Enrolment(t.Context(), elsewhere.ID)); got.State != register.Open {
			t.Error("that of another session was left")
		}

		for name, spoil := range map[string]func(*register.Enrolment){
			"no session": func(e *register.Enrolment) { e.Session = id() }, "another person": func(e *register.Enrolment) { e.Person = known(t, s).ID },
			"another epoch": func(e *register.Enrolment) { e.Epoch++ },
		} {
			e := enrolment(v)
			spoil(e)
			if err := s.PutEnrolment(t.Context(), e); !fault.Is(err, fault.Over) {
				t.Errorf("%s: %v", name, err)
			}
		}
		ok[*session.Session](t)(s.UpdateSession(t.Context(), v.ID, func(v *session.Session) ([]event.Event, error) { return v.End("signed_out", "system", noon), nil }))
		if err := s.PutEnrolment(t.Context(), enrolment(v)); !fault.Is(err, fault.Over) {
			t.Errorf("an ended session: %v", err)
		}
	})
}

func TestExactlyFiveTriesOfAnEnrolmentAreCounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, v, e := enrolling(t, s)
		for name, try := range map[string]func() (*register.Enrolment, error){
			"another session": func() (*register.Enrolment, error) { return s.TryEnrolment(t.Context(), e.ID, id(), noon) },
			"past":            func() (*register.Enrolment, error) { return s.TryEnrolment(t.Context(), e.ID, v.ID, e.Expires) },
			"unknown":         func() (*register.Enrolment, error) { return s.TryEnrolment(t.Context(), id(), v.ID, noon) },
		} {
			if got, err := try(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		var counted atomic.Int64
		for _, err := range race(24, func(int) error {
			got, err := s.TryEnrolment(t.Context(), e.ID, v.ID, noon)
			if got != nil {
				counted.Add(1)
				if got.Destination != e.Destination || got.Tries < 1 || got.Tries > register.MaxTries {
					err = fmt.Errorf("got %+v", got)
				}
			}
			return err
		}) {
			must(t, err)
		}
		if counted.Load() != register.MaxTries {
			t.Errorf("%d tries were let through, want %d", counted.Load(), register.MaxTries)
		}
	})
}

func TestNothingGoesOnWithAnEnrolmentOnceTheEpochMoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, v, e := enrolling(t, s)
		epochMoves(t, s, p)
		for name, look := range map[string]func() (*register.Enrolment, error){
			"read": func() (*register.Enrolment, error) { return s.Enrolment(t.Context(), e.ID) },
			"open": func() (*register.Enrolment, error) { return s.OpenEnrolment(t.Context(), v.ID, noon) },
			"try":  func() (*register.Enrolment, error) { return s.TryEnrolment(t.Context(), e.ID, v.ID, noon) },
		} {
			if got, err := look(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		if ok[bool](t)(s.ClaimConfirm(t.Context(), e.ID)) {
			t.Error("its code is delivered")
		}
		if _, err := s.UpdateEnrolment(t.Context(), e.ID, nil); !fault.Is(err, fault.NotFound) {
			t.Errorf("changed: %v", err)
		}
		if err := s.ChangeMethods(t.Context(), v.ID, "", nil); !fault.Is(err, fault.Over) {
			t.Errorf("methods changed: %v", err)
		}
	})
}

func TestAnEnrolmentOfWhomWasErasedIsGone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, v, e := enrolling(t, s)
		must(t, s.Exec(t.Context(), `DELETE FROM person_keys WHERE person = '`+p.ID+`'`))
		if got, err := s.Enrolment(t.Context(), e.ID); got != nil || err != nil {
			t.Errorf("read: %v, %v", got, err)
		}
		if err := s.ChangeMethods(t.Context(), v.ID, e.ID, nil); !fault.Is(err, fault.Over) {
			t.Errorf("methods changed: %v", err)
		}
	})
}

func TestACodeToConfirmIsClaimedOnceEachTimeItIsAskedFor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, _, e := enrolling(t, s)
		for ask := 1; ask <= 2; ask++ {
			var won atomic.Int64
			for _, err := range race(16, func(int) error {
				claimed, err := s.ClaimConfirm(t.Context(), e.ID)
				if claimed {
					won.Add(1)
				}
				return err
			}) {
				must(t, err)
			}
			if won.Load() != 1 {
				t.Errorf("%d claimed it, want 1", won.Load())
			}
			got := ok[*register.Enrolment](t)(s.UpdateEnrolment(t.Context(), e.ID, func(e *register.Enrolment) ([]event.Event, error) {
				if e.Send != reset.Sending {
					t.Errorf("claimed, and it is %s", e.Send)
				}
				e.Send, e.Sends = reset.Asked, e.Sends+1
				return []event.Event{event.New(noon, event.MethodConfirmAsked, "person:x", "", e.ID, event.Success)}, nil
			}))
			if got.Sends != ask+1 || got.Destination != e.Destination {
				t.Errorf("got %+v", got)
			}
		}
		ok[*register.Enrolment](t)(s.UpdateEnrolment(t.Context(), e.ID, func(e *register.Enrolment) ([]event.Event, error) { e.State = register.Left; return nil, nil }))
		if ok[bool](t)(s.ClaimConfirm(t.Context(), e.ID)) {
			t.Error("the code of one that was left is delivered")
		}
		count(t, s, 2, `SELECT count(*) FROM work WHERE kind = 'confirm'`)
	})
}

func TestAnEnrolmentIsChangedAndErasedWhenItIsOver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, _, e := enrolling(t, s)
		got := ok[*register.Enrolment](t)(s.UpdateEnrolment(t.Context(), e.ID, func(e *register.Enrolment) ([]event.Event, error) {
			e.Destination, e.Display, e.Person, e.Kind = "new@home.example", "renamed", "other", method.SMS
			return nil, nil
		}))
		want := *e
		want.Version, want.Destination, want.Display, want.DestinationHash = 2, "new@home.example", "renamed", s.DestinationHash(method.Email, "new@home.example")
		same(t, "after", got, &want)
		same(t, "read again", ok[*register.Enrolment](t)(s.Enrolment(t.Context(), e.ID)), &want)
		same(t, "left alone", ok[*register.Enrolment](t)(s.UpdateEnrolment(t.Context(), e.ID, func(*register.Enrolment) ([]event.Event, error) { return nil, nil })), &want)
		got = ok[*register.Enrolment](t)(s.UpdateEnrolment(t.Context(), e.ID, func(e *register.Enrolment) ([]event.Event, error) { e.State = register.Added; return nil, nil }))
		if got.Destination != "" || got.Secret != nil || got.Display != "" || got.Codes != nil || got.DestinationHash == nil {
			t.Errorf("over: %+v", got)
		}
		same(t, "read again", ok[*register.Enrolment](t)(s.Enrolment(t.Context(), e.ID)), got)
		count(t, s, 1, `SELECT count(*) FROM enrolments WHERE sealed IS NULL`)
	})
}

// add makes an enrolment's way one of the person's.
func add(c *register.Changing) ([]event.Event, error) {
	m := method.Method{
		ID: id(), Kind: c.Enrolment.Kind, Status: method.Active, Root: method.Root{Kind: method.BySession, ID: c.Session.ID}, Destination: c.Enrolment.Destination,
		Created: noon, Confirmed: noon, Matures: noon.Add(24 * time.Hour),
	}
	c.Methods = append(c.Methods, m)
	c.Enrolment.State = register.Added
	return []event.Event{event.New(noon, event.MethodAdded, "person:"+c.Person.ID, c.Person.ID, c.Session.ID, event.Success).With("kind", string(m.Kind))}, nil
}

func TestAWayIsAddedWithItsEnrolmentAndItsCodesInOneCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, v, e := enrolling(t, s)
		failed := errors.New("not today")
		if err := s.ChangeMethods(t.Context(), v.ID, e.ID, func(c *register.Changing) ([]event.Event, error) {
			same(t, "session", c.Session, v)
			same(t, "enrolment", c.Enrolment, e)
			same(t, "person", c.Person.ID, p.ID)
			_, _ = add(c)
			return nil, failed
		}); !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
		count(t, s, 0, `SELECT count(*) FROM methods`)
		must(t, s.ChangeMethods(t.Context(), v.ID, e.ID, func(c *register.Changing) ([]event.Event, error) {
			events, err := add(c)
			c.Codes = []method.Code{{Method: c.Methods[0].ID, Selector: "ABCDE", Hash: "h"}}
			return events, err
		}))
		ms := ok[[]method.Method](t)(s.Methods(t.Context(), p.ID))
		if len(ms) != 1 || ms[0].Destination != e.Destination || !ms[0].Matures.Equal(noon.Add(24*time.Hour)) || ms[0].Version != 1 {
			t.Errorf("methods: %+v", ms)
		}
		if got := ok[*register.Enrolment](t)(s.Enrolment(t.Context(), e.ID)); got.State != register.Added || got.Destination != "" {
			t.Errorf("enrolment: %+v", got)
		}
		if codes := ok[[]method.Code](t)(s.RecoveryCodes(t.Context(), p.ID, "ABCDE")); len(codes) != 1 {
			t.Errorf("codes: %+v", codes)
		}
		must(t, s.ChangeMethods(t.Context(), v.ID, "", func(c *register.Changing) ([]event.Event, error) {
			if c.Enrolment != nil || c.Shared != 0 {
				t.Errorf("without an enrolment: %+v", c)
			}
			c.Methods[0].Leaves, c.Methods[0].Display = noon.Add(time.Hour), "mine"
			return nil, nil
		}))
		if ms := ok[[]method.Method](t)(s.Methods(t.Context(), p.ID)); !ms[0].Leaves.Equal(noon.Add(time.Hour)) || ms[0].Display != "mine" {
			t.Errorf("methods: %+v", ms)
		}
		must(t, s.ChangeMethods(t.Context(), v.ID, "", func(c *register.Changing) ([]event.Event, error) {
			c.Methods[0].Display = "x"
			return nil, store.ErrUnchanged
		}))
		if ms := ok[[]method.Method](t)(s.Methods(t.Context(), p.ID)); ms[0].Display != "mine" {
			t.Error("changed though unchanged")
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'method.added'`)
	})
}

func TestWaysAreChangedInALiveSessionOfTheirPersonOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, v, e := enrolling(t, s)
		second := arrived(t, s, p)
		_, _, foreign := enrolling(t, s)
		ended := arrived(t, s, p)
		ok[*session.Session](t)(s.UpdateSession(t.Context(), ended.ID, func(v *session.Session) ([]event.Event, error) { return v.End("signed_out", "system", noon), nil }))
		for name, ids := range map[string][2]string{
			"no session": {id(), ""}, "no text": {"\xff", ""}, "no enrolment": {v.ID, id()}, "another session's enrolment": {second.ID, e.ID}, "another person's": {v.ID, foreign.ID},
			"an ended session": {ended.ID, ""},
		} {
			if err := s.ChangeMethods(t.Context(), ids[0], ids[1], func(*register.Changing) ([]event.Event, error) {
				t.Errorf("%s: the change was run", name)
				return nil, nil
			}); !fault.Is(err, fault.Over) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestOneDestinationIsOnAtMostThreePeopleHoweverManyRegisterItAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		type begun struct{ session, enrolment string }
		var all []begun
		for range 16 {
			_, v, e := enrolling(t, s)
			all = append(all, begun{v.ID, e.ID})
		}
		full := errors.New("full")
		var added atomic.Int64
		for _, err := range race(len(all), func(i int) error {
			err := s.ChangeMethods(t.Context(), all[i].session, all[i].enrolment, func(c *register.Changing) ([]event.Event, error) {
				if c.Shared >= register.MaxSharing {
					return nil, full
				}
				return add(c)
			})
			if err == nil {
				added.Add(1)
			}
			if errors.Is(err, full) {
				return nil
			}
			return err
		}) {
			must(t, err)
		}
		if added.Load() != register.MaxSharing {
			t.Errorf("%d people have it, want %d", added.Load(), register.MaxSharing)
		}
		count(t, s, register.MaxSharing, `SELECT count(*) FROM methods`)
	})
}

func TestAnEnrolmentIsAddedOnceHoweverOftenItIsConfirmed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, v, e := enrolling(t, s)
		done := errors.New("done")
		var added atomic.Int64
		for _, err := range race(16, func(int) error {
			err := s.ChangeMethods(t.Context(), v.ID, e.ID, func(c *register.Changing) ([]event.Event, error) {
				if c.Enrolment.State != register.Open {
					return nil, done
				}
				return add(c)
			})
			if err == nil {
				added.Add(1)
			}
			if errors.Is(err, done) {
				return nil
			}
			return err
		}) {
			must(t, err)
		}
		if added.Load() != 1 {
			t.Errorf("added %d times", added.Load())
		}
		count(t, s, 1, `SELECT count(*) FROM methods`)
	})
}

// Whoever resets, provisions, registers and signs out a person at once must wait for one another and never stand still.
func TestEverythingThatLocksAPersonKeepsOneOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, v, e := enrolling(t, s)
		for _, err := range race(24, func(i int) (err error) {
			switch i % 4 {
			case 0:
				err = s.ChangeMethods(t.Context(), v.ID, e.ID, func(c *register.Changing) ([]event.Event, error) { c.Enrolment.Sends++; return nil, nil })
			case 1:
				_, err = s.UpdatePerson(t.Context(), p.ID, "", func(p *account.Person, all *[]method.Method) ([]event.Event, error) {
					p.DisplayName += "x"
					return nil, nil
				})
			case 2:
				_, err = s.Arrive(t.Context(), p.ID, binding(p), "", func(*account.Person) (*session.Session, []event.Event, error) { return visit(p), nil, nil })
			case 3:
				_, err = s.TryEnrolment(t.Context(), e.ID, v.ID, noon)
			}
			return err
		}) {
			must(t, err)
		}
	})
}

func TestWhatAPersonPutOffIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		same(t, "nothing", ok[register.Record](t)(s.Registration(t.Context(), p.ID)), register.Record{Person: p.ID})
		for n := 1; n <= 2; n++ {
			r := register.Record{Person: p.ID, Snoozes: n, Until: noon.Add(time.Duration(n) * time.Hour), Reviewed: noon}
			must(t, s.PutRegistration(t.Context(), r, event.New(noon, event.RegistrationSnoozed, "person:"+p.ID, p.ID, "", event.Success)))
			same(t, "kept", ok[register.Record](t)(s.Registration(t.Context(), p.ID)), r)
		}
		count(t, s, 2, `SELECT count(*) FROM events WHERE type = 'registration.snoozed'`)
	})
}
