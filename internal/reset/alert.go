package reset

import (
	"slices"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/policy"
)

// alertedProofs is how many proofs are needed at least while a provider says that something is wrong.
const alertedProofs = 2

// alerted returns a decision as the word of identity providers leaves it: stricter, never milder. It looks at the person
// that was read anyhow, so that nobody can tell by what is asked of the database whether there is such a word.
func alerted(d policy.Decision, p *account.Person, now time.Time) policy.Decision {
	if p == nil || len(p.AlertsAt(now)) == 0 {
		return d
	}
	d.Proofs = max(d.Proofs, alertedProofs)
	if d.Allowed && p.Barred(now) {
		d.Allowed, d.Why = false, "alerted"
	}
	return d
}

// trusted returns the providers where a sign-in of the person can prove something: not those that say themselves that it
// may be somebody else's.
func (s *Service) trusted(p *account.Person, now time.Time) []string {
	if p == nil {
		return s.SignIns
	}
	return slices.DeleteFunc(slices.Clone(s.SignIns), func(idp string) bool { return p.Distrusts(idp, now) })
}
