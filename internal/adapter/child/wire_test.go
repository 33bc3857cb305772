package child_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/directorytest"
	"github.com/regain-id/regain/pkg/directory/plugin"
)

const first = "a First passw0rd"

// spoken is a child in this process: both ends of the wire, without one.
func spoken(open func(name string, config json.RawMessage) (directory.Adapter, error)) func(func(string) string) (*plugin.Process, error) {
	return func(func(string) string) (*plugin.Process, error) {
		childIn, hostOut := io.Pipe()
		hostIn, childOut := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			err := plugin.Serve(context.Background(), childIn, childOut, plugin.Info{Name: "memory", Version: "7"}, open)
			childOut.Close()
			ended <- err
		}()
		var once sync.Once
		var err error
		return &plugin.Process{In: hostOut, Out: hostIn, Kill: func() error {
			once.Do(func() {
				childIn.CloseWithError(io.ErrClosedPipe)
				hostIn.CloseWithError(io.ErrClosedPipe)
				err = <-ended
			})
			return err
		}}, nil
	}
}

func host(t *testing.T, c plugin.HostConfig) *plugin.Host {
	t.Helper()
	if c.Name == "" {
		c.Name = "hr"
	}
	h, err := plugin.NewHost(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// directoryOf is a directory with an account for every promise.
func directoryOf(t *testing.T) *memory.Directory {
	t.Helper()
	d, err := memory.New(memory.Config{Name: "hr", Iterations: 10, Policy: directory.Policy{
		MinLength: 10, MaxLength: 200, Complexity: directory.ComplexityAD, History: 3, MinAge: time.Hour, MaxAge: 90 * 24 * time.Hour,
		LockoutThreshold: 3, LockoutDuration: 5 * time.Minute,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for _, a := range []memory.Account{
		{Login: "ada", Name: "Ada Lovelace", Attrs: map[string][]string{"mail": {"ada@example.org"}}, Groups: []string{"staff"}},
		{Login: "young", PasswordChangedAt: time.Now()}, {Login: "locked"}, {Login: "adminlocked", AdminLocked: true}, {Login: "disabled", Disabled: true},
		{Login: "mustchange", MustChange: true}, {Login: "guarded", Guarded: true},
		{Login: "twin1", Attrs: map[string][]string{"mail": {"twins@example.org"}}}, {Login: "twin2", Attrs: map[string][]string{"mail": {"Twins@example.org"}}},
	} {
		if a.Password = first; a.PasswordChangedAt.IsZero() {
			a.PasswordChangedAt = time.Now().Add(-24 * time.Hour)
		}
		if err := d.Put(a); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		d.Authenticate("locked", "wrong")
	}
	return d
}

func fixture(d *memory.Directory, a directory.Adapter) directorytest.Fixture {
	account := func(login string) directorytest.Account { return directorytest.Account{Login: login, Password: first} }
	fault := func(f memory.Fault) func() func() {
		return func() func() {
			d.SetFault(f)
			return func() { d.SetFault(memory.Fault{}) }
		}
	}
	return directorytest.Fixture{
		Adapter: a, User: account("ada"),
		SignIn: func(login, password string) bool {
			err := d.Authenticate(login, password)
			return err == nil || errors.Is(err, directory.ErrMustChange)
		},
		Locked: account("locked"), AdminLocked: account("adminlocked"), Disabled: account("disabled"), MustChange: account("mustchange"), Guarded: account("guarded"),
		Ambiguous: "twins@example.org",
		Refused: []directorytest.Refusal{
			{Account: account("ada"), New: "Shrt-9", Code: directory.TooShort}, {Account: account("ada"), New: strings.Repeat("Long 9 ", 40), Code: directory.TooLong},
			{Account: account("ada"), New: "onlylowercase", Code: directory.NotComplex}, {Account: account("ada"), New: first, Code: directory.SameAsCurrent},
			{Account: account("young"), New: "Quite-another-1", Code: directory.TooYoung, ByChange: true},
		},
		LoseRequest: fault(memory.Fault{Kind: memory.TimeoutBeforeWrite}), LoseAnswer: fault(memory.Fault{Kind: memory.TimeoutAfterWrite}),
		Stall: fault(memory.Fault{Kind: memory.LateWrite, Delay: 100 * time.Millisecond}), StallReads: fault(memory.Fault{Kind: memory.Silent}),
	}
}

func TestAnAdapterBehindTheWireKeepsThePromisesOfADirectory(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) directorytest.Fixture {
		d := directoryOf(t)
		return fixture(d, host(t, plugin.HostConfig{Start: spoken(func(string, json.RawMessage) (directory.Adapter, error) { return d, nil })}))
	})
}

func TestAnAdapterThatIsStartedForEachRequestKeepsThem(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) directorytest.Fixture {
		d := directoryOf(t)
		return fixture(d, host(t, plugin.HostConfig{OneShot: true, Start: spoken(func(string, json.RawMessage) (directory.Adapter, error) { return stays{d}, nil })}))
	})
}

// stays is not closed with one child of many.
type stays struct{ *memory.Directory }

func (stays) Close() error { return nil }

func memoryOnly(t *testing.T) *memory.Directory {
	d, err := memory.New(memory.Config{Name: "hr", Iterations: 1})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"id":2,"method":"find","params":{"login":"ada"}}` + "\n" + `{"id":3,"method":"reset","deadline_ms":1,"params":{"user":"x","new":"y"}}` + "\n"))
	f.Add([]byte(`{"id":2,"method":"cancel","params":{"id":2}}` + "\n" + `{"method":"list","params":null}` + "\n" + `{"id":-1,"method":"policy"}` + "\n"))
	f.Add([]byte(`{"id":4,"method":"reset","params":{"enforce_history":"x"}}` + "\n[]\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		in := io.MultiReader(strings.NewReader(`{"id":1,"method":"hello","params":{"protocols":[1],"api":"1.0","name":"hr"}}`+"\n"), strings.NewReader(string(said)))
		var out strings.Builder
		plugin.Serve(t.Context(), in, &out, plugin.Info{Name: "memory", Version: "1"}, func(string, json.RawMessage) (directory.Adapter, error) { return memoryOnly(t), nil })
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%q: answered %q", said, line)
			}
		}
	})
}
