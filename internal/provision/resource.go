package provision

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// pausedKey is where Attrs remember which methods stopped counting because of resetAllowed: only those come back with it.
// No SCIM attribute can have the name.
const pausedKey = "$paused"

// pack makes Attrs of a resource: its attributes as they were sent, extensions by their URN.
func pack(r *scim.Resource, paused []string) (json.RawMessage, error) {
	all := scim.Object{}
	for k, v := range r.Attrs {
		all[k] = v
	}
	for urn, o := range r.Ext {
		all[urn] = o
	}
	if len(paused) > 0 {
		all[pausedKey] = paused
	}
	return json.Marshal(all)
}

// unpack reads Attrs into a resource and returns the methods that are paused.
func unpack(r *scim.Resource, attrs json.RawMessage) (paused []string, err error) {
	var all scim.Object
	if err := json.Unmarshal(attrs, &all); err != nil {
		return nil, err
	}
	r.Attrs = scim.Object{}
	for k, v := range all {
		o, isObject := v.(scim.Object)
		switch {
		case k == pausedKey:
			list, _ := v.([]any)
			for _, e := range list {
				id, _ := e.(string)
				paused = append(paused, id)
			}
		case isObject && strings.Contains(k, ":"):
			if r.Ext == nil {
				r.Ext = map[string]scim.Object{}
			}
			r.Ext[k] = o
		default:
			r.Attrs[k] = v
		}
	}
	return paused, nil
}

// keep returns what of a resource stands in Attrs: not the password, not what is said by methods, not what is read-only, and
// no empty text where a column cannot tell it from none.
func keep(r *scim.Resource) *scim.Resource {
	r = r.Clone()
	for _, name := range []string{"password", "groups"} {
		delete(r.Attrs, name)
	}
	if r.Attrs["displayName"] == "" {
		delete(r.Attrs, "displayName")
	}
	if name, _ := r.Attrs["name"].(scim.Object); name != nil {
		for _, part := range []string{"givenName", "familyName"} {
			if name[part] == "" {
				delete(name, part)
			}
		}
		if len(name) == 0 {
			delete(r.Attrs, "name")
		}
	}
	for _, name := range []string{"emails", "phoneNumbers"} {
		list, _ := r.Attrs[name].([]any)
		list = slices.DeleteFunc(list, func(e any) bool {
			o, _ := e.(scim.Object)
			for _, part := range []string{"value", "type"} {
				if o[part] == "" {
					delete(o, part)
				}
			}
			return len(o) == 0
		})
		if len(list) == 0 {
			delete(r.Attrs, name)
		} else {
			r.Attrs[name] = list
		}
	}
	if o := r.Ext[userURN]; o != nil {
		for _, name := range inMethods {
			delete(o, name)
		}
		if len(o) == 0 {
			delete(r.Ext, userURN)
		}
	}
	return r
}

// project writes a resource into the person: Attrs and the columns that are projections of it. active is not among them: it
// is an act.
func project(p *account.Person, r *scim.Resource, paused []string) (err error) {
	r = keep(r)
	delete(r.Attrs, "active")
	// Outer spaces of a user name are no part of it: names are compared without them, and a filter must agree.
	r.Attrs["userName"] = strings.TrimSpace(r.Text("userName"))
	p.ExternalID, p.UserName, p.DisplayName = r.ExternalID, r.Text("userName"), r.Text("displayName")
	name, _ := r.Attrs["name"].(scim.Object)
	p.GivenName, _ = name["givenName"].(string)
	p.FamilyName, _ = name["familyName"].(string)
	p.Language = languageOf(r.Text("preferredLanguage"), r.Text("locale"))
	if p.Emails, err = contacts("emails", r); err != nil {
		return err
	}
	if p.Phones, err = contacts("phoneNumbers", r); err != nil {
		return err
	}
	if account.Fold(p.UserName) == "" || len(p.UserName) > account.MaxLogin {
		return schema.Invalid(schema.InvalidValue, "userName", "want 1 to %d bytes", account.MaxLogin)
	}
	p.Attrs, err = pack(r, paused)
	return err
}

// contacts reads a list of addresses. They are mailed to, so none may hold a second line.
func contacts(attr string, r *scim.Resource) (out []account.Contact, err error) {
	list, _ := r.Attrs[attr].([]any)
	for _, e := range list {
		o, _ := e.(scim.Object)
		c := account.Contact{Primary: o["primary"] == true}
		c.Value, _ = o["value"].(string)
		c.Type, _ = o["type"].(string)
		if strings.ContainsFunc(c.Value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, schema.Invalid(schema.InvalidValue, attr+".value", "want no control characters")
		}
		out = append(out, c)
	}
	return out, nil
}

// languageOf reads the first language that is one: preferredLanguage is a list as in Accept-Language, locale a tag (RFC
// 7643 §4.1.1).
func languageOf(preferred, locale string) string {
	for _, text := range []string{preferred, locale} {
		first, _, _ := strings.Cut(text, ",")
		first, _, _ = strings.Cut(first, ";")
		if tag, err := language.Parse(strings.TrimSpace(first)); err == nil && tag != language.Und {
			return tag.String()
		}
	}
	return ""
}

// bare returns the resource of a person as Attrs and columns tell it, without groups and methods. active is always shown:
// RFC 7643 §4.1.1 leaves its default to the server.
func bare(p *account.Person) (r *scim.Resource, paused []string, err error) {
	r = &scim.Resource{Type: "User", Attrs: scim.Object{}}
	if len(p.Attrs) > 0 {
		if paused, err = unpack(r, p.Attrs); err != nil {
			return nil, nil, fmt.Errorf("attributes of person %s: %w", p.ID, err)
		}
	} else { // a person who came another way
		columns(r, p)
	}
	r.ID, r.ExternalID, r.Version, r.Created, r.LastModified = p.ID, p.ExternalID, version(p.Version), p.Created, p.Updated
	r.Attrs["userName"], r.Attrs["active"] = p.UserName, p.Active
	return r, paused, nil
}

// columns fills a resource from what is known of somebody who did not come by SCIM.
func columns(r *scim.Resource, p *account.Person) {
	put := func(o scim.Object, name, value string) {
		if value != "" {
			o[name] = value
		}
	}
	name := scim.Object{}
	put(r.Attrs, "displayName", p.DisplayName)
	put(r.Attrs, "preferredLanguage", p.Language)
	put(name, "givenName", p.GivenName)
	put(name, "familyName", p.FamilyName)
	if len(name) > 0 {
		r.Attrs["name"] = name
	}
	for attr, list := range map[string][]account.Contact{"emails": p.Emails, "phoneNumbers": p.Phones} {
		var all []any
		for _, c := range list {
			o := scim.Object{"value": c.Value}
			put(o, "type", c.Type)
			if c.Primary {
				o["primary"] = true
			}
			all = append(all, o)
		}
		if all != nil {
			r.Attrs[attr] = all
		}
	}
}

func version(n int64) string { return strconv.FormatInt(n, 10) }

// own is what the methods of a connector stand on.
func own(connector string) method.Root { return method.Root{Kind: method.ByConnector, ID: connector} }

// tell adds to a resource what its person's methods say, for a connector that may know.
func (s *service) tell(r *scim.Resource, all []method.Method, c *client.Connector) {
	if !c.May(client.UseMethods) {
		return
	}
	o := r.Ext[userURN]
	if o == nil {
		o = scim.Object{}
	}
	for attr, m := range shown(all, own(c.ID)) {
		o[attr] = givenOf(m).Value
	}
	var list []any
	primary := false
	for i := range all {
		m := &all[i]
		if m.Status == method.Removed {
			continue
		}
		e := scim.Object{"type": string(m.Kind), "status": string(m.Status), "$ref": s.base + "/AuthenticationMethods/" + m.ID}
		if m.Root == own(c.ID) {
			if v := givenOf(m).Value; v != "" {
				e["value"] = v
			}
		}
		if m.Display != "" {
			e["display"] = m.Display
		}
		if m.Primary && !primary {
			e["primary"], primary = true, true
		}
		list = append(list, e)
	}
	if list != nil {
		o[authMethods] = list
	}
	if len(o) > 0 {
		if r.Ext == nil {
			r.Ext = map[string]scim.Object{}
		}
		r.Ext[userURN] = o
	}
}

// whole returns the resource of a person with what their methods say.
func (s *service) whole(p *account.Person, all []method.Method, c *client.Connector) (*scim.Resource, error) {
	r, _, err := bare(p)
	if err == nil {
		s.tell(r, all, c)
	}
	return r, err
}

// touched returns a time of change that is later than the last one, whatever the clocks of two servers say: something
// did change, so the version must.
func touched(last, now time.Time) time.Time {
	now = now.Truncate(time.Microsecond)
	if now.After(last) {
		return now
	}
	return last.Add(time.Microsecond)
}
