package app

import (
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/activedirectory"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

// domainWorld is a deployment whose passwords are in an Active Directory.
func domainWorld(t *testing.T) (*world, *testserver.SambaServer) {
	t.Helper()
	s := testserver.Samba(t)
	return newWorld(t, scene{change: func(setup *Setup) {
		a, err := activedirectory.New(activedirectory.Config{Name: "corp", URLs: []string{s.URL}, CAFile: s.CAFile, BindName: s.ServiceUPN,
			BindPassword: directory.NewSecret(s.ServicePassword), BaseDN: s.PeopleDN})
		if err != nil {
			t.Fatal(err)
		}
		setup.Directories[0].Adapter, setup.Directories[0].After, setup.Directories[0].Timeout = a, time.Hour, 10*time.Second
	}}), s
}

// colleague makes a person with an account in the domain.
func colleague(t *testing.T, w *world, s *testserver.SambaServer, uid string, attrs map[string][]string) *somebody {
	t.Helper()
	p := w.add(uid, method.Email, method.SMS)
	p.Password = "Their first passw0rd"
	all := map[string][]string{"mail": {p.Login}}
	for name, values := range attrs {
		all[name] = values
	}
	s.AddUser(t, testserver.SambaUser{Login: uid, Password: p.Password, Attrs: all})
	return p
}

func TestALockedOutMemberOfADomainResetsThePasswordAndIsToldTheRule(t *testing.T) {
	w, s := domainWorld(t)
	ada := colleague(t, w, s, "ada", nil)
	s.LockOut(t, "ada")
	v := w.visitor()
	v.firstProof("/reset", ada)
	v.chooseKind("sms")
	v.post("/code", "code", w.textCode(ada.Phone, 1)).want(t, 200, "/new-password")
	v.post("/new-password", "password", "a heron lands on cold water").want(t, 422, "/new-password", "capital and small letters, digits, and signs")
	if s.SignIn(t, "ada", "a heron lands on cold water") {
		t.Fatal("refused, and yet it signs in")
	}
	v.post("/new-password", "password", "A heron lands on 1 cold lake").want(t, 200, "/progress", "Your password is changed")
	if !s.SignIn(t, "ada", "A heron lands on 1 cold lake") {
		t.Error("the account is still locked, or has another password")
	}
	w.drained()
	if w.count(ada.ID, event.PasswordReset) != 1 {
		t.Error("the events tell something else")
	}
	if l := w.letters(ada.Login); len(l) != 1 || !strings.Contains(l[0].Subject, "was reset") {
		t.Errorf("%d notices at work", len(l))
	}
}

func TestAMemberOfADomainChangesAPasswordThatMustBeChanged(t *testing.T) {
	w, s := domainWorld(t)
	ada := colleague(t, w, s, "ada", map[string][]string{"pwdLastSet": {"0"}})
	v := w.visitor()
	v.firstProof("/change", ada).want(t, 200, "/old-password")
	v.post("/old-password", "current", ada.Password, "password", "A heron lands on 1 cold lake").want(t, 200, "/progress", "Your password is changed")
	if !s.SignIn(t, "ada", "A heron lands on 1 cold lake") || s.Get(t, "CN=ada,"+s.PeopleDN, "pwdLastSet")[0] == "0" {
		t.Error("the password is not changed, or another one is due")
	}
	w.drained()
	if w.count(ada.ID, event.PasswordChanged) != 1 {
		t.Error("the events tell something else")
	}
}

func TestAProtectedOrDisabledMemberOfADomainIsToldBeforeTyping(t *testing.T) {
	w, s := domainWorld(t)
	for uid, c := range map[string]struct {
		attrs map[string][]string
		says  string
	}{
		"chief": {map[string][]string{"adminCount": {"1"}}, "This account is protected"},
		"gone":  {map[string][]string{"userAccountControl": {"514"}}, "Your account is disabled"},
		"over":  {map[string][]string{"accountExpires": {"132000000000000000"}}, "Your account has expired"},
	} {
		p := colleague(t, w, s, uid, c.attrs)
		v := w.visitor()
		v.firstProof("/reset", p)
		v.chooseKind("sms")
		v.post("/code", "code", w.textCode(p.Phone, 1)).want(t, 403, "/new-password", c.says)
	}
	if n := w.number(`SELECT count(*) FROM writes`); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestALockedOutMemberOfADomainKeepsThePassword(t *testing.T) {
	w, s := domainWorld(t)
	ada := colleague(t, w, s, "ada", nil)
	s.LockOut(t, "ada")
	v := w.visitor()
	v.firstProof("/unlock", ada).want(t, 200, "/unlock-now", "Unlock your account now?")
	v.post("/unlock-now").want(t, 200, "/progress", "Your account is unlocked", "Your password has not changed")
	if !s.SignIn(t, "ada", ada.Password) {
		t.Error("the account is not as it was before the lockout")
	}
}
