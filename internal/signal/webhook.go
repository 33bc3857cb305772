package signal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// maxPayload is the largest body of a webhook, in bytes.
const maxPayload = 64 << 10

// testEvent is the type of a webhook that only shows that the way works.
const testEvent = "test"

// payload is the body of a webhook, in the form Standard Webhooks recommends. Members are only ever added.
type payload struct {
	Type string         `json:"type"` // of the event catalogue, or test
	At   string         `json:"timestamp"`
	Data map[string]any `json:"data"`
}

// told are the facts of an event that webhooks carry: words and references, none of which is personal or says how
// somebody proves who they are beyond its kind.
var told = []string{"action", "reference", "directory", "kind", "kinds", "status", "unlocked"}

// body is what a webhook says of an event.
func (s *Service) body(ctx context.Context, r *client.Receiver, i event.Item) ([]byte, error) {
	p := payload{Type: testEvent, At: s.Now().UTC().Format(time.RFC3339Nano), Data: map[string]any{}}
	if i.Event != "" {
		e, err := s.Store.Event(ctx, i.Event)
		if fault.Is(err, fault.NotFound) {
			return nil, errNothing{"no-event"}
		}
		if err != nil {
			return nil, err
		}
		who, err := s.subjectOf(ctx, r, e.Subject)
		if err != nil {
			return nil, err
		}
		p.Type, p.At = string(e.Type), e.At.UTC().Format(time.RFC3339Nano)
		p.Data["event"], p.Data["txn"], p.Data["subject"], p.Data["initiator"] = e.ID, txn(e), who, initiator(e)
		for name, value := range e.Data {
			if slices.Contains(told, name) {
				p.Data[name] = value
			}
		}
	}
	b, err := json.Marshal(p)
	if err == nil && len(b) > maxPayload {
		err = event.Dead{Class: "too-large", Err: fmt.Errorf("a webhook of %d bytes", len(b))}
	}
	return b, err
}

// post sends one webhook.
func (s *Service) post(ctx context.Context, i event.Item) error {
	id, _, _ := parseRef(i.Ref)
	r, err := s.Store.ReceiverByID(ctx, id)
	if err != nil || r == nil || r.Disabled || r.Kind != client.ReceiverWebhook {
		return err
	}
	if err := s.turn(ctx, i, r.ID); err != nil {
		return err
	}
	now := s.Now()
	body, err := s.body(ctx, r, i)
	if err != nil {
		s.lines.give(r.ID)
		if class := Dropped(err); class != "" {
			return s.Store.NoteDelivery(ctx, r.ID, false, class, now)
		}
		return err
	}
	gone := false
	o := s.send(ctx, r.URL, bytes.NewReader(body), func(h http.Header) {
		h.Set("Content-Type", "application/json")
		egress.SignWebhook(h, r.LiveSign(now), i.ID, now, body)
	}, func(status int, _ io.Reader) outcome {
		switch {
		case status >= 200 && status < 300:
			return outcome{}
		case status == http.StatusGone:
			gone = true
			return outcome{class: "status-410", answered: true, final: true}
		}
		return outcome{class: statusClass(status)}
	})
	if gone {
		if o.final, err = s.disable(ctx, r, now); err != nil {
			s.lines.give(r.ID)
			return err
		}
	}
	return s.settle(ctx, i, r.ID, r.Updated, o)
}

// disable stops a webhook whose receiver answered that it is gone for good (410). It reports whether that is so: when staff
// have named another address meanwhile, only the old one is gone.
func (s *Service) disable(ctx context.Context, sent *client.Receiver, now time.Time) (gone bool, err error) {
	_, err = s.Store.UpdateReceiver(ctx, sent.Key, func(r *client.Receiver) ([]event.Event, error) {
		if gone = r.ID == sent.ID && r.URL == sent.URL; !gone || !r.Disable(true) {
			return nil, nil
		}
		r.Updated = now
		return []event.Event{event.New(now, event.ReceiverChanged, "receiver:"+r.ID, "", r.ID, event.Success).With("key", r.Key).With("status", string(client.StreamDisabled)).With("why", "gone")}, nil
	})
	return gone, err
}

// testLife is how long a test is worth sending.
const testLife = 10 * time.Minute

// Test has a receiver told something that means nothing, so that staff see whether the way works: a webhook of type test,
// or a verification event on every stream that is enabled. How it went, Health tells. fault.NotFound when there is no such
// receiver; fault.Conflict when it is disabled or has no such stream.
func (s *Service) Test(ctx context.Context, key string) error {
	return Test(ctx, s.Store, key, s.Now())
}

// Testing is what Test needs of a store.
type Testing interface {
	Receiver(ctx context.Context, key string) (*client.Receiver, error)
	StreamsOf(ctx context.Context, receiver string) ([]client.Stream, error)
	PutDelivery(ctx context.Context, kind, ref string, now, until time.Time) error
}

// Test is Service.Test for who has the store alone: a server that runs does the rest.
func Test(ctx context.Context, store Testing, key string, now time.Time) error {
	r, err := store.Receiver(ctx, key)
	if err != nil {
		return err
	}
	if r == nil {
		return fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("receiver %q", key))
	}
	if r.Disabled {
		return fault.Wrap(fault.Conflict, message.Key("error.conflict"), fmt.Errorf("receiver %s is disabled", r.Key))
	}
	if r.Kind == client.ReceiverWebhook {
		return store.PutDelivery(ctx, webhookKind, makeRef(r.ID, testEvent, ""), now, now.Add(testLife))
	}
	streams, err := store.StreamsOf(ctx, r.ID)
	if err != nil {
		return err
	}
	none := true
	for n := range streams {
		if st := &streams[n]; st.Status == client.StreamEnabled {
			none = false
			if err := store.PutDelivery(ctx, kindOfStream(st), makeRef(st.ID, verification, ""), now, now.Add(testLife)); err != nil {
				return err
			}
		}
	}
	if none {
		return fault.Wrap(fault.Conflict, message.Key("error.conflict"), errors.New("the receiver has no stream that is enabled"))
	}
	return nil
}
