package memory

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/regain-id/regain/pkg/directory"
)

// FindUser finds an account by its login or an attribute in q.Attrs, or else in Config.LoginAttrs, without case.
func (d *Directory) FindUser(ctx context.Context, q directory.Query) (directory.User, error) {
	if err := d.enter(ctx, "find"); err != nil {
		return directory.User{}, err
	}
	if q.Login == "" || !utf8.ValidString(q.Login) || strings.ContainsFunc(q.Login, unicode.IsControl) {
		return directory.User{}, refuse("find", directory.ErrNotFound)
	}
	attrs := q.Attrs
	if len(attrs) == 0 {
		attrs = append([]string{"login"}, d.cfg.LoginAttrs...)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []*record
	for _, r := range d.accounts {
		if slices.ContainsFunc(attrs, func(attr string) bool {
			return slices.ContainsFunc(r.values(attr), func(v string) bool { return strings.EqualFold(v, q.Login) })
		}) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return directory.User{}, refuse("find", directory.ErrNotFound)
	case 1:
		return d.user(found[0], q.Return), nil
	default:
		return directory.User{}, refuse("find", directory.ErrAmbiguous)
	}
}

// values returns an attribute; "login", "uid" and "name" are there without being put.
func (r *record) values(attr string) []string {
	switch attr {
	case "login", "uid":
		return []string{r.Login}
	case "name":
		return []string{r.Name}
	}
	return r.Attrs[attr]
}

// user returns the account with the attributes wanted, or all.
func (d *Directory) user(r *record, want []string) directory.User {
	u := directory.User{
		Ref: directory.Ref{Adapter: d.cfg.Name, ID: r.ID}, Login: r.Login, Groups: slices.Clone(r.Groups),
		Status: d.status(r), Guarded: r.Guarded, Attrs: map[string][]string{},
	}
	if len(want) == 0 {
		want = slices.Collect(maps.Keys(r.Attrs))
	}
	for _, attr := range want {
		if v := r.values(attr); len(v) > 0 {
			u.Attrs[attr] = slices.Clone(v)
		}
	}
	return u
}

// Status returns the state of an account.
func (d *Directory) Status(ctx context.Context, ref directory.Ref) (directory.Status, error) {
	if err := d.enter(ctx, "status"); err != nil {
		return directory.Status{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.byRef("status", ref)
	if err != nil {
		return directory.Status{}, err
	}
	return d.status(r), nil
}

// Policy returns Config.Policy, the same for everyone.
func (d *Directory) Policy(ctx context.Context, ref directory.Ref) (directory.Policy, error) {
	if err := d.enter(ctx, "policy"); err != nil {
		return directory.Policy{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.byRef("policy", ref); err != nil {
		return directory.Policy{}, err
	}
	p := d.cfg.Policy
	p.Source, p.Partial = "memory", false
	p.Complexity = cmp.Or(p.Complexity, directory.ComplexityNone)
	return p, nil
}

// Verify tries a password once; a wrong one counts towards the lockout.
func (d *Directory) Verify(ctx context.Context, ref directory.Ref, password directory.Secret) error {
	if err := d.enter(ctx, "verify"); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.byRef("verify", ref)
	if err != nil {
		return err
	}
	return d.authenticate("verify", r, password.Reveal())
}

// pageSize is the most that package directory allows.
const pageSize = 500

func byID(a, b *record) int { return strings.Compare(a.ID, b.ID) }

// List pages through all accounts in the order of their ids; the cursor is "after:" and the last id.
func (d *Directory) List(ctx context.Context, cursor string, since time.Time) ([]directory.User, string, error) {
	if err := d.enter(ctx, "list"); err != nil {
		return nil, "", err
	}
	after, ok := strings.CutPrefix(cursor, "after:")
	if cursor != "" && !ok {
		return nil, "", refuse("list", directory.ErrConfig)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var page []directory.User
	for _, r := range slices.SortedFunc(maps.Values(d.accounts), byID) {
		if r.ID <= after || r.Changed.Before(since) {
			continue
		}
		if len(page) == pageSize {
			return page, "after:" + page[pageSize-1].Ref.ID, nil
		}
		page = append(page, d.user(r, nil))
	}
	return page, "", nil
}

// Reconcile looks whether the password was written since before, and with a password whether it is that one.
func (d *Directory) Reconcile(ctx context.Context, ref directory.Ref, before directory.Status, password directory.Secret) (directory.Outcome, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	for {
		err := d.enter(ctx, "reconcile")
		if err == nil {
			d.mu.Lock()
			r, missing := d.byRef("reconcile", ref)
			// A compare, not a sign-in: it must not count towards the lockout of someone who did nothing wrong.
			written := missing == nil && r.marker() != before.Marker && (password.Empty() || r.Hash.matches(password.Reveal()))
			d.mu.Unlock()
			if missing != nil {
				return directory.Unknown, missing
			}
			if written {
				return directory.Applied, nil
			}
		}
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return directory.Unknown, err
			}
			return directory.Unknown, nil
		}
	}
}
