package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/session"
)

// sealedFlow is what the sealed column of a sign-in under way holds. It is sealed under the key file: nobody knows yet
// who is signing in.
type sealedFlow struct {
	Nonce     string   `json:"nonce"`
	Verifier  string   `json:"verifier"`
	Challenge string   `json:"challenge,omitempty"`
	Goto      string   `json:"goto,omitempty"`
	App       string   `json:"app,omitempty"`
	Want      []string `json:"want,omitempty"`
	Retried   bool     `json:"retried,omitempty"`
	Trust     bool     `json:"trust,omitempty"`
	Invite    []byte   `json:"invite,omitempty"`
	Lang      string   `json:"lang,omitempty"`
}

// flowRow names the row of a flow for what is sealed in it.
func flowRow(state []byte) string { return hex.EncodeToString(state) }

// PutFlow inserts a sign-in under way.
func (s *Store) PutFlow(ctx context.Context, f *session.Flow) error {
	if s.ring == nil {
		return errNoRing
	}
	plain, err := json.Marshal(sealedFlow{f.Nonce, f.Verifier, f.Challenge, f.Goto, f.App, f.Want, f.Retried, f.Trust, f.Invite, f.Lang})
	if err != nil {
		return err
	}
	_, err = s.hits(ctx, `INSERT INTO signins (state, cookie, idp, purpose, session, attempt, sealed, created, expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, f.State, f.Cookie, f.IDP, string(f.Purpose), f.Session, f.Attempt,
		s.ring.Seal(plain, "signins", flowRow(f.State), "sealed"), micros(f.Created), micros(f.Expires))
	if err != nil {
		return fmt.Errorf("put flow: %w", err)
	}
	return nil
}

// TakeFlow removes and returns the flow of a state, for one caller only: nil when there is none, its time is up, or the
// cookie is another browser's. A wrong cookie does not remove it. Both are hashes, so that comparing them tells nothing.
func (s *Store) TakeFlow(ctx context.Context, state, cookie []byte, now time.Time) (*session.Flow, error) {
	var f *session.Flow
	var sealed []byte
	err := s.db.statement(ctx, func(t tx) error {
		var created, expires int64
		f = &session.Flow{}
		err := t.queryRow(ctx, `DELETE FROM signins WHERE state = $1 AND cookie = $2 AND expires > $3
			RETURNING state, cookie, idp, purpose, session, attempt, sealed, created, expires`, state, cookie, micros(now)).
			Scan(&f.State, &f.Cookie, &f.IDP, &f.Purpose, &f.Session, &f.Attempt, &sealed, &created, &expires)
		f.Created, f.Expires = moment(created), moment(expires)
		if errors.Is(err, sql.ErrNoRows) {
			f, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take flow: %w", err)
	}
	if f == nil {
		return nil, nil
	}
	if s.ring == nil {
		return nil, errNoRing
	}
	var c sealedFlow
	plain, err := s.ring.Open(sealed, "signins", flowRow(f.State), "sealed")
	if err == nil {
		err = json.Unmarshal(plain, &c)
	}
	if err != nil {
		return nil, fmt.Errorf("take flow: %w", err)
	}
	f.Nonce, f.Verifier, f.Challenge, f.Goto, f.App = c.Nonce, c.Verifier, c.Challenge, c.Goto, c.App
	f.Want, f.Retried, f.Trust, f.Invite, f.Lang = c.Want, c.Retried, c.Trust, c.Invite, c.Lang
	return f, nil
}

// spendKey touches a row for one caller only.
const spendKey = `INSERT INTO spent (k, not_after) VALUES ($1, $2)
	ON CONFLICT (k) DO UPDATE SET not_after = excluded.not_after WHERE spent.not_after <= $3`

// SpendOnce claims a key until a time: true for one caller only. A time that is up claims nothing: the caller refuses as
// if somebody had been faster.
func (s *Store) SpendOnce(ctx context.Context, key []byte, until, now time.Time) (bool, error) {
	if !until.After(now) {
		return false, nil
	}
	return s.hits(ctx, spendKey, key, micros(until), micros(now))
}
