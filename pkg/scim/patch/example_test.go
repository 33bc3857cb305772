package patch_test

import (
	"fmt"

	"github.com/regain-id/regain/pkg/scim/patch"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// A PATCH without HTTP and without a store: what the operations make of a resource, and in which attributes it differs.
func ExampleApply() {
	users, err := schema.NewType("User", schema.User())
	if err != nil {
		panic(err)
	}
	ada := &schema.Resource{Type: "User", ID: "7", Attrs: schema.Object{"userName": "ada", "active": true,
		"emails": []any{schema.Object{"type": "work", "value": "ada@old.example"}}}}
	body, err := schema.ParseJSON([]byte(`{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
		{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "ada@new.example"},
		{"op": "Replace", "path": "active", "value": "False"}]}`))
	if err != nil {
		panic(err)
	}
	ops, err := patch.ReadOps(body, schema.Entra(), 100)
	if err != nil {
		panic(err)
	}
	result, err := patch.Apply(users, ada, ops, schema.Entra())
	if err != nil {
		panic(err)
	}
	for _, change := range result.Ops {
		fmt.Println(change.Key, change.Old, "→", change.New)
	}
	fmt.Println("still", ada.Get("active")) // what was given is not altered
	// Output:
	// active true → false
	// emails [map[type:work value:ada@old.example]] → [map[type:work value:ada@new.example]]
	// still true
}

// Members of a group, which may be very many, are never loaded to be changed: what happens to them comes out by itself.
func ExamplePlan() {
	groups, err := schema.NewType("Group", schema.Group())
	if err != nil {
		panic(err)
	}
	plan, err := patch.NewPlan(groups, []patch.Op{
		{Name: "add", Path: "members", Value: []any{schema.Object{"value": "ada"}}},
		{Name: "remove", Path: `members[value eq "bob"]`},
	}, schema.Standard())
	if err != nil {
		panic(err)
	}
	fmt.Println("must be loaded:", plan.Needs())
	result, err := plan.Apply(&schema.Resource{Type: "Group", ID: "g", Attrs: schema.Object{"displayName": "Staff"}})
	if err != nil {
		panic(err)
	}
	for _, d := range result.Members {
		fmt.Println(d.Attr, "add", d.Add, "remove", d.Remove)
	}
	// Output:
	// must be loaded: []
	// members add [map[value:ada]] remove [bob]
}
