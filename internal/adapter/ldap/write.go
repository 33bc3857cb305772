package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// Object identifiers we send or look for.
const (
	oidAssertion      = "1.3.6.1.1.12"              // RFC 4528
	oidPasswordModify = "1.3.6.1.4.1.4203.1.11.1"   // RFC 3062
	oidPasswordPolicy = "1.3.6.1.4.1.42.2.27.8.5.1" // draft-behera-ldap-password-policy-10
)

// write runs one write: it reads the account on a live connection, refuses what must not be touched, and sends one
// request on that connection. The request waits for its answer until the deadline even if ctx is canceled: after
// sending, knowing is better than having stopped early.
func (a *Adapter) write(ctx context.Context, op string, r directory.Ref, secrets []directory.Secret,
	prepare func(context.Context, *ldapconn.Conn, *entry) (send func(*ldapconn.Conn, *entry) error, err error),
) (directory.Result, error) {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	var c *ldapconn.Conn
	var e *entry
	for try := 0; ; try++ {
		var err error
		if c, err = a.pool.Get(ctx); err != nil {
			return directory.Result{}, a.errs.Read(op, "", err)
		}
		if e, err = a.byRef(ctx, c, op, r); err == nil {
			break
		}
		server, again := c.Server, ldapconn.IsTransport(err) && c.Reused && try < a.cfg.PoolSize && ctx.Err() == nil
		a.pool.Put(c)
		if !again {
			return directory.Result{}, a.errs.Read(op, server, err)
		}
	}
	defer func() { a.pool.Put(c) }()
	switch {
	case e.guarded:
		return directory.Result{}, ldapconn.Refuse(op, c.Server, directory.ErrGuarded)
	case e.status.Disabled:
		return directory.Result{}, ldapconn.Refuse(op, c.Server, directory.ErrDisabled)
	case e.status.AdminLocked:
		return directory.Result{}, ldapconn.Refuse(op, c.Server, directory.ErrAdminLocked)
	}
	send, err := prepare(ctx, c, e)
	if err != nil {
		return directory.Result{}, a.errs.Read(op, c.Server, err)
	}
	if a.beforeWrite != nil {
		a.beforeWrite()
	}
	if ctx.Err() != nil {
		return directory.Result{}, a.errs.Read(op, c.Server, &ldapconn.TransportError{Sent: false, Err: ctx.Err()})
	}
	deadline, _ := ctx.Deadline()
	sending, done := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer done()
	err = c.Do(sending, func() error { return send(c, e) })
	if err == nil {
		res := directory.Result{Outcome: directory.Applied, Server: c.Server}
		// The marker is a courtesy: what was written stays written if it cannot be read.
		if after, err := a.byRef(sending, c, op, r); err == nil {
			res.Marker = after.status.Marker
			res.Unlocked = e.status.Locked && !after.status.Locked
		} else {
			res.Warnings = append(res.Warnings, "the marker after the write could not be read")
		}
		return res, nil
	}
	failed := a.errs.Write(op, c.Server, err, secrets...)
	detail, _ := errors.AsType[*directory.Error](failed)
	switch {
	case detail.Native.Code == ldap.LDAPResultAssertionFailed:
		a.explain(sending, c, detail, r)
	case detail.Kind == directory.ErrPolicy:
		switch code := policyOf(err); code {
		case mustSupplyOld:
			detail.Kind = directory.ErrConfig
		case modNotAllowed:
			detail.Kind = directory.ErrCannotChange
		default:
			v, _ := violation(code, e.policy.Policy, e.status, detail.Native.Message)
			detail.Violations = []directory.Violation{v}
		}
	}
	return directory.Result{Outcome: detail.Outcome, Server: c.Server}, detail
}

// explain says which part of the assertion was false by looking again.
func (a *Adapter) explain(ctx context.Context, c *ldapconn.Conn, detail *directory.Error, r directory.Ref) {
	detail.Kind = directory.ErrConflict
	e, err := a.byRef(ctx, c, detail.Op, r)
	switch {
	case err != nil:
	case e.status.AdminLocked:
		detail.Kind = directory.ErrAdminLocked
	case e.status.Disabled:
		detail.Kind = directory.ErrDisabled
	case e.guarded:
		detail.Kind = directory.ErrGuarded
	}
}

// asserting returns the critical control under which a write may happen: to this very entry, and while no administrator
// has taken it out of use.
func (a *Adapter) asserting(e *entry, marker string) (ldap.Control, error) {
	filter := "(entryUUID=" + e.id + ")(!(pwdAccountLockedTime=" + adminLock + "))"
	if marker != "" {
		filter += "(entryCSN=" + ldap.EscapeFilter(marker) + ")"
	}
	for _, f := range []string{a.cfg.DisabledFilter, a.cfg.GuardedFilter} {
		if f != "" {
			filter += "(!" + f + ")"
		}
	}
	return assertion("(&" + filter + ")")
}

func assertion(filter string) (ldap.Control, error) {
	p, err := ldap.CompileFilter(filter)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", directory.ErrConfig, err)
	}
	return ldap.NewControlString(oidAssertion, true, string(p.Bytes())), nil
}

// Reset replaces the password in one guarded Modify.
func (a *Adapter) Reset(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
	return a.write(ctx, "reset", req.User, []directory.Secret{req.New}, func(ctx context.Context, c *ldapconn.Conn, e *entry) (func(*ldapconn.Conn, *entry) error, error) {
		if req.New.Empty() {
			err := ldapconn.Refuse("reset", c.Server, directory.ErrPolicy)
			err.Violations = []directory.Violation{{Code: directory.TooShort, Limit: max(1, e.policy.MinLength)}}
			return nil, err
		}
		if req.IfMarker != "" && req.IfMarker != e.status.Marker {
			return nil, ldapconn.Refuse("reset", c.Server, directory.ErrConflict)
		}
		if req.EnforceHistory == directory.Require {
			if e.policy.History == 0 {
				return nil, ldapconn.Refuse("reset", c.Server, directory.ErrUnsupported)
			}
			if enforced, err := a.enforces(ctx, c, e); err != nil {
				return nil, err
			} else if !enforced {
				return nil, ldapconn.Refuse("reset", c.Server, directory.ErrUnsupported)
			}
		}
		control, err := a.asserting(e, req.IfMarker)
		if err != nil {
			return nil, err
		}
		return func(c *ldapconn.Conn, e *entry) error {
			m := ldap.NewModifyRequest(e.DN, []ldap.Control{control, ldap.NewControlBeheraPasswordPolicy()})
			m.Replace("userPassword", []string{req.New.Reveal()})
			m.Replace("pwdReset", flag(req.MustChange))
			return c.LDAP.Modify(m)
		}, nil
	})
}

// Unlock removes pwdAccountLockedTime, and with it the failures that led to it.
func (a *Adapter) Unlock(ctx context.Context, r directory.Ref) (directory.Result, error) {
	return a.modify(ctx, "unlock", r, "pwdAccountLockedTime", nil)
}

// RequireChange sets or removes pwdReset.
func (a *Adapter) RequireChange(ctx context.Context, r directory.Ref, must bool) (directory.Result, error) {
	return a.modify(ctx, "require change", r, "pwdReset", flag(must))
}

// modify replaces one attribute under the guard. Replacing by nothing succeeds where there is nothing, RFC 4511 §4.6.
func (a *Adapter) modify(ctx context.Context, op string, r directory.Ref, attr string, values []string) (directory.Result, error) {
	return a.write(ctx, op, r, nil, func(_ context.Context, _ *ldapconn.Conn, e *entry) (func(*ldapconn.Conn, *entry) error, error) {
		control, err := a.asserting(e, "")
		if err != nil {
			return nil, err
		}
		return func(c *ldapconn.Conn, e *entry) error {
			m := ldap.NewModifyRequest(e.DN, []ldap.Control{control})
			m.Replace(attr, values)
			return c.LDAP.Modify(m)
		}, nil
	})
}

func flag(on bool) []string {
	if on {
		return []string{"TRUE"}
	}
	return nil
}

// Change exchanges the old password for a new one, RFC 3062, on the service's connection: nobody has to be able to sign
// in. OpenLDAP takes no assertion control here; an administrator's lock was looked up just before.
func (a *Adapter) Change(ctx context.Context, req directory.ChangeRequest) (directory.Result, error) {
	res, err := a.write(ctx, "change", req.User, []directory.Secret{req.Old, req.New}, func(_ context.Context, c *ldapconn.Conn, e *entry) (func(*ldapconn.Conn, *entry) error, error) {
		switch {
		case e.status.Locked:
			return nil, ldapconn.Refuse("change", c.Server, directory.ErrLocked)
		case e.status.AccountExpired:
			return nil, ldapconn.Refuse("change", c.Server, directory.ErrAccountExpired)
		case e.status.CannotChange:
			return nil, ldapconn.Refuse("change", c.Server, directory.ErrCannotChange)
		case req.Old.Empty(): // without it the operation would be a reset
			return nil, ldapconn.Refuse("change", c.Server, directory.ErrWrongPassword)
		case req.New.Empty(): // without it the server would make one up
			err := ldapconn.Refuse("change", c.Server, directory.ErrPolicy)
			err.Violations = []directory.Violation{{Code: directory.TooShort, Limit: max(1, e.policy.MinLength)}}
			return nil, err
		}
		return func(c *ldapconn.Conn, e *entry) error {
			_, err := c.LDAP.Extended(passwordModify(e.DN, req.Old, req.New))
			return err
		}, nil
	})
	// OpenLDAP answers a wrong old password with unwillingToPerform and no control.
	if e, ok := errors.AsType[*directory.Error](err); ok && e.Native.Code == ldap.LDAPResultUnwillingToPerform && strings.Contains(e.Native.Message, "old password") {
		e.Kind = directory.ErrWrongPassword
	}
	if err != nil {
		return res, err
	}
	// With the privilege "manage" the server takes the change for an administrator's reset and wants yet another
	// password at the next sign-in.
	if st, err := a.Status(ctx, req.User); err == nil && st.MustChange {
		cleared, err := a.RequireChange(ctx, req.User, false)
		if err != nil {
			res.Warnings = append(res.Warnings, "the mark that a new password is due could not be cleared")
		} else {
			res.Marker = cleared.Marker
		}
	}
	return res, nil
}

// passwordModify builds the request by hand, because the library's takes no controls. Its value is an OCTET STRING
// around the sequence; OpenLDAP takes anything else for a wish to have a password generated.
func passwordModify(dn string, old, password directory.Secret) *ldap.ExtendedRequest {
	seq := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	seq.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, dn, ""))
	seq.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, old.Reveal(), ""))
	seq.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 2, password.Reveal(), ""))
	value := ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, string(seq.Bytes()), "")
	req := ldap.NewExtendedRequest(oidPasswordModify, value)
	req.Controls = []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}
	return req
}

// Verify binds as the person on a connection of its own.
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
	switch {
	case e.status.Disabled: // the directory may not know of our filter
		return ldapconn.Refuse("verify", server, directory.ErrDisabled)
	case password.Empty(): // would be an unauthenticated bind that succeeds, RFC 4513 §5.1.2
		return ldapconn.Refuse("verify", server, directory.ErrWrongPassword)
	}
	c, err := a.dialer.Dial(ctx, server)
	if err != nil {
		return a.errs.Read("verify", server, err)
	}
	defer c.Quit()
	controls, err := c.Bind(ctx, e.DN, password.Reveal(), ldap.NewControlBeheraPasswordPolicy())
	said := policyIn(controls)
	if err != nil {
		said = policyOf(err)
	}
	refusal := ldapconn.Refuse("verify", server, directory.ErrWrongPassword)
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		return a.errs.Read("verify", server, err)
	}
	a.errs.Said(refusal, err, password)
	switch {
	case err == nil && said == changeAfterReset:
		refusal.Kind = directory.ErrMustChange
	case err == nil:
		return nil
	case e.status.AdminLocked:
		refusal.Kind = directory.ErrAdminLocked
	case said == accountLocked || e.status.Locked:
		refusal.Kind = directory.ErrLocked
	case said == passwordExpired: // said only when the password was right
		refusal.Kind = directory.ErrPasswordExpired
	}
	return refusal
}

// Reconcile polls the server that got the write. A password change since before by our own service account, or, with a
// password, a sign-in with it, is proof that it was written; nothing proves that it never will be.
func (a *Adapter) Reconcile(ctx context.Context, r directory.Ref, before directory.Status, password directory.Secret) (directory.Outcome, error) {
	if before.Server != "" && !slices.Contains(a.cfg.URLs, before.Server) {
		return directory.Unknown, ldapconn.Refuse("reconcile", "", directory.ErrConfig) // our password goes to configured servers only
	}
	ctx, cancel := a.bound(ctx)
	defer cancel()
	var tried string // the pwdChangedTime at which the password was wrong: tries count towards lockout
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

func (a *Adapter) look(ctx context.Context, r directory.Ref, before directory.Status, password directory.Secret, tried *string) (directory.Outcome, error) {
	urls := a.cfg.URLs
	if before.Server != "" {
		urls = []string{before.Server}
	}
	c, err := a.dialer.DialService(ctx, urls...)
	if err != nil {
		return directory.Unknown, a.errs.Read("reconcile", before.Server, err)
	}
	defer c.Quit()
	e, err := a.byRef(ctx, c, "reconcile", r)
	if err != nil {
		return directory.Unknown, a.errs.Read("reconcile", c.Server, err)
	}
	if e.status.Marker == before.Marker {
		return directory.Unknown, nil
	}
	ours := sameDN(e.GetAttributeValue("modifiersName"), a.cfg.BindDN)
	changed := !e.status.PasswordChangedAt.Equal(before.PasswordChangedAt)
	if password.Empty() {
		if changed && ours {
			return directory.Applied, nil
		}
		return directory.Unknown, nil
	}
	// pwdChangedTime counts seconds: two changes within one look like none, so the author decides, too.
	at := e.GetAttributeValue("pwdChangedTime")
	if !changed && !ours || *tried == at {
		return directory.Unknown, nil
	}
	err = a.verify(ctx, e, c.Server, password)
	if err == nil || errors.Is(err, directory.ErrMustChange) || errors.Is(err, directory.ErrPasswordExpired) {
		return directory.Applied, nil
	}
	if errors.Is(err, directory.ErrWrongPassword) {
		// The marker moves with every failed sign-in as well, so it cannot tell whether there is something new to try.
		*tried = at
		return directory.Unknown, nil
	}
	return directory.Unknown, err
}
