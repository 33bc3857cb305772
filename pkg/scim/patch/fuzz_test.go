package patch_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim/patch"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// FuzzApply takes a list of operations. The corpus in testdata is what identity providers send, and what nobody should.
func FuzzApply(f *testing.F) {
	user, group := types(f)
	f.Add([]byte(`[{"op":"add","path":"emails[type eq \"other\"].value","value":"x"}]`))
	u, g := resource(f, user, ada), resource(f, group, `{"displayName":"g","members":[{"value":"a"},{"value":"b"}]}`)
	u.Attrs["password"] = "secret"
	f.Fuzz(func(t *testing.T, list []byte) {
		body, err := schema.ParseJSON(append(append([]byte(`{"Operations":`), list...), '}'))
		if err != nil {
			return
		}
		for _, c := range []schema.Compat{schema.Strict(), schema.Standard(), schema.Entra()} {
			c.LooseSchemas = true
			ops, err := patch.ReadOps(body, c, 50)
			if err != nil {
				refusal(t, err)
				continue
			}
			for typ, cur := range map[*schema.Type]*schema.Resource{user: u, group: g} {
				before := cur.Clone()
				res, err := patch.Apply(typ, cur, ops, c)
				if !reflect.DeepEqual(before, cur) {
					t.Fatal("the current resource was altered")
				}
				if err != nil {
					refusal(t, err)
					if !reflect.DeepEqual(res, patch.Result{}) {
						t.Fatalf("refused, and half of it is there: %+v", res)
					}
					continue
				}
				check(t, typ, cur, res)
				if len(ops) == 1 && !strings.Contains(ops[0].Path, "[") {
					twice(t, typ, cur, res, ops, c)
				}
			}
		}
	})
}

// refusal holds what is true of every error.
func refusal(t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[*schema.Error](err); !ok || e.Status/100 != 4 || len(e.Detail) > 600 || strings.Contains(e.Detail, "secret") {
		t.Fatalf("%v", err)
	}
}

// check holds what is true of every result.
func check(t *testing.T, typ *schema.Type, cur *schema.Resource, res patch.Result) {
	t.Helper()
	if res.NoOp != (len(res.Ops) == 0 && len(res.Members) == 0) {
		t.Fatalf("no-op %v with %+v", res.NoOp, res)
	}
	if res.Next.ID != cur.ID || res.Next.Version != cur.Version {
		t.Fatal("the client changed what is the server's")
	}
	if err := typ.Check(res.Next, true); err != nil {
		t.Fatalf("a required value is gone: %v", err)
	}
	if err := typ.CheckMutable(cur, res.Next); err != nil {
		t.Fatalf("an immutable value is another one: %v", err)
	}
	for _, d := range res.Members {
		seen := map[any]bool{}
		for _, o := range d.Add {
			if o["value"] == nil || seen[o["value"]] {
				t.Fatalf("delta %+v", d)
			}
			seen[o["value"]] = true
		}
		for _, id := range d.Remove {
			if seen[id] {
				t.Fatalf("delta %+v", d)
			}
			seen[id] = true
		}
	}
	// The result is canonical: strictly read it is itself, which has no list with two primaries or the same element twice.
	body := schema.Object{"schemas": typ.Schemas(res.Next)}
	for k, v := range res.Next.Attrs {
		body[k] = v
	}
	for urn, o := range res.Next.Ext {
		body[urn] = o
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	o, err := schema.ParseJSON(data)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if again, _, err := typ.Decode(o, schema.Strict()); err != nil || len(schema.Diff(again, &schema.Resource{Attrs: res.Next.Attrs, Ext: res.Next.Ext})) > 0 {
		t.Fatalf("%s is not canonical: %v", data, err)
	}
}

// twice holds that an operation without brackets has done its work the first time.
func twice(t *testing.T, typ *schema.Type, cur *schema.Resource, res patch.Result, ops []patch.Op, c schema.Compat) {
	t.Helper()
	next := res.Next.Clone()
	members := membersAfter(elements(cur.Attrs["members"]), res.Members)
	if len(members) > 0 {
		next.Attrs["members"] = members
	}
	again, err := patch.Apply(typ, next, ops, c)
	if err != nil {
		t.Fatalf("%+v is refused a second time: %v", ops, err)
	}
	for _, o := range again.Ops {
		if o.Key != "password" { // nobody can know that it is the one there is
			t.Fatalf("%+v changes %+v a second time", ops, o)
		}
	}
	if now := membersAfter(members, again.Members); len(now) != len(members) {
		t.Fatalf("%+v makes of the members %v a second time %v", ops, members, now)
	}
}
