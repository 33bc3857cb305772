package activedirectory

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

func TestAPersonIsFoundByEveryNameThatIsConfigured(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s, func(c *Config) {
		c.LoginAttrs = append([]string{"sAMAccountName", "userPrincipalName", "mail"}, "objectGUID")
	})
	want := person(t, s, a, "ada", map[string][]string{"displayName": {"Ada Lovelace"}, "mail": {"Countess@Example.com"}}).Ref
	for _, login := range []string{
		"ada", "ADA", "ada@" + s.Domain, "ADA@AD.EXAMPLE.COM", "countess@example.com", `ADEX\ada`, `adex\Ada`,
		want.ID, strings.ToUpper(want.ID), "{" + want.ID + "}",
	} {
		if u, err := a.FindUser(t.Context(), directory.Query{Login: login}); err != nil || u.Ref != want || u.Login != "ada" {
			t.Errorf("%q: got %+v, %v", login, u, err)
		}
	}
	for _, login := range []string{
		`OTHER\ada`, `ADEX\countess@example.com`, `ADEX\`, `\ada`, `ADEX\ADEX\ada`, "Ada Lovelace", "ada@example.org",
		want.ID[1:] + "0", "{" + want.ID, strings.ReplaceAll(want.ID, "-", ""), "<GUID=" + want.ID + ">",
	} {
		if u, err := a.FindUser(t.Context(), directory.Query{Login: login}); !errors.Is(err, directory.ErrNotFound) && login != "{"+want.ID {
			t.Errorf("%q: got %+v, %v, want ErrNotFound", login, u, err)
		}
	}
	if _, err := a.FindUser(t.Context(), directory.Query{Login: "ada", Attrs: []string{"mail"}}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("sAMAccountName was matched although only mail may: %v", err)
	}
	if _, err := a.FindUser(t.Context(), directory.Query{Login: "ada", Attrs: []string{"mail=*)(cn"}}); !errors.Is(err, directory.ErrConfig) {
		t.Errorf("an attribute that is a filter: got %v, want ErrConfig", err)
	}
}

// The server squeezes and drops characters when it compares (RFC 4518 §2): whoever registers or types such a name must not
// get somebody else's account.
func TestANameThatOnlyTheServerTakesForTheSameIsNotFound(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	person(t, s, a, "a da", nil)
	loose := 0
	c := s.Admin(t)
	defer c.Close()
	for _, login := range []string{" a da", "a da ", "a  da", "a\u00a0da", "a\u00ad da", "a\u200b da", "á da", "ａ da"} {
		if found, err := a.FindUser(t.Context(), directory.Query{Login: login}); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%q: got %q, %v, want ErrNotFound", login, found.Login, err)
		}
		res, err := c.Search(search(s.PeopleDN, login))
		if err != nil {
			t.Fatal(err)
		}
		loose += len(res.Entries)
	}
	if loose == 0 {
		t.Error("this server takes none of them for the same: the look of our own may be unnecessary")
	}
}

func TestLoginsWithSyntaxInThemAreFoundAndReset(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	for _, login := range []string{"paren(theses)", "hash#", "dot.ted", "Ünï-çødé", "dollar$", "amper&sand", "apos'trophe"} {
		u := person(t, s, a, login, map[string][]string{"userPrincipalName": {}, "mail": {}})
		if u.Login != login {
			t.Errorf("%s: canonical login is %q", login, u.Login)
		}
		if err := reset(t.Context(), a, u, second); err != nil || a.Verify(t.Context(), u.Ref, directory.NewSecret(second)) != nil {
			t.Errorf("%s: %v, or it does not sign in", login, err)
		}
	}
}

func TestGroupsAreThoseAroundTheGroupsAsWell(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", map[string][]string{"title": {"Countess"}})
	inner := s.AddGroup(t, "inner (of two)", dn(s, "ada"))
	outer := s.AddGroup(t, "outer", inner)
	s.AddGroup(t, "others")
	if got := find(t, a, "ada").Groups; !slices.Equal(got, []string{inner, outer}) {
		t.Errorf("got %q, want %q and %q", got, inner, outer)
	}
	u, err := a.FindUser(t.Context(), directory.Query{Login: "ada", Return: []string{"title", "mobile"}})
	if err != nil || !slices.Equal(u.Attrs["title"], []string{"Countess"}) || len(u.Attrs) != 1 {
		t.Errorf("got %+v, %v", u, err)
	}
	// The same person seen from the domain's root, where the answer has references to other partitions in it.
	wide := adapter(t, s, func(c *Config) { c.BaseDN = s.BaseDN })
	if got := find(t, wide, "ada"); got.Ref != u.Ref {
		t.Errorf("from the root: got %+v", got)
	}
}

func TestWhoeverLeavesTheFolderIsOutOfReach(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	s.Move(t, dn(s, "ada"), "OU=Services,"+s.BaseDN)
	if err := reset(t.Context(), a, u, second); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	computer := adapter(t, s, func(c *Config) { c.BaseDN = s.BaseDN })
	if _, err := computer.FindUser(t.Context(), directory.Query{Login: "DC1$"}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("a computer is a person: %v", err)
	}
}
