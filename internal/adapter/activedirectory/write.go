package activedirectory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// The controls that make a controller check the history when a password is set and not changed: password policy hints, and
// their form of 2008 R2 (MS-ADTS 3.1.1.3.4.1.27 and .28). A controller that does not list them ignores them, even critical.
const (
	policyHints = "1.2.840.113556.1.4.2239"
	policyOld   = "1.2.840.113556.1.4.2066"
)

// hinted is the value of both: a sequence of one integer, 1.
const hinted = "\x30\x03\x02\x01\x01"

// plan is what one write sends, and how a refusal of the password is to be understood.
type plan struct {
	changes  *ldap.ModifyRequest
	password directory.Secret // the new one, if there is one
	history  bool             // the history is checked
	age      bool             // so is the minimum age
}

// write runs one write: it reads the account on a live connection, refuses what must not be touched, and sends one
// request on that connection. The request waits for its answer until the deadline even if ctx is canceled: after
// sending, knowing is better than having stopped early.
func (a *Adapter) write(ctx context.Context, op string, r directory.Ref, secrets []directory.Secret,
	prepare func(context.Context, *ldapconn.Conn, *entry) (plan, error),
) (directory.Result, error) {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	var e *entry
	c, err := a.looking(ctx, func(ctx context.Context, c *ldapconn.Conn) (err error) {
		e, err = a.byRef(ctx, c, op, r)
		return err
	})
	if c == nil {
		return directory.Result{}, a.errs.Read(op, "", err)
	}
	defer func() { a.pool.Put(c) }()
	if err != nil {
		return directory.Result{}, a.errs.Read(op, c.Server, err)
	}
	switch {
	case e.guarded:
		return directory.Result{}, ldapconn.Refuse(op, c.Server, directory.ErrGuarded)
	case e.status.Disabled: // a controller would set the password all the same
		return directory.Result{}, ldapconn.Refuse(op, c.Server, directory.ErrDisabled)
	}
	p, err := prepare(ctx, c, e)
	if err != nil {
		return directory.Result{}, a.errs.Read(op, c.Server, err)
	}
	if a.beforeWrite != nil {
		a.beforeWrite()
	}
	if ctx.Err() != nil {
		return directory.Result{}, a.errs.Write(op, c.Server, &ldapconn.TransportError{Sent: false, Err: ctx.Err()})
	}
	deadline, _ := ctx.Deadline()
	sending, done := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer done()
	if err = c.Do(sending, func() error { return c.LDAP.Modify(p.changes) }); err != nil {
		return a.failed(op, c.Server, err, p, e, secrets)
	}
	res := directory.Result{Outcome: directory.Applied, Server: c.Server}
	// The marker is a courtesy: what was written stays written if it cannot be read.
	after, err := a.byRef(sending, c, op, r)
	if err != nil {
		res.Warnings = append(res.Warnings, "the state after the write could not be read")
		return res, nil
	}
	res.Marker = after.status.Marker
	res.Unlocked = e.status.Locked && !after.status.Locked
	wanted := slices.ContainsFunc(p.changes.Changes, func(ch ldap.Change) bool {
		return ch.Modification.Type == "pwdLastSet" && slices.Equal(ch.Modification.Vals, []string{"0"})
	})
	switch {
	case after.status.MustChange && !wanted && !p.password.Empty():
		// MS-SAMR 3.1.1.8.7: without the right Unexpire Password on the domain a controller may leave pwdLastSet at 0.
		res.Warnings = append(res.Warnings, "the account still has to choose another password")
	case wanted && after.status.PasswordNeverExpires:
		res.Warnings = append(res.Warnings, "the account's password never expires, so that no other one is demanded")
	}
	return res, nil
}

// failed says what a write that was not confirmed means.
func (a *Adapter) failed(op, server string, err error, p plan, e *entry, secrets []directory.Secret) (directory.Result, error) {
	wrong := a.errs.Write(op, server, err, secrets...)
	detail, _ := errors.AsType[*directory.Error](wrong)
	if detail.Kind == directory.ErrPolicy {
		found := broken(p.password.Reveal(), e, a.cfg.Now(), p.age)
		// A minimum age that may or may not be checked together with the history leaves two explanations.
		aged := p.history && !p.age && len(broken("", e, a.cfg.Now(), true)) > len(broken("", e, a.cfg.Now(), false))
		detail.Violations = violations(e, detail.Native.Message, found, p.history, aged)
	}
	return directory.Result{Outcome: detail.Outcome, Server: server}, wrong
}

// unicodePwd encodes a password in double quotes and UTF-16, MS-ADTS 3.1.1.3.1.5.1: quotes in it are not doubled.
func unicodePwd(password directory.Secret) string {
	units := utf16.Encode([]rune(`"` + password.Reveal() + `"`))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// Reset replaces the password in one Modify.
func (a *Adapter) Reset(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
	return a.write(ctx, "reset", req.User, []directory.Secret{req.New}, func(ctx context.Context, c *ldapconn.Conn, e *entry) (plan, error) {
		if err := a.empty("reset", c.Server, req.New, e); err != nil {
			return plan{}, err
		}
		if req.IfMarker != "" && req.IfMarker != e.status.Marker {
			return plan{}, ldapconn.Refuse("reset", c.Server, directory.ErrConflict)
		}
		p := plan{changes: modify(e), password: req.New}
		if req.EnforceHistory != directory.Off {
			root, err := a.root(ctx, c)
			if err != nil {
				return plan{}, err
			}
			p.history = root.hints != "" && e.policy.History > 0
			if req.EnforceHistory == directory.Require && !p.history {
				return plan{}, ldapconn.Refuse("reset", c.Server, directory.ErrUnsupported)
			}
			if root.hints != "" {
				p.changes.Controls = append(p.changes.Controls, ldap.NewControlString(root.hints, req.EnforceHistory == directory.Require, hinted))
			}
		}
		p.changes.Replace("unicodePwd", []string{unicodePwd(req.New)})
		if req.Unlock && e.status.Locked {
			p.changes.Replace("lockoutTime", []string{"0"})
		}
		if req.MustChange {
			p.changes.Replace("pwdLastSet", []string{"0"})
		}
		return p, nil
	})
}

// Change exchanges the old password for a new one on the service's connection: nobody has to be able to sign in. A wrong
// old password counts towards the lockout.
func (a *Adapter) Change(ctx context.Context, req directory.ChangeRequest) (directory.Result, error) {
	res, err := a.write(ctx, "change", req.User, []directory.Secret{req.Old, req.New}, func(_ context.Context, c *ldapconn.Conn, e *entry) (plan, error) {
		switch {
		case e.status.Locked:
			return plan{}, ldapconn.Refuse("change", c.Server, directory.ErrLocked)
		case e.status.AccountExpired:
			return plan{}, ldapconn.Refuse("change", c.Server, directory.ErrAccountExpired)
		case e.status.CannotChange:
			return plan{}, ldapconn.Refuse("change", c.Server, directory.ErrCannotChange)
		case req.Old.Empty():
			return plan{}, ldapconn.Refuse("change", c.Server, directory.ErrWrongPassword)
		}
		if err := a.empty("change", c.Server, req.New, e); err != nil {
			return plan{}, err
		}
		p := plan{changes: modify(e), password: req.New, history: e.policy.History > 0, age: true}
		p.changes.Delete("unicodePwd", []string{unicodePwd(req.Old)})
		p.changes.Add("unicodePwd", []string{unicodePwd(req.New)})
		return p, nil
	})
	// Everybody has the right to a change with the old password, unless it was denied to this account.
	if e, ok := errors.AsType[*directory.Error](err); ok && e.Kind == directory.ErrPermission {
		e.Kind = directory.ErrCannotChange
	}
	return res, err
}

// Unlock lifts a lockout, MS-ADTS 3.1.1.5.3.3: lockoutTime takes 0 and nothing else.
func (a *Adapter) Unlock(ctx context.Context, r directory.Ref) (directory.Result, error) {
	return a.set(ctx, "unlock", r, "lockoutTime", "0")
}

// RequireChange sets or clears the mark that a new password is due. Clearing it makes the password count as set now, which
// the directory allows no other value for.
func (a *Adapter) RequireChange(ctx context.Context, r directory.Ref, must bool) (directory.Result, error) {
	if must {
		return a.set(ctx, "require change", r, "pwdLastSet", "0")
	}
	return a.set(ctx, "require change", r, "pwdLastSet", "-1")
}

func (a *Adapter) set(ctx context.Context, op string, r directory.Ref, attr, value string) (directory.Result, error) {
	return a.write(ctx, op, r, nil, func(_ context.Context, _ *ldapconn.Conn, e *entry) (plan, error) {
		p := plan{changes: modify(e)}
		p.changes.Replace(attr, []string{value})
		return p, nil
	})
}

// modify is an empty Modify of an account by its GUID, MS-ADTS 3.1.1.3.1.2.4: whatever its name has become.
func modify(e *entry) *ldap.ModifyRequest { return ldap.NewModifyRequest("<GUID="+e.id+">", nil) }

// empty refuses a new password of no characters, which would mean something else in places.
func (a *Adapter) empty(op, server string, password directory.Secret, e *entry) error {
	if !password.Empty() {
		return nil
	}
	err := ldapconn.Refuse(op, server, directory.ErrPolicy)
	err.Violations = []directory.Violation{{Code: directory.TooShort, Limit: max(1, e.policy.MinLength)}}
	return err
}

// Verify binds as the person on a connection of its own. It counts towards the lockout, and for an hour after a change the
// password before is right as well.
func (a *Adapter) Verify(ctx context.Context, r directory.Ref, password directory.Secret) error {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	var e *entry
	var server string
	if err := a.read(ctx, "verify", func(ctx context.Context, c *ldapconn.Conn) (err error) {
		server = c.Server
		e, err = a.byRef(ctx, c, "verify", r)
		return err
	}); err != nil {
		return err
	}
	return a.verify(ctx, e, server, password)
}

func (a *Adapter) verify(ctx context.Context, e *entry, server string, password directory.Secret) error {
	if password.Empty() { // would be an unauthenticated bind that succeeds, RFC 4513 §5.1.2
		return ldapconn.Refuse("verify", server, directory.ErrWrongPassword)
	}
	c, err := a.dialer.Dial(ctx, server)
	if err != nil {
		return a.errs.Read("verify", server, err)
	}
	defer c.Quit()
	_, err = c.Bind(ctx, e.DN, password.Reveal())
	if err == nil {
		return nil
	}
	wrong := a.errs.Read("verify", server, err)
	detail, _ := errors.AsType[*directory.Error](wrong)
	a.errs.Said(detail, err, password)
	switch {
	case detail.Native.Sub == "data "+invalidHours || detail.Native.Sub == "data "+invalidComputer:
		return nil // said only when the password was right: it is not the time, or not the place
	case detail.Kind == directory.ErrWrongPassword && e.status.Disabled:
		detail.Kind = directory.ErrDisabled // Samba tells nobody but who knows the password
	case detail.Kind == directory.ErrWrongPassword && e.status.Locked:
		detail.Kind = directory.ErrLocked
	}
	return wrong
}

// Reconcile polls the controller that got the write. With a password a sign-in with it is proof, after the marker has
// moved: the directory names no author of a write, so that without the password nothing is. Nothing proves that it never
// will be written.
func (a *Adapter) Reconcile(ctx context.Context, r directory.Ref, before directory.Status, password directory.Secret) (directory.Outcome, error) {
	if before.Server != "" && !slices.Contains(a.cfg.URLs, before.Server) && !a.dcs.knows(before.Server) && !a.ours(before.Server) {
		return directory.Unknown, ldapconn.Refuse("reconcile", "", directory.ErrConfig) // our password goes to our controllers only
	}
	ctx, cancel := a.bound(ctx)
	defer cancel()
	var tried string // the marker at which the password was wrong: tries count towards lockout
	var last error
	var looked bool
	for pause := 50 * time.Millisecond; ; pause = min(pause*2, 2*time.Second) {
		var outcome directory.Outcome
		if outcome, last = a.look(ctx, r, before, password, &tried); outcome == directory.Applied {
			return outcome, nil
		}
		looked = looked || last == nil
		if errors.Is(last, directory.ErrNotFound) {
			return directory.Unknown, last
		}
		if ldapconn.Sleep(ctx, pause) != nil {
			if looked {
				return directory.Unknown, nil
			}
			return directory.Unknown, last
		}
	}
}

// ours reports whether a server is one of the configured domain, after a restart of ours that forgot the list.
func (a *Adapter) ours(server string) bool {
	return a.cfg.Domain != "" && wrongURL(server) == "" && strings.HasSuffix(strings.ToLower(hostOf(server)), "."+strings.ToLower(a.cfg.Domain))
}

func (a *Adapter) look(ctx context.Context, r directory.Ref, before directory.Status, password directory.Secret, tried *string) (directory.Outcome, error) {
	dial := func() (*ldapconn.Conn, error) { return a.dialService(ctx) }
	if before.Server != "" {
		dial = func() (*ldapconn.Conn, error) { return a.dialer.DialService(ctx, before.Server) }
	}
	if err := a.held(); err != nil {
		return directory.Unknown, a.errs.Read("reconcile", before.Server, err)
	}
	c, err := dial()
	if err != nil {
		if _, refused := errors.AsType[*ldapconn.BindError](err); refused {
			a.hold(err)
		}
		return directory.Unknown, a.errs.Read("reconcile", before.Server, err)
	}
	defer c.Quit()
	e, err := a.byRef(ctx, c, "reconcile", r)
	if err != nil {
		return directory.Unknown, a.errs.Read("reconcile", c.Server, err)
	}
	at := e.status.Marker
	if at == before.Marker || password.Empty() || *tried == at {
		return directory.Unknown, nil
	}
	err = a.verify(ctx, e, c.Server, password)
	if err == nil || errors.Is(err, directory.ErrMustChange) || errors.Is(err, directory.ErrPasswordExpired) {
		return directory.Applied, nil
	}
	if errors.Is(err, directory.ErrWrongPassword) {
		*tried = at
		return directory.Unknown, nil
	}
	return directory.Unknown, err
}
