package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

var text = message.Key("error.denied")

func flow() *session.Flow {
	name := id()
	return &session.Flow{
		State: digest(name), Cookie: digest("cookie of" + name[20:]), IDP: "work", Purpose: session.StepUp, Session: id(), Attempt: id(),
		Nonce: "canary-nonce", Verifier: "canary-verifier", Challenge: "canary-challenge", Goto: "/canary-path", App: "shop", Retried: true, Trust: true,
		Invite: digest("canary-invite"), Lang: "de", Created: noon, Expires: noon.Add(session.FlowLife),
	}
}

func TestASignInUnderWayIsTakenByItsBrowserInTimeOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, bare := flow(), &session.Flow{State: digest("bare"), Cookie: digest("c"), IDP: "work", Purpose: session.SignIn, Created: noon, Expires: noon.Add(time.Minute)}
		must(t, s.PutFlow(t.Context(), f))
		must(t, s.PutFlow(t.Context(), bare))
		count(t, s, 0, `SELECT count(*) FROM signins WHERE `+holds(s, "sealed"), "canary")
		last := f.Expires.Add(-time.Microsecond)
		for name, take := range map[string]func() (*session.Flow, error){
			"another browser": func() (*session.Flow, error) { return s.TakeFlow(t.Context(), f.State, bare.Cookie, noon) },
			"no cookie":       func() (*session.Flow, error) { return s.TakeFlow(t.Context(), f.State, nil, noon) },
			"another state":   func() (*session.Flow, error) { return s.TakeFlow(t.Context(), digest("other"), f.Cookie, noon) },
			"too late":        func() (*session.Flow, error) { return s.TakeFlow(t.Context(), f.State, f.Cookie, f.Expires) },
		} {
			if got, err := take(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		same(t, "taken", ok[*session.Flow](t)(s.TakeFlow(t.Context(), f.State, f.Cookie, last)), f)
		if again := ok[*session.Flow](t)(s.TakeFlow(t.Context(), f.State, f.Cookie, last)); again != nil {
			t.Errorf("taken again: %+v", again)
		}
		same(t, "a bare one", ok[*session.Flow](t)(s.TakeFlow(t.Context(), bare.State, bare.Cookie, noon)), bare)
	})
}

func TestOfManyWhoTakeAFlowOneGetsIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := flow()
		must(t, s.PutFlow(t.Context(), f))
		var won atomic.Int64
		for _, err := range race(24, func(int) error {
			got, err := s.TakeFlow(t.Context(), f.State, f.Cookie, noon)
			if got != nil {
				won.Add(1)
			}
			return err
		}) {
			must(t, err)
		}
		if won.Load() != 1 {
			t.Errorf("%d got the flow, want 1", won.Load())
		}
	})
}

func TestAnIDIsSpentOnceUntilItsTimeIsUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		until := noon.Add(time.Minute)
		spend := func(key string, now time.Time) bool {
			t.Helper()
			return ok[bool](t)(s.SpendOnce(t.Context(), digest(key), until, now))
		}
		if spend("late", until) {
			t.Error("what is past its time was taken")
		}
		for at, now := range []time.Time{noon, until.Add(-time.Microsecond)} {
			if first := at == 0; spend("one", now) != first || !spend([]string{"two", "three"}[at], now) {
				t.Errorf("at %v", now)
			}
		}
		until = noon.Add(2 * time.Minute)
		var won atomic.Int64
		for _, key := range []string{"one", "fresh"} { // one is past its time by then, and free
			won.Store(0)
			for _, err := range race(24, func(int) error {
				got, err := s.SpendOnce(t.Context(), digest(key), until, noon.Add(time.Minute))
				if got {
					won.Add(1)
				}
				return err
			}) {
				must(t, err)
			}
			if won.Load() != 1 {
				t.Errorf("%s: %d took it, want 1", key, won.Load())
			}
		}
	})
}
