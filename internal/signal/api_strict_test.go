package signal

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

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

// heard starts the strict receiver with one stream.
func (w *wire) heard(key string, format client.SubjectFormat, method string, events ...string) (*strict, document) {
	w.t.Helper()
	s := w.strict(w.receiver(key, format))
	s.line(map[string]any{"order": "begin"}, nil)
	s.line(map[string]any{"order": "token"}, nil)
	var d document
	order := map[string]any{"order": "create", "method": method}
	if len(events) > 0 {
		order["events"] = events
	}
	s.line(order, &d)
	return s, d
}

func TestAStrictReceiverOfTheOlderShapeTakesEveryEvent(t *testing.T) {
	w := newWire(t)
	s, push := w.heard("old", client.FormatIssSub, methodOldPush)
	want := w.everything(w.ada)
	s.line(map[string]any{"order": "now", "now": w.clock.now().Unix()}, nil)
	w.deliver()
	if got := s.events(push.ID); len(got) != len(want) || got[0].Subject["sub"] != "sub-ada" {
		t.Errorf("got %d events, want %d: %v", len(got), len(want), got)
	}
	w.verified(s, push.ID, "a state")
	s.unbroken()
}

func TestAStreamGetsWhatItAskedForAndNothingElse(t *testing.T) {
	w := newWire(t)
	s, push := w.heard("crm", client.FormatIssSub, methodPush, caepEvents+"session-revoked", "urn:example:unknown")
	want := slices.DeleteFunc(w.everything(w.ada), func(u string) bool { return u != caepEvents+"session-revoked" })
	s.line(map[string]any{"order": "now", "now": w.clock.now().Unix()}, nil)
	w.deliver()
	if got := types(s.events(push.ID)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	s.unbroken()
}

func TestARotatedKeyIsFoundByAStrictReceiver(t *testing.T) {
	w := newWire(t)
	s, push := w.heard("crm", client.FormatIssSub, methodPush)
	w.commit(w.ada, event.PasswordChanged)
	w.deliver()
	w.signers.rotate(twoKeys()[2])
	w.commit(w.ada, event.PasswordChanged)
	w.deliver()
	if got := s.events(push.ID); len(got) != 2 || head(t, got[0].JWS)["kid"] == head(t, got[1].JWS)["kid"] {
		t.Errorf("got %v", got)
	}
	s.unbroken()
}

// head is the header of a token.
func head(t *testing.T, token string) (h map[string]any) {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	if err := json.Unmarshal(have[[]byte](t)(base64.RawURLEncoding.DecodeString(first)), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAStreamHearsBeforeWePauseOrDisableIt(t *testing.T) {
	w := newWire(t)
	s, push := w.heard("crm", client.FormatIssSub, methodPush)
	var poll document
	s.line(map[string]any{"order": "create", "method": methodPoll}, &poll)
	r := have[*client.Receiver](t)(w.store.Receiver(t.Context(), "crm"))
	set := func(stream string, to client.StreamStatus) {
		t.Helper()
		if _, err := w.store.UpdateStream(t.Context(), stream, func(s *client.Stream) ([]event.Event, error) {
			s.Status, s.Reason = to, "maintenance"
			e := event.New(w.clock.now(), event.StreamChanged, "cli:root", "", stream, event.Success).With("id", stream).With("receiver", r.ID).With("status", string(to)).With("reason", "maintenance")
			return []event.Event{e}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	news := func(stream string) (told []string) {
		t.Helper()
		w.deliver()
		if stream == poll.ID {
			s.line(map[string]any{"order": "poll", "stream": stream}, nil)
		}
		for _, e := range s.events(stream) {
			if e.Type == ssfEvents+"stream-updated" {
				told = append(told, fmt.Sprint(e.Event["status"], " ", e.Event["reason"]))
			} else {
				told = append(told, strings.TrimPrefix(e.Type, caepEvents))
			}
		}
		return told
	}
	for _, stream := range []string{push.ID, poll.ID} {
		set(stream, client.StreamPaused)
		if stream == poll.ID {
			w.commit(w.ada, event.PasswordChanged)
		}
		if got := news(stream); !slices.Equal(got, []string{"paused maintenance"}) {
			t.Errorf("paused: %v", got)
		}
		set(stream, client.StreamEnabled)
		w.deliver()
		w.clock.pass(10 * time.Minute) // a push that waits is looked at now and then
		s.line(map[string]any{"order": "now", "now": w.clock.now().Unix()}, nil)
		got := news(stream)
		want := []string{"paused maintenance", "enabled maintenance"}
		if stream == poll.ID { // what was kept comes now
			want = append(want, "credential-change")
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("enabled again: %v, want %v", got, want)
		}
		set(stream, client.StreamDisabled)
		if got := news(stream); got[len(got)-1] != "disabled maintenance" {
			t.Errorf("disabled: %v", got)
		}
	}
	s.unbroken()
}

func TestC6AnEventIsNoIDTokenAndAnIDTokenNoEvent(t *testing.T) {
	w := newWire(t)
	s, push := w.heard("crm", client.FormatIssSub, methodPush)
	w.commit(w.ada, event.PasswordReset)
	w.deliver()
	s.unbroken()
	true_ := s.events(push.ID)[0].JWS
	// An event says of itself that it is one, and lacks what an ID token or a logout token must have.
	_, rest, _ := strings.Cut(true_, ".")
	payload, _, _ := strings.Cut(rest, ".")
	var c map[string]any
	if err := json.Unmarshal(have[[]byte](t)(base64.RawURLEncoding.DecodeString(payload)), &c); err != nil {
		t.Fatal(err)
	}
	if typ := head(t, true_)["typ"]; typ != "secevent+jwt" {
		t.Errorf("typ %v", typ)
	}
	for _, name := range []string{"sub", "exp", "nonce", "sid", "at_hash", "azp", "auth_time", "acr", "amr", "email"} {
		if v, has := c[name]; has {
			t.Errorf("an event has %s %v", name, v)
		}
	}
	// The reverse: what is signed with the very key of events, and is none, is refused by a receiver that reads.
	key := twoKeys()[0].Private()
	sign := func(typ string, change func(map[string]any)) string {
		more := map[string]any{}
		maps.Copy(more, c)
		change(more)
		for name, v := range more {
			if v == nil {
				delete(more, name)
			}
		}
		h := jws.NewHeaders()
		for name, v := range map[string]string{jws.TypeKey: typ, jws.KeyIDKey: twoKeys()[0].ID} {
			if err := h.Set(name, v); err != nil {
				t.Fatal(err)
			}
		}
		return string(have[[]byte](t)(jws.Sign(have[[]byte](t)(json.Marshal(more)), jws.WithKey(jwa.RS256(), key, jws.WithProtectedHeaders(h)))))
	}
	judge := func(token string) (why string) {
		s.line(map[string]any{"order": "judge", "stream": push.ID, "jws": token}, &why)
		return why
	}
	if why := judge(sign("secevent+jwt", func(map[string]any) {})); why != "" {
		t.Errorf("the true one: %s", why)
	}
	for name, token := range map[string]string{
		"an ID token": sign("JWT", func(c map[string]any) {
			c["events"], c["sub_id"], c["sub"], c["exp"] = nil, nil, "ada", w.clock.now().Unix()+60
		}),
		"a logout token": sign("logout+jwt", func(c map[string]any) {
			c["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
		}),
		"an event with another type": sign("JWT", func(map[string]any) {}),
		"an event with a sub":        sign("secevent+jwt", func(c map[string]any) { c["sub"] = "ada" }),
		"an event with an exp":       sign("secevent+jwt", func(c map[string]any) { c["exp"] = w.clock.now().Unix() + 60 }),
		"two events in one":          sign("secevent+jwt", func(c map[string]any) { c["events"] = map[string]any{"a": map[string]any{}, "b": map[string]any{}} }),
		"a logout as an event": sign("secevent+jwt", func(c map[string]any) {
			c["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
		}),
		"of the future":               sign("secevent+jwt", func(c map[string]any) { c["iat"] = w.clock.now().Unix() + 600 }),
		"of another issuer":           sign("secevent+jwt", func(c map[string]any) { c["iss"] = "https://evil.example" }),
		"for another receiver":        sign("secevent+jwt", func(c map[string]any) { c["aud"] = "https://other.example" }),
		"without a subject":           sign("secevent+jwt", func(c map[string]any) { c["sub_id"] = nil }),
		"changed after it was signed": true_[:len(true_)-4] + "AAAA",
		"signed by nobody":            "eyJhbGciOiJub25lIiwidHlwIjoic2VjZXZlbnQrand0In0." + payload + ".",
		"in milliseconds":             sign("secevent+jwt", func(c map[string]any) { c["iat"] = w.clock.now().UnixMilli() }),
		"with a reason that is empty": sign("secevent+jwt", func(c map[string]any) {
			c["events"] = map[string]any{caepEvents + "session-revoked": map[string]any{"reason_admin": map[string]any{"en": ""}, "initiating_entity": "user", "event_timestamp": c["iat"]}}
		}),
		"of an event nobody asked for": sign("secevent+jwt", func(c map[string]any) {
			c["events"] = map[string]any{caepEvents + "device-compliance-change": map[string]any{}}
		}),
	} {
		if judge(token) == "" {
			t.Errorf("%s is taken", name)
		}
	}
}
