// Package memstore is the reference scim.Store: it keeps resources in memory and shows, in little code, every promise a
// store makes. Types share one DB, so that members refer to users, deletions cascade, and User.groups can be computed.
//
// It is for tests and small tools: a list looks at every resource.
package memstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// DB holds the resources of all types. Its stores are safe for concurrent use; one lock guards everything, so a change
// is a transaction.
type DB struct {
	// Now gives the time for meta; nil means time.Now. Set it before use.
	Now func() time.Time

	mu     sync.RWMutex
	stores []*Store
	next   int
}

// Store keeps the resources of one type of a DB.
type Store struct {
	db   *DB
	t    *schema.Type
	rows map[string]*row
}

// row is a resource, its Large attributes apart, as they would be in a table of their own.
type row struct {
	r       *scim.Resource
	version int
	large   map[string]*members
}

// members are the elements of one Large attribute, in the order they came.
type members struct {
	by   map[string]member
	next int
}

type member struct {
	o   scim.Object
	seq int
}

// New returns an empty DB.
func New() *DB { return &DB{} }

// Type returns a new store for resources of type t. Call it once for each type, before use.
func (db *DB) Type(t *schema.Type) *Store {
	s := &Store{db: db, t: t, rows: map[string]*row{}}
	db.stores = append(db.stores, s)
	return s
}

func (db *DB) now() time.Time {
	if db.Now != nil {
		return db.Now().UTC().Truncate(time.Microsecond)
	}
	return time.Now().UTC().Truncate(time.Microsecond)
}

// Get implements scim.Store.
func (s *Store) Get(_ context.Context, id string, sel scim.Selection) (*scim.Resource, error) {
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	row := s.rows[id]
	if row == nil {
		return nil, scim.ErrNotFound
	}
	return s.load(row, sel), nil
}

// load returns a copy with the attributes selected.
func (s *Store) load(row *row, sel scim.Selection) *scim.Resource {
	r := row.r.Clone()
	for name, m := range row.large {
		if sel.Needs(name) {
			r.Set(schema.Path{Attr: &schema.Attribute{Name: name}}, m.list())
		}
	}
	if path, ok := s.t.Attr(nil, "groups"); ok && path.Attr.Mutability == schema.ReadOnly && sel.Needs("groups") {
		r.Set(path, s.db.groupsOf(r.ID))
	}
	return r
}

// List implements scim.Store. It evaluates and sorts everything itself.
func (s *Store) List(_ context.Context, q *scim.Query) (*scim.Page, error) {
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	look := q.Select.Plus(filter.Keys(q.Filter)...)
	for _, k := range q.Sort {
		look = look.Plus(k.Path.Key())
	}
	var found []*scim.Resource
	for _, row := range s.rows {
		if r := s.load(row, look); filter.Match(q.Filter, r) {
			found = append(found, r)
		}
	}
	scim.Sort(found, q.Sort)
	total := len(found)
	if q.After != nil {
		found = slices.DeleteFunc(found, func(r *scim.Resource) bool { return !q.After.Before(r, q.Sort) })
	}
	from := min(q.Offset, len(found))
	to := min(from+q.Count, len(found))
	return &scim.Page{Resources: found[from:to], Total: total}, nil
}

// Create implements scim.Store.
func (s *Store) Create(_ context.Context, r *scim.Resource) (*scim.Resource, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	return s.create(r)
}

func (s *Store) create(r *scim.Resource) (*scim.Resource, error) {
	r = r.Clone()
	if err := s.unique("", r); err != nil {
		return nil, err
	}
	s.db.next++
	r.ID = fmt.Sprintf("%08d-%s", s.db.next, strings.ToLower(rand.Text()[:8]))
	row := &row{r: r, version: 1, large: map[string]*members{}}
	for _, a := range s.t.Large() {
		m := &members{by: map[string]member{}}
		list, _ := r.Attrs[a.Name].([]any)
		for _, e := range list {
			m.add(e.(scim.Object))
		}
		row.large[a.Name] = m
		delete(r.Attrs, a.Name)
	}
	r.Created = s.db.now()
	s.stamp(row)
	s.rows[r.ID] = row
	return s.load(row, scim.Everything()), nil
}

func (s *Store) stamp(row *row) {
	row.r.Version = strconv.Itoa(row.version)
	row.r.LastModified = s.db.now()
}

// Update implements scim.Store.
func (s *Store) Update(_ context.Context, id string, pre scim.Precondition, need scim.Selection, fn scim.UpdateFunc) (*scim.Resource, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	return s.update(id, pre, need, fn)
}

func (s *Store) update(id string, pre scim.Precondition, need scim.Selection, fn scim.UpdateFunc) (*scim.Resource, error) {
	row := s.rows[id]
	if row == nil {
		return nil, scim.ErrNotFound
	}
	if err := pre.Check(row.r.Version); err != nil {
		return nil, err
	}
	c, err := fn(s.load(row, need))
	if err != nil {
		return nil, err
	}
	if c.NoOp {
		return s.load(row, need), nil
	}
	next := c.Next.Clone()
	if err := s.unique(id, next); err != nil {
		return nil, err
	}
	moved := 0
	for _, d := range c.Members {
		moved += row.large[d.Attr].apply(d)
	}
	if len(c.Ops) > 0 {
		s.t.KeepSecrets(row.r, next, c.Ops)
		next.ID, next.Created = id, row.r.Created
		for _, a := range s.t.Core.Attributes {
			if a.Large || a.Mutability == schema.ReadOnly && a.Name == "groups" {
				delete(next.Attrs, a.Name)
			}
		}
		next.LastModified = row.r.LastModified
		row.r = next
	}
	if len(c.Ops) > 0 || moved > 0 {
		row.version++
		s.stamp(row)
	}
	return s.load(row, need), nil
}

// Delete implements scim.Store.
func (s *Store) Delete(_ context.Context, id string, pre scim.Precondition) error {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	return s.remove(id, pre)
}

func (s *Store) remove(id string, pre scim.Precondition) error {
	gone := s.rows[id]
	if gone == nil {
		return scim.ErrNotFound
	}
	if err := pre.Check(gone.r.Version); err != nil {
		return err
	}
	delete(s.rows, id)
	for _, other := range s.db.stores {
		for _, row := range other.rows {
			for _, m := range row.large {
				if m.remove(id) {
					row.version++
					other.stamp(row)
				}
			}
		}
	}
	return nil
}

// Apply implements scim.Batcher. Every write looks at all that could refuse it before it changes anything, so none needs to
// be taken back.
func (s *Store) Apply(ctx context.Context, writes []scim.Write) []scim.Result {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return slices.Repeat([]scim.Result{{Err: err}}, len(writes))
	}
	results := make([]scim.Result, len(writes))
	failed := 0
	for i, w := range writes {
		res := &results[i]
		switch {
		case w.FailOn > 0 && failed >= w.FailOn:
			res.Err = scim.ErrNotDone
			continue
		case w.Create != nil:
			res.Resource, res.Err = s.create(w.Create)
		case w.Update != nil:
			res.Resource, res.Err = s.update(w.ID, w.Pre, w.Need, w.Update)
		default:
			res.Err = s.remove(w.ID, w.Pre)
		}
		if res.Err != nil {
			failed++
		}
	}
	return results
}

// Missing implements scim.Resolver.
func (s *Store) Missing(_ context.Context, ids []string) ([]string, error) {
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return s.rows[id] != nil }), nil
}

// unique refuses a value that another resource has in an attribute that must be unique (RFC 7643 §7), of the core schema or an
// extension.
func (s *Store) unique(id string, r *scim.Resource) error {
	paths := make([]schema.Path, 0, len(s.t.Core.Attributes))
	for _, a := range s.t.Core.Attributes {
		paths = append(paths, schema.Path{Attr: a})
	}
	for _, e := range s.t.Extensions {
		for _, a := range e.Schema.Attributes {
			paths = append(paths, schema.Path{Ext: e.Schema, Attr: a})
		}
	}
	for _, p := range paths {
		v, ok := r.Lookup(p).(string)
		if !ok || p.Attr.Uniqueness == schema.None {
			continue
		}
		for other, row := range s.rows {
			if w, ok := row.r.Lookup(p).(string); ok && other != id && p.Attr.Key(v) == p.Attr.Key(w) {
				return &scim.ConflictError{Attr: p.Key()}
			}
		}
	}
	return nil
}

func (m *members) add(o scim.Object) bool {
	id, _ := o["value"].(string)
	if _, there := m.by[id]; there {
		return false
	}
	m.next++
	m.by[id] = member{schema.CloneValue(o).(scim.Object), m.next}
	return true
}

func (m *members) remove(id string) bool {
	_, there := m.by[id]
	delete(m.by, id)
	return there
}

// apply applies a delta and returns how many rows moved.
func (m *members) apply(d scim.MemberDelta) (moved int) {
	remove := d.Remove
	if d.ReplaceAll {
		keep := map[string]bool{}
		for _, o := range d.Add {
			id, _ := o["value"].(string)
			keep[id] = true
		}
		for id := range m.by {
			if !keep[id] {
				remove = append(remove, id)
			}
		}
	}
	for _, id := range remove {
		if m.remove(id) {
			moved++
		}
	}
	for _, o := range d.Add {
		if m.add(o) {
			moved++
		}
	}
	return moved
}

func (m *members) list() []any {
	sorted := slices.SortedFunc(maps.Values(m.by), func(a, b member) int { return a.seq - b.seq })
	out := make([]any, len(sorted))
	for i, e := range sorted {
		out[i] = schema.CloneValue(e.o)
	}
	return out
}

// groupsOf returns the resources that have id among their members, directly or through members of theirs.
func (db *DB) groupsOf(id string) []any {
	var out []any
	seen := map[string]bool{id: true}
	for todo, kind := []string{id}, "direct"; len(todo) > 0; kind = "indirect" {
		var found []string
		for _, s := range db.stores {
			for gid, row := range s.rows {
				if m := row.large["members"]; m == nil || seen[gid] || !slices.ContainsFunc(todo, func(id string) bool { _, ok := m.by[id]; return ok }) {
					continue
				}
				seen[gid] = true
				found = append(found, gid)
				o := scim.Object{"value": gid, "type": kind}
				if name := row.r.Text("displayName"); name != "" {
					o["display"] = name
				}
				out = append(out, o)
			}
		}
		todo = found
	}
	slices.SortFunc(out, func(a, b any) int {
		return strings.Compare(a.(scim.Object)["value"].(string), b.(scim.Object)["value"].(string))
	})
	return out
}
