package register_test

import (
	"crypto/rand"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
)

func (w *world) due(s *session.Session) register.Due {
	w.t.Helper()
	d, err := w.reg.Due(w.t.Context(), s, from)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func TestACampaignMayBePutOffAFewTimesAndThenNotAnyMore(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "rules: [{name: everyone, registration: {mode: invited, snooze_days: 3, snoozes: 2}}]")
		p := w.person("ada")
		s := w.signIn(p, "")
		for left := 2; left > 0; left-- {
			want := register.Due{Mode: policy.Invited, Why: register.Missing, Missing: 2, Snooze: 3 * day, Snoozes: left}
			if got := w.due(s); got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
			if err := w.reg.Snooze(t.Context(), s, from); err != nil {
				t.Fatal(err)
			}
			w.clock = w.clock.Add(3*day - time.Second)
			s = w.signIn(p, "")
			if got := w.due(s); got.Mode != policy.Off {
				t.Errorf("put off, and still: %+v", got)
			}
			w.clock = w.clock.Add(time.Second)
		}
		s = w.signIn(p, "")
		if got := w.due(s); got != (register.Due{Mode: policy.Required, Why: register.Missing, Missing: 2}) {
			t.Errorf("put off twice: %+v", got)
		}
		says(t, "once more", w.reg.Snooze(t.Context(), s, from), fault.Denied, "register.denied.required")
		if err := w.reg.Reviewed(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if got := w.due(s); got.Mode != policy.Invited || got.Snoozes != 2 {
			t.Errorf("after a review: %+v", got)
		}
		types, _ := w.events(p)
		if !slices.Equal(types, []event.Type{event.RegistrationReviewed, event.RegistrationSnoozed, event.RegistrationSnoozed}) {
			t.Errorf("happened: %v", types)
		}
	})
}

func TestWhatIsMissingIsCountedAsAResetWouldOnceNothingRests(t *testing.T) {
	w := newWorld(t, store.SQLite, "rules: [{name: everyone, registration: {mode: required}}]")
	person := method.Root{Kind: method.ByPerson}
	for name, c := range map[string]struct {
		ways []method.Method
		want int
	}{
		"nothing":                     {nil, 2},
		"two addresses are one class": {[]method.Method{{Kind: method.Email, Destination: "a@mail.example"}, {Kind: method.Email, Destination: "b@mail.example"}}, 1},
		"an app, which opens nothing": {[]method.Method{{Kind: method.TOTP, Secret: []byte("x")}}, 1},
		"mail and app":                {[]method.Method{{Kind: method.Email, Destination: "a@mail.example"}, {Kind: method.TOTP, Secret: []byte("x")}}, 0},
		"resting and maturing ones":   {[]method.Method{{Kind: method.Email, Destination: "a@mail.example", Root: method.Root{Kind: method.BySession, ID: "s"}, Matures: noon.Add(day), UsableFrom: noon.Add(day)}, {Kind: method.TOTP, Secret: []byte("x"), Root: method.Root{Kind: method.BySession, ID: "s"}, Matures: noon.Add(day)}}, 0},
		"one that is leaving":         {[]method.Method{{Kind: method.Email, Destination: "a@mail.example", Leaves: noon.Add(day)}, {Kind: method.TOTP, Secret: []byte("x")}}, 1},
		"brought together":            {[]method.Method{{Kind: method.Email, Destination: "a@mail.example", Root: method.Root{Kind: method.ByConnector, ID: "hr"}}, {Kind: method.SMS, Destination: "+491713920001", Root: method.Root{Kind: method.ByConnector, ID: "hr"}}}, 1},
		"a work mailbox":              {[]method.Method{{Kind: method.Email, Destination: "ada@contoso.example"}, {Kind: method.SMS, Destination: "+491713920009"}}, 1},
		"known elsewhere":             {[]method.Method{{Kind: method.External, Root: person}, {Kind: method.SMS, Destination: "+491713920002", Root: method.Root{}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := w.due(w.signIn(w.person(name, c.ways...), ""))
			if d.Missing != c.want || (d.Mode == policy.Off) != (c.want == 0) {
				t.Errorf("got %+v, want %d missing", d, c.want)
			}
		})
	}
	w.apply("rules: [{name: everyone, required: [passkey], registration: {mode: required}}]")
	if d := w.due(w.signIn(w.person("enough of the wrong", method.Method{Kind: method.Email, Destination: "c@mail.example"}, method.Method{Kind: method.TOTP, Secret: []byte("x")}), "")); d.Missing != 1 {
		t.Errorf("a required kind is missing: %+v", d)
	}
	w.apply("")
	if d := w.due(w.signIn(w.person("off"), "")); d != (register.Due{Mode: policy.Off}) {
		t.Errorf("off: %+v", d)
	}
}

func TestAReviewIsDueAfterSoManyDays(t *testing.T) {
	w := newWorld(t, store.SQLite, "rules: [{name: everyone, registration: {mode: required, reconfirm_days: 180}}]")
	ways := []method.Method{{Kind: method.Email, Destination: "a@mail.example", Confirmed: noon}, {Kind: method.TOTP, Secret: []byte("x"), Confirmed: noon.Add(-100 * day)}}
	p := w.person("ada", ways...)
	w.clock = noon.Add(180*day - time.Second)
	if d := w.due(w.signIn(p, "")); d.Mode != policy.Off {
		t.Errorf("a second before: %+v", d)
	}
	w.clock = noon.Add(180 * day)
	s := w.signIn(p, "")
	if d := w.due(s); d != (register.Due{Mode: policy.Required, Why: register.Reconfirm}) {
		t.Errorf("due: %+v", d)
	}
	if err := w.reg.Reviewed(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if d := w.due(s); d.Mode != policy.Off {
		t.Errorf("reviewed: %+v", d)
	}
}

func TestWhatWasRegisteredResetsOnceItHasMaturedAndNotBefore(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "")
		p := w.person("ada")
		s := w.signIn(p, "")
		w.addMail(s, "ada@mail.example")
		e := w.begin(s, method.TOTP, "")
		secret := string(base32Of(w, e))
		code, err := totp.GenerateCode(secret, w.clock)
		if err != nil {
			t.Fatal(err)
		}
		w.confirm(s, e.ID, code)
		flow := w.flow(p)
		try := func() (*reset.Attempt, *reset.Delivery) {
			a, err := flow.Start(t.Context(), from, policy.Reset, p.UserName, []byte(rand.Text()))
			if err != nil {
				t.Fatal(err)
			}
			c, err := flow.Ask(t.Context(), a, from, method.Email, "")
			if err != nil {
				t.Fatal(err)
			}
			d, err := flow.Prepare(t.Context(), c.ID)
			if err != nil || d == nil {
				return nil, nil
			}
			if err := flow.Delivered(t.Context(), d, ""); err != nil {
				t.Fatal(err)
			}
			a, err = flow.Check(t.Context(), a, from, c.ID, d.Code)
			if err != nil {
				t.Fatal(err)
			}
			return a, d
		}
		if _, d := try(); d != nil {
			t.Error("a code went to an address that rests")
		}
		w.clock = noon.Add(day - time.Second)
		if _, d := try(); d != nil {
			t.Error("a code went to an address that rests a second more")
		}
		w.clock = noon.Add(day)
		a, d := try()
		if d == nil || d.To != "ada@mail.example" {
			t.Fatalf("a day later: %+v", d)
		}
		ways, err := flow.Ways(t.Context(), a)
		if err != nil || len(ways.Ways) != 1 || ways.Ways[0].Kind != method.TOTP {
			t.Fatalf("ways %+v, %v", ways, err)
		}
		c, err := flow.Ask(t.Context(), a, from, method.TOTP, ways.Ways[0].Method)
		if err != nil {
			t.Fatal(err)
		}
		if code, err = totp.GenerateCode(secret, w.clock); err != nil {
			t.Fatal(err)
		}
		if a, err = flow.Check(t.Context(), a, from, c.ID, code); err != nil || a.State != reset.Proved {
			t.Fatalf("%+v, %v", a, err)
		}
		if a, err = flow.SetPassword(t.Context(), a, from, "", "fresh 4 every start!"); err != nil || a.State != reset.Done {
			t.Fatalf("%+v, %v", a, err)
		}
		// The reset holds what comes now, and ended the session.
		if _, err := w.reg.Begin(t.Context(), s, from, method.TOTP, register.Input{}); !fault.Is(err, fault.Over) && err != register.ErrStepUp {
			t.Errorf("the session from before the reset: %v", err)
		}
		s = w.signIn(p, "")
		if o := w.overview(s); !o.HoldUntil.Equal(w.clock.Add(day)) {
			t.Errorf("held until %v", o.HoldUntil)
		}
		e = w.begin(s, method.RecoveryCode, "")
		if m := w.method(p, w.confirm(s, e.ID, register.Saved).ID); !m.UsableFrom.Equal(w.clock.Add(day)) {
			t.Errorf("codes made after the reset rest until %v", m.UsableFrom)
		}
	})
}

func base32Of(w *world, e *register.Enrolment) []byte {
	w.t.Helper()
	s, err := w.s.SessionByID(w.t.Context(), e.Session)
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc([]byte(w.sheet(s, e).Secret), func(c byte) bool { return c == ' ' })
}

// flow is the reset flow of the same people.
func (w *world) flow(p *account.Person) *reset.Service {
	w.t.Helper()
	dir, err := memory.New(memory.Config{Name: "corp", Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := dir.Put(memory.Account{Login: "ada", Name: "ada", Password: "the first of them", Attrs: map[string][]string{"mail": {p.UserName}}, PasswordChangedAt: noon.Add(-9 * day)}); err != nil {
		w.t.Fatal(err)
	}
	flow, err := reset.New(reset.Config{Store: w.s, Limits: w.s, Keys: w.ring, Policies: w.s, Kinds: func() []method.Kind { return method.Kinds }, Passkeys: w.keys,
		Directories: []reset.Directory{{Name: "corp", Label: "Contoso", Adapter: dir, Claim: "userName", Attribute: "mail"}}, Now: w.now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	return flow
}
