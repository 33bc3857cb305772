package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
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

// connectorToken makes a connector's bearer token and what is kept of it.
func connectorToken() (token string, hash []byte) { return keyring.NewToken("rgn_scim") }

// ConnectorSettings are what an operator may set of a connector. An empty one keeps what holds.
type ConnectorSettings struct {
	Trust  string // none, one or all
	Preset string // standard, entra or strict
	Groups string // yes or no: may its groups select a rule that asks for less
	Roles  string // yes or no: may its groups make people staff
}

func (s ConnectorSettings) apply(c *client.Connector) error {
	c.Trust = cmp.Or(client.Trust(s.Trust), c.Trust)
	c.Preset = cmp.Or(client.Preset(s.Preset), c.Preset)
	for _, f := range []struct {
		name, value string
		to          *bool
	}{{"groups", s.Groups, &c.Groups}, {"roles", s.Roles, &c.Roles}} {
		switch f.value {
		case "yes", "no":
			*f.to = f.value == "yes"
		case "":
		default:
			return fmt.Errorf("%s %q: want yes or no", f.name, f.value)
		}
	}
	return c.Check()
}

// CreateConnector makes a connector and returns its first token, which is shown once.
func (a *Admin) CreateConnector(ctx context.Context, name string, s ConnectorSettings) (token string, err error) {
	c := client.Connector{Name: name, Trust: client.TrustOne, Preset: client.PresetStandard}
	if err := s.apply(&c); err != nil {
		return "", err
	}
	now := a.now()
	token, hash := connectorToken()
	c.ID, c.Version, c.Created, c.Updated = newID(), 1, now, now
	c.Tokens = []client.Token{{ID: newID(), Hash: hash, Created: now}}
	e := event.New(now, event.ConnectorCreated, a.actor, "", c.ID, event.Success).With("name", c.Name).With("trust", string(c.Trust)).With("preset", string(c.Preset)).With("groups", c.Groups).With("roles", c.Roles)
	return token, a.Store.CreateConnector(ctx, &c, e)
}

// ChangeConnector changes a connector's settings and records old and new.
func (a *Admin) ChangeConnector(ctx context.Context, name string, s ConnectorSettings) error {
	return a.changeConnector(ctx, name, s.apply)
}

func (a *Admin) changeConnector(ctx context.Context, name string, change func(*client.Connector) error) error {
	c, err := a.connector(ctx, name)
	if err != nil {
		return err
	}
	now := a.now()
	_, err = a.Store.UpdateConnector(ctx, c.ID, func(c *client.Connector) ([]event.Event, error) {
		before := *c
		if err := change(c); err != nil {
			return nil, err
		}
		c.Updated = now
		e := event.New(now, event.ConnectorChanged, a.actor, "", c.ID, event.Success).With("name", c.Name)
		for _, d := range []struct{ what, old, new string }{
			{"trust", string(before.Trust), string(c.Trust)}, {"preset", string(before.Preset), string(c.Preset)}, {"groups", fmt.Sprint(before.Groups), fmt.Sprint(c.Groups)},
			{"roles", fmt.Sprint(before.Roles), fmt.Sprint(c.Roles)}, {"tokens", fmt.Sprint(len(before.Tokens)), fmt.Sprint(len(c.Tokens))},
		} {
			if d.old != d.new {
				e = e.With(d.what, []string{d.old, d.new})
			}
		}
		return []event.Event{e}, nil
	})
	return err
}

// RotateToken gives a connector a new token beside the one it has; a third drops the oldest.
func (a *Admin) RotateToken(ctx context.Context, name string) (string, error) {
	token, hash := connectorToken()
	now := a.now()
	return token, a.changeConnector(ctx, name, func(c *client.Connector) error {
		c.Tokens = append(c.Tokens, client.Token{ID: newID(), Hash: hash, Created: now})
		if n := len(c.Tokens) - client.MaxTokens; n > 0 {
			c.Tokens = c.Tokens[n:]
		}
		return c.Check()
	})
}

// DeleteConnector removes a connector and its tokens. It refuses while people, groups or methods are of it: delete those
// through it first.
func (a *Admin) DeleteConnector(ctx context.Context, name string) error {
	c, err := a.connector(ctx, name)
	if err != nil {
		return err
	}
	return a.Store.DeleteConnector(ctx, c.ID, event.New(a.now(), event.ConnectorDeleted, a.actor, "", c.ID, event.Success).With("name", name))
}

func (a *Admin) connector(ctx context.Context, name string) (*client.Connector, error) {
	c, err := a.Store.ConnectorByName(ctx, name)
	if err == nil && c == nil {
		err = fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("no connector %q", name))
	}
	return c, err
}

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
