package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/staff"
)

const roleColumns = `id, role, source, idp, claim, value, made, by_whom`

func readRoleRule(row scanner) (r staff.Rule, err error) {
	var made int64
	err = row.Scan(&r.ID, &r.Role, &r.Source, &r.IDP, &r.Claim, &r.Value, &made, &r.By)
	r.Made = moment(made)
	return r, err
}

// RoleRules returns what makes people staff, oldest first; see Cached.
func (s *Store) RoleRules(ctx context.Context) ([]staff.Rule, error) {
	return collect(ctx, s.db, readRoleRule, `SELECT `+roleColumns+` FROM role_rules ORDER BY id`)
}

// roleRow checks a rule and returns it as stored. It gives the rule an id where it has none.
func roleRow(r *staff.Rule) ([]any, error) {
	err := r.Check()
	if err == nil {
		err = allStorable(r.IDP, r.Claim, r.Value)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), err)
	}
	if r.ID == "" {
		r.ID = newID()
	}
	return []any{r.ID, string(r.Role), string(r.Source), r.IDP, r.Claim, r.Value, micros(r.Made), r.By}, nil
}

// PutRoleRule inserts a rule with the events in one commit and moves the generation. False, and nothing written, when the
// same rule is there already. fault.Invalid when Check refuses it.
func (s *Store) PutRoleRule(ctx context.Context, r *staff.Rule, events ...event.Event) (bool, error) {
	row, err := roleRow(r)
	hit := false
	if err == nil {
		hit, err = s.commit(ctx, change{
			first: statement(`INSERT INTO role_rules (`+roleColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`, row...),
			with:  []stmt{moveGeneration()}, events: events,
		})
	}
	if err != nil {
		return false, fmt.Errorf("put role rule: %w", err)
	}
	return hit, nil
}

// DeleteRoleRule deletes a rule, with the events in one commit, and moves the generation. fault.NotFound when there is
// none of that id.
func (s *Store) DeleteRoleRule(ctx context.Context, id string, events ...event.Event) error {
	hit, err := s.commit(ctx, change{first: statement(`DELETE FROM role_rules WHERE id = $1`, storable(id)), with: []stmt{moveGeneration()}, events: events})
	if err == nil && !hit {
		err = notFound("role rule", id)
	}
	if err != nil {
		return fmt.Errorf("delete role rule: %w", err)
	}
	return nil
}

// PutInvite inserts an invitation with the events in one commit.
func (s *Store) PutInvite(ctx context.Context, i staff.Invite, events ...event.Event) error {
	_, err := s.commit(ctx, change{
		first: statement(`INSERT INTO invites (hash, role, by_whom, made, expires, used) VALUES ($1, $2, $3, $4, $5, $6)`,
			i.Hash, string(i.Role), i.By, micros(i.Made), micros(i.Expires), micros(i.Used)),
		events: events,
	})
	if err != nil {
		return fmt.Errorf("put invite: %w", err)
	}
	return nil
}

// Invite returns an invitation, used or not; nil when there is none of that hash.
func (s *Store) Invite(ctx context.Context, hash []byte) (*staff.Invite, error) {
	i := &staff.Invite{}
	var made, expires, used int64
	err := s.db.queryRow(ctx, `SELECT hash, role, by_whom, made, expires, used FROM invites WHERE hash = $1`, hash).Scan(&i.Hash, &i.Role, &i.By, &made, &expires, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	i.Made, i.Expires, i.Used = moment(made), moment(expires), moment(used)
	return i, nil
}

// RedeemInvite spends an invitation and writes the rule it is redeemed for, with the events in one commit; the generation
// moves. For one caller only, ever: staff.Over, and nothing written, when the invitation was used, its time is up, or it
// is for another role than the rule's. A rule that is there already is left as it is.
func (s *Store) RedeemInvite(ctx context.Context, hash []byte, r staff.Rule, now time.Time, events ...event.Event) error {
	row, err := roleRow(&r)
	hit := false
	if err == nil {
		hit, err = s.commit(ctx, change{
			first: statement(`UPDATE invites SET used = $2 WHERE hash = $1 AND used = 0 AND expires > $2 AND role = $3`, hash, micros(now), string(r.Role)),
			with: []stmt{
				statement(`INSERT INTO role_rules (`+roleColumns+`) SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE {hit} ON CONFLICT DO NOTHING`, row...),
				moveGeneration(),
			},
			events: events,
		})
	}
	if err == nil && !hit {
		err = staff.Over()
	}
	if err != nil {
		return fmt.Errorf("redeem invite: %w", err)
	}
	return nil
}
