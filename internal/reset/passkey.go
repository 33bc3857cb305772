package reset

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
)

// Handle returns what names a person to their authenticators and nobody else (Web Authentication Level 3 §14.6.1): their
// id, which says nothing of them and opens nothing.
func Handle(person string) []byte { return []byte(person) }

// Options returns what the browser needs to use a passkey for a challenge of the attempt: the same for everybody but for
// the bytes to sign, and no passkey is named. fault.Over for any other challenge, or one whose time is up.
func (s *Service) Options(ctx context.Context, a *Attempt, challengeID string) ([]byte, error) {
	c, err := s.Store.Challenge(ctx, challengeID)
	if err != nil {
		return nil, err
	}
	if s.Passkeys == nil || c == nil || c.Attempt != a.ID || c.Kind != method.Passkey || !s.Now().Before(c.Expires) {
		return nil, Over("step")
	}
	return s.Passkeys.Request(s.signed(c))
}

// signed is what a passkey must sign for a challenge; it is stored nowhere.
func (s *Service) signed(c *Challenge) []byte { return s.Keys.Hash("passkey/use", c.ID) }

// verifyPasskey returns the way a browser's answer proves. Only a passkey of the attempt's own person is looked for, and a
// signature is checked even when there is none.
func (s *Service) verifyPasskey(ctx context.Context, u *subject, a *Attempt, c *Challenge, answer string, now time.Time) (*method.Method, error) {
	if s.Passkeys == nil {
		return nil, nil
	}
	var m *method.Method
	used, err := s.Passkeys.Checked(s.signed(c), []byte(answer), func(id, handle []byte) *passkey.Credential {
		var found *passkey.Credential
		m = u.find(func(m *method.Method) bool {
			if m.Kind != method.Passkey || !u.usable(m, now) || !a.Counts(m, u.trusts) {
				return false
			}
			kept, err := passkey.Parse(m.Secret)
			if err != nil || !bytes.Equal(kept.ID, id) || !bytes.Equal(handle, Handle(a.Person)) {
				return false
			}
			found = &kept
			return true
		})
		return found
	})
	if err != nil || m == nil {
		s.Log.InfoContext(ctx, "passkey refused", "attempt", a.ID, "err", err)
		return nil, nil
	}
	ok, err := s.advance(ctx, m, used, now)
	if err != nil || !ok {
		return nil, err
	}
	return m, nil
}

// errCopied ends a change that found a passkey used elsewhere meanwhile.
var errCopied = errors.New("the counter of a passkey went back")

// advance keeps the counter of a passkey that was used. False when another use was faster, or the passkey is gone.
func (s *Service) advance(ctx context.Context, m *method.Method, used passkey.Credential, now time.Time) (bool, error) {
	_, err := s.Store.UpdatePerson(ctx, m.Person, "", func(_ *account.Person, all *[]method.Method) ([]event.Event, error) {
		i := slices.IndexFunc(*all, func(o method.Method) bool { return o.ID == m.ID && o.Status == method.Active })
		if i < 0 {
			return nil, errCopied
		}
		kept, err := passkey.Parse((*all)[i].Secret)
		if err != nil || !kept.Advance(used) {
			return nil, errCopied
		}
		(*all)[i].Secret, (*all)[i].LastUsed = kept.Bytes(), now
		return nil, nil
	})
	if errors.Is(err, errCopied) {
		return false, nil
	}
	return err == nil, err
}
