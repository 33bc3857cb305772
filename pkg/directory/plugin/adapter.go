package plugin

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/regain-id/regain/pkg/directory"
)

// A Host is everything an adapter can be; what its child cannot do is ErrUnsupported.
var (
	_ directory.Adapter        = (*Host)(nil)
	_ directory.Changer        = (*Host)(nil)
	_ directory.Unlocker       = (*Host)(nil)
	_ directory.ForceChanger   = (*Host)(nil)
	_ directory.PolicyReader   = (*Host)(nil)
	_ directory.Lister         = (*Host)(nil)
	_ directory.PasswordTester = (*Host)(nil)
	_ directory.Reconciler     = (*Host)(nil)
)

// The kinds of what never left.
var (
	errGone       = directory.ErrUnavailable
	errParamsKind = directory.ErrConfig
)

// maxUser is the longest id of an account, in bytes.
const maxUser = 1024

// Describe implements directory.Adapter. Abilities that the child claims and did not offer are not claimed.
func (h *Host) Describe(ctx context.Context) (directory.Description, error) {
	var w wireDescription
	var of *talk
	err := h.do(ctx, call{method: methodDescribe, params: struct{}{}, seen: func(t *talk) { of = t }}, &w)
	if err != nil {
		return directory.Description{}, err
	}
	caps := directory.Capabilities(w.Caps)
	offers := func(method string, claims ...*bool) {
		for _, c := range claims {
			*c = *c && of.offers[method]
		}
	}
	offers(methodChange, &caps.Change, &caps.ChangeExpired)
	offers(methodUnlock, &caps.Unlock)
	offers(methodPolicy, &caps.Policy, &caps.PolicyPerUser)
	offers(methodVerify, &caps.Verify)
	caps.MaxConcurrentPerUser, caps.SuggestedConcurrency = max(caps.MaxConcurrentPerUser, 1), min(max(caps.SuggestedConcurrency, 1), maxAtOnce)
	return directory.Description{Name: directory.Clean(of.welcome.Name), Version: directory.Clean(of.welcome.Version), API: of.welcome.API, Server: directory.Clean(w.Server), Caps: caps}, nil
}

// FindUser implements directory.Adapter.
func (h *Host) FindUser(ctx context.Context, q directory.Query) (directory.User, error) {
	var w wireUser
	if !utf8.ValidString(q.Login) {
		return directory.User{}, refused(methodFind, directory.ErrNotFound, nil)
	}
	if err := h.do(ctx, call{method: methodFind, params: findParams{Login: q.Login, Attrs: q.Attrs, Return: q.Return, Scope: q.Scope}}, &w); err != nil {
		return directory.User{}, err
	}
	if w.User == "" || len(w.User) > maxUser {
		return directory.User{}, refused(methodFind, directory.ErrUnavailable, errors.New("an account without an id, or with one of more than 1024 bytes"))
	}
	return w.user(h.c.Name), nil
}

// mine refuses accounts of other adapters.
func (h *Host) mine(op string, r directory.Ref) error {
	if r.Adapter != h.c.Name || r.ID == "" {
		return refused(op, directory.ErrNotFound, nil)
	}
	return nil
}

// Status implements directory.Adapter.
func (h *Host) Status(ctx context.Context, r directory.Ref) (directory.Status, error) {
	var w wireStatus
	err := h.mine(methodStatus, r)
	if err == nil {
		err = h.do(ctx, call{method: methodStatus, params: userParams{r.ID}}, &w)
	}
	return w.status(), err
}

// Health implements directory.Adapter.
func (h *Host) Health(ctx context.Context) error {
	return h.do(ctx, call{method: methodHealth, params: struct{}{}}, &struct{}{})
}

// whole refuses passwords that JSON cannot carry: it would put another letter in the place of what is no UTF-8.
func whole(op string, secrets ...directory.Secret) error {
	for _, s := range secrets {
		if !utf8.ValidString(s.Reveal()) {
			return &directory.Error{Op: op, Kind: directory.ErrPolicy, Violations: []directory.Violation{{Code: directory.BadCharacters}}}
		}
	}
	return nil
}

// put does a write. An answer without an error that does not say applied is made an error, so that both agree.
func (h *Host) put(ctx context.Context, r directory.Ref, method string, params any, secrets ...directory.Secret) (directory.Result, error) {
	var w wireResult
	err := h.mine(method, r)
	if err == nil {
		err = whole(method, secrets...)
	}
	if err == nil {
		err = h.do(ctx, call{method: method, write: true, params: params, secrets: secrets}, &w)
	}
	if err != nil {
		return directory.Result{Outcome: directory.OutcomeOf(err)}, err
	}
	res := w.result()
	for i, text := range res.Warnings[:min(len(res.Warnings), 16)] {
		res.Warnings[i] = directory.Clean(text, secrets...)
	}
	res.Warnings = res.Warnings[:min(len(res.Warnings), 16)]
	switch res.Outcome {
	case directory.Applied:
		return res, nil
	case directory.NotApplied:
		return res, refused(method, directory.ErrUnavailable, errors.New("not applied, and no reason given"))
	}
	return res, &directory.Error{Op: method, Kind: directory.ErrUnknown, Outcome: directory.Unknown}
}

// Reset implements directory.Adapter.
func (h *Host) Reset(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
	if req.EnforceHistory < 0 || int(req.EnforceHistory) >= len(degrees) {
		return directory.Result{}, refused(methodReset, directory.ErrConfig, errors.New("a degree that is none"))
	}
	return h.put(ctx, req.User, methodReset, resetParams{OpID: req.OpID, User: req.User.ID, New: req.New.Reveal(), Unlock: req.Unlock, MustChange: req.MustChange,
		EnforceHistory: degrees[req.EnforceHistory], IfMarker: req.IfMarker}, req.New)
}

// Change implements directory.Changer.
func (h *Host) Change(ctx context.Context, req directory.ChangeRequest) (directory.Result, error) {
	return h.put(ctx, req.User, methodChange, changeParams{OpID: req.OpID, User: req.User.ID, Old: req.Old.Reveal(), New: req.New.Reveal()}, req.Old, req.New)
}

// Unlock implements directory.Unlocker.
func (h *Host) Unlock(ctx context.Context, r directory.Ref) (directory.Result, error) {
	return h.put(ctx, r, methodUnlock, userParams{r.ID})
}

// RequireChange implements directory.ForceChanger.
func (h *Host) RequireChange(ctx context.Context, r directory.Ref, must bool) (directory.Result, error) {
	return h.put(ctx, r, methodForce, forceParams{r.ID, must})
}

// Policy implements directory.PolicyReader.
func (h *Host) Policy(ctx context.Context, r directory.Ref) (directory.Policy, error) {
	var w wirePolicy
	err := h.mine(methodPolicy, r)
	if err == nil {
		err = h.do(ctx, call{method: methodPolicy, params: userParams{r.ID}}, &w)
	}
	return w.policy(), err
}

// maxPage is the longest page of a Lister.
const maxPage = 500

// List implements directory.Lister.
func (h *Host) List(ctx context.Context, cursor string, since time.Time) ([]directory.User, string, error) {
	var w listResult
	if err := h.do(ctx, call{method: methodList, params: listParams{Cursor: cursor, Since: since}}, &w); err != nil {
		return nil, "", err
	}
	if len(w.Users) > maxPage {
		return nil, "", refused(methodList, directory.ErrUnavailable, errors.New("a page of more than 500"))
	}
	var page []directory.User
	for _, u := range w.Users {
		if u.User == "" || len(u.User) > maxUser {
			return nil, "", refused(methodList, directory.ErrUnavailable, errors.New("an account without an id, or with one of more than 1024 bytes"))
		}
		page = append(page, u.user(h.c.Name))
	}
	return page, w.Next, nil
}

// Verify implements directory.PasswordTester.
func (h *Host) Verify(ctx context.Context, r directory.Ref, password directory.Secret) error {
	err := h.mine(methodVerify, r)
	if err == nil && whole(methodVerify, password) != nil {
		err = refused(methodVerify, directory.ErrWrongPassword, nil)
	}
	if err != nil {
		return err
	}
	return h.do(ctx, call{method: methodVerify, params: verifyParams{r.ID, password.Reveal()}, secrets: []directory.Secret{password}}, &struct{}{})
}

// Reconcile implements directory.Reconciler.
func (h *Host) Reconcile(ctx context.Context, r directory.Ref, before directory.Status, password directory.Secret) (directory.Outcome, error) {
	if err := h.mine(methodReconcile, r); err != nil {
		return directory.Unknown, err
	}
	var w wireResult
	err := h.do(ctx, call{method: methodReconcile, params: reconcileParams{r.ID, wireStatus(before), password.Reveal()}, secrets: []directory.Secret{password}}, &w)
	if err != nil {
		return directory.Unknown, err
	}
	return outcomeNamed(w.Outcome), nil
}
