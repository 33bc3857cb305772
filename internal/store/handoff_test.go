package store_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// sent is a handoff of an app, open in a browser.
func sent(name string) *client.Handoff {
	return &client.Handoff{
		App: id(), Key: "shop", State: client.HandoffOpen, Action: client.ActionReset, Cookie: digest("cookie of " + name),
		Redirect: "https://shop.example/canary-redirect", Param: "canary-state", Nonce: "canary-nonce", Challenge: "canary-challenge", Hint: "canary-hint", Lang: "de", About: "canary-about",
		Created: noon, Expires: noon.Add(client.OpenLife),
	}
}

// pushed is one the app deposited.
func pushed(name string) *client.Handoff {
	h := sent(name)
	h.State, h.Cookie, h.Request, h.Expires = client.HandoffPushed, nil, digest("request of "+name), noon.Add(client.PushedLife)
	return h
}

// answer is what the end of a try makes of a handoff.
func answer(person string, epoch int64, code []byte) func(*client.Handoff) ([]event.Event, error) {
	return func(h *client.Handoff) ([]event.Event, error) {
		h.State, h.Attempt, h.Person, h.Epoch, h.Code, h.Until = client.HandoffAnswered, "attempt", person, epoch, code, noon.Add(client.CodeLife)
		h.Result = client.Result{Action: client.ActionReset, Status: client.StatusDone, Proofs: []string{"mail", "phone"}, Time: noon.Unix(), Txn: "txn", SignIn: "https://idp.example/"}
		h.Hint = ""
		return []event.Event{event.New(noon, event.HandoffAnswered, "person:"+person, person, h.ID, event.Success)}, nil
	}
}

// byCode changes the handoff of a code.
func byCode(ctx context.Context, s *store.Store, code string, change func(*client.Handoff) ([]event.Event, error)) (*client.Handoff, error) {
	h, _, err := s.HandoffByCode(ctx, digest(code))
	if err != nil || h == nil {
		return nil, errors.Join(err, errors.New("no handoff of that code"))
	}
	return s.UpdateHandoff(ctx, h, change)
}

func TestAHandoffReadsAsItWasMadeAndHoldsNothingTheAppAskedInClear(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := sent("one")
		must(t, s.CreateHandoff(t.Context(), h, event.New(noon, event.HandoffOpened, "app:shop", "", "", event.Success)))
		if h.ID == "" || h.Version != 1 {
			t.Errorf("made: %+v", h)
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'handoff.opened'`)
		count(t, s, 0, `SELECT count(*) FROM handoffs WHERE `+holds(s, "sealed"), "canary")
		same(t, "by cookie", ok[*client.Handoff](t)(s.HandoffByCookie(t.Context(), h.Cookie)), h)

		p := known(t, s)
		got := ok[*client.Handoff](t)(s.UpdateHandoff(t.Context(), h, answer(p.ID, p.Epoch, digest("code"))))
		want := *h
		if _, err := answer(p.ID, p.Epoch, digest("code"))(&want); err != nil {
			t.Fatal(err)
		}
		want.Version = 2
		same(t, "answered", got, &want)
		want.LiveEpoch, want.LiveActive = p.Epoch, true
		same(t, "read again", ok[*client.Handoff](t)(s.HandoffByCookie(t.Context(), h.Cookie)), &want)

		got = ok[*client.Handoff](t)(byCode(t.Context(), s, "code", func(h *client.Handoff) ([]event.Event, error) {
			same(t, "by code", h, &want)
			h.State, h.Token, h.Until = client.HandoffRedeemed, digest("token"), noon.Add(client.AccessLife)
			return nil, nil
		}))
		same(t, "by token", ok[*client.Handoff](t)(s.HandoffByToken(t.Context(), digest("token"))), got)
		of := func(code []byte) (*client.Handoff, error) {
			h, _, err := s.HandoffByCode(t.Context(), code)
			return h, err
		}
		for what, none := range map[string]func() (*client.Handoff, error){
			"another cookie":       func() (*client.Handoff, error) { return s.HandoffByCookie(t.Context(), digest("other")) },
			"no cookie":            func() (*client.Handoff, error) { return s.HandoffByCookie(t.Context(), nil) },
			"an empty cookie":      func() (*client.Handoff, error) { return s.HandoffByCookie(t.Context(), []byte{}) },
			"a code for a cookie":  func() (*client.Handoff, error) { return s.HandoffByCookie(t.Context(), digest("code")) },
			"another code":         func() (*client.Handoff, error) { return of(digest("other")) },
			"no code":              func() (*client.Handoff, error) { return of(nil) },
			"a token for a code":   func() (*client.Handoff, error) { return of(digest("token")) },
			"another token":        func() (*client.Handoff, error) { return s.HandoffByToken(t.Context(), digest("other")) },
			"no token":             func() (*client.Handoff, error) { return s.HandoffByToken(t.Context(), nil) },
			"the token of no rows": func() (*client.Handoff, error) { return s.HandoffByToken(t.Context(), h.Cookie) },
		} {
			if got, err := none(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
		gone := new(*h) // read, and swept since
		gone.ID = id()
		falter := func(h *client.Handoff) ([]event.Event, error) { h.Why = client.WhyDown; return nil, nil }
		if got, err := s.UpdateHandoff(t.Context(), gone, falter); got != nil || !fault.Is(err, fault.NotFound) {
			t.Errorf("one that is gone: %v, %v", got, err)
		}
	})
}

func TestAHandoffKnowsWhenItsPersonsEpochMoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		h := sent("one")
		must(t, s.CreateHandoff(t.Context(), h))
		ok[*client.Handoff](t)(s.UpdateHandoff(t.Context(), h, answer(p.ID, p.Epoch, digest("code"))))
		live := func() (int64, bool) {
			t.Helper()
			got := ok[*client.Handoff](t)(byCode(t.Context(), s, "code", func(*client.Handoff) ([]event.Event, error) { return nil, store.ErrUnchanged }))
			return got.LiveEpoch - got.Epoch, got.LiveActive
		}
		if behind, active := live(); behind != 0 || !active {
			t.Errorf("at first: %d behind, %v", behind, active)
		}
		epochMoves(t, s, p)
		if behind, _ := live(); behind != 1 {
			t.Errorf("after a reset: %d behind", behind)
		}
		// The try's own epoch is read beside it: what became known of it is told from what somebody else did.
		a := attempt()
		a.Person, a.Epoch = p.ID, p.Epoch+1
		must(t, s.CreateAttempt(t.Context(), a))
		tried := ok[*client.Handoff](t)(s.UpdateHandoff(t.Context(), h, func(h *client.Handoff) ([]event.Event, error) {
			h.Attempt = a.ID
			return nil, nil
		}))
		if tried.LiveTry != 0 {
			t.Errorf("of no try: %d", tried.LiveTry)
		}
		if got := ok[*client.Handoff](t)(s.HandoffByCookie(t.Context(), h.Cookie)); got.LiveTry != p.Epoch+1 || got.LiveEpoch != p.Epoch+1 {
			t.Errorf("the try moved them to %d, they are at %d; want %d", got.LiveTry, got.LiveEpoch, p.Epoch+1)
		}
		must(t, s.DeletePerson(t.Context(), p.ID, "", 0))
		if behind, active := live(); behind != -p.Epoch || active {
			t.Errorf("deleted: %d behind, %v", behind, active)
		}
	})
}

func TestWhatAnAppAskedAndWhichBrowserHasItDoNotChange(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := sent("one")
		must(t, s.CreateHandoff(t.Context(), h))
		got := ok[*client.Handoff](t)(s.UpdateHandoff(t.Context(), h, func(h *client.Handoff) ([]event.Event, error) {
			h.ID, h.App, h.Key, h.Action, h.Request, h.Cookie = id(), "other", "other", client.ActionUnlock, digest("other"), digest("another")
			h.Redirect, h.Param, h.Nonce, h.Challenge, h.Lang, h.About, h.Created = "https://evil.example/", "x", "x", "x", "fr", "x", noon.Add(time.Hour)
			h.LiveEpoch, h.LiveActive, h.LiveTry, h.Version = 7, true, 7, 9
			h.Cookie[0], h.Hint, h.Attempt, h.Why = 'x', "", "attempt", "why"
			return nil, nil
		}))
		want := *h
		want.Version, want.Hint, want.Attempt, want.Why = 2, "", "attempt", "why"
		same(t, "after", got, &want)
		same(t, "read", ok[*client.Handoff](t)(s.HandoffByCookie(t.Context(), h.Cookie)), &want)

		before := ok[int64](t)(s.Count(t.Context(), `SELECT count(*) FROM events`))
		for range 2 { // a fact that changes nothing is noted, and the version stays
			ok[*client.Handoff](t)(s.UpdateHandoff(t.Context(), h, func(*client.Handoff) ([]event.Event, error) {
				return []event.Event{event.New(noon, event.HandoffRefused, "app:shop", "", h.ID, event.Success)}, nil
			}))
		}
		count(t, s, before+2, `SELECT count(*) FROM events`)
		count(t, s, 2, `SELECT version FROM handoffs`)
		no := errors.New("no")
		if _, err := s.UpdateHandoff(t.Context(), h, func(h *client.Handoff) ([]event.Event, error) { h.Why = "other"; return nil, no }); !errors.Is(err, no) {
			t.Errorf("got %v", err)
		}
		count(t, s, 1, `SELECT count(*) FROM handoffs WHERE why = 'why'`)

		// h is what was read before all that: it is read again before it is changed, and stays as it is.
		runs := 0
		got = ok[*client.Handoff](t)(s.UpdateHandoff(t.Context(), h, func(h *client.Handoff) ([]event.Event, error) {
			runs++
			h.Why += " not"
			return nil, nil
		}))
		if runs != 2 || got.Why != "why not" || got.Version != 3 || h.Version != 1 || h.Why != "" {
			t.Errorf("%d runs, why %q, version %d; what was read says %d, %q", runs, got.Why, got.Version, h.Version, h.Why)
		}
	})
}

func TestAPushedRequestIsOpenedOnceInTimeByItsAppOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := pushed("one")
		must(t, s.CreateHandoff(t.Context(), h))
		last := h.Expires.Add(-time.Microsecond)
		open := func(request []byte, app string, now time.Time) (*client.Handoff, error) {
			return s.OpenHandoff(t.Context(), request, app, digest("cookie"), now, func(h *client.Handoff) []event.Event {
				h.Expires = now.Add(client.OpenLife)
				return []event.Event{event.New(now, event.HandoffOpened, "app:shop", "", h.ID, event.Success)}
			})
		}
		for what, try := range map[string]func() (*client.Handoff, error){
			"another app":     func() (*client.Handoff, error) { return open(h.Request, id(), noon) },
			"an app with NUL": func() (*client.Handoff, error) { return open(h.Request, h.App+"\x00", noon) },
			"another request": func() (*client.Handoff, error) { return open(digest("other"), h.App, noon) },
			"no request":      func() (*client.Handoff, error) { return open(nil, h.App, noon) },
			"too late":        func() (*client.Handoff, error) { return open(h.Request, h.App, h.Expires) },
		} {
			if got, err := try(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
		if _, err := s.OpenHandoff(t.Context(), h.Request, h.App, nil, noon, func(*client.Handoff) []event.Event { return nil }); err == nil {
			t.Error("opened in no browser")
		}
		count(t, s, 0, `SELECT count(*) FROM events`)
		got := ok[*client.Handoff](t)(open(h.Request, h.App, last))
		want := *h
		want.Version, want.State, want.Cookie, want.Expires = 2, client.HandoffOpen, digest("cookie"), last.Add(client.OpenLife)
		same(t, "opened", got, &want)
		same(t, "read", ok[*client.Handoff](t)(s.HandoffByCookie(t.Context(), digest("cookie"))), &want)
		count(t, s, 1, `SELECT count(*) FROM events`)
		if again, err := open(h.Request, h.App, last); again != nil || err != nil {
			t.Errorf("opened again: %v, %v", again, err)
		}
	})
}

func TestOfManyBrowsersThatOpenARequestOneGetsIt(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		replicas := twoReplicas(t, kind)
		h := pushed("one")
		must(t, replicas[0].CreateHandoff(t.Context(), h))
		var won atomic.Int64
		for _, err := range race(24, func(i int) error {
			got, err := replicas[i%2].OpenHandoff(t.Context(), h.Request, h.App, digest("cookie "+string(rune('a'+i))), noon, func(h *client.Handoff) []event.Event {
				return []event.Event{event.New(noon, event.HandoffOpened, "app:shop", "", h.ID, event.Success)}
			})
			if got != nil {
				won.Add(1)
			}
			return err
		}) {
			must(t, err)
		}
		if won.Load() != 1 {
			t.Errorf("%d got it, want 1", won.Load())
		}
		count(t, replicas[0], 1, `SELECT count(*) FROM events`)
	})
}

// twoReplicas are two stores on one database, and twice the same one on an engine that has one process.
func twoReplicas(t *testing.T, kind store.Kind) [2]*store.Store {
	t.Helper()
	c := store.Config{URL: storetest.URL(t, kind), Ring: storetest.Ring()}
	here := storetest.OpenConfig(t, c)
	if kind == store.SQLite {
		return [2]*store.Store{here, here}
	}
	return [2]*store.Store{here, storetest.OpenConfig(t, c)}
}

func TestOfManyWhoRedeemACodeOneDoesAndTheOthersAreNoted(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		replicas := twoReplicas(t, kind)
		s := replicas[0]
		p := known(t, s)
		h := sent("one")
		must(t, s.CreateHandoff(t.Context(), h))
		ok[*client.Handoff](t)(s.UpdateHandoff(t.Context(), h, answer(p.ID, p.Epoch, digest("code"))))
		var won atomic.Int64
		for _, err := range race(24, func(i int) error {
			first := false
			_, err := byCode(t.Context(), replicas[i%2], "code", func(h *client.Handoff) ([]event.Event, error) {
				first = h.State == client.HandoffAnswered
				if !first {
					return []event.Event{event.New(noon, event.HandoffRefused, "app:shop", h.Person, h.ID, event.Failure)}, nil
				}
				h.State, h.Token, h.Until = client.HandoffRedeemed, digest("token "+string(rune('a'+i))), noon.Add(client.AccessLife)
				return []event.Event{event.New(noon, event.HandoffRedeemed, "app:shop", h.Person, h.ID, event.Success)}, nil
			})
			if first && err == nil {
				won.Add(1)
			}
			return err
		}) {
			must(t, err)
		}
		if won.Load() != 1 {
			t.Errorf("%d redeemed it, want 1", won.Load())
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'handoff.redeemed'`)
		count(t, s, 23, `SELECT count(*) FROM events WHERE type = 'handoff.refused'`)
		// Somebody who takes the token back for each of them is done, too.
		for _, err := range race(24, func(i int) error {
			_, err := byCode(t.Context(), replicas[i%2], "code", func(h *client.Handoff) ([]event.Event, error) { h.Token = nil; return nil, nil })
			return err
		}) {
			must(t, err)
		}
		count(t, s, 1, `SELECT count(*) FROM handoffs WHERE token IS NULL AND code IS NOT NULL`)
	})
}

func TestAHandoffThatCannotBeStoredIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for what, spoil := range map[string]func(*client.Handoff){
			"a state with NUL":         func(h *client.Handoff) { h.Param = "a\x00b" },
			"a state that is no UTF-8": func(h *client.Handoff) { h.Param = "\xff" },
			"a nonce that is no UTF-8": func(h *client.Handoff) { h.Nonce = "\xc3\x28" },
			"a hint with NUL":          func(h *client.Handoff) { h.Hint = "\x00" },
			"a key that is no UTF-8":   func(h *client.Handoff) { h.Key = "\xff" },
			"a reason with NUL":        func(h *client.Handoff) { h.Why = "\x00" },
			"a state longer than any":  func(h *client.Handoff) { h.Param = strings.Repeat("x", 17<<10) },
		} {
			h := sent("one")
			spoil(h)
			if err := s.CreateHandoff(t.Context(), h); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for what, spoil := range map[string]func(*client.Handoff){
			"open without a browser":  func(h *client.Handoff) { h.Cookie = nil },
			"open with a request":     func(h *client.Handoff) { h.Request = digest("r") },
			"pushed without request":  func(h *client.Handoff) { h.State, h.Cookie = client.HandoffPushed, nil },
			"pushed with a browser":   func(h *client.Handoff) { h.State, h.Request = client.HandoffPushed, digest("r") },
			"answered from the start": func(h *client.Handoff) { h.State = client.HandoffAnswered },
		} {
			h := sent("one")
			spoil(h)
			if err := s.CreateHandoff(t.Context(), h); err == nil {
				t.Errorf("%s: taken", what)
			}
		}
		count(t, s, 0, `SELECT count(*) FROM handoffs`)

		for _, name := range []string{"two", "three"} { // an empty handle is none: no row is found by it, and it is nobody else's
			h := sent(name)
			must(t, s.CreateHandoff(t.Context(), h))
			ok[*client.Handoff](t)(s.UpdateHandoff(t.Context(), h, func(h *client.Handoff) ([]event.Event, error) {
				h.Code, h.Token, h.Why = []byte{}, []byte{}, "why"
				return nil, nil
			}))
		}
		count(t, s, 2, `SELECT count(*) FROM handoffs WHERE code IS NULL AND token IS NULL AND why = 'why'`)

		longest := sent("long")
		longest.Param = strings.Repeat("x", 15<<10)
		must(t, s.CreateHandoff(t.Context(), longest))
		same(t, "a long state", ok[*client.Handoff](t)(s.HandoffByCookie(t.Context(), longest.Cookie)), longest)
	})
}

func TestWhatIsSealedInAHandoffOpensInNoOtherRow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		one, two := sent("one"), sent("two")
		must(t, s.CreateHandoff(t.Context(), one))
		must(t, s.CreateHandoff(t.Context(), two))
		must(t, s.Exec(t.Context(), `UPDATE handoffs SET sealed = (SELECT sealed FROM handoffs o WHERE o.id = '`+one.ID+`') WHERE id = '`+two.ID+`'`))
		if got, err := s.HandoffByCookie(t.Context(), two.Cookie); err == nil {
			t.Errorf("another row's request was read: %+v", got)
		}
		ok[*client.Handoff](t)(s.HandoffByCookie(t.Context(), one.Cookie))
	})
}

func TestAHandoffStaysADayAfterItsTimeSoThatACodeShownAgainIsKnown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		h, deposited := sent("one"), pushed("two")
		must(t, s.CreateHandoff(t.Context(), h))
		must(t, s.CreateHandoff(t.Context(), deposited))
		ok[*client.Handoff](t)(s.UpdateHandoff(t.Context(), h, answer(p.ID, p.Epoch, digest("code"))))
		for _, step := range []struct {
			at   time.Time
			left int64
		}{
			{deposited.Expires.Add(24*time.Hour - time.Microsecond), 2}, {deposited.Expires.Add(24 * time.Hour), 1},
			{h.Expires.Add(24*time.Hour - time.Microsecond), 1}, {h.Expires.Add(24 * time.Hour), 0},
		} {
			ok[int64](t)(s.SweepSignIns(t.Context(), step.at))
			count(t, s, step.left, `SELECT count(*) FROM handoffs`)
		}
	})
}

func TestAHandoffComesWithItsAppAndWithNoOtherThatHasItsKeyNow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := shop()
		must(t, s.CreateApp(t.Context(), a))
		h := sent("one")
		h.App, h.Key = a.ID, a.Key
		must(t, s.CreateHandoff(t.Context(), h))
		both := func() (*client.Handoff, *client.App) {
			t.Helper()
			handoff, app, err := s.HandoffAndApp(t.Context(), h.Cookie)
			must(t, err)
			return handoff, app
		}
		handoff, app := both()
		same(t, "the handoff", handoff, ok[*client.Handoff](t)(s.HandoffByCookie(t.Context(), h.Cookie)))
		same(t, "the app", app, ok[*client.App](t)(s.App(t.Context(), a.Key)))

		must(t, s.DeleteApp(t.Context(), a.Key))
		another := shop()
		another.ID = ""
		must(t, s.CreateApp(t.Context(), another))
		if handoff, app := both(); handoff == nil || app != nil {
			t.Errorf("of an app that was deleted: %v, %v", handoff, app)
		}
		if handoff, app, err := s.HandoffAndApp(t.Context(), digest("other")); handoff != nil || app != nil || err != nil {
			t.Errorf("of another cookie: %v, %v, %v", handoff, app, err)
		}
	})
}
