package signal

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
)

// The kinds of work. A delivery's ref begins with the id of the stream or the receiver of webhooks it is for; its id is the
// jti, or webhook-id, of what is sent.
const (
	pushKind    = "set"
	pollKind    = "set-poll" // nobody's work: it waits to be fetched
	webhookKind = "webhook"
)

const (
	giveUpAfter = 24 * time.Hour         // of trying in vain
	maxWaiting  = 20000                  // deliveries that wait for one client: beyond, it is not listening
	whilePaused = 5 * time.Minute        // until a delivery to a paused stream is looked at again
	firstWait   = 100 * time.Millisecond // until what has to let others go first is looked at again, at first
	longestWait = 5 * time.Second        // and at most
)

// Kinds are the kinds of work that Handlers does. They are to be set aside from other work: requests to others' servers last
// as long as those please, up to ten seconds.
var Kinds = []string{string(event.RouteSignal), string(event.RouteFeed), pushKind, webhookKind}

// Handlers returns what does the work of this package.
func (s *Service) Handlers() map[string]event.Handler {
	return map[string]event.Handler{string(event.RouteSignal): s.expand, string(event.RouteFeed): s.follow, pushKind: s.push, webhookKind: s.post}
}

// Held are the clients that nothing can be sent to at the moment, by what the refs of their deliveries begin with: they are
// asked already, or asked for peace, or do not answer. What waits for them is to be left where it is.
func (s *Service) Held() []string { return s.lines.held(s.Now()) }

// expand makes one delivery of an event for each stream and webhook that hears it, or for each stream it concerns.
func (s *Service) expand(ctx context.Context, i event.Item) error {
	e, err := s.Store.Event(ctx, i.Event)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var all event.Expanded
	switch e.Type {
	case event.ReceiverChanged, event.StreamChanged:
		all, err = s.aboutStreams(ctx, e)
	default:
		all, err = s.aboutPeople(ctx, e)
	}
	if err != nil || len(all) == 0 {
		return err
	}
	return all
}

// aboutPeople is who is told of an event about a person.
func (s *Service) aboutPeople(ctx context.Context, e event.Event) (all event.Expanded, err error) {
	receivers, err := s.Store.Receivers(ctx)
	if err != nil {
		return nil, err
	}
	streams, err := s.Store.LiveStreams(ctx)
	if err != nil {
		return nil, err
	}
	for n := range receivers {
		r := &receivers[n]
		if r.Disabled {
			continue
		}
		if r.Kind == client.ReceiverWebhook {
			if e.Outcome == event.Success && r.Hears(string(e.Type)) {
				if all, err = s.add(ctx, all, r, r.ID, e, event.Child{Kind: webhookKind, Ref: makeRef(r.ID, string(e.Type), "")}); err != nil {
					return nil, err
				}
			}
			continue
		}
		for m := range streams {
			if st := &streams[m]; st.Receiver == r.ID {
				if all, err = s.add(ctx, all, r, st.ID, e, children(r, st, e)...); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

// children are the deliveries of an event to a stream.
func children(r *client.Receiver, st *client.Stream, e event.Event) (all []event.Child) {
	heard := map[string]bool{}
	for _, u := range Delivered(r, st) {
		heard[u] = true
	}
	for _, name := range meanings(e) {
		if heard[uri(name)] {
			all = append(all, event.Child{Kind: kindOfStream(st), Ref: makeRef(st.ID, name, "")})
		}
	}
	return all
}

func kindOfStream(st *client.Stream) string {
	if st.Delivery == client.DeliverPoll {
		return pollKind
	}
	return pushKind
}

// add adds deliveries to a client, unless it may not hear of this person, has no name for them, or has so much waiting that
// it is not listening any more. The last two are noted: staff see why nothing goes out.
func (s *Service) add(ctx context.Context, all event.Expanded, r *client.Receiver, clientID string, e event.Event, more ...event.Child) (event.Expanded, error) {
	if len(more) == 0 {
		return all, nil
	}
	if r.Kind == client.ReceiverSSF && e.Subject != "" {
		if excluded, err := s.Store.Excluded(ctx, clientID, e.Subject); err != nil || excluded {
			return all, err
		}
	}
	_, name, _ := parseRef(more[0].Ref)
	if _, err := s.about(ctx, r, e, name); err != nil {
		if class := Dropped(err); class != "" {
			return all, s.Store.NoteDelivery(ctx, clientID, false, class, s.Now())
		}
		return all, err
	}
	waiting, err := s.Store.WaitingFor(ctx, clientID, maxWaiting)
	if err != nil {
		return all, err
	}
	if waiting >= maxWaiting {
		return all, s.Store.NoteDelivery(ctx, clientID, false, "too-many-waiting", s.Now())
	}
	return append(all, more...), nil
}

// aboutStreams tells streams that we, and not their receiver, changed their status (SSF 1.0 §8.1.5): the last thing a stream
// hears before it is paused or disabled, and the first when it is enabled again.
func (s *Service) aboutStreams(ctx context.Context, e event.Event) (all event.Expanded, err error) {
	status, _ := e.Data["status"].(string)
	reason, _ := e.Data["reason"].(string)
	if status == "" || strings.HasPrefix(e.Actor, "receiver:") { // nothing of the kind changed, or they know
		return nil, nil
	}
	var streams []client.Stream
	if e.Type == event.ReceiverChanged {
		if streams, err = s.Store.StreamsOf(ctx, e.Txn); err != nil {
			return nil, err
		}
	} else {
		st, err := s.Store.Stream(ctx, e.Txn)
		if err != nil || st == nil {
			return nil, err
		}
		streams = []client.Stream{*st}
	}
	for n := range streams {
		st, now := &streams[n], status
		if e.Type == event.ReceiverChanged && status == string(client.StreamEnabled) {
			now = string(st.Status) // its receiver may have paused it before
		}
		all = append(all, event.Child{Kind: kindOfStream(st), Ref: makeRef(st.ID, streamUpdated, now+" "+reason)})
	}
	return all, nil
}

// turn waits for a delivery's turn: nil when it may go out now, and then end must be called. Deliveries about one person or
// group go to a client in the order in which things happened; one that was given up lets the next one pass.
func (s *Service) turn(ctx context.Context, i event.Item, clientID string) error {
	now := s.Now()
	if wait, ok := s.lines.begin(ctx, clientID, now); !ok {
		return event.Later{After: max(wait, shortly(i)), Class: "client-waits"}
	}
	if i.Event == "" {
		return nil
	}
	earlier := false
	e, err := s.Store.Event(ctx, i.Event)
	if err == nil {
		if e.Subject == "" && e.Ref != "" { // a group's
			earlier, err = s.Store.EarlierOf(ctx, clientID, e.Ref, i.Event)
		} else {
			earlier, err = s.Store.Earlier(ctx, clientID, e.Subject, i.Event, now)
		}
	}
	switch {
	case err == nil && !earlier:
		return nil
	case err == nil:
		err = event.Later{After: shortly(i), Class: "in-order"}
	}
	s.lines.give(clientID)
	return err
}

// shortly is how long something waits that has to let others go first: longer each time, or a crowd would keep the database
// busy with being looked at.
func shortly(i event.Item) time.Duration { return min(firstWait<<min(i.Tries, 10), longestWait) }

// outcome is how a request went.
type outcome struct {
	class    string        // "" when it arrived
	answered bool          // the client is there and speaks our language
	final    bool          // it never wants this one
	least    time.Duration // it asked us to wait so long
	took     time.Duration // until it was answered
}

// settle says what becomes of a delivery, and notes it. It was tried since it came to be, or since the client was last
// changed: a stream that was paused was not tried, and whoever named another address gets another day.
func (s *Service) settle(ctx context.Context, i event.Item, clientID string, changed time.Time, o outcome) error {
	now := s.Now()
	wait := s.lines.end(clientID, o.answered || o.class == "", o.took, o.least, now)
	if err := s.Store.NoteDelivery(ctx, clientID, o.class == "", o.class, now); err != nil {
		s.Log.WarnContext(ctx, "outcome of a delivery not noted", "client", clientID, "err", err)
	}
	switch {
	case o.class == "":
		s.lines.ended(i.ID)
		return nil
	case o.final || !now.Before(later(born(i), changed).Add(giveUpAfter)):
		s.lines.ended(i.ID)
		return event.Dead{Class: o.class, Err: errors.New("not delivered to " + clientID)}
	}
	return event.Later{After: max(wait, event.Backoff(s.lines.failed(i.ID))), Class: o.class}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
