// Package directorytest judges whether an adapter keeps the promises of package directory.
//
//	func TestAdapter(t *testing.T) {
//		directorytest.Run(t, func(t *testing.T) directorytest.Fixture {
//			… start a server or fill a database, make an adapter …
//			return directorytest.Fixture{Adapter: a, User: …, SignIn: …}
//		})
//	}
//
// Every promise is judged on a fixture of its own, so one failure cannot hide another and passwords may be changed
// freely. A promise that needs something the fixture does not name is skipped and says what was missing: name as much
// as your directory can be brought to. A promise that your directory cannot keep is declared in Fixture.Exceptions with
// the reason; it is judged all the same, its failures are printed, and an exception that is no longer needed fails.
//
// Without package testing, for a command that judges an adapter over a wire, use [Promises] and [Promise.Judge].
package directorytest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

// Account is a login name and its current password.
type Account struct{ Login, Password string }

// Refusal is a password that the directory must refuse, and why.
type Refusal struct {
	Account   Account // whose password
	New       string
	Code      directory.ViolationCode
	ByChange  bool // refused on a change with the old password only, as a minimum age often is
	AnyReason bool // the directory does not say which rule: directory.Rejected will do
}

// Fixture is an adapter and what its author knows about the directory behind it. Adapter, User and SignIn are required;
// each further field lets more promises be judged. All accounts are different ones. A lockout must take three failed
// attempts or more.
type Fixture struct {
	Adapter directory.Adapter
	Query   directory.Query // Attrs, Return and Scope for every find

	User Account // exists, in good standing, may be given other passwords
	// SignIn tries a password for real, not through the adapter. Lockouts apply. A password that opens nothing but its
	// own change counts as true.
	SignIn func(login, password string) bool
	// NewPassword returns passwords the directory accepts, a different one each time. nil: 26 letters, digits and a
	// sign.
	NewPassword func() string

	Locked      Account // locked out by failed attempts
	AdminLocked Account // locked by an administrator
	Disabled    Account
	MustChange  Account // has to choose a new password
	Guarded     Account // never to be reset by self-service
	Ambiguous   string  // a login name that fits two accounts
	Refused     []Refusal

	// LoseRequest, LoseAnswer and Stall arm a fault that hits the next write and whatever follows, until restore is
	// called; reads before the write go through. The request is lost before the directory sees it; or it is applied and
	// the answer is lost; or the directory stops and applies it once restored.
	LoseRequest, LoseAnswer, Stall func() (restore func())
	// StallReads stops the directory at once: nothing is answered until restore is called.
	StallReads func() (restore func())

	Exceptions map[string]string // name of a promise → why this directory cannot keep it
}

// Promise is one thing an adapter has to keep.
type Promise struct {
	Name  string
	judge func(*trial)
}

// Verdict is what a judgement found. No failures and no reason to skip: the promise is kept.
type Verdict struct {
	Failures []string
	Skipped  string // what the fixture lacks
	Notes    []string
}

// Promises returns everything that is judged, in order.
func Promises() []Promise {
	return slices.Concat(findPromises, passwordPromises, accountPromises, outcomePromises, honestyPromises, conductPromises)
}

// Judge tries one promise on a fresh fixture. It takes seconds at most and changes passwords of the fixture's accounts.
func (p Promise) Judge(f Fixture) (v Verdict) {
	t := &trial{Fixture: f, verdict: &v}
	var cancel context.CancelFunc
	t.ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	defer func() {
		if r := recover(); r != nil && r != any(stop{}) {
			panic(r)
		}
	}()
	if f.Adapter == nil || f.SignIn == nil || f.User.Login == "" || f.User.Password == "" {
		t.fatalf("the fixture needs Adapter, SignIn and User")
	}
	p.judge(t)
	return v
}

// Run judges every promise as a subtest, each on a fresh fixture from open.
func Run(t *testing.T, open func(*testing.T) Fixture) {
	t.Helper()
	for _, p := range Promises() {
		t.Run(p.Name, func(t *testing.T) {
			f := open(t)
			for name := range f.Exceptions {
				if !slices.ContainsFunc(Promises(), func(p Promise) bool { return p.Name == name }) {
					t.Errorf("exception for %q: no such promise", name)
				}
			}
			report(t, p.Name, f.Exceptions, p.Judge(f))
		})
	}
}

// reporter is the part of testing.TB that report needs.
type reporter interface {
	Helper()
	Log(args ...any)
	Error(args ...any)
	Skip(args ...any)
}

func report(t reporter, name string, exceptions map[string]string, v Verdict) {
	t.Helper()
	for _, note := range v.Notes {
		t.Log(note)
	}
	reason, excepted := exceptions[name]
	switch {
	case excepted && reason == "":
		t.Error("an exception needs a reason")
	case v.Skipped != "":
		t.Skip("not judged: " + v.Skipped)
	case excepted && len(v.Failures) == 0:
		t.Error("the promise is kept: remove the exception (" + reason + ")")
	case excepted:
		for _, failure := range v.Failures {
			t.Log("declared exception (" + reason + "): " + failure)
		}
	default:
		for _, failure := range v.Failures {
			t.Error(failure)
		}
	}
}

// stop ends a trial early.
type stop struct{}

// trial is one promise being judged.
type trial struct {
	Fixture
	ctx     context.Context
	verdict *Verdict
}

func (t *trial) errorf(format string, args ...any) {
	t.verdict.Failures = append(t.verdict.Failures, fmt.Sprintf(format, args...))
}

func (t *trial) fatalf(format string, args ...any) {
	t.errorf(format, args...)
	panic(stop{})
}

func (t *trial) notef(format string, args ...any) {
	t.verdict.Notes = append(t.verdict.Notes, fmt.Sprintf(format, args...))
}

func (t *trial) skipf(format string, args ...any) {
	t.verdict.Skipped = fmt.Sprintf(format, args...)
	panic(stop{})
}

// need skips unless the fixture names the account.
func (t *trial) need(a Account, what string) {
	if a.Login == "" {
		t.skipf("the fixture names no %s account", what)
	}
}

func (t *trial) query(login string) directory.Query {
	q := t.Query
	q.Login = login
	return q
}

func (t *trial) find(login string) directory.User {
	u, err := t.Adapter.FindUser(t.ctx, t.query(login))
	if err != nil {
		t.fatalf("find %q: %v", login, err)
	}
	return u
}

func (t *trial) status(r directory.Ref) directory.Status {
	st, err := t.Adapter.Status(t.ctx, r)
	if err != nil {
		t.fatalf("status: %v", err)
	}
	return st
}

// fresh returns a password the directory accepts.
func (t *trial) fresh() string {
	if t.NewPassword != nil {
		return t.NewPassword()
	}
	digits := make([]byte, 22) // not letters: now and then they spell the name of an account
	rand.Read(digits)
	for i, b := range digits {
		digits[i] = '0' + b%10
	}
	return "aB1-" + string(digits)
}

// reset resets and insists on success.
func (t *trial) reset(u directory.User, password string) directory.Result {
	res, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{OpID: rand.Text(), User: u.Ref, New: directory.NewSecret(password)})
	if err != nil {
		t.fatalf("reset %s: %v", u.Login, err)
	}
	if res.Outcome != directory.Applied {
		t.fatalf("reset %s: no error, but outcome %v", u.Login, res.Outcome)
	}
	return res
}

// eventually looks until ok or the time has passed: real servers, real time.
func eventually(patience time.Duration, ok func() bool) bool {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
