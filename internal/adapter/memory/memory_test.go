package memory_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/directorytest"
)

const first = "a First passw0rd"

// open returns a directory with a policy and one account for every promise of the kit.
func open(t *testing.T) (*memory.Directory, directorytest.Fixture) {
	t.Helper()
	d, err := memory.New(memory.Config{Iterations: 10, Policy: directory.Policy{
		MinLength: 10, MaxLength: 200, Complexity: directory.ComplexityAD, History: 3, MinAge: time.Hour, MaxAge: 90 * 24 * time.Hour,
		LockoutThreshold: 3, LockoutDuration: 5 * time.Minute,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	old := time.Now().Add(-24 * time.Hour)
	mail := func(address string) map[string][]string { return map[string][]string{"mail": {address}} }
	for _, a := range []memory.Account{
		{Login: "ada", Name: "Ada Lovelace", Attrs: mail("ada@example.org")},
		{Login: "young", PasswordChangedAt: time.Now()},
		{Login: "locked"}, {Login: "adminlocked", AdminLocked: true}, {Login: "disabled", Disabled: true},
		{Login: "mustchange", MustChange: true}, {Login: "guarded", Guarded: true},
		{Login: "twin1", Attrs: mail("twins@example.org")}, {Login: "twin2", Attrs: mail("Twins@example.org")},
	} {
		a.Password = first
		if a.PasswordChangedAt.IsZero() {
			a.PasswordChangedAt = old
		}
		if err := d.Put(a); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		d.Authenticate("locked", "wrong")
	}
	account := func(login string) directorytest.Account {
		return directorytest.Account{Login: login, Password: first}
	}
	fault := func(f memory.Fault) func() func() {
		return func() func() {
			d.SetFault(f)
			return func() { d.SetFault(memory.Fault{}) }
		}
	}
	return d, directorytest.Fixture{
		Adapter: d,
		User:    account("ada"),
		SignIn: func(login, password string) bool {
			err := d.Authenticate(login, password)
			return err == nil || errors.Is(err, directory.ErrMustChange)
		},
		Locked: account("locked"), AdminLocked: account("adminlocked"), Disabled: account("disabled"),
		MustChange: account("mustchange"), Guarded: account("guarded"), Ambiguous: "twins@example.org",
		Refused: []directorytest.Refusal{
			{Account: account("ada"), New: "Shrt-9", Code: directory.TooShort},
			{Account: account("ada"), New: strings.Repeat("Long 9 ", 40), Code: directory.TooLong},
			{Account: account("ada"), New: "onlylowercase", Code: directory.NotComplex},
			{Account: account("ada"), New: "My-Lovelace-99", Code: directory.ContainsName},
			{Account: account("ada"), New: first, Code: directory.SameAsCurrent},
			{Account: account("young"), New: "Quite-another-1", Code: directory.TooYoung, ByChange: true},
		},
		LoseRequest: fault(memory.Fault{Kind: memory.TimeoutBeforeWrite}),
		LoseAnswer:  fault(memory.Fault{Kind: memory.TimeoutAfterWrite}),
		Stall:       fault(memory.Fault{Kind: memory.LateWrite, Delay: 100 * time.Millisecond}),
		StallReads:  fault(memory.Fault{Kind: memory.Silent}),
	}
}

func TestKeepsThePromisesOfADirectory(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) directorytest.Fixture {
		_, f := open(t)
		return f
	})
}

func config(t *testing.T) memory.Config {
	return memory.Config{Iterations: 10, File: filepath.Join(t.TempDir(), "directory.json")}
}

func start(t *testing.T, cfg memory.Config) *memory.Directory {
	t.Helper()
	d, err := memory.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func find(t *testing.T, d *memory.Directory, login string) directory.User {
	t.Helper()
	u, err := d.FindUser(t.Context(), directory.Query{Login: login})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestStateSurvivesARestartWithoutAPasswordInTheFile(t *testing.T) {
	cfg := config(t)
	d := start(t, cfg)
	if err := d.Put(memory.Account{Login: "ada", Password: first, Groups: []string{"staff"}}); err != nil {
		t.Fatal(err)
	}
	before := find(t, d, "ada")
	if _, err := d.Reset(t.Context(), directory.ResetRequest{User: before.Ref, New: directory.NewSecret("second-Password-2")}); err != nil {
		t.Fatal(err)
	}
	d.Close()
	text, err := os.ReadFile(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "second-Password-2") || strings.Contains(string(text), first) {
		t.Fatal("the file contains a password")
	}
	if info, _ := os.Stat(cfg.File); info.Mode().Perm() != 0o600 {
		t.Fatalf("got mode %v, want 0600", info.Mode())
	}
	again := start(t, cfg)
	after := find(t, again, "ada")
	if after.Ref != before.Ref || after.Groups[0] != "staff" || !again.SignIn("ada", "second-Password-2") || again.SignIn("ada", first) {
		t.Fatalf("after a restart: %+v, or the password is another", after)
	}
}

func TestAFileThatOthersMayReadOrThatIsDamagedIsRefused(t *testing.T) {
	for name, write := range map[string]func(path string) error{
		"loose": func(path string) error {
			return os.WriteFile(path, []byte(`{"Format":"regain memory directory 1"}`), 0o640)
		},
		"damaged": func(path string) error { return os.WriteFile(path, []byte(`{"Format":`), 0o600) },
		"foreign": func(path string) error { return os.WriteFile(path, []byte(`{"Format":"else"}`), 0o600) },
		"incomplete": func(path string) error {
			return os.WriteFile(path, []byte(`{"Format":"regain memory directory 1","Accounts":[null]}`), 0o600)
		},
	} {
		cfg := config(t)
		if err := write(cfg.File); err != nil {
			t.Fatal(err)
		}
		if _, err := memory.New(cfg); !errors.Is(err, directory.ErrConfig) {
			t.Errorf("%s: got %v, want ErrConfig", name, err)
		}
	}
}

func TestAWriteThatCannotBeSavedIsNotApplied(t *testing.T) {
	cfg := config(t)
	d := start(t, cfg)
	if err := d.Put(memory.Account{Login: "ada", Password: first}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(cfg.File)); err != nil {
		t.Fatal(err)
	}
	_, err := d.Reset(t.Context(), directory.ResetRequest{User: find(t, d, "ada").Ref, New: directory.NewSecret("another")})
	if !errors.Is(err, directory.ErrUnavailable) || directory.OutcomeOf(err) != directory.NotApplied || !d.SignIn("ada", first) {
		t.Fatalf("got %v, want ErrUnavailable and the old password", err)
	}
}

func TestALockoutEndsByItselfAndCheckingWithoutLockoutCountsNothing(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	d := start(t, memory.Config{Iterations: 10, Now: func() time.Time { return now }, Policy: directory.Policy{LockoutThreshold: 3, LockoutDuration: time.Minute}})
	d.Put(memory.Account{Login: "ada", Password: first})
	for range 9 {
		d.SignIn("ada", "wrong")
	}
	if err := d.Authenticate("ada", first); err != nil {
		t.Fatalf("after nine checks: %v", err)
	}
	for range 3 {
		d.Authenticate("ada", "wrong")
	}
	if err := d.Authenticate("ada", first); !errors.Is(err, directory.ErrLocked) {
		t.Fatalf("after three failures: got %v, want ErrLocked", err)
	}
	now = now.Add(time.Minute)
	if err := d.Authenticate("ada", first); err != nil {
		t.Fatalf("after the lockout: %v", err)
	}
	d.Authenticate("ada", "wrong")
	if err := d.Authenticate("ada", first); err != nil {
		t.Fatalf("one failure after the lockout: %v", err)
	}
}

func TestAPasswordExpiresAndAgesByTheClock(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	d := start(t, memory.Config{Iterations: 10, Now: func() time.Time { return now }, Policy: directory.Policy{MinAge: time.Hour, MaxAge: 24 * time.Hour}})
	d.Put(memory.Account{Login: "ada", Password: first})
	u := find(t, d, "ada")
	change := directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret(first), New: directory.NewSecret("another")}
	_, err := d.Change(t.Context(), change)
	if v := directory.ViolationsOf(err); len(v) != 1 || v[0].Code != directory.TooYoung || !v[0].Until.Equal(now.Add(time.Hour)) {
		t.Fatalf("got %v, want too young until in an hour", v)
	}
	now = now.Add(24 * time.Hour)
	if err := d.Verify(t.Context(), u.Ref, directory.NewSecret(first)); !errors.Is(err, directory.ErrPasswordExpired) {
		t.Fatalf("got %v, want ErrPasswordExpired", err)
	}
	if _, err := d.Change(t.Context(), change); err != nil {
		t.Fatalf("change of an expired password: %v", err)
	}
}

func TestListPagesThroughEveryoneOnceAndByTime(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	d := start(t, memory.Config{Iterations: 1, Now: func() time.Time { return now }})
	for i := range 1100 {
		if i == 1090 {
			now = now.Add(time.Hour)
		}
		d.Put(memory.Account{Login: "u" + strings.Repeat("x", i)})
	}
	for since, want := range map[time.Time]int{{}: 1100, now: 10} {
		seen, cursor := map[string]bool{}, ""
		for pages := 0; ; pages++ {
			page, next, err := d.List(t.Context(), cursor, since)
			if err != nil || len(page) > 500 || pages > 3 {
				t.Fatalf("page %d: %d users, %v", pages, len(page), err)
			}
			for _, u := range page {
				seen[u.Login] = true
			}
			if cursor = next; next == "" {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("since %v: got %d, want %d", since, len(seen), want)
		}
	}
	if _, _, err := d.List(t.Context(), "nonsense", time.Time{}); !errors.Is(err, directory.ErrConfig) {
		t.Errorf("got %v, want ErrConfig", err)
	}
}

// The faults are what they say, on a fake clock.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault           memory.Fault
		outcome         directory.Outcome
		kind            error
		atOnce, aMoment bool // the new password signs in when the call returns; two seconds later
	}{
		"none":                 {memory.Fault{}, directory.Applied, nil, true, true},
		"unavailable":          {memory.Fault{Kind: memory.Unavailable}, directory.NotApplied, directory.ErrUnavailable, false, false},
		"timeout-before-write": {memory.Fault{Kind: memory.TimeoutBeforeWrite}, directory.Unknown, directory.ErrUnknown, false, false},
		"timeout-after-write":  {memory.Fault{Kind: memory.TimeoutAfterWrite}, directory.Unknown, directory.ErrUnknown, true, true},
		"late-write":           {memory.Fault{Kind: memory.LateWrite, Delay: time.Second}, directory.Unknown, directory.ErrUnknown, false, true},
		"slow enough":          {memory.Fault{Kind: memory.Slow, Delay: time.Second}, directory.Applied, nil, true, true},
		"too slow":             {memory.Fault{Kind: memory.Slow, Delay: 6 * time.Second}, directory.Unknown, directory.ErrUnknown, false, true},
		"silent":               {memory.Fault{Kind: memory.Silent}, directory.Unknown, directory.ErrUnknown, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, err := memory.New(memory.Config{Iterations: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				d.Put(memory.Account{Login: "ada", Password: first})
				u := find(t, d, "ada")
				d.SetFault(c.fault)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				begun := time.Now()
				_, err = d.Reset(ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret("second")})
				if got := directory.OutcomeOf(err); got != c.outcome || c.kind != nil && !errors.Is(err, c.kind) {
					t.Errorf("got %v (%v), want %v (%v)", err, got, c.kind, c.outcome)
				}
				if c.outcome == directory.Unknown && time.Since(begun) != 5*time.Second {
					t.Errorf("gave up after %v, want the deadline", time.Since(begun))
				}
				if got := d.SignIn("ada", "second"); got != c.atOnce {
					t.Errorf("at once: signs in %v, want %v", got, c.atOnce)
				}
				time.Sleep(2 * time.Second)
				if got := d.SignIn("ada", "second"); got != c.aMoment {
					t.Errorf("a moment later: signs in %v, want %v", got, c.aMoment)
				}
			})
		})
	}
}

func TestFaultsAreParsedAndNonsenseIsRefused(t *testing.T) {
	if f, err := memory.ParseFault("late-write,250ms"); err != nil || f != (memory.Fault{Kind: memory.LateWrite, Delay: 250 * time.Millisecond}) {
		t.Errorf("got %+v, %v", f, err)
	}
	if f, err := memory.ParseFault("timeout-after-write"); err != nil || f.Kind != memory.TimeoutAfterWrite {
		t.Errorf("got %+v, %v", f, err)
	}
	for _, bad := range []string{"", "sometimes", "none,2s", "slow,fast", "slow,-1s"} {
		if _, err := memory.ParseFault(bad); err == nil {
			t.Errorf("%q: want an error", bad)
		}
	}
}
