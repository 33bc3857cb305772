package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/scim/schema"
)

func userType(t testing.TB) *schema.Type {
	t.Helper()
	typ, err := schema.NewType("User", schema.User(), schema.Extension{Schema: schema.EnterpriseUser()})
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func decode(t testing.TB, typ *schema.Type, body string, c schema.Compat) (*schema.Resource, error) {
	t.Helper()
	o, err := schema.ParseJSON([]byte(body))
	if err != nil {
		return nil, err
	}
	r, _, err := typ.Decode(o, c)
	return r, err
}

func TestFoldingIsTheSameForWhatPeopleCallTheSame(t *testing.T) {
	for _, pair := range [][2]string{{"Straße", "STRASSE"}, {"É", "e\u0301"}, {"Σίσυφος", "ΣΊΣΥΦΟΣ"}, {"ADA@Example.org", "ada@EXAMPLE.ORG"}, {"\u212b", "å"}, {"ﬃ", "FFI"}} {
		if a, b := schema.Fold(pair[0]), schema.Fold(pair[1]); a != b {
			t.Errorf("%q and %q fold to %q and %q", pair[0], pair[1], a, b)
		}
	}
	for _, pair := range [][2]string{{"a", "á"}, {"ada", "аda"}, {"I", "ı"}, {"o", "0"}} {
		if schema.Fold(pair[0]) == schema.Fold(pair[1]) {
			t.Errorf("%q and %q fold to the same", pair[0], pair[1])
		}
	}
	for _, s := range []string{"Straße", "É", "plain", "PLAIN", "aÉ", "İ"} {
		if once := schema.Fold(s); schema.Fold(once) != once {
			t.Errorf("folding %q twice differs from once", s)
		}
	}
}

func TestJSONIsReadStrictly(t *testing.T) {
	for name, body := range map[string]string{
		"empty": "", "a list": "[]", "a string": `"x"`, "null": "null", "twice": `{"a":1,"a":2}`, "twice inside": `{"x":[{"a":1,"a":2}]}`, "twice by escape": `{"a":1,"\u0061":2}`,
		"more": "{}{}", "unfinished": `{"a":`, "comma": `{"a":1,}`, "not UTF-8": "{\"a\":\"\xff\"}", "deep": strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000),
		"many keys": `{"a":{"x":0` + strings.Repeat(`,"k":1`, 5000) + "}}", "more keys than any resource has": manyKeys(schema.MaxJSONKeys + 1),
		"deep list": `{"a":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + "}", "number": `{"a":01}`, "NaN": `{"a":NaN}`, "control": "{\"a\":\"\n\"}",
	} {
		if _, err := schema.ParseJSON([]byte(body)); !errors.Is(err, &schema.Error{Status: 400, Type: schema.InvalidSyntax}) {
			t.Errorf("%s: got %v, want 400 invalidSyntax", name, err)
		}
	}
	if o, err := schema.ParseJSON([]byte(manyKeys(schema.MaxJSONKeys))); err != nil || len(o) != schema.MaxJSONKeys {
		t.Errorf("as many keys as may be: %d, %v", len(o), err)
	}
	o, err := schema.ParseJSON([]byte(`{"n":9007199254740993,"s":"[{[{[{[{[{[{[{[{[{[{\"","l":[]}`))
	if err != nil || o["n"] != json.Number("9007199254740993") {
		t.Errorf("got %v, %v", o, err)
	}
}

func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	return "{" + strings.Join(keys, ",") + "}"
}

func TestEveryTypeIsChecked(t *testing.T) {
	typ, err := schema.NewType("T", &schema.Schema{ID: "urn:x:T", Attributes: []*schema.Attribute{
		{Name: "s"}, {Name: "b", Type: schema.Boolean}, {Name: "i", Type: schema.Integer}, {Name: "d", Type: schema.Decimal}, {Name: "t", Type: schema.DateTime},
		{Name: "x", Type: schema.Binary}, {Name: "r", Type: schema.Reference}, {Name: "c", Type: schema.Complex, SubAttributes: []*schema.Attribute{{Name: "value", Required: true}, {Name: "other"}}},
		{Name: "m", MultiValued: true}, {Name: "k", Closed: true, CanonicalValues: []string{"one", "two"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]any{`"s":"x"`: "x", `"b":false`: false, `"i":-5`: int64(-5), `"d":1.50`: json.Number("1.50"), `"t":"2026-11-22T09:30:00.5+01:00"`: "2026-11-22T09:30:00.5+01:00", `"x":"AAE="`: "AAE=",
		`"r":"https://x/"`: "https://x/", `"m":["a","b"]`: []any{"a", "b"}, `"k":"ONE"`: "ONE", `"c":{"VALUE":"v"}`: schema.Object{"value": "v"}, `"s":null`: nil, `"m":[]`: nil, `"m":[null]`: nil, `"c":{}`: nil, `"c":{"value":null}`: nil}
	for member, want := range good {
		r, err := decode(t, typ, `{"schemas":["urn:x:T"],`+member+`}`, schema.Strict())
		if err != nil {
			t.Errorf("%s: %v", member, err)
			continue
		}
		if got := r.Attrs[member[1:2]]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", member, got, want)
		}
	}
	for _, value := range []string{`"HIDDEN"`, `5`, `1.5`, `true`, `{"HIDDEN":1}`, `["HIDDEN"]`, `[["HIDDEN"]]`, `99999999999999999999`, `1e400`, `"2026-13-01T00:00:00Z"`, `"%%"`, `"a\u0000"`} {
		for _, name := range []string{"s", "b", "i", "d", "t", "x", "r", "c", "m", "k"} {
			r, err := decode(t, typ, `{"schemas":["urn:x:T"],"`+name+`":`+value+`}`, schema.Strict())
			if err == nil {
				ok := map[string]string{"s": `"`, "r": `"`, "m": `[`, "b": "t", "i": "5", "d": "159", "x": `"`}
				if starts, found := ok[name]; !found || !strings.Contains(starts, value[:1]) {
					t.Errorf("%s took %s: %#v", name, value, r.Attrs)
				}
				continue
			}
			e, isError := errors.AsType[*schema.Error](err)
			if !isError || e.Status != 400 || !strings.HasPrefix(e.Detail, name) || strings.Contains(e.Detail, `"HIDDEN"`) {
				t.Errorf("%s with %s: %v", name, value, err)
			}
		}
	}
}

func TestDefinitionsAreChecked(t *testing.T) {
	a := func(a ...*schema.Attribute) *schema.Schema { return &schema.Schema{ID: "urn:x", Attributes: a} }
	sub := []*schema.Attribute{{Name: "value"}}
	for name, s := range map[string]*schema.Schema{
		"twice":          a(&schema.Attribute{Name: "a"}, &schema.Attribute{Name: "A"}),
		"common":         a(&schema.Attribute{Name: "ID"}),
		"no name":        a(&schema.Attribute{}),
		"a bad name":     a(&schema.Attribute{Name: "1a"}),
		"a bad type":     a(&schema.Attribute{Name: "a", Type: "text"}),
		"bad mutability": a(&schema.Attribute{Name: "a", Mutability: "never"}),
		"no subs":        a(&schema.Attribute{Name: "a", Type: schema.Complex}),
		"subs of simple": a(&schema.Attribute{Name: "a", SubAttributes: sub}),
		"complex sub":    a(&schema.Attribute{Name: "a", Type: schema.Complex, SubAttributes: []*schema.Attribute{{Name: "b", Type: schema.Complex, SubAttributes: sub}}}),
		"sub twice":      a(&schema.Attribute{Name: "a", Type: schema.Complex, SubAttributes: []*schema.Attribute{{Name: "b"}, {Name: "B"}}}),
		"large single":   a(&schema.Attribute{Name: "a", Type: schema.Complex, Large: true, SubAttributes: sub}),
		"no URN":         {ID: "x"},
	} {
		if _, err := schema.NewType("T", s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := schema.NewType("T", schema.User(), schema.Extension{Schema: schema.EnterpriseUser()}, schema.Extension{Schema: schema.EnterpriseUser()}); err == nil {
		t.Error("an extension twice: accepted")
	}
	w := a(&schema.Attribute{Name: "a", Mutability: schema.WriteOnly, Returned: schema.Always})
	if _, err := schema.NewType("T", w); err != nil || w.Attributes[0].Returned != schema.Never {
		t.Errorf("a writeOnly attribute can be returned: %v", err)
	}
}

func TestARequiredExtensionIsRequired(t *testing.T) {
	ext := schema.EnterpriseUser()
	ext.Attributes[0].Required = true
	typ, err := schema.NewType("User", schema.User(), schema.Extension{Schema: ext, Required: true})
	if err != nil {
		t.Fatal(err)
	}
	for body, ok := range map[string]bool{`{"userName":"a"}`: false, `{"userName":"a","` + ext.ID + `":{"department":"d"}}`: false, `{"userName":"a","` + ext.ID + `":{"employeeNumber":"1"}}`: true} {
		r, err := decode(t, typ, body, schema.Standard())
		if err == nil {
			err = typ.Check(r, false)
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestPathsLookupAndSetAgree(t *testing.T) {
	typ := userType(t)
	r := &schema.Resource{Type: "User", ID: "1", Version: "7", Created: time.Unix(0, 1500).UTC()}
	for _, path := range []string{"title", "name.givenName", "externalId", schema.EnterpriseURN + ":department", schema.EnterpriseURN + ":manager.value"} {
		p, err := typ.Resolve(path, schema.InvalidPath)
		if err != nil {
			t.Fatal(err)
		}
		if r.Set(p, "v"); r.Lookup(p) != "v" {
			t.Errorf("%s: %v", path, r.Lookup(p))
		}
	}
	if got := typ.Schemas(r); len(got) != 2 {
		t.Errorf("schemas %v", got)
	}
	c := r.Clone()
	for _, path := range []string{"title", "name.givenName", "externalId", schema.EnterpriseURN + ":department", schema.EnterpriseURN + ":manager.value"} {
		p, _ := typ.Resolve(strings.ToUpper(path), schema.InvalidPath)
		r.Set(p, nil)
	}
	if len(r.Attrs) > 0 || len(r.Ext) > 0 || r.ExternalID != "" || len(typ.Schemas(r)) != 1 {
		t.Errorf("what was removed left a shell: %+v", r)
	}
	if len(schema.Diff(r, c)) != 5 || len(schema.Diff(c, c.Clone())) != 0 {
		t.Errorf("diff %+v", schema.Diff(r, c))
	}
	created, _ := typ.Resolve("meta.created", schema.InvalidPath)
	if got := r.Lookup(created); got != "1970-01-01T00:00:00.000001Z" {
		t.Errorf("meta.created %v", got)
	}
}

func TestLookAlikePathsLeadNowhere(t *testing.T) {
	typ := userType(t)
	for _, p := range []string{"", ".", "..", ":", "userName.", ".userName", "userName ", "uſerName", "nic\u212aName", "urn:ietf:params:scim:schemas:core:2.0:User", schema.UserURN + ":", schema.UserURN + "X:userName",
		schema.UserURN + ":userName:x", schema.EnterpriseURN + ":userName", schema.EnterpriseURN + ".department", "employeeNumber", "emails.value.display", "name.givenName.x", "members", "$ref"} {
		if got, err := typ.Resolve(p, schema.InvalidPath); err == nil {
			t.Errorf("%q leads to %s", p, got)
		}
	}
}

func TestADanglingRefGivesTheValue(t *testing.T) {
	r, err := decode(t, userType(t), `{"userName":"a","`+schema.EnterpriseURN+`":{"manager":{"$ref":"https://evil.example/scim/v2/Users/26118915/","displayName":"boss"}}}`, schema.Standard())
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Ext[schema.EnterpriseURN]["manager"]; !reflect.DeepEqual(got, schema.Object{"value": "26118915"}) {
		t.Errorf("manager %v", got)
	}
}

func FuzzDecode(f *testing.F) {
	typ := userType(f)
	for _, s := range []string{`{"userName":"a","emails":[{"value":"x","primary":"True"},{"value":"x"}],"` + schema.EnterpriseURN + `":{"manager":"m"}}`, `{"USERNAME":null,"name":{"givenName":"x"},"x509Certificates":[{"value":"AA=="}]}`,
		`{"schemas":[1],"meta":{},"id":5,"groups":{},"active":"FALSE","addresses":[[],{}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := schema.ParseJSON(data)
		if err == nil && !validObject(data) { // stricter than encoding/json, never laxer
			t.Fatalf("%q is not JSON", data)
		}
		if err != nil {
			return
		}
		var same map[string]any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&same); err != nil || !reflect.DeepEqual(same, o) {
			t.Fatalf("%q is read as %v, not %v: %v", data, o, same, err)
		}
		for _, c := range []schema.Compat{schema.Strict(), schema.Standard(), schema.Entra()} {
			r, _, err := typ.Decode(o, c)
			if err != nil {
				if e, ok := errors.AsType[*schema.Error](err); !ok || e.Status != 400 || len(e.Detail) > 500 {
					t.Fatalf("%v", err)
				}
				continue
			}
			if d := schema.Diff(r, r.Clone()); len(d) > 0 {
				t.Fatalf("a clone differs: %+v", d)
			}
			if r.ID != "" || r.Attrs["groups"] != nil || r.Attrs["meta"] != nil || r.Attrs["schemas"] != nil {
				t.Fatalf("the client set what is the server's: %+v", r)
			}
		}
	})
}

func validObject(data []byte) bool {
	var o map[string]json.RawMessage // numbers may be larger than a float64
	return json.Unmarshal(data, &o) == nil && o != nil
}
