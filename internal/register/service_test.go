package register_test

import (
	"encoding/base32"
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp/totp"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
)

func TestAnAddressCountsOnceItsCodeWasReadAndADayHasPassed(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "")
		p := w.person("ada")
		s := w.signIn(p, "")
		e := w.begin(s, method.Email, " ada@mail.example ")
		if sheet := w.sheet(s, e); sheet.Sent || sheet.Address != "ada@mail.example" || sheet.Masked != "a•••@m•••.example" || sheet.Minutes < 10 || !sheet.Again {
			t.Errorf("before: %+v", sheet)
		}
		code := w.ring.Code("confirm/"+e.ID+"/1", register.CodeDigits)
		_, err := w.reg.Confirm(t.Context(), s, from, e.ID, code)
		says(t, "a code that never left", err, fault.Invalid, "register.code.wrong")
		if got := w.deliver(e.ID); got != code {
			t.Errorf("sent %s, want %s", got, code)
		}
		if d, err := w.reg.Prepare(t.Context(), e.ID); d != nil || err != nil {
			t.Errorf("prepared twice: %+v, %v", d, err)
		}
		if o := w.overview(s); o.Open == nil || !w.sheet(s, o.Open).Sent {
			t.Errorf("open: %+v", o.Open)
		}
		own := w.confirm(s, e.ID, " "+code[:4]+"-"+code[4:])
		m := w.method(p, own.ID)
		if m.Root != (method.Root{Kind: method.BySession, ID: s.ID}) || !m.Matures.Equal(noon.Add(day)) || !m.UsableFrom.Equal(noon.Add(day)) ||
			!m.Confirmed.Equal(noon) || m.Destination != "ada@mail.example" || !m.Primary || m.Status != method.Active {
			t.Errorf("kept %+v", m)
		}
		types, all := w.events(p)
		if !slices.Equal(types, []event.Type{event.MethodAdded, event.MethodConfirmSent, event.MethodConfirmWrong, event.MethodConfirmAsked}) {
			t.Errorf("happened: %v", types)
		}
		if all[0].Private["to"] != "a•••@m•••.example" || all[0].Private["network"] != "192.0.2.7/32" || all[0].Actor != "person:"+p.ID {
			t.Errorf("told: %+v", all[0])
		}
		_, err = w.reg.Confirm(t.Context(), s, from, e.ID, code)
		says(t, "the same code again", err, fault.Over, "register.over.enrolment")
		if o := w.overview(s); o.Open != nil || len(o.Own) != 1 || o.Counting != 0 || o.Own[0].Rests.IsZero() || o.Own[0].Matures.IsZero() || !o.Own[0].Mine {
			t.Errorf("overview: %+v", o)
		}
		w.clock = noon.Add(day)
		if o := w.overview(s); o.Counting != 1 || !o.Own[0].Rests.IsZero() || o.Own[0].Root.Kind != method.ByPerson {
			t.Errorf("a day later: %+v", o)
		}
	})
}

func TestFiveWrongCodesEndAnEnrolment(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "")
		s := w.signIn(w.person("ada"), "")
		e := w.begin(s, method.SMS, "0171 3920001")
		code := w.deliver(e.ID)
		for i := range register.MaxTries {
			_, err := w.reg.Confirm(t.Context(), s, from, e.ID, "0000000")
			if i < register.MaxTries-1 {
				says(t, "wrong", err, fault.Invalid, "register.code.wrong")
			} else {
				says(t, "the last wrong one", err, fault.Over, "register.over.tries")
			}
		}
		_, err := w.reg.Confirm(t.Context(), s, from, e.ID, code)
		says(t, "the right one, too late", err, fault.Over, "register.over.enrolment")
	})
}

func TestACodeIsOfOneSessionAndOfTenMinutes(t *testing.T) {
	w := newWorld(t, store.SQLite, "")
	ada, ben := w.person("ada"), w.person("ben")
	s, thief := w.signIn(ada, ""), w.signIn(ben, "")
	e := w.begin(s, method.Email, "ada@mail.example")
	code := w.deliver(e.ID)
	for what, other := range map[string]*session.Session{"somebody else": thief, "another session": w.signIn(ada, "")} {
		_, err := w.reg.Confirm(t.Context(), other, from, e.ID, code)
		says(t, what, err, fault.Over, "register.over.enrolment")
		if _, err := w.reg.Sheet(t.Context(), other, e); !fault.Is(err, fault.Over) {
			t.Errorf("%s sees the sheet: %v", what, err)
		}
		if err := w.reg.Again(t.Context(), other, from, e.ID); !fault.Is(err, fault.Over) {
			t.Errorf("%s has another code sent: %v", what, err)
		}
		if err := w.reg.Leave(t.Context(), other, e.ID); err != nil {
			t.Error(err)
		}
	}
	w.clock = noon.Add(register.CodeLife)
	s = w.signIn(ada, s.ID)
	if err := w.reg.Resume(t.Context(), s, e.Session); err != nil {
		t.Fatal(err)
	}
	_, err := w.reg.Confirm(t.Context(), s, from, e.ID, code)
	says(t, "after ten minutes", err, fault.Over, "register.over.enrolment")
}

func TestWithoutAFreshStepUpNothingIsChangedNorCounted(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "rules: [{name: everyone, registration: {max_age: 2m, acr: [phr]}}]")
		p := w.person("ada", method.Method{Kind: method.TOTP, Secret: []byte("12345678901234567890")})
		strong := func(s *session.Session) { s.ACR = "phr" }
		s := w.signIn(p, "", strong)
		e := w.begin(s, method.Email, "ada@mail.example")
		code, id := w.deliver(e.ID), w.methods(p)[0].ID
		weak := map[string]*session.Session{
			"never":               w.signIn(p, "", strong, func(s *session.Session) { s.StepUp = time.Time{} }),
			"of another class":    w.signIn(p, ""),
			"longer ago than two": w.signIn(p, "", strong, func(s *session.Session) { s.StepUp = noon.Add(-2*time.Minute - time.Second) }),
		}
		for what, s := range weak {
			_, err := w.reg.Begin(t.Context(), s, from, method.TOTP, register.Input{})
			for name, err := range map[string]error{"begin": err, "remove": w.reg.Remove(t.Context(), s, from, id), "keep": w.reg.Keep(t.Context(), s, from, id), "rename": w.reg.Rename(t.Context(), s, from, id, "x")} {
				if !errors.Is(err, register.ErrStepUp) {
					t.Errorf("%s with a step-up %s: %v", name, what, err)
				}
			}
			if w.overview(s).SteppedUp {
				t.Errorf("%s: said to be stepped up", what)
			}
		}
		w.clock = noon.Add(3 * time.Minute)
		for range 2 * register.MaxTries {
			if _, err := w.reg.Confirm(t.Context(), s, from, e.ID, "wrong"); !errors.Is(err, register.ErrStepUp) {
				t.Fatalf("an old step-up: %v", err)
			}
		}
		fresh := w.signIn(p, s.ID, strong)
		if err := w.reg.Resume(t.Context(), fresh, s.ID); err != nil {
			t.Fatal(err)
		}
		w.confirm(fresh, e.ID, code)
		// What the caller holds of the session is not what counts.
		forged := *w.signIn(p, "", strong, func(s *session.Session) { s.StepUp = noon.Add(-time.Hour) })
		forged.StepUp = w.clock
		if err := w.reg.Remove(t.Context(), &forged, from, id); !errors.Is(err, register.ErrStepUp) {
			t.Errorf("a step-up that is not in the row: %v", err)
		}
		ended := w.signIn(p, "", strong)
		w.signIn(p, ended.ID, strong)
		if err := w.reg.Remove(t.Context(), ended, from, id); !fault.Is(err, fault.Over) {
			t.Errorf("a session that has ended: %v", err)
		}
	})
}

func TestAnotherCodeReplacesTheOneBefore(t *testing.T) {
	w := newWorld(t, store.SQLite, "")
	s := w.signIn(w.person("ada"), "")
	e := w.begin(s, method.Email, "ada@mail.example")
	if err := w.reg.Again(t.Context(), s, from, e.ID); err != nil {
		t.Fatal(err)
	}
	first := w.deliver(e.ID) // the second press did nothing while the first was on its way
	w.clock = w.clock.Add(2 * time.Minute)
	if err := w.reg.Again(t.Context(), s, from, e.ID); err != nil {
		t.Fatal(err)
	}
	_, err := w.reg.Confirm(t.Context(), s, from, e.ID, first)
	says(t, "the code before", err, fault.Invalid, "register.code.wrong")
	second := w.deliver(e.ID)
	if second == first {
		t.Error("the same code was sent twice")
	}
	_, err = w.reg.Confirm(t.Context(), s, from, e.ID, first)
	says(t, "the code before", err, fault.Invalid, "register.code.wrong")
	w.clock = w.clock.Add(2 * time.Minute)
	if err := w.reg.Again(t.Context(), s, from, e.ID); err != nil {
		t.Fatal(err)
	}
	w.deliver(e.ID)
	w.clock = w.clock.Add(2 * time.Minute)
	says(t, "a fourth", w.reg.Again(t.Context(), s, from, e.ID), fault.Limited, "register.sent_enough")
}

func TestALateWordOfAMessageBeforeChangesNothingOfTheNext(t *testing.T) {
	w := newWorld(t, store.SQLite, "")
	s := w.signIn(w.person("ada"), "")
	e := w.begin(s, method.SMS, "+491713920001")
	d, err := w.reg.Prepare(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.clock = w.clock.Add(2 * time.Minute)
	if err := w.reg.Again(t.Context(), s, from, e.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.reg.Delivered(t.Context(), d, "permanent"); err != nil {
		t.Fatal(err)
	}
	w.confirm(s, e.ID, w.deliver(e.ID))
}

func TestCodesAreBudgetedForThePersonAndForTheDestination(t *testing.T) {
	w := newWorld(t, store.SQLite, "")
	ada := w.signIn(w.person("ada"), "")
	for range 3 {
		w.begin(ada, method.Email, "victim@mail.example")
	}
	_, err := w.reg.Begin(t.Context(), ada, from, method.Email, register.Input{Destination: "other@mail.example"})
	says(t, "a fourth for the person", err, fault.Limited, "error.limited")
	ben := w.signIn(w.person("ben"), "")
	_, err = w.reg.Begin(t.Context(), ben, from, method.Email, register.Input{Destination: "Victim@mail.example"})
	says(t, "a fourth to the destination", err, fault.Limited, "error.limited")
}

func TestOnlyOnePlainPrivateDestinationIsTaken(t *testing.T) {
	w := newWorld(t, store.SQLite, "")
	s := w.signIn(w.person("ada", method.Method{Kind: method.Email, Destination: "old@mail.example"}), "")
	for _, c := range []struct {
		kind method.Kind
		to   string
		say  string
	}{
		{method.Email, "", "register.email.form"}, {method.Email, "ada", "register.email.form"}, {method.Email, "a@b.example,c@d.example", "register.email.form"},
		{method.Email, "Ada <a@b.example>", "register.email.form"}, {method.Email, "a@b.example\r\nBcc: c@d.example", "register.email.form"},
		{method.Email, "ada@contoso.example", "register.email.corporate"}, {method.Email, "ada@mail.CONTOSO.example", "register.email.corporate"},
		{method.Email, "Old@Mail.example", "register.destination.yours"},
		{method.SMS, "", "register.phone.form"}, {method.SMS, "0171", "register.phone.form"}, {method.SMS, "0900 1234567", "register.phone.premium"},
		{method.SMS, "+49 171 3920001 ext. 5", "register.phone.form"}, {method.SMS, "+49 171 3920001, +49 171 3920002", "register.phone.form"},
	} {
		_, err := w.reg.Begin(t.Context(), s, from, c.kind, register.Input{Destination: c.to})
		says(t, c.to, err, fault.Invalid, c.say)
	}
	for _, name := range []string{strings.Repeat("x", 61), "a\nb", "\x00", "\ufffd"} {
		_, err := w.reg.Begin(t.Context(), s, from, method.TOTP, register.Input{Display: name})
		says(t, "a name", err, fault.Invalid, "register.display.form")
	}
	for _, k := range []method.Kind{method.Voice, method.Pass, method.IDP, method.Question, "", "fax"} {
		_, err := w.reg.Begin(t.Context(), s, from, k, register.Input{Destination: "+491713920001"})
		says(t, string(k), err, fault.Invalid, "register.kind.choose")
	}
}

func TestAnAppIsAddedByItsFirstCodeWhichIsGoodForNothingElse(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "")
		p := w.person("ada")
		s := w.signIn(p, "")
		e := w.begin(s, method.TOTP, "")
		sheet := w.sheet(s, e)
		u, err := url.Parse(sheet.URI)
		if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Contoso  R&D:ada@contoso.example" || u.Query().Get("issuer") != "Contoso  R&D" {
			t.Errorf("%s (%v): path %q, issuer %q", sheet.URI, err, u.Path, u.Query().Get("issuer"))
		}
		secret := u.Query().Get("secret")
		if b, err := base32.StdEncoding.DecodeString(secret); err != nil || len(b) != 20 || strings.ReplaceAll(sheet.Secret, " ", "") != secret || strings.Contains(sheet.URI, "+") {
			t.Errorf("secret %q, %q: %v", secret, sheet.Secret, err)
		}
		samePicture(t, sheet.QR, sheet.URI)
		_, err = w.reg.Confirm(t.Context(), s, from, e.ID, "000000")
		says(t, "a wrong code", err, fault.Invalid, "register.totp.wrong")
		code, err := totp.GenerateCode(secret, w.clock)
		if err != nil {
			t.Fatal(err)
		}
		m := w.method(p, w.confirm(s, e.ID, code[:3]+" "+code[3:]).ID)
		if !m.UsableFrom.IsZero() || m.LastStep != noon.Unix()/30 || m.Digits != 6 || m.Period != 30 || !m.Matures.Equal(noon.Add(day)) {
			t.Errorf("kept %+v", m)
		}
		if step, right, err := reset.MatchTOTP(&m, code, w.clock); !right || err != nil {
			t.Errorf("the seed kept is another: %v", err)
		} else if used, err := w.s.UseStep(t.Context(), m.ID, step, w.clock); used || err != nil {
			t.Errorf("the first code proves something once more: %v", err)
		}
	})
}

var stroke = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)

// samePicture fails the test unless a path draws what the library would.
func samePicture(t *testing.T, got register.QR, text string) {
	t.Helper()
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		t.Fatal(err)
	}
	dark := map[[2]int]bool{}
	for _, m := range stroke.FindAllStringSubmatch(got.Path, -1) {
		x, _ := strconv.Atoi(m[1])
		y, _ := strconv.Atoi(m[2])
		n, _ := strconv.Atoi(m[3])
		if m[3] != m[4] {
			t.Errorf("stroke %q does not come back", m[0])
		}
		for i := range n {
			dark[[2]int{x + i, y}] = true
		}
	}
	if stroke.ReplaceAllString(got.Path, "") != "" || got.Size != code.Bounds().Dx()+8 {
		t.Errorf("size %d, path %.60q", got.Size, got.Path)
	}
	for y := range got.Size {
		for x := range got.Size {
			want := false
			if x >= 4 && y >= 4 && x < got.Size-4 && y < got.Size-4 {
				r, _, _, _ := code.At(x-4, y-4).RGBA()
				want = r == 0
			}
			if dark[[2]int{x, y}] != want {
				t.Fatalf("square %d, %d: dark %v, want %v", x, y, !want, want)
			}
		}
	}
}

func TestAPasskeyIsMadeForOneEnrolmentOfOnePerson(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "")
		ada := w.person("ada")
		s, d := w.signIn(ada, ""), newDevice(ada)
		old := d.create(t, w.sheet(s, w.begin(s, method.Passkey, "")).Options)
		e := w.begin(s, method.Passkey, "")
		for what, answer := range map[string]string{"of an enrolment before": old, "nothing": "", "junk": "{}", "too much": strings.Repeat(" ", passkey.MaxResponse+1)} {
			_, err := w.reg.Confirm(t.Context(), s, from, e.ID, answer)
			says(t, what, err, fault.Invalid, "register.passkey.refused")
		}
		m := w.method(ada, w.confirm(s, e.ID, d.create(t, w.sheet(s, e).Options)).ID)
		if c, err := passkey.Parse(m.Secret); err != nil || !slices.Equal(c.ID, d.key.ID) || !m.UsableFrom.IsZero() {
			t.Errorf("kept %+v, %v", m, err)
		}
		e = w.begin(s, method.Passkey, "")
		options := w.sheet(s, e).Options
		if !strings.Contains(string(options), "excludeCredentials") {
			t.Errorf("the one there is is not excluded: %s", options)
		}
		_, err := w.reg.Confirm(t.Context(), s, from, e.ID, d.create(t, options))
		says(t, "the same passkey again", err, fault.Invalid, "register.passkey.yours")
	})
}

func TestRecoveryCodesCountOnceTheyAreSavedAndReplaceTheListBefore(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "")
		p := w.person("ada")
		s := w.signIn(p, "")
		e := w.begin(s, method.RecoveryCode, "")
		codes := w.sheet(s, e).Codes
		if len(codes) != 10 || !regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$`).MatchString(codes[0]) || codes[0] == codes[1] {
			t.Fatalf("codes %v", codes)
		}
		_, err := w.reg.Confirm(t.Context(), s, from, e.ID, "yes")
		says(t, "not saved", err, fault.Invalid, "register.codes.unsaved")
		if len(w.methods(p)) != 0 {
			t.Error("codes count before they are saved")
		}
		first := w.confirm(s, e.ID, register.Saved)
		if first.CodesLeft != 10 || w.overview(s).Own[0].CodesLeft != 10 {
			t.Errorf("left: %+v", first)
		}
		plain := reset.TidyRecovery(codes[3])
		kept, err := w.s.RecoveryCodes(t.Context(), p.ID, plain[:reset.SelectorLength])
		if err != nil || len(kept) != 1 || !w.ring.VerifySecret(kept[0].Hash, plain) || strings.Contains(kept[0].Hash, plain) {
			t.Errorf("kept %+v, %v", kept, err)
		}
		if again, err := w.s.Enrolment(t.Context(), e.ID); err != nil || len(again.Codes) != 0 {
			t.Errorf("the plain codes stay: %v", err)
		}
		e = w.begin(s, method.RecoveryCode, "")
		second := w.confirm(s, e.ID, register.Saved)
		if m := w.method(p, first.ID); m.Status != method.Removed || !m.RemovedAt.Equal(w.clock) {
			t.Errorf("the list before: %+v", m)
		}
		if o := w.overview(s); len(o.Own) != 1 || o.Own[0].ID != second.ID {
			t.Errorf("overview: %+v", o.Own)
		}
		types, _ := w.events(p)
		if !slices.Equal(types[:2], []event.Type{event.MethodAdded, event.MethodRemoved}) {
			t.Errorf("happened: %v", types)
		}
	})
}

func TestAfterAResetWhatIsAddedRestsAndWhatIsRemovedStaysAWhile(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "rules: [{name: everyone, hold_new: 0s}]")
		p := w.person("ada", method.Method{Kind: method.TOTP, Secret: []byte("12345678901234567890")}, method.Method{Kind: method.RecoveryCode})
		held := noon.Add(20 * time.Hour)
		w.changePerson(p, func(p *account.Person) { p.HoldUntil = held })
		s := w.signIn(p, "")
		if m := w.method(p, w.addMail(s, "ada@mail.example").ID); !m.UsableFrom.Equal(held) {
			t.Errorf("added: usable from %v, want %v", m.UsableFrom, held)
		}
		d := newDevice(p)
		e := w.begin(s, method.Passkey, "")
		if m := w.method(p, w.confirm(s, e.ID, d.create(t, w.sheet(s, e).Options)).ID); !m.UsableFrom.Equal(held) {
			t.Errorf("a passkey: usable from %v, want %v", m.UsableFrom, held)
		}
		app := w.methods(p)[slices.IndexFunc(w.methods(p), func(m method.Method) bool { return m.Kind == method.TOTP })].ID
		for range 2 { // the second press changes nothing
			if err := w.reg.Remove(t.Context(), s, from, app); err != nil {
				t.Fatal(err)
			}
		}
		o := w.overview(s)
		if m := w.method(p, app); m.Status != method.Active || !m.Leaves.Equal(held) || !o.HoldUntil.Equal(held) || o.Counting != 2 {
			t.Errorf("removed: %+v; overview %+v", m, o)
		}
		types, _ := w.events(p)
		if types[0] != event.MethodLeaving || types[1] == event.MethodLeaving {
			t.Errorf("happened: %v", types)
		}
		if err := w.reg.Keep(t.Context(), s, from, app); err != nil {
			t.Fatal(err)
		}
		if types, _ := w.events(p); types[0] != event.MethodKept || !w.method(p, app).Leaves.IsZero() {
			t.Errorf("kept: %v", types)
		}
		list := w.begin(s, method.RecoveryCode, "")
		w.confirm(s, list.ID, register.Saved)
		if err := w.reg.Remove(t.Context(), s, from, app); err != nil {
			t.Fatal(err)
		}
		w.clock = held
		s = w.signIn(p, "")
		o = w.overview(s)
		if slices.ContainsFunc(o.Own, func(m register.Own) bool { return m.ID == app }) || len(o.Own) != 3 {
			t.Errorf("after the hold: %+v", o.Own)
		}
		if err := w.reg.Keep(t.Context(), s, from, app); !fault.Is(err, fault.NotFound) {
			t.Errorf("what is gone is kept: %v", err)
		}
		mail := o.Own[slices.IndexFunc(o.Own, func(m register.Own) bool { return m.Kind == method.Email })].ID
		if err := w.reg.Remove(t.Context(), s, from, mail); err != nil || w.method(p, mail).Status != method.Removed {
			t.Errorf("removed after the hold: %v", err)
		}
	})
}

func TestWhatAConnectorBroughtStaysAndMayBeConfirmed(t *testing.T) {
	w := newWorld(t, store.SQLite, "")
	hr := &client.Connector{Name: "HR", Trust: client.TrustOne, Preset: client.PresetStandard}
	if err := w.s.CreateConnector(t.Context(), hr); err != nil {
		t.Fatal(err)
	}
	root := method.Root{Kind: method.ByConnector, ID: hr.ID}
	p := w.person("ada", method.Method{Kind: method.Email, Destination: "ada@mail.example", Root: root, Primary: true}, method.Method{Kind: method.SMS, Destination: "+491713920001", Root: root})
	s := w.signIn(p, "")
	o := w.overview(s)
	if len(o.Own) != 2 || o.Own[0].Mine || o.Own[0].Source != "HR" || o.Counting != 1 {
		t.Fatalf("overview: %+v", o)
	}
	says(t, "remove", w.reg.Remove(t.Context(), s, from, o.Own[0].ID), fault.Denied, "register.not_yours")
	says(t, "rename", w.reg.Rename(t.Context(), s, from, o.Own[0].ID, "mine"), fault.Denied, "register.not_yours")
	m := w.method(p, w.addMail(s, "Ada@mail.example").ID)
	if !m.UsableFrom.IsZero() || m.Primary {
		t.Errorf("an address they had for two days rests, or is the first: %+v", m)
	}
	_, err := w.reg.Begin(t.Context(), s, from, method.Email, register.Input{Destination: "ada@mail.example"})
	says(t, "once more", err, fault.Invalid, "register.destination.yours")
	if o := w.overview(s); o.Counting != 2 { // by session and by connector: two roots
		t.Errorf("together %d", o.Counting)
	}
	w.clock = noon.Add(day)
	if err := w.reg.Rename(t.Context(), w.signIn(p, ""), from, m.ID, " home "); err != nil || w.method(p, m.ID).Display != "home" {
		t.Errorf("rename: %v", err)
	}
	other := w.signIn(w.person("ben"), "")
	if err := w.reg.Remove(t.Context(), other, from, m.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("somebody else's: %v", err)
	}
}

func TestADestinationIsOfThreePeopleAtMostHoweverManyConfirmItAtOnce(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "")
		type racer struct {
			p        *account.Person
			s        *session.Session
			id, code string
		}
		var all []racer
		for i := range 5 { // as many as the budget of one destination allows within the life of a code
			w.clock = noon.Add(time.Duration(max(0, i-2)) * 200 * time.Second)
			r := racer{p: w.person("p" + strconv.Itoa(i))}
			r.s = w.signIn(r.p, "")
			r.id = w.begin(r.s, method.SMS, "+491713920001").ID
			r.code = w.deliver(r.id)
			all = append(all, r)
		}
		w.clock = noon.Add(9 * time.Minute)
		for i := range all {
			old := all[i].s.ID
			all[i].s = w.signIn(all[i].p, old)
			if err := w.reg.Resume(t.Context(), all[i].s, old); err != nil {
				t.Fatal(err)
			}
		}
		var racers sync.WaitGroup
		var added atomic.Int32
		start := make(chan struct{})
		for _, r := range all {
			racers.Go(func() {
				<-start
				_, err := w.reg.Confirm(t.Context(), r.s, from, r.id, r.code)
				if err == nil {
					added.Add(1)
					return
				}
				says(t, "the fourth", err, fault.Invalid, "register.destination.shared")
			})
		}
		close(start)
		racers.Wait()
		if added.Load() != register.MaxSharing {
			t.Errorf("%d people have it, want %d", added.Load(), register.MaxSharing)
		}
	})
}

func TestOneCodeAddsOneWayHoweverOftenItIsTyped(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		w := newWorld(t, kind, "")
		p := w.person("ada")
		s := w.signIn(p, "")
		e := w.begin(s, method.Email, "ada@mail.example")
		code := w.deliver(e.ID)
		var racers sync.WaitGroup
		start := make(chan struct{})
		for range 16 {
			racers.Go(func() {
				<-start
				_, err := w.reg.Confirm(t.Context(), s, from, e.ID, code)
				if err != nil && !fault.Is(err, fault.Over) && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Invalid) {
					t.Errorf("got %v", err)
				}
			})
		}
		close(start)
		racers.Wait()
		if n := len(w.methods(p)); n != 1 {
			t.Errorf("%d ways came of one code", n)
		}
	})
}

func TestAPersonHasSoManyWaysOfAKindAndNoMore(t *testing.T) {
	w := newWorld(t, store.SQLite, "")
	p := w.person("ada", method.Method{Kind: method.SMS, Destination: "+491713920001"}, method.Method{Kind: method.SMS, Destination: "+491713920002"})
	s := w.signIn(p, "")
	if got := w.overview(s).Kinds; !slices.Equal(got, []method.Kind{method.Passkey, method.TOTP, method.RecoveryCode, method.Email}) {
		t.Errorf("offered %v", got)
	}
	_, err := w.reg.Begin(t.Context(), s, from, method.SMS, register.Input{Destination: "+491713920003"})
	says(t, "a third number", err, fault.Invalid, "register.kind.choose")
}

func TestThePolicySaysFromWhereAndWhoMayRegister(t *testing.T) {
	w := newWorld(t, store.SQLite, `
protected: {people: [boss@contoso.example], deny: true}
rules: [{name: everyone, kinds: [totp, email], networks: [203.0.113.0/24], registration: {networks: [192.0.2.0/24], mode: required}}]`)
	p := w.person("ada")
	s := w.signIn(p, "")
	if got := w.overview(s).Kinds; !slices.Equal(got, []method.Kind{method.TOTP, method.Email}) {
		t.Errorf("offered %v", got)
	}
	e := w.begin(s, method.Email, "ada@mail.example")
	code := w.deliver(e.ID)
	away := from
	away.Addr = netip.MustParseAddr("203.0.113.9")
	_, err := w.reg.Begin(t.Context(), s, away, method.TOTP, register.Input{})
	says(t, "begin from elsewhere", err, fault.Denied, "register.denied.network")
	_, err = w.reg.Confirm(t.Context(), s, away, e.ID, code)
	says(t, "confirm from elsewhere", err, fault.Denied, "register.denied.network")
	types, all := w.events(p)
	if types[0] != event.RegistrationRefused || all[0].Data["why"] != "network" || all[0].Private["network"] != "203.0.113.9/32" {
		t.Errorf("happened: %+v", all[0])
	}
	if due, err := w.reg.Due(t.Context(), s, away); err != nil || due.Mode != "off" {
		t.Errorf("asked where it cannot be done: %+v, %v", due, err)
	}
	own := w.confirm(s, e.ID, code)
	boss := w.signIn(w.person("boss"), "")
	_, err = w.reg.Begin(t.Context(), boss, from, method.TOTP, register.Input{})
	says(t, "somebody protected", err, fault.Denied, "register.denied.protected")
	w.changePerson(p, func(p *account.Person) { p.Attrs = paused })
	says(t, "somebody paused", w.reg.Remove(t.Context(), s, from, own.ID), fault.Denied, "register.denied.paused")
	// Where they signed in it is said that it may be somebody else; another provider says nothing of the kind.
	w.changePerson(p, func(p *account.Person) { p.Attrs = nil; p.Raise("other", account.Compromised, w.now(), w.now()) })
	if _, err := w.reg.Begin(t.Context(), s, from, method.TOTP, register.Input{}); err != nil {
		t.Errorf("somebody of whom another provider speaks: %v", err)
	}
	w.changePerson(p, func(p *account.Person) { p.Raise(s.IDP, account.Compromised, w.now(), w.now()) })
	says(t, "somebody alerted", w.reg.Remove(t.Context(), s, from, own.ID), fault.Denied, "register.denied.alerted")
	_, err = w.reg.Begin(t.Context(), s, from, method.TOTP, register.Input{})
	says(t, "somebody alerted", err, fault.Denied, "register.denied.alerted")
	w.changePerson(p, func(p *account.Person) { p.Attrs, p.Active, p.Alerts = nil, false, nil })
	if _, err := w.reg.Begin(t.Context(), s, from, method.TOTP, register.Input{}); !fault.Is(err, fault.Over) {
		t.Errorf("somebody disabled: %v", err)
	}
}

func TestWhatAnEndedPersonBeganIsNotSent(t *testing.T) {
	w := newWorld(t, store.SQLite, "")
	p := w.person("ada")
	s := w.signIn(p, "")
	e := w.begin(s, method.Email, "ada@mail.example")
	w.changePerson(p, func(p *account.Person) { p.Epoch++ })
	if d, err := w.reg.Prepare(t.Context(), e.ID); d != nil || err != nil {
		t.Errorf("prepared %+v, %v", d, err)
	}
	s = w.signIn(p, "")
	e = w.begin(s, method.Email, "ada@mail.example")
	if err := w.reg.Leave(t.Context(), s, e.ID); err != nil {
		t.Fatal(err)
	}
	if d, err := w.reg.Prepare(t.Context(), e.ID); d != nil || err != nil {
		t.Errorf("prepared what was left: %+v, %v", d, err)
	}
}
