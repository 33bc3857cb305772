package signal

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

// everything commits an event of each type and kind that other systems hear of, and returns what a stream that hears all
// of them gets, in order.
func (w *wire) everything(p *account.Person) (want []string) {
	w.t.Helper()
	with := func(pairs ...any) func(event.Event) event.Event {
		return func(e event.Event) event.Event {
			for i := 0; i+1 < len(pairs); i += 2 {
				e = e.With(pairs[i].(string), pairs[i+1])
			}
			return e.Sealed("to", "a••@home.example").Sealed("agent", "secret-canary")
		}
	}
	told := func(t event.Type, changes ...func(event.Event) event.Event) {
		w.clock.pass(time.Second)
		for _, name := range meanings(w.commit(p, t, changes...)) {
			want = append(want, uri(name))
		}
	}
	told(event.AttemptProved, with("action", "reset"))
	told(event.PasswordReset, with("action", "reset", "directory", "staff"))
	told(event.PasswordChanged, with("action", "change"))
	told(event.AccountUnlocked)
	for _, k := range []method.Kind{method.SMS, method.Voice, method.TOTP, method.HOTP, method.Passkey, method.Email, method.RecoveryCode} {
		told(event.MethodAdded, with("kind", string(k), "method", "m1"))
		told(event.MethodChanged, with("kind", string(k), "method", "m1", "status", string(method.Disabled)))
		told(event.MethodRemoved, with("kind", string(k), "method", "m1"))
	}
	told(event.MethodChanged, with("kind", "sms", "why", "renamed")) // nobody's news
	told(event.AttemptDisputed, with("action", "reset"))
	told(event.PersonDeactivated)
	return want
}

// names of the events, in the order in which they were taken.
func types(all []taken) (out []string) {
	for _, e := range all {
		out = append(out, e.Type)
	}
	return out
}

// counted is how often each stands in a list: what an act means goes out in no order within the act.
func counted(all []string) map[string]int {
	n := map[string]int{}
	for _, s := range all {
		n[s]++
	}
	return n
}

func TestAStrictReceiverTakesEveryEventPushedAndPolledInEveryFormat(t *testing.T) {
	for _, format := range []client.SubjectFormat{client.FormatIssSub, client.FormatEmail, client.FormatOpaque} {
		t.Run(string(format), func(t *testing.T) {
			w := newWire(t)
			r := w.receiver("crm", format)
			// C10: what names somebody stands in the subject, in the one format, or nowhere.
			words := []string{"ada.login", "ada Display", "home.example", "ext-ada", "secret-canary", w.ada.ID}
			if format != client.FormatEmail {
				words = append(words, "ada@alder.example")
			}
			if format != client.FormatIssSub {
				words = append(words, "sub-ada", "idp.alder.example")
			}
			s := w.strict(r, words...)
			s.line(map[string]any{"order": "begin"}, nil)
			s.line(map[string]any{"order": "token", "post": format == client.FormatEmail}, nil)
			var push, poll document
			s.line(map[string]any{"order": "create", "method": methodPush, "header": "Bearer header-canary", "description": "pushed"}, &push)
			s.line(map[string]any{"order": "create", "method": methodPoll}, &poll)

			want := w.everything(w.ada)
			s.line(map[string]any{"order": "now", "now": w.clock.now().Unix()}, nil)
			w.deliver()
			var fetched int
			s.line(map[string]any{"order": "poll", "stream": poll.ID, "most": 5}, &fetched)
			for name, stream := range map[string]string{"pushed": push.ID, "polled": poll.ID} {
				got := s.events(stream)
				if !maps.Equal(counted(types(got)), counted(want)) {
					t.Errorf("%s: got %d events %v, want %d %v", name, len(got), counted(types(got)), len(want), counted(want))
				}
				for i, e := range got {
					if e.Times != 1 {
						t.Errorf("%s: %s came %d times", name, e.Type, e.Times)
					}
					if i > 0 && e.Issued < got[i-1].Issued {
						t.Errorf("%s: %s of %d came after %s of %d: not in order", name, e.Type, e.Issued, got[i-1].Type, got[i-1].Issued)
					}
				}
			}
			if got := w.waitingIn(poll.ID); len(got) != 0 || fetched != len(want) {
				t.Errorf("%d were fetched, and %d still wait", fetched, len(got))
			}
			// The same act has the same txn in each of its events.
			byTxn := map[string][]string{}
			for _, e := range s.events(push.ID) {
				byTxn[e.Txn] = append(byTxn[e.Txn], strings.TrimPrefix(strings.TrimPrefix(e.Type, caepEvents), riscEvents))
			}
			if !slices.ContainsFunc(slices.Collect(maps.Values(byTxn)), func(l []string) bool {
				slices.Sort(l)
				return slices.Equal(l, []string{"credential-change", "session-revoked"})
			}) {
				t.Errorf("no reset has one txn: %v", byTxn)
			}

			for _, stream := range []string{push.ID, poll.ID} {
				for _, state := range []string{"VGhpcyBpcyBhbiBleGFtcGxl", `quo"te <ä> ` + strings.Repeat("x", 400)} {
					w.verified(s, stream, state)
				}
			}
			s.unbroken()
		})
	}
}

// verified asks for a verification event and has the receiver judge it.
func (w *wire) verified(s *strict, stream, state string) {
	w.t.Helper()
	w.clock.pass(minVerification * time.Second)
	s.line(map[string]any{"order": "now", "now": w.clock.now().Unix()}, nil)
	before := len(s.events(stream))
	var status int
	s.line(map[string]any{"order": "verify", "stream": stream, "state": state}, &status)
	w.deliver()
	if have[*client.Stream](w.t)(w.store.Stream(w.t.Context(), stream)).Delivery == client.DeliverPoll {
		s.line(map[string]any{"order": "poll", "stream": stream}, nil)
	}
	if after := s.events(stream); status != 204 || len(after) != before+1 || after[before].Event["state"] != state {
		w.t.Errorf("verification: status %d, %d events after %d", status, len(after), before)
	}
}

// deliver does the work until nothing waits for its turn, with the clock.
func (w *wire) deliver() {
	w.t.Helper()
	for range 200 {
		w.work()
		waits := 0
		for _, l := range have[[]store.Load](w.t)(w.store.Backlog(w.t.Context(), w.clock.now())) {
			if l.Kind == pushKind || l.Kind == string(event.RouteSignal) {
				waits += l.Due + l.Later
			}
		}
		if waits == 0 {
			return
		}
		w.clock.pass(250 * time.Millisecond)
	}
	w.t.Fatal("deliveries do not end")
}
