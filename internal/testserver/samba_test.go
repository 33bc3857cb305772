package testserver_test

import (
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/testserver"
)

func TestSambaSignsInTheRightPasswordOnlyAndLocksOut(t *testing.T) {
	s := testserver.Samba(t)
	dn := s.AddUser(t, testserver.SambaUser{Login: "ada", Password: "a First passw0rd"})
	if !s.SignIn(t, "ada", "a First passw0rd") || s.SignIn(t, "ada", "another") {
		t.Fatal("want the right password to sign in and a wrong one not to")
	}
	s.LockOut(t, "ada")
	if at := s.Get(t, dn, "lockoutTime"); s.SignIn(t, "ada", "a First passw0rd") || len(at) != 1 || at[0] == "0" {
		t.Fatalf("want the account locked out after three failures, have lockoutTime %v", at)
	}
}

func TestSambaKeepsItsDataOverARestartAndServersAreStrangers(t *testing.T) {
	s, other := testserver.Samba(t), testserver.Samba(t)
	s.AddUser(t, testserver.SambaUser{Login: "ada", Password: "a First passw0rd"})
	s.Restart(t)
	if !s.SignIn(t, "ada", "a First passw0rd") {
		t.Error("want the person to be there after a restart")
	}
	if other.SignIn(t, "ada", "a First passw0rd") {
		t.Error("a person of one server signs in at another")
	}
	s.Set(t, "CN=ada,"+s.PeopleDN, "unicodePwd", testserver.UnicodePwd("another Passw0rd 🔑"))
	if !s.SignIn(t, "ada", "another Passw0rd 🔑") || !strings.Contains(s.Log(), "Password Change") {
		t.Errorf("the new password does not sign in, or was not logged:\n%s", s.Log())
	}
}
