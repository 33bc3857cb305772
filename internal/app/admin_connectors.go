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
	"github.com/regain-id/regain/pkg/scim/schema"
)

// connectorToken makes a connector's bearer token and what is kept of it.
func connectorToken() (token string, hash []byte) { return keyring.NewToken("rgn_scim") }

// How many requests a second one process takes of a connector.
const (
	DefaultRate = client.DefaultRate
	MaxRate     = client.MaxRate
)

// ScopeSCIM is what a connector that signs with a key asks for.
const ScopeSCIM = client.ScopeSCIM

// ConnectorSettings are what an operator may set of a connector. An empty one keeps what holds.
type ConnectorSettings struct {
	Trust    string    // none, one or all
	Preset   string    // standard, entra or strict
	Groups   string    // yes or no: may its groups select a rule that asks for less
	Roles    string    // yes or no: may its groups make people staff
	Use      string    // users, groups and methods with a comma between, or all
	ReadOnly string    // yes or no: may it only look
	Password string    // yes or no: are passwords it brings handed to the directory
	Rate     string    // requests a second and process; 0 for what is usual
	Switches []string  // rules by name, as any-case-ops=on, =off, or =preset for what the preset says
	JWKS     string    // the address where it publishes the keys it signs with; none to take that away
	Key      []byte    // of one that is created: the public key it signs with, PEM or JWK
	Expires  time.Time // of the first token, when a connector is created; zero: no end
}

func (s ConnectorSettings) apply(c *client.Connector) error {
	c.Trust = cmp.Or(client.Trust(s.Trust), c.Trust)
	c.Preset = cmp.Or(client.Preset(s.Preset), c.Preset)
	for _, f := range []struct {
		name, value string
		to          *bool
	}{{"groups", s.Groups, &c.Groups}, {"roles", s.Roles, &c.Roles}, {"read-only", s.ReadOnly, &c.ReadOnly}, {"set-password", s.Password, &c.SetPassword}} {
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
	if err := turn(c, s.Switches); err != nil {
		return err
	}
	switch s.JWKS {
	case "":
	case "none":
		c.JWKS = ""
	default:
		c.JWKS, c.Keys = s.JWKS, nil
	}
	return c.Check()
}

// turn turns switches of a connector.
func turn(c *client.Connector, words []string) error {
	for _, word := range words {
		name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
		if _, ok := schema.SwitchNamed(name); !ok {
			return fmt.Errorf("switch %q: there is none of that name: see regain connector show --rules", name)
		}
		if c.Switches == nil {
			c.Switches = map[string]bool{}
		}
		switch value {
		case "on", "off":
			c.Switches[name] = value == "on"
		case "preset":
			delete(c.Switches, name)
		default:
			return fmt.Errorf("switch %s=%s: want on, off or preset", name, value)
		}
	}
	return nil
}

// Rule is one rule by which the server bends to a connector.
type Rule struct {
	Name  string
	About string // what a client may do while it is on
	On    bool
	Own   bool // by a switch of the connector, whatever its preset says
}

// Rules are all rules of a connector, as they are.
func Rules(c *client.Connector) []Rule {
	compat, _ := schema.Preset(string(c.Preset))
	var all []Rule
	for _, s := range schema.Switches() {
		on, own := c.Switches[s.Name]
		if !own {
			on = s.On(compat)
		}
		all = append(all, Rule{s.Name, s.About, on, own})
	}
	return all
}

// CreateConnector makes a connector and returns its first token, which is shown once; "" for one that signs with a key.
func (a *Admin) CreateConnector(ctx context.Context, name string, s ConnectorSettings) (token string, err error) {
	c := client.Connector{Name: name, Trust: client.TrustOne, Preset: client.PresetStandard}
	if err := s.apply(&c); err != nil {
		return "", err
	}
	now := a.now()
	if err := ahead(s.Expires, now); err != nil {
		return "", err
	}
	c.ID, c.Version, c.Created, c.Updated = newID(), 1, now, now
	if len(s.Key) > 0 {
		k, err := publicKey(s.Key, now)
		if err == nil {
			err = c.AddKey(k, now)
		}
		if err != nil {
			return "", err
		}
	}
	if c.Asserts() {
		if !s.Expires.IsZero() {
			return "", errors.New("a key has no end by itself: it ends when another takes its place")
		}
	} else {
		var hash []byte
		token, hash = connectorToken()
		c.Tokens = []client.Token{{ID: newID(), Hash: hash, Created: now, Expires: s.Expires}}
	}
	return token, a.Store.CreateConnector(ctx, &c, c.Made(a.actor, now))
}

// publicKey reads a public key that a connector signs with.
func publicKey(text []byte, now time.Time) (k client.PublicKey, err error) {
	k.Created = now
	k.ID, k.JWK, err = keyring.PublicJWK(text)
	return k, err
}

// RotateConnectorKey gives a connector another key to sign with. Those it has end at until. It returns the id of the new one.
func (a *Admin) RotateConnectorKey(ctx context.Context, name string, text []byte, until time.Time) (id string, err error) {
	now := a.now()
	k, err := publicKey(text, now)
	if err != nil {
		return "", err
	}
	return k.ID, a.changeConnector(ctx, name, func(c *client.Connector) error { return c.AddKey(k, until) })
}

// DropConnectorKeys takes all keys from a connector, and with them the access tokens it asked for with them.
func (a *Admin) DropConnectorKeys(ctx context.Context, name string) error {
	return a.changeConnector(ctx, name, func(c *client.Connector) error { c.Keys = nil; return nil })
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
