package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/staff"
)

// The kinds of members.
const (
	MemberUser  = "User"
	MemberGroup = "Group"
)

// Member is one member of a group.
type Member = account.Member

// MemberChange says what becomes of a group's members.
type MemberChange = account.MemberChange

const (
	groupColumns = `id, version, connector, coalesce(external_id, ''), display_name, attrs, created, updated`
	selectGroup  = `SELECT ` + groupColumns + ` FROM groups `
)

func readGroup(row scanner) (*account.Group, error) {
	g := &account.Group{}
	var attrs string
	var created, updated int64
	if err := row.Scan(&g.ID, &g.Version, &g.Connector, &g.ExternalID, &g.DisplayName, &attrs, &created, &updated); err != nil {
		return nil, err
	}
	g.Created, g.Updated = moment(created), moment(updated)
	if attrs != "" {
		g.Attrs = json.RawMessage(attrs)
	}
	return g, nil
}

func groupRow(g *account.Group) []any {
	return []any{g.Connector, present(g.ExternalID), g.DisplayName, keyOf(g.DisplayName), string(g.Attrs), micros(g.Created), micros(g.Updated)}
}

// groupOf judges whether a group that was read is one a connector may know of.
func groupOf(g *account.Group, err error) func(id, connector string) (*account.Group, error) {
	return func(id, connector string) (*account.Group, error) {
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, notFound("group", id)
		case err != nil:
			return nil, err
		case connector != "" && g.Connector != connector:
			return nil, notFound("group of another connector", id)
		}
		return g, nil
	}
}

// Group returns a group a connector may know of, without members; any connector when it is empty. fault.NotFound
// otherwise.
func (s *Store) Group(ctx context.Context, id, connector string) (*account.Group, error) {
	return groupOf(readGroup(s.db.queryRow(ctx, selectGroup+`WHERE id = $1`, storable(id))))(id, connector)
}

// CreateGroup inserts a group with members and events in one commit. It gives the group an id where it has none and
// version 1. *TakenError when the id is another group's.
func (s *Store) CreateGroup(ctx context.Context, g *account.Group, members []Member, events ...event.Event) error {
	if g.ID == "" {
		g.ID = newID()
	}
	g.Version = 1
	err := s.transact(ctx, func(t tx) ([]event.Event, error) {
		if err := allStorable(g.ID, g.ExternalID, g.DisplayName); err != nil {
			return nil, err
		}
		n, err := t.exec(ctx, `INSERT INTO groups (id, version, connector, external_id, display_name, display_name_key, attrs, created, updated)
			VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`, append([]any{g.ID}, groupRow(g)...)...)
		if err == nil && n == 0 {
			err = &TakenError{"id"}
		}
		if err == nil {
			_, err = moveMembers(ctx, t, g.ID, MemberChange{Add: members})
		}
		return events, err
	})
	if err != nil {
		return fmt.Errorf("create group: %w", err)
	}
	return nil
}

// Whether a member is a person or a group is found out where nobody said.
var (
	addMembers = pair{
		postgres: `INSERT INTO members (grp, member, kind)
			SELECT $1, m.id, CASE WHEN m.kind <> '' THEN m.kind WHEN EXISTS (SELECT 1 FROM groups g WHERE g.id = m.id) THEN 'Group' ELSE 'User' END
			FROM json_to_recordset($2::json) AS m (id text, kind text) ON CONFLICT DO NOTHING`,
		sqlite: `INSERT INTO members (grp, member, kind)
			SELECT $1, m.value ->> 'id', CASE WHEN m.value ->> 'kind' <> '' THEN m.value ->> 'kind'
				WHEN EXISTS (SELECT 1 FROM groups g WHERE g.id = m.value ->> 'id') THEN 'Group' ELSE 'User' END
			FROM json_each($2) m WHERE TRUE ON CONFLICT DO NOTHING`,
	}
	removeMembers = pair{
		postgres: `DELETE FROM members WHERE grp = $1 AND member = ANY($2)`, // by the key: a join would read the whole group
		sqlite:   `DELETE FROM members WHERE grp = $1 AND member IN (SELECT value FROM json_each($2))`,
	}
	keepMembers = pair{
		postgres: `DELETE FROM members m WHERE m.grp = $1 AND NOT EXISTS (SELECT 1 FROM unnest($2::text[]) AS r (id) WHERE r.id = m.member)`,
		sqlite:   `DELETE FROM members WHERE grp = $1 AND member NOT IN (SELECT value FROM json_each($2))`,
	}
	// Who is there is looked up id by id, whatever the planner believes of a table that was filled a moment ago.
	presentPeople = pair{
		postgres: `SELECT id FROM people WHERE id = ANY($1) AND ($2 = '' OR connector = $2)`,
		sqlite:   `SELECT p.id FROM json_each($1) r CROSS JOIN people p ON p.id = r.value WHERE $2 = '' OR p.connector = $2`,
	}
	presentGroups = pair{
		postgres: `SELECT id FROM groups WHERE id = ANY($1) AND ($2 = '' OR connector = $2)`,
		sqlite:   `SELECT g.id FROM json_each($1) r CROSS JOIN groups g ON g.id = r.value WHERE $2 = '' OR g.connector = $2`,
	}
)

// memberChunk is how many members one statement moves or looks for, so that none takes long.
const memberChunk = 5_000

// textsOn is a list of texts as a statement takes it: an array, or JSON.
func textsOn(k Kind, texts []string) (any, error) {
	if k == PostgreSQL {
		return texts, nil
	}
	b, err := json.Marshal(texts)
	return string(b), err
}

func idsOf(members []Member) []string {
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = storable(m.ID)
	}
	return ids
}

// moveMembers applies a change to the members of a group whose row is locked and returns how many rows moved. It never
// reads them.
func moveMembers(ctx context.Context, t tx, group string, c MemberChange) (moved int64, err error) {
	run := func(q pair, rows any) error {
		n, err := t.exec(ctx, q.on(t.kind()), group, rows)
		moved += n
		return err
	}
	if c.ReplaceAll {
		ids, err := textsOn(t.kind(), idsOf(c.Add))
		if err == nil {
			err = run(keepMembers, ids)
		}
		if err != nil {
			return 0, err
		}
	} else {
		for some := range slices.Chunk(c.Remove, memberChunk) {
			ids, err := textsOn(t.kind(), idsOf(some))
			if err == nil {
				err = run(removeMembers, ids)
			}
			if err != nil {
				return moved, err
			}
		}
	}
	for _, m := range c.Add {
		if err := allStorable(m.ID, m.Kind); err != nil || m.ID == "" {
			return 0, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), fmt.Errorf("member %q", m.ID))
		}
	}
	for some := range slices.Chunk(c.Add, memberChunk) {
		rows, err := json.Marshal(some)
		if err == nil {
			err = run(addMembers, string(rows))
		}
		if err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// UpdateGroup runs change on a group and applies what it says of the members, which are never loaded, in one commit with
// the events. When no member moved and the group is as it was, nothing is written, and neither are the events: the group
// keeps its version. ErrUnchanged from the closure does the same. When only members moved, Updated becomes the store's
// now. The group is locked meanwhile; the closure may run more than once.
//
// It returns the group as it is afterwards. fault.NotFound when there is none, or none of that connector (any when empty).
func (s *Store) UpdateGroup(ctx context.Context, id, connector string, change func(*account.Group) ([]event.Event, *MemberChange, error)) (*account.Group, error) {
	var after *account.Group
	err := s.transact(ctx, func(t tx) ([]event.Event, error) {
		lock := ""
		if t.kind() == PostgreSQL { // groups stand outside the order of locks: whoever locks one locks nothing else
			lock = " FOR UPDATE"
		}
		g, err := groupOf(readGroup(t.queryRow(ctx, selectGroup+`WHERE id = $1`+lock, storable(id))))(id, connector)
		if err != nil {
			return nil, err
		}
		before := *g
		after = &before
		events, members, err := change(g)
		if err != nil {
			return nil, err
		}
		if err := allStorable(g.ExternalID, g.DisplayName); err != nil {
			return nil, err
		}
		g.ID, g.Version = before.ID, before.Version
		moved := int64(0)
		if members != nil {
			if moved, err = moveMembers(ctx, t, g.ID, *members); err != nil {
				return nil, err
			}
		}
		same := reflect.DeepEqual(groupRow(&before), groupRow(g))
		if moved == 0 && same {
			return nil, ErrUnchanged
		}
		if same {
			g.Updated = s.now()
		}
		if err := once(ctx, t, statement(`UPDATE groups SET version = version + 1, connector = $3, external_id = $4, display_name = $5, display_name_key = $6,
				attrs = $7, created = $8, updated = $9 WHERE id = $1 AND version = $2`, append([]any{g.ID, g.Version}, groupRow(g)...)...)); err != nil {
			return nil, err
		}
		g.Version++
		g.Created, g.Updated = stored(g.Created), stored(g.Updated)
		after = g
		return events, nil
	})
	if err != nil && !errors.Is(err, ErrUnchanged) {
		return nil, fmt.Errorf("update group: %w", err)
	}
	return after, nil
}

// leaveGroups takes somebody who is deleted out of all groups, which become new versions by it.
func leaveGroups(member string, now time.Time) []stmt {
	return []stmt{
		statement(`UPDATE groups SET version = version + 1, updated = $2
			WHERE id IN (SELECT grp FROM members WHERE member = $1) AND id <> $1 AND {hit}`, member, micros(now)),
		statement(`DELETE FROM members WHERE member = $1 AND {hit}`, member),
	}
}

// DeleteGroup deletes a group, its members and its place in other groups, with the events in one commit. fault.NotFound
// as UpdateGroup; fault.Conflict when expectVersion is neither 0 nor the current version.
func (s *Store) DeleteGroup(ctx context.Context, id, connector string, expectVersion int64, events ...event.Event) error {
	now := s.now()
	err := update(ctx, s,
		func(ctx context.Context, r reader) (*account.Group, error) {
			return groupOf(readGroup(r.queryRow(ctx, selectGroup+`WHERE id = $1`, storable(id))))(id, connector)
		},
		func(g **account.Group) ([]event.Event, error) {
			if expectVersion != 0 && (*g).Version != expectVersion {
				return nil, fault.Wrap(fault.Conflict, message.Key("error.conflict"), fmt.Errorf("group %s is version %d, not %d", id, (*g).Version, expectVersion))
			}
			return events, nil
		},
		func(g *account.Group) (change, error) {
			return change{first: statement(`DELETE FROM groups WHERE id = $1 AND version = $2`, g.ID, g.Version), with: leaveGroups(g.ID, now)}, nil
		})
	if err != nil {
		return fmt.Errorf("delete group: %w", err)
	}
	return nil
}

// MembersOf returns at most limit members of a group in order of id, after the given one.
func (s *Store) MembersOf(ctx context.Context, group, after string, limit int) ([]Member, error) {
	return collect(ctx, s.db, func(row scanner) (m Member, err error) {
		err = row.Scan(&m.ID, &m.Kind, &m.Display)
		return m, err
	}, `SELECT m.member, m.kind, coalesce(p.display_name, g.display_name, '') FROM members m
		LEFT JOIN people p ON p.id = m.member LEFT JOIN groups g ON g.id = m.member
		WHERE m.grp = $1 AND m.member > $2 ORDER BY m.member LIMIT $3`, storable(group), storable(after), limit)
}

// maxNesting is how many groups within groups are followed. It also ends a ring of groups.
const maxNesting = 10

// A group counts as trusted only when every group on the way to it does: otherwise a connector that may not select a
// weaker rule could put people into its own group within somebody else's. The same holds for making people staff.
const membershipsOf = `WITH RECURSIVE up (grp, depth, trusted, roles) AS (
		SELECT m.grp, 1, CASE WHEN c.groups THEN 1 ELSE 0 END, CASE WHEN c.roles THEN 1 ELSE 0 END
		FROM members m JOIN groups g ON g.id = m.grp LEFT JOIN connectors c ON c.id = g.connector WHERE m.member = $1
		UNION
		SELECT m.grp, up.depth + 1, CASE WHEN up.trusted = 1 AND c.groups THEN 1 ELSE 0 END, CASE WHEN up.roles = 1 AND c.roles THEN 1 ELSE 0 END
		FROM up JOIN members m ON m.member = up.grp JOIN groups g ON g.id = m.grp LEFT JOIN connectors c ON c.id = g.connector
		WHERE up.depth < $2)
	SELECT g.id, g.display_name, max(up.trusted), max(up.roles), min(up.depth) FROM up JOIN groups g ON g.id = up.grp
	GROUP BY g.id, g.display_name ORDER BY g.id`

// GroupOf is a group somebody is in.
type GroupOf = account.GroupOf

// GroupsOf returns the groups a person, or a group, is in, directly or through other groups (ten deep), in order of id.
func (s *Store) GroupsOf(ctx context.Context, member string) ([]GroupOf, error) {
	return collect(ctx, s.db, func(row scanner) (g GroupOf, err error) {
		var trusted, roles, depth int
		err = row.Scan(&g.ID, &g.Group, &trusted, &roles, &depth)
		g.Trusted, g.Direct = trusted == 1, depth == 1
		return g, err
	}, membershipsOf, storable(member), maxNesting)
}

// Memberships returns the groups a person is in, as GroupsOf. Trusted says whether the connectors of all groups on some
// way to it may select a weaker rule; a group without a connector may not.
func (s *Store) Memberships(ctx context.Context, person string) ([]account.Membership, error) {
	groups, err := s.GroupsOf(ctx, person)
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	all := make([]account.Membership, len(groups))
	for i, g := range groups {
		all[i] = g.Membership
	}
	return all, nil
}

// StaffGroups returns the groups a person is in, as GroupsOf. Roles says whether the connectors of all groups on some way
// to it may make people staff; a group without a connector may not.
func (s *Store) StaffGroups(ctx context.Context, person string) ([]staff.Group, error) {
	return collect(ctx, s.db, func(row scanner) (g staff.Group, err error) {
		var trusted, roles, depth int
		err = row.Scan(&g.ID, &g.Group, &trusted, &roles, &depth)
		g.Trusted, g.Roles = trusted == 1, roles == 1
		return g, err
	}, membershipsOf, storable(person), maxNesting)
}

// Missing returns those of ids that name neither a person (kind MemberUser), nor a group (MemberGroup), nor either (""), of
// that connector (any when empty), in the order given; those that no database could hold come last.
func (s *Store) Missing(ctx context.Context, connector, kind string, ids []string) ([]string, error) {
	questions := map[string][]pair{MemberUser: {presentPeople}, MemberGroup: {presentGroups}, "": {presentPeople, presentGroups}}[kind]
	if questions == nil {
		return nil, fmt.Errorf("missing: no kind %q of member", kind)
	}
	var strange, missing []string
	for _, id := range ids {
		if id == "" || storable(id) != "" {
			missing = append(missing, id)
		} else {
			strange = append(strange, id)
		}
	}
	for _, q := range questions {
		have := make(map[string]bool, len(missing))
		for some := range slices.Chunk(missing, memberChunk) {
			list, err := textsOn(s.Kind(), some)
			if err != nil {
				return nil, err
			}
			err = s.db.query(ctx, func(row scanner) error {
				var id string
				err := row.Scan(&id)
				have[id] = true
				return err
			}, q.on(s.Kind()), list, connector)
			if err != nil {
				return nil, fmt.Errorf("missing: %w", err)
			}
		}
		missing = slices.DeleteFunc(missing, func(id string) bool { return have[id] })
	}
	return append(missing, strange...), nil
}
