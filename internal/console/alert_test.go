package console

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

// alerted is somebody of whom a provider said something.
func (h *house) alerted(login string, kinds ...account.AlertKind) *account.Person {
	h.t.Helper()
	p, err := h.db.UpdatePerson(h.t.Context(), h.people[login].ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
		for _, k := range kinds {
			p.Raise("corp", k, h.clock, h.clock)
		}
		return nil, nil
	})
	h.must(err)
	return p
}

func (h *house) alerts(login string) []account.Alert {
	h.t.Helper()
	p, err := h.db.Person(h.t.Context(), h.people[login].ID)
	h.must(err)
	return p.AlertsAt(h.clock)
}

func alert(idp string, kind account.AlertKind) url.Values {
	return url.Values{"idp": {idp}, "kind": {string(kind)}}
}

func TestStaffSeeWhatAProviderSaidAndConfirmOrLiftIt(t *testing.T) {
	for _, role := range []string{"desk", "root"} {
		h := open(t)
		ada := h.alerted("ada", account.Compromised, account.Disabled)
		b := h.signIn("grace", true, role)
		at := PathPeople + ada.ID
		page := b.get(at).Body.String()
		for _, want := range []string{"corp says: this account may be in other hands", "corp says: this account is disabled", "It ends by itself on", at + "/alert/confirm", at + "/alert/lift",
			"Their identity provider says that the account is disabled."} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page lacks %q", role, want)
			}
		}
		if w := b.do("POST", at+"/alert/confirm", alert("corp", account.Disabled)); w.Code != 303 || w.Header().Get("Location") != at {
			t.Fatalf("%s: %d to %q", role, w.Code, w.Header().Get("Location"))
		}
		b.do("POST", at+"/alert/confirm", alert("corp", account.Disabled)) // a second click is no second act
		done := h.facts(ada.ID, event.AlertConfirmed)
		if len(done) != 1 || done[0].Actor != "person:"+h.people["grace"].ID || done[0].Data["alert"] != "disabled" || done[0].Data["idp"] != "corp" {
			t.Errorf("%s: written down as %+v", role, done)
		}
		if a := h.alerts("ada"); len(a) != 2 || a[1].Confirmed.IsZero() || a[1].By != "person:"+h.people["grace"].ID {
			t.Errorf("%s: %+v", role, a)
		}
		if page := b.get(at).Body.String(); !strings.Contains(page, "it stays until it is lifted") {
			t.Errorf("%s: the page does not say that it stays", role)
		}
		b.do("POST", at+"/alert/lift", alert("corp", account.Disabled))
		b.do("POST", at+"/alert/lift", alert("corp", account.Disabled))
		if a := h.alerts("ada"); len(a) != 1 || a[0].Kind != account.Compromised || len(h.facts(ada.ID, event.AlertLifted)) != 1 {
			t.Errorf("%s: after lifting: %+v", role, a)
		}
		h.clock = h.clock.Add(account.AlertLife)
		if len(h.alerts("ada")) != 0 {
			t.Errorf("%s: what nobody confirmed goes on", role)
		}
	}
}

func TestWhatThereIsNoneOfIsNeitherConfirmedNorLifted(t *testing.T) {
	h := open(t)
	ada := h.alerted("ada", account.Disabled)
	b := h.signIn("rosa", true, "root")
	for _, v := range []url.Values{alert("partner", account.Disabled), alert("corp", account.Compromised), alert("corp", "x"), alert("", ""), nil} {
		for _, do := range []string{"confirm", "lift"} {
			b.do("POST", PathPeople+ada.ID+"/alert/"+do, v)
		}
	}
	if a := h.alerts("ada"); len(a) != 1 || !a[0].Confirmed.IsZero() || len(h.facts(ada.ID, event.AlertLifted))+len(h.facts(ada.ID, event.AlertConfirmed)) != 0 {
		t.Errorf("%+v", a)
	}
	if w := b.do("POST", PathPeople+"nobody/alert/lift", alert("corp", account.Disabled)); w.Code != 404 {
		t.Errorf("nobody: %d", w.Code)
	}
}

// Whoever holds a stolen sign-in of staff must not be able to say that it is none; nor may somebody who left their desk.
func TestNobodyLiftsWhatIsSaidOfThemselvesOrWithoutAFreshStepUp(t *testing.T) {
	h := open(t)
	h.alerted("ada", account.Disabled)
	rosa := h.alerted("rosa", account.Compromised)
	b := h.signIn("rosa", true, "root")
	if w := b.do("POST", PathPeople+rosa.ID+"/alert/lift", alert("corp", account.Compromised)); w.Code != 403 || !strings.Contains(w.Body.String(), "somebody else has to decide") {
		t.Errorf("their own: %d: %s", w.Code, w.Body)
	}
	if len(h.alerts("rosa")) != 1 {
		t.Error("lifted their own")
	}
	h.clock = h.clock.Add(6 * time.Minute)
	b.do("POST", PathPeople+h.people["ada"].ID+"/alert/lift", alert("corp", account.Disabled))
	if len(h.alerts("ada")) != 1 {
		t.Error("lifted without a fresh step-up")
	}
}
