package session

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails since Go 1.24: the process ends instead
	return b
}

// TrustBrowser keeps the browser of a session as trusted and returns the secret for its cookie. Only a step-up that was
// made just now may do it; fault.Denied otherwise.
func (s *Service) TrustBrowser(ctx context.Context, se *Session, o Origin) (token string, err error) {
	now := s.Now()
	if !se.Alive(now) || !se.SteppedUp(now, StepUpLife) {
		return "", fault.New(fault.Denied, message.Key("signin.requires.lede"))
	}
	token, hash := keyring.NewToken(prefixBrowser)
	b := &Browser{ID: uuid.Must(uuid.NewV7()).String(), Hash: hash, Person: se.Person, Epoch: se.Epoch, Agent: o.Agent, Network: o.Prefix().String(),
		Made: now, Expires: now.Add(BrowserLife)}
	e := event.New(now, event.BrowserTrusted, "person:"+se.Person, se.Person, se.ID, event.Success).With("browser", b.ID).
		Sealed("network", b.Network).Sealed("agent", b.Agent)
	if err := s.Store.PutBrowser(ctx, b, e); err != nil {
		return "", fmt.Errorf("trust browser: %w", err)
	}
	return token, nil
}

// Browsers returns the trusted browsers of a person, newest first.
func (s *Service) Browsers(ctx context.Context, person string) ([]Browser, error) {
	return s.Store.BrowsersOf(ctx, person, s.Now())
}

// BrowserByHash returns the trusted browser of a cookie; nil when there is none or it does not count any more.
func (s *Service) BrowserByHash(ctx context.Context, hash []byte) (*Browser, error) {
	if hash == nil {
		return nil, nil
	}
	return s.Store.BrowserByHash(ctx, hash, s.Now())
}

// ForgetBrowser ends the trust in one of the person's browsers. fault.NotFound when they have none of that id.
func (s *Service) ForgetBrowser(ctx context.Context, se *Session, id string) error {
	e := event.New(s.Now(), event.BrowserForgotten, "person:"+se.Person, se.Person, se.ID, event.Success).With("browser", id)
	found, err := s.Store.ForgetBrowser(ctx, se.Person, id, e)
	if err == nil && !found {
		err = fault.New(fault.NotFound, message.Key("error.not_found"))
	}
	return err
}
