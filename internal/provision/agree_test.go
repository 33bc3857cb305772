package provision

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// keeper is one of the servers that keep the same resources: in memory, in SQLite, in PostgreSQL.
type keeper struct {
	name    string
	handler http.Handler
	token   string
	tick    func()   // a clock that stands still allows some requests only
	ids     []string // users, groups and methods, each in order of id: the same place is the same resource
	place   map[string]int
}

// number fills place once ids are known.
func (k *keeper) number(ids []string) {
	k.ids, k.place = ids, map[string]int{}
	for i, id := range ids {
		k.place[id] = i
	}
}

// spell puts ids where a text says {n}.
func (k *keeper) spell(text string) string {
	for i := strings.IndexByte(text, '{'); i >= 0; i = strings.IndexByte(text, '{') {
		end := i + strings.IndexByte(text[i:], '}')
		n, _ := strconv.Atoi(text[i+1 : end])
		text = text[:i] + k.ids[n%len(k.ids)] + text[end+1:]
	}
	return text
}

// plain puts {n} where a text has an id.
func (k *keeper) plain(text string) string {
	for i, id := range k.ids {
		text = strings.ReplaceAll(text, id, fmt.Sprintf("{%d}", i))
	}
	return text
}

// found is what is compared of an answer.
type found struct {
	Status int
	Type   any
	Detail string
	Total  any
	Places []int
	Next   string
}

// where is a place in a filter; ids are longer in one store than in another.
var where = regexp.MustCompile(`at character [0-9]+`)

// ask sends a search.
func (k *keeper) ask(t interface{ Fatalf(string, ...any) }, path string, query url.Values) found {
	asked := url.Values{}
	for name, v := range query {
		asked.Set(name, k.spell(v[0]))
	}
	k.tick()
	r := httptest.NewRequest("GET", "/scim/v2"+path+"?"+asked.Encode(), nil)
	r.Header.Set("Authorization", "Bearer "+k.token)
	w := httptest.NewRecorder()
	k.handler.ServeHTTP(w, r)
	var body struct {
		ScimType, TotalResults any
		Detail, NextCursor     string
		Resources              []struct{ ID string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s: %s?%v: %v: %s", k.name, path, asked, err, w.Body)
	}
	f := found{Status: w.Code, Type: body.ScimType, Detail: where.ReplaceAllString(k.plain(body.Detail), "there"), Total: body.TotalResults, Next: body.NextCursor}
	for _, r := range body.Resources {
		place, known := k.place[r.ID]
		if !known {
			t.Fatalf("%s: nobody knows %s", k.name, r.ID)
		}
		f.Places = append(f.Places, place)
	}
	return f
}

// letters hold what databases and folding get wrong: wildcards, quotes, characters that fold to two, combine, are several
// of one or lie at the end of a range.
var letters = []string{"a", "B", "b", "ß", "ss", "É", "e\u0301", "%", "_", "'", `"`, `\`, "ſ", "İ", "K", "\ud7ff", "\U0010ffff", " ", "Σ", "ς", "ǆ", "ﬁ"}

// many is a population drawn from a seed.
type many struct {
	*rand.Rand
	n int
}

func (g *many) maybe() bool { return g.IntN(2) == 0 }

func (g *many) text(most int) string {
	var b strings.Builder
	for range g.IntN(most + 1) {
		b.WriteString(letters[g.IntN(len(letters))])
	}
	return b.String()
}

func (g *many) one(of ...string) string { return of[g.IntN(len(of))] }

// value draws one of an attribute's type; nil where nothing may be said.
func (g *many) value(a *schema.Attribute) any {
	switch {
	case a.Mutability == schema.ReadOnly || a.Secret():
		return nil
	case len(a.CanonicalValues) > 0 && g.maybe():
		return g.one(a.CanonicalValues...)
	}
	switch a.Type {
	case schema.Boolean:
		return g.maybe()
	case schema.Integer:
		return int64(g.IntN(4))
	case schema.DateTime:
		return schema.Stamp(noon.Add(time.Duration(g.IntN(5)) * time.Hour))
	case schema.Binary:
		return g.one("AAEC", "/+8=", "")
	case schema.Reference:
		return "https://x.example/" + url.PathEscape(g.text(2))
	}
	return g.text(3)
}

// fill draws some attributes of a schema.
func (g *many) fill(attrs []*schema.Attribute, skip ...string) scim.Object {
	o := scim.Object{}
	for _, a := range attrs {
		if slices.Contains(skip, a.Name) || a.Mutability == schema.ReadOnly || a.Secret() || g.IntN(3) == 0 {
			continue
		}
		one := func() any {
			if a.Type == schema.Complex {
				if sub := g.fill(a.SubAttributes, "primary", "$ref"); len(sub) > 0 {
					return sub
				}
				return nil
			}
			return g.value(a)
		}
		if !a.MultiValued {
			if v := one(); v != nil {
				o[a.Name] = v
			}
			continue
		}
		var list []any
		for range g.IntN(4) {
			if v := one(); v != nil {
				list = append(list, v)
			}
		}
		if e, ok := first(list).(scim.Object); ok && a.Sub("primary") != nil && g.maybe() {
			e["primary"] = true
		}
		if len(list) > 0 {
			o[a.Name] = list
		}
	}
	return o
}

func first(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func (g *many) user(s *service) *scim.Resource {
	g.n++
	r := &scim.Resource{Type: "User", Attrs: g.fill(s.user.Core.Attributes, "userName"), Ext: map[string]scim.Object{}}
	r.Attrs["userName"] = fmt.Sprintf("%s%s%d", g.one("a", "B", "Éx", "%", "İ"), g.text(2), g.n)
	if g.maybe() {
		r.ExternalID = fmt.Sprint(g.one("E", "e", "_"), g.text(1), g.n)
	}
	if o := g.fill(schema.EnterpriseUser().Attributes); len(o) > 0 {
		r.Ext[schema.EnterpriseURN] = o
	}
	o := scim.Object{}
	for _, a := range []struct {
		name  string
		value any
	}{{recoveryEmail, fmt.Sprintf("U%d@Home.example", g.n%7)}, {recoveryPhone, fmt.Sprintf("+49 171 555%04d", g.n)}, {resetAllowed, g.maybe()}} {
		if g.maybe() {
			o[a.name] = a.value
		}
	}
	if len(o) > 0 {
		r.Ext[userURN] = o
	}
	return r
}

func (g *many) group(s *service, members []string) *scim.Resource {
	g.n++
	r := &scim.Resource{Type: "Group", Attrs: scim.Object{"displayName": g.one("a", "B", "%", " É") + g.text(2)}}
	if g.maybe() {
		r.ExternalID = g.one("G", "g") + g.text(1)
	}
	var list []any
	for _, id := range members {
		if g.IntN(4) == 0 {
			list = append(list, scim.Object{"value": id})
		}
	}
	if list != nil {
		r.Attrs["members"] = list
	}
	return r
}

func (g *many) method(user string) *scim.Resource {
	g.n++
	r := &scim.Resource{Type: "AuthenticationMethod", Attrs: scim.Object{"user": scim.Object{"value": user}}}
	if g.maybe() {
		r.Attrs["display"] = g.text(3)
	}
	if g.maybe() {
		r.Attrs["status"] = g.one("active", "disabled")
	}
	switch r.Attrs["type"] = g.one("email", "sms", "voice", "totp", "external"); r.Attrs["type"] {
	case "email":
		r.Attrs["email"] = scim.Object{"address": fmt.Sprintf("m%d@Else.example", g.n)}
	case "sms", "voice":
		r.Attrs["phone"] = scim.Object{"number": fmt.Sprintf("+4930 123%04d", g.n), "kind": g.one("mobile", "office")}
	case "totp":
		r.Attrs["totp"] = scim.Object{"secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "digits": int64(6 + g.IntN(3)), "algorithm": g.one("SHA1", "SHA256")}
	case "external":
		r.Attrs["external"] = scim.Object{"system": "Graph" + g.text(1), "id": g.text(2) + strconv.Itoa(g.n)}
	}
	return r
}

// engine is a real store with its server, as one connector sees it.
type engine struct {
	*keeper
	b      *bench
	s      *service
	stores []scim.Store // users, groups, methods
}

func newEngine(t *testing.T, kind store.Kind) *engine {
	b := newBench(t, kind)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	s, err := newService(b.conf)
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(b.conf)
	if err != nil {
		t.Fatal(err)
	}
	p := &scim.Principal{Data: &client.Connector{ID: c.id, Trust: client.TrustOne}}
	return &engine{&keeper{name: string(kind), handler: h, token: c.token, tick: func() { b.now = b.now.Add(time.Millisecond) }}, b, s,
		[]scim.Store{(&people{service: s}).As(p), (&groups{service: s}).As(p), (&methods{service: s}).As(p)}}
}

// populate gives an engine what a seed says.
func (e *engine) populate(t *testing.T, seed uint64) {
	g := &many{Rand: rand.New(rand.NewPCG(seed, 5))}
	made := make([][]string, 3)
	add := func(kind int, r *scim.Resource) {
		e.b.now = e.b.now.Add(time.Duration(g.IntN(3)) * 20 * time.Minute) // some at the same time
		got, err := e.stores[kind].Create(t.Context(), r)
		if err != nil {
			t.Fatalf("seed %d: %s: %+v: %v", seed, e.name, r, err)
		}
		made[kind] = append(made[kind], got.ID)
	}
	for range 25 {
		add(0, g.user(e.s))
	}
	for range 8 {
		add(1, g.group(e.s, slices.Concat(made[0], made[1])))
	}
	for i := range 15 {
		add(2, g.method(made[0][i]))
	}
	var ids []string
	for _, s := range e.stores {
		for _, r := range everything(t, s) {
			ids = append(ids, r.ID)
		}
	}
	e.number(ids)
}

func everything(t *testing.T, s scim.Store) []*scim.Resource {
	page, err := s.List(t.Context(), &scim.Query{Count: 1000, MaxScan: 1000, Select: scim.Everything()})
	if err != nil {
		t.Fatal(err)
	}
	return page.Resources
}

// remember is the server of package memstore with the resources an engine shows.
func remember(t *testing.T, e *engine) *keeper {
	s, err := newService(e.b.conf)
	if err != nil {
		t.Fatal(err)
	}
	db := memstore.New()
	types := s.types()
	k := &keeper{name: "memory", token: "none", tick: e.tick}
	stores := make([]*memstore.Store, len(types))
	var all []*scim.Resource
	kind := map[*scim.Resource]int{}
	for i, typ := range []*schema.Type{s.user, groupType(t), s.way} {
		stores[i] = db.Type(typ)
		types[i].Store = stores[i]
		for _, r := range everything(t, e.stores[i]) {
			all, kind[r] = append(all, r), i
		}
	}
	// In order of id, so that the ids in memory are in the same order.
	inOrder := slices.SortedFunc(slices.Values(all), func(a, b *scim.Resource) int { return strings.Compare(a.ID, b.ID) })
	inMemory := map[string]string{}
	for _, r := range inOrder {
		times := []time.Time{r.Created, r.LastModified}
		db.Now = func() time.Time { now := times[0]; times = times[1:]; return now }
		r.Attrs = translate(r.Attrs, inMemory).(scim.Object) // members
		delete(r.Attrs, "groups")                            // it finds them out
		made, err := stores[kind[r]].Create(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		inMemory[r.ID] = made.ID
	}
	var ids []string
	for _, r := range all {
		ids = append(ids, inMemory[r.ID])
		if kind[r] != 0 {
			continue
		}
		db.Now = func() time.Time { return r.LastModified }
		_, err := stores[0].Update(t.Context(), inMemory[r.ID], scim.Precondition{}, scim.Without("groups"), func(cur *scim.Resource) (*scim.Change, error) {
			for urn, o := range cur.Ext {
				cur.Ext[urn] = translate(o, inMemory).(scim.Object) // methods, which came later
			}
			return &scim.Change{Next: cur, Ops: []scim.AttrChange{{}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	k.number(ids)
	k.handler, err = scim.NewServer(scim.Config{BaseURL: s.base, Types: types, Now: e.b.conf.Now, Auth: func(*http.Request) (*scim.Principal, error) {
		return &scim.Principal{Subject: "idp", Compat: schema.Standard()}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func groupType(t *testing.T) *schema.Type {
	typ, err := schema.NewType("Group", schema.Group())
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

// translate replaces ids in all texts of a value.
func translate(v any, ids map[string]string) any {
	switch v := v.(type) {
	case string:
		for from, to := range ids {
			v = strings.ReplaceAll(v, from, to)
		}
		return v
	case []any:
		for i := range v {
			v[i] = translate(v[i], ids)
		}
	case scim.Object:
		for name := range v {
			v[name] = translate(v[name], ids)
		}
	}
	return v
}

// questions draw searches over a type's attributes.
type searches struct {
	*rapid.T
	paths []schema.Path
}

// pathsOf are all paths of a type: top-level ones, sub-attributes, extensions.
func pathsOf(t *schema.Type) (out []schema.Path) {
	add := func(p schema.Path) {
		out = append(out, p)
		for _, sub := range p.Attr.SubAttributes {
			p.Sub = sub
			out = append(out, p)
		}
	}
	for _, name := range []string{"id", "externalId", "meta"} {
		p, _ := t.Attr(nil, name)
		add(p)
	}
	for _, a := range t.Core.Attributes {
		p, _ := t.Attr(nil, a.Name)
		add(p)
	}
	for _, e := range t.Extensions {
		for _, a := range e.Schema.Attributes {
			p, _ := t.Attr(e.Schema, a.Name)
			add(p)
		}
	}
	// The versions of two stores are not the same.
	return slices.DeleteFunc(out, func(p schema.Path) bool { return p.String() == "meta.version" })
}

// common are the paths that databases know columns of: half of all questions are about them.
var common = []string{"id", "externalId", "userName", "displayName", "name.givenName", "name.familyName", "active", "meta.created", "meta.lastModified",
	"emails", "emails.value", "emails.type", "phoneNumbers.value", "phoneNumbers", "members", "members.value", "user.value", "type", "status"}

func (q searches) of(what string, list ...string) string {
	return rapid.SampledFrom(list).Draw(q.T, what)
}

func (q searches) path() schema.Path {
	some := q.paths
	if rapid.Bool().Draw(q.T, "common") {
		some = slices.DeleteFunc(slices.Clone(some), func(p schema.Path) bool { return !slices.Contains(common, p.String()) })
	}
	return rapid.SampledFrom(some).Draw(q.T, "path")
}

// literal draws the right side of a comparison with an attribute, sometimes of another type.
func (q searches) literal(top, a *schema.Attribute) string {
	// The texts of ids differ from store to store, and so does what contains parts of one.
	holdsID := top.Name == "id" || slices.Contains([]string{"members", "user", "groups"}, top.Name) && (a.Name == "value" || a.Type == schema.Complex) ||
		top.Name == authMethods && a.Name == "$ref"
	if rapid.IntRange(0, 30).Draw(q.T, "odd") == 30 {
		return q.of("literal", "null", "true", "6", "-1.5", `""`, `"\u0000"`, `"True"`, `x`, `"2026-13-01T00:00:00Z"`)
	}
	switch a.Type {
	case schema.Boolean:
		return q.of("literal", "true", "false", "null", `"True"`)
	case schema.Integer, schema.Decimal:
		return q.of("literal", "6", "7", "0", "null")
	case schema.DateTime:
		at := noon.Add(time.Duration(rapid.IntRange(-1, 40).Draw(q.T, "minutes")) * 20 * time.Minute)
		return strconv.Quote(at.In(time.FixedZone("", 3600*rapid.IntRange(-2, 2).Draw(q.T, "zone"))).Format(time.RFC3339Nano))
	}
	if holdsID && rapid.IntRange(0, 9).Draw(q.T, "whole") > 0 {
		return fmt.Sprintf(`"{%d}"`, rapid.IntRange(0, 70).Draw(q.T, "whom"))
	}
	if holdsID {
		return `""`
	}
	texts := []string{"", "a", "B", "work", "WORK", "home", "mobile", "User", "group", "email", "SMS", "active", "direct", "u1@home.example", "+49", "https://x.example/", "AAEC", "E", "graph"}
	text := q.of("text", texts...)
	if rapid.Bool().Draw(q.T, "drawn") {
		text = strings.Join(rapid.SliceOfN(rapid.SampledFrom(letters), 0, 3).Draw(q.T, "letters"), "")
	}
	b, _ := json.Marshal(text)
	return string(b)
}

func (q searches) operator() string {
	return q.of("operator", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "eq", "eq", "sw", "EQ")
}

func (q searches) filter(depth int) string {
	switch shape := rapid.IntRange(0, 9).Draw(q.T, "shape"); {
	case depth > 0 && shape < 2:
		return "(" + q.filter(depth-1) + q.of("and", " and ", " or ", " AND ") + q.filter(depth-1) + ")"
	case depth > 0 && shape == 2:
		return "not (" + q.filter(depth-1) + ")"
	case shape == 3:
		return q.filter(0) + " and " + q.filter(0)
	}
	p := q.path()
	name := p.String()
	if p.Attr.MultiValued && p.Sub == nil && len(p.Attr.SubAttributes) > 0 && rapid.Bool().Draw(q.T, "brackets") {
		return name + "[" + q.inside(p.Attr, 2) + "]" + q.of("after", "", "", ".value "+q.operator()+" "+q.literal(p.Attr, p.Attr.SubAttributes[0]))
	}
	if rapid.IntRange(0, 7).Draw(q.T, "pr") == 0 {
		return name + " pr"
	}
	return name + " " + q.operator() + " " + q.literal(p.Attr, p.Leaf())
}

func (q searches) inside(a *schema.Attribute, depth int) string {
	switch shape := rapid.IntRange(0, 7).Draw(q.T, "inner"); {
	case depth > 0 && shape < 2:
		return q.inside(a, depth-1) + q.of("and", " and ", " or ") + q.inside(a, depth-1)
	case depth > 0 && shape == 2:
		return "not (" + q.inside(a, depth-1) + ")"
	}
	sub := rapid.SampledFrom(a.SubAttributes).Draw(q.T, "sub")
	if rapid.IntRange(0, 7).Draw(q.T, "pr") == 0 {
		return sub.Name + " pr"
	}
	return sub.Name + " " + q.operator() + " " + q.literal(a, sub)
}

// search draws one: a filter, an order and a page.
func (q searches) search() url.Values {
	v := url.Values{}
	if rapid.IntRange(0, 9).Draw(q.T, "filtered") > 0 {
		v.Set("filter", q.filter(3))
	}
	if rapid.Bool().Draw(q.T, "sorted") {
		v.Set("sortBy", q.path().String())
		v.Set("sortOrder", q.of("order", "ascending", "descending"))
	}
	if rapid.Bool().Draw(q.T, "cursor") {
		v.Set("cursor", "")
		v.Set("count", strconv.Itoa(rapid.IntRange(1, 12).Draw(q.T, "count")))
	} else if rapid.Bool().Draw(q.T, "paged") {
		v.Set("startIndex", strconv.Itoa(rapid.IntRange(0, 40).Draw(q.T, "start")))
		v.Set("count", strconv.Itoa(rapid.IntRange(0, 30).Draw(q.T, "count")))
	} else {
		v.Set("count", "200")
	}
	return v
}

// TestMemoryAndBothDatabasesGiveTheSameAnswers draws people, groups and methods, and searches for them. REGAIN_TEST_SEED
// says from what the resources are drawn, REGAIN_TEST_POPULATIONS how many times; -rapid.checks how many searches each.
func TestMemoryAndBothDatabasesGiveTheSameAnswers(t *testing.T) {
	number := func(name string, otherwise uint64) uint64 {
		n, err := strconv.ParseUint(cmp.Or(os.Getenv(name), strconv.FormatUint(otherwise, 10)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	seed := number("REGAIN_TEST_SEED", rand.Uint64N(1e9))
	for last := seed + number("REGAIN_TEST_POPULATIONS", 1); seed < last; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { agree(t, seed) })
	}
}

func agree(t *testing.T, seed uint64) {
	var all []*keeper
	var e *engine
	for _, kind := range storetest.Kinds {
		e = newEngine(t, kind)
		e.populate(t, seed)
		all = append(all, e.keeper)
	}
	all = append(all, remember(t, e))
	hits, errs := 0, 0
	paths := map[string][]schema.Path{"/Users": pathsOf(e.s.user), "/Groups": pathsOf(groupType(t)), "/AuthenticationMethods": pathsOf(e.s.way)}
	paths["/"] = slices.Concat(paths["/Users"], paths["/Groups"], paths["/AuthenticationMethods"])
	rapid.Check(t, func(rt *rapid.T) {
		for range 3 {
			path := rapid.SampledFrom([]string{"/Users", "/Users", "/Groups", "/AuthenticationMethods", "/"}).Draw(rt, "endpoint")
			query := searches{rt, paths[path]}.search()
			cursors := make([]string, len(all))
			for turn := 0; turn < 5; turn++ {
				var want found
				for i, k := range all {
					asked := url.Values{}
					for name, v := range query {
						asked[name] = v
					}
					if turn > 0 {
						asked.Set("cursor", cursors[i])
					}
					got := k.ask(rt, path, asked)
					cursors[i], got.Next = got.Next, strconv.FormatBool(got.Next != "") // they are sealed, each by another key
					if i == 0 {
						want = got
						continue
					}
					if !reflect.DeepEqual(got, want) {
						rt.Fatalf("seed %d: %s?%v turn %d\n%s: %+v\n%s: %+v", seed, path, query, turn, all[0].name, want, k.name, got)
					}
				}
				if want.Status != 200 {
					errs++
				} else if len(want.Places) > 0 {
					hits++
				}
				if cursors[0] == "" {
					break
				}
			}
		}
	})
	t.Logf("%d pages with somebody on them, %d errors", hits, errs)
}
