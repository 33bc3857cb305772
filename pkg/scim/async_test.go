package scim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// shelf keeps requests in memory, and what was answered.
type shelf struct {
	kept    []*scim.Kept
	refuse  error
	answers map[string]scim.Answer // by transaction
	lose    int                    // answers that are lost from now on
}

func (s *shelf) Keep(_ context.Context, _ *scim.Principal, k *scim.Kept) (string, error) {
	if s.refuse != nil {
		return "", s.refuse
	}
	s.kept = append(s.kept, k)
	return fmt.Sprintf("t%d", len(s.kept)), nil
}

// page is the journal of one request.
type page struct {
	*shelf
	txn string
	k   *scim.Kept
}

func (p page) Answered(_ context.Context, index int) (*scim.Answer, error) {
	if a, there := p.answers[p.k.Txn(p.txn, index)]; there {
		return &a, nil
	}
	return nil, nil
}

func (p page) Record(_ context.Context, index int, a scim.Answer) error {
	if p.lose > 0 {
		if p.lose--; p.lose == 0 {
			return errors.New("the disk is full")
		}
	}
	if _, there := p.answers[p.k.Txn(p.txn, index)]; !there {
		p.answers[p.k.Txn(p.txn, index)] = a
	}
	return nil
}

// told notes by which acts a store is used.
type told struct {
	*memstore.Store
	acts *[]scim.Act
}

func (s told) As(p *scim.Principal) scim.Store {
	*s.acts = append(*s.acts, p.Act)
	return s.Store
}

// postponer is a server that may put requests off, and what it is made of.
type postponer struct {
	t *testing.T
	*scim.Server
	*shelf
	acts []scim.Act
}

func newPostponer(t *testing.T) *postponer {
	t.Helper()
	p := &postponer{t: t, shelf: &shelf{answers: map[string]scim.Answer{}}}
	db := memstore.New()
	users, err := schema.NewType("User", schema.User())
	if err != nil {
		t.Fatal(err)
	}
	p.Server, err = scim.NewServer(scim.Config{BaseURL: "https://x.example/scim", Async: p.shelf, Events: []string{"urn:ietf:params:scim:event:misc:asyncresp"},
		Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: schema.Standard()}, nil },
		Types: []scim.ResourceType{{Name: "User", Endpoint: "/Users", Schema: schema.User(), Store: told{db.Type(users), &p.acts}},
			{Name: "Group", Endpoint: "/Groups", Schema: schema.Group(), Store: db.Type(groupType(t))}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *postponer) send(prefer, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if prefer != "" {
		r.Header.Set("Prefer", prefer)
	}
	p.ServeHTTP(w, r)
	return w
}

// perform carries out what was kept last, and returns the answers by transaction as "status type path".
func (p *postponer) perform() (map[string]string, error) {
	k, txn := p.kept[len(p.kept)-1], fmt.Sprintf("t%d", len(p.kept))
	err := p.Perform(p.t.Context(), &scim.Principal{Compat: schema.Standard()}, txn, k, page{p.shelf, txn, k})
	out := map[string]string{}
	for name, a := range p.answers {
		if strings.HasPrefix(name, txn) {
			out[name] = strings.TrimSpace(fmt.Sprint(a.Status, " ", a.BulkID, " ", string(a.Response)))
		}
	}
	return out, err
}

func TestPreferIsReadAsRFC7240Says(t *testing.T) {
	for prefer, later := range map[string]bool{
		"respond-async": true, "Respond-Async": true, "wait=10, respond-async": true, `respond-async=""; x=1,return=minimal`: true, " respond-async ;wait": true,
		"": false, "wait=10": false, "return=minimal": false, "respond-asyncx": false, "respond-async=no": false, `return="respond-async"`: false,
	} {
		p := newPostponer(t)
		want := http.StatusCreated
		if later {
			want = http.StatusAccepted
		}
		if w := p.send(prefer, "POST", "/scim/Users", `{"userName":"ada"}`); w.Code != want {
			t.Errorf("Prefer: %s: got %d, want %d: %s", prefer, w.Code, want, w.Body)
		}
	}
}

func TestAnAcceptedRequestSaysWhereItsAnswerWillBe(t *testing.T) {
	p := newPostponer(t)
	w := p.send("respond-async", "PUT", "/scim/Users/a%20b", `{"userName":"ada"}`)
	h := w.Header()
	if w.Code != 202 || w.Body.Len() != 0 || h.Get("Set-Txn") != "t1" || h.Get("Preference-Applied") != "respond-async" || h.Get("Location") != "https://x.example/scim/Users/a%20b" {
		t.Errorf("%d %v %s", w.Code, h, w.Body)
	}
	if k := p.kept[0]; k.Path != "/Users/a%20b" || k.Method != "PUT" || string(k.Body) != `{"userName":"ada"}` || k.Bulk() {
		t.Errorf("kept %+v", k)
	}
	got, err := p.perform()
	if err != nil || len(got) != 1 || !strings.HasPrefix(got["t1"], "404") {
		t.Errorf("%v, %v", got, err)
	}
	var doc struct{ SecurityEvents map[string]any }
	if err := json.Unmarshal(p.send("", "GET", "/scim/ServiceProviderConfig", "").Body.Bytes(), &doc); err != nil || doc.SecurityEvents["asyncRequest"] != "request" {
		t.Errorf("%v, %v", doc, err)
	}
	p.refuse = &scim.Error{Status: 429, Detail: "too much waits"}
	if w := p.send("respond-async", "DELETE", "/scim/Users/x", ""); w.Code != 429 || w.Header().Get("Set-Txn") != "" {
		t.Errorf("refused: %d %v", w.Code, w.Header())
	}
}

func TestABulkRequestIsPerformedWhereItWasBrokenOff(t *testing.T) {
	p := newPostponer(t)
	user := func(id, name string) string { return post("/Users", id, `{"userName":"`+name+`"}`) }
	body := inBulk(user("a", "ada"), post("/Groups", "g", `{"displayName":"g","members":[{"value":"bulkId:b"},{"value":"bulkId:a"}]}`), user("b", "bob"), user("c", "ada"),
		`{"method":"PATCH","path":"/Users/bulkId:a","data":{"Operations":[{"op":"add","path":"title","value":"T"}]}}`, `{"method":"DELETE","path":"/Users/bulkId:b"}`)
	if w := p.send("respond-async", "POST", "/scim/Bulk", body); w.Code != 202 || w.Header().Get("Location") != "" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	p.lose = 4 // a store that does not look at the transaction does that one twice
	if got, err := p.perform(); err == nil || len(got) != 3 {
		t.Fatalf("%v, %v", got, err)
	}
	p.acts = nil
	got, err := p.perform()
	want := map[string]string{"t1:0": "201 a", "t1:1": "201 g", "t1:2": "201 b", "t1:4": "200", "t1:5": "204",
		"t1:3": `409 c {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"userName: the value is taken"}`}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
	// What was answered was not touched again; what was not, was done by its own act.
	var txns []string
	for _, a := range p.acts {
		txns = append(txns, a.Method+" "+a.Txn)
	}
	if all := strings.Join(txns, ","); strings.Contains(all, "t1:0") || strings.Contains(all, "t1:2") || !strings.Contains(all, "PATCH t1:4") || !strings.Contains(all, "DELETE t1:5") {
		t.Errorf("acts %v", txns)
	}
	if w := p.send("", "GET", "/scim/Users?filter=title+eq+%22T%22", ""); !strings.Contains(w.Body.String(), `"totalResults":1`) {
		t.Errorf("%s", w.Body)
	}
}

func TestEveryOperationIsAnsweredEvenWhenFewMayFail(t *testing.T) {
	p := newPostponer(t)
	body := `{"schemas":["` + bulkURN + `"],"failOnErrors":1,"Operations":[` + post("/Users", "a", `{"userName":"ada"}`) + `,` + post("/Users", "b", `{"userName":"ada"}`) + `,` +
		post("/Users", "c", `{"userName":"eve"}`) + `]}`
	if w := p.send("respond-async", "POST", "/scim/Bulk", body); w.Code != 202 {
		t.Fatal(w.Code, w.Body)
	}
	got, err := p.perform()
	if err != nil || len(got) != 3 || got["t1:0"] != "201 a" || !strings.HasPrefix(got["t1:1"], "409 b") || !strings.HasPrefix(got["t1:2"], "409 c") || !strings.Contains(got["t1:2"], "failOnErrors") {
		t.Errorf("%v, %v", got, err)
	}
	if w := p.send("", "GET", "/scim/Users?filter=userName+eq+%22eve%22", ""); !strings.Contains(w.Body.String(), `"totalResults":0`) {
		t.Errorf("%s", w.Body)
	}
}

func TestWhatIsRefusedKeepsWhatWasAnswered(t *testing.T) {
	p := newPostponer(t)
	if w := p.send("respond-async", "POST", "/scim/Bulk", inBulk(post("/Users", "a", `{"userName":"ada"}`), post("/Users", "b", `{"userName":"bob"}`))); w.Code != 202 {
		t.Fatal(w.Code, w.Body)
	}
	p.lose = 2
	if _, err := p.perform(); err == nil {
		t.Fatal("nothing was lost")
	}
	j := page{p.shelf, "t1", p.kept[0]}
	if err := p.Refuse(t.Context(), p.kept[0], j, &scim.Error{Status: 403, Detail: "gone"}); err != nil {
		t.Fatal(err)
	}
	a, b := p.answers["t1:0"], p.answers["t1:1"]
	if a.Status != 201 || a.Type != "User" || a.Path != "/Users/"+a.ID || a.Location != "https://x.example/scim/Users/"+a.ID || b.Status != 403 || b.BulkID != "b" || b.Path != "/Users" ||
		!strings.Contains(string(b.Response), "gone") {
		t.Errorf("%+v\n%+v", a, b)
	}
}

func TestCirclesAndLongNamesAreAnsweredAtOnce(t *testing.T) {
	p := newPostponer(t)
	for what, body := range map[string]string{
		"a circle": inBulk(post("/Groups", "a", `{"displayName":"a","members":[{"value":"bulkId:b"}]}`), post("/Groups", "b", `{"displayName":"b","members":[{"value":"bulkId:a"}]}`)),
		"itself":   inBulk(post("/Groups", "a", `{"displayName":"a","members":[{"value":"bulkId:a"}]}`)),
		"a name":   inBulk(post("/Users", strings.Repeat("x", 2000), `{"userName":"ada"}`)),
	} {
		if w := p.send("respond-async", "POST", "/scim/Bulk", body); w.Code != 200 || w.Header().Get("Set-Txn") != "" {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	if len(p.kept) > 0 {
		t.Errorf("kept %d", len(p.kept))
	}
}

func TestAPasswordIsNeverKept(t *testing.T) {
	p := newPostponer(t)
	for i, body := range []string{
		`{"userName":"u0","password":"x"}`, `{"userName":"u1","PassWord":"x"}`, `{"userName":"u2","p\u0061ssword":"x"}`, `{"userName":"u3","urn:ietf:params:scim:schemas:core:2.0:User:password":"x"}`,
	} {
		if w := p.send("respond-async", "POST", "/scim/Users", body); w.Code == 202 || len(p.kept) != 0 {
			t.Errorf("%d was kept: %d", i, w.Code)
		}
	}
	for path, body := range map[string]string{
		"/scim/Users/1": `{"Operations":[{"op":"replace","path":"p\u0041ssword","value":"x"}]}`,
		"/scim/Users/2": `{"Operations":[{"op":"replace","value":{"password":"x"}}]}`,
	} {
		if w := p.send("respond-async", "PATCH", path, body); w.Code == 202 || len(p.kept) != 0 {
			t.Errorf("%s was kept: %d", path, w.Code)
		}
	}
	bulk := `{"Operations":[{"method":"POST","bulkId":"a","path":"/Users","data":{"userName":"u9","password":"x"}}]}`
	if w := p.send("respond-async", "POST", "/scim/Bulk", bulk); w.Code == 202 || len(p.kept) != 0 {
		t.Errorf("bulk was kept: %d", w.Code)
	}
	if w := p.send("respond-async", "POST", "/scim/Users", `{"userName":"without"}`); w.Code != 202 || len(p.kept) != 1 {
		t.Errorf("what holds none: %d", w.Code)
	}
}
