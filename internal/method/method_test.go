package method

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/regain-id/regain/internal/client"
)

func TestEveryKindButExternalHasAClass(t *testing.T) {
	for _, k := range Kinds {
		if (k.Class() == "") != (k == External) {
			t.Errorf("%s: class %q", k, k.Class())
		}
	}
	if Kind("fax").Known() || Kind("fax").Class() != "" || Kind("fax").First() {
		t.Error("a kind nobody knows is taken for one")
	}
}

func TestRootsCollideUnlessTheyAreThePersonsOrTrustedForAll(t *testing.T) {
	hr, other := Root{ByConnector, "hr"}, Root{ByConnector, "other"}
	own, session := Root{ByPerson, "ada"}, Root{BySession, "s"}
	for name, c := range map[string]struct {
		a, b  Root
		trust Trusts
		want  bool
	}{
		"one connector":             {hr, hr, nil, true},
		"two connectors":            {hr, other, nil, false},
		"one connector, trusted":    {hr, hr, Trusts{hr: client.TrustAll}, false},
		"another one trusted":       {hr, hr, Trusts{other: client.TrustAll}, true},
		"confirmed by the person":   {own, own, nil, false},
		"one session":               {session, session, nil, true},
		"one session after another": {session, Root{BySession, "s2"}, nil, true},
		"a session and a connector": {session, hr, nil, false},
	} {
		if got := c.trust.Collide(c.a, c.b); got != c.want {
			t.Errorf("%s: collide %v, want %v", name, got, c.want)
		}
	}
}

func TestAMaskTellsNeitherLengthNorMiddle(t *testing.T) {
	for _, c := range []struct {
		kind     Kind
		to, want string
	}{
		{Email, "ada@mail.example", "a•••@m•••.example"}, {Email, "a@b.cd", "a•••@b•••.cd"}, {Email, "somebody.with.a.long.name@x.y.co.uk", "s•••@x•••.uk"},
		{Email, "no-address", "•••"}, {SMS, "+491713920001", "•• 01"}, {Voice, "+49", "••"}, {TOTP, "x", "•••"}, {Email, "", ""},
	} {
		if got := Mask(c.kind, c.to); got != c.want {
			t.Errorf("Mask(%s, %q) = %q, want %q", c.kind, c.to, got, c.want)
		}
	}
}

func FuzzAMaskHidesMostOfAnAddress(f *testing.F) {
	f.Add("ada@mail.example")
	f.Add("@.")
	f.Fuzz(func(t *testing.T, to string) {
		got := Mask(Email, to)
		if utf8.ValidString(to) && !utf8.ValidString(got) {
			t.Errorf("Mask(%q) = %q", to, got)
		}
		if at := strings.LastIndex(to, "@"); at > 8 && strings.Contains(got, to[:at]) {
			t.Errorf("Mask(%q) = %q shows the whole name", to, got)
		}
	})
}

func TestAMethodRestsUntilItsTime(t *testing.T) {
	now := time.Now()
	m := &Method{UsableFrom: now.Add(time.Hour)}
	if got := m.Rests(now); !got.Equal(m.UsableFrom) {
		t.Errorf("rests until %v", got)
	}
	if got := m.Rests(m.UsableFrom); !got.IsZero() {
		t.Errorf("at its time it still rests until %v", got)
	}
}
