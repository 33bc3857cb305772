package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/pkg/scim"
)

func id() string { return uuid.Must(uuid.NewV7()).String() }

// ok fails the test on an error and returns the value.
func ok[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same fails the test unless got is want.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got\n%s", what, diff)
	}
}

func at(clock *time.Time) func(*store.Config) {
	return func(c *store.Config) { c.Now = func() time.Time { return *clock } }
}

func ada(connector string) *account.Person {
	return &account.Person{
		ID: id(), Connector: connector, ExternalID: "ext-ada", UserName: "Ada@Contoso.example", Active: true, DisplayName: "Ada Lovelace",
		GivenName: "Ada", FamilyName: "Lovelace", Language: "en-GB",
		Emails:  []account.Contact{{Value: "ada@contoso.example", Type: "work", Primary: true}, {Value: "Ada@home.example", Type: "home"}},
		Phones:  []account.Contact{{Value: "+44 20 7946 0000", Type: "mobile"}},
		Attrs:   []byte(`{"userName":"Ada@Contoso.example"}`),
		Created: noon, Updated: noon,
	}
}

func mail(destination string) method.Method {
	return method.Method{
		ID: id(), Kind: method.Email, Status: method.Active, Root: method.Root{Kind: method.ByConnector, ID: "c1"}, Destination: destination,
		Attribute: "emails[home]", Primary: true, Usage: []string{"reset"}, Created: noon, UsableFrom: noon.Add(24 * time.Hour),
	}
}

func seed() method.Method {
	return method.Method{
		ID: id(), Kind: method.TOTP, Status: method.Active, Root: method.Root{Kind: method.ByPerson}, Secret: []byte("12345678901234567890"),
		Algorithm: "SHA256", Digits: 8, Period: 30, Display: "phone app", Created: noon, Confirmed: noon,
	}
}

func fact(subject string) event.Event {
	return event.New(noon, event.PersonUpdated, "system", subject, "", event.Success)
}

func TestAPersonReadsAsTheyWereCreated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		p.HoldUntil, p.Dispute = noon.Add(time.Hour), &account.Dispute{Attempt: "a", Since: noon, At: noon.Add(time.Minute), Methods: []string{"m"}}
		ms := []method.Method{mail("ada@home.example"), seed()}
		must(t, s.CreatePerson(t.Context(), p, ms, fact(p.ID)))
		if p.Version != 1 || p.Epoch != 1 {
			t.Errorf("version %d, epoch %d, want 1, 1", p.Version, p.Epoch)
		}
		same(t, "person", ok[*account.Person](t)(s.Person(t.Context(), p.ID)), p)
		got := ok[[]method.Method](t)(s.Methods(t.Context(), p.ID))
		if ms[0].Version != 1 || len(ms[0].DestinationHash) != 32 || ms[1].DestinationHash != nil {
			t.Errorf("the methods handed in were not completed: %+v", ms)
		}
		same(t, "methods", got, ms)
		count(t, s, 1, `SELECT count(*) FROM events WHERE subject = $1`, p.ID)
		count(t, s, 1, `SELECT count(*) FROM person_keys WHERE person = $1`, p.ID)

		nobody, err := s.Person(t.Context(), "")
		if nobody != nil || err != nil {
			t.Errorf("nobody: %v, %v", nobody, err)
		}
		if none, err := s.Methods(t.Context(), ""); len(none) != 0 || err != nil {
			t.Errorf("methods of nobody: %v, %v", none, err)
		}
	})
}

func TestATakenNameSaysWhichAttributeAndLeavesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		must(t, s.CreatePerson(t.Context(), ada("c1"), nil))
		for attr, change := range map[string]func(*account.Person){
			"userName":   func(p *account.Person) { p.ExternalID = "other"; p.UserName = "ADA@CONTOSO.EXAMPLE" },
			"externalId": func(p *account.Person) { p.UserName = "other" },
		} {
			p := ada("c1")
			change(p)
			err := s.CreatePerson(t.Context(), p, []method.Method{mail("x@y.example")}, fact(p.ID))
			taken, is := errors.AsType[*store.TakenError](err)
			conflict, toSCIM := errors.AsType[*scim.ConflictError](err)
			if !is || taken.Attr != attr || !fault.Is(err, fault.Conflict) || !toSCIM || conflict.Attr != attr {
				t.Errorf("%s: got %v", attr, err)
			}
			count(t, s, 0, `SELECT count(*) FROM person_keys WHERE person = $1`, p.ID)
			count(t, s, 0, `SELECT count(*) FROM events WHERE subject = $1`, p.ID)
		}
		other := ada("c2") // the same external id of another connector is somebody else
		other.UserName = "ada2"
		must(t, s.CreatePerson(t.Context(), other, nil))
		_, err := s.UpdatePerson(t.Context(), other.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			p.UserName = "ada@contoso.example"
			return nil, nil
		})
		if taken, is := errors.AsType[*store.TakenError](err); !is || taken.Attr != "userName" {
			t.Errorf("renaming to a taken name: %v", err)
		}
		if got := ok[*account.Person](t)(s.Person(t.Context(), other.ID)); got.UserName != "ada2" {
			t.Errorf("user name is %q", got.UserName)
		}
	})
}

func TestTextThatOneEngineCannotHoldIsRefusedByBoth(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for _, bad := range []string{"a\x00b", "a\xffb"} {
			p := ada("c1")
			p.DisplayName = bad
			if err := s.CreatePerson(t.Context(), p, nil); !fault.Is(err, fault.Invalid) {
				t.Errorf("display name %q: %v", bad, err)
			}
			q := ada("c1")
			q.Emails[0].Value = bad
			if err := s.CreatePerson(t.Context(), q, nil); !fault.Is(err, fault.Invalid) {
				t.Errorf("mail %q: %v", bad, err)
			}
			if err := s.CreateGroup(t.Context(), &account.Group{DisplayName: bad}, nil); !fault.Is(err, fault.Invalid) {
				t.Errorf("group %q: %v", bad, err)
			}
			// What strangers ask for finds nothing, and is no fault of ours.
			if p, err := s.FindPerson(t.Context(), bad); p != nil || err != nil {
				t.Errorf("find %q: %v, %v", bad, p, err)
			}
			if c, err := s.Try(t.Context(), bad, bad, noon); c != nil || err != nil {
				t.Errorf("try %q: %v, %v", bad, c, err)
			}
		}
	})
}

func TestALoginNameMeansOnePersonOrNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		must(t, s.CreatePerson(t.Context(), p, nil))
		q := ada("c1")
		q.ID, q.UserName, q.ExternalID = id(), `CONTOSO\bob`, "bob"
		q.Emails = []account.Contact{{Value: "bob@home.example"}, {Value: "ADA@home.example"}}
		must(t, s.CreatePerson(t.Context(), q, nil))
		find := func(key string) string {
			t.Helper()
			if p := ok[*account.Person](t)(s.FindPerson(t.Context(), key)); p != nil {
				return p.ID
			}
			return ""
		}
		for key, want := range map[string]string{
			"ada@contoso.example": p.ID, "bob": q.ID, "bob@home.example": q.ID, "ada@home.example": "", "nobody": "", "": "", "ada%": "",
		} {
			if got := find(key); got != want {
				t.Errorf("%q means %q, want %q", key, got, want)
			}
		}
		ok[*account.Person](t)(s.UpdatePerson(t.Context(), q.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			p.Emails = p.Emails[:1]
			return nil, nil
		}))
		if got := find("ada@home.example"); got != p.ID {
			t.Errorf("after the other lost the address it means %q, want %q", got, p.ID)
		}
	})
}

func TestUpdatingAPersonWritesPersonMethodsAndEventsTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		ms := []method.Method{mail("ada@home.example"), seed()}
		must(t, s.CreatePerson(t.Context(), p, ms))
		added := mail("second@home.example")
		after, err := s.UpdatePerson(t.Context(), p.ID, "c1", func(p *account.Person, all *[]method.Method) ([]event.Event, error) {
			p.DisplayName, p.Updated = "Countess", noon.Add(time.Hour)
			(*all)[0].Status, (*all)[0].RemovedAt = method.Removed, noon.Add(time.Hour)
			*all = append(*all, added)
			return append(p.Deactivate("connector:c1", noon), fact(p.ID)), nil
		})
		must(t, err)
		if after.Version != 2 || after.Epoch != 2 || after.Active {
			t.Errorf("got %+v", after)
		}
		same(t, "person", ok[*account.Person](t)(s.Person(t.Context(), p.ID)), after)
		got := ok[[]method.Method](t)(s.Methods(t.Context(), p.ID))
		versions := map[string]int64{}
		for _, m := range got {
			versions[m.ID] = m.Version
		}
		same(t, "versions of the methods", versions, map[string]int64{ms[0].ID: 2, ms[1].ID: 1, added.ID: 1})
		count(t, s, 2, `SELECT count(*) FROM events WHERE subject = $1`, p.ID)

		// A closure that fails changes nothing at all.
		_, err = s.UpdatePerson(t.Context(), p.ID, "c1", func(p *account.Person, all *[]method.Method) ([]event.Event, error) {
			p.DisplayName, *all = "x", append(*all, mail("third@home.example"))
			return nil, errors.New("no")
		})
		if err == nil {
			t.Error("the closure's error is lost")
		}
		// ErrUnchanged gives the row as it is, whatever the closure did before.
		unchanged, err := s.UpdatePerson(t.Context(), p.ID, "c1", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			p.DisplayName = "x"
			return []event.Event{fact(p.ID)}, store.ErrUnchanged
		})
		must(t, err)
		same(t, "unchanged", unchanged, after)
		// Only a method changed: the person keeps the version.
		again, err := s.UpdatePerson(t.Context(), p.ID, "c1", func(_ *account.Person, all *[]method.Method) ([]event.Event, error) {
			(*all)[1].Display = "old phone"
			return nil, nil
		})
		must(t, err)
		same(t, "after a change of a method", again, after)
		count(t, s, 2, `SELECT count(*) FROM events WHERE subject = $1`, p.ID)
		count(t, s, 3, `SELECT count(*) FROM methods`)

		if _, err := s.UpdatePerson(t.Context(), p.ID, "c2", func(*account.Person, *[]method.Method) ([]event.Event, error) { return nil, nil }); !fault.Is(err, fault.NotFound) {
			t.Errorf("another connector's person: %v", err)
		}
		if _, err := s.PersonOf(t.Context(), p.ID, "c2"); !fault.Is(err, fault.NotFound) {
			t.Errorf("reading another connector's person: %v", err)
		}
		if _, err := s.UpdatePerson(t.Context(), p.ID, "", func(_ *account.Person, all *[]method.Method) ([]event.Event, error) { *all = nil; return nil, nil }); err == nil {
			t.Error("methods vanished without a word")
		}
		count(t, s, 3, `SELECT count(*) FROM methods`)
	})
}

func TestManyWhoChangeOnePersonLoseNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		must(t, s.CreatePerson(t.Context(), p, []method.Method{seed()}))
		m := ok[[]method.Method](t)(s.Methods(t.Context(), p.ID))[0]
		const n = 16
		for _, err := range race(2*n, func(i int) error {
			if i%2 == 0 {
				_, err := s.UseStep(t.Context(), m.ID, int64(i), noon)
				return err
			}
			_, err := s.UpdatePerson(t.Context(), p.ID, "", func(p *account.Person, all *[]method.Method) ([]event.Event, error) {
				p.Epoch++
				(*all)[0].Display = fmt.Sprint(i)
				return nil, nil
			})
			return err
		}) {
			must(t, err)
		}
		if got := ok[*account.Person](t)(s.Person(t.Context(), p.ID)); got.Epoch != 1+n {
			t.Errorf("epoch %d, want %d", got.Epoch, 1+n)
		}
		if got := ok[[]method.Method](t)(s.Methods(t.Context(), p.ID))[0]; got.LastStep != 2*n-2 {
			t.Errorf("an update of the person took back a spent step: last is %d, want %d", got.LastStep, 2*n-2)
		}
	})
}

func TestAnUpdateOfAPersonNeverTakesBackWhatIsSpentMeanwhile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		ms := []method.Method{seed()}
		must(t, s.CreatePerson(t.Context(), p, ms))
		used := make(chan error, 1)
		ok[*account.Person](t)(s.UpdatePerson(t.Context(), p.ID, "", func(_ *account.Person, all *[]method.Method) ([]event.Event, error) {
			go func() {
				_, err := s.UseStep(context.WithoutCancel(t.Context()), ms[0].ID, 50, noon)
				used <- err
			}()
			select { // it must wait for us; were it not to, it would be done in this time and then be overwritten
			case err := <-used:
				used <- err
			case <-time.After(100 * time.Millisecond):
			}
			(*all)[0].Display = "other"
			return nil, nil
		}))
		must(t, <-used)
		if got := ok[[]method.Method](t)(s.Methods(t.Context(), p.ID))[0]; got.LastStep != 50 || got.Display != "other" {
			t.Errorf("step %d, display %q", got.LastStep, got.Display)
		}
	})
}

func TestADeletedPersonLeavesATombstoneAndTheirKeyOnly(t *testing.T) {
	clock := noon
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		must(t, s.CreatePerson(t.Context(), p, []method.Method{mail("ada@home.example")}))
		g := &account.Group{Connector: "c1", DisplayName: "all", Created: noon, Updated: noon}
		must(t, s.CreateGroup(t.Context(), g, []store.Member{{ID: p.ID}}))
		if err := s.DeletePerson(t.Context(), p.ID, "c1", 7); !fault.Is(err, fault.Conflict) {
			t.Errorf("wrong version: %v", err)
		}
		if err := s.DeletePerson(t.Context(), p.ID, "c2", 0); !fault.Is(err, fault.NotFound) {
			t.Errorf("another connector: %v", err)
		}
		must(t, s.DeletePerson(t.Context(), p.ID, "c1", 1, event.New(noon, event.PersonDeleted, "connector:c1", p.ID, "", event.Success).Sealed("name", "Ada")))
		for _, table := range []string{"people", "logins", "contacts", "methods", "members"} {
			count(t, s, 0, `SELECT count(*) FROM `+table)
		}
		for _, table := range []string{"tombstones", "person_keys", "events"} {
			count(t, s, 1, `SELECT count(*) FROM `+table)
		}
		if g := ok[*account.Group](t)(s.Group(t.Context(), g.ID, "")); g.Version != 2 {
			t.Errorf("the group lost a member and is version %d, want 2", g.Version)
		}
		for _, c := range []struct {
			connector, external, name string
			since                     time.Time
			want                      bool
		}{
			{"c1", "ext-ada", "other", noon.Add(-time.Hour), true},
			{"c2", "ext-ada", "other", noon.Add(-time.Hour), false},
			{"c2", "", "ada@contoso.example", noon.Add(-time.Hour), true},
			{"c1", "", "other", noon.Add(-time.Hour), false},
			{"c1", "ext-ada", "ada@contoso.example", noon.Add(time.Hour), false},
		} {
			if got := ok[bool](t)(s.SeenBefore(t.Context(), c.connector, c.external, c.name, c.since)); got != c.want {
				t.Errorf("seen before %+v: got %v", c, got)
			}
		}
		must(t, s.CreatePerson(t.Context(), ada("c1"), nil)) // the name is free again
		if n := ok[int64](t)(s.SweepRemoved(t.Context(), noon.Add(31*24*time.Hour))); n != 1 {
			t.Errorf("%d rows swept, want the tombstone", n)
		}
		count(t, s, 0, `SELECT count(*) FROM tombstones`)
	}, at(&clock))
}

func TestANameGivenUpIsRemembered(t *testing.T) {
	clock := noon
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		must(t, s.CreatePerson(t.Context(), p, nil))
		ok[*account.Person](t)(s.UpdatePerson(t.Context(), p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			p.UserName = "ada.new"
			return nil, nil
		}))
		if !ok[bool](t)(s.SeenBefore(t.Context(), "c1", "", "ada@contoso.example", noon)) {
			t.Error("a name that was renamed away would count as never used")
		}
	}, at(&clock))
}

func TestADestinationIsKnownSinceThePersonHadIt(t *testing.T) {
	clock := noon.Add(48 * time.Hour)
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, q := ada("c1"), ada("c1")
		q.ID, q.UserName, q.ExternalID = id(), "bob", "bob"
		removed := mail("gone@home.example")
		removed.Status, removed.RemovedAt = method.Removed, noon.Add(20*time.Hour)
		pending := mail("pending@home.example")
		pending.Status = method.Pending
		phone := mail("+442079460000")
		phone.Kind = method.SMS
		must(t, s.CreatePerson(t.Context(), p, []method.Method{mail("Ada@home.example"), removed, pending, phone, mail("moved@home.example")}))
		must(t, s.CreatePerson(t.Context(), q, []method.Method{mail("ada@home.example")}))
		hash := func(d string) []byte { return s.DestinationHash(method.Email, d) }
		// A method that is given another address is no older than the address.
		ok[*account.Person](t)(s.UpdatePerson(t.Context(), p.ID, "", func(_ *account.Person, all *[]method.Method) ([]event.Event, error) {
			i := slices.IndexFunc(*all, func(m method.Method) bool { return m.Destination == "moved@home.example" })
			(*all)[i].Destination = "new@home.example"
			return nil, nil
		}))
		for _, c := range []struct {
			person string
			hash   []byte
			before time.Duration
			want   bool
		}{
			{p.ID, hash("ada@home.example"), 24 * time.Hour, true},
			{p.ID, hash("ada@home.example"), -time.Second, false},
			{q.ID, hash("gone@home.example"), time.Hour, false},
			{p.ID, hash("gone@home.example"), time.Hour, true},
			{p.ID, hash("gone@home.example"), 24 * time.Hour, false},
			{p.ID, hash("pending@home.example"), 24 * time.Hour, false},
			{p.ID, hash("new@home.example"), 24 * time.Hour, false},
			{p.ID, hash("new@home.example"), 48 * time.Hour, true},
			{p.ID, s.DestinationHash(method.Voice, "+442079460000"), time.Hour, true},
			{p.ID, hash("+442079460000"), time.Hour, false},
		} {
			if got := ok[bool](t)(s.KnownDestination(t.Context(), c.person, c.hash, noon.Add(c.before))); got != c.want {
				t.Errorf("known %s at +%v: got %v", c.person, c.before, got)
			}
		}
		if n := ok[int](t)(s.DestinationUses(t.Context(), hash("ADA@HOME.example"))); n != 2 {
			t.Errorf("%d people use the address, want 2", n)
		}
		if n := ok[int](t)(s.DestinationUses(t.Context(), hash("gone@home.example"))); n != 0 {
			t.Errorf("%d people use a removed address", n)
		}
		if n := ok[int64](t)(s.SweepRemoved(t.Context(), noon.Add(51*24*time.Hour))); n != 1 {
			t.Errorf("%d rows swept, want the removed method", n)
		}
		if n := len(ok[[]method.Method](t)(s.Methods(t.Context(), p.ID))); n != 4 {
			t.Errorf("%d methods left, want 4", n)
		}
	}, at(&clock))
}
