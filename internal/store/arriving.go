package store

import (
	"context"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
)

// These look up many people, names or destinations by one statement, each by an index.
var (
	peopleNamed = pair{
		postgres: selectPerson + `WHERE connector = $1 AND external_id = ANY($2) UNION ALL
			SELECT ` + personColumns + ` FROM people WHERE connector = $1 AND user_name_key = ANY($3) AND (external_id IS NULL OR external_id <> ALL($2))`,
		sqlite: selectPerson + `WHERE connector = $1 AND external_id IN (SELECT value FROM json_each($2)) UNION ALL
			SELECT ` + personColumns + ` FROM people WHERE connector = $1 AND user_name_key IN (SELECT value FROM json_each($3))
			AND (external_id IS NULL OR external_id NOT IN (SELECT value FROM json_each($2)))`,
	}
	methodsOfMany = pair{
		postgres: selectMethods + `WHERE m.person = ANY($1) ORDER BY m.id`,
		sqlite:   selectMethods + `WHERE m.person IN (SELECT value FROM json_each($1)) ORDER BY m.id`,
	}
	namesSeen = pair{
		postgres: `SELECT user_name_key, connector, external_id FROM tombstones WHERE deleted >= $4 AND (user_name_key = ANY($3) OR connector = $1 AND external_id = ANY($2))`,
		sqlite: `SELECT user_name_key, connector, external_id FROM tombstones WHERE deleted >= $4
			AND (user_name_key IN (SELECT value FROM json_each($3)) OR connector = $1 AND external_id IN (SELECT value FROM json_each($2)))`,
	}
)

// PeopleNamed returns the people of a connector who have one of the external ids, or else one of the folded user names.
func (s *Store) PeopleNamed(ctx context.Context, connector string, externalIDs, names []string) ([]*account.Person, error) {
	ids, err1 := textsOn(s.Kind(), storableOf(externalIDs))
	keys, err2 := textsOn(s.Kind(), storableOf(names))
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("people named: %w %w", err1, err2)
	}
	found, err := collect(ctx, s.db, readPerson, peopleNamed.on(s.Kind()), connector, ids, keys)
	if err != nil {
		return nil, fmt.Errorf("people named: %w", err)
	}
	return found, nil
}

// MethodsOf returns the methods of many people, whatever their status.
func (s *Store) MethodsOf(ctx context.Context, people []string) (map[string][]method.Method, error) {
	ids, err := textsOn(s.Kind(), storableOf(people))
	if err != nil {
		return nil, err
	}
	all, err := collect(ctx, s.db, s.methodReader(), methodsOfMany.on(s.Kind()), ids)
	if err != nil {
		return nil, fmt.Errorf("methods of people: %w", err)
	}
	of := map[string][]method.Method{}
	for _, m := range all {
		of[m.Person] = append(of[m.Person], m)
	}
	return of, nil
}

// SeenOf is SeenBefore for many: it returns the folded user names, and the connector's external ids, that were deleted or
// given up since then.
func (s *Store) SeenOf(ctx context.Context, connector string, externalIDs, names []string, since time.Time) (seenIDs, seenNames map[string]bool, err error) {
	ids, err1 := textsOn(s.Kind(), storableOf(externalIDs))
	keys, err2 := textsOn(s.Kind(), storableOf(names))
	if err1 != nil || err2 != nil {
		return nil, nil, fmt.Errorf("names seen: %w %w", err1, err2)
	}
	seenIDs, seenNames = map[string]bool{}, map[string]bool{}
	err = s.db.query(ctx, func(row scanner) error {
		var name, of, id string
		err := row.Scan(&name, &of, &id)
		seenNames[name] = true
		if of == connector && id != "" {
			seenIDs[id] = true
		}
		return err
	}, namesSeen.on(s.Kind()), connector, ids, keys, micros(since))
	return seenIDs, seenNames, err
}

// UsesOf is DestinationUses for many, by the hash as a string; those nobody has are left out.
func (s *Store) UsesOf(ctx context.Context, hashes [][]byte) (map[string]int, error) {
	uses := map[string]int{}
	if s.Kind() == SQLite { // it has no arrays of bytes, and no round trips either
		for _, h := range hashes {
			n, err := s.DestinationUses(ctx, h)
			if err != nil {
				return nil, err
			}
			uses[string(h)] = n
		}
		return uses, nil
	}
	err := s.db.query(ctx, func(row scanner) error {
		var hash []byte
		var n int
		err := row.Scan(&hash, &n)
		uses[string(hash)] = n
		return err
	}, `SELECT destination, count(DISTINCT person) FROM methods WHERE destination = ANY($1) AND status <> 'removed' GROUP BY destination`, hashes)
	return uses, err
}

// storableOf leaves out what no column could hold, and what is empty. It is never nil, which a statement would take for NULL.
func storableOf(texts []string) []string {
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		if storable(t) != "" {
			out = append(out, t)
		}
	}
	return out
}
