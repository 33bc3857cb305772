package provision

import (
	"context"
	"errors"
	"strings"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// methods is the scim.Store of AuthenticationMethods: those of a connector's people. What it did not bring it sees without
// data and cannot change.
type methods struct {
	*service
	c   *client.Connector
	act scim.Act
}

// As implements scim.Binder.
func (s *methods) As(p *scim.Principal) scim.Store { return &methods{s.service, connectorOf(p), p.Act} }

// resource returns the resource of a method of a person called name.
func (s *methods) resource(m *method.Method, name string) *scim.Resource {
	user := scim.Object{"value": m.Person}
	if name != "" {
		user["display"] = name
	}
	r := &scim.Resource{Type: "AuthenticationMethod", ID: m.ID, Version: version(m.Version), Created: m.Created,
		LastModified: later(m.Created, later(m.Confirmed, m.LastUsed)), // what else changed of it is in its version
		Attrs:        scim.Object{"user": user, "type": string(m.Kind), "status": string(m.Status), "createdBy": string(m.Root.Kind)}}
	if !m.LastUsed.IsZero() {
		r.Attrs["lastUsed"] = schema.Stamp(m.LastUsed)
	}
	if m.Root != own(s.c.ID) {
		return r
	}
	if m.Display != "" {
		r.Attrs["display"] = m.Display
	}
	if m.Primary {
		r.Attrs["primary"] = true
	}
	if len(m.Usage) > 0 {
		var uses []any
		for _, u := range m.Usage {
			uses = append(uses, u)
		}
		r.Attrs["usage"] = uses
	}
	g := givenOf(m)
	switch m.Kind {
	case method.Email:
		r.Attrs["email"] = scim.Object{"address": g.Value}
	case method.SMS, method.Voice:
		o := scim.Object{"number": g.Value}
		if g.Kind != "" {
			o["kind"] = g.Kind
		}
		r.Attrs["phone"] = o
	case method.TOTP:
		r.Attrs["totp"] = scim.Object{"algorithm": m.Algorithm, "digits": int64(m.Digits), "period": int64(m.Period)}
	case method.HOTP:
		r.Attrs["totp"] = scim.Object{"algorithm": m.Algorithm, "digits": int64(m.Digits)}
	case method.External:
		o := scim.Object{"id": g.Value}
		if g.System != "" {
			o["system"] = g.System
		}
		r.Attrs["external"] = o
	}
	return r
}

// method reads a method to be made from a resource.
func (s *methods) method(r *scim.Resource) (method.Method, error) {
	m := method.Method{Kind: method.Kind(strings.ToLower(r.Text("type"))), Display: r.Text("display"), Primary: r.Attrs["primary"] == true}
	if err := mayWrite("type", m.Kind); err != nil {
		return m, err
	}
	if err := onlyFor(m.Kind, r); err != nil {
		return m, err
	}
	m.Usage = texts(r.Attrs["usage"])
	switch r.Text("status") {
	case "", string(method.Active):
	case string(method.Disabled):
		m.Status = method.Disabled
	default:
		return m, schema.Invalid(schema.InvalidValue, "status", "a client may bring a method active or disabled")
	}
	part := func(name string) scim.Object { o, _ := r.Attrs[name].(scim.Object); return o }
	g := given{}
	var err error
	switch m.Kind {
	case method.Email:
		g.Value, _ = part("email")["address"].(string)
		m.Destination, err = s.destination("email.address", m.Kind, g.Value)
		m.Given = g.seal()
	case method.SMS, method.Voice:
		g.Value, _ = part("phone")["number"].(string)
		g.Kind, _ = part("phone")["kind"].(string)
		m.Destination, err = s.destination("phone.number", m.Kind, g.Value)
		m.Given = g.seal()
	case method.External:
		g.Value, _ = part("external")["id"].(string)
		g.System, _ = part("external")["system"].(string)
		if g.Value == "" {
			err = schema.Invalid(schema.InvalidValue, "external.id", "a value is required")
		}
		m.Given = g.seal()
	default:
		err = authenticator(&m, part("totp"))
	}
	return m, err
}

// partOf is the attribute that holds the data of a kind.
var partOf = map[method.Kind]string{method.Email: "email", method.SMS: "phone", method.Voice: "phone", method.TOTP: "totp", method.HOTP: "totp", method.External: "external"}

// valueOf is the attribute that says where a method of a kind leads.
var valueOf = map[method.Kind]string{method.Email: "email.address", method.SMS: "phone.number", method.Voice: "phone.number", method.External: "external.id"}

// onlyFor refuses a method with the data of another kind, or without its own.
func onlyFor(kind method.Kind, r *scim.Resource) error {
	for _, name := range []string{"email", "phone", "totp", "external"} {
		switch there := r.Attrs[name] != nil; {
		case there && name != partOf[kind]:
			return schema.Invalid(schema.InvalidValue, name, "a method of type %s has none", kind)
		case !there && name == partOf[kind]:
			return schema.Invalid(schema.InvalidValue, name, "a method of type %s needs it", kind)
		}
	}
	return nil
}

func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, e := range list {
		if t, ok := e.(string); ok {
			out = append(out, t)
		}
	}
	return out
}

// authenticator reads the seed of an authenticator app and what its codes look like (RFC 6238, RFC 4226).
func authenticator(m *method.Method, o scim.Object) (err error) {
	text, _ := o["secret"].(string)
	if m.Secret, err = seed(text); err != nil {
		return err
	}
	m.Algorithm, _ = o["algorithm"].(string)
	if m.Algorithm = strings.ToUpper(m.Algorithm); m.Algorithm == "" {
		m.Algorithm = "SHA1"
	}
	number := func(name string, least, most, standard int64) int64 {
		n, there := o[name].(int64)
		switch {
		case !there:
			return standard
		case n < least || n > most:
			err = schema.Invalid(schema.InvalidValue, "totp."+name, "want %d to %d", least, most)
		}
		return n
	}
	m.Digits = int(number("digits", 6, 8, 6))
	if m.Kind == method.TOTP {
		m.Period = int(number("period", 15, 120, 30))
		if o["counter"] != nil {
			return schema.Invalid(schema.InvalidValue, "totp.counter", "a method of type totp has none")
		}
		return err
	}
	if o["period"] != nil {
		return schema.Invalid(schema.InvalidValue, "totp.period", "a method of type hotp has none")
	}
	m.LastStep = number("counter", 0, 1<<53, 0) - 1 // the last one accepted
	return err
}

// Get implements scim.Store.
func (s *methods) Get(ctx context.Context, id string, sel scim.Selection) (*scim.Resource, error) {
	m, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.named(ctx, m)
}

// find returns a method that is there: removed ones stay for notices only.
func (s *methods) find(ctx context.Context, id string) (*method.Method, error) {
	m, err := s.Store.MethodOf(ctx, id, s.c.ID)
	if err != nil {
		return nil, answer(err)
	}
	if m.Status == method.Removed {
		return nil, scim.ErrNotFound
	}
	return m, nil
}

func (s *methods) named(ctx context.Context, m *method.Method) (*scim.Resource, error) {
	p, err := s.Store.PersonOf(ctx, m.Person, s.c.ID)
	if err != nil {
		return nil, answer(err)
	}
	return s.resource(m, s.nameOf(p)), nil
}

// nameOf is what a person is called, for a connector that may know.
func (s *methods) nameOf(p *account.Person) string {
	if !s.c.May(client.UseUsers) {
		return ""
	}
	return p.Name()
}

// List implements scim.Store.
func (s *methods) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	found, err := s.Store.ListMethods(ctx, s.c.ID, q)
	if err != nil {
		return nil, answer(err)
	}
	out := &scim.Page{Resources: make([]*scim.Resource, len(found.Rows)), Total: found.Total, Residual: found.Residual, Unsorted: found.Unsorted}
	if len(found.Rows) > q.MaxScan && (found.Residual != nil || found.Unsorted) {
		return out, nil // the engine will refuse
	}
	for i := range found.Rows {
		name := ""
		if s.c.May(client.UseUsers) {
			name = found.Rows[i].Owner
		}
		out.Resources[i] = s.resource(&found.Rows[i].Method, name)
	}
	return out, nil
}

// Create implements scim.Store.
func (s *methods) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	m, err := s.method(r)
	if err != nil {
		return nil, err
	}
	user, _ := r.Attrs["user"].(scim.Object)
	id, _ := user["value"].(string)
	made, err := s.amend(ctx, id, func(x *change) (*method.Method, error) {
		if g := givenOf(&m); g.Value != "" && x.brought(&wanted{kind: m.Kind, to: m.Destination, given: g}) {
			return nil, &scim.ConflictError{Attr: valueOf[m.Kind]}
		}
		if err := x.add(m); err != nil || x.q.open() {
			return nil, err
		}
		added := &(*x.all)[len(*x.all)-1]
		x.lead(added)
		return added, nil
	})
	if errors.Is(err, scim.ErrNotFound) { // it was there when the engine looked
		return nil, schema.Invalid(schema.InvalidValue, "user.value", "no such resource")
	}
	return made, err
}

// Update implements scim.Store.
func (s *methods) Update(ctx context.Context, id string, pre scim.Precondition, _ scim.Selection, fn scim.UpdateFunc) (*scim.Resource, error) {
	found, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.amend(ctx, found.Person, func(x *change) (*method.Method, error) {
		m, err := x.mine(id, pre)
		if err != nil {
			return nil, err
		}
		c, err := fn(s.resource(m, s.nameOf(x.p)))
		if err != nil || c.NoOp {
			return m, err
		}
		return m, x.revise(m, c)
	})
}

// Delete implements scim.Store.
func (s *methods) Delete(ctx context.Context, id string, pre scim.Precondition) error {
	found, err := s.find(ctx, id)
	if err != nil {
		return err
	}
	_, err = s.amend(ctx, found.Person, func(x *change) (*method.Method, error) {
		m, err := x.mine(id, pre)
		if err == nil {
			x.remove(m)
		}
		return m, err
	})
	return err
}
