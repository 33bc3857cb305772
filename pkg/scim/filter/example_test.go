package filter_test

import (
	"fmt"

	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// A filter is read once, against a resource type, and then asked of any number of resources.
func ExampleParse() {
	users, err := schema.NewType("User", schema.User(), schema.Extension{Schema: schema.EnterpriseUser()})
	if err != nil {
		panic(err)
	}
	x, err := filter.Parse(users, `emails[type eq "work"].value ew "@Alder.example" and active ne false`, schema.Standard())
	if err != nil {
		panic(err)
	}
	ada := &schema.Resource{Type: "User", Attrs: schema.Object{"userName": "ada", "emails": []any{
		schema.Object{"type": "work", "value": "ada@alder.example"}, schema.Object{"type": "home", "value": "ada@mail.example"}}}}
	fmt.Println(filter.Match(x, ada), filter.Keys(x))

	_, err = filter.Parse(users, `shoeSize gt 40`, schema.Standard())
	fmt.Println(err)
	_, err = filter.Parse(users, `password eq "guess"`, schema.Standard())
	fmt.Println(err)
	// Output:
	// true [emails active]
	// scim 400 invalidFilter: shoeSize: no such attribute in resource type User
	// scim 400 invalidFilter: password: cannot be filtered on
}

// The path of a PATCH names an attribute, and with brackets the elements of it that are meant.
func ExampleParsePath() {
	users, err := schema.NewType("User", schema.User())
	if err != nil {
		panic(err)
	}
	target, err := filter.ParsePath(users, `phoneNumbers[type eq "mobile"].value`, schema.Standard())
	if err != nil {
		panic(err)
	}
	fmt.Println(target.Path, filter.MatchElem(target.Filter, schema.Object{"type": "Mobile", "value": "+49 171 3920001"}))
	// Output:
	// phoneNumbers.value true
}
