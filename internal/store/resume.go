package store

import (
	"context"

	"github.com/regain-id/regain/internal/register"
)

// ResumeEnrolment takes the open enrolment of a session over into another of the same person and epoch, which has not
// ended: the one a step-up made of it. False when there was none to take.
func (s *Store) ResumeEnrolment(ctx context.Context, from, to string) (bool, error) {
	return s.hits(ctx, `UPDATE enrolments SET session = $2, version = version + 1 WHERE session = $1 AND state = $3 AND EXISTS (
			SELECT 1 FROM sessions o JOIN sessions n ON n.person = o.person
			WHERE o.id = $1 AND n.id = $2 AND n.ended = 0 AND n.person = enrolments.person AND n.epoch = enrolments.epoch)`,
		storable(from), storable(to), string(register.Open))
}
