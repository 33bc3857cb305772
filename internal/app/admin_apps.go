package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
)

// AppSettings is what an operator may say of an app. What is empty stays as it is, or as it is by default.
type AppSettings struct {
	Name      string
	Returns   []string // addresses to go back to by a plain link, in place of those there are
	Redirects []string // redirect URIs, likewise; with them the app asks by OpenID Connect
	Actions   []string // what it may ask for, likewise; by default reset
	Auth      string   // client_secret (by default) or private_key_jwt
	Alg       string   // of ID tokens: RS256 (by default), ES256 or EdDSA
	Subject   string   // pairwise (by default) or public
	Initiate  *string  // "" takes it away
	PushOnly  *bool
}

// AppChange is what an operator may change of an app.
type AppChange struct {
	AppSettings
	Disable bool // it may ask for nothing any more, and nobody is sent back to it
	Enable  bool
}

// apply makes an app what the settings say.
func (s AppSettings) apply(a *client.App) error {
	a.Name = cmp.Or(s.Name, a.Name)
	if len(s.Returns) > 0 {
		a.Returns = s.Returns
	}
	if a.Asks() || len(s.Redirects) > 0 {
		if !a.Asks() {
			a.Actions, a.Auth, a.Alg, a.Subject = []client.Action{client.ActionReset}, client.AuthSecret, keyring.RS256, client.Pairwise
		}
		if len(s.Redirects) > 0 {
			a.SetRedirects(s.Redirects)
		}
		if len(s.Actions) > 0 {
			a.Actions = nil
			for _, x := range s.Actions {
				a.Actions = append(a.Actions, client.Action(x))
			}
		}
		a.Alg = cmp.Or(s.Alg, a.Alg)
		a.SetAuth(cmp.Or(client.Auth(s.Auth), a.Auth))
		a.SetSubject(cmp.Or(client.Subject(s.Subject), a.Subject))
		if s.Initiate != nil {
			a.Initiate = *s.Initiate
		}
		if s.PushOnly != nil {
			a.PushOnly = *s.PushOnly
		}
	} else if len(s.Actions) > 0 || s.Auth != "" || s.Alg != "" || s.Subject != "" || s.Initiate != nil || s.PushOnly != nil {
		return errors.New("an app without a redirect URI asks for nothing: give one with --redirect")
	}
	return a.Check()
}

// Credentials are what an app authenticates by from now on. They are shown once.
type Credentials struct {
	Secret     string // of client_secret
	KeyID      string // of private_key_jwt: kid
	PrivateKey string // PEM (PKCS #8); "" when the app keeps its own
	Ended      bool   // one that was still good had to go: more than two do not live
}

// Snippets is what an integrator needs of an app that has just been registered: programs with this deployment's addresses.
func (c Credentials) Snippets(base string, a *client.App) (string, error) {
	return snippets(base, a, c.Secret)
}

// ReadPublicKey reads the file of a public key.
func ReadPublicKey(path string) ([]byte, error) { return readBounded(path, keyring.MaxPublic) }

// renewal is a secret or a key that was made and is not the app's yet.
type renewal struct {
	Credentials
	secret client.Token
	key    client.PublicKey
}

// make makes what an app authenticates by from now on: another secret, or another key, the given public one or one that
// is made.
func (f *renewal) make(a *client.App, publicKey []byte, now time.Time) (err error) {
	switch {
	case !a.Asks():
		return fmt.Errorf("app %s does not ask by OpenID Connect: it has no redirect URI, and nothing to authenticate by", a.Key)
	case a.Auth == client.AuthSecret && publicKey != nil:
		return fmt.Errorf("app %s authenticates by %s: a key is for %s", a.Key, client.AuthSecret, client.AuthKey)
	case a.Auth == client.AuthSecret:
		f.secret = client.Token{ID: newID(), Created: now}
		f.Secret, f.secret.Hash = keyring.NewToken("rgn_app")
	default:
		f.key = client.PublicKey{Created: now}
		if publicKey != nil {
			f.key.ID, f.key.JWK, err = keyring.PublicJWK(publicKey)
		} else {
			f.PrivateKey, f.key.ID, f.key.JWK, err = keyring.NewClientKey(a.Alg, now)
		}
		f.KeyID = f.key.ID
	}
	return err
}

// give adds it to an app. What the app has works until keep has passed.
func (f *renewal) give(a *client.App, keep time.Duration, now time.Time) error {
	f.Ended = keep > 0 && len(a.LiveSecrets(now))+len(a.LiveKeys(now)) >= client.MaxTokens
	if f.KeyID != "" {
		return a.AddKey(f.key, now.Add(keep))
	}
	return a.AddSecret(f.secret, now.Add(keep))
}

// CreateApp registers an app that people may be sent back to, and when it has redirect URIs, one that may ask by OpenID
// Connect, with what it authenticates by. Without a key one is made of the name. publicKey, in PEM or as a JWK, is the
// app's own: without it one is made.
func (a *Admin) CreateApp(ctx context.Context, name, key string, s AppSettings, publicKey []byte) (made *client.App, c Credentials, err error) {
	if key == "" {
		if key = client.KeyOf(name); key == "" {
			return nil, c, errors.New("no key can be made of that name: give one with --key")
		}
	}
	if publicKey != nil {
		s.Auth = cmp.Or(s.Auth, string(client.AuthKey))
	}
	now := a.now()
	s.Name = name
	made = &client.App{ID: newID(), Key: key, Created: now, Updated: now}
	if err := s.apply(made); err != nil {
		return nil, c, err
	}
	e := event.New(now, event.AppCreated, a.actor, "", made.ID, event.Success).With("key", made.Key).With("name", made.Name)
	if len(made.Returns) > 0 {
		e = e.With("returns", made.Returns)
	}
	events := []event.Event{e}
	if made.Asks() {
		var f renewal
		if err = f.make(made, publicKey, now); err == nil {
			err = f.give(made, 0, now)
		}
		if err == nil {
			err = a.Store.EnsureSigning(ctx, keyring.ForIDTokens, made.Alg, now)
		}
		if err != nil {
			return nil, c, err
		}
		c = f.Credentials
		// Both lists of addresses at their longest are more than one event holds.
		asks := event.New(now, event.AppChanged, a.actor, "", made.ID, event.Success).With("key", made.Key).With("redirects", made.Redirects)
		for _, f := range appFacts(made) {
			asks = asks.With(f.name, f.value)
		}
		events = append(events, asks)
	}
	if err := a.Store.CreateApp(ctx, made, events...); err != nil {
		return nil, Credentials{}, err // what was not stored opens nothing
	}
	return made, c, nil
}

// appFact is one thing about an app that is written down when it changes.
type appFact struct {
	name  string
	value any
}

// appFacts are what is short. Secrets and keys are none of them: what becomes of those is told by whoever changes them.
func appFacts(a *client.App) []appFact {
	return []appFact{
		{"actions", a.Actions}, {"auth", string(a.Auth)}, {"alg", a.Alg}, {"subject", string(a.Subject)}, {"sector", a.Sector}, {"initiate", a.Initiate}, {"push_only", a.PushOnly},
	}
}

// ChangeApp changes an app and records old and new.
func (a *Admin) ChangeApp(ctx context.Context, key string, c AppChange) error {
	now := a.now()
	if c.Alg != "" || len(c.Redirects) > 0 { // before the app may ask: without a key nothing would be signed
		app, err := a.App(ctx, key)
		if err == nil {
			err = c.apply(app)
		}
		if err == nil {
			err = a.Store.EnsureSigning(ctx, keyring.ForIDTokens, app.Alg, now)
		}
		if err != nil {
			return err
		}
	}
	_, err := a.Store.UpdateApp(ctx, key, func(app *client.App) ([]event.Event, error) {
		before := *app
		if err := c.apply(app); err != nil {
			return nil, err
		}
		app.Disable((app.Disabled || c.Disable) && !c.Enable)
		events := a.changed(&before, app, now)
		if len(events) > 0 {
			app.Updated = now
		}
		return events, nil
	})
	return missing("app", key, err)
}

// changed are the events of what differs between two states of an app. Old and new of a list of addresses stand in two of
// them: both at their longest are more than one holds.
func (a *Admin) changed(before, after *client.App, now time.Time) []event.Event {
	another := func() event.Event {
		return event.New(now, event.AppChanged, a.actor, "", after.ID, event.Success).With("key", after.Key)
	}
	e := another()
	if before.Name != after.Name {
		e = e.With("name", []string{before.Name, after.Name})
	}
	if before.Disabled != after.Disabled {
		e = e.With("disabled", []bool{before.Disabled, after.Disabled})
	}
	was := appFacts(before)
	for i, f := range appFacts(after) {
		if fmt.Sprint(was[i].value) != fmt.Sprint(f.value) {
			e = e.With(f.name, []any{was[i].value, f.value})
		}
	}
	events := []event.Event{e}
	for _, l := range []struct {
		name          string
		before, after []string
	}{{"returns", before.Returns, after.Returns}, {"redirects", before.Redirects, after.Redirects}} {
		if slices.Equal(l.before, l.after) {
			continue
		}
		if len(events) > 1 {
			events = append(events, another())
		}
		events[len(events)-1] = events[len(events)-1].With(l.name+"_before", l.before)
		events = append(events, another().With(l.name, l.after))
	}
	if len(events) == 1 && len(e.Data) == 1 {
		return nil
	}
	return events
}

// MaxKeep is how long what an app authenticated by may go on beside something new.
const MaxKeep = 30 * 24 * time.Hour

// RotateApp gives an app another secret or key, which is shown this once. The ones before work for as long as keep says,
// and with 0 not at all. publicKey is as for CreateApp.
func (a *Admin) RotateApp(ctx context.Context, key string, publicKey []byte, keep time.Duration) (app *client.App, c Credentials, err error) {
	if keep < 0 || keep > MaxKeep {
		return nil, c, fmt.Errorf("%s beside the new one: want 0 to %s", keep, MaxKeep)
	}
	now := a.now()
	var f renewal
	if app, err = a.App(ctx, key); err == nil {
		err = f.make(app, publicKey, now)
	}
	if err != nil {
		return nil, c, err
	}
	app, err = a.Store.UpdateApp(ctx, key, func(app *client.App) ([]event.Event, error) {
		if err := f.give(app, keep, now); err != nil {
			return nil, err
		}
		app.Updated = now
		e := event.New(now, event.AppChanged, a.actor, "", app.ID, event.Success).With("key", app.Key).With("until", now.Add(keep).UTC().Format(time.RFC3339))
		if f.KeyID != "" {
			return []event.Event{e.With("public_key", f.KeyID)}, nil
		}
		return []event.Event{e.With("secret", "rotated")}, nil
	})
	if err != nil {
		return nil, c, missing("app", key, err)
	}
	return app, f.Credentials, nil
}

// DeleteApp removes an app: links that name it lead nowhere any more, and it may ask for nothing.
func (a *Admin) DeleteApp(ctx context.Context, key string) error {
	app, err := a.App(ctx, key)
	if err != nil {
		return err
	}
	e := event.New(a.now(), event.AppDeleted, a.actor, "", app.ID, event.Success).With("key", app.Key).With("name", app.Name).With("returns", app.Returns)
	return missing("app", key, a.Store.DeleteApp(ctx, key, e))
}

// App finds an app by its key.
func (a *Admin) App(ctx context.Context, key string) (*client.App, error) {
	app, err := a.Store.App(ctx, key)
	if err == nil && app == nil {
		err = missing("app", key, fault.New(fault.NotFound, message.Key("error.not_found")))
	}
	return app, err
}
