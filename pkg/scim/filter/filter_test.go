package filter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/scim/filter"
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

// ada is the user of RFC 7643 §8.2, shortened.
func ada() *schema.Resource {
	return &schema.Resource{Type: "User", ID: "2819c223", ExternalID: "bjensen", Version: "1",
		Created: time.Date(2011, 5, 13, 4, 42, 34, 0, time.UTC), LastModified: time.Date(2011, 5, 13, 4, 42, 34, 500, time.UTC),
		Attrs: schema.Object{"userName": "bjensen@example.com", "title": "Vice President", "userType": "Employee", "active": true, "nickName": "",
			"name":         schema.Object{"familyName": "O'Malley", "givenName": "Straße"},
			"emails":       []any{schema.Object{"value": "bjensen@example.com", "type": "work", "primary": true}, schema.Object{"value": "babs@jensen.org", "type": "home"}},
			"ims":          []any{schema.Object{"type": "xmpp", "value": "foo@foo.com"}},
			"phoneNumbers": []any{schema.Object{"value": "555-555-5555"}}},
		Ext: map[string]schema.Object{schema.EnterpriseURN: {"department": "Tours", "manager": schema.Object{"value": "26118915"}}}}
}

func TestTheExamplesOfTheRFCAreUnderstood(t *testing.T) {
	typ := userType(t)
	for text, want := range map[string]bool{ // RFC 7644 §3.4.2.2
		`userName eq "bjensen@example.com"`:                          true,
		`userName Eq "BJENSEN@example.com"`:                          true,
		`name.familyName co "O'Malley"`:                              true,
		`userName sw "J"`:                                            false,
		`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "B"`: true,
		`title pr`: true,
		`meta.lastModified gt "2011-05-13T04:42:34Z"`:                                                       false, // half a microsecond is not kept
		`meta.lastModified ge "2011-05-13T04:42:34Z"`:                                                       true,
		`meta.lastModified lt "2011-05-13T06:42:35+02:00"`:                                                  true,
		`title pr and userType eq "Employee"`:                                                               true,
		`title pr or userType eq "Intern"`:                                                                  true,
		`userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")`:             true,
		`userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")`:         false,
		`userType eq "Employee" and (emails.type eq "work")`:                                                true,
		`userType eq "Employee" and emails[type eq "work" and value co "@example.com"]`:                     true,
		`emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]`: true,
		// beyond it
		`emails[type eq "work"].value eq "BJENSEN@example.com"`:               true,
		`emails[type eq "home"].value eq "bjensen@example.com"`:               false,
		`emails[type eq "home"].primary pr`:                                   false,
		`emails eq "babs@jensen.org"`:                                         true,
		`name.givenName eq "STRASSE"`:                                         true,
		`externalId eq "BJENSEN"`:                                             false,
		`id eq "2819c223"`:                                                    true,
		`nickName pr`:                                                         false,
		`displayName eq null`:                                                 true,
		`title ne null`:                                                       true,
		`displayName ne "x"`:                                                  true,
		`displayName lt "x"`:                                                  false,
		`active eq true and active ne false`:                                  true,
		`roles[primary eq "True"].value eq "x"`:                               false,
		`active eq "TRUE"`:                                                    true,
		schema.EnterpriseURN + `:department eq "tours"`:                       true,
		strings.ToUpper(schema.EnterpriseURN) + `:MANAGER eq "26118915"`:      true,
		schema.EnterpriseURN + `:manager[value eq "26118915"]`:                true,
		schema.EnterpriseURN + `:manager[not (value eq "x")]`:                 true,
		schema.EnterpriseURN + `:manager[value eq "26118915"].displayName pr`: false,
		`not (not (title pr))`:                                                true,
		// and binds closer than or
		`title pr or title pr and displayName pr`:   true,
		`(title pr or title pr) and displayName pr`: false,
	} {
		x, err := filter.Parse(typ, text, schema.Standard())
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := filter.Match(x, ada()); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestASingularBracketNeedsTheValue(t *testing.T) {
	x, err := filter.Parse(userType(t), schema.EnterpriseURN+`:manager[not (value eq "x")]`, schema.Strict())
	if err != nil {
		t.Fatal(err)
	}
	r := ada()
	r.Ext = nil
	if filter.Match(x, r) {
		t.Error("a user without a manager has a manager that is not x")
	}
}

func TestEveryBadFilterIsRefusedByName(t *testing.T) {
	typ := userType(t)
	secret := "Hidden-7"
	for text, attr := range map[string]string{
		``: "", ` `: "", `userName`: "", `userName eq`: "", `userName eq bjensen`: "", `userName regex "x"`: "", `and`: "and",
		`favourite eq "x"`: "favourite", `name.nothing pr`: "name.nothing", `emails[nothing pr]`: "emails[nothing]",
		`password eq "` + secret + `"`: "password", `password sw "` + secret + `"`: "password", `password pr`: "password", `password eq null`: "password",
		`active gt true`: "active", `active co "t"`: "active", `active eq "` + secret + `"`: "active", `userName eq true`: "userName", `userName eq 5`: "userName",
		`name eq "x"`: "name", `title gt null`: "title", `x509Certificates gt "AA=="`: "x509Certificates.value",
		`meta.created gt "` + secret + `"`: "meta.created", `meta.location pr`: "meta.location", `schemas eq "x"`: "schemas",
		schema.EnterpriseURN + ` pr`: schema.EnterpriseURN, `urn:x:User:userName pr`: "urn:x:User:userName",
		schema.UserURN + `x:userName pr`: schema.UserURN + "x:userName", `employeeNumber pr`: "employeeNumber",
		"uſerName pr": "u", "nic\u212aName pr": "nic", `userName eq "\ud800\u0000"`: "", `userName eq "x`: "", `userName eq "x\"`: "", "userName eq \"\x01\"": "",
		`userName eq "x" or`: "", `(userName pr`: "", `userName pr)`: "", `not userName pr`: "not", `emails[type eq "x"`: "", `emails[type eq "x"]]`: "", `emails[emails[type pr]]`: "emails[emails]",
		`userName[value pr]`: "", `name.givenName[value pr]`: "", `emails[type pr]value pr`: "", `emails[type pr].nothing pr`: "emails.nothing",
		"userName\xff pr": "", `userName eq 00`: "", `emails.value.x pr`: "emails.value.x",
	} {
		_, err := filter.Parse(typ, text, schema.Standard())
		e, ok := errors.AsType[*schema.Error](err)
		if !ok || e.Status != 400 || e.Type != schema.InvalidFilter {
			t.Errorf("%q: got %v, want 400 invalidFilter", text, err)
			continue
		}
		if e.Attr != attr {
			t.Errorf("%q: the error is about %q, want %q (%s)", text, e.Attr, attr, e.Detail)
		}
		if strings.Contains(e.Detail, secret) {
			t.Errorf("%q: the error repeats the value: %s", text, e.Detail)
		}
	}
}

func TestLimitsHoldBeforeAnyWork(t *testing.T) {
	typ := userType(t)
	for name, text := range map[string]string{
		"parentheses":  strings.Repeat("(", 100000) + "userName pr" + strings.Repeat(")", 100000),
		"33 deep":      strings.Repeat("(", 33) + "userName pr" + strings.Repeat(")", 33),
		"not":          strings.Repeat("not (", 33) + "userName pr" + strings.Repeat(")", 33),
		"bracket":      strings.Repeat("(", 32) + "emails[type pr]" + strings.Repeat(")", 32),
		"a megabyte":   `userName eq "` + strings.Repeat("x", 1<<20) + `"`,
		"comparisons":  strings.Repeat("title pr or ", 256) + "title pr",
		"in a bracket": "emails[" + strings.Repeat("(", 2000),
	} {
		start := time.Now()
		if _, err := filter.Parse(typ, text, schema.Standard()); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("%s: took %v", name, d)
		}
	}
	for name, text := range map[string]string{
		"32 deep":    strings.Repeat("(", 32) + "userName pr" + strings.Repeat(")", 32),
		"256 wide":   strings.Repeat("title pr or ", 255) + "title pr",
		"one by one": strings.Repeat("(title pr) and ", 50) + "title pr",
	} {
		if _, err := filter.Parse(typ, text, schema.Standard()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEntraAndPlainFormsBecomeTheSameTree(t *testing.T) {
	typ := userType(t)
	for _, pair := range [][2]string{
		{`emails eq "x"`, `emails.value eq "x"`},
		{`emails.value eq "x"`, `emails[value eq "x"]`},
		{`emails[type eq "work"].value eq "x"`, `emails[type eq "work" and value eq "x"]`},
		{`EMAILS[TYPE EQ "work"].VALUE EQ "x"`, schema.UserURN + `:emails[type eq "work"].value eq "x"`},
	} {
		a, errA := filter.Parse(typ, pair[0], schema.Standard())
		b, errB := filter.Parse(typ, pair[1], schema.Standard())
		if errA != nil || errB != nil || fmt.Sprintf("%#v", a) != fmt.Sprintf("%#v", b) {
			t.Errorf("%s and %s differ: %#v, %#v (%v, %v)", pair[0], pair[1], a, b, errA, errB)
		}
	}
}

func TestPathsAreRead(t *testing.T) {
	typ := userType(t)
	for text, want := range map[string]string{
		"userName": "userName", " name.familyName": "name.familyName", "EMAILS": "emails", `emails[type eq "work"]`: "emails [filter]",
		`emails[type eq "work"].value`: "emails.value [filter]", schema.EnterpriseURN: schema.EnterpriseURN,
		strings.ToLower(schema.EnterpriseURN) + ":Manager.displayname": schema.EnterpriseURN + ":manager.displayName",
		schema.EnterpriseURN + `:manager[value eq "x"]`:                schema.EnterpriseURN + ":manager [filter]",
		schema.UserURN + ":emails.value":                               "emails.value", "id": "id", "meta.version": "meta.version",
	} {
		target, err := filter.ParsePath(typ, text, schema.Standard())
		got := ""
		if err == nil {
			if got = target.Path.String(); target.Filter != nil {
				got += " [filter]"
			}
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".", "x", "userName.", ".userName", "userName.x", "userName[value pr]", "emails[", "emails[]", "emails[type]", `emails[type eq "x"].`, `emails[type eq "x"].y`,
		`emails[type eq "x"]value`, `emails[type eq "x"] and x`, "emails.value.x", schema.EnterpriseURN + ":", schema.EnterpriseURN + ".manager", schema.EnterpriseURN + `[x pr]`, "uſerName", "userName userName",
		"emails[password pr]", strings.Repeat("x", 20<<10), "user\x00Name", "\xff"} {
		if _, err := filter.ParsePath(typ, text, schema.Standard()); !errors.Is(err, &schema.Error{Status: 400}) {
			t.Errorf("%.40q: got %v, want a 400", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	typ := userType(f)
	for _, s := range []string{`userName eq "bjensen"`, `emails[type eq "work" and value co "@example.com"].value sw "a"`, `not (title pr) or active ne false and meta.created ge "2011-05-13T04:42:34Z"`,
		schema.EnterpriseURN + `:manager[value eq "x"].displayName pr`, `a[b[c]]`, `userName eq "\u0000\ud800"`, `userName eq -1e5`, "((((", `emails eq null`} {
		f.Add(s)
	}
	r := ada()
	f.Fuzz(func(t *testing.T, s string) {
		x, err := filter.Parse(typ, s, schema.Standard())
		if err != nil {
			if e, ok := errors.AsType[*schema.Error](err); !ok || e.Status != 400 || len(e.Detail) > 500 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		across, err := filter.ParseAcross([]*schema.Type{typ}, s, schema.Standard())
		if y, can := across[typ]; err != nil || (can && filter.Match(y, r)) != filter.Match(x, r) {
			t.Fatalf("%q: another meaning across types: %v", s, err)
		}
		if filter.Match(x, r) == filter.Match(filter.Not{X: x}, r) {
			t.Fatalf("%q: not is not the opposite", s)
		}
		for _, k := range filter.Keys(x) {
			if k == "password" {
				t.Fatalf("%q: looks at the password", s)
			}
		}
	})
}

func FuzzParsePath(f *testing.F) {
	typ := userType(f)
	for _, s := range []string{"userName", `emails[type eq "work"].value`, schema.EnterpriseURN + ":manager.value", "urn:a.b:c", `addresses[type sw "w" or not (region pr)]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := filter.ParsePath(typ, s, schema.Standard())
		if err != nil {
			if e, ok := errors.AsType[*schema.Error](err); !ok || e.Status != 400 || len(e.Detail) > 500 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if target.Path.Attr == nil && target.Path.Ext == nil {
			t.Fatalf("%q: a path to nowhere", s)
		}
		// The canonical spelling means the same place.
		if target.Filter == nil {
			again, err := filter.ParsePath(typ, target.Path.String(), schema.Standard())
			if err != nil || again.Path != target.Path {
				t.Fatalf("%q: %q is another path: %v", s, target.Path, err)
			}
		}
	})
}

func TestAcrossTypesWhatOneDoesNotHaveIsWithoutAValue(t *testing.T) {
	user := userType(t)
	group, err := schema.NewType("Group", schema.Group())
	if err != nil {
		t.Fatal(err)
	}
	count, err := schema.NewType("Count", &schema.Schema{ID: "urn:x:Count", Attributes: []*schema.Attribute{{Name: "title", Type: schema.Integer}, {Name: "pin", Returned: schema.Never}}})
	if err != nil {
		t.Fatal(err)
	}
	all := []*schema.Type{user, group, count}
	for text, want := range map[string]string{
		`title pr`: "UC", `title eq "x"`: "U", `title gt 5`: "C", `not (title gt 5)`: "UGC", `title ne 5`: "GC",
		`members pr`: "G", `members ne "x"`: "UGC", `displayName eq null`: "UGC", `userName pr or members pr`: "UG", `userName pr and members pr`: "",
		`meta.resourceType eq "Group"`: "G", `meta.resourceType sw "U" and title pr`: "U", `not (meta.resourceType eq "Group")`: "UC",
		`emails[type eq "a"]`: "U", `emails[type eq "a"].value eq "b" or id pr`: "UGC", `not (emails[type eq "a" and (value pr)])`: "UGC",
		schema.EnterpriseURN + `:department pr`: "U",
	} {
		found, err := filter.ParseAcross(all, text, schema.Standard())
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := ""
		for _, typ := range all {
			if x, ok := found[typ]; ok {
				got += typ.Name[:1]
				filter.Walk(x, func(x filter.Expr) {
					switch x.(type) {
					case filter.And, filter.Or, filter.Not, filter.Cmp, filter.Present, filter.Elem:
					default:
						t.Errorf("%s: a node of kind %T", text, x)
					}
				})
			}
		}
		if got != want {
			t.Errorf("%s: may match %q, want %q", text, got, want)
		}
	}
	for _, bad := range []string{`nothing pr`, `id pr or nothing eq "x"`, `emails[nothing pr]`, `nothing[type eq "x"]`, `pin pr`, `id pr or pin eq "1"`, `password pr`, `nothing[type eq "x"`, `title`,
		`displayName gt true`, `members[` + strings.Repeat("(", 40), `schemas pr`, `meta.location pr`} {
		if found, err := filter.ParseAcross(all, bad, schema.Standard()); !errors.Is(err, &schema.Error{Status: 400, Type: schema.InvalidFilter}) {
			t.Errorf("%s: got %v, %v", bad, found, err)
		}
	}
	if found, err := filter.ParseAcross(nil, `nothing pr`, schema.Standard()); err != nil || len(found) != 0 {
		t.Errorf("no types: %v, %v", found, err)
	}
}
