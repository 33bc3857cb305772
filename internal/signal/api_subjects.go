package signal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/fault"
)

// maxSubject bounds one text of a subject, in bytes.
const maxSubject = 512

// addSubject lets a stream hear of somebody again (SSF 1.0 §8.1.3.2). Everybody is in a stream from the start.
func (a *api) addSubject(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	s, person, err := a.about(w, r, who)
	if err == nil && person != "" {
		err = a.Store.AddSubject(r.Context(), s.ID, person)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// removeSubject keeps a stream from hearing of somebody (SSF 1.0 §8.1.3.3).
func (a *api) removeSubject(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	s, person, err := a.about(w, r, who)
	if err == nil && person != "" {
		if err = a.Store.RemoveSubject(r.Context(), s.ID, person, a.Now()); fault.Is(err, fault.NotFound) {
			err = nil // deleted meanwhile
		}
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// about reads which stream and whom a request means. Somebody we do not know is no error, and the answer the same: it must
// not tell who is here (SSF 1.0 §9.1).
func (a *api) about(w http.ResponseWriter, r *http.Request, who *client.Receiver) (*client.Stream, string, error) {
	o, err := body(w, r)
	if err != nil {
		return nil, "", err
	}
	s, err := a.named(r.Context(), o, who)
	if err != nil {
		return nil, "", err
	}
	subject, err := o.child("subject")
	if err == nil && subject == nil {
		err = errors.New("subject is missing")
	}
	if err == nil {
		_, err = o.flag("verified")
	}
	var names []string
	if err == nil {
		names, err = subjectNames(subject, who.Format)
	}
	if err != nil {
		return nil, "", bad(err)
	}
	person, err := a.find(r.Context(), who, names)
	return s, person, err
}

// subjectMembers are what a subject of a format is made of (RFC 9493 §3.2).
var subjectMembers = map[client.SubjectFormat][]string{
	client.FormatIssSub: {"iss", "sub"}, client.FormatEmail: {"email"}, client.FormatOpaque: {"id"},
}

// subjectNames reads a subject of the one format that a receiver knows people by.
func subjectNames(subject object, format client.SubjectFormat) ([]string, error) {
	said, err := subject.text("format", maxSubject)
	if err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	if said != string(format) {
		return nil, fmt.Errorf("subject: this receiver knows people by format %s", format)
	}
	var names []string
	for _, member := range subjectMembers[format] {
		name, err := subject.text(member, maxSubject)
		if err != nil || name == "" {
			return nil, fmt.Errorf("subject: %s is missing, or no text of at most %d bytes", member, maxSubject)
		}
		names = append(names, name)
	}
	return names, nil
}

// find returns the person that the receiver would be told of by these names, and nobody else; "" when there is none.
func (a *api) find(ctx context.Context, who *client.Receiver, names []string) (string, error) {
	switch who.Format {
	case client.FormatIssSub:
		person, err := a.Store.PersonAt(ctx, names[0], names[1])
		if at := a.issued(func(i Issued) bool { return i.Issuer == names[0] }); err == nil && person == "" && at != nil {
			var people []*account.Person
			if people, err = a.Store.PeopleBy(ctx, at.Attribute, names[1], at.Connectors); len(people) == 1 {
				person = people[0].ID
			}
		}
		if err != nil || person == "" {
			return "", err
		}
		issuer, subject, err := a.accountAt(ctx, who, person)
		if err != nil || issuer != names[0] || subject != names[1] {
			return "", err
		}
		return person, nil
	case client.FormatEmail:
		people, err := a.Store.PeopleBy(ctx, "emails.work", names[0], nil)
		if err != nil || len(people) != 1 || !strings.EqualFold(people[0].Claim("emails.work"), names[0]) {
			return "", err
		}
		return people[0].ID, nil
	}
	return a.byOpaqueName(who, names[0]), nil
}
