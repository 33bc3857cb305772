package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
)

// connectorToken makes a connector's bearer token and what is kept of it.
func connectorToken() (token string, hash []byte) { return keyring.NewToken("rgn_scim") }

// How many requests a second one process takes of a connector.
const (
	DefaultRate = client.DefaultRate
	MaxRate     = client.MaxRate
)

// ConnectorSettings are what an operator may set of a connector. An empty one keeps what holds.
type ConnectorSettings struct {
	Trust    string    // none, one or all
	Preset   string    // standard, entra or strict
	Groups   string    // yes or no: may its groups select a rule that asks for less
	Roles    string    // yes or no: may its groups make people staff
	Use      string    // users, groups and methods with a comma between, or all
	ReadOnly string    // yes or no: may it only look
	Rate     string    // requests a second and process; 0 for what is usual
	Expires  time.Time // of the first token, when a connector is created; zero: no end
}

func (s ConnectorSettings) apply(c *client.Connector) error {
	c.Trust = cmp.Or(client.Trust(s.Trust), c.Trust)
	c.Preset = cmp.Or(client.Preset(s.Preset), c.Preset)
	for _, f := range []struct {
		name, value string
		to          *bool
	}{{"groups", s.Groups, &c.Groups}, {"roles", s.Roles, &c.Roles}, {"read-only", s.ReadOnly, &c.ReadOnly}} {
		switch f.value {
		case "yes", "no":
			*f.to = f.value == "yes"
		case "":
		default:
			return fmt.Errorf("%s %q: want yes or no", f.name, f.value)
		}
	}
	switch s.Use {
	case "":
	case "all":
		c.Uses = nil
	default:
		c.Uses = nil
		for word := range strings.SplitSeq(s.Use, ",") {
			c.Uses = append(c.Uses, client.Use(strings.TrimSpace(word)))
		}
	}
	if s.Rate != "" {
		n, err := strconv.Atoi(s.Rate)
		if err != nil {
			return fmt.Errorf("rate %q: want a number of requests a second", s.Rate)
		}
		c.Rate = n
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
	if err := ahead(s.Expires, now); err != nil {
		return "", err
	}
	token, hash := connectorToken()
	c.ID, c.Version, c.Created, c.Updated = newID(), 1, now, now
	c.Tokens = []client.Token{{ID: newID(), Hash: hash, Created: now, Expires: s.Expires}}
	return token, a.Store.CreateConnector(ctx, &c, c.Made(a.actor, now))
}

// ahead refuses an end that is over.
func ahead(end, now time.Time) error {
	if !end.IsZero() && !end.After(now) {
		return fmt.Errorf("%s is over", end.Local().Format("2006-01-02 15:04"))
	}
	return nil
}

// ChangeConnector changes a connector's settings and records old and new.
func (a *Admin) ChangeConnector(ctx context.Context, name string, s ConnectorSettings) error {
	return a.changeConnector(ctx, name, s.apply)
}

func (a *Admin) changeConnector(ctx context.Context, name string, change func(*client.Connector) error) error {
	c, err := a.Connector(ctx, name)
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
		return []event.Event{c.Changed(&before, a.actor, now)}, nil
	})
	return err
}

// RotateToken gives a connector a new token beside the newest it has; a third drops the oldest. What it has ends at until,
// and the new one at expires; the zero time is no end.
func (a *Admin) RotateToken(ctx context.Context, name string, expires, until time.Time) (string, error) {
	token, hash := connectorToken()
	now := a.now()
	if err := ahead(expires, now); err != nil {
		return "", err
	}
	return token, a.changeConnector(ctx, name, func(c *client.Connector) error {
		c.AddToken(client.Token{ID: newID(), Hash: hash, Created: now, Expires: expires}, until, now)
		return c.Check()
	})
}

// ExpireTokens says when the tokens a connector has end; the zero time is no end.
func (a *Admin) ExpireTokens(ctx context.Context, name string, expires time.Time) error {
	now := a.now()
	if err := ahead(expires, now); err != nil {
		return err
	}
	return a.changeConnector(ctx, name, func(c *client.Connector) error {
		c.Tokens = c.Live(now) // what has ended does not come to life again
		if len(c.Tokens) == 0 {
			return errors.New("it has no token that works: make one with --token")
		}
		for i := range c.Tokens {
			c.Tokens[i].Expires = expires
		}
		return nil
	})
}

// DeleteConnector removes a connector and its tokens. It refuses while people, groups or methods are of it: delete those
// through it first.
func (a *Admin) DeleteConnector(ctx context.Context, name string) error {
	c, err := a.Connector(ctx, name)
	if err != nil {
		return err
	}
	return a.Store.DeleteConnector(ctx, c.ID, event.New(a.now(), event.ConnectorDeleted, a.actor, "", c.ID, event.Success).With("name", name))
}

// Expect says that a connector will disable or delete up to n people until a time, in one wave that is not braked.
func (a *Admin) Expect(ctx context.Context, name string, n int, until time.Time) error {
	c, err := a.Connector(ctx, name)
	if err != nil {
		return err
	}
	now := a.now()
	return a.Store.Expect(ctx, c.ID, n, until, now, event.New(now, event.ConnectorExpects, a.actor, "", c.ID, event.Success).
		With("name", c.Name).With("number", n).With("until", until.UTC().Format(time.RFC3339)))
}

// Undo brings back whoever left in a wave of a connector, the latest when wave is empty.
func (a *Admin) Undo(ctx context.Context, name, wave string) (client.Undone, error) {
	c, err := a.Connector(ctx, name)
	if err != nil {
		return client.Undone{}, err
	}
	u, err := a.Store.Undo(ctx, c.ID, wave, a.actor, a.now())
	if fault.Is(err, fault.NotFound) {
		err = fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("nothing to undo: %s did not take very many people away at once in the last 7 days, or all were brought back", name))
	}
	return u, err
}

// Waves returns the brake of a connector, and how many people of each wave can be brought back, by the wave's id.
func (a *Admin) Waves(ctx context.Context, connector string) (client.Brake, map[string]int, error) {
	return a.Store.Brake(ctx, connector)
}

// Connector returns a connector by its name. fault.NotFound when there is none.
func (a *Admin) Connector(ctx context.Context, name string) (*client.Connector, error) {
	c, err := a.Store.ConnectorByName(ctx, name)
	if err == nil && c == nil {
		err = fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("no connector %q", name))
	}
	return c, err
}
