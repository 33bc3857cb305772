package signal

import (
	"errors"
	"net/http"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
)

// Bounds of what a receiver says along with a request.
const (
	maxReason = 200 // bytes
	maxState  = 512
)

// verificationLife is how long a verification event is worth delivering: afterwards the receiver has asked again.
const verificationLife = time.Hour

// status is what a receiver reads of the status of a stream (SSF 1.0 §8.1.2).
type status struct {
	ID     string              `json:"stream_id"`
	Status client.StreamStatus `json:"status"`
	Reason string              `json:"reason,omitempty"`
}

func (a *api) readStatus(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	s, err := a.asked(r, who)
	if err == nil {
		write(w, http.StatusOK, status{s.ID, s.Status, s.Reason})
	}
	return err
}

// setStatus enables, pauses or disables a stream on request of its receiver, who is then not told of it as well (SSF 1.0
// §8.1.2.2). What waits while a stream is paused is kept as long as any delivery is; of a disabled one nothing is.
func (a *api) setStatus(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	o, err := body(w, r)
	if err != nil {
		return err
	}
	s, err := a.named(r.Context(), o, who)
	if err != nil {
		return err
	}
	word, err1 := o.text("status", maxReason)
	reason, err2 := o.text("reason", maxReason)
	if err := errors.Join(err1, err2); err != nil {
		return bad(err)
	}
	to := client.StreamStatus(word)
	switch to {
	case client.StreamEnabled, client.StreamPaused, client.StreamDisabled:
	default:
		return bad(errors.New("status: want enabled, paused or disabled"))
	}
	if err := a.mayChange(r.Context(), who); err != nil {
		return err
	}
	after, err := a.Store.UpdateStream(r.Context(), s.ID, func(s *client.Stream) ([]event.Event, error) {
		if s.Receiver != who.ID {
			return nil, errNoStream
		}
		if s.Status == to && s.Reason == reason {
			return nil, nil
		}
		s.Status, s.Reason, s.Updated = to, reason, a.Now()
		return []event.Event{a.told(event.StreamChanged, who, s.ID).With("status", string(to))}, nil
	})
	if err != nil {
		return err
	}
	write(w, http.StatusOK, status{after.ID, after.Status, after.Reason})
	return nil
}

// verify has a verification event sent (SSF 1.0 §8.1.4.2), at most one in minVerification seconds for each stream: the
// moment is written first, so that of several requests at once one is answered.
func (a *api) verify(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	o, err := body(w, r)
	if err != nil {
		return err
	}
	s, err := a.named(r.Context(), o, who)
	if err != nil {
		return err
	}
	state, err := o.text("state", maxState)
	if err != nil {
		return bad(err)
	}
	now := a.Now()
	if s, err = a.Store.UpdateStream(r.Context(), s.ID, func(s *client.Stream) ([]event.Event, error) {
		if s.Receiver != who.ID {
			return nil, errNoStream
		}
		if s.Status == client.StreamDisabled {
			return nil, bad(errors.New("the stream is disabled: nothing is sent over it"))
		}
		if wait := s.Verified.Add(minVerification * time.Second).Sub(now); wait > 0 {
			return nil, &refusal{status: http.StatusTooManyRequests, text: "a verification was asked for a moment ago", retry: wait}
		}
		s.Verified = now
		return nil, nil
	}); err != nil {
		return err
	}
	if err := a.Store.PutDelivery(r.Context(), kindOfStream(s), makeRef(s.ID, verification, state), now, now.Add(verificationLife)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
