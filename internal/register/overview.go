package register

import (
	"errors"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
)

// ErrStepUp says that a change needs a step-up first: there was none, or it is too old, or not of a class the policy
// asks for. Decision.Registration says which.
var ErrStepUp = errors.New("a step-up is needed first")

// Overview is everything somebody signed in is shown of their own ways.
type Overview struct {
	Person    *account.Person
	Own       []Own // what counts here, or will, strongest kind first
	Elsewhere []Own // known to be at their sign-in (SCIM, kind external); from amr the page adds its own
	Kinds     []method.Kind
	Open      *Enrolment // on its way in this session
	Needed    int        // how many ways a reset asks for
	Wanted    int        // how many a person should have
	Counting  int        // how many proofs the ways that count now can be together, at most Needed
	HoldUntil time.Time  // what is changed now rests until then; zero: nothing does
	SteppedUp bool       // a change may be made without another step-up
	Decision  policy.Decision
	Record    Record
}

// Own is one of a person's ways.
type Own struct {
	ID        string
	Kind      method.Kind
	Masked    string
	Display   string
	Root      method.Root // what it stands on now
	Source    string      // who brought it, for people: the name of a connector; "" for themselves
	Primary   bool
	Added     time.Time
	Used      time.Time
	Rests     time.Time // does not count before; zero: counts
	Matures   time.Time // counts together with what was added in the same session until then; zero: by itself
	Leaves    time.Time // will be removed then; zero: stays
	Mine      bool      // the person may remove and rename it; false for what a connector brought
	CodesLeft int       // of a list of recovery codes
	Disabled  bool      // after too many wrong tries
}

// Due is what a sign-in is to be interrupted for.
type Due struct {
	Mode    policy.Mode   // Off: nothing. Invited: it may be put off. Required: not any more
	Why     string        // Missing or Reconfirm
	Missing int           // how many ways more
	Snooze  time.Duration // for how long it may be put off; 0: until the next sign-in
	Snoozes int           // how often more
}

// Why a sign-in is interrupted.
const (
	Missing   = "missing"   // there are fewer ways than the policy asks for
	Reconfirm = "reconfirm" // it is time to look whether they are still right
)
