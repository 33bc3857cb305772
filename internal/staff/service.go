package staff

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/session"
)

// Store is everything the service asks for.
type Store interface {
	// RoleRules returns every rule, as the database has them or a cache that is dropped when they change.
	RoleRules(ctx context.Context) ([]Rule, error)
	// Refresh reads anew what a cache keeps, if it has changed.
	Refresh(ctx context.Context) error
	// StaffGroups returns the groups a person is in, directly or through other groups, and whether the connectors of all
	// groups on some way to each may make people staff.
	StaffGroups(ctx context.Context, person string) ([]Group, error)
	// Invite returns an invitation, used or not; nil when there is none of that hash.
	Invite(ctx context.Context, hash []byte) (*Invite, error)
	// RedeemInvite marks an invitation as used and adds the rule in one commit with the events, for one caller only.
	// fault.Over when it was used before or its time is up.
	RedeemInvite(ctx context.Context, hash []byte, rule Rule, now time.Time, events ...event.Event) error
}

// Service answers who is staff, and makes the first of them.
type Service struct {
	store Store
	now   func() time.Time
}

// New returns a service.
func New(s Store, now func() time.Time) (*Service, error) {
	if s == nil || now == nil {
		return nil, errors.New("staff: a store and a clock are needed")
	}
	return &Service{s, now}, nil
}

// Role returns what whoever holds the session may do as staff; "" for nothing.
func (s *Service) Role(ctx context.Context, by *session.Session) (Role, error) {
	rules, err := s.store.RoleRules(ctx)
	if err != nil {
		return "", fmt.Errorf("role rules: %w", err)
	}
	if len(rules) == 0 {
		return "", nil
	}
	groups, err := s.store.StaffGroups(ctx, by.Person)
	if err != nil {
		return "", fmt.Errorf("groups of staff: %w", err)
	}
	return RoleOf(rules, by, groups), nil
}

// Choice is one thing about somebody invited that could make them, and whoever shares it, staff.
type Choice struct {
	Key    string // names it in a form
	Source Source
	Claim  string // of a claim: its name
	Value  string // of the claim, or the display name of the group
}

// MaxChoices is how many are offered: some providers send hundreds of groups.
const MaxChoices = 200

// Choices returns what of the session's claims, and of the groups that may make people staff, can be chosen.
func (s *Service) Choices(ctx context.Context, by *session.Session) ([]Choice, error) {
	groups, err := s.store.StaffGroups(ctx, by.Person)
	if err != nil {
		return nil, fmt.Errorf("groups of staff: %w", err)
	}
	var all []Choice
	for _, c := range by.Roles {
		all = append(all, Choice{Source: FromClaim, Claim: c.Claim, Value: c.Value})
	}
	for _, g := range groups {
		if g.Roles {
			all = append(all, Choice{Source: FromGroup, Value: g.Group})
		}
	}
	out := make([]Choice, 0, min(len(all), MaxChoices))
	seen := map[string]bool{}
	for _, c := range all {
		c.Key = c.key()
		if seen[c.Key] || c.rule(by.IDP, Administrator).Check() != nil || len(out) == MaxChoices {
			continue
		}
		seen[c.Key] = true
		out = append(out, c)
	}
	return out, nil
}

// key is short, the same on every replica, and holds nothing that a form would not carry.
func (c Choice) key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%d:%s%s", len(c.Source), c.Source, len(c.Claim), c.Claim, c.Value))
	return hex.EncodeToString(sum[:12])
}

func (c Choice) rule(idp string, role Role) Rule {
	r := Rule{Role: role, Source: c.Source, Claim: c.Claim, Value: c.Value}
	if c.Source == FromClaim {
		r.IDP = idp
	}
	return r
}

// Over is the answer to an invitation that is not there, was used, or whose time is up: the same for all.
func Over() error { return fault.New(fault.Over, message.Key("staff.invite.over")) }

// ErrStepUp says that whoever redeems an invitation must have signed in for it just now.
var ErrStepUp = errors.New("staff: a fresh sign-in is needed")

// Invited returns an invitation that can be redeemed. fault.Over otherwise.
func (s *Service) Invited(ctx context.Context, hash []byte) (*Invite, error) {
	if len(hash) == 0 {
		return nil, Over()
	}
	i, err := s.store.Invite(ctx, hash)
	if err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	if i == nil || !i.Used.IsZero() || !s.now().Before(i.Expires) {
		return nil, Over()
	}
	return i, nil
}

// Redeem makes everybody staff who shares the chosen claim or group with whoever holds the session, and uses up the
// invitation, in one commit. fault.Over as Invited; ErrStepUp without a step-up of at most five minutes; fault.Invalid for
// a choice that is not the session's: what may be chosen comes from the sign-in and never from a form.
func (s *Service) Redeem(ctx context.Context, hash []byte, by *session.Session, choice string) (*Rule, error) {
	now := s.now()
	i, err := s.Invited(ctx, hash)
	if err != nil {
		return nil, err
	}
	if !by.SteppedUp(now, session.StepUpLife) {
		return nil, ErrStepUp
	}
	choices, err := s.Choices(ctx, by)
	if err != nil {
		return nil, err
	}
	for _, c := range choices {
		if c.Key != choice {
			continue
		}
		r := c.rule(by.IDP, i.Role)
		r.ID, r.Made, r.By = uuid.Must(uuid.NewV7()).String(), now, "person:"+by.Person
		if err := r.Check(); err != nil {
			return nil, err
		}
		e := event.New(now, event.RoleGranted, r.By, "", r.ID, event.Success).With("role", string(r.Role)).With("source", string(r.Source)).
			With("idp", r.IDP).With("claim", r.Claim).With("value", r.Value).With("invite", true)
		if err := s.store.RedeemInvite(ctx, hash, r, now, e); err != nil {
			return nil, err
		}
		// Whoever was just made staff goes on at once. It is done, whatever becomes of this: caches look again by themselves.
		_ = s.store.Refresh(ctx)
		return &r, nil
	}
	return nil, &fault.Error{Kind: fault.Invalid, Say: message.Key("staff.invite.choose"), Field: "choice"}
}
