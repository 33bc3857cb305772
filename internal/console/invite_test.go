package console

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/staff"
)

var choiceKey = regexp.MustCompile(`name="choice" value="([0-9a-f]+)"`)

// invitation makes one and returns its token.
func (h *house) invitation(role staff.Role) string {
	h.t.Helper()
	token, hash := keyring.NewToken("rgn_invite")
	h.must(h.db.PutInvite(h.t.Context(), staff.Invite{Hash: hash, Role: role, By: "cli:root", Made: h.clock, Expires: h.clock.Add(staff.InviteLife)}))
	return token
}

// invited is a browser that followed the link of an invitation.
func (b *surfer) invited(token string) *surfer {
	b.t.Helper()
	if w := b.get(PathInvite + "?t=" + token); w.Code != 303 || w.Header().Get("Location") != PathInvite || b.cookies["__Host-invite"] != token {
		b.t.Fatalf("the link leads to %q (%d) with %v", w.Header().Get("Location"), w.Code, b.cookies)
	}
	return b
}

func TestTheFirstAdministratorPicksWhatMakesPeopleStaff(t *testing.T) {
	h := open(t)
	token := h.invitation(staff.Administrator)
	for range 5 { // programs follow links before people do
		h.stranger().invited(token).get(PathInvite)
	}
	b := h.stranger().invited(token)
	if w := b.get(PathInvite); w.Code != 200 || !strings.Contains(w.Body.String(), "first administrator") || strings.Contains(w.Body.String(), token) {
		t.Fatalf("somebody not signed in: %d", w.Code)
	}
	if w := b.get(PathBegin); w.Code != 303 || !strings.HasPrefix(w.Header().Get("Location"), h.issuer+"/auth?") || strings.Contains(w.Header().Get("Location"), token) ||
		!strings.Contains(w.Header().Get("Location"), "acr_values=mfa") {
		t.Fatalf("begin: %d to %q", w.Code, w.Header().Get("Location"))
	}
	b.cookies["__Host-session"] = h.signIn("bob", true, "it-admins", "everyone").cookies["__Host-session"]
	page := b.get(PathInvite).Body.String()
	keys := choiceKey.FindAllStringSubmatch(page, -1)
	if len(keys) != 2 || !strings.Contains(page, "it-admins") || !strings.Contains(page, "<code>sub</code>") {
		t.Fatalf("offered: %v", keys)
	}
	for _, wrong := range []url.Values{{}, {"choice": {""}}, {"choice": {"it-admins"}}, {"choice": {strings.Repeat("0", 24)}}} {
		if w := b.do("POST", PathInvite, wrong); w.Code != 422 || !strings.Contains(w.Body.String(), "Choose one of the groups") {
			t.Errorf("%v: got %d", wrong, w.Code)
		}
	}
	if w := b.get(PathSearch); w.Code != 403 {
		t.Errorf("before: %d, want 403", w.Code)
	}
	if w := b.do("POST", PathInvite, url.Values{"choice": {keys[0][1]}}); w.Code != 200 || !strings.Contains(w.Body.String(), "You are staff now") || !strings.Contains(w.Body.String(), "it-admins") {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	if w := b.get(PathSearch); w.Code != 200 {
		t.Errorf("afterwards: %d, want the console", w.Code)
	}
	rules, err := h.db.RoleRules(t.Context())
	h.must(err)
	if r := rules[len(rules)-1]; len(rules) != 3 || r.Role != staff.Administrator || r.IDP != "corp" || r.Claim != "groups" || r.Value != "it-admins" || r.By != "person:"+h.people["bob"].ID {
		t.Errorf("rules: %+v", rules)
	}
	other := h.signIn("ada", true, "it-admins").invited(token)
	for _, w := range []int{other.get(PathInvite).Code, other.invited(token).get(PathBegin).Code, other.invited(token).do("POST", PathInvite, url.Values{"choice": {keys[0][1]}}).Code} {
		if w != 410 {
			t.Errorf("a second use: %d, want 410", w)
		}
	}
}

func TestAnInvitationWantsASignInJustNow(t *testing.T) {
	h := open(t)
	token := h.invitation(staff.Helpdesk)
	weak := h.signIn("bob", false, "it").invited(token)
	strong := h.signIn("bob", true, "it").invited(token)
	key := choiceKey.FindStringSubmatch(strong.get(PathInvite).Body.String())
	if key == nil {
		t.Fatal("nothing is offered")
	}
	h.clock = h.clock.Add(session.StepUpLife + time.Second)
	for what, b := range map[string]*surfer{"nobody": h.stranger().invited(token), "a sign-in without a second factor": weak, "one of six minutes ago": strong} {
		if body := b.get(PathInvite).Body.String(); choiceKey.MatchString(body) || !strings.Contains(body, `href="/console/invite/begin"`) {
			t.Errorf("%s is offered something", what)
		}
		if w := b.do("POST", PathInvite, url.Values{"choice": {key[1]}}); !strings.Contains(w.Body.String(), `href="/console/invite/begin"`) || !strings.Contains(w.Body.String(), "too long ago") {
			t.Errorf("%s: %d", what, w.Code)
		}
	}
	rules, err := h.db.RoleRules(t.Context())
	h.must(err)
	if len(rules) != 2 {
		t.Errorf("rules: %+v", rules)
	}
}

func TestAnInvitationThatIsNoneSaysTheSameWhateverTheReason(t *testing.T) {
	h := open(t)
	unknown, _ := keyring.NewToken("rgn_invite")
	late := h.invitation(staff.Administrator)
	h.clock = h.clock.Add(staff.InviteLife)
	var first string
	for _, token := range []string{unknown, late, "none", late[:len(late)-1]} {
		b := h.signIn("bob", true, "it").invited(token)
		w := b.get(PathInvite)
		if first == "" {
			first = w.Body.String()
		}
		if w.Code != 410 || w.Body.String() != first {
			t.Errorf("%.20s…: %d", token, w.Code)
		}
		if b.cookies["__Host-invite"] != "" {
			t.Error("the cookie of an invitation that is over stays")
		}
	}
	b := h.stranger()
	b.get(PathInvite + "?t=" + url.QueryEscape("a; Path=/x"))
	if b.cookies["__Host-invite"] != "none" {
		t.Errorf("a token that is none went into a cookie: %q", b.cookies["__Host-invite"])
	}
	if w := b.get(PathInvite + "?t=" + strings.Repeat("a", 200)); w.Code != 400 {
		t.Errorf("a long token: %d", w.Code)
	}
}

func TestWhoeverHasNothingToChooseIsToldWhatCame(t *testing.T) {
	h := open(t)
	body := h.signIn("bob", true).invited(h.invitation(staff.Administrator)).get(PathInvite).Body.String()
	if choiceKey.MatchString(body) || !strings.Contains(body, "nothing to choose from") || !strings.Contains(body, "<code>groups</code>") {
		t.Error(body)
	}
}
