package signal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/signal"
	"github.com/regain-id/regain/internal/store"
)

func TestAResetIsHeardByStreamsAndWebhooks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp, siem := newEar(t, status(202)), newEar(t, status(204))
		_, st := w.stream("rp", rp.URL+"/events")
		hook := w.hook("siem", siem.URL+"/in")
		e := w.happened(w.ada, event.PasswordReset, "action", "reset", "reference", "KTRW-49MP", "kinds", []string{"email", "sms"}, "write", "canary-write", "directory", "main")
		w.work()

		sets := w.sets(rp)
		if len(sets) != 2 {
			t.Fatalf("%d tokens arrived, want 2", len(sets))
		}
		names := map[string]token{}
		for i, k := range sets {
			names[k.name()] = k
			if got := rp.all()[i].head.Get("Authorization"); got != "Bearer canary-rp" {
				t.Errorf("authorization %q", got)
			}
			if k.Audience != "https://rp.example" || k.Txn != e.Txn || k.Issued != e.At.Unix() || !maps.Equal(k.Subject, map[string]string{"format": "iss_sub", "iss": "https://idp.example", "sub": "sub-ada"}) {
				t.Errorf("got %+v", k)
			}
		}
		changed := names["credential-change"].Events["https://schemas.openid.net/secevent/caep/event-type/credential-change"]
		if changed.Type != "password" || changed.Change != "update" || changed.By != "user" || changed.Reason["en"] == "" || changed.Timestamp != e.At.Unix() {
			t.Errorf("credential-change: %+v", changed)
		}
		revoked := names["session-revoked"].Events["https://schemas.openid.net/secevent/caep/event-type/session-revoked"]
		if revoked.By != "policy" || revoked.Reason["en"] == "" || revoked.Timestamp != e.At.Unix() || revoked.Type != "" {
			t.Errorf("session-revoked: %+v", revoked)
		}

		if len(siem.all()) != 1 {
			t.Fatalf("%d webhooks arrived, want 1", len(siem.all()))
		}
		_, body := w.verify(siem.all()[0], hook.Sign[0].Secret)
		if body.Type != "password.reset" || !body.At.Equal(e.At) || body.Data["event"] != e.ID || body.Data["txn"] != e.Txn || body.Data["initiator"] != "user" ||
			body.Data["reference"] != "KTRW-49MP" || fmt.Sprint(body.Data["kinds"]) != "[email sms]" || body.Data["directory"] != "main" {
			t.Errorf("got %+v", body)
		}
		if who, _ := body.Data["subject"].(map[string]any); who["format"] != "opaque" || who["id"] != w.svc.OpaqueName(hook, w.ada.ID) || who["id"] == w.ada.ID {
			t.Errorf("subject %v", body.Data["subject"])
		}
		for _, id := range []string{st.ID, hook.ID} {
			if h := w.health(id); !h.Good.Equal(w.clock.now()) || h.Class != "" || h.Waiting != 0 || h.Dead != 0 {
				t.Errorf("got %+v", h)
			}
		}
		if n := w.work(); n != 0 {
			t.Errorf("%d items are left", n)
		}
	})
}

func TestEachEventMeansWhatTheStandardsSay(t *testing.T) {
	w := newWorld(t, storeOn(t))
	rp := newEar(t, status(202))
	w.stream("rp", rp.URL)
	platform := w.way(w.ada, method.Method{Kind: method.Passkey, Secret: passkey.Credential{ID: []byte("i"), PublicKey: []byte("k"), Transport: []string{"hybrid", "internal"}}.Bytes()})
	roaming := w.way(w.ada, method.Method{Kind: method.Passkey, Secret: passkey.Credential{ID: []byte("j"), PublicKey: []byte("k"), Transport: []string{"usb"}}.Bytes()})
	for _, test := range []struct {
		what  string
		t     event.Type
		facts []any
		want  string // name credential_type change_type, each
	}{
		{"reset", event.PasswordReset, []any{"action", "reset"}, "credential-change password update, session-revoked"},
		{"change", event.PasswordChanged, []any{"action", "change"}, "credential-change password update"},
		{"unlock", event.AccountUnlocked, []any{"action", "unlock"}, ""},
		{"app added", event.MethodAdded, []any{"kind", "totp"}, "credential-change app create, recovery-information-changed"},
		{"token removed", event.MethodRemoved, []any{"kind", "hotp"}, "credential-change app delete, recovery-information-changed"},
		{"text messages disabled", event.MethodChanged, []any{"kind", "sms", "status", "disabled"}, "credential-change phone-sms revoke, recovery-information-changed"},
		{"calls changed", event.MethodChanged, []any{"kind", "voice", "status", "active"}, "credential-change phone-voice update, recovery-information-changed"},
		{"passkey of this device", event.MethodAdded, []any{"kind", "passkey", "method", platform}, "credential-change fido2-platform create, recovery-information-changed"},
		{"security key", event.MethodAdded, []any{"kind", "passkey", "method", roaming}, "credential-change fido2-roaming create, recovery-information-changed"},
		{"passkey that is gone", event.MethodRemoved, []any{"kind", "passkey", "method", "gone"}, "credential-change fido2-roaming delete, recovery-information-changed"},
		{"address added", event.MethodAdded, []any{"kind", "email"}, "recovery-information-changed"},
		{"printed codes", event.MethodAdded, []any{"kind", "recovery-code"}, "recovery-information-changed"},
		{"known elsewhere", event.MethodChanged, []any{"kind", "external", "status", "removed"}, "recovery-information-changed"},
		{"renamed", event.MethodChanged, []any{"kind", "totp", "why", "renamed"}, ""},
		{"proved", event.AttemptProved, []any{"action", "reset"}, "recovery-activated"},
		{"proved to unlock", event.AttemptProved, []any{"action", "unlock"}, "recovery-activated"},
		{"proved to change what they know", event.AttemptProved, []any{"action", "change"}, ""},
		{"disputed", event.AttemptDisputed, []any{"action", "reset"}, "account-credential-change-required, session-revoked"},
		{"unlocking disputed", event.AttemptDisputed, []any{"action", "unlock"}, "session-revoked"},
		{"disabled", event.PersonDeactivated, nil, "session-revoked"},
	} {
		before := len(rp.all())
		w.happened(w.ada, test.t, test.facts...)
		w.work()
		var got []string
		for _, h := range rp.all()[before:] {
			k := w.set(h)
			for _, v := range k.Events {
				got = append(got, strings.TrimSpace(k.name()+" "+v.Type+" "+v.Change))
				if v.Reason["en"] == "" || v.By == "" || v.Timestamp == 0 {
					t.Errorf("%s: %+v", test.what, v)
				}
			}
		}
		slices.Sort(got)
		if s := strings.Join(got, ", "); s != test.want {
			t.Errorf("%s: got %q, want %q", test.what, s, test.want)
		}
	}
}

func TestWhoDidItIsToldInCAEPsWords(t *testing.T) {
	w := newWorld(t, storeOn(t))
	rp := newEar(t, status(202))
	w.stream("rp", rp.URL)
	for actor, want := range map[string]string{"person:" + w.ada.ID: "user", "person:boss": "admin", "cli:root": "admin", "connector:c": "admin", "system": "system", "stranger": "user"} {
		e := event.New(w.clock.now(), event.MethodRemoved, actor, w.ada.ID, "", event.Success).With("kind", "totp")
		must(t, w.s.Record(t.Context(), e))
		w.work()
		k := w.set(rp.all()[len(rp.all())-1])
		for _, v := range k.Events {
			if v.By != want || k.Txn != e.ID {
				t.Errorf("%s: initiating entity %q, want %q; txn %q", actor, v.By, want, k.Txn)
			}
		}
	}
	e := event.New(w.clock.now(), event.MethodRemoved, "system", w.ada.ID, "", event.Failure).With("kind", "totp")
	must(t, w.s.Record(t.Context(), e))
	before := len(rp.all())
	w.work()
	if len(rp.all()) != before {
		t.Error("what failed was told")
	}
}

func TestAReceiverKnowsPeopleInItsFormatAndNoOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		want := map[client.SubjectFormat]map[string]string{
			client.FormatIssSub: {"format": "iss_sub", "iss": "https://idp.example", "sub": "sub-ada"},
			client.FormatEmail:  {"format": "email", "email": "ada@canary-mail.example"},
		}
		ears := map[client.SubjectFormat]*ear{}
		for _, format := range []client.SubjectFormat{client.FormatIssSub, client.FormatEmail, client.FormatOpaque} {
			ears[format] = newEar(t, status(202))
			r, _ := w.stream("rp-"+strings.ReplaceAll(string(format), "_", "-"), ears[format].URL, func(r *client.Receiver, _ *client.Stream) { r.Format = format })
			if format == client.FormatOpaque {
				want[format] = map[string]string{"format": "opaque", "id": w.svc.OpaqueName(r, w.ada.ID)}
			}
		}
		w.happened(w.ada, event.PasswordChanged)
		w.work()
		for format, e := range ears {
			sets := w.sets(e)
			if len(sets) != 1 || !maps.Equal(sets[0].Subject, want[format]) {
				t.Errorf("%s: got %+v, want %v", format, sets, want[format])
			}
			for _, h := range e.all() {
				holdsNothing(t, string(format), unpacked(h.body), format)
			}
		}
	})
}

// unpacked is the payload of a token, or the body as it is.
func unpacked(body []byte) []byte {
	if part := bytes.Split(body, []byte(".")); len(part) == 3 {
		return decoded(string(part[1]))
	}
	return body
}

// holdsNothing fails when something of a person stands in a body beyond what the format names them by.
func holdsNothing(t *testing.T, what string, body []byte, format client.SubjectFormat) {
	t.Helper()
	for canary, of := range map[string]client.SubjectFormat{"canary-login": "", "Canary-Name": "", "canary-agent": "", "canary-write": "", "canary-mail": client.FormatEmail, "sub-ada": client.FormatIssSub} {
		if of != format && bytes.Contains(body, []byte(canary)) {
			t.Errorf("%s: %q stands in %s", what, canary, body)
		}
	}
}

func TestAStreamHearsWhatItAskedForOfWhatItMay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const caep, risc = "https://schemas.openid.net/secevent/caep/event-type/", "https://schemas.openid.net/secevent/risc/event-type/"
		some, few, none := newEar(t, status(202)), newEar(t, status(202)), newEar(t, status(202))
		w.stream("some", some.URL, func(_ *client.Receiver, s *client.Stream) {
			s.Requested = []string{caep + "session-revoked", "https://x.example/other"}
		})
		w.stream("few", few.URL, func(r *client.Receiver, s *client.Stream) {
			r.Events, s.Requested = []string{client.CredentialChange}, []string{caep + "session-revoked", caep + "credential-change", risc + "recovery-activated"}
		})
		w.stream("none", none.URL, func(r *client.Receiver, s *client.Stream) { s.Requested = []string{"https://x.example/other"} })
		quiet := w.hook("quiet", none.URL, func(r *client.Receiver) { r.Events = []string{"method.added"} })
		w.happened(w.ada, event.PasswordReset)
		w.work()
		for want, e := range map[string]*ear{"session-revoked": some, "credential-change": few} {
			if sets := w.sets(e); len(sets) != 1 || sets[0].name() != want {
				t.Errorf("got %+v, want one %s", sets, want)
			}
		}
		if len(none.all()) != 0 || w.health(quiet.ID).Class != "" {
			t.Errorf("%d requests nobody asked for", len(none.all()))
		}
	})
}

func TestWhomAStreamDoesNotWantToHearOfItDoesNot(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp := newEar(t, status(202))
		_, st := w.stream("rp", rp.URL)
		bob := w.person("bob")
		must(t, w.s.RemoveSubject(t.Context(), st.ID, w.ada.ID, w.clock.now()))
		w.happened(w.ada, event.PasswordChanged)
		w.happened(bob, event.PasswordChanged)
		w.work()
		if sets := w.sets(rp); len(sets) != 1 || sets[0].Subject["sub"] != "sub-bob" {
			t.Errorf("got %+v", sets)
		}
	})
}

func TestAPausedStreamKeepsAndADisabledOneDrops(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp := newEar(t, status(202))
		r, st := w.stream("rp", rp.URL)
		turn := func(to client.StreamStatus, actor string) {
			t.Helper()
			ok[*client.Stream](t)(w.s.UpdateStream(t.Context(), st.ID, func(s *client.Stream) ([]event.Event, error) {
				return s.Turn(to, "maintenance", actor, w.clock.now()), nil
			}))
		}
		last := func() token { t.Helper(); all := w.sets(rp); return all[len(all)-1] }
		turn(client.StreamPaused, "cli:root")
		w.work()
		k := last()
		if v := k.Events["https://schemas.openid.net/secevent/ssf/event-type/stream-updated"]; v.Status != "paused" || v.Why != "maintenance" || k.Subject["format"] != "opaque" || k.Subject["id"] != st.ID {
			t.Errorf("before it is paused: %+v", k)
		}
		w.happened(w.ada, event.PasswordChanged)
		w.work()
		if len(rp.all()) != 1 || w.health(st.ID).Waiting != 1 {
			t.Errorf("while paused: %d requests, %+v", len(rp.all()), w.health(st.ID))
		}
		turn(client.StreamEnabled, "receiver:"+r.ID) // it knows that it is enabled: no stream-updated
		w.work()
		if all := w.sets(rp); len(all) != 2 || all[1].name() != "credential-change" {
			t.Errorf("enabled again: %+v", all)
		}
		rp.reply(status(503))
		w.happened(w.ada, event.PasswordChanged)
		w.work()
		rp.reply(status(202))
		turn(client.StreamDisabled, "cli:root")
		w.clock.pass(time.Hour)
		w.work()
		if k := last(); k.Events["https://schemas.openid.net/secevent/ssf/event-type/stream-updated"].Status != "disabled" {
			t.Errorf("before it is disabled: %+v", k)
		}
		n := len(rp.all())
		w.happened(w.ada, event.PasswordReset)
		w.work()
		if h := w.health(st.ID); len(rp.all()) != n || h.Waiting != 0 || h.Dead != 0 {
			t.Errorf("a disabled stream got %d requests more, %+v", len(rp.all())-n, h)
		}
	})
}

func TestADisabledReceiverHearsThatAndNothingMore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp, siem := newEar(t, status(202)), newEar(t, status(202))
		_, st := w.stream("rp", rp.URL)
		w.hook("siem", siem.URL)
		w.happened(w.ada, event.PasswordReset) // is written, and on its way
		for w.step(1); w.health(st.ID).Waiting == 0; w.step(1) {
		}
		for _, key := range []string{"rp", "siem"} {
			ok[*client.Receiver](t)(w.s.UpdateReceiver(t.Context(), key, func(r *client.Receiver) ([]event.Event, error) {
				r.Disable(true)
				return []event.Event{event.New(w.clock.now(), event.ReceiverChanged, "cli:root", "", r.ID, event.Success).With("key", r.Key).With("status", "disabled")}, nil
			}))
		}
		w.work()
		if sets := w.sets(rp); len(sets) != 1 || sets[0].name() != "stream-updated" || len(siem.all()) != 0 {
			t.Errorf("got %+v, and %d webhooks", sets, len(siem.all()))
		}
		w.happened(w.ada, event.PasswordReset)
		if n := w.work(); n != 1 || len(rp.all()) != 1 || len(siem.all()) != 0 || w.health(st.ID).Waiting != 0 {
			t.Errorf("%d items of work, %d requests, %d webhooks", n, len(rp.all()), len(siem.all()))
		}
	})
}

func TestWhatWasWrittenWhileAStreamChangedItsWayFollowsIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, st := w.stream("rp", "http://127.0.0.1:1/", func(_ *client.Receiver, s *client.Stream) {
			s.Delivery, s.Endpoint, s.Authorization = client.DeliverPoll, "", ""
		})
		must(t, w.s.PutDelivery(t.Context(), "set", st.ID+" verification", w.clock.now(), time.Time{})) // by a view of before
		w.work()
		items, _, err := w.s.Polled(t.Context(), st.ID, 10, w.clock.now())
		must(t, err)
		if len(items) != 1 || items[0].Ref != st.ID+" verification" {
			t.Errorf("got %+v", items)
		}
	})
}

func TestATestShowsThatTheWayWorks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp, siem := newEar(t, status(202)), newEar(t, status(200))
		_, st := w.stream("rp", rp.URL)
		hook := w.hook("siem", siem.URL)
		for range 2 { // who presses twice tests once
			must(t, w.svc.Test(t.Context(), "rp"))
			must(t, w.svc.Test(t.Context(), "siem"))
		}
		w.work()
		if sets := w.sets(rp); len(sets) != 1 || sets[0].name() != "verification" || sets[0].Subject["id"] != st.ID || sets[0].Txn != "" ||
			sets[0].Events["https://schemas.openid.net/secevent/ssf/event-type/verification"].State != nil {
			t.Errorf("got %+v", sets)
		}
		if got := siem.all(); len(got) != 1 {
			t.Errorf("%d webhooks", len(got))
		} else if _, body := w.verify(got[0], hook.Sign[0].Secret); body.Type != "test" || len(body.Data) != 0 {
			t.Errorf("got %+v", body)
		}
		for _, key := range []string{"rp", "siem"} {
			ok[*client.Receiver](t)(w.s.UpdateReceiver(t.Context(), key, func(r *client.Receiver) ([]event.Event, error) { r.Disable(true); return nil, nil }))
			if err := w.svc.Test(t.Context(), key); !fault.Is(err, fault.Conflict) {
				t.Errorf("disabled: %v", err)
			}
		}
		if err := w.svc.Test(t.Context(), "none"); !fault.Is(err, fault.NotFound) {
			t.Errorf("none: %v", err)
		}
	})
}

func TestAStateToVerifyByComesBackAsItWas(t *testing.T) {
	w := newWorld(t, storeOn(t))
	rp := newEar(t, status(202))
	_, st := w.stream("rp", rp.URL)
	const state = "VGhpcyBpcyBhbiBleGFtcGxl \"<ü> state"
	must(t, w.s.PutDelivery(t.Context(), "set", ref(st.ID, "verification", state), w.clock.now(), w.clock.now().Add(time.Hour)))
	w.work()
	sets := w.sets(rp)
	if len(sets) != 1 {
		t.Fatalf("%d tokens", len(sets))
	}
	if got := sets[0].Events["https://schemas.openid.net/secevent/ssf/event-type/verification"].State; got == nil || *got != state {
		t.Errorf("state %v", got)
	}
}

func TestTheOlderShapeHasTheSubjectInsideTheEvent(t *testing.T) {
	w := newWorld(t, storeOn(t))
	rp := newEar(t, status(202))
	w.stream("rp", rp.URL, func(_ *client.Receiver, s *client.Stream) { s.Profile = client.ProfileSSE })
	w.happened(w.ada, event.PasswordChanged)
	w.work()
	sets := w.sets(rp)
	if len(sets) != 1 || sets[0].Subject != nil {
		t.Fatalf("got %+v", sets)
	}
	for _, v := range sets[0].Events {
		if !maps.Equal(v.Subject, map[string]string{"format": "iss_sub", "iss": "https://idp.example", "sub": "sub-ada"}) {
			t.Errorf("got %+v", v)
		}
	}
}

func TestDuringRotationAReceiverVerifiesByEitherSecretAndEitherKey(t *testing.T) {
	w := newWorld(t, storeOn(t))
	siem, rp := newEar(t, status(200)), newEar(t, status(202))
	hook := w.hook("siem", siem.URL)
	w.stream("rp", rp.URL)
	fresh := bytes.Repeat([]byte{7}, 32)
	ok[*client.Receiver](t)(w.s.UpdateReceiver(t.Context(), "siem", func(r *client.Receiver) ([]event.Event, error) {
		return nil, r.AddSign(client.SignSecret{Secret: fresh, Created: w.clock.now()}, w.clock.now().Add(time.Hour))
	}))
	w.happened(w.ada, event.PasswordChanged)
	w.work()
	for _, secret := range [][]byte{hook.Sign[0].Secret, fresh} {
		w.verify(siem.all()[0], secret)
	}
	w.clock.pass(time.Hour)
	w.keys.rotate(rsaKeys()[1]) // the second key waits
	w.keys.rotate(rsaKeys()[0])
	w.happened(w.ada, event.PasswordChanged)
	w.work()
	w.verify(siem.all()[1], fresh)
	if got := siem.all()[1].head.Get("Webhook-Signature"); strings.Contains(got, " ") {
		t.Errorf("the old secret still signs: %q", got)
	}
	if len(w.sets(rp)) != 2 { // verified by the keys that are published now
		t.Errorf("%d tokens", len(rp.all()))
	}
}

func TestWithoutReceiversAnEventIsNoWorkAndWithOneItIsFromThenOn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		waiting := func() (n int) {
			t.Helper()
			for _, l := range ok[[]store.Load](t)(w.s.Backlog(t.Context(), w.clock.now())) {
				if l.Kind != "notice" {
					n += l.Due
				}
			}
			return n
		}
		w.happened(w.ada, event.PasswordReset)
		if n := waiting(); n != 0 {
			t.Errorf("%d items of work for nobody", n)
		}
		siem := newEar(t, status(204))
		w.hook("siem", siem.URL)
		w.happened(w.ada, event.PasswordReset)
		if n := waiting(); n != 1 {
			t.Errorf("%d items of work", n)
		}
		w.work()
		if n := len(siem.all()); n != 1 {
			t.Errorf("%d webhooks", n)
		}
	})
}

func TestARepeatIsTheSameToTheLastByte(t *testing.T) {
	w := newWorld(t, storeOn(t))
	_, st := w.stream("rp", "http://127.0.0.1:1/")
	r := ok[*client.Receiver](t)(w.s.Receiver(t.Context(), "rp"))
	e := w.happened(w.ada, event.PasswordReset)
	i := event.Item{ID: newID(), Event: e.ID, Kind: "set", Ref: st.ID + " credential-change"}
	one, jti, err := w.svc.Set(t.Context(), st, r, i)
	must(t, err)
	w.clock.pass(time.Hour)
	two, _, err := w.svc.Set(t.Context(), st, r, i)
	must(t, err)
	if one != two || jti != i.ID {
		t.Errorf("got\n%s\n%s", one, two)
	}
	if _, _, err := w.svc.Set(t.Context(), st, r, event.Item{ID: newID(), Event: newID(), Ref: st.ID + " credential-change"}); signal.Dropped(err) != "no-event" {
		t.Errorf("an event that is gone: %v", err)
	}
	if _, _, err := w.svc.Set(t.Context(), st, r, event.Item{ID: newID(), Event: e.ID, Ref: st.ID + " anything"}); signal.Dropped(err) != "unknown-type" {
		t.Errorf("a type there is not: %v", err)
	}
	var head struct{ Typ, Alg string }
	must(t, json.Unmarshal(decoded(strings.Split(one, ".")[0]), &head))
	if head.Typ != "secevent+jwt" || head.Alg != "RS256" {
		t.Errorf("got %+v", head)
	}
}
