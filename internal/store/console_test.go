package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// townsfolk adds people with a name, an address and a number each and returns them.
func townsfolk(t *testing.T, s *store.Store, names ...string) []*account.Person {
	t.Helper()
	var all []*account.Person
	for i, name := range names {
		given, family, _ := strings.Cut(name, " ")
		login := strings.ToLower(given)
		p := &account.Person{
			ID: id(), Connector: "c1", ExternalID: "ext-" + login, UserName: login + "@contoso.example", Active: true, DisplayName: name, GivenName: given,
			FamilyName: family, Emails: []account.Contact{{Value: login + "." + strings.ToLower(family) + "@home.example"}},
			Phones: []account.Contact{{Value: fmt.Sprintf("+1 (206) 555-01%02d", i)}}, Created: noon, Updated: noon,
		}
		must(t, s.CreatePerson(t.Context(), p, nil))
		all = append(all, p)
	}
	return all
}

func called(people []*account.Person) (names []string) {
	for _, p := range people {
		names = append(names, p.DisplayName)
	}
	return names
}

func TestPeopleAreFoundByTheBeginningOfWhateverTheyAreCalled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		townsfolk(t, s, "Ada Lovelace", "Adam Smith", "Çelik Straße", "Grace Hopper", "Lovis Ada", "Percent P%_")
		for text, want := range map[string][]string{
			"ada":                 {"Ada Lovelace", "Adam Smith", "Lovis Ada"}, // login, family name
			"ADA@contoso.example": {"Ada Lovelace"},
			`CONTOSO\ada@contoso`: {"Ada Lovelace"},
			"ada.love":            {"Ada Lovelace"}, // another address
			"  Love ":             {"Ada Lovelace"},
			"lovelace":            {"Ada Lovelace"},
			"ada lov":             {"Ada Lovelace"},
			"STRASSE":             {"Çelik Straße"},
			"çe":                  {"Çelik Straße"},
			"ce":                  nil,
			"hopper":              {"Grace Hopper"},
			"opper":               nil, // the beginning, not the middle
			"%":                   nil, "_": nil, "ada%": nil, "perc": {"Percent P%_"},
			"": nil, " ": nil, "a\x00": nil, "\xff": nil, "\U0010FFFF": nil, `x\`: nil,
		} {
			found, more, err := s.FindPeople(t.Context(), text, 20)
			must(t, err)
			if got := called(found); !slices.Equal(got, want) || more {
				t.Errorf("%q: got %q (more %v), want %q", text, got, more, want)
			}
		}
	})
}

func TestWhoeverIsCalledExactlySoComesFirstHoweverManyOthersThereAre(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var names []string
		for i := range 30 {
			names = append(names, fmt.Sprintf("Sam%02d Other", i))
		}
		townsfolk(t, s, names...)
		last := townsfolk(t, s, "Zed Zed")[0]
		_, err := s.UpdatePerson(t.Context(), last.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			p.Emails = []account.Contact{{Value: "SAM"}}
			return nil, nil
		})
		must(t, err)
		found, more, err := s.FindPeople(t.Context(), "sam", 20)
		must(t, err)
		if len(found) != 20 || !more || found[0].DisplayName != "Zed Zed" || found[1].DisplayName != "Sam00 Other" || found[19].DisplayName != "Sam18 Other" {
			t.Errorf("%d found (more %v): %q", len(found), more, called(found))
		}
	})
}

func TestPeopleAreFoundByTheLastDigitsOfAProvisionedNumber(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := townsfolk(t, s, "Ada Lovelace", "Grace Hopper")
		private := mail("x@home.example")
		private.Kind, private.Destination = method.SMS, "+12065559999"
		p := ada("c2")
		p.UserName = "countess"
		p.Phones = []account.Contact{{Value: "tel:+44-20-7946-0001;ext=4321"}, {Value: "112"}, {Value: "+1 206 555 0177 x12"}}
		must(t, s.CreatePerson(t.Context(), p, []method.Method{private}))
		for digits, want := range map[string][]string{
			"0100": {"Ada Lovelace"}, "0101": {"Grace Hopper"}, "0177": {"Ada Lovelace"}, "0001": {"Ada Lovelace"},
			"4321": nil, "112": nil, "": nil, "100": nil, "50100": nil, "٠١٠٠": nil, "01 00": nil,
			"9999": nil, // a number of their own is sealed
		} {
			found, more, err := s.PeopleByEnding(t.Context(), digits, 20)
			must(t, err)
			if got := called(found); !slices.Equal(got, want) || more {
				t.Errorf("%q: got %q, want %q", digits, got, want)
			}
		}
		_, err := s.UpdatePerson(t.Context(), all[0].ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			p.Phones = []account.Contact{{Value: "+1 206 555 0101"}}
			return nil, nil
		})
		must(t, err)
		if found, _, _ := s.PeopleByEnding(t.Context(), "0100", 20); len(found) != 0 {
			t.Errorf("the old number is still found: %q", called(found))
		}
		if found, more, _ := s.PeopleByEnding(t.Context(), "0101", 1); len(found) != 1 || !more {
			t.Errorf("two of one ending, one asked for: %q, more %v", called(found), more)
		}
	})
}

func TestAnAttemptIsFoundByTheReferenceItShows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := attempt()
		must(t, s.CreateAttempt(t.Context(), a))
		same(t, "attempt", ok[*reset.Attempt](t)(s.AttemptByReference(t.Context(), a.Reference)), ok[*reset.Attempt](t)(s.Attempt(t.Context(), a.ID)))
		for _, other := range []string{"", "KTRW-0000", strings.ToLower(a.Reference), "a\x00"} {
			if got := ok[*reset.Attempt](t)(s.AttemptByReference(t.Context(), other)); got != nil {
				t.Errorf("%q: got %+v", other, got)
			}
		}
	})
}

func TestNamesOfConnectorsAndPeople(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := townsfolk(t, s, "Ada Lovelace", "Grace Hopper")
		c := connector("hr")
		must(t, s.CreateConnector(t.Context(), c))
		same(t, "connectors", ok[map[string]string](t)(s.ConnectorNames(t.Context())), map[string]string{c.ID: "hr"})
		same(t, "people", ok[map[string]string](t)(s.NamesOf(t.Context(), []string{all[1].ID, "", "gone", "a\x00", all[0].ID})),
			map[string]string{all[0].ID: "Ada Lovelace", all[1].ID: "Grace Hopper"})
		if names := ok[map[string]string](t)(s.NamesOf(t.Context(), []string{"\xff"})); len(names) != 0 {
			t.Errorf("nobody: %v", names)
		}
	})
}

func TestOnlyPagesForStaffProlongTheTimeOfStaff(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		begin := func(id string, stepUp, ended time.Time) {
			t.Helper()
			us := func(at time.Time) int64 {
				if at.IsZero() {
					return 0
				}
				return at.UnixMicro()
			}
			must(t, s.Exec(t.Context(), fmt.Sprintf(`INSERT INTO sessions (id, version, hash, person, epoch, idp, issuer, subject, sid, acr, amr, auth_time, step_up, sealed,
				started, seen, expires, ended, why) VALUES ('%s', 1, '%s', 'p', 1, 'i', 'i', 's', '', '', '[]', 0, %d, '', %d, %d, %d, %d, '')`,
				id, id, us(stepUp), us(noon), us(noon), us(noon.Add(session.Life)), us(ended))))
		}
		begin("staff", noon, time.Time{})
		begin("plain", time.Time{}, time.Time{})
		begin("ended", noon, noon)
		keep := func(id string, now time.Time) bool { t.Helper(); return ok[bool](t)(s.KeepStaff(t.Context(), id, now)) }
		for _, id := range []string{"plain", "ended", "none", "", "a\x00"} {
			if keep(id, noon.Add(time.Minute)) {
				t.Errorf("%q: a session without a step-up, or that is over, was kept", id)
			}
		}
		now := noon
		for range 6 { // for as long as pages are used
			if now = now.Add(session.StaffIdle); !keep("staff", now) {
				t.Fatalf("refused at %s", now)
			}
		}
		must(t, s.Exec(t.Context(), fmt.Sprintf(`UPDATE sessions SET seen = %d WHERE id = 'staff'`, now.Add(16*time.Minute).UnixMicro())))
		for range 2 { // another page was used; and asking twice is not being let in
			if keep("staff", now.Add(session.StaffIdle+time.Microsecond)) {
				t.Error("a desk that was left for more than the idle time was let in")
			}
		}
	})
}
