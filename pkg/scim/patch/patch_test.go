package patch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/scim/patch"
	"github.com/regain-id/regain/pkg/scim/schema"
)

const ent = schema.EnterpriseURN

func types(t testing.TB) (user, group *schema.Type) {
	t.Helper()
	user, err := schema.NewType("User", schema.User(), schema.Extension{Schema: schema.EnterpriseUser()})
	if err != nil {
		t.Fatal(err)
	}
	if group, err = schema.NewType("Group", schema.Group()); err != nil {
		t.Fatal(err)
	}
	return user, group
}

// resource decodes a body as a server would have stored it.
func resource(t testing.TB, typ *schema.Type, body string) *schema.Resource {
	t.Helper()
	o, err := schema.ParseJSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := typ.Decode(o, schema.Entra())
	if err != nil {
		t.Fatal(err)
	}
	r.ID, r.Version = "id1", "1"
	return r
}

// ops reads operations from the text of a list.
func ops(t testing.TB, list string, c schema.Compat) ([]patch.Op, error) {
	t.Helper()
	o, err := schema.ParseJSON([]byte(`{"schemas":["` + patch.URN + `"],"Operations":` + list + `}`))
	if err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	return patch.ReadOps(o, c, 1000)
}

func apply(t testing.TB, typ *schema.Type, cur *schema.Resource, list string, c schema.Compat) (patch.Result, error) {
	t.Helper()
	o, err := ops(t, list, c)
	if err != nil {
		return patch.Result{}, err
	}
	before := cur.Clone()
	res, err := patch.Apply(typ, cur, o, c)
	if !reflect.DeepEqual(before, cur) {
		t.Errorf("%s: the current resource was altered", list)
	}
	return res, err
}

const ada = `{"userName":"ada","title":"t","active":true,"name":{"givenName":"Ada","familyName":"L"},
	"emails":[{"type":"work","value":"w@x","primary":true},{"type":"home","value":"h@x"}],
	"addresses":[{"type":"work","locality":"A","region":"R"}],
	"` + ent + `":{"department":"d","manager":{"value":"m1"}}}`

// core returns a core attribute, ext one of the enterprise extension, as JSON.
func show(r *schema.Resource, key string) string {
	var v any
	if urn, name, ok := strings.Cut(key, "|"); ok {
		v = r.Ext[urn][name]
	} else if key == "externalId" {
		v = r.ExternalID
	} else {
		v = r.Attrs[key]
	}
	data, _ := json.Marshal(v)
	return string(data)
}

func TestEveryFormOfOperation(t *testing.T) {
	user, _ := types(t)
	for _, c := range []struct {
		ops, key, want string
		preset         string // standard when empty
	}{
		// add
		{`[{"op":"add","path":"nickName","value":"n"}]`, "nickName", `"n"`, "strict"},
		{`[{"op":"add","path":"title","value":"u"}]`, "title", `"u"`, "strict"},
		{`[{"op":"add","path":"title","value":null}]`, "title", `"t"`, ""},
		{`[{"op":"add","path":"name","value":{"middleName":"M"}}]`, "name", `{"familyName":"L","givenName":"Ada","middleName":"M"}`, "strict"},
		{`[{"op":"add","path":"name.middleName","value":"M"}]`, "name", `{"familyName":"L","givenName":"Ada","middleName":"M"}`, "strict"},
		{`[{"op":"add","path":"emails","value":[{"type":"other","value":"o@x"}]}]`, "emails",
			`[{"primary":true,"type":"work","value":"w@x"},{"type":"home","value":"h@x"},{"type":"other","value":"o@x"}]`, "strict"},
		{`[{"op":"add","path":"emails","value":{"type":"other","value":"o@x","primary":true}}]`, "emails",
			`[{"primary":false,"type":"work","value":"w@x"},{"type":"home","value":"h@x"},{"primary":true,"type":"other","value":"o@x"}]`, "strict"},
		{`[{"op":"add","path":"emails","value":[{"type":"HOME","value":"H@x"}]}]`, "emails", `[{"primary":true,"type":"work","value":"w@x"},{"type":"HOME","value":"H@x"}]`, "strict"},
		{`[{"op":"add","path":"emails[type eq \"home\"].display","value":"D"}]`, "emails",
			`[{"primary":true,"type":"work","value":"w@x"},{"display":"D","type":"home","value":"h@x"}]`, "strict"},
		{`[{"op":"add","path":"emails[type eq \"other\" and primary eq true].value","value":"o@x"}]`, "emails",
			`[{"primary":false,"type":"work","value":"w@x"},{"type":"home","value":"h@x"},{"primary":true,"type":"other","value":"o@x"}]`, "strict"},
		{`[{"op":"add","path":"emails[type eq \"other\"]","value":{"value":"o@x"}}]`, "emails",
			`[{"primary":true,"type":"work","value":"w@x"},{"type":"home","value":"h@x"},{"type":"other","value":"o@x"}]`, "strict"},
		{`[{"op":"add","path":"` + ent + `:manager.value","value":"m2"}]`, ent + "|manager", `{"value":"m2"}`, "strict"},
		{`[{"op":"add","path":"` + ent + `","value":{"costCenter":"c"}}]`, ent + "|costCenter", `"c"`, "strict"},
		{`[{"op":"add","path":"externalId","value":"e"}]`, "externalId", `"e"`, "strict"},
		// replace
		{`[{"op":"replace","path":"name","value":{"givenName":null,"familyName":"M"}}]`, "name", `{"familyName":"M"}`, ""},
		{`[{"op":"replace","path":"name","value":null}]`, "name", `null`, ""},
		{`[{"op":"replace","path":"emails","value":[{"value":"n@x"}]}]`, "emails", `[{"value":"n@x"}]`, "strict"},
		{`[{"op":"replace","path":"emails","value":[]}]`, "emails", `null`, "strict"},
		{`[{"op":"replace","path":"emails[type eq \"home\"].value","value":"n@x"}]`, "emails", `[{"primary":true,"type":"work","value":"w@x"},{"type":"home","value":"n@x"}]`, "strict"},
		{`[{"op":"replace","path":"emails[type eq \"home\"].value","value":null}]`, "emails", `[{"primary":true,"type":"work","value":"w@x"}]`, "strict"},
		{`[{"op":"replace","path":"emails[type eq \"home\"]","value":{"value":"n@x"}}]`, "emails", `[{"primary":true,"type":"work","value":"w@x"},{"type":"home","value":"n@x"}]`, "strict"},
		{`[{"op":"replace","path":"emails.display","value":"D"}]`, "emails", `[{"display":"D","primary":true,"type":"work","value":"w@x"},{"display":"D","type":"home","value":"h@x"}]`, "strict"},
		{`[{"op":"replace","path":"emails[type eq \"home\"].primary","value":"True"}]`, "emails", `[{"primary":false,"type":"work","value":"w@x"},{"primary":true,"type":"home","value":"h@x"}]`, ""},
		{`[{"op":"replace","path":"emails[type eq \"other\"].value","value":"o@x"}]`, "emails",
			`[{"primary":true,"type":"work","value":"w@x"},{"type":"home","value":"h@x"},{"type":"other","value":"o@x"}]`, "entra"},
		{`[{"op":"replace","path":"` + ent + `:manager[value eq \"m2\"].value","value":"m2"},{"op":"remove","path":"title"}]`, "title", `"t"`, "fail"},
		{`[{"op":"replace","value":{"name.givenName":"G","emails[type eq \"home\"].value":"n@x","` + ent + `:department":"e"}}]`, ent + "|department", `"e"`, ""},
		{`[{"op":"replace","value":{"` + ent + `":{"department":"e","division":null}}}]`, ent + "|department", `"e"`, "strict"},
		{`[{"op":"replace","path":"` + ent + `:manager","value":"m2"}]`, ent + "|manager", `{"value":"m2"}`, ""},
		{`[{"op":"replace","path":"` + ent + `:manager","value":""}]`, ent + "|manager", `null`, ""},
		// remove
		{`[{"op":"remove","path":"title"}]`, "title", `null`, "strict"},
		{`[{"op":"remove","path":"name.givenName"}]`, "name", `{"familyName":"L"}`, "strict"},
		{`[{"op":"remove","path":"name.givenName"},{"op":"remove","path":"name.familyName"}]`, "name", `null`, "strict"},
		{`[{"op":"remove","path":"emails[type eq \"work\"]"}]`, "emails", `[{"type":"home","value":"h@x"}]`, "strict"},
		{`[{"op":"remove","path":"emails[type eq \"work\"].primary"}]`, "emails", `[{"type":"work","value":"w@x"},{"type":"home","value":"h@x"}]`, "strict"},
		{`[{"op":"remove","path":"emails[type eq \"work\"].value"}]`, "emails", `[{"type":"home","value":"h@x"}]`, "strict"},
		{`[{"op":"remove","path":"emails","value":[{"value":"W@X"}]}]`, "emails", `[{"type":"home","value":"h@x"}]`, "strict"},
		{`[{"op":"remove","path":"emails","value":[{"value":"w@x","type":"home"}]}]`, "emails", `[{"primary":true,"type":"work","value":"w@x"},{"type":"home","value":"h@x"}]`, "strict"},
		{`[{"op":"remove","path":"emails","value":["h@x"]}]`, "emails", `[{"primary":true,"type":"work","value":"w@x"}]`, "strict"},
		{`[{"op":"remove","path":"addresses","value":[{"type":"work"}]}]`, "addresses", `null`, "strict"},
		{`[{"op":"remove","path":"emails.display"}]`, "emails", `[{"primary":true,"type":"work","value":"w@x"},{"type":"home","value":"h@x"}]`, "strict"},
		{`[{"op":"remove","path":"` + ent + `"}]`, ent + "|department", `null`, "strict"},
		{`[{"op":"remove","path":"` + ent + `:manager[value eq \"m1\"]"}]`, ent + "|manager", `null`, "strict"},
		// in order
		{`[{"op":"remove","path":"emails"},{"op":"add","path":"emails","value":[{"value":"n@x"}]}]`, "emails", `[{"value":"n@x"}]`, "strict"},
	} {
		fail := c.preset == "fail"
		preset, ok := schema.Preset(c.preset)
		if !ok {
			preset = schema.Standard()
		}
		res, err := apply(t, user, resource(t, user, ada), c.ops, preset)
		if fail {
			if err == nil {
				t.Errorf("%s: accepted", c.ops)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.ops, err)
			continue
		}
		if got := show(res.Next, c.key); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.ops, got, c.want)
		}
	}
}

func TestEveryFaultHasItsCode(t *testing.T) {
	user, group := types(t)
	for list, code := range map[string]schema.Code{
		`[{"op":"Add","path":"title","value":"x"}]`:     schema.InvalidSyntax,
		`[{"op":"move","path":"title"}]`:                schema.InvalidSyntax,
		`[{"path":"title"}]`:                            schema.InvalidSyntax,
		`["x"]`:                                         schema.InvalidSyntax,
		`[{"op":"remove"}]`:                             schema.NoTarget,
		`[{"op":"add","value":"x"}]`:                    schema.InvalidValue,
		`[{"op":"add","value":{"favourite":"x"}}]`:      schema.InvalidPath,
		`[{"op":"add","path":"favourite","value":"x"}]`: schema.InvalidPath,
		`[{"op":"add","path":"emails[","value":"x"}]`:   schema.InvalidFilter,
		`[{"op":"replace","path":"emails[type eq \"none\"].value","value":"x"}]`:                  schema.NoTarget,
		`[{"op":"replace","path":"emails[type eq \"none\"]","value":{"value":"x"}}]`:              schema.NoTarget,
		`[{"op":"add","path":"emails[type ne \"work\" and type ne \"home\"].value","value":"x"}]`: schema.NoTarget,
		`[{"op":"add","path":"emails[type eq \"a\" and type eq \"b\"].value","value":"x"}]`:       schema.NoTarget,
		`[{"op":"replace","path":"ims.value","value":"x"}]`:                                       schema.NoTarget,
		`[{"op":"replace","path":"id","value":"x"}]`:                                              schema.Mutability,
		`[{"op":"remove","path":"id"}]`:                                                           schema.Mutability,
		`[{"op":"add","path":"groups","value":[{"value":"x"}]}]`:                                  schema.Mutability,
		`[{"op":"replace","path":"meta.version","value":"x"}]`:                                    schema.Mutability,
		`[{"op":"replace","path":"` + ent + `:manager.displayName","value":"x"}]`:                 schema.Mutability,
		`[{"op":"remove","path":"userName"}]`:                                                     schema.Mutability,
		`[{"op":"replace","path":"userName","value":null}]`:                                       schema.Mutability,
		`[{"op":"replace","path":"userName","value":"  "}]`:                                       schema.Mutability,
		`[{"op":"replace","path":"active","value":"True"}]`:                                       schema.InvalidValue,
		`[{"op":"replace","path":"title","value":{}}]`:                                            schema.InvalidValue,
		`[{"op":"replace","path":"title","value":5}]`:                                             schema.InvalidValue,
		`[{"op":"replace","path":"emails","value":{"value":"x"}}]`:                                schema.InvalidValue,
		`[{"op":"remove","path":"emails","value":[5]}]`:                                           schema.InvalidValue,
		`[{"op":"remove","path":"emails","value":[{}]}]`:                                          schema.InvalidValue,
		`[{"op":"replace","path":"` + ent + `:manager","value":"x"}]`:                             schema.InvalidValue,
		`[{"op":"remove","path":"` + ent + `","value":"x"}]`:                                      schema.InvalidValue,
		`[{"op":"add","path":"title","value":"x","from":"y"}]`:                                    schema.InvalidSyntax,
	} {
		_, err := apply(t, user, resource(t, user, ada), list, schema.Strict())
		if e, ok := errors.AsType[*schema.Error](err); !ok || e.Status != 400 || e.Type != code {
			t.Errorf("%s: got %v, want 400 %s", list, err, code)
		}
	}
	for list, code := range map[string]schema.Code{
		`[{"op":"add","path":"members","value":[{"type":"User"}]}]`:                schema.InvalidValue,
		`[{"op":"replace","path":"members[value eq \"a\"].type","value":"Group"}]`: schema.Mutability,
		`[{"op":"add","path":"members[value eq \"a\"].display","value":"x"}]`:      schema.Mutability,
		`[{"op":"remove","path":"members[value eq \"a\"].type"}]`:                  schema.Mutability,
	} {
		cur := resource(t, group, `{"displayName":"g","members":[{"value":"a","type":"User"}]}`)
		_, err := apply(t, group, cur, list, schema.Strict())
		if e, ok := errors.AsType[*schema.Error](err); !ok || e.Type != code {
			t.Errorf("%s: got %v, want %s", list, err, code)
		}
	}
}

func TestWhatChangesNothingIsANoOp(t *testing.T) {
	user, _ := types(t)
	for _, list := range []string{
		`[{"op":"replace","path":"title","value":"t"}]`,
		`[{"op":"add","path":"emails","value":[{"value":"h@x","type":"home"}]}]`,
		`[{"op":"replace","path":"emails","value":[{"value":"h@x","type":"home"},{"type":"work","value":"w@x","primary":true}]}]`,
		`[{"op":"remove","path":"displayName"}]`,
		`[{"op":"remove","path":"emails[type eq \"none\"]"}]`,
		`[{"op":"remove","path":"emails","value":[]}]`,
		`[{"op":"replace","value":{"id":"id1"}}]`,
		`[{"op":"replace","value":{"schemas":["x"],"meta":{"version":"9"}}}]`,
		`[{"op":"replace","path":"title","value":"u"},{"op":"replace","path":"title","value":"t"}]`,
		`[{"op":"add","path":"name","value":{}}]`,
		`[{"op":"add","value":{}}]`,
	} {
		res, err := apply(t, user, resource(t, user, ada), list, schema.Standard())
		if err != nil || !res.NoOp || len(res.Ops) > 0 {
			t.Errorf("%s: no-op %v, %+v, %v", list, res.NoOp, res.Ops, err)
		}
	}
}

func TestASecretIsAlwaysAChange(t *testing.T) {
	user, _ := types(t)
	cur := resource(t, user, ada)
	cur.Attrs["password"] = "same" // a store may keep it with the rest
	for list, want := range map[string]any{`[{"op":"replace","path":"password","value":"same"}]`: "same", `[{"op":"remove","path":"password"}]`: nil} {
		res, err := apply(t, user, cur, list, schema.Standard())
		if err != nil || res.NoOp || len(res.Ops) != 1 || res.Ops[0].Key != "password" || res.Ops[0].New != want || res.Ops[0].Old != nil {
			t.Errorf("%s: %+v, %v", list, res, err)
		}
	}
	res, err := apply(t, user, cur, `[{"op":"replace","path":"title","value":"u"}]`, schema.Standard())
	if err != nil || res.Next.Attrs["password"] != nil {
		t.Errorf("a password nobody sent is in the result: %+v, %v", res, err)
	}
}

func TestMembersTravelAsOneDeltaWithoutBeingLoaded(t *testing.T) {
	_, group := types(t)
	add := func(ids ...string) (out []schema.Object) {
		for _, id := range ids {
			out = append(out, schema.Object{"value": id})
		}
		return out
	}
	for _, c := range []struct {
		list string
		want schema.MemberDelta
	}{
		{`[{"op":"add","path":"members","value":[{"value":"a"},{"value":"b"},{"value":"a"}]}]`, schema.MemberDelta{Add: add("a", "b")}},
		{`[{"op":"add","path":"members","value":{"value":"a","$ref":"https://x/Users/zzz"}}]`, schema.MemberDelta{Add: add("a")}},
		{`[{"op":"add","path":"members","value":[{"$ref":"https://x/Users/zzz"}]}]`, schema.MemberDelta{Add: add("zzz")}},
		{`[{"op":"remove","path":"members","value":[{"value":"a"},{"value":"b"}]}]`, schema.MemberDelta{Remove: []string{"a", "b"}}},
		{`[{"op":"remove","path":"members[value eq \"a\"]"}]`, schema.MemberDelta{Remove: []string{"a"}}},
		{`[{"op":"remove","path":"members[value eq \"a\" or value eq \"b\"]"}]`, schema.MemberDelta{Remove: []string{"a", "b"}}},
		{`[{"op":"remove","path":"members"}]`, schema.MemberDelta{ReplaceAll: true}},
		{`[{"op":"replace","path":"members","value":[]}]`, schema.MemberDelta{ReplaceAll: true}},
		{`[{"op":"replace","path":"members","value":[{"value":"a"}]}]`, schema.MemberDelta{ReplaceAll: true, Add: add("a")}},
		{`[{"op":"replace","value":{"members":[{"value":"a"}]}}]`, schema.MemberDelta{ReplaceAll: true, Add: add("a")}},
		{`[{"op":"remove","path":"members[value eq \"a\"]"},{"op":"add","path":"members","value":[{"value":"a"},{"value":"b"}]}]`, schema.MemberDelta{Add: add("a", "b")}},
		{`[{"op":"add","path":"members","value":[{"value":"a"}]},{"op":"remove","path":"members","value":[{"value":"a"}]}]`, schema.MemberDelta{Remove: []string{"a"}}},
		{`[{"op":"remove","path":"members"},{"op":"add","path":"members","value":[{"value":"a"},{"value":"b"}]},{"op":"remove","path":"members[value eq \"b\"]"}]`,
			schema.MemberDelta{ReplaceAll: true, Add: add("a")}},
	} {
		o, err := ops(t, c.list, schema.Standard())
		if err != nil {
			t.Fatal(err)
		}
		plan, err := patch.NewPlan(group, o, schema.Standard())
		if err != nil {
			t.Errorf("%s: %v", c.list, err)
			continue
		}
		if n := plan.Needs(); len(n) > 0 {
			t.Errorf("%s: wants to load %v", c.list, n)
		}
		res, err := plan.Apply(&schema.Resource{Type: "Group", ID: "g", Attrs: schema.Object{"displayName": "g"}})
		c.want.Attr = "members"
		if err != nil || res.NoOp || len(res.Ops) > 0 || !reflect.DeepEqual(res.Members, []schema.MemberDelta{c.want}) {
			t.Errorf("%s:\ngot  %+v (%+v, %v)\nwant %+v", c.list, res.Members, res.Ops, err, c.want)
		}
	}
}

func TestOperationsThatLookIntoMembersLoadThem(t *testing.T) {
	_, group := types(t)
	cur := &schema.Resource{Type: "Group", ID: "g", Attrs: schema.Object{"displayName": "g",
		"members": []any{schema.Object{"value": "a", "display": "Ada"}, schema.Object{"value": "b", "display": "Bob"}}}}
	o, err := ops(t, `[{"op":"remove","path":"members[display eq \"ada\"]"},{"op":"add","path":"members","value":[{"value":"b"},{"value":"c"}]}]`, schema.Standard())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := patch.NewPlan(group, o, schema.Standard())
	if err != nil || !slices.Equal(plan.Needs(), []string{"members"}) {
		t.Fatalf("%v, needs %v", err, plan.Needs())
	}
	res, err := plan.Apply(cur)
	want := []schema.MemberDelta{{Attr: "members", Add: []schema.Object{{"value": "c"}}, Remove: []string{"a"}}}
	if err != nil || !reflect.DeepEqual(res.Members, want) || res.Next.Attrs["members"] != nil {
		t.Errorf("got %+v, %v, want %+v", res.Members, err, want)
	}
}

func TestImmutableValuesAreSetOnce(t *testing.T) {
	method, err := schema.NewType("Method", &schema.Schema{ID: "urn:x:Method", Attributes: []*schema.Attribute{
		{Name: "kind", Mutability: schema.Immutable, Closed: true, CanonicalValues: []string{"sms", "email"}},
		{Name: "user", Type: schema.Complex, Mutability: schema.Immutable, SubAttributes: []*schema.Attribute{{Name: "value"}}},
		{Name: "totp", Type: schema.Complex, SubAttributes: []*schema.Attribute{{Name: "secret", Mutability: schema.WriteOnly}, {Name: "digits", Type: schema.Integer}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	cur := &schema.Resource{Attrs: schema.Object{"kind": "sms", "totp": schema.Object{"secret": "s", "digits": int64(6)}}}
	for list, ok := range map[string]bool{
		`[{"op":"replace","path":"kind","value":"sms"}]`:                     true,
		`[{"op":"replace","path":"kind","value":"email"}]`:                   false,
		`[{"op":"replace","path":"kind","value":"pigeon"}]`:                  false,
		`[{"op":"remove","path":"kind"}]`:                                    false,
		`[{"op":"add","path":"user","value":{"value":"u"}}]`:                 true,
		`[{"op":"replace","path":"totp.digits","value":8}]`:                  true,
		`[{"op":"replace","path":"totp.digits","value":8.5}]`:                false,
		`[{"op":"replace","path":"totp[secret eq \"s\"].digits","value":8}]`: false,
	} {
		res, err := apply(t, method, cur, list, schema.Standard())
		if (err == nil) != ok {
			t.Errorf("%s: %v", list, err)
		}
		if err == nil && strings.Contains(fmt.Sprintf("%+v", res), "secret") {
			t.Errorf("%s: the secret nobody sent is in the result", list)
		}
	}
	// What a store keeps in one piece keeps its secrets.
	res, err := apply(t, method, cur, `[{"op":"replace","path":"totp.digits","value":8}]`, schema.Standard())
	if err != nil {
		t.Fatal(err)
	}
	method.KeepSecrets(cur, res.Next, res.Ops)
	if got := show(res.Next, "totp"); got != `{"digits":8,"secret":"s"}` {
		t.Errorf("totp after KeepSecrets: %s", got)
	}
}

func TestHostileListsCostLinearTime(t *testing.T) {
	user, group := types(t)
	var mails, members []any
	for i := range schema.MaxElements {
		mails = append(mails, schema.Object{"value": fmt.Sprint(i, "@x"), "primary": i == 0})
	}
	for i := range 50000 {
		members = append(members, schema.Object{"value": fmt.Sprint(i)})
	}
	u := &schema.Resource{Attrs: schema.Object{"userName": "u", "emails": mails}}
	g := &schema.Resource{Attrs: schema.Object{"displayName": "g", "members": members}}
	var primaries []patch.Op
	for range 60 {
		primaries = append(primaries, patch.Op{Name: "replace", Path: "emails.primary", Value: true})
	}
	for name, run := range map[string]func() (patch.Result, error){
		"a list replaced by another": func() (patch.Result, error) {
			return patch.Apply(user, u, []patch.Op{{Name: "replace", Path: "emails", Value: slices.Concat(mails[1:], mails[:1])}, {Name: "add", Path: "emails", Value: mails}}, schema.Standard())
		},
		"many primaries": func() (patch.Result, error) { return patch.Apply(user, u, primaries, schema.Standard()) },
		"members looked into, replaced and removed": func() (patch.Result, error) {
			return patch.Apply(group, g, []patch.Op{{Name: "remove", Path: `members[display eq "x"]`}, {Name: "replace", Path: "members", Value: members}, {Name: "remove", Path: "members", Value: members[1:]}}, schema.Standard())
		},
	} {
		start := time.Now()
		if _, err := run(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(start); d > 30*time.Second { // the quadratic way takes minutes, this one less than a second
			t.Errorf("%s: took %v", name, d)
		}
	}
}
