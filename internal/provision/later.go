package provision

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/pkg/scim"
)

// A connector that prefers to be answered later gets 202, and its request is kept in the database (RFC 9967 §2.5.1):
//
//	request → sealed row, with a row of work → 202, Set-Txn
//	worker  → the connector as it is now → each operation commits together with the event of its answer
//	event   → asyncresp, to the receivers that follow the connector
//
// The event's id is made of the operation's transaction. So there is one answer at most and, as it is written in the commit
// of the change, one change at most: a worker that was killed and another one that goes on cannot both make it.

// Kind is the kind of work that carries out what was kept.
const Kind = "request"

const (
	maxLate     = 24 * time.Hour // a request that could not be carried out so long is refused
	maxFailures = 8              // times it is broken off before it is refused
	firstLook   = 100 * time.Millisecond
	lastLook    = 5 * time.Second
)

// feeds are the events of RFC 9967 that receivers may ask for.
func feeds() []string {
	var all []string
	for _, name := range client.Feeds() {
		all = append(all, client.FeedURI(name))
	}
	return all
}

// Keep implements scim.Async.
func (s *service) Keep(ctx context.Context, p *scim.Principal, k *scim.Kept) (string, error) {
	body, err := json.Marshal(k)
	if err != nil {
		return "", err
	}
	q := &client.Request{Connector: connectorOf(p).ID, At: s.Now(), Body: body}
	if err := s.Store.KeepRequest(ctx, q); err != nil {
		if fault.Is(err, fault.Limited) {
			return "", &scim.Error{Status: http.StatusTooManyRequests, Detail: "too many requests of this client wait to be carried out", RetryAfter: time.Minute, Cause: err}
		}
		return "", answer(err)
	}
	return q.ID, nil
}

// Handlers returns what does the work of this package.
func (s *Server) Handlers() map[string]event.Handler {
	return map[string]event.Handler{Kind: s.carryOut}
}

// carryOut carries out a request that was kept, when those of its connector that came before are done.
func (s *Server) carryOut(ctx context.Context, i event.Item) error {
	q, first, err := s.s.Store.Request(ctx, i.Ref)
	switch {
	case err != nil:
		return err
	case q == nil: // done, and whoever did it was stopped before it could say so
		return nil
	case !first:
		return event.Later{After: min(firstLook<<min(i.Tries, 10), lastLook), Class: "in-order"}
	}
	k := &scim.Kept{}
	if err := json.Unmarshal(q.Body, k); err != nil {
		return event.Dead{Class: "unreadable", Err: err}
	}
	c, err := s.s.Store.ConnectorByID(ctx, q.Connector)
	if err != nil {
		return err
	}
	j := &journal{s: s.s, q: q, k: k}
	now := s.s.Now()
	switch {
	case c == nil || shut(c, now):
		err = s.scim.Refuse(ctx, k, j, &scim.Error{Status: http.StatusForbidden, Detail: "the client that sent it may do nothing any more"})
	case now.Sub(q.At) > maxLate:
		err = s.scim.Refuse(ctx, k, j, &scim.Error{Status: http.StatusServiceUnavailable, Detail: "it could not be carried out in a day"})
	default:
		err = s.perform(ctx, c, q, k, j)
	}
	if err != nil {
		return err
	}
	return s.s.Store.FinishRequest(ctx, q, now)
}

// shut reports whether nothing opens SCIM for a connector any more: no token, and no key that it signs for one with.
func shut(c *client.Connector, now time.Time) bool {
	return len(c.Live(now)) == 0 && len(c.LiveKeys(now)) == 0 && c.JWKS == ""
}

// perform carries a request out as the connector, and says when to try again what may go better then.
func (s *Server) perform(ctx context.Context, c *client.Connector, q *client.Request, k *scim.Kept, j *journal) error {
	p, err := principal(c)
	if err != nil {
		return err
	}
	err = s.scim.Perform(ctx, p, q.ID, k, j)
	switch {
	case err == nil:
		return nil
	case j.recorded > 0: // it is on its way: the next worker goes on where this one's time was up
		return event.Later{Class: "goes-on"}
	case q.Failures+1 >= maxFailures:
		s.s.Log.WarnContext(ctx, "a request that was kept could not be carried out", "request", q.ID, "connector", c.Name, "err", err)
		return s.scim.Refuse(ctx, k, j, &scim.Error{Status: http.StatusServiceUnavailable, Detail: "it could not be carried out"})
	}
	s.s.Log.WarnContext(ctx, "a request that was kept was broken off", "request", q.ID, "connector", c.Name, "err", err)
	if err := s.s.Store.FailRequest(context.WithoutCancel(ctx), q.ID); err != nil {
		return err
	}
	return event.Later{After: event.Backoff(q.Failures), Class: "broken-off"}
}

// journal is what was answered to the operations of a request: events whose ids are made of their transactions.
type journal struct {
	s        *service
	q        *client.Request
	k        *scim.Kept
	recorded int
}

// Answered implements scim.Journal.
func (j *journal) Answered(ctx context.Context, index int) (*scim.Answer, error) {
	id, err := answerID(j.k.Txn(j.q.ID, index))
	if err != nil {
		return nil, err
	}
	e, err := j.s.Store.Event(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a := &scim.Answer{}
	a.Method, _ = e.Data["method"].(string)
	a.ID, _ = e.Data["id"].(string)
	status, _ := e.Data["status"].(float64)
	if a.Status = int(status); e.Outcome != event.Success {
		a.Response = json.RawMessage(e.Private["response"])
	}
	return a, nil
}

// Record implements scim.Journal.
func (j *journal) Record(ctx context.Context, index int, a scim.Answer) error {
	j.s.Crash("before-answer")
	e, err := answered(j.s.Now(), j.q.Connector, j.k.Txn(j.q.ID, index), "", a)
	if err == nil {
		err = j.s.Store.RecordAnswer(ctx, e)
	}
	if err == nil {
		j.recorded++
	}
	return err
}

// answerID is the id of the event of an answer: a UUIDv7 of the time its request came in, and the same each time.
func answerID(txn string) (string, error) {
	if len(txn) < 36 {
		return "", fmt.Errorf("transaction %q: too short", txn)
	}
	id, err := uuid.Parse(txn[:36])
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte("answer to " + txn))
	copy(id[6:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id.String(), nil
}

// answered is the fact of an answer. What of it a client or a person wrote is sealed.
func answered(now time.Time, connector, txn, person string, a scim.Answer) (event.Event, error) {
	id, err := answerID(txn)
	if err != nil {
		return event.Event{}, err
	}
	outcome := event.Success
	if a.Response != nil {
		outcome = event.Failure
	}
	e := event.New(now, event.RequestAnswered, "connector:"+connector, person, txn, outcome).
		With("method", a.Method).With("status", a.Status).With("resource", a.Type)
	e.ID = id
	if outcome == event.Success {
		e = e.With("id", a.ID).With("version", a.Version)
	} else {
		e = e.Sealed("response", string(a.Response)).Sealed("path", a.Path)
	}
	if a.BulkID != "" {
		e = e.Sealed("bulkId", a.BulkID)
	}
	return e, nil
}

// thing is a resource that a change made what it is now.
type thing struct {
	kind, id string
	person   string // whose it is; "" for a group
	version  int64  // afterwards; 0 when it is gone, or has one of another kind
}

// done completes the events of a change with what it was made by, and with its answer when that is wanted later.
func (s *service) done(act scim.Act, c *client.Connector, t thing, events []event.Event) []event.Event {
	events = slices.Clone(events)
	for i, e := range events {
		switch e.Type {
		case event.PersonUpdated, event.GroupUpdated:
			e = e.With("by", act.Method).With("version", t.version)
		case event.PersonCreated, event.GroupCreated:
			e = e.With("version", t.version)
		case event.PersonDeactivated, event.PersonReactivated, event.PersonDeleted, event.GroupDeleted:
		default:
			continue
		}
		if e.Txn == "" {
			e.Txn = act.Txn
		}
		events[i] = e
	}
	if act.Txn == "" {
		return events
	}
	a := scim.Answer{Method: act.Method, BulkID: act.BulkID, Type: t.kind, ID: t.id, Status: http.StatusOK}
	switch act.Method {
	case http.MethodPost:
		a.Status = http.StatusCreated
	case http.MethodDelete:
		a.Status = http.StatusNoContent
	}
	if t.version > 0 {
		a.Version = etag(t.version)
	}
	if e, err := answered(s.Now(), c.ID, act.Txn, t.person, a); err == nil {
		return append(events, e)
	}
	return events
}

// etag is a version as SCIM shows it (RFC 7644 §3.14).
func etag(n int64) string { return `W/"` + version(n) + `"` }

// attributesOf are the attributes of a new resource, as changedNames tells those of another one.
func attributesOf(r *scim.Resource) []string {
	c := &scim.Change{}
	for _, name := range slices.Sorted(maps.Keys(r.Attrs)) {
		c.Ops = append(c.Ops, scim.AttrChange{Key: name})
	}
	for _, urn := range slices.Sorted(maps.Keys(r.Ext)) {
		for _, name := range slices.Sorted(maps.Keys(r.Ext[urn])) {
			c.Ops = append(c.Ops, scim.AttrChange{Key: urn + ":" + name})
		}
	}
	if r.ExternalID != "" {
		c.Ops = append(c.Ops, scim.AttrChange{Key: "externalId"})
	}
	return changedNames(c)
}
