package plugin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

// Protocol is the number of the protocol this package speaks.
const Protocol = 1

// MaxLine is the longest message, in bytes, its line feed included.
const MaxLine = 1 << 20

// The methods. Those of optional abilities are named in hello's answer.
const (
	methodHello     = "hello"
	methodCancel    = "cancel"
	methodDescribe  = "describe"
	methodFind      = "find"
	methodStatus    = "status"
	methodReset     = "reset"
	methodHealth    = "health"
	methodChange    = "change"
	methodUnlock    = "unlock"
	methodForce     = "require_change"
	methodPolicy    = "policy"
	methodList      = "list"
	methodVerify    = "verify"
	methodReconcile = "reconcile"
)

type request struct {
	ID       int64           `json:"id,omitempty"`
	Method   string          `json:"method"`
	Deadline int64           `json:"deadline_ms,omitempty"`
	Params   json.RawMessage `json:"params,omitempty"`
}

type response struct {
	ID     int64           `json:"id"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *wireError      `json:"error,omitempty"`
}

type hello struct {
	Protocols []int           `json:"protocols"`
	API       string          `json:"api"`
	Name      string          `json:"name"`
	Config    json.RawMessage `json:"config,omitempty"`
}

type welcome struct {
	Protocol int      `json:"protocol"`
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	API      string   `json:"api"`
	Methods  []string `json:"methods"`
}

type cancelParams struct {
	ID int64 `json:"id"`
}

type findParams struct {
	Login  string            `json:"login"`
	Attrs  []string          `json:"attrs,omitempty"`
	Return []string          `json:"return,omitempty"`
	Scope  map[string]string `json:"scope,omitempty"`
}

type userParams struct {
	User string `json:"user"`
}

type resetParams struct {
	OpID           string `json:"op_id"`
	User           string `json:"user"`
	New            string `json:"new"`
	Unlock         bool   `json:"unlock,omitempty"`
	MustChange     bool   `json:"must_change,omitempty"`
	EnforceHistory string `json:"enforce_history,omitempty"` // prefer, require, off
	IfMarker       string `json:"if_marker,omitempty"`
}

type changeParams struct {
	OpID string `json:"op_id"`
	User string `json:"user"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

type forceParams struct {
	User string `json:"user"`
	Must bool   `json:"must"`
}

type verifyParams struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

type reconcileParams struct {
	User     string     `json:"user"`
	Before   wireStatus `json:"before"`
	Password string     `json:"password,omitempty"`
}

type listParams struct {
	Cursor string    `json:"cursor,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

type listResult struct {
	Users []wireUser `json:"users"`
	Next  string     `json:"next,omitempty"`
}

type wireUser struct {
	User    string              `json:"user"`
	Login   string              `json:"login"`
	Attrs   map[string][]string `json:"attrs,omitempty"`
	Groups  []string            `json:"groups,omitempty"`
	Status  wireStatus          `json:"status"`
	Guarded bool                `json:"guarded,omitempty"`
}

type wireStatus struct {
	Disabled             bool      `json:"disabled,omitempty"`
	AdminLocked          bool      `json:"admin_locked,omitempty"`
	Locked               bool      `json:"locked,omitempty"`
	LockedUntil          time.Time `json:"locked_until,omitzero"`
	AccountExpired       bool      `json:"account_expired,omitempty"`
	PasswordExpired      bool      `json:"password_expired,omitempty"`
	MustChange           bool      `json:"must_change,omitempty"`
	CannotChange         bool      `json:"cannot_change,omitempty"`
	PasswordNeverExpires bool      `json:"password_never_expires,omitempty"`
	PasswordChangedAt    time.Time `json:"password_changed_at,omitzero"`
	ExpiresAt            time.Time `json:"expires_at,omitzero"`
	Marker               string    `json:"marker,omitempty"`
	Server               string    `json:"server,omitempty"`
}

type wirePolicy struct {
	Source           string `json:"source,omitempty"`
	MinLength        int    `json:"min_length,omitempty"`
	MaxLength        int    `json:"max_length,omitempty"`
	History          int    `json:"history,omitempty"`
	MinAge           int64  `json:"min_age_ms,omitempty"`
	MaxAge           int64  `json:"max_age_ms,omitempty"`
	Complexity       string `json:"complexity,omitempty"` // none, ad, custom
	LockoutThreshold int    `json:"lockout_threshold,omitempty"`
	LockoutDuration  int64  `json:"lockout_duration_ms,omitempty"` // negative: until an administrator unlocks
	Partial          bool   `json:"partial,omitempty"`
}

type wireDescription struct {
	Server string           `json:"server,omitempty"`
	Caps   wireCapabilities `json:"capabilities"`
}

type wireCapabilities struct {
	Change                  bool `json:"change,omitempty"`
	ChangeExpired           bool `json:"change_expired,omitempty"`
	Unlock                  bool `json:"unlock,omitempty"`
	AtomicUnlock            bool `json:"atomic_unlock,omitempty"`
	ResetUnlocks            bool `json:"reset_unlocks,omitempty"`
	ResetLiftsAdminLock     bool `json:"reset_lifts_admin_lock,omitempty"`
	MustChange              bool `json:"must_change,omitempty"`
	AtomicMustChange        bool `json:"atomic_must_change,omitempty"`
	Policy                  bool `json:"policy,omitempty"`
	PolicyPerUser           bool `json:"policy_per_user,omitempty"`
	ResetEnforcesQuality    bool `json:"reset_enforces_quality,omitempty"`
	ResetEnforcesHistory    bool `json:"reset_enforces_history,omitempty"`
	ViolationDetail         bool `json:"violation_detail,omitempty"`
	NestedGroups            bool `json:"nested_groups,omitempty"`
	Verify                  bool `json:"verify,omitempty"`
	Marker                  bool `json:"marker,omitempty"`
	WritesEverywhereVisible bool `json:"writes_everywhere_visible,omitempty"`
	MaxConcurrentPerUser    int  `json:"max_concurrent_per_user,omitempty"`
	SuggestedConcurrency    int  `json:"suggested_concurrency,omitempty"`
}

type wireResult struct {
	Outcome  string   `json:"outcome"`
	Marker   string   `json:"marker,omitempty"`
	Server   string   `json:"server,omitempty"`
	Unlocked bool     `json:"unlocked,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

type wireError struct {
	Kind       string          `json:"kind"`
	Outcome    string          `json:"outcome,omitempty"`
	Violations []wireViolation `json:"violations,omitempty"`
	RetryAfter int64           `json:"retry_after_ms,omitempty"`
	Code       int             `json:"code,omitempty"`
	Sub        string          `json:"sub,omitempty"`
	Message    string          `json:"message,omitempty"` // the server's, for the operator
	Server     string          `json:"server,omitempty"`
}

type wireViolation struct {
	Code     string    `json:"code"`
	Limit    int       `json:"limit,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	Inferred bool      `json:"inferred,omitempty"`
	Text     string    `json:"text,omitempty"`
}

// kinds names the sentinels of package directory on the wire.
var kinds = []struct {
	name string
	kind error
}{
	{"not_found", directory.ErrNotFound}, {"ambiguous", directory.ErrAmbiguous}, {"guarded", directory.ErrGuarded},
	{"disabled", directory.ErrDisabled}, {"admin_locked", directory.ErrAdminLocked}, {"locked", directory.ErrLocked},
	{"account_expired", directory.ErrAccountExpired}, {"must_change", directory.ErrMustChange},
	{"password_expired", directory.ErrPasswordExpired}, {"wrong_password", directory.ErrWrongPassword},
	{"cannot_change", directory.ErrCannotChange}, {"policy", directory.ErrPolicy}, {"permission", directory.ErrPermission},
	{"conflict", directory.ErrConflict}, {"busy", directory.ErrBusy}, {"read_only", directory.ErrReadOnly},
	{"unavailable", directory.ErrUnavailable}, {"unknown", directory.ErrUnknown}, {"tls", directory.ErrTLS},
	{"config", directory.ErrConfig}, {"unsupported", directory.ErrUnsupported},
}

func kindNamed(name string) error {
	for _, k := range kinds {
		if k.name == name {
			return k.kind
		}
	}
	return nil
}

var outcomes = []string{directory.NotApplied: "not_applied", directory.Applied: "applied", directory.Unknown: "unknown"}

// outcomeNamed takes whatever it does not know for Unknown.
func outcomeNamed(name string) directory.Outcome {
	if i := slices.Index(outcomes, name); i >= 0 {
		return directory.Outcome(i)
	}
	return directory.Unknown
}

func outcomeName(o directory.Outcome) string {
	if o < 0 || int(o) >= len(outcomes) {
		o = directory.Unknown
	}
	return outcomes[o]
}

var (
	degrees      = []string{directory.Prefer: "prefer", directory.Require: "require", directory.Off: "off"}
	complexities = []string{directory.ComplexityUnknown: "", directory.ComplexityNone: "none", directory.ComplexityAD: "ad", directory.ComplexityCustom: "custom"}
)

func (s wireStatus) status() directory.Status {
	return directory.Status(s)
}

func (u wireUser) user(adapter string) directory.User {
	return directory.User{Ref: directory.Ref{Adapter: adapter, ID: u.User}, Login: u.Login, Attrs: u.Attrs, Groups: u.Groups, Status: u.Status.status(), Guarded: u.Guarded}
}

func userOf(u directory.User) wireUser {
	return wireUser{User: u.Ref.ID, Login: u.Login, Attrs: u.Attrs, Groups: u.Groups, Status: wireStatus(u.Status), Guarded: u.Guarded}
}

func policyOf(p directory.Policy) wirePolicy {
	w := wirePolicy{Source: p.Source, MinLength: p.MinLength, MaxLength: p.MaxLength, History: p.History, MinAge: p.MinAge.Milliseconds(), MaxAge: p.MaxAge.Milliseconds(),
		LockoutThreshold: p.LockoutThreshold, LockoutDuration: p.LockoutDuration.Milliseconds(), Partial: p.Partial}
	if c := int(p.Complexity); c >= 0 && c < len(complexities) {
		w.Complexity = complexities[c]
	}
	if p.LockoutDuration < 0 {
		w.LockoutDuration = -1
	}
	return w
}

func (w wirePolicy) policy() directory.Policy {
	p := directory.Policy{Source: w.Source, MinLength: w.MinLength, MaxLength: w.MaxLength, History: w.History, MinAge: milliseconds(w.MinAge), MaxAge: milliseconds(w.MaxAge),
		LockoutThreshold: w.LockoutThreshold, LockoutDuration: milliseconds(w.LockoutDuration), Partial: w.Partial}
	switch i := slices.Index(complexities, w.Complexity); {
	case i >= 0:
		p.Complexity = directory.Complexity(i)
	default: // a newer word: a rule that cannot be described here
		p.Complexity = directory.ComplexityCustom
	}
	return p
}

// maxMilliseconds is what fits into a Duration.
const maxMilliseconds = int64(1<<63-1) / int64(time.Millisecond)

func milliseconds(n int64) time.Duration {
	return time.Duration(min(max(n, -maxMilliseconds), maxMilliseconds)) * time.Millisecond
}

func (w wireResult) result() directory.Result {
	return directory.Result{Outcome: outcomeNamed(w.Outcome), Marker: w.Marker, Server: w.Server, Unlocked: w.Unlocked, Warnings: w.Warnings}
}

func resultOf(r directory.Result) wireResult {
	return wireResult{Outcome: outcomeName(r.Outcome), Marker: r.Marker, Server: r.Server, Unlocked: r.Unlocked, Warnings: r.Warnings}
}

// errorOf is an error of an adapter as it goes over the wire. Only what the contract calls fit for the operator goes: not
// the text of a cause, which nobody vouches for.
func errorOf(err error, write bool) *wireError {
	w := &wireError{Kind: "unknown"}
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			w.Kind = k.name
			break
		}
	}
	if write {
		w.Outcome = outcomeName(directory.OutcomeOf(err))
	}
	e, ok := errors.AsType[*directory.Error](err)
	if !ok {
		return w
	}
	for _, v := range e.Violations {
		w.Violations = append(w.Violations, wireViolation{Code: string(v.Code), Limit: v.Limit, Until: v.Until, Inferred: v.Inferred, Text: v.Text})
	}
	w.RetryAfter = e.RetryAfter.Milliseconds()
	w.Code, w.Sub, w.Message, w.Server = e.Native.Code, e.Native.Sub, e.Native.Message, e.Native.Server
	return w
}

// fault is the error of a child as package directory has it. secrets are what the request held: a careless child may quote
// them.
func (w *wireError) fault(op string, write bool, secrets ...directory.Secret) error {
	kind := kindNamed(w.Kind)
	e := &directory.Error{Op: op, Kind: kind, RetryAfter: max(milliseconds(w.RetryAfter), 0),
		Native: directory.Native{Code: w.Code, Sub: directory.Clean(w.Sub, secrets...), Message: directory.Clean(w.Message, secrets...), Server: directory.Clean(w.Server, secrets...)}}
	for _, v := range w.Violations[:min(len(w.Violations), 32)] {
		e.Violations = append(e.Violations, directory.Violation{Code: directory.ViolationCode(directory.Clean(v.Code, secrets...)), Limit: v.Limit, Until: v.Until, Inferred: v.Inferred,
			Text: directory.Clean(v.Text, secrets...)})
	}
	switch {
	case kind == nil:
		e.Kind, e.Outcome, e.Err = directory.ErrUnknown, directory.Unknown, fmt.Errorf("an error of kind %q", directory.Clean(w.Kind, secrets...))
		if !write {
			e.Kind = directory.ErrUnavailable
		}
	case w.Outcome != "":
		e.Outcome = outcomeNamed(w.Outcome)
	default:
		e.Outcome = directory.OutcomeOf(kind)
	}
	if !write {
		e.Outcome = directory.NotApplied
	}
	return e
}

// errTooLong ends a stream: what comes after a line that was not read to its end means nothing.
var errTooLong = errors.New("a message of more than 1 MiB")

// lines reads and writes messages. Writing is safe for concurrent use.
type lines struct {
	in  *bufio.Reader
	mu  sync.Mutex
	out io.Writer
}

func newLines(in io.Reader, out io.Writer) *lines {
	return &lines{in: bufio.NewReaderSize(in, 64<<10), out: out}
}

// read returns the next line without its line feed. io.EOF at the end.
func (l *lines) read() ([]byte, error) {
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		if len(line)+len(part) > MaxLine {
			return nil, errTooLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if err == io.EOF && len(line) > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// write sends one message. A message that is too long is not sent.
func (l *lines) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) >= MaxLine {
		clear(b)
		return errTooLong
	}
	b = append(b, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.out.Write(b)
	clear(b) // it may have held a password
	return err
}
