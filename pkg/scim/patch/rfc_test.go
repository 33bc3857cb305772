package patch_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/regain-id/regain/pkg/scim/patch"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// whole is the resource as JSON once a result is applied, members included.
func whole(t testing.TB, cur *schema.Resource, res patch.Result) string {
	t.Helper()
	out := schema.Object{}
	maps.Copy(out, res.Next.Attrs)
	if members := membersAfter(elements(cur.Attrs["members"]), res.Members); len(members) > 0 {
		out["members"] = members
	}
	for urn, o := range res.Next.Ext {
		out[urn] = o
	}
	if res.Next.ExternalID != "" {
		out["externalId"] = res.Next.ExternalID
	}
	data, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func elements(v any) []any { list, _ := v.([]any); return list }

// membersAfter does with a list of members what a store does.
func membersAfter(list []any, deltas []schema.MemberDelta) []any {
	at := func(id any) int {
		return slices.IndexFunc(list, func(e any) bool { return e.(schema.Object)["value"] == id })
	}
	list = slices.Clone(list)
	for _, d := range deltas {
		if d.ReplaceAll {
			list = nil
		}
		for _, id := range d.Remove {
			if i := at(id); i >= 0 {
				list = slices.Delete(list, i, i+1)
			}
		}
		for _, o := range d.Add {
			if at(o["value"]) < 0 {
				list = append(list, o)
			}
		}
	}
	return list
}

// The examples of the sections are in it, with shorter values.
func TestPatchesDoWhatTheSectionsOfTheRFCSay(t *testing.T) {
	user, group := types(t)
	const babs = `{"userName":"babs","title":"t","name":{"familyName":"J","givenName":"B"},"emails":[{"type":"work","value":"w@example.com","primary":true},{"type":"home","value":"h@example.org"}],` +
		`"addresses":[{"type":"work","streetAddress":"S","locality":"L"},{"type":"home","locality":"M"}],"` + ent + `":{"department":"d"}}`
	const guides = `{"displayName":"Guides","members":[{"value":"a"},{"value":"b"},{"value":"c"}]}`
	for _, c := range []struct {
		section, about, cur, ops string
		want                     string // the whole resource, "same", or a scimType
	}{
		// RFC 7644 §3.5.2
		{"3.5.2", "operations apply in order", `{"userName":"u"}`, `[{"op":"add","path":"title","value":"a"},{"op":"replace","path":"title","value":"b"},{"op":"add","path":"nickName","value":"n"},{"op":"remove","path":"nickName"}]`, `{"title":"b","userName":"u"}`},
		{"3.5.2", "each operation sees what the one before left", `{"userName":"u"}`, `[{"op":"add","path":"emails","value":[{"type":"work","value":"a@x"}]},{"op":"replace","path":"emails[type eq \"work\"].value","value":"b@x"}]`, `{"emails":[{"type":"work","value":"b@x"}],"userName":"u"}`},
		{"3.5.2", "all or none", babs, `[{"op":"remove","path":"title"},{"op":"replace","path":"emails[type eq \"none\"].value","value":"x"}]`, "noTarget"},
		{"3.5.2", "what must be there may be gone in between", `{"userName":"u"}`, `[{"op":"remove","path":"userName"},{"op":"add","path":"userName","value":"v"}]`, `{"userName":"v"}`},
		{"3.5.2", "path: an attribute", guides, `[{"op":"remove","path":"members"}]`, `{"displayName":"Guides"}`},
		{"3.5.2", "path: a sub-attribute", `{"userName":"u","name":{"familyName":"J","givenName":"B"}}`, `[{"op":"replace","path":"name.familyName","value":"K"}]`, `{"name":{"familyName":"K","givenName":"B"},"userName":"u"}`},
		{"3.5.2", "path: a value path", `{"userName":"u","addresses":[{"type":"work","locality":"L"},{"type":"home","locality":"M"}]}`, `[{"op":"remove","path":"addresses[type eq \"work\"]"}]`, `{"addresses":[{"locality":"M","type":"home"}],"userName":"u"}`},
		{"3.5.2", "path: a sub-attribute of a value path", `{"userName":"u","addresses":[{"type":"work","locality":"L"}]}`, `[{"op":"add","path":"addresses[type eq \"work\"].region","value":"R"}]`, `{"addresses":[{"locality":"L","region":"R","type":"work"}],"userName":"u"}`},
		{"3.5.2", "path: with the URN of the core schema", `{"userName":"u"}`, `[{"op":"add","path":"` + schema.UserURN + `:name.familyName","value":"K"}]`, `{"name":{"familyName":"K"},"userName":"u"}`},
		{"3.5.2", "path: with the URN of an extension", `{"userName":"u"}`, `[{"op":"add","path":"` + ent + `:manager.value","value":"m"}]`, `{"` + ent + `":{"manager":{"value":"m"}},"userName":"u"}`},
		{"3.5.2", "path: an extension as a whole", `{"userName":"u","` + ent + `":{"department":"d"}}`, `[{"op":"add","path":"` + ent + `","value":{"division":"e"}}]`, `{"` + ent + `":{"department":"d","division":"e"},"userName":"u"}`},
		{"3.5.2", "path: in any letter case", `{"userName":"u"}`, `[{"op":"add","path":"NAME.FAMILYNAME","value":"K"}]`, `{"name":{"familyName":"K"},"userName":"u"}`},
		{"3.5.2", "path: brackets with and, or, not and parentheses", babs, `[{"op":"remove","path":"emails[not (type eq \"work\") and (value ew \".org\" or value ew \".net\")]"},{"op":"remove","path":"addresses"},{"op":"remove","path":"` + ent + `"},{"op":"remove","path":"name"}]`,
			`{"emails":[{"primary":true,"type":"work","value":"w@example.com"}],"title":"t","userName":"babs"}`},
		{"3.5.2", "path: half of one", babs, `[{"op":"add","path":"emails[type eq","value":"x"}]`, "invalidFilter"},
		{"3.5.2", "path: of nothing", babs, `[{"op":"add","path":"friends","value":"x"}]`, "invalidPath"},
		{"3.5.2", "readOnly is not modified", babs, `[{"op":"replace","path":"meta.created","value":"2001-01-01T00:00:00Z"}]`, "mutability"},
		{"3.5.2", "the schema holds", babs, `[{"op":"add","path":"active","value":"yes"}]`, "invalidValue"},
		{"3.5.2", "a new primary takes it from the others: added", `{"userName":"u","emails":[{"value":"a@x","primary":true}]}`, `[{"op":"add","path":"emails","value":[{"value":"b@x","primary":true}]}]`, `{"emails":[{"primary":false,"value":"a@x"},{"primary":true,"value":"b@x"}],"userName":"u"}`},
		{"3.5.2", "a new primary takes it from the others: said of one that is there", `{"userName":"u","emails":[{"value":"a@x","primary":true},{"value":"b@x"}]}`, `[{"op":"add","path":"emails[value eq \"b@x\"].primary","value":true}]`, `{"emails":[{"primary":false,"value":"a@x"},{"primary":true,"value":"b@x"}],"userName":"u"}`},
		{"3.5.2", "a new primary takes it from the others: without path", `{"userName":"u","emails":[{"value":"a@x","primary":true}]}`, `[{"op":"add","value":{"emails":[{"value":"b@x","primary":true}]}}]`, `{"emails":[{"primary":false,"value":"a@x"},{"primary":true,"value":"b@x"}],"userName":"u"}`},
		{"3.5.2", "a new primary takes it from the others: in a value that replaces", `{"userName":"u","emails":[{"value":"a@x","primary":true},{"value":"b@x"}]}`, `[{"op":"replace","path":"emails[value eq \"b@x\"]","value":{"value":"c@x","primary":true}}]`, `{"emails":[{"primary":false,"value":"a@x"},{"primary":true,"value":"c@x"}],"userName":"u"}`},
		{"3.5.2", "a primary that is taken away goes to nobody", `{"userName":"u","emails":[{"value":"a@x","primary":true},{"value":"b@x"}]}`, `[{"op":"replace","path":"emails[value eq \"a@x\"].primary","value":false}]`, `{"emails":[{"primary":false,"value":"a@x"},{"value":"b@x"}],"userName":"u"}`},
		// RFC 7643 §2.4: the same type and value is not there twice. Found by fuzzing: a value path could make two of one.
		{"3.5.2", "values that become the same are one", `{"userName":"u","emails":[{"type":"work","value":"a@x","primary":true},{"type":"home","value":"a@x","display":"A"},{"value":"b@x"}]}`, `[{"op":"replace","path":"emails[type eq \"home\"].type","value":"WORK"}]`, `{"emails":[{"display":"A","primary":true,"type":"WORK","value":"a@x"},{"value":"b@x"}],"userName":"u"}`},
		{"3.5.2", "values that become the same are one: the first is changed", `{"userName":"u","emails":[{"type":"home","value":"a@x"},{"type":"work","value":"a@x","display":"A","primary":true}]}`, `[{"op":"replace","path":"emails[type eq \"home\"]","value":{"type":"work","value":"a@x","display":"B"}}]`, `{"emails":[{"display":"B","primary":true,"type":"work","value":"a@x"}],"userName":"u"}`},
		// §3.5.2.1
		{"3.5.2.1", "a member", guides, `[{"op":"add","path":"members","value":[{"display":"Babs","$ref":"https://example.com/v2/Users/d","value":"d"}]}]`, `{"displayName":"Guides","members":[{"value":"a"},{"value":"b"},{"value":"c"},{"value":"d"}]}`},
		{"3.5.2.1", "without path", `{"userName":"u"}`, `[{"op":"add","value":{"emails":[{"value":"babs@x","type":"home"}],"nickName":"Babs"}}]`, `{"emails":[{"type":"home","value":"babs@x"}],"nickName":"Babs","userName":"u"}`},
		{"3.5.2.1", "without path the value is an object", `{"userName":"u"}`, `[{"op":"add","value":"Babs"}]`, "invalidValue"},
		{"3.5.2.1", "what is not there is added with its parent", `{"userName":"u"}`, `[{"op":"add","path":"name.givenName","value":"B"}]`, `{"name":{"givenName":"B"},"userName":"u"}`},
		{"3.5.2.1", "a complex attribute takes a set of sub-attributes", `{"userName":"u","name":{"givenName":"B"}}`, `[{"op":"add","path":"name","value":{"familyName":"J"}}]`, `{"name":{"familyName":"J","givenName":"B"},"userName":"u"}`},
		{"3.5.2.1", "a multi-valued attribute takes a new value", `{"userName":"u","roles":[{"value":"a"}]}`, `[{"op":"add","path":"roles","value":[{"value":"b"}]}]`, `{"roles":[{"value":"a"},{"value":"b"}],"userName":"u"}`},
		{"3.5.2.1", "a single value is replaced", `{"userName":"u","title":"t"}`, `[{"op":"add","path":"title","value":"v"}]`, `{"title":"v","userName":"u"}`},
		{"3.5.2.1", "a value that is there is no change", babs, `[{"op":"add","path":"emails","value":[{"type":"home","value":"h@example.org"}]},{"op":"add","path":"title","value":"t"}]`, "same"},
		{"3.5.2.1", "a value that is there is no change: members", guides, `[{"op":"add","path":"members","value":[{"value":"b"}]}]`, guides},
		// §3.5.2.2
		{"3.5.2.2", "without path", babs, `[{"op":"remove"}]`, "noTarget"},
		{"3.5.2.2", "without path, with a value", babs, `[{"op":"remove","value":{"title":"t"}}]`, "noTarget"},
		{"3.5.2.2", "a single value is gone", `{"userName":"u","title":"t"}`, `[{"op":"remove","path":"title"}]`, `{"userName":"u"}`},
		{"3.5.2.2", "a multi-valued attribute is gone", `{"userName":"u","roles":[{"value":"a"},{"value":"b"}]}`, `[{"op":"remove","path":"roles"}]`, `{"userName":"u"}`},
		{"3.5.2.2", "values that match are gone", `{"userName":"u","emails":[{"type":"work","value":"a@example.com"},{"type":"work","value":"b@x"}]}`, `[{"op":"remove","path":"emails[type eq \"work\" and value ew \"example.com\"]"}]`, `{"emails":[{"type":"work","value":"b@x"}],"userName":"u"}`},
		{"3.5.2.2", "when no value is left the attribute is gone", `{"userName":"u","emails":[{"type":"work","value":"a@x"}]}`, `[{"op":"remove","path":"emails[type eq \"work\"]"}]`, `{"userName":"u"}`},
		{"3.5.2.2", "a sub-attribute of the values that match", `{"userName":"u","addresses":[{"type":"work","locality":"L","region":"R"},{"type":"home","region":"R"}]}`, `[{"op":"remove","path":"addresses[type eq \"work\"].region"}]`, `{"addresses":[{"locality":"L","type":"work"},{"region":"R","type":"home"}],"userName":"u"}`},
		{"3.5.2.2", "the last sub-attribute takes the value with it", `{"userName":"u","addresses":[{"region":"R"}]}`, `[{"op":"remove","path":"addresses[region eq \"r\"].region"}]`, `{"userName":"u"}`},
		{"3.5.2.2", "a sub-attribute of the one value", `{"userName":"u","name":{"givenName":"B","familyName":"J"}}`, `[{"op":"remove","path":"name.givenName"}]`, `{"name":{"familyName":"J"},"userName":"u"}`},
		{"3.5.2.2", "what is required is not removed", babs, `[{"op":"remove","path":"userName"}]`, "mutability"},
		{"3.5.2.2", "what is required is not removed: of a group", guides, `[{"op":"remove","path":"displayName"}]`, "mutability"},
		{"3.5.2.2", "what is readOnly is not removed", babs, `[{"op":"remove","path":"id"}]`, "mutability"},
		{"3.5.2.2", "what is not there is no change", babs, `[{"op":"remove","path":"nickName"},{"op":"remove","path":"emails[type eq \"none\"]"}]`, "same"},
		{"3.5.2.2", "one member", guides, `[{"op":"remove","path":"members[value eq \"b\"]"}]`, `{"displayName":"Guides","members":[{"value":"a"},{"value":"c"}]}`},
		{"3.5.2.2", "one member and another in its place", guides, `[{"op":"remove","path":"members[value eq \"b\"]"},{"op":"add","path":"members","value":[{"value":"d"}]}]`, `{"displayName":"Guides","members":[{"value":"a"},{"value":"c"},{"value":"d"}]}`},
		{"3.5.2.2", "all members", guides, `[{"op":"remove","path":"members"},{"op":"add","path":"members","value":[{"value":"d"},{"value":"a"}]}]`, `{"displayName":"Guides","members":[{"value":"d"},{"value":"a"}]}`},
		{"3.5.2.2", "a list of members is those and no other", guides, `[{"op":"remove","path":"members","value":[{"value":"a"},{"value":"x"},{"value":"c","display":"C"}]}]`, `{"displayName":"Guides","members":[{"value":"b"}]}`},
		{"3.5.2.2", "an empty list of members is nobody", guides, `[{"op":"remove","path":"members","value":[]}]`, guides},
		{"3.5.2.2", "a list that names nobody", guides, `[{"op":"remove","path":"members","value":[{"display":"A"}]}]`, "invalidValue"},
		// §3.5.2.3
		{"3.5.2.3", "without path", `{"userName":"u","nickName":"n","emails":[{"value":"a@x"}]}`, `[{"op":"replace","value":{"emails":[{"value":"b@x","type":"work","primary":true},{"value":"c@x","type":"home"}],"nickName":"Babs"}}]`, `{"emails":[{"primary":true,"type":"work","value":"b@x"},{"type":"home","value":"c@x"}],"nickName":"Babs","userName":"u"}`},
		{"3.5.2.3", "a single value", `{"userName":"u","title":"t"}`, `[{"op":"replace","path":"title","value":"v"}]`, `{"title":"v","userName":"u"}`},
		{"3.5.2.3", "all values of a multi-valued attribute", guides, `[{"op":"replace","path":"members","value":[{"value":"x"},{"value":"a"}]}]`, `{"displayName":"Guides","members":[{"value":"x"},{"value":"a"}]}`},
		{"3.5.2.3", "what is not there is added", `{"userName":"u"}`, `[{"op":"replace","path":"title","value":"v"},{"op":"replace","path":"roles","value":[{"value":"r"}]}]`, `{"roles":[{"value":"r"}],"title":"v","userName":"u"}`},
		{"3.5.2.3", "of a complex attribute what is named; the rest is left alone", `{"userName":"u","name":{"givenName":"B","familyName":"J"}}`, `[{"op":"replace","path":"name","value":{"familyName":"K","middleName":"M"}}]`, `{"name":{"familyName":"K","givenName":"B","middleName":"M"},"userName":"u"}`},
		{"3.5.2.3", "values that match, altogether", `{"userName":"u","addresses":[{"type":"work","locality":"L","region":"R"},{"type":"home","locality":"M"}]}`, `[{"op":"replace","path":"addresses[type eq \"work\"]","value":{"type":"work","streetAddress":"911","primary":true}}]`, `{"addresses":[{"primary":true,"streetAddress":"911","type":"work"},{"locality":"M","type":"home"}],"userName":"u"}`},
		{"3.5.2.3", "a sub-attribute of the values that match", `{"userName":"u","addresses":[{"type":"work","locality":"L"},{"type":"home","locality":"M"}]}`, `[{"op":"replace","path":"addresses[type eq \"work\"].streetAddress","value":"1010"}]`, `{"addresses":[{"locality":"L","streetAddress":"1010","type":"work"},{"locality":"M","type":"home"}],"userName":"u"}`},
		{"3.5.2.3", "a sub-attribute of all values", `{"userName":"u","addresses":[{"type":"work"},{"type":"home"}]}`, `[{"op":"replace","path":"addresses.country","value":"DE"}]`, `{"addresses":[{"country":"DE","type":"work"},{"country":"DE","type":"home"}],"userName":"u"}`},
		{"3.5.2.3", "no value matches", babs, `[{"op":"replace","path":"addresses[type eq \"other\"].locality","value":"x"}]`, "noTarget"},
		{"3.5.2.3", "no value matches, altogether", babs, `[{"op":"replace","path":"addresses[type eq \"other\"]","value":{"locality":"x"}}]`, "noTarget"},
		{"3.5.2.3", "by nothing, which is removal (RFC 7643 §2.5)", `{"userName":"u","title":"t","roles":[{"value":"r"}]}`, `[{"op":"replace","path":"title","value":null},{"op":"replace","path":"roles","value":[]}]`, `{"userName":"u"}`},
		{"3.5.2.3", "what is required is not replaced by nothing", babs, `[{"op":"replace","path":"userName","value":null}]`, "mutability"},
		{"3.5.2.3", "by the same is no change", babs, `[{"op":"replace","path":"title","value":"t"},{"op":"replace","path":"name","value":{"familyName":"J"}},{"op":"replace","path":"emails[type eq \"work\"].value","value":"w@example.com"}]`, "same"},
	} {
		typ := user
		if c.cur == guides {
			typ = group
		}
		cur := resource(t, typ, c.cur)
		res, err := apply(t, typ, cur, c.ops, schema.Strict())
		if e, refused := errors.AsType[*schema.Error](err); refused {
			if e.Status != 400 || string(e.Type) != c.want || res.Next != nil || res.Ops != nil || res.Members != nil {
				t.Errorf("§%s %s: %s: %v, want %s", c.section, c.about, c.ops, err, c.want)
			}
			continue
		}
		if c.want == "same" {
			if err != nil || !res.NoOp {
				t.Errorf("§%s %s: %s: %+v, %v, want no change", c.section, c.about, c.ops, res.Ops, err)
			}
			continue
		}
		if err != nil || whole(t, cur, res) != c.want {
			got := ""
			if err == nil {
				got = whole(t, cur, res)
			}
			t.Errorf("§%s %s: %s:\ngot  %s %v\nwant %s", c.section, c.about, c.ops, got, err, c.want)
		}
	}
}

// RFC 7644 §3.5.2: a client may add a value to an immutable attribute if it had none.
func TestAnImmutableAttributeTakesItsFirstValue(t *testing.T) {
	typ, err := schema.NewType("T", &schema.Schema{ID: "urn:x:T", Attributes: []*schema.Attribute{{Name: "name"}, {Name: "once", Mutability: schema.Immutable},
		{Name: "box", Type: schema.Complex, SubAttributes: []*schema.Attribute{{Name: "value"}, {Name: "once", Mutability: schema.Immutable}}}}})
	if err != nil {
		t.Fatal(err)
	}
	cur := &schema.Resource{Attrs: schema.Object{"name": "n", "box": schema.Object{"value": "v"}}}
	for _, path := range []string{"once", "box.once"} {
		for _, op := range []string{"add", "replace"} {
			res, err := apply(t, typ, cur, `[{"op":"`+op+`","path":"`+path+`","value":"x"}]`, schema.Strict())
			if err != nil || res.NoOp {
				t.Errorf("%s %s: %+v, %v", op, path, res, err)
				continue
			}
			_, err = apply(t, typ, res.Next, `[{"op":"`+op+`","path":"`+path+`","value":"y"}]`, schema.Strict())
			if !errors.Is(err, &schema.Error{Type: schema.Mutability}) {
				t.Errorf("%s %s a second time: %v", op, path, err)
			}
		}
	}
}
