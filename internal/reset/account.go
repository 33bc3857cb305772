package reset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/password"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/pkg/directory"
)

// Target is the one account a proved person may write: found anew each time and compared with the link made before.
type Target struct {
	Directory Directory
	User      directory.User
}

// target finds the person's account by the rule of each directory, checks it against the link, and refuses accounts
// that self-service must not touch. Its errors may be shown: the person has proved who they are.
func (s *Service) target(ctx context.Context, p *account.Person, attempt string) (*Target, error) {
	t, err := s.find(ctx, p, attempt)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, s.refuseLink(ctx, p, Directory{}, attempt, "none", nil)
	}
	link, err := s.Store.Link(ctx, p.ID, t.Directory.Name)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	switch {
	case link == nil:
		e := event.New(now, event.LinkMade, "system", p.ID, attempt, event.Success).With("directory", t.Directory.Name)
		err := s.Store.PutLink(ctx, Link{Person: p.ID, Directory: t.Directory.Name, Ref: t.User.Ref.ID, Login: t.User.Login, Made: now}, e)
		if fault.Is(err, fault.Conflict) { // the account belongs to somebody else already
			return nil, s.refuseLink(ctx, p, t.Directory, attempt, "taken", err)
		}
		if err != nil {
			return nil, err
		}
	case link.Ref != t.User.Ref.ID: // the name is another account's now: never write to it
		return nil, s.refuseLink(ctx, p, t.Directory, attempt, "moved", nil)
	}
	return t, untouchable(t)
}

// find looks in every directory for the account that bears the person's name; nil when there is none.
func (s *Service) find(ctx context.Context, p *account.Person, attempt string) (*Target, error) {
	var found []Target
	for _, d := range s.Directories {
		login := p.Claim(d.Claim)
		if login == "" {
			continue
		}
		tctx, cancel := context.WithTimeout(ctx, d.timeout())
		u, err := d.Adapter.FindUser(tctx, directory.Query{Login: login, Attrs: []string{d.Attribute}, Return: []string{d.Attribute}})
		cancel()
		switch {
		case errors.Is(err, directory.ErrNotFound):
			continue
		case errors.Is(err, directory.ErrAmbiguous):
			return nil, s.refuseLink(ctx, p, d, attempt, "ambiguous", nil)
		case err != nil:
			return nil, adapterFault(err)
		case !called(u.Attrs[d.Attribute], login):
			continue
		}
		found = append(found, Target{Directory: d, User: u})
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return &found[0], nil
	}
	return nil, s.refuseLink(ctx, p, Directory{}, attempt, "several", nil)
}

// untouchable refuses an account whose password nobody may set from here.
func untouchable(t *Target) error {
	switch st := t.User.Status; {
	case t.User.Guarded:
		return fault.New(fault.Denied, message.Key("reset.account.guarded"))
	case st.Disabled:
		return fault.New(fault.Denied, message.Key("reset.account.disabled"))
	case st.AdminLocked:
		return fault.New(fault.Denied, message.Key("reset.account.admin_locked"))
	case st.AccountExpired:
		return fault.New(fault.Denied, message.Key("reset.account.expired"))
	}
	return nil
}

// called reports whether an account found bears the name it was looked for by, compared as we compare names. Directories
// are looser: string preparation (RFC 4518 §2) makes full width narrow and drops what is invisible, and some ignore
// accents, so that whoever may choose a name could be given somebody else's account.
func called(names []string, login string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return account.Fold(n) == account.Fold(login) })
}

func (d Directory) timeout() time.Duration {
	if d.Timeout > 0 {
		return d.Timeout
	}
	return 10 * time.Second
}

// patience is how long the outcome of an unanswered write is looked for.
func (d Directory) patience() time.Duration {
	if d.Patience > 0 {
		return d.Patience
	}
	return 30 * time.Second
}

func (s *Service) refuseLink(ctx context.Context, p *account.Person, d Directory, attempt, why string, cause error) error {
	e := event.New(s.Now(), event.LinkRefused, "system", p.ID, attempt, event.Failure).With("directory", d.Name).With("why", why)
	if attempt != "" {
		if _, err := s.Store.UpdateAttempt(ctx, attempt, func(*Attempt) ([]event.Event, error) { return []event.Event{e}, nil }); err != nil {
			return err
		}
	}
	s.Log.WarnContext(ctx, "no directory account to write", "person", p.ID, "directory", d.Name, "why", why)
	return fault.Wrap(fault.Denied, message.Key("reset.account."+why), cause)
}

// adapterFault says what a failed find, status or policy read means for the person: nothing was changed.
func adapterFault(err error) error {
	say := "reset.directory.unavailable"
	if errors.Is(err, directory.ErrPermission) || errors.Is(err, directory.ErrConfig) || errors.Is(err, directory.ErrTLS) {
		say = "reset.directory.service"
	}
	return fault.Wrap(fault.Unavailable, message.Key(say), err)
}

// Sheet is what the page shows before the person types: the rules that really apply, and whose account it is.
type Sheet struct {
	Login     string // canonical login in the directory
	Directory string // label
	MinLength int
	Rules     []message.Message
	Locked    bool
	Old       bool // the current password is asked for

	effective password.Rules
}

// Sheet reads the account and the rules for its password. It is to be shown only to somebody who has proved enough.
func (s *Service) Sheet(ctx context.Context, a *Attempt) (*Sheet, error) {
	u, err := s.standing(ctx, a)
	if err != nil {
		return nil, err
	}
	if u.person == nil || a.State != Proved {
		return nil, Over("step")
	}
	t, err := s.target(ctx, u.person, a.ID)
	if err != nil {
		return nil, err
	}
	rules := s.rules(u, t)
	pol := s.directoryPolicy(ctx, t)
	effective := password.Effective(rules, pol)
	return &Sheet{
		Login: t.User.Login, Directory: t.Directory.Label, MinLength: effective.MinLength, effective: effective,
		Rules: password.Describe(rules, pol), Locked: t.User.Status.Locked, Old: a.Action == policy.Change,
	}, nil
}

// Suggest returns a passphrase that our rules and the directory's readable ones accept. It is stored nowhere.
func (s *Service) Suggest(sheet *Sheet, lang string) string {
	return password.SuggestFor(lang, sheet.effective, s.Passwords.Lists)
}

func (s *Service) rules(u *subject, t *Target) password.Rules {
	p := u.person
	personal := []string{p.UserName, p.DisplayName, p.GivenName, p.FamilyName, t.User.Login}
	for _, c := range p.Emails {
		personal = append(personal, c.Value)
	}
	return password.Rules{MinLength: u.decision.MinLength, Organisation: s.Passwords.Words, Personal: personal}
}

// directoryPolicy reads the effective policy of the account. One that cannot be read is said to be partial: the
// directory may refuse for reasons nobody could show before.
func (s *Service) directoryPolicy(ctx context.Context, t *Target) directory.Policy {
	reader, ok := t.Directory.Adapter.(directory.PolicyReader)
	if !ok {
		return directory.Policy{Partial: true}
	}
	ctx, cancel := context.WithTimeout(ctx, t.Directory.timeout())
	defer cancel()
	p, err := reader.Policy(ctx, t.User.Ref)
	if err != nil {
		s.Log.WarnContext(ctx, "directory policy not read", "directory", t.Directory.Name, "err", fmt.Sprint(err))
		return directory.Policy{Partial: true}
	}
	return p
}
