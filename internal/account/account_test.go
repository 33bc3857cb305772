package account

import (
	"slices"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
)

func TestNamesAreFoldedAsUnicodeSaysAndLookAlikesStayApart(t *testing.T) {
	for name, want := range map[string]string{
		"Ada@Example.ORG": "ada@example.org", "  ada ": "ada", "A\u030Angstro\u0308m": "ångström", "ÅNGSTRÖM": "ångström",
		"STRASSE": "strasse", "Straße": "strasse", "\u212Aelvin": "kelvin",
		"mıke": "mıke", "аdа": "аdа", // a dotless i and Cyrillic letters are other letters
	} {
		if got := Fold(name); got != want {
			t.Errorf("Fold(%q) = %q, want %q", name, got, want)
		}
		if again := Fold(Fold(name)); again != Fold(name) {
			t.Errorf("folding %q twice gives %q", name, again)
		}
	}
	if Fold("mıke") == Fold("mike") || Fold("аda") == Fold("ada") {
		t.Error("names that only look alike are one")
	}
}

func FuzzFoldingTwiceIsFoldingOnce(f *testing.F) {
	f.Add("Straße\u0345 ǅ")
	f.Fuzz(func(t *testing.T, s string) {
		if once := Fold(s); Fold(once) != once {
			t.Errorf("Fold(%q) = %q and then %q", s, once, Fold(once))
		}
	})
}

func TestDeactivatingMovesTheEpochOnce(t *testing.T) {
	now := time.Now()
	p := &Person{ID: "ada", Active: true, Epoch: 4}
	if e := p.Deactivate("connector:hr", now); len(e) != 1 || e[0].Type != event.PersonDeactivated || p.Epoch != 5 || p.Active {
		t.Errorf("got %+v and %+v", p, e)
	}
	if e := p.Deactivate("connector:hr", now); len(e) != 0 || p.Epoch != 5 {
		t.Errorf("a second time: %+v, %d events", p, len(e))
	}
	if e := p.Reactivate("connector:hr", now); len(e) != 1 || p.Epoch != 5 || !p.Active {
		t.Errorf("enabled again: %+v; nothing that was open may come back", p)
	}
}

func TestEveryProvisionedAddressIsToldOnceTheMainOneFirst(t *testing.T) {
	p := &Person{UserName: "ada@example.org", Emails: []Contact{{Value: "old@example.org"}, {Value: "Ada@example.org", Primary: true}, {Value: "ADA@EXAMPLE.ORG", Type: "work"}}}
	if got, want := p.NoticeAddresses(), []string{"Ada@example.org", "old@example.org"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := (&Person{UserName: "ada@example.org"}).NoticeAddresses(); !slices.Equal(got, []string{"ada@example.org"}) {
		t.Errorf("without addresses: %v, want the user name that is one", got)
	}
	if got := (&Person{UserName: "ada"}).NoticeAddresses(); len(got) != 0 {
		t.Errorf("a name that is no address: %v", got)
	}
}

func TestTheClaimThatNamesAnAccount(t *testing.T) {
	p := &Person{UserName: "u", ExternalID: "x", Emails: []Contact{{Value: "home@x", Type: "home"}, {Value: "work@x", Type: "work"}}}
	for claim, want := range map[string]string{"": "u", "userName": "u", "externalId": "x", "emails.work": "work@x", "phone": ""} {
		if got := p.Claim(claim); got != want {
			t.Errorf("Claim(%q) = %q, want %q", claim, got, want)
		}
	}
}

func TestAPersonIsPausedOnlyWhenTheirConnectorSaysSo(t *testing.T) {
	for attrs, want := range map[string]bool{
		"": false, "{}": false, "{": false, `{"urn:ietf:params:scim:schemas:extension:regain:2.0:User":{}}`: false,
		`{"urn:ietf:params:scim:schemas:extension:regain:2.0:User":{"resetAllowed":true}}`:  false,
		`{"urn:ietf:params:scim:schemas:extension:regain:2.0:User":{"resetAllowed":false}}`: true,
	} {
		if got := (&Person{Attrs: []byte(attrs)}).Paused(); got != want {
			t.Errorf("%s: paused %v", attrs, got)
		}
	}
}
