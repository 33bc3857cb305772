package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// What the console asks for. Every question is bounded whatever was typed: names by ranges of their keys, each with an
// index and a limit of its own.

// maxFound is the most people one search returns.
const maxFound = 100

// lastKey is greater than whatever may follow a prefix: the last character there is.
const lastKey = "\U0010FFFF"

// findPeople looks through what people are called. Each kind of name has its range and its limit, so that the work is
// small for a prefix that everybody has.
const findPeople = selectPerson + `WHERE id IN (
	SELECT person FROM (SELECT person FROM logins WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $5) AS a
	UNION SELECT id FROM (SELECT id FROM people WHERE display_name_key >= $3 AND display_name_key < $4 ORDER BY display_name_key LIMIT $5) AS b
	UNION SELECT id FROM (SELECT id FROM people WHERE given_name_key >= $3 AND given_name_key < $4 ORDER BY given_name_key LIMIT $5) AS c
	UNION SELECT id FROM (SELECT id FROM people WHERE family_name_key >= $3 AND family_name_key < $4 ORDER BY family_name_key LIMIT $5) AS d)`

// FindPeople returns at most n people (and at most 100) who may type what begins with the text to say who they are, or
// whose display, given or family name begins with it: whoever is called exactly so first, then in order of user name. more
// says that there are others. Nobody for a text without a name in it.
func (s *Store) FindPeople(ctx context.Context, text string, n int) (found []*account.Person, more bool, err error) {
	login, name := storable(reset.LoginKey(text)), storable(schema.Fold(strings.TrimSpace(text)))
	if login == "" || name == "" {
		return nil, false, nil
	}
	n = min(n, maxFound)
	// A person may be found by several of their addresses, which must not crowd out others.
	const addresses = 5
	found, err = collect(ctx, s.db, readPerson, findPeople, login, login+lastKey, name, name+lastKey, addresses*(n+1))
	if err != nil {
		return nil, false, err
	}
	exact := func(p *account.Person) int {
		if slices.Contains(loginKeys(p), login) {
			return 0
		}
		return 1
	}
	slices.SortFunc(found, func(a, b *account.Person) int {
		return cmp.Or(cmp.Compare(exact(a), exact(b)), cmp.Compare(account.Fold(a.UserName), account.Fold(b.UserName)))
	})
	return found[:min(n, len(found))], len(found) > n, nil
}

// PeopleByEnding returns at most n people (and at most 100), in order of id, who were provisioned with a telephone number
// that ends in those four digits. Numbers that people registered themselves are sealed and not searched.
func (s *Store) PeopleByEnding(ctx context.Context, digits string, n int) (found []*account.Person, more bool, err error) {
	if digits == "" || digits != phoneEnding(digits) {
		return nil, false, nil
	}
	n = min(n, maxFound)
	found, err = collect(ctx, s.db, readPerson, selectPerson+`WHERE id IN (SELECT person FROM contacts WHERE ending = $1) ORDER BY id LIMIT $2`, digits, n+1)
	if err != nil {
		return nil, false, err
	}
	return found[:min(n, len(found))], len(found) > n, nil
}

// phoneEnding is the last four digits of a telephone number, without an extension; "" when there are fewer.
func phoneEnding(number string) string {
	var digits []rune
	for _, r := range number {
		switch {
		case r >= '0' && r <= '9':
			digits = append(digits, r)
		case len(digits) > 0 && !strings.ContainsRune(" \u00a0-./()", r): // ;ext=12, x12 and the like are no part of it
			return lastFour(digits)
		}
	}
	return lastFour(digits)
}

func lastFour(digits []rune) string {
	if len(digits) < 4 {
		return ""
	}
	return string(digits[len(digits)-4:])
}

// AttemptByReference returns the attempt that shows a reference; nil when there is none.
func (s *Store) AttemptByReference(ctx context.Context, reference string) (*reset.Attempt, error) {
	return s.attempt(s.db.queryRow(ctx, selectAttempt+`WHERE a.reference = $1`, storable(reference)))
}

// ConnectorNames returns what each connector is called, by id.
func (s *Store) ConnectorNames(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	err := s.db.query(ctx, func(row scanner) error {
		var id, name string
		err := row.Scan(&id, &name)
		names[id] = name
		return err
	}, `SELECT id, name FROM connectors`)
	return names, err
}

var namesOf = pair{
	postgres: selectPerson + `WHERE id IN (SELECT value FROM json_array_elements_text($1::json)) LIMIT $2`,
	sqlite:   selectPerson + `WHERE id IN (SELECT value FROM json_each($1)) LIMIT $2`,
}

// NamesOf returns what people are called, by id; whoever is not there any more is left out. At most 100 are looked up.
func (s *Store) NamesOf(ctx context.Context, ids []string) (map[string]string, error) {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return storable(id) == "" })
	if len(ids) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(ids[:min(len(ids), maxFound)])
	if err != nil {
		return nil, err
	}
	people, err := collect(ctx, s.db, readPerson, namesOf.on(s.Kind()), string(list), maxFound)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(people))
	for _, p := range people {
		names[p.ID] = p.Name()
	}
	return names, nil
}

// KeepStaff notes that a page for staff is about to be shown in a session, and reports whether it may be: the session had
// a step-up, and that, or the last such page, is at most session.StaffIdle ago. It is one guarded statement, and nothing
// but pages for staff prolongs the time: whoever finds a desk that was left cannot freshen it up by another page.
func (s *Store) KeepStaff(ctx context.Context, id string, now time.Time) (kept bool, err error) {
	err = s.db.statement(ctx, func(t tx) error {
		n, err := t.exec(ctx, `UPDATE sessions SET staffed = $2 WHERE id = $1 AND ended = 0 AND step_up > 0 AND (step_up >= $3 OR staffed >= $3)`,
			storable(id), micros(now), micros(now.Add(-session.StaffIdle)))
		kept = n == 1
		return err
	})
	return kept, err
}
