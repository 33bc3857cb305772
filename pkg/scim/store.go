package scim

import (
	"context"
	"slices"

	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// The types every store meets, named here so that a store imports one package.
type (
	// Resource is one SCIM resource; see schema.Resource.
	Resource = schema.Resource
	// Object is a complex value; see schema.Object.
	Object = schema.Object
	// Error is an answer other than success; see schema.Error. A store may return one to decide the answer itself.
	Error = schema.Error
	// ConflictError says that a unique value is taken; see schema.ConflictError.
	ConflictError = schema.ConflictError
	// Compat is the preset a client is served with; see schema.Compat.
	Compat = schema.Compat
)

// Errors a store returns; they may be wrapped.
var (
	ErrNotFound     = schema.ErrNotFound     // no such resource: 404
	ErrPrecondition = schema.ErrPrecondition // Precondition not met: 412
)

// Store keeps the resources of one type. All methods are called concurrently. A store returns resources the engine may
// read but never changes; a store must not keep what it is given without a copy unless it gives it up.
//
// Errors: ErrNotFound, ErrPrecondition, *ConflictError{Attr}, or an *Error that is answered as it is. Anything else is
// logged and answered with a bare 500. When ctx ends before a change is certain the change is rolled back.
type Store interface {
	// Get returns one resource with at least the attributes sel needs.
	Get(ctx context.Context, id string, sel Selection) (*Resource, error)

	// List returns one page of the resources q.Filter matches.
	List(ctx context.Context, q *Query) (*Page, error)

	// Create stores r, assigns ID, Version, Created and LastModified, and returns the resource as stored. Large attributes
	// are in r.Attrs like any other.
	Create(ctx context.Context, r *Resource) (*Resource, error)

	// Update changes one resource. In one transaction, with the resource locked or guarded by its version, it
	//
	//  1. loads the resource with at least the attributes need asks for (ErrNotFound),
	//  2. calls pre.Check with its version and stops on its error,
	//  3. calls fn; an error of fn ends the call with that error and nothing changed,
	//  4. if Change.NoOp: changes nothing; else writes Change.Next and applies Change.Members,
	//  5. assigns a new Version and LastModified if anything really changed: Ops is not empty or a member row moved.
	//
	// It returns the resource as it is afterwards, with at least the attributes of need. fn is pure and may be called
	// again with a newer resource.
	Update(ctx context.Context, id string, pre Precondition, need Selection, fn UpdateFunc) (*Resource, error)

	// Delete removes the resource and every reference to it from members of other resources.
	Delete(ctx context.Context, id string, pre Precondition) error
}

// Binder is a Store that acts differently for each principal: a namespace of external ids, an actor in an audit log. The
// engine calls As once a request and uses the store it returns.
type Binder interface {
	Store
	As(p *Principal) Store
}

// Resolver is a Store that can say which resources exist. The engine asks the stores of an attribute's reference types
// before it stores a reference; without any Resolver references are not checked.
type Resolver interface {
	// Missing returns those of ids that name no resource of this store.
	Missing(ctx context.Context, ids []string) ([]string, error)
}

// UpdateFunc computes a change from the current resource. It must not alter cur.
type UpdateFunc func(cur *Resource) (*Change, error)

// Change is what an update does to a resource.
type Change struct {
	Next    *Resource     // the whole resource after the change, without Large attributes and secrets not sent: see schema.Type.KeepSecrets
	Ops     []AttrChange  // what differs between the current resource and Next, by attribute
	Members []MemberDelta // what happens to Large attributes, at most one entry for each
	NoOp    bool          // neither Ops nor Members: write nothing, keep version and times
	Whole   bool          // a PUT: an attribute that Next lacks was not taken away by name, it was not there (RFC 7644 §3.5.1)
}

// Changed reports whether the attribute with that key is among Ops.
func (c *Change) Changed(key string) bool {
	return slices.ContainsFunc(c.Ops, func(o AttrChange) bool { return o.Key == key })
}

// AttrChange is one top-level attribute that differs. Old and New are nil when absent. The values of secret attributes
// are in New as in Next; a log must not write them.
type AttrChange = schema.AttrChange

// MemberDelta changes the elements of one Large attribute, identified by "value"; see schema.MemberDelta.
type MemberDelta = schema.MemberDelta

// Selection says which top-level attributes are looked at. The zero value asks for all of them.
type Selection struct {
	only   bool
	names  []string // with only: these; else all but these
	filter []string // with or without only: these, too
}

// Everything is the selection of all attributes.
func Everything() Selection { return Selection{} }

// Only returns a selection of the attributes with these keys.
func Only(keys ...string) Selection { return Selection{only: true, names: keys} }

// Without returns a selection of all attributes but those with these keys.
func Without(keys ...string) Selection { return Selection{names: keys} }

// Plus returns the selection with more attributes.
func (s Selection) Plus(keys ...string) Selection {
	s.filter = append(slices.Clip(s.filter), keys...)
	return s
}

// Needs reports whether the attribute with that key ("members", "urn:…:User:employeeNumber") is looked at. id,
// externalId, meta and version are always needed.
func (s Selection) Needs(key string) bool {
	return slices.Contains(s.names, key) == s.only || slices.Contains(s.filter, key)
}

// Precondition is what If-Match and If-None-Match ask of a version (RFC 7644 §3.14). The zero value asks nothing.
type Precondition struct {
	Match     []string // one of these versions; "*" is any
	NoneMatch []string // none of these versions; "*" is any
}

// Check returns ErrPrecondition unless an existing resource of that version satisfies p.
func (p Precondition) Check(version string) error {
	has := func(list []string) bool { return slices.Contains(list, version) || slices.Contains(list, "*") }
	if len(p.Match) > 0 && !has(p.Match) || has(p.NoneMatch) {
		return ErrPrecondition
	}
	return nil
}

// Query asks a store for a page of resources.
type Query struct {
	Filter    filter.Expr // nil: all
	Sort      []SortKey   // ties, and everything when empty, are ordered by id
	Offset    int         // how many matching resources to skip; 0 with After
	After     *Keyset     // not nil: only resources that come after this place in the order
	Count     int         // how many to return at most; 0: none, only the total
	WantTotal bool        // Page.Total is wanted; it does not depend on Offset, After and Count
	Select    Selection   // attributes wanted in the answer
	MaxScan   int         // how many candidates to return at most when something is left to the engine
}

// SortKey is one criterion (RFC 7644 §3.4.2.3). Strings are ordered by their schema.Fold unless caseExact, a
// multi-valued attribute by the "value" of its primary element, else of its first; resources without a value come last when
// ascending, first when descending.
type SortKey struct {
	Path schema.Path
	Desc bool
}

// Keyset is a place in an order: that of a resource whose values by the keys of Query.Sort are Values and whose id is ID. The
// resource need not exist any more. A value is nil (none), a string (as SortKey compares it), bool, int64, json.Number, or
// time.Time for a dateTime.
type Keyset struct {
	Values []any
	ID     string
}

// Page is a store's answer to a Query. A store that cannot evaluate all of the filter returns the rest in Residual; one
// that cannot sort sets Unsorted. In both cases it leaves paging to the engine too: it ignores Offset and Count and
// returns every candidate, ordered by id, but at most MaxScan+1 of them (the engine then answers tooMany), with
// the attributes of Select and of filter.Keys(Residual) and of Sort.
type Page struct {
	Resources []*Resource
	Total     int // all resources that match, if WantTotal and nothing is left to the engine
	Residual  filter.Expr
	Unsorted  bool
}

// Rows is a page of a backend's own rows, for one that keeps its resources in a form of its own and turns them into
// Resources afterwards. What the backend could not evaluate of the filter is in Residual; Unsorted says that it could not
// sort. In both cases Rows are candidates in order of id, at most Query.MaxScan+1.
type Rows[T any] struct {
	Rows     []T
	Total    int // if wanted and nothing is left to the engine
	Residual filter.Expr
	Unsorted bool
}

// Principal is who makes a request, as Config.Auth found out.
type Principal struct {
	Subject  string   // who it is, for logs; a cursor is good for the subject it was given to
	Compat   Compat   // the zero value is strict
	ReadOnly bool     // only GET and search; discovery then says that PATCH is not supported
	Types    []string // names of the resource types it may use, and hears of by discovery; nil: all
	// ChangePassword is shown in ServiceProviderConfig, as Config.ChangePassword is for everybody: whether a "password" this
	// principal sends has an effect.
	ChangePassword bool
	Data           any // whatever the application wants its stores to know, see Binder
	Act            Act // set by the engine for a Binder: by what a change is made
}
