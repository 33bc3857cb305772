package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/password"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/store"
)

// Admin is what the command line does to a deployment: the same database and rules as the server, which need not run.
type Admin struct {
	Store *store.Store
	ring  *keyring.Ring
	keys  string
	actor string
	now   func() time.Time
}

// OpenAdmin opens the database and the keys of a configuration. actor is cli:USER. The caller closes it.
func OpenAdmin(ctx context.Context, c config.Config, actor string, migrate bool) (*Admin, error) {
	ring, err := keyring.Open(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	s, err := store.Open(ctx, store.Config{URL: c.Database.Reveal(), Ring: ring, Migrate: migrate, Log: slog.New(slog.DiscardHandler)})
	if errors.Is(err, store.ErrOlder) {
		err = fmt.Errorf("%w: run regain migrate", err)
	}
	if err != nil {
		return nil, err
	}
	a := &Admin{Store: s, ring: ring, keys: c.KeyFile, actor: actor, now: time.Now}
	if _, err := s.EnsurePolicy(ctx, actor, a.now()); err != nil {
		s.Close()
		return nil, err
	}
	return a, nil
}

// Close closes the database.
func (a *Admin) Close() error { return a.Store.Close() }

// ApplyPolicy reads a policy file and puts it in force.
func (a *Admin) ApplyPolicy(ctx context.Context, path string) (int64, error) {
	text, err := readBounded(path, policy.MaxText)
	if err != nil {
		return 0, err
	}
	p, err := policy.Parse(text)
	if err != nil {
		return 0, err
	}
	return a.Store.ApplyPolicy(ctx, p, a.actor, a.now())
}

// Person finds one person by user name or provisioned address.
func (a *Admin) Person(ctx context.Context, login string) (*account.Person, error) {
	p, err := a.Store.FindPerson(ctx, account.Fold(login))
	if err == nil && p == nil {
		err = fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("nobody, or more than one person, is called %q", login))
	}
	return p, err
}

// EndDispute lets the ways that a dispute took out count again, once staff have looked into it.
func (a *Admin) EndDispute(ctx context.Context, login string) error {
	p, err := a.Person(ctx, login)
	if err != nil {
		return err
	}
	now := a.now()
	_, err = a.Store.UpdatePerson(ctx, p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
		if p.Dispute == nil {
			return nil, fmt.Errorf("%s: there is no dispute", login)
		}
		e := event.New(now, event.DisputeEnded, a.actor, p.ID, p.Dispute.Attempt, event.Success)
		p.Dispute, p.Updated = nil, now
		return []event.Event{e}, nil
	})
	return err
}

// JudgeAlerts confirms everything that identity providers said of a person and that holds now, or lifts it.
func (a *Admin) JudgeAlerts(ctx context.Context, login string, confirm bool) error {
	p, err := a.Person(ctx, login)
	if err != nil {
		return err
	}
	now := a.now()
	_, err = a.Store.UpdatePerson(ctx, p.ID, "", func(p *account.Person, _ *[]method.Method) (events []event.Event, err error) {
		for _, alert := range p.AlertsAt(now) {
			done, typ := false, event.AlertLifted
			if confirm {
				done, typ = p.Confirm(alert.IDP, alert.Kind, a.actor, now), event.AlertConfirmed
			} else {
				done = p.Lift(alert.IDP, alert.Kind, now)
			}
			if done {
				p.Updated = now
				events = append(events, event.New(now, typ, a.actor, p.ID, "", event.Success).With("idp", alert.IDP).With("alert", string(alert.Kind)))
			}
		}
		if len(events) == 0 {
			return nil, fmt.Errorf("%s: no identity provider said anything that is open", login)
		}
		return events, nil
	})
	return err
}

// RotateKey makes a new primary key and wraps every person's key by it. It may be interrupted and run again.
func (a *Admin) RotateKey(ctx context.Context) (id string, rewrapped int, err error) {
	if id, err = a.ring.Add(a.keys); err != nil {
		return "", 0, err
	}
	if rewrapped, err = a.ring.Rewrap(ctx, a.Store, 200); err != nil {
		return id, rewrapped, err
	}
	return id, rewrapped, a.Store.Record(ctx, event.New(a.now(), event.KeyRotated, a.actor, "", id, event.Success).With("people", rewrapped))
}

// CreateKeys makes a new key file, readable by its owner alone. It overwrites nothing.
func CreateKeys(path string) error {
	_, err := keyring.Create(path)
	return err
}

// ListKeys writes the keys of a configuration without their secrets.
func ListKeys(c config.Config, out io.Writer) error {
	ring, err := keyring.Open(c.KeyFile)
	if err != nil {
		return err
	}
	for _, k := range ring.Keys() {
		if _, err := fmt.Fprintf(out, "%s  %s  primary %v\n", k.ID, k.Created.Format("2006-01-02 15:04"), k.Primary); err != nil {
			return err
		}
	}
	return nil
}

// ImportBreached builds the filter of breached passwords from SHA-1 hashes, or from passwords when plain.
func ImportBreached(ctx context.Context, in io.Reader, to string, plain bool) (uint64, error) {
	return password.BuildBreached(ctx, in, to, password.BuildOptions{Plain: plain})
}
