package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// The limits on methods.
const (
	knownFor       = 24 * time.Hour      // a destination the person had this long is nothing new
	remembered     = 30 * 24 * time.Hour // how far back a first provisioning looks for an earlier one
	maxShared      = 3                   // people one destination may serve
	maxMethods     = 20                  // methods of one person at a time
	maxRemoved     = 100                 // removed ones that are still told of
	maxDisplay     = 200                 // bytes
	maxAsks        = 5                   // how often an update is run again because it met new questions
	holdNotInScope = policy.DefaultHold  // for people no rule is for: one may be tomorrow
)

// facts is what a change must know beside the rows it changes. It is asked for before the change runs.
type facts struct {
	now    time.Time
	asked  bool // hold and first are there
	hold   time.Duration
	first  bool // the person's very first provisioning by a connector trusted for all
	back   bool // somebody of that name, or with that external id, was here before
	known  map[string]bool
	others map[string]int // people beside this one, by hash of the destination
}

// errAsk ends a closure that met a question nobody asked before, and the batch it is in.
var errAsk = fmt.Errorf("a question is open: %w", account.ErrHalt)

// questions collects what a change would have to know.
type questions struct {
	hold   bool
	hashes [][]byte
}

func (q *questions) open() bool { return q.hold || len(q.hashes) > 0 }

// ask answers questions about a person, who has the methods given; id is "" for one who is yet to be created.
func (s *service) ask(ctx context.Context, f *facts, q questions, c *client.Connector, p *account.Person, id string) error {
	if q.hold && !f.asked {
		in, err := s.Policies.Policy(ctx)
		if err != nil {
			return err
		}
		var groups []account.Membership
		if id != "" {
			if groups, err = s.Store.Memberships(ctx, id); err != nil {
				return err
			}
		} else {
			if f.back, err = s.Store.SeenBefore(ctx, c.ID, p.ExternalID, account.Fold(p.UserName), f.now.Add(-remembered)); err != nil {
				return err
			}
			f.first = c.Trust == client.TrustAll && !f.back
		}
		f.hold = holdOf(in, policy.Standing{UserName: p.UserName, Groups: groups})
		f.asked = true
	}
	for _, h := range q.hashes {
		key := string(h)
		if _, done := f.others[key]; done {
			continue
		}
		uses, err := s.Store.DestinationUses(ctx, h)
		if err != nil {
			return err
		}
		known := false
		if id != "" {
			if known, err = s.Store.KnownDestination(ctx, id, h, f.now.Add(-knownFor)); err != nil {
				return err
			}
			mine, err := s.Store.Methods(ctx, id)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(mine, func(m method.Method) bool { return m.Status != method.Removed && string(m.DestinationHash) == key }) {
				uses--
			}
		}
		if f.known == nil {
			f.known, f.others = map[string]bool{}, map[string]int{}
		}
		f.known[key], f.others[key] = known, uses
	}
	return nil
}

// holdOf is how long what is new to a person rests.
func holdOf(in policy.Policy, who policy.Standing) time.Duration {
	d := in.Decide(who, policy.Reset)
	if d.Why == "not_in_scope" {
		return max(d.HoldNew, holdNotInScope)
	}
	return d.HoldNew
}

// change is one change to the methods of one person under way.
type change struct {
	s       *service
	c       *client.Connector
	f       *facts
	p       *account.Person
	all     *[]method.Method
	paused  []string
	created bool // the person is being created: nobody is told, unless one of that name was here before
	q       questions
	events  []event.Event
	moved   bool     // a method changed
	gone    []string // the methods removed by this change
	spoken  []string // those that a simple attribute names in this change
}

func (x *change) actor() string { return "connector:" + x.c.ID }

func (x *change) note(t event.Type, m *method.Method) event.Event {
	e := event.New(x.f.now, t, x.actor(), x.p.ID, "", event.Success).With("method", m.ID).With("kind", string(m.Kind))
	if m.Attribute != "" {
		e = e.With("attribute", m.Attribute)
	}
	if m.Destination != "" {
		e = e.Sealed("to", m.Mask())
	}
	return e
}

// add makes a method. It is held, or disabled from the start, as the rules on what others bring say:
//
//   - in a corporate mail domain: kept, never usable
//   - on more than three people: kept, never usable
//   - new to the person: rests as long as the policy says, but for a first provisioning by a source trusted for all
//   - after a reset: rests as everything does that changes then
func (x *change) add(m method.Method) error {
	live, removed := 0, 0
	for _, o := range *x.all {
		if o.Status == method.Removed {
			removed++
		} else {
			live++
		}
	}
	if live >= maxMethods {
		return schema.Invalid(schema.InvalidValue, "", "a user has at most %d methods", maxMethods)
	}
	if removed >= maxRemoved {
		return &scim.Error{Status: 429, Detail: "the user's methods were changed too often in the last 30 days", RetryAfter: time.Hour}
	}
	if len(m.Display) > maxDisplay {
		return schema.Invalid(schema.InvalidValue, "display", "want at most %d bytes", maxDisplay)
	}
	var hash []byte
	if m.Destination != "" {
		hash = x.s.Hash(m.Kind, m.Destination)
	}
	if !x.f.asked {
		x.q.hold = true
	}
	if _, done := x.f.others[string(hash)]; hash != nil && !done {
		x.q.hashes = append(x.q.hashes, hash)
	}
	if x.q.open() {
		return nil // the closure ends with errAsk
	}
	m.ID, m.Person, m.Root, m.Created, m.DestinationHash = uuid.Must(uuid.NewV7()).String(), x.p.ID, own(x.c.ID), x.f.now, hash
	if m.Status == "" {
		m.Status = method.Active
	}
	m.UsableFrom = x.usableFrom(hash)
	refused := ""
	switch {
	case m.Kind == method.Email && reset.InDomains(m.Destination, x.s.Corporate):
		refused = "corporate"
	case hash != nil && x.f.others[string(hash)] >= maxShared:
		refused = "shared"
	}
	t := event.MethodAdded
	if x.created && !x.f.back || refused != "" || m.Kind == method.External {
		t = event.MethodProvisioned // nothing the person could be harmed by: nobody is told
	}
	e := x.note(t, &m)
	switch {
	case refused != "":
		m.Status = method.Disabled
		e = e.With("refused", refused)
		e.Outcome = event.Failure
	case x.pausing() && m.Status == method.Active:
		m.Status = method.Disabled
		x.paused = append(x.paused, m.ID)
	}
	if !m.UsableFrom.IsZero() {
		e = e.With("until", m.UsableFrom.Format(time.RFC3339))
	}
	*x.all = append(*x.all, m)
	x.events = append(x.events, e)
	x.moved = true
	return nil
}

// usableFrom says until when a new method rests; zero when it counts at once.
func (x *change) usableFrom(hash []byte) time.Time {
	var from time.Time
	known := hash != nil && x.f.known[string(hash)]
	if !known && !x.f.first {
		from = x.f.now.Add(x.f.hold)
	}
	if hash != nil { // it does not get out of a hold by another attribute
		for _, o := range *x.all {
			if string(o.DestinationHash) == string(hash) {
				from = later(from, o.UsableFrom)
			}
		}
	}
	from = later(from, x.p.HoldUntil)
	if !from.After(x.f.now) {
		return time.Time{}
	}
	return from
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// remove ends a method. The row stays for 30 days, so that the address is still told what happens.
func (x *change) remove(m *method.Method) {
	if m.Status == method.Removed {
		return
	}
	t := event.MethodRemoved
	if m.Kind == method.External {
		t = event.MethodChanged
	}
	m.Status, m.RemovedAt, m.Primary = method.Removed, x.f.now, false
	x.events = append(x.events, x.note(t, m).With("status", string(method.Removed)))
	x.moved = true
	x.gone = append(x.gone, m.ID)
}

// pausing reports whether the person may not reset by themselves at all.
func (x *change) pausing() bool {
	r, _, err := bare(x.p)
	return err == nil && r.Ext[userURN][resetAllowed] == false
}

// pause stops every method that counts, or lets those count again that were stopped so. Open tries end when they stop.
func (x *change) pause(stop bool) {
	for i := range *x.all {
		m := &(*x.all)[i]
		switch {
		case stop && m.Status == method.Active:
			m.Status = method.Disabled
			x.paused = append(x.paused, m.ID)
		case !stop && m.Status == method.Disabled && slices.Contains(x.paused, m.ID) && m.Failures < method.MaxFailures:
			m.Status = method.Active
		default:
			continue
		}
		x.events = append(x.events, x.note(event.MethodChanged, m).With("status", string(m.Status)).With("why", resetAllowed))
		x.moved = true
	}
	if !stop {
		x.paused = nil
		return
	}
	x.p.Epoch++
}
