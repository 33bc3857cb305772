package app

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/ldap"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/pkg/directory"
)

// What a page says of a password.
const (
	saysChanged    = "Your password is changed"
	saysUnknown    = "We could not confirm the change"
	saysUnresolved = "We could not find out what happened"
	saysRunning    = "Another change of this account is under way"
)

// memoryAt is the directory in memory with something done just before and just after a password is written.
type memoryAt struct {
	*memory.Directory
	before, after func()
}

func (m *memoryAt) Reset(ctx context.Context, r directory.ResetRequest) (directory.Result, error) {
	if m.before != nil {
		m.before()
	}
	res, err := m.Directory.Reset(ctx, r)
	if m.after != nil {
		m.after()
	}
	return res, err
}

// ldapAt is the same for a real directory.
type ldapAt struct {
	*ldap.Adapter
	before func()
}

func (l *ldapAt) Reset(ctx context.Context, r directory.ResetRequest) (directory.Result, error) {
	if l.before != nil {
		l.before()
	}
	return l.Adapter.Reset(ctx, r)
}

// impatient makes a world whose directory in memory is waited for only shortly.
func impatient(t *testing.T, kind store.Kind, patience time.Duration) (*world, *memoryAt) {
	t.Helper()
	at := &memoryAt{}
	w := newWorld(t, scene{kind: kind, change: func(s *Setup) {
		d := &s.Directories[0]
		d.Timeout, d.Patience = 100*time.Millisecond, patience
		at.Directory = d.Adapter.(*memory.Directory)
		d.Adapter = at
	}})
	return w, at
}

// told fails the test when a page says something of the password that is not so.
func (w *world) told(p *somebody, s sight, old, fresh string) {
	w.t.Helper()
	oldWorks, freshWorks := w.signsIn(p, old), w.signsIn(p, fresh)
	if oldWorks == freshWorks && old != fresh {
		w.t.Fatalf("the old password signs in: %v, the new one: %v", oldWorks, freshWorks)
	}
	switch {
	case s.H1 == saysChanged:
		if !freshWorks {
			w.t.Errorf("the page says %q and the new password does not sign in", s.H1)
		}
	case s.H1 == saysUnknown, s.H1 == saysUnresolved:
		if !strings.Contains(s.Text, "may or may not be in place") {
			w.t.Errorf("a page about an unknown outcome does not say so: %s", s.Text)
		}
	case strings.Contains(s.Text, "Nothing was changed"), strings.Contains(s.Text, "Nothing has been changed"):
		if !oldWorks {
			w.t.Errorf("the page says that nothing was changed and the old password does not sign in: %s", s.Text)
		}
	}
}

// letters counts the notices at an address: of what was done, and of what may have been done.
func (w *world) notices(to string) (done, maybe int) {
	for _, l := range w.mail.Letters(to) {
		switch {
		case strings.Contains(l.Subject, "was reset"):
			done++
		case strings.Contains(l.Subject, "may have been changed"):
			maybe++
		}
	}
	return done, maybe
}

// stands waits until the page of the try has a heading.
func (v *visitor) stands(heading string) sight {
	v.w.t.Helper()
	var s sight
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(15 * time.Millisecond) {
		if s = v.get("/progress"); s.H1 == heading {
			return s
		}
	}
	v.w.t.Fatalf("the page says %q, want %q\n%s", s.H1, heading, s.Text)
	return s
}

func TestWhatIsSaidOfAnUnansweredWriteIsTrue(t *testing.T) {
	for _, c := range []struct {
		fault   memory.Fault
		end     string // what the page says in the end
		changed bool
		done    int // notices that it was done
	}{
		{memory.Fault{Kind: memory.TimeoutBeforeWrite}, saysUnresolved, false, 0},
		{memory.Fault{Kind: memory.TimeoutAfterWrite}, saysChanged, true, 1},
		{memory.Fault{Kind: memory.LateWrite, Delay: 150 * time.Millisecond}, saysChanged, true, 1},
		{memory.Fault{Kind: memory.Silent}, saysUnresolved, false, 0},
	} {
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			t.Parallel()
			w, at := impatient(t, "", 600*time.Millisecond)
			ada := w.add("ada", method.Email, method.SMS)
			at.before = func() { w.memory.SetFault(c.fault) }
			v := w.visitor()
			v.proveTwice(ada)
			first := v.post("/new-password", "password", fresh).want(t, 200, "/progress")
			if first.H1 != saysUnknown && first.H1 != saysChanged {
				t.Errorf("the page says %q", first.H1)
			}
			w.told(ada, first, ada.Password, fresh)
			if first.H1 == saysUnknown && first.Header.Get("Refresh") == "" {
				t.Error("the page does not look again by itself")
			}
			last := v.stands(c.end)
			w.told(ada, last, ada.Password, fresh)
			if got := w.signsIn(ada, fresh); got != c.changed {
				t.Errorf("the new password signs in: %v, want %v", got, c.changed)
			}
			eventually(t, "a notice that the password may have been changed, and one if it was", func() bool {
				done, maybe := w.notices(ada.Login)
				return maybe == 1 && done == c.done
			})
			if done, _ := w.notices(ada.Email); c.done == 0 && done != 0 {
				t.Error("a letter says that the password was reset")
			}
			for _, x := range w.sms.Texts(ada.Phone) {
				if strings.Contains(x.Body, "Your password was reset") && !c.changed {
					t.Errorf("a text message says that the password was reset: %s", x.Body)
				}
			}
			if n := w.count(ada.ID, event.WriteUnknown); n != 1 {
				t.Errorf("%d events say that the outcome is unknown, want 1", n)
			}
			if n := w.count(ada.ID, event.PasswordReset); (n == 1) != c.changed || n > 1 {
				t.Errorf("%d events say that the password was reset; it was: %v", n, c.changed)
			}
		})
	}
}

func TestADirectoryThatCannotBeReachedChangedNothingAndThePageSaysSo(t *testing.T) {
	for name, at := range map[string]bool{"before the account is looked up": false, "between looking it up and the write": true} {
		t.Run(name, func(t *testing.T) {
			w, hook := impatient(t, "", 200*time.Millisecond)
			ada := w.add("ada", method.Email, method.SMS)
			v := w.visitor()
			v.proveTwice(ada)
			down := func() { w.memory.SetFault(memory.Fault{Kind: memory.Unavailable}) }
			if at {
				hook.before = down
			} else {
				down()
			}
			s := v.post("/new-password", "password", fresh)
			if !strings.Contains(s.Text, "We cannot reach the directory right now. Nothing was changed.") || s.Status < 400 {
				t.Errorf("status %d: %s", s.Status, s.Text)
			}
			if strings.Contains(s.HTML, fresh) {
				t.Error("the page shows the password")
			}
			hook.before = nil
			w.memory.SetFault(memory.Fault{Kind: memory.None})
			w.told(ada, s, ada.Password, fresh)
			v.get("/progress").want(t, 200, "/new-password")
			w.told(ada, v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysChanged), ada.Password, fresh)
			if done, maybe := w.notices(ada.Login); maybe != 0 || done > 1 {
				t.Errorf("%d notices that it may, %d that it was changed", maybe, done)
			}
		})
	}
}

// unresolved takes a person to the page that says that nobody could find out. The password is written, or not.
func unresolved(t *testing.T, written bool) (*world, *somebody, *visitor) {
	t.Helper()
	w, at := impatient(t, "", 150*time.Millisecond)
	ada := w.add("ada", method.Email, method.SMS)
	kind := memory.TimeoutBeforeWrite
	if written {
		kind = memory.TimeoutAfterWrite
	}
	at.before = func() { w.memory.SetFault(memory.Fault{Kind: kind}) }
	at.after = func() { w.memory.SetFault(memory.Fault{Kind: memory.Silent}) }
	v := w.visitor()
	v.proveTwice(ada)
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysUnknown)
	w.told(ada, v.stands(saysUnresolved), ada.Password, fresh)
	at.before, at.after = nil, nil
	w.memory.SetFault(memory.Fault{Kind: memory.None})
	if got := w.signsIn(ada, fresh); got != written {
		t.Fatalf("the new password signs in: %v, want %v", got, written)
	}
	return w, ada, v
}

func TestTheSamePasswordTriedAgainAndRefusedAsUsedBeforeIsDone(t *testing.T) {
	w, ada, v := unresolved(t, true)
	v.post("/try-again").want(t, 200, "/new-password")
	w.told(ada, v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysChanged), ada.Password, fresh)
	if n := w.count(ada.ID, event.PasswordReset); n != 1 {
		t.Errorf("%d events say that the password was reset, want 1", n)
	}
	eventually(t, "a notice that it was reset", func() bool { done, _ := w.notices(ada.Login); return done == 1 })
}

func TestAnotherPasswordAfterAnUnresolvedWriteIsTheOneThatCounts(t *testing.T) {
	const second = "two herons stand in the rain"
	for name, written := range map[string]bool{"the first was written": true, "the first was not written": false} {
		t.Run(name, func(t *testing.T) {
			w, ada, v := unresolved(t, written)
			v.post("/try-again").want(t, 200, "/new-password")
			v.post("/new-password", "password", second).want(t, 200, "/progress", saysChanged)
			if !w.signsIn(ada, second) || w.signsIn(ada, fresh) || w.signsIn(ada, ada.Password) {
				t.Error("the password set last is not the one that signs in, or not the only one")
			}
		})
	}
}

// Found by this test: a refusal as "used before" of a password that signs in was taken for the first try's, and somebody
// who typed the old password was told that it no longer works.
func TestTheOldPasswordTypedAgainIsNotTakenForAChange(t *testing.T) {
	w, ada, v := unresolved(t, false)
	v.post("/try-again").want(t, 200, "/new-password")
	s := v.post("/new-password", "password", ada.Password)
	if s.H1 == saysChanged || s.Problem == "" {
		t.Errorf("the page says %q: %s", s.H1, s.Text)
	}
	if n := w.count(ada.ID, event.PasswordReset); n != 0 {
		t.Error("an event says that the password was reset")
	}
	w.told(ada, v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysChanged), ada.Password, fresh)
}

func TestAnUnresolvedWriteIsTriedOnceMoreAndNotTwice(t *testing.T) {
	w, at := impatient(t, "", 100*time.Millisecond)
	ada := w.add("ada", method.Email, method.SMS)
	at.before = func() { w.memory.SetFault(memory.Fault{Kind: memory.TimeoutBeforeWrite}) }
	v := w.visitor()
	v.proveTwice(ada)
	v.post("/new-password", "password", fresh)
	v.stands(saysUnresolved)
	v.post("/try-again").want(t, 200, "/new-password")
	v.post("/new-password", "password", fresh)
	if s := v.stands(saysUnresolved); strings.Contains(s.HTML, "/try-again") {
		t.Error("a third try is offered")
	}
	if s := v.post("/try-again"); s.H1 != saysUnresolved {
		t.Errorf("a third try leads to %s: %s", s.Path, s.Text)
	}
	w.told(ada, v.get("/progress"), ada.Password, fresh)
}

func TestABrowserThatGoesAwayDuringTheWriteLosesNothing(t *testing.T) {
	w, at := impatient(t, "", time.Second)
	ada := w.add("ada", method.Email, method.SMS)
	arrived, release := make(chan struct{}), make(chan struct{})
	at.before = func() { close(arrived); <-release }
	v := w.visitor()
	v.proveTwice(ada)
	ctx, leave := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+"/new-password", strings.NewReader("password="+strings.ReplaceAll(fresh, " ", "+")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}}
	gone := make(chan error, 1)
	go func() {
		res, err := v.client.Do(r)
		if err == nil {
			res.Body.Close()
		}
		gone <- err
	}()
	<-arrived
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatalf("the browser got %v", err)
	}
	close(release)
	w.told(ada, v.stands(saysChanged), ada.Password, fresh)
	eventually(t, "a notice", func() bool { done, _ := w.notices(ada.Login); return done == 1 })
}

func TestTwoTriesOfOnePersonOnTwoReplicasWriteOneAtATime(t *testing.T) {
	w, at := impatient(t, store.PostgreSQL, time.Second)
	w.setup.Directories[0].Timeout = 5 * time.Second
	ada := w.add("ada", method.Email, method.SMS)
	second := w.open()
	other := httptest.NewServer(second.Handler)
	t.Cleanup(func() {
		other.Close()
		if err := second.Store.Close(); err != nil {
			t.Error(err)
		}
	})
	there := *w
	there.base = other.URL
	one, two := w.visitor(), there.visitor()
	one.proveTwice(ada)
	two.proveTwice(ada)
	arrived, release := make(chan struct{}), make(chan struct{})
	at.before = func() { close(arrived); <-release }
	first := make(chan sight, 1)
	go func() { first <- one.post("/new-password", "password", fresh) }()
	<-arrived
	at.before = func() { t.Error("a second write was sent") }
	const late = "two herons stand in the rain"
	s := two.post("/new-password", "password", late)
	if !strings.Contains(s.Text, saysRunning) || !strings.Contains(s.Text, "Nothing more was sent") {
		t.Errorf("the second try is told: %s", s.Text)
	}
	close(release)
	w.told(ada, (<-first).want(t, 200, "/progress", saysChanged), ada.Password, fresh)
	if s := two.post("/new-password", "password", late); s.H1 != "This was ended" {
		t.Errorf("after the first write the second try is told: %s", s.Text)
	}
	if w.signsIn(ada, late) {
		t.Error("the second try wrote its password")
	}
	if n := w.count(ada.ID, event.WriteStarted); n != 1 {
		t.Errorf("%d writes were begun, want 1", n)
	}
}
