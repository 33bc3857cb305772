package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/client"
)

// PutAccess keeps an access token of a receiver and drops those of the same receiver whose time has passed, in one commit.
func (s *Store) PutAccess(ctx context.Context, a client.Access, now time.Time) error {
	err := s.db.write(ctx, func(t tx) error {
		if _, err := t.exec(ctx, `DELETE FROM ssf_tokens WHERE receiver = $1 AND expires <= $2`, a.Receiver, micros(now)); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO ssf_tokens (hash, receiver, secret, scopes, expires) VALUES ($1, $2, $3, $4, $5)`,
			a.Hash, a.Receiver, a.Secret, joinWords(a.Scopes), micros(a.Expires))
		return err
	})
	if err != nil {
		return fmt.Errorf("put access token: %w", err)
	}
	return nil
}

// Access returns an access token of a receiver by its hash; nil when there is none or its time has passed.
func (s *Store) Access(ctx context.Context, hash []byte, now time.Time) (*client.Access, error) {
	found, err := collect(ctx, s.db, func(row scanner) (a client.Access, err error) {
		var scopes string
		var expires int64
		err = row.Scan(&a.Hash, &a.Receiver, &a.Secret, &scopes, &expires)
		for scope := range strings.FieldsSeq(scopes) {
			a.Scopes = append(a.Scopes, client.Scope(scope))
		}
		a.Expires = moment(expires)
		return a, err
	}, `SELECT hash, receiver, secret, scopes, expires FROM ssf_tokens WHERE hash = $1 AND expires > $2`, hash, micros(now))
	if err != nil {
		return nil, fmt.Errorf("access token: %w", err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return &found[0], nil
}

// joinWords is how a list of words without spaces is stored.
func joinWords[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, s := range words {
		texts[i] = string(s)
	}
	return strings.Join(texts, " ")
}
