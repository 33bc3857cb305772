package signal

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/limit"
)

// How many changes one receiver may make: each is a line of the audit log. An honest one makes a few a year.
const (
	changeBurst = 120
	changePer   = 10 * time.Minute
)

// mayChange counts a change before it is looked at any further.
func (a *api) mayChange(ctx context.Context, who *client.Receiver) error {
	bucket := limit.Bucket{Key: a.Keys.Hash("limit", "ssf-change", who.ID), Burst: changeBurst, Per: changePer}
	room, retry, err := a.Limits.Spend(ctx, a.Now(), bucket)
	if err == nil && !room {
		err = &refusal{status: http.StatusTooManyRequests, text: "too many changes", retry: retry}
	}
	return err
}

// createStream makes a stream (SSF 1.0 §8.1.1.1).
func (a *api) createStream(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	o, err := body(w, r)
	if err != nil {
		return err
	}
	if names := foreign(o); len(names) > 0 {
		return bad(errors.New("ours to give: " + strings.Join(names, ", ")))
	}
	d, err := parseDraft(o)
	if err != nil {
		return bad(err)
	}
	now := a.Now()
	s := &client.Stream{Receiver: who.ID, Status: client.StreamEnabled, Created: now, Updated: now}
	if err := d.apply(s, who, true, ""); err != nil {
		return bad(err)
	}
	if err := a.mayChange(r.Context(), who); err != nil {
		return err
	}
	s.ID = uuid.Must(uuid.NewV7()).String()
	switch err := a.Store.CreateStream(r.Context(), s, a.told(event.StreamCreated, who, s.ID).With("delivery", s.Delivery)); {
	case fault.Is(err, fault.Conflict):
		return &refusal{status: http.StatusConflict, text: "there are as many streams as a receiver may have: change or delete one", cause: err}
	case err != nil:
		return err
	}
	write(w, http.StatusCreated, a.document(who, s))
	return nil
}

// readStreams shows one stream, or all of the receiver (SSF 1.0 §8.1.1.2).
func (a *api) readStreams(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	if r.URL.Query().Has("stream_id") {
		s, err := a.asked(r, who)
		if err == nil {
			write(w, http.StatusOK, a.document(who, s))
		}
		return err
	}
	all, err := a.Store.StreamsOf(r.Context(), who.ID)
	if err != nil {
		return err
	}
	docs := make([]document, len(all))
	for i := range all {
		docs[i] = a.document(who, &all[i])
	}
	write(w, http.StatusOK, docs)
	return nil
}

// updateStream changes what is sent and leaves the rest (SSF 1.0 §8.1.1.3).
func (a *api) updateStream(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	return a.changeStream(w, r, who, false)
}

// replaceStream changes what is sent and deletes the rest (SSF 1.0 §8.1.1.4).
func (a *api) replaceStream(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	return a.changeStream(w, r, who, true)
}

func (a *api) changeStream(w http.ResponseWriter, r *http.Request, who *client.Receiver, whole bool) error {
	o, err := body(w, r)
	if err != nil {
		return err
	}
	s, err := a.named(r.Context(), o, who)
	if err != nil {
		return err
	}
	d, err := parseDraft(o)
	if err != nil {
		return bad(err)
	}
	if err := a.mayChange(r.Context(), who); err != nil {
		return err
	}
	after, err := a.Store.UpdateStream(r.Context(), s.ID, func(s *client.Stream) ([]event.Event, error) {
		if s.Receiver != who.ID {
			return nil, errNoStream
		}
		before := *s
		if names := a.document(who, s).differs(o); len(names) > 0 { // as it is before the change
			return nil, bad(errors.New("ours to give, and not as sent: " + strings.Join(names, ", ")))
		}
		if err := d.apply(s, who, whole, a.pollURL(s.ID)); err != nil {
			return nil, bad(err)
		}
		if reflect.DeepEqual(*s, before) { // nothing to tell, and nothing is written
			return nil, nil
		}
		s.Updated = a.Now()
		return []event.Event{a.told(event.StreamChanged, who, s.ID).With("delivery", s.Delivery)}, nil
	})
	if err != nil {
		return err
	}
	write(w, http.StatusOK, a.document(who, after))
	return nil
}

// deleteStream ends a stream and what waits for it (SSF 1.0 §8.1.1.5).
func (a *api) deleteStream(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	s, err := a.asked(r, who)
	if err == nil {
		err = a.mayChange(r.Context(), who)
	}
	if err != nil {
		return err
	}
	if err := a.Store.DeleteStream(r.Context(), s.ID, a.told(event.StreamDeleted, who, s.ID)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// asked finds the stream that a query names.
func (a *api) asked(r *http.Request, who *client.Receiver) (*client.Stream, error) {
	ids := r.URL.Query()["stream_id"]
	if len(ids) != 1 || ids[0] == "" {
		return nil, bad(errors.New("want one stream_id"))
	}
	return a.stream(r.Context(), ids[0], who)
}

// named finds the stream that a body names.
func (a *api) named(ctx context.Context, o object, who *client.Receiver) (*client.Stream, error) {
	id, err := o.text("stream_id", maxURI)
	if err != nil {
		return nil, bad(err)
	}
	if id == "" {
		return nil, bad(errors.New("stream_id is missing"))
	}
	return a.stream(ctx, id, who)
}

// stream finds a stream of this receiver. That of another is as if it were not there.
func (a *api) stream(ctx context.Context, id string, who *client.Receiver) (*client.Stream, error) {
	s, err := a.Store.Stream(ctx, id)
	if err != nil {
		return nil, err
	}
	if s == nil || s.Receiver != who.ID {
		return nil, errNoStream
	}
	return s, nil
}

func (a *api) pollURL(stream string) string { return a.base + pathPoll + stream }

// document is a stream as its receiver reads it.
func (a *api) document(who *client.Receiver, s *client.Stream) document {
	path := documentPath{Method: deliveryMethod(s), Endpoint: s.Endpoint}
	if s.Delivery == client.DeliverPoll {
		path.Endpoint = a.pollURL(s.ID)
	}
	return document{ID: s.ID, Issuer: a.Base, Audience: who.Audience, Delivery: path, Supported: Supported(who), Requested: slices.Clone(s.Requested),
		Delivered: Delivered(who, s), MinVerification: minVerification, Description: s.Description}
}

// told is an event about a stream that its receiver did something with.
func (a *api) told(t event.Type, who *client.Receiver, stream string) event.Event {
	return event.New(a.Now(), t, "receiver:"+who.ID, "", stream, event.Success).With("id", stream).With("receiver", who.ID).With("key", who.Key)
}
