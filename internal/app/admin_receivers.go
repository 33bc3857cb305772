package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/signal"
)

// ReceiverSettings are what an operator may set of a receiver. When one is changed, what is empty stays.
type ReceiverSettings struct {
	Name     string
	Webhook  string   // the address of one that gets webhooks
	Events   []string // what it hears, in place of what it heard; "all" alone for all there is but for "scim", which is client.Feeds
	Follow   []string // connectors whose people and groups it hears of, of what client.Feeds lists, by name or id; "all" alone for all
	Format   string   // iss_sub, email or opaque
	IDP      string   // of iss_sub: whose subjects
	Hosts    []string // that events may be pushed to, in place of those there were
	Audience string
	Disable  bool
	Enable   bool
}

// apply puts settings into a receiver. idps are the identity providers there are.
func (s ReceiverSettings) apply(r *client.Receiver, idps []string) error {
	r.Name, r.Audience, r.URL = cmp.Or(s.Name, r.Name), cmp.Or(s.Audience, r.Audience), cmp.Or(s.Webhook, r.URL)
	if s.Format != "" {
		r.Format = client.SubjectFormat(s.Format)
	}
	if s.IDP != "" {
		r.IDP = s.IDP
	} else if r.Format != client.FormatIssSub {
		r.IDP = ""
	}
	switch {
	case len(s.Events) == 1 && s.Events[0] == "all":
		r.Events = nil
	case len(s.Events) > 0:
		r.Events = nil
		for _, name := range s.Events {
			switch name {
			case "all":
				r.Events = append(r.Events, client.Heard(r.Kind)...)
			case "scim":
				r.Events = append(r.Events, client.Feeds()...)
			default:
				r.Events = append(r.Events, name)
			}
		}
	}
	switch {
	case len(s.Follow) == 1 && s.Follow[0] == "all":
		r.Connectors = nil
	case len(s.Follow) > 0:
		r.Connectors = s.Follow
	}
	if len(r.Connectors) > 0 && !r.Feed() {
		return errors.New("a receiver follows connectors by events of SCIM, and hears none of them: name them with --events, such as scim")
	}
	if len(s.Hosts) > 0 {
		r.Hosts = s.Hosts
	}
	if s.Disable || s.Enable {
		r.Disable(s.Disable)
	}
	if r.Format == client.FormatIssSub {
		switch {
		case len(idps) == 0:
			return fmt.Errorf("format %s names people as an identity provider does, and none is configured: choose %s or %s", r.Format, client.FormatEmail, client.FormatOpaque)
		case r.IDP == "" && len(idps) > 1:
			return fmt.Errorf("format %s: say whose subjects, with --idp: %s", r.Format, strings.Join(idps, ", "))
		case r.IDP != "" && !slices.Contains(idps, r.IDP):
			return fmt.Errorf("provider %q: want %s", r.IDP, strings.Join(idps, ", "))
		}
	}
	return r.Check()
}

// receiverSecret makes the secret a receiver of kind ssf authenticates by, and what is kept of it.
func receiverSecret(now time.Time) (string, client.Token) {
	secret, hash := keyring.NewToken("rgn_receiver")
	return secret, client.Token{ID: newID(), Hash: hash, Created: now}
}

// signSecret makes a secret that webhooks are signed with, in the form their libraries take.
func signSecret(now time.Time) (string, client.SignSecret) {
	raw := make([]byte, 32)
	rand.Read(raw)
	return "whsec_" + base64.StdEncoding.EncodeToString(raw), client.SignSecret{ID: newID(), Secret: raw, Created: now}
}

// CreateReceiver registers a receiver, of webhooks when an address is given, and returns it with its secret, which is shown
// once. Without a key one is made of the name; without a format it is the one of its kind that tells least of people and
// works: opaque for webhooks, iss_sub for streams.
func (a *Admin) CreateReceiver(ctx context.Context, key string, s ReceiverSettings, idps []string) (*client.Receiver, string, error) {
	if key = cmp.Or(key, client.KeyOf(s.Name)); key == "" {
		return nil, "", errors.New("no key can be made of that name: give one with --key")
	}
	now := a.now()
	r := &client.Receiver{ID: newID(), Key: key, Kind: client.ReceiverSSF, Format: client.FormatIssSub, Created: now, Updated: now}
	var secret string
	if s.Webhook != "" {
		r.Kind, r.Format, r.Sign = client.ReceiverWebhook, client.FormatOpaque, make([]client.SignSecret, 1)
		secret, r.Sign[0] = signSecret(now)
	} else {
		r.Audience, r.Secrets = key, make([]client.Token, 1)
		secret, r.Secrets[0] = receiverSecret(now)
	}
	if err := a.followed(ctx, &s); err != nil {
		return nil, "", err
	}
	if err := s.apply(r, idps); err != nil {
		return nil, "", err
	}
	if r.Kind == client.ReceiverSSF {
		if err := a.Store.EnsureSigning(ctx, keyring.ForEvents, keyring.RS256, now); err != nil {
			return nil, "", err
		}
	}
	e := event.New(now, event.ReceiverCreated, a.actor, "", r.ID, event.Success).With("key", r.Key).With("name", r.Name).With("kind", string(r.Kind)).
		With("format", string(r.Format)).With("events", r.Events)
	if len(r.Connectors) > 0 {
		e = e.With("connectors", r.Connectors)
	}
	return r, secret, a.Store.CreateReceiver(ctx, r, e)
}

// followed puts the ids of connectors in the place of their names.
func (a *Admin) followed(ctx context.Context, s *ReceiverSettings) error {
	if len(s.Follow) == 1 && s.Follow[0] == "all" {
		return nil
	}
	ids := make([]string, 0, len(s.Follow))
	for _, name := range s.Follow {
		c, err := a.Store.ConnectorByName(ctx, name)
		if err == nil && c == nil {
			c, err = a.Store.ConnectorByID(ctx, name)
		}
		if err != nil {
			return err
		}
		if c == nil {
			return fmt.Errorf("connector %q: there is none of that name", name)
		}
		if !slices.Contains(ids, c.ID) {
			ids = append(ids, c.ID)
		}
	}
	s.Follow = ids
	return nil
}

// ChangeReceiver changes a receiver and records what is new. Streams of one that is disabled, or enabled again, are told.
func (a *Admin) ChangeReceiver(ctx context.Context, key string, s ReceiverSettings, idps []string) error {
	if err := a.followed(ctx, &s); err != nil {
		return err
	}
	return a.changeReceiver(ctx, key, func(r *client.Receiver, e event.Event) (event.Event, error) {
		before := *r
		if err := s.apply(r, idps); err != nil {
			return e, err
		}
		for _, d := range []struct {
			what     string
			old, new any
		}{
			{"name", before.Name, r.Name}, {"format", string(before.Format), string(r.Format)}, {"idp", before.IDP, r.IDP}, {"audience", before.Audience, r.Audience},
			{"events", fmt.Sprint(before.Events), fmt.Sprint(r.Events)}, {"hosts", fmt.Sprint(before.Hosts), fmt.Sprint(r.Hosts)},
			{"connectors", fmt.Sprint(before.Connectors), fmt.Sprint(r.Connectors)},
		} {
			if d.old != d.new {
				e = e.With(d.what, []any{d.old, d.new})
			}
		}
		if before.URL != r.URL { // whoever reads the log need not learn a path that may be a secret
			e = e.With("address", "changed")
		}
		if before.Disabled != r.Disabled {
			status := client.StreamEnabled
			if r.Disabled {
				status = client.StreamDisabled
			}
			e = e.With("status", string(status))
		}
		return e, nil
	})
}

// changeReceiver changes a receiver, unless change leaves it as it was, and records it.
func (a *Admin) changeReceiver(ctx context.Context, key string, change func(*client.Receiver, event.Event) (event.Event, error)) error {
	now := a.now()
	_, err := a.Store.UpdateReceiver(ctx, key, func(r *client.Receiver) ([]event.Event, error) {
		e, err := change(r, event.New(now, event.ReceiverChanged, a.actor, "", r.ID, event.Success).With("key", r.Key))
		if err != nil || len(e.Data) == 1 {
			return nil, err
		}
		r.Updated = now
		return []event.Event{e}, nil
	})
	return missing("receiver", key, err)
}

// RotateReceiver gives a receiver another secret and returns it. The one before works, or signs beside it, for as long as
// keep says.
func (a *Admin) RotateReceiver(ctx context.Context, key string, keep time.Duration) (kind client.ReceiverKind, secret string, err error) {
	now := a.now()
	err = a.changeReceiver(ctx, key, func(r *client.Receiver, e event.Event) (event.Event, error) {
		kind = r.Kind
		var err error
		if kind == client.ReceiverWebhook {
			var s client.SignSecret
			secret, s = signSecret(now)
			err = r.AddSign(s, now.Add(keep))
		} else {
			var k client.Token
			secret, k = receiverSecret(now)
			err = r.AddSecret(k, now.Add(keep))
		}
		return e.With("secret", "rotated").With("keep", keep.String()), err
	})
	return kind, secret, err
}

// PauseReceiver pauses the streams of a receiver, so that what happens is kept for them, or lets them go on. It returns how
// many it changed. Webhooks have no streams, and an error says so: nobody is to believe that what goes out is kept.
func (a *Admin) PauseReceiver(ctx context.Context, key string, pause bool) (n int, err error) {
	r, err := a.Receiver(ctx, key)
	if err != nil {
		return 0, err
	}
	if r.Kind == client.ReceiverWebhook {
		return 0, errors.New("webhooks are not kept: they go out, or by --disable they do not")
	}
	streams, err := a.Store.StreamsOf(ctx, r.ID)
	if err != nil {
		return 0, err
	}
	to := client.StreamEnabled
	if pause {
		to = client.StreamPaused
	}
	for _, s := range streams {
		changed := false
		_, err := a.Store.UpdateStream(ctx, s.ID, func(s *client.Stream) ([]event.Event, error) {
			if s.Status == client.StreamDisabled { // by its receiver, for good
				return nil, nil
			}
			events := s.Turn(to, "", a.actor, a.now())
			changed = len(events) > 0
			return events, nil
		})
		if err != nil && !fault.Is(err, fault.NotFound) {
			return n, err
		}
		if changed {
			n++
		}
	}
	return n, nil
}

// DeleteReceiver removes a receiver, its streams and what waits for them.
func (a *Admin) DeleteReceiver(ctx context.Context, key string) error {
	r, err := a.Receiver(ctx, key)
	if err != nil {
		return err
	}
	e := event.New(a.now(), event.ReceiverDeleted, a.actor, "", r.ID, event.Success).With("key", r.Key).With("name", r.Name).With("kind", string(r.Kind))
	return missing("receiver", key, a.Store.DeleteReceiver(ctx, key, e))
}

// TestReceiver has a receiver told something that means nothing, by the server.
func (a *Admin) TestReceiver(ctx context.Context, key string) error {
	return missing("receiver", key, signal.Test(ctx, a.Store, key, a.now()))
}

// Receiver finds a receiver by its key.
func (a *Admin) Receiver(ctx context.Context, key string) (*client.Receiver, error) {
	r, err := a.Store.Receiver(ctx, key)
	if err == nil && r == nil {
		err = missing("receiver", key, fault.New(fault.NotFound, message.Key("error.not_found")))
	}
	return r, err
}

// ReceiverHealth is how one way by which a receiver hears fares.
type ReceiverHealth struct {
	client.Health
	Stream *client.Stream // nil for webhooks
}

// ReceiverHealth returns how each way by which a receiver hears fares.
func (a *Admin) ReceiverHealth(ctx context.Context, r *client.Receiver) ([]ReceiverHealth, error) {
	if r.Kind == client.ReceiverWebhook {
		h, err := a.Store.Health(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		return []ReceiverHealth{{Health: h[0]}}, nil
	}
	streams, err := a.Store.StreamsOf(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(streams))
	for i := range streams {
		ids[i] = streams[i].ID
	}
	found, err := a.Store.Health(ctx, ids...)
	if err != nil {
		return nil, err
	}
	all := make([]ReceiverHealth, len(found))
	for i, h := range found {
		all[i] = ReceiverHealth{h, &streams[i]}
	}
	return all, nil
}
