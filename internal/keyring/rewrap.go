package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Wrapped is a person's key as stored.
type Wrapped struct {
	Person string
	Key    []byte
}

// RewrapStore is what Rewrap needs of the store.
type RewrapStore interface {
	// WrappedKeys returns at most limit keys of people greater than after, in ascending order of person, bytewise,
	// that are not wrapped by the key named notUnder (see SealedUnder).
	WrappedKeys(ctx context.Context, after, notUnder string, limit int) ([]Wrapped, error)
	// ReplaceWrapped stores the new form if the stored one still is old, in one guarded statement, and reports
	// whether it was.
	ReplaceWrapped(ctx context.Context, person string, old, new []byte) (bool, error)
}

// maxRewrapErrors bounds how many damaged rows one run reports.
const maxRewrapErrors = 10

// Rewrap wraps every person's key with the primary key, batch rows at a time, and returns how many it moved. People's
// data is not touched: only the wrapping changes. It may be stopped at any point, run again, and run by several
// replicas at once: a row that another has moved meanwhile is left alone. A row that does not open is reported and
// passed over, so that one damaged row does not stop a rotation; then Remove of the old key stays refused.
func (r *Ring) Rewrap(ctx context.Context, store RewrapStore, batch int) (done int, err error) {
	if batch < 1 {
		return 0, fmt.Errorf("rewrap: batch of %d", batch)
	}
	var bad []error
	primary, after := r.Primary(), ""
	for {
		if err := ctx.Err(); err != nil {
			return done, errors.Join(append(bad, err)...)
		}
		rows, err := store.WrappedKeys(ctx, after, primary, batch)
		if err != nil {
			return done, errors.Join(append(bad, fmt.Errorf("rewrap after %q: %w", after, err))...)
		}
		if len(rows) == 0 {
			return done, errors.Join(bad...)
		}
		for _, row := range rows {
			if row.Person <= after {
				// Going on would loop for ever on a store that does not honour the order.
				return done, fmt.Errorf("rewrap: store gave %q after %q", row.Person, after)
			}
			after = row.Person
			moved, err := r.rewrapOne(ctx, store, row)
			switch {
			case errors.Is(err, ErrSealed), errors.Is(err, ErrUnknownKey):
				if len(bad) < maxRewrapErrors {
					bad = append(bad, err)
				}
			case err != nil:
				return done, errors.Join(append(bad, err)...)
			case moved:
				done++
			}
		}
	}
}

func (r *Ring) rewrapOne(ctx context.Context, store RewrapStore, row Wrapped) (bool, error) {
	key, err := r.Unwrap(row.Person, row.Key)
	if err != nil {
		return false, fmt.Errorf("rewrap person %s: %w", row.Person, err)
	}
	moved, err := store.ReplaceWrapped(ctx, row.Person, bytes.Clone(row.Key), r.wrap(key))
	if err != nil {
		return false, fmt.Errorf("rewrap person %s: %w", row.Person, err)
	}
	return moved, nil
}

// Reseal returns a value of nobody sealed under the primary key, for rows that Rewrap does not reach; changed is false
// when it is already. Errors as Open.
func (r *Ring) Reseal(sealed []byte, table, row, column string) (out []byte, changed bool, err error) {
	if id, err := SealedUnder(sealed); err == nil && id == r.Primary() {
		return sealed, false, nil
	}
	plain, err := r.Open(sealed, table, row, column)
	if err != nil {
		return nil, false, err
	}
	return r.Seal(plain, table, row, column), true, nil
}
