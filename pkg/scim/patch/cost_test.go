package patch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim/patch"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// hostileLists are operations that fit into a request and look at as many elements as they can.
func hostileLists() map[string][]patch.Op {
	var mails []any
	for i := range schema.MaxElements {
		mails = append(mails, schema.Object{"value": fmt.Sprint(i, "@x"), "type": "work"})
	}
	all := patch.Op{Name: "replace", Path: "emails", Value: mails}
	out := map[string][]patch.Op{}
	for name, op := range map[string]patch.Op{
		"a filter of 60 terms":                {Name: "remove", Path: "emails[" + strings.Repeat(`type eq "a" or `, 60) + `type eq "b"]`},
		"a sub-attribute of all":              {Name: "replace", Path: "emails.display", Value: "d"},
		"one more, which is there":            {Name: "add", Path: "emails", Value: []any{schema.Object{"value": "5@x", "type": "work"}}},
		"one removed by value, who is nobody": {Name: "remove", Path: "emails", Value: []any{schema.Object{"value": "nobody"}}},
		"a filter that finds all":             {Name: "replace", Path: "emails[value pr].type", Value: "home"},
	} {
		list := []patch.Op{all}
		for range 999 {
			list = append(list, op)
		}
		out[name] = list
	}
	return out
}

func BenchmarkHostileLists(b *testing.B) {
	user, _ := types(b)
	u := &schema.Resource{Attrs: schema.Object{"userName": "u"}}
	for name, list := range hostileLists() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = patch.Apply(user, u, list, schema.Standard())
			}
		})
	}
}

// Found by measuring: lists within every limit of a request took seven seconds.
func TestOperationsThatLookAtTooMuchAreRefused(t *testing.T) {
	user, group := types(t)
	u := &schema.Resource{Attrs: schema.Object{"userName": "u"}}
	for name, list := range hostileLists() {
		_, err := patch.Apply(user, u, list, schema.Standard())
		if refused := errors.Is(err, &schema.Error{Status: 400, Type: schema.TooMany}); refused == strings.Contains(name, "nobody") {
			t.Errorf("%s: %v", name, err)
		}
		if res, err := patch.Apply(user, u, list[:3], schema.Standard()); err != nil || res.NoOp {
			t.Errorf("%s, three operations: %+v, %v", name, res.NoOp, err)
		}
	}
	var members []any
	for i := range 200_000 {
		members = append(members, schema.Object{"value": fmt.Sprint(i), "display": fmt.Sprint("name ", i)})
	}
	g := &schema.Resource{Attrs: schema.Object{"displayName": "g", "members": members}}
	res, err := patch.Apply(group, g, []patch.Op{{Name: "remove", Path: `members[display eq "name 7" or display eq "name 8"]`}}, schema.Standard())
	if err != nil || len(res.Members) != 1 || len(res.Members[0].Remove) != 2 {
		t.Errorf("two members of a large group: %+v, %v", res.Members, err)
	}
}
