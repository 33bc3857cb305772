package activedirectory

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

func TestCheckRightsFindsWhatIsMissingAndChangesNothing(t *testing.T) {
	s := testserver.Samba(t)
	after := func(first Check, others ...Check) map[Check]Level {
		want := map[Check]Level{first: Fatal}
		for _, c := range others {
			want[c] = Skipped
		}
		return want
	}
	s.Harden(t)
	s.AddUser(t, testserver.SambaUser{Login: "ada", Password: first})
	marker := find(t, adapter(t, s), "ada").Status.Marker
	for name, c := range map[string]struct {
		change func(*Config)
		want   map[Check]Level // others OK, but History, which Samba cannot
	}{
		"all is well": {func(*Config) {}, nil},
		"no rights in a hardened domain": {func(c *Config) { c.BindName = s.BareUPN },
			after(People, ResetRight, UnlockRight, ForceRight, ReadPolicy, History, OwnAccount)},
		"wrong password": {func(c *Config) { c.BindPassword = directory.NewSecret("no") },
			after(Bind, Clock, People, ResetRight, UnlockRight, ForceRight, ReadPolicy, History, OwnAccount)},
		"wrong authority": {func(c *Config) { c.CAs = testserver.NewCA(t).Pool },
			after(Connect, Bind, Clock, People, ResetRight, UnlockRight, ForceRight, ReadPolicy, History, OwnAccount)},
		"nobody there": {func(c *Config) { c.UserFilter = "(objectClass=printQueue)" },
			after(People, ResetRight, UnlockRight, ForceRight, ReadPolicy, History, OwnAccount)},
		"another time": {func(c *Config) { c.Now = func() time.Time { return time.Now().Add(10 * time.Minute) } }, map[Check]Level{Clock: Warning}},
	} {
		a := adapter(t, s, c.change)
		found := a.CheckRights(t.Context())
		for _, f := range found {
			want, ok := c.want[f.Check]
			switch {
			case ok:
			case f.Check == History:
				want = Warning
			default:
				want = OK
			}
			if f.Level != want || (f.Err != nil) != (want == Fatal || want == Warning) {
				t.Errorf("%s: %s: got %s (%v), want %s", name, f.Check, f.Level, f.Err, want)
			}
		}
		if len(found) != 10 {
			t.Errorf("%s: got %d findings, want 10", name, len(found))
		}
	}
	if after := find(t, adapter(t, s), "ada").Status.Marker; after != marker || !s.SignIn(t, "ada", first) {
		t.Errorf("checking changed the account: %q to %q", marker, after)
	}
}

// From an account with no rights to a reset, by nothing but the commands that the check prints.
func TestTheCommandsOfTheCheckGrantWhatIsMissingAndNoMore(t *testing.T) {
	s := testserver.Samba(t)
	s.Harden(t)
	s.AddUser(t, testserver.SambaUser{Login: "ada", Password: first})
	s.AddUser(t, testserver.SambaUser{Login: "eve", Password: first})
	s.AddPasswordSettings(t, "strict", nil, dn(s, "eve"))
	ran := map[Check]bool{}
	halfway := false // the container can be read, and which policy applies to whom cannot
	for range 8 {
		a := adapter(t, s, func(c *Config) { c.BindName = s.BareUPN })
		var missing []Finding
		for _, f := range a.CheckRights(t.Context()) {
			if f.Level != OK && f.Level != Skipped && f.Check != History {
				missing = append(missing, f)
			}
		}
		if len(missing) == 0 {
			break
		}
		for _, f := range missing {
			if f.Check == ReadPolicy && !halfway && len(f.Samba) == 2 {
				halfway = true
				grantBy(t, s, f.Samba[1])
				continue
			}
			if len(f.Samba) == 0 || len(f.Windows) != len(f.Samba) || ran[f.Check] {
				t.Fatalf("%s: got commands %q and %q (run before: %v), %v", f.Check, f.Windows, f.Samba, ran[f.Check], f.Err)
			}
			ran[f.Check] = true
			for i := range f.Samba {
				if !strings.HasPrefix(f.Windows[i], `dsacls "`) || !strings.Contains(f.Windows[i], `ADEX\bare:`) {
					t.Errorf("%s: got %q", f.Check, f.Windows[i])
				}
				grantBy(t, s, f.Samba[i])
			}
		}
	}
	for _, c := range []Check{People, ResetRight, UnlockRight, ForceRight, ReadPolicy} {
		if !ran[c] {
			t.Errorf("%s was never missing", c)
		}
	}
	a := adapter(t, s, func(c *Config) { c.BindName = s.BareUPN })
	s.LockOut(t, "ada")
	res, err := a.Reset(t.Context(), directory.ResetRequest{User: find(t, a, "ada").Ref, New: directory.NewSecret(second), Unlock: true, MustChange: true})
	if err != nil || !res.Unlocked || !s.SignIn(t, "ada", second) {
		t.Errorf("after all of them: got %+v, %v", res, err)
	}
	if p, err := a.Policy(t.Context(), find(t, a, "eve").Ref); err != nil || p.MinLength != 16 {
		t.Errorf("the fine-grained policy: got %+v, %v", p, err)
	}
	c := s.Connect(t)
	defer c.Close()
	if err := c.Bind(s.BareUPN, s.ServicePassword); err != nil {
		t.Fatal(err)
	}
	res2, err := c.Search(search(s.PeopleDN, "ada", "allowedAttributesEffective"))
	if err != nil {
		t.Fatal(err)
	}
	if got := res2.Entries[0].GetAttributeValues("allowedAttributesEffective"); len(got) != 2 || !slices.Contains(got, "pwdLastSet") || !slices.Contains(got, "lockoutTime") {
		t.Errorf("it may write %q, want pwdLastSet and lockoutTime only", got)
	}
}

func TestAServiceAccountAmongThePeopleIsWarnedOf(t *testing.T) {
	s := testserver.Samba(t)
	s.AddUser(t, testserver.SambaUser{Login: "ada", Password: first})
	a := adapter(t, s, func(c *Config) { c.BaseDN, c.UserFilter = s.BaseDN, "(|(sAMAccountName=ada)(sAMAccountName=regain))" })
	for _, f := range a.CheckRights(t.Context()) {
		if f.Check == OwnAccount && f.Level != Warning {
			t.Errorf("got %+v, want a warning", f)
		}
	}
}
