package provision

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/pkg/scim"
)

// Groups that make people staff are filled by connectors that are trusted for it and by nobody else. Whoever asks who is
// staff looks at the trust again (staff.RoleOf), so a role that was written down after the members came opens nothing either;
// here it is refused openly and written down, so that an identity provider's administrator sees that it does not work, and
// ours that somebody tried.

// staffGroups are the folded names of the groups that make people staff, for a connector that may not fill them; nil for
// one that may.
func (s *groups) staffGroups(ctx context.Context) (map[string]bool, error) {
	if s.c.Roles {
		return nil, nil
	}
	rules, err := s.Store.RoleRules(ctx)
	if err != nil {
		return nil, answer(err)
	}
	names := map[string]bool{}
	for _, r := range rules {
		if r.Source == staff.FromGroup {
			names[account.Fold(r.Value)] = true
		}
	}
	return names, nil
}

// withinStaff reports whether a group is in one that makes people staff, directly or through others: who comes into it is
// in that one, too.
func (s *groups) withinStaff(ctx context.Context, id string, names map[string]bool) (bool, error) {
	if len(names) == 0 {
		return false, nil
	}
	in, err := s.Store.GroupsOf(ctx, id)
	return slices.ContainsFunc(in, func(g GroupOf) bool { return names[account.Fold(g.Group)] }), answer(err)
}

// errStaff ends a closure that would make people staff for a connector that is not trusted for it.
var errStaff = errors.New("a group that makes people staff")

// notTrusted is the answer to it.
var notTrusted = &scim.Error{Status: 403, Detail: "members of this group are staff here, and this client is not trusted to say who is: nothing was changed"}

// refusals remembers what was written down lately, so that a client that tries again and again fills no log.
type refusals struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// How often a refusal of the same thing is written down, and how many are remembered.
const (
	refusedEvery = time.Minute
	refusedAtAll = 1_000
)

// anew reports whether a refusal was not written down in the last minute, and remembers that it is now.
func (r *refusals) anew(key string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.last[key]; ok && now.Sub(at) < refusedEvery {
		return false
	}
	if r.last == nil || len(r.last) >= refusedAtAll {
		r.last = map[string]time.Time{}
	}
	r.last[key] = now
	return true
}

// refuse writes down that a connector wanted to fill a group that makes people staff, and returns the answer. group is ""
// for one that was to be created.
func (s *groups) refuse(ctx context.Context, c *client.Connector, group string) error {
	now := s.Now()
	if s.refused.anew(c.ID+"/"+group, now) {
		e := event.New(now, event.ConnectorRefused, "connector:"+c.ID, "", c.ID, event.Failure).With("name", c.Name).With("why", "roles")
		if group != "" {
			e = e.With("group", group)
		}
		if err := s.Store.Record(ctx, e); err != nil { // refused it is, whether or not it could be written down
			s.Log.ErrorContext(ctx, "refusal of a group for staff not written down", "connector", c.Name, "err", err)
		}
	}
	return notTrusted
}
