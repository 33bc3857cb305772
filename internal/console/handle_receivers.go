package console

import (
	"context"
	"crypto/rand"
	"encoding/base64"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/web"
)

// How the secrets of receivers begin.
const (
	prefixReceiver = "rgn_receiver"
	prefixWebhook  = "whsec_" // as Standard Webhooks writes it
)

func (c *rooms) receivers(r *web.Request, _ *member) (web.Page, error) {
	all, err := c.Store.Receivers(r.Context())
	if err != nil {
		return web.Page{}, err
	}
	v := ReceiversPage{}
	for _, one := range all {
		streams, healths, err := c.hearing(r.Context(), &one)
		if err != nil {
			return web.Page{}, err
		}
		v.Receivers = append(v.Receivers, HeardBy{Receiver: one, Streams: len(streams), Health: together(healths), Failing: failing(streams, healths)})
	}
	return v.Page(), nil
}

func (c *rooms) receiver(r *web.Request, _ *member) (web.Page, error) {
	one, err := c.Store.Receiver(r.Context(), r.Var("key"))
	if err != nil {
		return web.Page{}, err
	}
	if one == nil {
		return web.Page{}, noSuch("receiver", r.Var("key"))
	}
	streams, healths, err := c.hearing(r.Context(), one)
	if err != nil {
		return web.Page{}, err
	}
	note, forget := noted(r)
	v := ReceiverPage{Receiver: *one, Now: c.Now(), Health: together(healths), Failing: failing(streams, healths), Tests: c.Teller != nil, Note: note}
	for i, s := range streams {
		v.Streams = append(v.Streams, StreamOf{Stream: s, Health: healths[i]})
	}
	page := v.Page()
	page.Cookies = forget
	return page, nil
}

// hearing is by what a receiver hears, and how that goes: of webhooks one way, which is no stream.
func (c *rooms) hearing(ctx context.Context, r *client.Receiver) (streams []client.Stream, healths []client.Health, err error) {
	if r.Kind == client.ReceiverWebhook {
		healths, err = c.Store.Health(ctx, r.ID)
		return nil, healths, err
	}
	if streams, err = c.Store.StreamsOf(ctx, r.ID); err != nil {
		return nil, nil, err
	}
	ids := make([]string, len(streams))
	for i, s := range streams {
		ids[i] = s.ID
	}
	healths, err = c.Store.Health(ctx, ids...)
	return streams, healths, err
}

// together is how deliveries go by all ways: the latest of each, and the sums.
func together(all []client.Health) client.Health {
	var sum client.Health
	for _, h := range all {
		if h.Good.After(sum.Good) {
			sum.Good = h.Good
		}
		if h.Bad.After(sum.Bad) {
			sum.Bad, sum.Class = h.Bad, h.Class
		}
		sum.Waiting += h.Waiting
		sum.Dead += h.Dead
	}
	return sum
}

// failing reports whether the last delivery by one of the ways failed. What a receiver has paused, or we have stopped, is
// not expected to arrive.
func failing(streams []client.Stream, all []client.Health) bool {
	for i, h := range all {
		if h.Bad.After(h.Good) && (len(streams) == 0 || streams[i].Status == client.StreamEnabled) {
			return true
		}
	}
	return false
}

// disableReceiver stops everything a receiver hears, or lets it hear again.
func (c *rooms) disableReceiver(disabled bool) func(*web.Request, change) (web.Page, error) {
	status := client.StreamEnabled // the word by which its streams are told
	if disabled {
		status = client.StreamDisabled
	}
	return func(r *web.Request, do change) (web.Page, error) {
		_, err := c.Store.UpdateReceiver(r.Context(), do.Key, func(v *client.Receiver) ([]event.Event, error) {
			if !v.Disable(disabled) {
				return nil, nil
			}
			v.Updated = do.At
			return []event.Event{do.event(event.ReceiverChanged, v.ID).With("status", string(status))}, nil
		})
		return web.Page{Goto: do.Back}, err
	}
}

// rotateReceiver gives a receiver another secret and shows it, this once: what webhooks are signed with, or what it gets
// its access tokens by. A second click makes none.
func (c *rooms) rotateReceiver(r *web.Request, do change) (web.Page, error) {
	secret, hash := keyring.NewToken(prefixReceiver)
	key := make([]byte, 32)
	rand.Read(key)
	done := false
	v, err := c.Store.UpdateReceiver(r.Context(), do.Key, func(v *client.Receiver) ([]event.Event, error) {
		if done = v.Version == do.Version; !done {
			return nil, nil
		}
		v.Updated = do.At
		events := []event.Event{do.rotated(event.ReceiverChanged, v.ID)}
		if v.Kind == client.ReceiverWebhook {
			return events, v.AddSign(client.SignSecret{Secret: key, Created: do.At}, do.Until)
		}
		return events, v.AddSecret(client.Token{Hash: hash, Created: do.At}, do.Until)
	})
	if err != nil || !done {
		return web.Page{Goto: do.Back}, err
	}
	if v.Kind == client.ReceiverWebhook {
		secret = prefixWebhook + base64.StdEncoding.EncodeToString(key)
	}
	return do.shown(v.Name, secret), nil
}

// testReceiver sends a receiver a test. It changes nothing, so it asks for no step-up; how often is counted.
func (c *rooms) testReceiver(r *web.Request, m *member) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	if err := c.spend(r, m, "console/test", maxTests); err != nil {
		return web.Page{}, err
	}
	v, err := c.Store.Receiver(r.Context(), r.Var("key"))
	if err != nil {
		return web.Page{}, err
	}
	if v == nil || c.Teller == nil {
		return web.Page{}, noSuch("receiver", r.Var("key"))
	}
	back := web.Page{Goto: PathReceivers + "/" + v.Key}
	err = c.Teller.Test(r.Context(), v.Key)
	if fault.Is(err, fault.Conflict) { // it is disabled, or has no stream: the page says so
		return back, nil
	}
	if err != nil {
		return web.Page{}, err
	}
	back.Cookies = []web.Cookie{{Name: cookieNote, Value: noteTested, MaxAge: noteAge}}
	return back, nil
}
