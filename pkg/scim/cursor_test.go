package scim_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// pager is a server of one type whose clock and client can be chosen, and which counts what its store is asked.
type pager struct {
	*memstore.Store
	now    time.Time
	who    string
	counts int // lists with a total
	srv    *scim.Server
}

func (p *pager) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	if q.WantTotal {
		p.counts++
	}
	return p.Store.List(ctx, q)
}

func newPager(t testing.TB, key []byte) *pager {
	p := &pager{Store: memstore.New().Type(userType(t)), now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), who: "one"}
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Now: func() time.Time { return p.now }, Cursor: scim.CursorConfig{Key: key, TTL: time.Minute},
		Auth: func(*http.Request) (*scim.Principal, error) {
			return &scim.Principal{Subject: p.who, Compat: schema.Standard()}, nil
		},
		Types: []scim.ResourceType{{Name: "User", Endpoint: "/Users", Schema: schema.User(), Extensions: []schema.Extension{{Schema: schema.EnterpriseUser()}}, Store: p}}})
	if err != nil {
		t.Fatal(err)
	}
	p.srv = srv
	for i := range 9 {
		if w := p.send("POST", "/Users", fmt.Sprintf(`{"userName":"u%d"}`, i)); w.Code != 201 {
			t.Fatal(w.Body)
		}
	}
	return p
}

func (p *pager) send(method, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.srv.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w
}

// list asks for a page and returns its cursor and total.
func (p *pager) list(t testing.TB, query string) (next string, total int) {
	t.Helper()
	w := p.send("GET", "/Users?"+query, "")
	var doc struct {
		NextCursor   string
		TotalResults int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return doc.NextCursor, doc.TotalResults
}

func TestACursorEndsWithItsTimeItsClientAndItsKey(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	p := newPager(t, key)
	next, _ := p.list(t, "cursor&count=2")
	refused := func(about string, p *pager, code string) {
		t.Helper()
		if w := p.send("GET", "/Users?count=2&cursor="+next, ""); w.Code != 400 || !strings.Contains(w.Body.String(), `"`+code+`"`) {
			t.Errorf("%s: %d %s", about, w.Code, w.Body)
		}
	}
	p.now = p.now.Add(59 * time.Second)
	p.list(t, "count=2&cursor="+next)
	p.now = p.now.Add(time.Second)
	refused("after its time", p, "expiredCursor")
	p.now = p.now.Add(-time.Minute)
	p.who = "two"
	refused("shown by another client", p, "invalidCursor")
	replica := newPager(t, key)
	replica.list(t, "count=2&cursor="+next)
	refused("at a server with another key", newPager(t, []byte(strings.Repeat("x", 32))), "invalidCursor")
	refused("at a server with a key of its own", newPager(t, nil), "invalidCursor")
	if _, err := scim.NewServer(scim.Config{Cursor: scim.CursorConfig{Key: []byte("short")}}); err == nil || !strings.Contains(err.Error(), "cursor key") {
		t.Errorf("a short key: %v", err)
	}
}

func TestACursorTellsNothing(t *testing.T) {
	p := newPager(t, nil)
	if w := p.send("POST", "/Users", `{"userName":"a-canary-nobody-spells"}`); w.Code != 201 {
		t.Fatal(w.Body)
	}
	next, _ := p.list(t, "cursor&count=1&sortBy=userName")
	again, _ := p.list(t, "cursor&count=1&sortBy=userName")
	plain, err := base64.RawURLEncoding.DecodeString(next)
	if next == again || err != nil || strings.Contains(next+string(plain), "canary") {
		t.Errorf("cursors %q and %q", next, again)
	}
}

func TestAValueTooLongForACursorIsRefusedNotCut(t *testing.T) {
	p := newPager(t, nil)
	p.send("POST", "/Users", `{"userName":"`+strings.Repeat("a", 20_000)+`"}`)
	if w := p.send("GET", "/Users?cursor&count=1&sortBy=userName", ""); w.Code != 400 || !strings.Contains(w.Body.String(), `"tooMany"`) {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
	p.list(t, "cursor&count=1") // by id there is no such limit
}

func TestATotalIsCountedOnceAndNeverBelowWhatWasSeen(t *testing.T) {
	p := newPager(t, nil)
	asked := func(query string, total, counts int) {
		t.Helper()
		before := p.counts
		if _, got := p.list(t, query); got != total || p.counts-before != counts {
			t.Errorf("%s: total %d after %d counts, want %d after %d", query, got, p.counts-before, total, counts)
		}
	}
	asked("count=2", 9, 1)
	asked("count=2&startIndex=3", 9, 0)
	asked("count=0", 9, 0)
	asked("count=2&filter=userName+pr", 9, 1) // another question
	p.who = "two"
	asked("count=2", 9, 1) // another view
	p.who = ""
	asked("count=2", 9, 1)
	asked("count=2", 9, 1) // nobody knows whose
	p.who = "one"
	// What others write shows on a page at once, and in the total when the time is over.
	for i := range 3 {
		if _, err := p.Create(t.Context(), &scim.Resource{Type: "User", Attrs: scim.Object{"userName": fmt.Sprint("other", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	asked("count=2", 9, 0)
	asked("count=2&startIndex=10", 11, 0)
	asked("count=5&startIndex=10", 12, 0) // the end is in sight
	p.now = p.now.Add(30 * time.Second)
	asked("count=2", 12, 1)
	// What is written here shows at once.
	p.send("POST", "/Users", `{"userName":"new"}`)
	asked("count=2", 13, 1)
	// A cursor carries the total on.
	before := p.counts
	next, total := p.list(t, "cursor&count=2&filter=userName+pr")
	_, after := p.list(t, "count=2&filter=userName+pr&cursor="+next)
	if total != 13 || after != 13 || p.counts != before+1 {
		t.Errorf("by cursor: %d, then %d, after %d counts", total, after, p.counts-before)
	}
}

func TestAnOrderOverTypesReachesOnlySoFarByIndex(t *testing.T) {
	b := newBench(t)
	if r := b.want(400, "strict", "GET", "/?sortBy=displayName&startIndex=1000&count=2", ""); r.json["scimType"] != "tooMany" {
		t.Errorf("%s", r.body)
	}
	b.want(200, "strict", "GET", "/?sortBy=displayName&startIndex=1000&count=0", "")
	b.user("ada")
	b.want(201, "strict", "POST", "/Groups", `{"schemas":["`+schema.GroupURN+`"],"displayName":"g"}`)
	for token, want := range map[string]string{"strict": "2", "reader": "1"} { // who may not use a type does not search it
		if r := b.want(200, token, "GET", "/", ""); fmt.Sprint(r.json["totalResults"]) != want {
			t.Errorf("%s: %s", token, r.body)
		}
	}
	b.want(400, "reader", "GET", "/?filter=members+pr", "")
}

func FuzzCursor(f *testing.F) {
	p := newPager(f, []byte(strings.Repeat("k", 32)))
	next, _ := p.list(f, "cursor&count=2")
	for _, s := range []string{"", next, next[:len(next)-1], "AAAA", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		w := p.send("GET", "/Users?count=2&cursor="+url.QueryEscape(cursor), "")
		switch {
		case w.Code == 200 && cursor == "":
		case w.Code == 200: // a cursor that opens was made here
			if again := p.send("GET", "/Users?count=2&cursor="+url.QueryEscape(cursor), ""); !strings.Contains(again.Body.String(), `"u2"`) {
				t.Errorf("%q was never given: %s", cursor, w.Body)
			}
		case w.Code != 400 || !strings.Contains(w.Body.String(), `"invalidCursor"`):
			t.Errorf("%q: %d %s", cursor, w.Code, w.Body)
		}
	})
}
