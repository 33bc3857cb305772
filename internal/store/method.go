package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
)

// selectMethods reads methods with the wrapped key of their person, so that reading them is one statement for everybody.
const (
	methodColumns = `m.id, m.version, m.person, m.kind, m.status, m.root_kind, m.root_id, m.sealed, m.destination, m.attribute,
	m.is_primary, m.uses, m.created, m.confirmed, m.usable_from, m.removed_at, m.last_used, m.last_step, m.failures, m.matures, m.leaves, k.wrapped`
	methodTables  = `methods m LEFT JOIN person_keys k ON k.person = m.person`
	selectMethods = `SELECT ` + methodColumns + ` FROM ` + methodTables + ` `
)

// sealedMethod is what a method's sealed column holds.
type sealedMethod struct {
	Destination string `json:"destination,omitempty"`
	Secret      []byte `json:"secret,omitempty"`
	Given       []byte `json:"given,omitempty"`
	Algorithm   string `json:"algorithm,omitempty"`
	Digits      int    `json:"digits,omitempty"`
	Period      int    `json:"period,omitempty"`
	Display     string `json:"display,omitempty"`
}

// DestinationHash returns the keyed hash by which destinations are compared. A number is one destination, whether it
// takes text messages or calls. nil for an empty destination or without a key file.
func (s *Store) DestinationHash(kind method.Kind, destination string) []byte {
	if destination == "" || s.ring == nil {
		return nil
	}
	return s.ring.Hash("destination", string(kind.Class()), account.Fold(destination))
}

// methodReader reads methods; it unwraps each person's key once.
func (s *Store) methodReader() func(scanner) (method.Method, error) {
	keys := map[string]keyring.PersonKey{}
	return func(row scanner) (m method.Method, err error) {
		var sealed, wrapped []byte
		var uses string
		var created, confirmed, usable, removed, used, matures, leaves int64
		if err := row.Scan(&m.ID, &m.Version, &m.Person, &m.Kind, &m.Status, &m.Root.Kind, &m.Root.ID, &sealed, &m.DestinationHash, &m.Attribute,
			&m.Primary, &uses, &created, &confirmed, &usable, &removed, &used, &m.LastStep, &m.Failures, &matures, &leaves, &wrapped); err != nil {
			return m, err
		}
		m.Created, m.Confirmed, m.UsableFrom, m.RemovedAt, m.LastUsed = moment(created), moment(confirmed), moment(usable), moment(removed), moment(used)
		m.Matures, m.Leaves = moment(matures), moment(leaves)
		if uses != "" {
			if err := json.Unmarshal([]byte(uses), &m.Usage); err != nil {
				return m, fmt.Errorf("method %s: %w", m.ID, err)
			}
		}
		key, known := keys[m.Person]
		if !known {
			switch {
			case s.ring == nil:
				return m, errNoRing
			case wrapped == nil:
				return m, fmt.Errorf("method %s: %w", m.ID, errNoKey)
			}
			if key, err = s.ring.Unwrap(m.Person, wrapped); err != nil {
				return m, fmt.Errorf("key of person %s: %w", m.Person, err)
			}
			keys[m.Person] = key
		}
		plain, err := key.Open(sealed, "methods", m.ID, "sealed")
		if err != nil {
			return m, fmt.Errorf("method %s: %w", m.ID, err)
		}
		var c sealedMethod
		if err := json.Unmarshal(plain, &c); err != nil {
			return m, fmt.Errorf("method %s: %w", m.ID, err)
		}
		m.Destination, m.Secret, m.Given, m.Algorithm, m.Digits, m.Period, m.Display = c.Destination, c.Secret, c.Given, c.Algorithm, c.Digits, c.Period, c.Display
		return m, nil
	}
}

// Methods returns all methods of a person in order of id, whatever their status. It runs its statement for nobody, too.
func (s *Store) Methods(ctx context.Context, person string) ([]method.Method, error) {
	return collect(ctx, s.db, s.methodReader(), selectMethods+`WHERE m.person = $1 ORDER BY m.id`, storable(person))
}

// MethodOf returns one method, unless it was removed, of a person a connector may know of; any connector when it is
// empty. fault.NotFound otherwise.
func (s *Store) MethodOf(ctx context.Context, id, connector string) (*method.Method, error) {
	found, err := collect(ctx, s.db, s.methodReader(), selectMethods+`JOIN people p ON p.id = m.person
		WHERE m.id = $1 AND m.status <> 'removed' AND ($2 = '' OR p.connector = $2)`, storable(id), connector)
	if err == nil && len(found) == 0 {
		err = notFound("method", id)
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// methodsIn reads the methods of a person whose row is locked, and locks them.
func (s *Store) methodsIn(ctx context.Context, t tx, person, lock string) ([]method.Method, error) {
	if lock != "" {
		lock += " OF m" // the key is on the outer side of a join, which cannot be locked, and never changes but by erasure
	}
	return collect(ctx, t, s.methodReader(), selectMethods+`WHERE m.person = $1 ORDER BY m.id`+lock, person)
}

func cloneMethods(all []method.Method) []method.Method {
	all = slices.Clone(all)
	for i := range all {
		all[i].Secret, all[i].Given, all[i].Usage = bytes.Clone(all[i].Secret), bytes.Clone(all[i].Given), slices.Clone(all[i].Usage)
	}
	return all
}

// plainMethod returns a method as it reads once it was stored.
func (s *Store) plainMethod(m method.Method) method.Method {
	m.DestinationHash = s.DestinationHash(m.Kind, m.Destination)
	m.Created, m.Confirmed, m.UsableFrom = stored(m.Created), stored(m.Confirmed), stored(m.UsableFrom)
	m.RemovedAt, m.LastUsed = stored(m.RemovedAt), stored(m.LastUsed)
	m.Matures, m.Leaves = stored(m.Matures), stored(m.Leaves)
	if len(m.Secret) == 0 {
		m.Secret = nil
	}
	if len(m.Given) == 0 {
		m.Given = nil
	}
	if len(m.Usage) == 0 {
		m.Usage = nil
	}
	return m
}

// saveMethods writes what differs between two lists of methods of a person whose row is locked, and reports whether
// anything did.
func (s *Store) saveMethods(ctx context.Context, t tx, person string, before, after []method.Method) (changed bool, err error) {
	old := map[string]method.Method{}
	for _, m := range before {
		old[m.ID] = m
	}
	var key keyring.PersonKey
	for i := range after {
		m := &after[i]
		if m.ID == "" {
			m.ID = newID()
		}
		if m.Person != "" && m.Person != person {
			return false, fmt.Errorf("method %s is of person %s, not %s", m.ID, m.Person, person)
		}
		m.Person = person
		was, known := old[m.ID]
		delete(old, m.ID)
		if known {
			m.Version = was.Version
		}
		*m = s.plainMethod(*m)
		if known && reflect.DeepEqual(s.plainMethod(was), *m) {
			continue
		}
		if key.IsZero() {
			if key, err = s.personKeyIn(ctx, t, person); err != nil {
				return false, err
			}
		}
		if !known {
			err = s.insertMethod(ctx, t, key, m)
		} else {
			err = s.updateMethod(ctx, t, key, was, m)
		}
		if err != nil {
			return false, err
		}
		m.Version++
		changed = true
	}
	for id := range old {
		return false, fmt.Errorf("method %s vanished: a method is removed by its status", id)
	}
	return changed, nil
}

// methodRow is what changes of a method, in the order of the statements.
func (s *Store) methodRow(key keyring.PersonKey, m *method.Method) ([]any, error) {
	plain, err := json.Marshal(sealedMethod{m.Destination, m.Secret, m.Given, m.Algorithm, m.Digits, m.Period, m.Display})
	if err != nil {
		return nil, err
	}
	uses, err := jsonOf(m.Usage)
	var destination any
	if m.DestinationHash != nil {
		destination = m.DestinationHash
	}
	return []any{string(m.Kind), string(m.Status), string(m.Root.Kind), m.Root.ID, key.Seal(plain, "methods", m.ID, "sealed"), destination,
		m.Attribute, m.Primary, uses, micros(m.Created), micros(m.Confirmed), micros(m.UsableFrom), micros(m.RemovedAt), micros(m.LastUsed),
		m.LastStep, m.Failures, micros(m.Matures), micros(m.Leaves)}, err
}

func (s *Store) insertMethod(ctx context.Context, t tx, key keyring.PersonKey, m *method.Method) error {
	row, err := s.methodRow(key, m)
	if err != nil {
		return err
	}
	m.Version = 0 // becomes 1
	_, err = t.exec(ctx, `INSERT INTO methods (id, person, since, version, kind, status, root_kind, root_id, sealed, destination, attribute, is_primary,
			uses, created, confirmed, usable_from, removed_at, last_used, last_step, failures, matures, leaves)
		VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`,
		append([]any{m.ID, m.Person, micros(m.Created)}, row...)...)
	if violates(err, "methods_pkey", "methods.id") {
		return &TakenError{"id"}
	}
	return err
}

func (s *Store) updateMethod(ctx context.Context, t tx, key keyring.PersonKey, was method.Method, m *method.Method) error {
	row, err := s.methodRow(key, m)
	if err != nil {
		return err
	}
	since := int64(-1) // as it was
	if !bytes.Equal(was.DestinationHash, m.DestinationHash) {
		since = micros(s.now()) // an old method with a new address is no older than the address
	}
	return once(ctx, t, statement(`UPDATE methods SET version = version + 1, since = CASE WHEN CAST($3 AS BIGINT) < 0 THEN since ELSE CAST($3 AS BIGINT) END, kind = $4, status = $5,
			root_kind = $6, root_id = $7, sealed = $8, destination = $9, attribute = $10, is_primary = $11, uses = $12, created = $13, confirmed = $14,
			usable_from = $15, removed_at = $16, last_used = $17, last_step = $18, failures = $19, matures = $20, leaves = $21
		WHERE id = $1 AND person = $2`, append([]any{m.ID, m.Person, since}, row...)...))
}

// CreateMethods adds methods to a person, and recovery codes to methods of theirs, with the events in one commit.
// fault.NotFound when there is no such person.
func (s *Store) CreateMethods(ctx context.Context, person string, methods []method.Method, codes []method.Code, events ...event.Event) error {
	err := s.transact(ctx, func(t tx) ([]event.Event, error) {
		if _, err := personIn(readPerson(t.queryRow(ctx, selectPerson+`WHERE id = $1`+t.lock(lockPerson), storable(person))))(person, ""); err != nil {
			return nil, err
		}
		if _, err := s.saveMethods(ctx, t, person, nil, methods); err != nil {
			return nil, err
		}
		return events, insertCodes(ctx, t, person, codes)
	})
	if err != nil {
		return fmt.Errorf("create methods: %w", err)
	}
	return nil
}

// insertCodes adds recovery codes to methods of a person whose row is locked.
func insertCodes(ctx context.Context, t tx, person string, codes []method.Code) error {
	for i := range codes {
		c := &codes[i]
		if c.ID == "" {
			c.ID = newID()
		}
		n, err := t.exec(ctx, `INSERT INTO recovery_codes (id, person, method, selector, hash, used)
			SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM methods WHERE id = $3 AND person = $2)`,
			c.ID, person, c.Method, c.Selector, c.Hash, micros(c.Used))
		if err == nil && n != 1 {
			err = errors.New("recovery code of a method the person does not have")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DestinationUses counts the people who have a destination among their methods now.
func (s *Store) DestinationUses(ctx context.Context, hash []byte) (n int, err error) {
	err = s.db.queryRow(ctx, `SELECT count(DISTINCT person) FROM methods WHERE destination = $1 AND status <> 'removed'`, hash).Scan(&n)
	return n, err
}

// KnownDestination reports whether a person had a destination at the time before, however it came. One that only waited
// to be confirmed does not count, nor one that was removed until then.
func (s *Store) KnownDestination(ctx context.Context, person string, hash []byte, before time.Time) (known bool, err error) {
	err = s.db.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM methods WHERE person = $1 AND destination = $2 AND since <= $3 AND status <> 'pending'
			AND (removed_at = 0 OR removed_at > $3))`, storable(person), hash, micros(before)).Scan(&known)
	return known, err
}
