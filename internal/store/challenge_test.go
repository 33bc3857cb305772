package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func TestExactlyFiveTriesAreCountedHoweverManyComeAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, a := begun(t, s)
		c := asked(t, s, a)
		var counted atomic.Int64
		for _, err := range race(24, func(int) error {
			got, err := s.Try(t.Context(), c.ID, a.ID, noon)
			if got != nil {
				counted.Add(1)
			}
			return err
		}) {
			must(t, err)
		}
		if counted.Load() != reset.MaxTries {
			t.Errorf("%d tries were let through, want %d", counted.Load(), reset.MaxTries)
		}
	})
}

func TestATryThatMustNotCountIsNil(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, a := begun(t, s)
		other := attempt()
		must(t, s.CreateAttempt(t.Context(), other))
		c := asked(t, s, a)
		lost := asked(t, s, a)
		must(t, s.SetSend(t.Context(), lost.ID, reset.SendLost))
		for name, try := range map[string]func() (*reset.Challenge, error){
			"foreign": func() (*reset.Challenge, error) { return s.Try(t.Context(), c.ID, other.ID, noon) },
			"past":    func() (*reset.Challenge, error) { return s.Try(t.Context(), c.ID, a.ID, c.Expires) },
			"unknown": func() (*reset.Challenge, error) { return s.Try(t.Context(), id(), a.ID, noon) },
			"lost":    func() (*reset.Challenge, error) { return s.Try(t.Context(), lost.ID, a.ID, noon) },
		} {
			if got, err := try(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		got := ok[*reset.Challenge](t)(s.Try(t.Context(), c.ID, a.ID, c.Expires.Add(-time.Microsecond)))
		want := *c
		want.Tries = 1
		same(t, "challenge", got, &want)
		same(t, "read again", ok[*reset.Challenge](t)(s.Challenge(t.Context(), c.ID)), &want)
	})
}

func TestACodeIsClaimedForSendingOnceAndItsOutcomeStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, a := begun(t, s)
		c := asked(t, s, a)
		var won atomic.Int64
		var winner atomic.Value
		for _, err := range race(16, func(i int) error {
			claimed, err := s.ClaimSend(t.Context(), c.ID, fmt.Sprint("m", i))
			if claimed {
				won.Add(1)
				winner.Store(fmt.Sprint("m", i))
			}
			return err
		}) {
			must(t, err)
		}
		got := ok[*reset.Challenge](t)(s.Challenge(t.Context(), c.ID))
		if won.Load() != 1 || got.Send != reset.Sending || got.Method != winner.Load() {
			t.Errorf("%d claimed, %+v, winner %v", won.Load(), got, winner.Load())
		}
		must(t, s.SetSend(t.Context(), c.ID, reset.Sent))
		must(t, s.SetSend(t.Context(), c.ID, reset.SendLost))
		if got := ok[*reset.Challenge](t)(s.Challenge(t.Context(), c.ID)); got.Send != reset.Sent {
			t.Errorf("a late worker made a sent code %s", got.Send)
		}
		if again := ok[bool](t)(s.ClaimSend(t.Context(), c.ID, "m")); again {
			t.Error("a sent code was claimed again")
		}
	})
}

func TestEveryChallengeAskedForIsCountedOnItsAttempt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, a := begun(t, s)
		var made atomic.Int64
		for _, err := range race(16, func(int) error {
			_, err := s.AskChallenge(t.Context(), a.ID, func(a *reset.Attempt) (*reset.Challenge, []event.Event, error) {
				a.Asked++
				c := reset.NewChallenge(a, method.Email, "", noon)
				return c, []event.Event{event.New(noon, event.CodeAsked, "stranger", "", a.ID, event.Success).With("challenge", c.ID)}, nil
			})
			if err == nil {
				made.Add(1)
			} else if fault.Is(err, fault.Conflict) {
				return nil // five others were faster: nothing happened
			}
			return err
		}) {
			must(t, err)
		}
		if got := ok[*reset.Attempt](t)(s.Attempt(t.Context(), a.ID)); int64(got.Asked) != made.Load() || made.Load() == 0 {
			t.Errorf("asked %d, made %d", got.Asked, made.Load())
		}
		count(t, s, made.Load(), `SELECT count(*) FROM challenges`)
		count(t, s, made.Load(), `SELECT count(*) FROM events WHERE type = 'code.asked'`)
		count(t, s, made.Load(), `SELECT count(*) FROM work WHERE kind = 'code'`)
	})
}

func TestATimeStepIsUsedOnceAndNeverAnEarlierOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		ms := []method.Method{seed()}
		must(t, s.CreatePerson(t.Context(), p, ms))
		var won atomic.Int64
		for _, err := range race(16, func(int) error {
			used, err := s.UseStep(t.Context(), ms[0].ID, 100, noon)
			if used {
				won.Add(1)
			}
			return err
		}) {
			must(t, err)
		}
		if won.Load() != 1 {
			t.Errorf("%d used one step", won.Load())
		}
		for step, want := range map[int64]bool{99: false, 100: false} {
			if got := ok[bool](t)(s.UseStep(t.Context(), ms[0].ID, step, noon)); got != want {
				t.Errorf("step %d: %v", step, got)
			}
		}
		if !ok[bool](t)(s.UseStep(t.Context(), ms[0].ID, 101, noon)) || ok[bool](t)(s.UseStep(t.Context(), "", 102, noon)) {
			t.Error("the next step is refused, or nobody's step is taken")
		}
	})
}

func TestARecoveryCodeIsUsedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		must(t, s.CreatePerson(t.Context(), p, nil))
		set := method.Method{ID: id(), Kind: method.RecoveryCode, Status: method.Active, Root: method.Root{Kind: method.ByPerson}, Created: noon}
		codes := []method.Code{{Method: set.ID, Selector: "ABCDE", Hash: "h1"}, {Method: set.ID, Selector: "ABCDE", Hash: "h2"}, {Method: set.ID, Selector: "FGHJK", Hash: "h3"}}
		must(t, s.CreateMethods(t.Context(), p.ID, []method.Method{set}, codes, fact(p.ID)))
		same(t, "codes", ok[[]method.Code](t)(s.RecoveryCodes(t.Context(), p.ID, "ABCDE")), codes[:2])
		var won atomic.Int64
		for _, err := range race(16, func(int) error {
			used, err := s.UseRecoveryCode(t.Context(), codes[0].ID, noon)
			if used {
				won.Add(1)
			}
			return err
		}) {
			must(t, err)
		}
		if won.Load() != 1 {
			t.Errorf("%d used one code", won.Load())
		}
		same(t, "codes left", ok[[]method.Code](t)(s.RecoveryCodes(t.Context(), p.ID, "ABCDE")), codes[1:2])
		if none := ok[[]method.Code](t)(s.RecoveryCodes(t.Context(), "", "ABCDE")); len(none) != 0 {
			t.Errorf("nobody has %d codes", len(none))
		}
		q := ada("c1")
		q.ID, q.UserName, q.ExternalID = id(), "bob", ""
		must(t, s.CreatePerson(t.Context(), q, nil))
		if err := s.CreateMethods(t.Context(), q.ID, nil, []method.Code{{Method: set.ID, Selector: "x", Hash: "h"}}); err == nil {
			t.Error("a code was added to another person's method")
		}
	})
}

func TestTheHundredthWrongTryInARowDisablesAMethodAndSaysSoOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		ms := []method.Method{seed()}
		must(t, s.CreatePerson(t.Context(), p, ms))
		spent := func() event.Event { return event.New(noon, event.MethodSpent, "system", p.ID, "", event.Success) }
		fail := func(n int) {
			t.Helper()
			for _, err := range race(n, func(int) error { return s.Failed(t.Context(), ms[0].ID, noon, spent()) }) {
				must(t, err)
			}
		}
		get := func() method.Method { t.Helper(); return ok[[]method.Method](t)(s.Methods(t.Context(), p.ID))[0] }
		fail(60)
		if m := get(); m.Failures != 60 || m.Status != method.Active {
			t.Fatalf("after 60: %d, %s", m.Failures, m.Status)
		}
		must(t, s.Worked(t.Context(), ms[0].ID, noon))
		if m := get(); m.Failures != 0 || !m.LastUsed.Equal(noon) {
			t.Fatalf("after a right one: %d, %v", m.Failures, m.LastUsed)
		}
		fail(method.MaxFailures - 1)
		count(t, s, 0, `SELECT count(*) FROM events WHERE type = 'method.disabled'`)
		fail(16)
		if m := get(); m.Failures != method.MaxFailures || m.Status != method.Disabled || m.Version != 2 {
			t.Errorf("after a hundred: %d, %s, version %d", m.Failures, m.Status, m.Version)
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'method.disabled'`)
		count(t, s, 1, `SELECT count(*) FROM work WHERE kind = 'notice'`)
		if ok[bool](t)(s.UseStep(t.Context(), ms[0].ID, 5, noon)) {
			t.Error("a disabled method was used")
		}
	})
}
