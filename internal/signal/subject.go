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
		issuer, sub, err := s.accountAt(ctx, r, person)
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

// accountAt returns how a person is known at the receiver's identity provider: as they signed in there, or else by the
// attribute in which their subject was provisioned, when nobody else has that value. "" when there is neither.
func (s *Service) accountAt(ctx context.Context, r *client.Receiver, person string) (issuer, sub string, err error) {
	issuer, sub, err = s.Store.SubjectAt(ctx, person, r.IDP)
	if err != nil || sub != "" {
		return issuer, sub, err
	}
	at := s.issued(func(i Issued) bool { return r.IDP == i.IDP || r.IDP == "" && len(s.Issued) == 1 })
	if at == nil {
		return "", "", nil
	}
	p, err := s.Store.Person(ctx, person)
	if err != nil || p == nil {
		return "", "", err
	}
	sub = p.Claim(at.Attribute)
	same, err := s.Store.PeopleBy(ctx, at.Attribute, sub, at.Connectors)
	if err != nil || len(same) != 1 || same[0].ID != person {
		return "", "", err
	}
	who, err := s.Store.PersonAt(ctx, at.Issuer, sub)
	if err != nil || who != "" && who != person {
		return "", "", err // somebody else signs in by it: that is proved, and an attribute is only said
	}
	return at.Issuer, sub, nil
}

// issued returns the first provider with an attribute that is wanted; nil when there is none.
func (s *Service) issued(wanted func(Issued) bool) *Issued {
	for i := range s.Issued {
		if s.Issued[i].Attribute != "" && wanted(s.Issued[i]) {
			return &s.Issued[i]
		}
	}
	return nil
}
