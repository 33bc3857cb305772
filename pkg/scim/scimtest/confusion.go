package scimtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// attribute is one as /Schemas tells of it.
type attribute struct {
	Name, Type, Mutability string
	MultiValued            bool
	SubAttributes          []attribute
	CanonicalValues        []string
}

// marker is a text no answer to a wrong value may contain: it could have been a secret.
const marker = "HIDDEN"

// wrongValues are JSON values an attribute cannot have. Loosely, some of them are understood.
func (a attribute) wrongValues(strict bool) []string {
	one := a
	one.MultiValued = false
	if a.MultiValued {
		list := []string{`9007199254740993`, `true`}
		if strict && a.Type == "complex" {
			list = append(list, `{"value":"`+marker+`"}`, `"`+marker+`"`)
		}
		for _, v := range one.wrongValues(strict) {
			list = append(list, "["+v+"]")
		}
		return list
	}
	switch a.Type {
	case "boolean":
		return []string{`1`, `"` + marker + `"`, `{}`, `["` + marker + `"]`}
	case "integer":
		return []string{`1.5`, `9223372036854775808`, `"` + marker + `"`, `true`}
	case "decimal":
		return []string{`"` + marker + `"`, `true`, `[1]`}
	case "complex":
		list := []string{`9007199254740993`, `true`, `["` + marker + `"]`}
		if strict {
			list = append(list, `"`+marker+`"`)
		}
		return list
	case "dateTime", "binary":
		return []string{`9007199254740993`, `"%` + marker + `"`, `["` + marker + `"]`}
	}
	return []string{`9007199254740993`, `true`, `{"value":"` + marker + `"}`, `["` + marker + `"]`, `"` + marker + `\u0000"`}
}

// confusion gives every attribute of every schema the server tells of values of other types, in POST, PUT and PATCH: each is
// refused with a detail that names the attribute and never the value, and nothing of it is stored.
func (c *client) confusion(t *testing.T) {
	if c.preset == "entra" {
		t.Skip("values are read as for standard")
	}
	name := unique()
	targets := map[string]string{}
	for endpoint, body := range map[string]string{"/Users": userBody(name, ""), "/Groups": `{"schemas":["` + groupURN + `"],"displayName":"` + name + `"}`} {
		targets[endpoint] = c.want(t, 201, "POST", endpoint, body).id(t)
	}
	for _, rt := range c.resourceTypes(t) {
		id, known := targets[rt.Endpoint]
		before := answer{}
		if known {
			before = c.want(t, 200, "GET", rt.Endpoint+"/"+id, "")
		}
		for _, urn := range rt.schemas() {
			for _, a := range c.attributes(t, urn) {
				c.confuse(t, rt, urn, a, id)
			}
		}
		if known && string(c.want(t, 200, "GET", rt.Endpoint+"/"+id, "").body) != string(before.body) {
			t.Errorf("%s/%s was changed by a value that was refused", rt.Endpoint, id)
		}
	}
	if a := c.want(t, 200, "GET", escape(`/Users?filter=userName sw "`+name+`"`), ""); fmt.Sprint(a.at("totalResults")) != "1" {
		t.Errorf("a refused user is there: %s", a.body)
	}
}

type resourceType struct {
	Endpoint, Schema string
	SchemaExtensions []struct{ Schema string }
}

func (rt resourceType) schemas() []string {
	all := []string{rt.Schema}
	for _, e := range rt.SchemaExtensions {
		all = append(all, e.Schema)
	}
	return all
}

func (c *client) resourceTypes(t *testing.T) []resourceType {
	t.Helper()
	var list struct{ Resources []resourceType }
	if err := json.Unmarshal(c.want(t, 200, "GET", "/ResourceTypes", "").body, &list); err != nil || len(list.Resources) == 0 {
		t.Fatalf("resource types: %v", err)
	}
	return list.Resources
}

func (c *client) attributes(t *testing.T, urn string) []attribute {
	t.Helper()
	var s struct{ Attributes []attribute }
	if err := json.Unmarshal(c.want(t, 200, "GET", "/Schemas/"+urn, "").body, &s); err != nil || len(s.Attributes) == 0 {
		t.Fatalf("schema %s: %v", urn, err)
	}
	return s.Attributes
}

// confuse tries the wrong values of an attribute and of its sub-attributes. id is of a resource to change, or empty.
func (c *client) confuse(t *testing.T, rt resourceType, urn string, a attribute, id string) {
	send := func(about, path, value, inBody string) {
		t.Helper()
		extra := ""
		if !strings.Contains(strings.ToLower(inBody), `"username":`) && rt.Endpoint == "/Users" {
			extra = `,"userName":"` + unique() + `-confused"`
		} else if !strings.Contains(inBody, `"displayName":`) && rt.Endpoint == "/Groups" {
			extra = `,"displayName":"confused"`
		}
		if urn != rt.Schema {
			inBody = `"` + urn + `":{` + inBody + `}`
		}
		body := `{"schemas":["` + strings.Join(rt.schemas(), `","`) + `"],` + inBody + extra + `}`
		leaf := path[strings.LastIndexAny(path, ":.")+1:]
		judge := func(method, target, body string, codes ...string) {
			t.Helper()
			r := c.send(t, method, target, body)
			code, _ := r.at("scimType").(string)
			detail, _ := r.at("detail").(string)
			if r.status != 400 || !slices.Contains(codes, code) || strings.Contains(string(r.body), marker) || strings.Contains(string(r.body), "90071992547") ||
				id != "" && code == "invalidValue" && !strings.Contains(detail, leaf) {
				t.Errorf("%s: %s %.40s: %d %.300s", about, method, body, r.status, r.body)
			}
		}
		if a.Mutability != "readOnly" {
			judge("POST", rt.Endpoint, body, "invalidValue")
			if id != "" {
				judge("PUT", rt.Endpoint+"/"+id, body, "invalidValue")
			}
		}
		if id != "" {
			judge("PATCH", rt.Endpoint+"/"+id, patchBody(`{"op":"replace","path":"`+path+`","value":`+value+`}`), "invalidValue", "mutability", "noTarget")
		}
	}
	strict := c.preset == "strict"
	path := a.Name
	if urn != rt.Schema {
		path = urn + ":" + a.Name
	}
	for _, v := range a.wrongValues(strict) {
		send(urn+":"+a.Name, path, v, `"`+a.Name+`":`+v)
	}
	for _, sub := range a.SubAttributes {
		if sub.Mutability == "readOnly" && a.Mutability != "readOnly" || sub.Name == "$ref" {
			continue // what is sent there is passed over, whatever it is
		}
		for _, v := range sub.wrongValues(strict) {
			element := `{"` + sub.Name + `":` + v + `}`
			if a.MultiValued {
				element = "[" + element + "]"
			}
			send(urn+":"+a.Name+"."+sub.Name, path+"."+sub.Name, v, `"`+a.Name+`":`+element)
		}
	}
}
