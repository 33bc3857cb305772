package scim

import (
	"errors"
	"net/http"

	"github.com/regain-id/regain/pkg/scim/patch"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// shape reads attributes and excludedAttributes of a request for one resource.
func (q request) shape(t *resourceType) (projection, error) {
	v, err := q.query()
	if err != nil {
		return projection{}, err
	}
	return project(t, names(v.Get("attributes")), names(v.Get("excludedAttributes"))), nil
}

// get answers GET of one resource (RFC 7644 §3.4.1).
func (q request) get(t *resourceType, id string) (*response, error) {
	p, err := q.shape(t)
	if err != nil {
		return nil, err
	}
	r, err := q.store(t).Get(q.ctx(), id, p.selection())
	if err != nil {
		return nil, err
	}
	pre := q.precondition()
	if err := (Precondition{Match: pre.Match}).Check(r.Version); err != nil {
		return nil, err
	}
	if (Precondition{NoneMatch: pre.NoneMatch}).Check(r.Version) != nil {
		return &response{status: http.StatusNotModified, etag: etag(r.Version)}, nil
	}
	return q.one(http.StatusOK, p, r), nil
}

// create answers POST (RFC 7644 §3.3).
func (q request) create(t *resourceType) (*response, error) {
	p, err := q.shape(t)
	if err != nil {
		return nil, err
	}
	body, err := q.body(t)
	if err != nil {
		return nil, err
	}
	r, _, err := t.Decode(body, q.p.Compat)
	if err != nil {
		return nil, err
	}
	made, err := q.add(t, r)
	if err != nil {
		return nil, err
	}
	return q.one(http.StatusCreated, p, made), nil
}

// add stores a decoded resource as a new one.
func (q request) add(t *resourceType, r *Resource) (*Resource, error) {
	w, err := q.adding(t, r)
	if err != nil {
		return nil, err
	}
	return q.do(t, w)
}

// adding is the write of add.
func (q request) adding(t *resourceType, r *Resource) (w Write, err error) {
	if err := q.refer(t, r); err != nil {
		return w, err
	}
	for _, a := range t.Large() { // each member once
		list, _ := r.Attrs[a.Name].([]any)
		d, err := patch.Replace(a, list)
		if err != nil {
			return w, err
		}
		r.Set(schema.Path{Attr: a}, objects(d.Add))
	}
	return Write{Create: r}, t.Check(r, false)
}

func objects(list []Object) any {
	out := make([]any, len(list))
	for i, o := range list {
		out[i] = o
	}
	return out
}

// put answers PUT (RFC 7644 §3.5.1).
func (q request) put(t *resourceType, id string) (*response, error) {
	p, err := q.shape(t)
	if err != nil {
		return nil, err
	}
	body, err := q.body(t)
	if err != nil {
		return nil, err
	}
	sent, given, err := t.Decode(body, q.p.Compat)
	if err != nil {
		return nil, err
	}
	w, err := q.replacing(t, id, q.precondition(), p, sent, given)
	if err != nil {
		return nil, err
	}
	r, err := q.do(t, w)
	if err != nil {
		return nil, err
	}
	return q.updated(t, p, r)
}

// replacing is the write that makes a resource what was sent, but for what a PUT leaves alone. given is as from Decode.
func (q request) replacing(t *resourceType, id string, pre Precondition, p projection, sent *Resource, given map[string]bool) (w Write, err error) {
	if err := q.refer(t, sent); err != nil {
		return w, err
	}
	var members []MemberDelta
	for _, a := range t.Large() {
		list, _ := sent.Attrs[a.Name].([]any)
		delete(sent.Attrs, a.Name)
		if a.Mutability == schema.ReadOnly || q.p.Compat.PutKeepsAbsent && !given[a.Name] {
			continue
		}
		if a.Required && len(list) == 0 {
			return w, schema.Invalid(schema.InvalidValue, a.Name, "a value is required")
		}
		d, err := patch.Replace(a, list)
		if err != nil {
			return w, err
		}
		members = append(members, d)
	}
	if !q.p.Compat.PutKeepsAbsent {
		if err := t.Check(sent, true); err != nil { // before a transaction is spent on it
			return w, err
		}
	}
	change := func(cur *Resource) (*Change, error) {
		base := t.WithoutSecrets(cur)
		next := sent.Clone()
		t.Carry(base, next, given, q.p.Compat)
		for _, a := range t.Large() {
			delete(base.Attrs, a.Name)
		}
		if err := t.Check(next, true); err != nil {
			return nil, err
		}
		if err := t.CheckMutable(base, next); err != nil {
			return nil, err
		}
		c := &Change{Next: next, Ops: schema.Diff(base, next), Members: members, Whole: true}
		c.NoOp = len(c.Ops) == 0 && len(c.Members) == 0
		return c, nil
	}
	return Write{ID: id, Pre: pre, Need: q.need(t, p, nil), Update: change}, nil
}

// patch answers PATCH (RFC 7644 §3.5.2).
func (q request) patch(t *resourceType, id string) (*response, error) {
	p, err := q.shape(t)
	if err != nil {
		return nil, err
	}
	body, err := q.body(t)
	if err != nil {
		return nil, err
	}
	plan, err := q.plan(t, body)
	if err != nil {
		return nil, err
	}
	w, err := q.modifying(t, id, q.precondition(), p, plan)
	if err != nil {
		return nil, err
	}
	r, err := q.do(t, w)
	if err != nil {
		return nil, err
	}
	brief := t.PatchReply == ReplyNoContent || q.p.Compat.BriefPatch && len(t.Large()) > 0
	if brief && !p.only {
		return &response{status: http.StatusNoContent, etag: etag(r.Version), location: q.s.location(t, r.ID)}, nil
	}
	return q.updated(t, p, r)
}

// plan reads the body of a PATCH.
func (q request) plan(t *resourceType, body Object) (*patch.Plan, error) {
	ops, err := patch.ReadOps(body, q.p.Compat, q.s.cfg.Limits.MaxPatchOps)
	if err != nil {
		return nil, err
	}
	return patch.NewPlan(t.Type, ops, q.p.Compat)
}

// modifying is the write that carries out a plan.
func (q request) modifying(t *resourceType, id string, pre Precondition, p projection, plan *patch.Plan) (w Write, err error) {
	if err := q.referPlan(plan); err != nil {
		return w, err
	}
	change := func(cur *Resource) (*Change, error) {
		res, err := plan.Apply(cur)
		if err != nil {
			return nil, err
		}
		return &Change{Next: res.Next, Ops: res.Ops, Members: res.Members, NoOp: res.NoOp}, nil
	}
	return Write{ID: id, Pre: pre, Need: q.need(t, p, plan.Needs()), Update: change}, nil
}

// need is what an update must load: all a client may write, what the answer shows and what the change names, but Large
// attributes only if the change names them.
func (q request) need(t *resourceType, p projection, more []string) Selection {
	var skip []string
	for _, path := range t.paths() {
		if a := path.Attr; a.Large || a.Mutability == schema.ReadOnly && !p.shows(path) {
			skip = append(skip, path.Key())
		}
	}
	return Without(skip...).Plus(more...)
}

// updated answers with the resource after a change. Large attributes were not loaded for the change; when the answer
// shows them the resource is read once more, and may be a newer one by then.
func (q request) updated(t *resourceType, p projection, r *Resource) (*response, error) {
	if p.largeShown() {
		now, err := q.store(t).Get(q.ctx(), r.ID, p.selection())
		if errors.Is(err, ErrNotFound) { // deleted since: the change did happen
			return &response{status: http.StatusNoContent}, nil
		}
		if err != nil {
			return nil, err
		}
		r = now
	}
	return q.one(http.StatusOK, p, r), nil
}

// delete answers DELETE (RFC 7644 §3.6).
func (q request) delete(t *resourceType, id string) (*response, error) {
	if err := q.erase(t, id, q.precondition()); err != nil {
		return nil, err
	}
	return &response{status: http.StatusNoContent}, nil
}

func (q request) erase(t *resourceType, id string, pre Precondition) error {
	_, err := q.do(t, Write{ID: id, Pre: pre})
	return err
}
