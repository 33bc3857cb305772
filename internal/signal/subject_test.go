package signal_test

import (
	"maps"
	"testing"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/signal"
)

func TestWhoNeverSignedInIsKnownByTheAttributeThatIsConfigured(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp := newEar(t, status(202))
		w.stream("rp", rp.URL, func(r *client.Receiver, _ *client.Stream) { r.IDP = "elsewhere" })
		w.svc.Issued = []signal.Issued{{IDP: "idp", Issuer: "https://idp.example"}, {IDP: "elsewhere", Issuer: "https://elsewhere.example", Attribute: "userName"}}
		w.happened(w.ada, event.PasswordReset)
		w.work()
		want := map[string]string{"format": "iss_sub", "iss": "https://elsewhere.example", "sub": w.ada.UserName}
		sets := w.sets(rp)
		if len(sets) == 0 {
			t.Fatal("nothing is told")
		}
		for _, set := range sets {
			if !maps.Equal(set.Subject, want) {
				t.Errorf("got %v, want %v", set.Subject, want)
			}
		}
		// Nothing is told of the people of connectors that the provider may not speak for.
		before := len(rp.all())
		w.svc.Issued[1].Connectors = []string{"another"}
		w.happened(w.ada, event.PasswordReset)
		w.work()
		if n := len(rp.all()) - before; n != 0 {
			t.Errorf("%d events are told of somebody of another connector", n)
		}
	})
}

// A connector writes what it likes into an attribute: what happens to one of its people must not read as if it had happened to
// whoever signs in by that name.
func TestNobodyIsToldOfByTheNameSomebodyElseSignsInBy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp := newEar(t, status(202))
		w.stream("rp", rp.URL)
		w.svc.Issued = []signal.Issued{{IDP: "work", Issuer: "https://idp.example", Attribute: "userName"}}
		eve := &account.Person{ID: newID(), Connector: "c", ExternalID: "ext-eve", UserName: "sub-ada", Active: true, Attrs: []byte(`{}`), Created: w.clock.now(), Updated: w.clock.now()}
		must(t, w.s.CreatePerson(t.Context(), eve, nil))
		w.happened(eve, event.PasswordReset)
		w.work()
		if sets := w.sets(rp); len(sets) != 0 {
			t.Errorf("told of ada what happened to eve: %+v", sets)
		}
	})
}

func TestSomebodyAReceiverHasNoNameForIsNotToldOfAndKeepsNobodyWaiting(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp := newEar(t, status(202))
		_, st := w.stream("rp", rp.URL, func(r *client.Receiver, _ *client.Stream) { r.IDP = "elsewhere" })
		hook := w.hook("siem", rp.URL, func(r *client.Receiver) { r.Format, r.IDP = client.FormatIssSub, "elsewhere" })
		w.happened(w.ada, event.PasswordReset)
		w.work()
		if len(rp.all()) != 0 {
			t.Errorf("%d requests about somebody unknown", len(rp.all()))
		}
		for _, id := range []string{st.ID, hook.ID} {
			if h := w.health(id); h.Class != "no-subject" || h.Waiting != 0 || h.Dead != 0 {
				t.Errorf("got %+v", h)
			}
		}
	})
}
