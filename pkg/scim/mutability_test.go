package scim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// thing is a type with an attribute of every mutability and every returned, at every depth.
func thing() (*schema.Schema, []schema.Extension) {
	subs := func() []*schema.Attribute {
		return []*schema.Attribute{{Name: "value", CaseExact: true}, {Name: "note"},
			{Name: "ro", Mutability: schema.ReadOnly}, {Name: "im", Mutability: schema.Immutable}, {Name: "wo", Mutability: schema.WriteOnly},
			{Name: "al", Returned: schema.Always}, {Name: "rq", Returned: schema.Request}}
	}
	attrs := func() []*schema.Attribute {
		return []*schema.Attribute{
			{Name: "ro", Mutability: schema.ReadOnly}, {Name: "im", Mutability: schema.Immutable}, {Name: "wo", Mutability: schema.WriteOnly}, {Name: "ne", Returned: schema.Never},
			{Name: "al", Returned: schema.Always}, {Name: "rq", Returned: schema.Request},
			{Name: "box", Type: schema.Complex, SubAttributes: subs()}, {Name: "list", Type: schema.Complex, MultiValued: true, SubAttributes: subs()},
			{Name: "fixed", Type: schema.Complex, MultiValued: true, Mutability: schema.Immutable, SubAttributes: subs()},
		}
	}
	core := &schema.Schema{ID: "urn:x:Thing", Name: "Thing", Attributes: append(attrs(), &schema.Attribute{Name: "name", Required: true})}
	return core, []schema.Extension{{Schema: &schema.Schema{ID: "urn:x:More", Name: "More", Attributes: attrs()}}}
}

// things is a server of them and a way to make one behind its back, with what only the server may write.
func things(t *testing.T, c scim.Compat) (send func(method, target, body string) *httptest.ResponseRecorder, make func() string) {
	core, ext := thing()
	typ, err := schema.NewType("Thing", core, ext...)
	if err != nil {
		t.Fatal(err)
	}
	st := memstore.New().Type(typ)
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: c}, nil },
		Types: []scim.ResourceType{{Name: "Thing", Endpoint: "/Things", Schema: core, Extensions: ext, Store: st}}})
	if err != nil {
		t.Fatal(err)
	}
	send = func(method, target, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
		return w
	}
	make = func() string {
		t.Helper()
		element := func(v string) scim.Object {
			return scim.Object{"value": v, "note": "n", "ro": "r-" + v, "im": "i-" + v, "wo": "SECRET", "al": "a", "rq": "q"}
		}
		attrs := func() scim.Object {
			return scim.Object{"ro": "r", "im": "i", "wo": "SECRET", "ne": "SECRET", "al": "a", "rq": "q", "box": element("b"), "list": []any{element("1"), element("2")}, "fixed": []any{element("f")}}
		}
		a := attrs()
		a["name"] = "n"
		r, err := st.Create(t.Context(), &scim.Resource{Type: "Thing", Attrs: a, Ext: map[string]scim.Object{"urn:x:More": attrs()}})
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	return send, make
}

func TestMutabilityIsKeptByEveryVerbAndForm(t *testing.T) {
	send, newThing := things(t, schema.Strict())
	const all = "?attributes=name,ro,im,al,rq,box,list,fixed,box.rq,list.rq,urn:x:More"
	// Each is tried on the core schema and on the extension (where "^" stands for its URN), by itself and in bulk.
	for _, w := range []struct{ op, want string }{
		{`{"op":"replace","path":"^ro","value":"x"}`, "mutability"},
		{`{"op":"add","path":"^ro","value":"x"}`, "mutability"},
		{`{"op":"remove","path":"^ro"}`, "mutability"},
		{`{"op":"replace","path":"^ro","value":"r"}`, "same"},
		{`{"op":"replace","path":"^im","value":"x"}`, "mutability"},
		{`{"op":"add","path":"^im","value":"x"}`, "mutability"},
		{`{"op":"remove","path":"^im"}`, "mutability"},
		{`{"op":"replace","path":"^im","value":"i"}`, "same"},
		{`{"op":"replace","path":"^im","value":null}`, "mutability"},
		{`{"op":"replace","path":"^box.ro","value":"x"}`, "mutability"},
		{`{"op":"remove","path":"^box.ro"}`, "mutability"},
		{`{"op":"replace","path":"^box.im","value":"x"}`, "mutability"},
		{`{"op":"remove","path":"^box.im"}`, "mutability"},
		{`{"op":"replace","path":"^box","value":{"im":"x"}}`, "mutability"},
		{`{"op":"replace","path":"^box","value":{"ro":"x"}}`, "same"}, // RFC 7643 §7: a readOnly sub-attribute of a value is ignored
		{`{"op":"replace","path":"^list[value eq \"1\"].ro","value":"x"}`, "mutability"},
		{`{"op":"remove","path":"^list[value eq \"1\"].ro"}`, "mutability"},
		{`{"op":"replace","path":"^list[value eq \"1\"].im","value":"x"}`, "mutability"},
		{`{"op":"add","path":"^list[value eq \"1\"].im","value":"x"}`, "mutability"},
		{`{"op":"remove","path":"^list[value eq \"1\"].im"}`, "mutability"},
		{`{"op":"replace","path":"^list.ro","value":"x"}`, "mutability"},
		{`{"op":"replace","path":"^list.im","value":"x"}`, "mutability"},
		{`{"op":"replace","path":"^list","value":[{"value":"1","im":"x"},{"value":"2","im":"i-2"}]}`, "mutability"},
		{`{"op":"replace","path":"^list[value eq \"1\"]","value":{"value":"1","im":"x"}}`, "mutability"},
		{`{"op":"add","path":"^list","value":[{"value":"3","im":"x"}]}`, "changed"}, // another element
		{`{"op":"remove","path":"^list[value eq \"1\"]"}`, "changed"},
		{`{"op":"replace","path":"^list[value eq \"1\"].note","value":"x"}`, "changed"},
		{`{"op":"add","path":"^fixed","value":[{"value":"g"}]}`, "mutability"},
		{`{"op":"remove","path":"^fixed[value eq \"f\"]"}`, "mutability"},
		{`{"op":"replace","path":"^fixed[value eq \"f\"].note","value":"x"}`, "mutability"},
		{`{"op":"remove","path":"^fixed"}`, "mutability"},
		{`{"op":"replace","path":"^wo","value":"y"}`, "changed"},
		{`{"op":"replace","path":"name","value":""}`, "mutability"},
		{`{"op":"replace","path":"id","value":"x"}`, "mutability"},
		{`{"op":"replace","path":"meta","value":{"version":"x"}}`, "mutability"},
		{`{"op":"replace","path":"schemas","value":["urn:x:More"]}`, "mutability"},
	} {
		for _, urn := range []string{"", "urn:x:Thing:", "urn:x:More:", "URN:X:MORE:"} {
			body := patchOps(strings.ReplaceAll(w.op, "^", urn))
			for _, bulk := range []bool{false, true} {
				id := newThing()
				before := send("GET", "/Things/"+id+all, "").Body.String()
				target, method, sent := "/Things/"+id, "PATCH", body
				if bulk {
					target, method, sent = "/Bulk", "POST", inBulk(`{"method":"PATCH","path":"/Things/`+id+`","data":`+body+`}`)
				}
				got := send(method, target, sent).Body.String()
				after := send("GET", "/Things/"+id+all, "").Body.String()
				changed := before != after || // a secret shows in the version only
					strings.Contains(w.op, "wo") && strings.Contains(got, `"version":"W/\"2\""`)
				switch refused := strings.Contains(got, `"scimType":"`+w.want+`"`); w.want {
				case "mutability":
					if !refused || changed {
						t.Errorf("%s (bulk %v): %s\nbefore %s\nafter  %s", body, bulk, got, before, after)
					}
				case "same", "changed":
					if strings.Contains(got, "scimType") || changed != (w.want == "changed") {
						t.Errorf("%s (bulk %v), want %s: %s\nbefore %s\nafter  %s", body, bulk, w.want, got, before, after)
					}
				}
			}
		}
	}
}

func patchOps(ops ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(ops, ",") + `]}`
}

func TestMutabilityIsKeptByPostAndPut(t *testing.T) {
	send, newThing := things(t, schema.Strict())
	const head = `{"schemas":["urn:x:Thing","urn:x:More"],"name":"n"`
	made := send("POST", "/Things?attributes=ro,box,list,urn:x:More", head+`,"ro":"x","box":{"value":"v","ro":"x"},"list":[{"value":"v","ro":"x"}],"urn:x:More":{"ro":"x","box":{"ro":"x"},"im":"i"}}`)
	if made.Code != 201 || strings.Contains(made.Body.String(), `"x"`) || !strings.Contains(made.Body.String(), `"im":"i"`) {
		t.Errorf("POST: %d %s", made.Code, made.Body)
	}
	for _, w := range []struct{ more, want string }{
		{`,"im":"x"`, "mutability"},
		{`,"box":{"value":"b","im":"x"}`, "mutability"},
		{`,"list":[{"value":"1","im":"x"}]`, "mutability"},
		{`,"list":[{"value":"1"}]`, "mutability"}, // it lacks what it had
		{`,"fixed":[{"value":"g"}]`, "mutability"},
		{`,"urn:x:More":{"im":"x"}`, "mutability"},
		{`,"urn:x:More":{"list":[{"value":"2","im":"x"}]}`, "mutability"},
		{`,"ro":"x","urn:x:More":{"ro":"x"}`, ""},
		{`,"im":"i","list":[{"value":"9","im":"new"}]`, ""},
	} {
		for _, bulk := range []bool{false, true} {
			id := newThing()
			before := send("GET", "/Things/"+id, "").Body.String()
			var got string
			if bulk {
				got = send("POST", "/Bulk", inBulk(`{"method":"PUT","path":"/Things/`+id+`","data":`+head+w.more+`}}`)).Body.String()
			} else {
				got = send("PUT", "/Things/"+id, head+w.more+`}`).Body.String()
			}
			after := send("GET", "/Things/"+id, "").Body.String()
			if w.want != "" && (!strings.Contains(got, `"scimType":"`+w.want+`"`) || after != before) {
				t.Errorf("%s (bulk %v): %s\nafter %s", w.more, bulk, got, after)
			}
			if w.want == "" && (strings.Contains(got, "scimType") || !strings.Contains(after, `"ro":"r"`) || !strings.Contains(after, `"im":"i"`)) {
				t.Errorf("%s (bulk %v): %s\nafter %s", w.more, bulk, got, after)
			}
		}
	}
}

func TestReturnedIsKeptByEveryVerb(t *testing.T) {
	send, newThing := things(t, schema.Standard())
	for _, w := range []struct {
		query   string
		in, out []string
	}{
		{"", []string{`"name"`, `"al"`, `"ro":"r"`, `"im"`, `"value":"1"`, `"urn:x:More":{`}, []string{`"rq"`}},
		{"attributes=name", []string{`"name"`, `"al":"a"`, `"id"`, `"schemas"`}, []string{`"ro"`, `"meta"`, `"value"`, `"rq"`}},
		{"attributes=rq", []string{`"rq":"q"`, `"al":"a"`}, []string{`"name"`, `"value"`}},
		{"attributes=BOX.NOTE", []string{`"box":{"note":"n","al":"a"}`}, []string{`"name"`, `"value"`, `"rq"`}},
		{"attributes=list.note,urn:x:thing:list.rq", []string{`"list":[{"note":"n","al":"a","rq":"q"},{"note":"n","al":"a","rq":"q"}]`}, []string{`"name"`}},
		{"attributes=URN:X:MORE:im,urn:x:More:box.value", []string{`"urn:x:More":{"im":"i","al":"a","box":{"value":"b","al":"a"}}`}, []string{`"name"`, `"list"`}},
		{"attributes=urn:x:More", []string{`"urn:x:More":{"ro":"r","im":"i","al":"a"`, `"list"`}, []string{`"name"`}},
		{"attributes=wo,ne,box.wo,list.wo,urn:x:More:wo,urn:x:More:ne", []string{`"al":"a"`}, []string{`"name"`}},
		{"attributes=meta.version", []string{`"meta":{"version":"W/`}, []string{`"created"`, `"name"`}},
		{"attributes=externalId,nothing", []string{`"id"`}, []string{`"name"`}},
		{"excludedAttributes=name,al,id,schemas,box,list,fixed,urn:x:More:box", []string{`"al":"a"`, `"id"`, `"schemas"`, `"ro"`, `"urn:x:More":{`, `"list"`}, []string{`"name"`, `"box"`}},
		{"excludedAttributes=urn:x:More,list.note,list.al,box.value,meta", []string{`"name"`, `"al":"a"`, `"list":[{"value":"1","ro":"r-1"`, `"urn:x:More":{"al":"a"}`}, []string{`"created"`, `"value":"b"`}},
		{"excludedAttributes=urn:x:Thing:name", []string{`"im"`}, []string{`"name"`}},
	} {
		id := newThing()
		put := `{"name":"n","im":"i","rq":"q","al":"a","box":{"value":"b","note":"n","im":"i-b","al":"a","rq":"q"},"list":[{"value":"1","note":"n","im":"i-1","al":"a","rq":"q"},{"value":"2","note":"n","im":"i-2","al":"a","rq":"q"}],` +
			`"urn:x:More":{"im":"i","rq":"q","al":"a","box":{"value":"b","note":"n","im":"i-b","al":"a","rq":"q"},"list":[{"value":"1","im":"i-1"},{"value":"2","im":"i-2"}]},"wo":"SECRET","ne":"SECRET"}`
		for _, r := range [][3]string{
			{"GET", "/Things/" + id, ""}, {"GET", "/Things", ""}, {"GET", "/", ""},
			{"PATCH", "/Things/" + id, patchOps(`{"op":"replace","path":"wo","value":"SECRET2"}`)}, {"PUT", "/Things/" + id, put}, {"POST", "/Things", put},
		} {
			got := send(r[0], r[1]+"?"+w.query, r[2])
			if got.Code >= 300 || strings.Contains(got.Body.String(), "SECRET") {
				t.Errorf("%s %s?%s: %d %s", r[0], r[1], w.query, got.Code, got.Body)
			}
			for _, s := range w.in {
				if r[0] == "POST" && strings.Contains(s, "ro") {
					continue // what only the server writes is not there
				}
				if !strings.Contains(got.Body.String(), s) {
					t.Errorf("%s %s?%s lacks %s: %s", r[0], r[1], w.query, s, got.Body)
				}
			}
			for _, s := range w.out {
				if strings.Contains(got.Body.String(), s) {
					t.Errorf("%s %s?%s shows %s: %s", r[0], r[1], w.query, s, got.Body)
				}
			}
		}
		for _, path := range []string{"/Things/.search", "/.search"} {
			name, list, _ := strings.Cut(w.query, "=")
			body := "{}"
			if name != "" {
				body = fmt.Sprintf(`{%q:[%q]}`, name, strings.ReplaceAll(list, ",", `","`))
				body = strings.ReplaceAll(body, `\"`, `"`)
			}
			got := send("POST", path, body)
			for _, s := range w.in {
				if !strings.Contains(got.Body.String(), s) {
					t.Errorf("POST %s %s lacks %s: %s", path, body, s, got.Body)
				}
			}
		}
		send("DELETE", "/Things/"+id, "")
	}
}
