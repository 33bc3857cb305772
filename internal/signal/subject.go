package signal

import (
	"context"
	"strings"

	"github.com/regain-id/regain/internal/client"
)

// subject says whom something is about (RFC 9493 §3).
type subject map[string]string

// noSubject is the class of a delivery that was dropped because the receiver has no name for the person.
const noSubject = "no-subject"

// subjectOf names a person in the receiver's format and in no other. An error that Dropped knows when there is no such
// name: the person never signed in at that provider, or has no address at work.
func (s *Service) subjectOf(ctx context.Context, r *client.Receiver, person string) (subject, error) {
	if person == "" {
		return nil, errNothing{noSubject}
	}
	switch r.Format {
	case client.FormatIssSub:
		issuer, sub, err := s.Store.SubjectAt(ctx, person, r.IDP)
		if err != nil {
			return nil, err
		}
		if issuer != "" && sub != "" {
			return subject{"format": "iss_sub", "iss": issuer, "sub": sub}, nil
		}
	case client.FormatEmail:
		p, err := s.Store.Person(ctx, person)
		if err != nil {
			return nil, err
		}
		if p != nil {
			if at := p.Claim("emails.work"); strings.Contains(at, "@") {
				return subject{"format": "email", "email": at}, nil
			}
		}
	case client.FormatOpaque:
		if name := s.OpaqueName(r, person); name != "" {
			return subject{"format": "opaque", "id": name}, nil
		}
	}
	return nil, errNothing{noSubject}
}
