package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func attempt() *reset.Attempt {
	return &reset.Attempt{
		ID: id(), Reference: reset.NewReference(), Action: policy.Reset, State: reset.Started, Cookie: hashCookie(id()),
		Typed: "Ada@Contoso.example", TypedHash: []byte("hash"), Policy: 3, Lang: "de", Network: "192.0.2.7/32", Agent: "Firefox",
		Started: noon, Expires: noon.Add(reset.Life),
	}
}

// begun creates a person and an attempt tied to them.
func begun(t *testing.T, s *store.Store) (*account.Person, *reset.Attempt) {
	t.Helper()
	p, a := ada("c1"), attempt()
	must(t, s.CreatePerson(t.Context(), p, nil))
	must(t, s.CreateAttempt(t.Context(), a))
	a = ok[*reset.Attempt](t)(s.UpdateAttempt(t.Context(), a.ID, func(a *reset.Attempt) ([]event.Event, error) { return a.Resolve(p, noon), nil }))
	return p, a
}

func asked(t *testing.T, s *store.Store, a *reset.Attempt) *reset.Challenge {
	t.Helper()
	return ok[*reset.Challenge](t)(s.AskChallenge(t.Context(), a.ID, func(a *reset.Attempt) (*reset.Challenge, []event.Event, error) {
		a.Asked++
		return reset.NewChallenge(a, method.Email, "", noon), nil, nil
	}))
}

func write(a *reset.Attempt, ref string) *reset.Write {
	return &reset.Write{ID: id(), Attempt: a.ID, Person: a.Person, Directory: "ldap", Ref: ref, Action: policy.Reset, Server: "ldap1", Marker: "7", Changed: noon.Add(-time.Hour),
		State: reset.WriteSending, Lease: noon.Add(15 * time.Second), Created: noon}
}

// writing begins a write of an account for an attempt.
func writing(t *testing.T, s *store.Store, a *reset.Attempt, ref string) *reset.Write {
	t.Helper()
	w := write(a, ref)
	ok[*reset.Attempt](t)(s.BeginWrite(t.Context(), a.ID, w, func(a *reset.Attempt) ([]event.Event, error) {
		a.State, a.Write = reset.Writing, w.ID
		return nil, nil
	}))
	return w
}

func TestAnAttemptReadsAsItWasWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := attempt()
		must(t, s.CreateAttempt(t.Context(), a, event.New(noon, event.AttemptStarted, "stranger", "", a.ID, event.Success)))
		same(t, "by cookie", ok[*reset.Attempt](t)(s.AttemptByCookie(t.Context(), a.Cookie)), a)
		same(t, "by id", ok[*reset.Attempt](t)(s.Attempt(t.Context(), a.ID)), a)
		count(t, s, 1, `SELECT count(*) FROM events WHERE txn = $1`, a.ID)
		p := ada("c1")
		p.Epoch = 4
		must(t, s.CreatePerson(t.Context(), p, nil))
		local := time.FixedZone("x", 3600)
		got := ok[*reset.Attempt](t)(s.UpdateAttempt(t.Context(), a.ID, func(a *reset.Attempt) ([]event.Event, error) {
			a.State, a.Person, a.Resolved, a.Epoch = reset.Unresolved, p.ID, true, 4
			a.Proofs = []reset.Proof{{Method: "m", Kind: method.Email, Class: method.Mail, Root: method.Root{Kind: method.ByConnector, ID: "c1"}, Challenge: "c", At: noon.In(local).Add(time.Nanosecond)}}
			a.Asked, a.Extended, a.Refusals, a.Again, a.Write, a.Why = 1, 2, 3, true, "w", "why"
			a.Directory, a.Login = "ldap", "ada"
			a.Expires, a.Ended = noon.In(local).Add(time.Hour+7), noon.Add(2*time.Hour)
			a.LiveEpoch, a.LiveActive = 4, true
			return nil, nil
		}))
		if got.Version != 2 || !got.Proofs[0].At.Equal(noon) || got.Proofs[0].At.Location() != time.UTC {
			t.Errorf("got %+v", got)
		}
		same(t, "after an update", ok[*reset.Attempt](t)(s.Attempt(t.Context(), a.ID)), got)

		must(t, s.EraseTyped(t.Context(), a.ID))
		must(t, s.EraseTyped(t.Context(), a.ID))
		got.Typed, got.Version = "", 3
		same(t, "after erasing the typed name", ok[*reset.Attempt](t)(s.Attempt(t.Context(), a.ID)), got)

		for _, find := range []func() (*reset.Attempt, error){
			func() (*reset.Attempt, error) { return s.AttemptByCookie(t.Context(), []byte("other")) },
			func() (*reset.Attempt, error) { return s.AttemptByCookie(t.Context(), nil) },
			func() (*reset.Attempt, error) { return s.Attempt(t.Context(), "") },
			func() (*reset.Attempt, error) { return s.Attempt(t.Context(), "a\x00") },
		} {
			if a, err := find(); a != nil || err != nil {
				t.Errorf("nobody's attempt: %v, %v", a, err)
			}
		}
		if _, err := s.UpdateAttempt(t.Context(), id(), func(*reset.Attempt) ([]event.Event, error) { return nil, nil }); !fault.Is(err, fault.NotFound) {
			t.Errorf("updating none: %v", err)
		}
	})
}

func TestAnAttemptSeesItsPersonsEpochInTheSameStatement(t *testing.T) {
	var mu sync.Mutex
	var trace []string
	spy := func(c *store.Config) {
		c.Trace = func(sql string) { mu.Lock(); trace = append(trace, sql); mu.Unlock() }
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, a := begun(t, s)
		decoy := attempt()
		must(t, s.CreateAttempt(t.Context(), decoy))
		read := func(a *reset.Attempt) (*reset.Attempt, string) {
			t.Helper()
			mu.Lock()
			trace = nil
			mu.Unlock()
			got := ok[*reset.Attempt](t)(s.AttemptByCookie(t.Context(), a.Cookie))
			mu.Lock()
			defer mu.Unlock()
			return got, strings.Join(trace, "\n---\n")
		}
		got, real := read(a)
		if got.LiveEpoch != 1 || !got.LiveActive || got.Alive(noon) != nil {
			t.Errorf("live: %+v", got)
		}
		ghost, dummy := read(decoy)
		if ghost.LiveEpoch != 0 || ghost.LiveActive {
			t.Errorf("a decoy is live: %+v", ghost)
		}
		if real != dummy || real == "" || strings.Contains(real, "---") {
			t.Errorf("the statements differ or are several:\n%s\nand\n%s", real, dummy)
		}
		disable := func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			return p.Deactivate("connector:c1", noon), nil
		}
		ok[*account.Person](t)(s.UpdatePerson(t.Context(), p.ID, "", disable))
		if got, _ = read(a); got.LiveEpoch != 2 || got.LiveActive || got.Epoch != 1 {
			t.Errorf("after disabling: %+v", got)
		}
		must(t, s.DeletePerson(t.Context(), p.ID, "", 0))
		if got, _ = read(a); got.LiveEpoch != 0 || got.LiveActive {
			t.Errorf("after deleting: %+v", got)
		}
	}, spy)
}

func TestAnAttemptIsJudgedByTheEpochOfEachTry(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, a := begun(t, s)
		tries := 0
		got := ok[*reset.Attempt](t)(s.UpdateAttempt(t.Context(), a.ID, func(a *reset.Attempt) ([]event.Event, error) {
			if tries++; tries == 1 { // somebody is faster, and the person's epoch moves
				if _, err := s.UpdateAttempt(t.Context(), a.ID, func(a *reset.Attempt) ([]event.Event, error) { a.Asked = 7; return nil, nil }); err != nil {
					return nil, err
				}
				if _, err := s.UpdatePerson(t.Context(), p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) { p.Epoch = 9; return nil, nil }); err != nil {
					return nil, err
				}
			}
			a.Why = fmt.Sprint("epoch ", a.LiveEpoch)
			return nil, nil
		}))
		if tries != 2 || got.Why != "epoch 9" || got.Asked != 7 || got.LiveEpoch != 9 {
			t.Errorf("after %d tries: %+v", tries, got)
		}
	})
}

func TestNotingAFactLeavesTheAttemptAsItIs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		_, a := begun(t, s)
		got := ok[*reset.Attempt](t)(s.UpdateAttempt(t.Context(), a.ID, func(a *reset.Attempt) ([]event.Event, error) {
			return []event.Event{event.New(noon, event.ProofWrong, "stranger", a.Person, a.ID, event.Failure)}, nil
		}))
		if got.Version != a.Version {
			t.Errorf("version %d, want %d: a note would throw out whoever moves on", got.Version, a.Version)
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE txn = $1 AND type = 'proof.refused'`, a.ID)
	})
}

// everything returns all bytes of all rows of a database, and of a SQLite file itself.
func everything(t *testing.T, kind store.Kind, url string) []byte {
	t.Helper()
	var all bytes.Buffer
	if kind == store.SQLite {
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(url + suffix)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			all.Write(b)
		}
		return all.Bytes()
	}
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`)
	must(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	if len(tables) < 10 {
		t.Fatalf("only %d tables found", len(tables))
	}
	for _, table := range tables {
		rows, err := conn.Query(t.Context(), `SELECT * FROM `+table)
		must(t, err)
		for rows.Next() {
			values, err := rows.Values()
			must(t, err)
			for _, v := range values {
				if b, is := v.([]byte); is {
					all.Write(b)
				} else {
					fmt.Fprint(&all, v)
				}
				all.WriteByte('\n')
			}
		}
		must(t, rows.Err())
	}
	return all.Bytes()
}

func TestWhatIsSealedStandsNowhereInTheDatabase(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		c := store.Config{URL: storetest.URL(t, kind)}
		s := storetest.Open(t, kind, func(o *store.Config) { o.URL = c.URL })
		p, a := ada("c1"), attempt()
		m := mail("canary-destination@home.example")
		m.Display = "canary-display"
		totp := seed()
		totp.Secret = []byte("canary-seed-0123456789")
		must(t, s.CreatePerson(t.Context(), p, []method.Method{m, totp}))
		a.Typed, a.Network, a.Agent = "canary-typed", "canary-network", "canary-agent"
		must(t, s.CreateAttempt(t.Context(), a, event.New(noon, event.AttemptStarted, "stranger", "", a.ID, event.Success).Sealed("network", "canary-network")))
		ok[*reset.Attempt](t)(s.UpdateAttempt(t.Context(), a.ID, func(a *reset.Attempt) ([]event.Event, error) {
			a.Person, a.Login = p.ID, "canary-login"
			return []event.Event{event.New(noon, event.AttemptFlooded, "system", p.ID, a.ID, event.Failure).Sealed("agent", "canary-agent")}, nil
		}))
		dump := everything(t, kind, c.URL)
		if !bytes.Contains(dump, []byte(p.UserName)) || !bytes.Contains(dump, []byte(a.Reference)) {
			t.Fatal("the dump lacks what stands in clear: it has gone blind")
		}
		for _, form := range []func(string) string{
			func(s string) string { return s }, func(s string) string { return hex.EncodeToString([]byte(s)) },
		} {
			if at := bytes.Index(dump, []byte(form("canary"))); at >= 0 {
				t.Errorf("in clear: %q", dump[max(0, at-20):min(len(dump), at+60)])
			}
		}
		// A sealed value opens in its own row only.
		other := attempt()
		must(t, s.CreateAttempt(t.Context(), other))
		must(t, s.Exec(t.Context(), `UPDATE attempts SET typed = (SELECT typed FROM attempts WHERE id = '`+a.ID+`') WHERE id = '`+other.ID+`'`))
		if got, err := s.Attempt(t.Context(), other.ID); err == nil {
			t.Errorf("a typed name was moved to another attempt and read as %q", got.Typed)
		}
	})
}

func TestWithoutAKeyFileNoAttemptIsWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if err := s.CreateAttempt(t.Context(), attempt()); err == nil {
			t.Error("an attempt was written without a key to seal it")
		}
		count(t, s, 0, `SELECT count(*) FROM attempts`)
	}, func(c *store.Config) { c.Ring = nil })
}

func TestOldAttemptsAreSweptButNotThoseWhoseOutcomeIsAwaited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := time.Now().UTC()
		for i, c := range []struct {
			state reset.State
			age   time.Duration
			stays bool
		}{{reset.Done, 40 * 24 * time.Hour, false}, {reset.Expired, 31 * 24 * time.Hour, false}, {reset.Done, time.Hour, true}, {reset.Writing, 40 * 24 * time.Hour, true}, {reset.Unknown, 40 * 24 * time.Hour, true}} {
			a := &reset.Attempt{ID: fmt.Sprintf("sweep-%d", i), Reference: fmt.Sprintf("SWEEP-%d", i), Action: policy.Reset, State: c.state,
				Cookie: []byte(fmt.Sprintf("sweep %d", i)), TypedHash: []byte("x"), Started: now.Add(-c.age), Expires: now}
			must(t, s.CreateAttempt(t.Context(), a))
		}
		n, err := s.SweepAttempts(t.Context(), now.Add(-30*24*time.Hour))
		if err != nil || n != 2 {
			t.Errorf("swept %d (%v), want 2", n, err)
		}
		for i, stays := range []bool{false, false, true, true, true} {
			a, err := s.Attempt(t.Context(), fmt.Sprintf("sweep-%d", i))
			if err != nil || (a != nil) != stays {
				t.Errorf("attempt %d there: %v (%v), want %v", i, a != nil, err, stays)
			}
		}
	})
}

// hashCookie is what is kept of a browser's secret.
func hashCookie(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}
