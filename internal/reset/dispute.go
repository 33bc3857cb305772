package reset

import (
	"context"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// NotMe returns the ticket of the "this was not me" link for an attempt. It says nothing but that its holder got a
// message about the attempt; all it can do is stop things.
func (s *Service) NotMe(attempt string) string {
	return attempt + "." + s.Keys.Ticket("not-me", attempt)
}

// Stage says what "this was not me" would do now.
type Stage string

// The stages.
const (
	BeforeOutcome Stage = "before" // the attempt can still be ended
	AfterOutcome  Stage = "after"  // something was, or may have been, changed: a dispute
	TooLate       Stage = "late"
	Stopped       Stage = "stopped" // ended or disputed already
)

// Disputed reads a ticket and says what acting on it would do. fault.Over for a ticket that is not ours.
func (s *Service) Disputed(ctx context.Context, ticket string) (*Attempt, Stage, error) {
	id, mac, ok := strings.Cut(ticket, ".")
	if !ok || len(ticket) > 200 || !s.Keys.CheckTicket(mac, "not-me", id) {
		return nil, "", Over("ticket")
	}
	a, err := s.Store.Attempt(ctx, id)
	if err != nil {
		return nil, "", err
	}
	if a == nil {
		return nil, "", Over("ticket")
	}
	return a, a.stage(s.Now()), nil
}

func (a *Attempt) stage(now time.Time) Stage {
	switch a.State {
	case Started, Proving, Proved:
		return BeforeOutcome
	case Done, Unresolved, Unknown, Writing:
		if !a.Ended.IsZero() && now.Sub(a.Ended) > DisputeLife {
			return TooLate
		}
		return AfterOutcome
	}
	return Stopped
}

// Dispute acts on "this was not me": before the outcome it ends the attempt; after it, and while it is not known, it
// opens a dispute. The methods used in the act, and those younger than it, stop counting; everything the person had
// open ends; security staff are told; the owner may recover at once with older methods.
func (s *Service) Dispute(ctx context.Context, ticket string) (Stage, error) {
	a, stage, err := s.Disputed(ctx, ticket)
	if err != nil {
		return "", err
	}
	now := s.Now()
	switch stage {
	case BeforeOutcome:
		_, err := s.Store.UpdateAttempt(ctx, a.ID, func(a *Attempt) ([]event.Event, error) {
			return a.End(Cancelled, "not_me", "person:"+a.Person, now)
		})
		if !fault.Is(err, fault.Over) {
			return BeforeOutcome, err
		}
		if a, err = s.Store.Attempt(ctx, a.ID); err != nil || a.stage(now) != AfterOutcome {
			return Stopped, err
		}
	case AfterOutcome:
	default:
		return stage, nil
	}
	_, err = s.Store.FinishAttempt(ctx, a.ID, func(a *Attempt, p *account.Person, _ *Write) ([]event.Event, error) {
		if p == nil {
			return nil, fault.New(fault.NotFound, message.Key("error.not_found"))
		}
		if p.Dispute != nil && p.Dispute.Attempt == a.ID {
			return nil, nil
		}
		var used []string
		for _, pr := range a.Proofs {
			used = append(used, pr.Method)
		}
		since := a.Started
		if p.Dispute != nil { // an older dispute stays in force: the earlier time and all its methods
			used = append(used, p.Dispute.Methods...)
			if p.Dispute.Since.Before(since) {
				since = p.Dispute.Since
			}
		}
		p.Dispute = &account.Dispute{Attempt: a.ID, Since: since, At: now, Methods: used}
		p.Epoch++
		p.Updated = now
		e := a.event(now, event.AttemptDisputed, event.Success).With("methods", used).Sealed("network", a.Network).Sealed("agent", a.Agent)
		e.Actor = "person:" + p.ID
		return []event.Event{e}, nil
	})
	return AfterOutcome, err
}
