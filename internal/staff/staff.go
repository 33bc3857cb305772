// Package staff holds who of the people is staff, and what that lets them see and do.
//
// A role comes from the value of a claim that an identity provider sent at the sign-in, or from a group of a connector
// that is trusted for it (client.Connector.Roles). The rules that say which stand in the database and are read anew for
// every request: whoever loses a role loses it at once.
package staff

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/session"
)

// Role is what a member of staff may do.
type Role string

// The roles. An administrator may do whatever helpdesk may.
const (
	Helpdesk      Role = "helpdesk"
	Administrator Role = "administrator"
)

// The roles, strongest first.
var all = []Role{Administrator, Helpdesk}

// Source is where a role comes from.
type Source string

// The sources.
const (
	FromClaim Source = "claim"
	FromGroup Source = "group"
)

// Rule makes people staff.
type Rule struct {
	ID     string
	Role   Role
	Source Source
	IDP    string // of a claim: which provider's
	Claim  string // its name
	Value  string // of the claim, to the letter; or the display name of a group
	Made   time.Time
	By     string
}

// Check reports the first thing wrong with the rule.
func (r Rule) Check() error {
	switch {
	case !slices.Contains(all, r.Role):
		return fmt.Errorf("role %q: want helpdesk or administrator", r.Role)
	case r.Source == FromClaim && (r.IDP == "" || r.Claim == ""):
		return fmt.Errorf("a role from a claim needs the identity provider and the claim")
	case r.Source == FromGroup && (r.IDP != "" || r.Claim != ""):
		return fmt.Errorf("a role from a group names no claim")
	case r.Source != FromClaim && r.Source != FromGroup:
		return fmt.Errorf("source %q: want claim or group", r.Source)
	case strings.TrimSpace(r.Value) == "" || len(r.Value) > 256:
		return fmt.Errorf("value: want 1 to 256 bytes")
	}
	return nil
}

// Group is a group somebody is in, and whether the connector that brought it may make people staff.
type Group struct {
	account.Membership
	Roles bool
}

// RoleOf returns the strongest role that the rules give whoever holds the session and is in the groups; "" for none.
func RoleOf(rules []Rule, s *session.Session, groups []Group) Role {
	for _, role := range all {
		if slices.ContainsFunc(rules, func(r Rule) bool { return r.Role == role && r.fits(s, groups) }) {
			return role
		}
	}
	return ""
}

func (r Rule) fits(s *session.Session, groups []Group) bool {
	switch r.Source {
	case FromClaim:
		return r.IDP == s.IDP && slices.Contains(s.Roles, session.RoleClaim{Claim: r.Claim, Value: r.Value})
	case FromGroup:
		return slices.ContainsFunc(groups, func(g Group) bool { return g.Roles && account.Fold(g.Group) == account.Fold(r.Value) })
	}
	return false
}

// Covers reports whether a role may do what another may.
func (r Role) Covers(other Role) bool {
	i, j := slices.Index(all, r), slices.Index(all, other)
	return i >= 0 && j >= 0 && i <= j
}

// Invite is a link by which the first administrator makes themselves known. Hash is SHA-256 of its token.
type Invite struct {
	Hash    []byte
	Role    Role
	By      string
	Made    time.Time
	Expires time.Time
	Used    time.Time
}

// InviteLife is how long an invitation is good for, unless it is used before.
const InviteLife = time.Hour
