package app

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// follower is a system that follows what a connector provisions: it fetches events and asks for what they are about.
type follower struct {
	*listener
	connector string                    // its token
	copy      map[string]map[string]any // by uri
	answers   map[string]map[string]any // asyncresp, by txn
	heard     int
	taken     []string                 // what the next request acknowledges
	prompt    bool                     // it asks before anything else happens: what it sees is what it was told of
	handlers  map[string]event.Handler // what the pool of workers does
	ahead     *atomic.Int64            // how far the clock was moved: a machine that is quick comes too often otherwise
}

// newFollower registers a receiver of the feed, gets it a token and a stream, and returns it.
func newFollower(t *testing.T, kind store.Kind) *follower {
	t.Helper()
	ahead := &atomic.Int64{}
	w, l := stage(t, scene{kind: kind, now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	handlers := w.srv.pool.Handlers
	w.serve(l, true)
	f := &follower{ahead: ahead, handlers: handlers, listener: &listener{world: w, names: map[string]string{}, sets: map[string]any{}}, connector: w.connector("hr", client.TrustOne),
		taken: []string{}, copy: map[string]map[string]any{}, answers: map[string]map[string]any{}}
	a := &Admin{Store: w.srv.Store.Store, ring: w.setup.Ring, actor: "cli:test", now: w.now}
	r, secret, err := a.CreateReceiver(t.Context(), "", ReceiverSettings{Name: "CRM", Format: "opaque", Audience: "https://crm.example.org", Events: []string{"scim"}, Follow: []string{"hr"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.names["{client_id:client_secret}"] = base64.StdEncoding.EncodeToString([]byte(r.Key + ":" + secret))
	f.names["{scim token}"] = f.connector
	return f
}

// connect gets a token and a stream.
func (f *follower) connect(t *testing.T) {
	t.Helper()
	answer := f.send(t, f.fill("POST /oauth2/token\nAuthorization: Basic {client_id:client_secret}\nContent-Type: application/x-www-form-urlencoded\n\ngrant_type=client_credentials")).(map[string]any)
	f.names["{token}"] = answer["access_token"].(string)
	uris := []string{}
	for _, name := range client.Feeds() {
		uris = append(uris, client.FeedURI(name))
	}
	body, err := json.Marshal(map[string]any{"events_requested": uris})
	if err != nil {
		t.Fatal(err)
	}
	stream := f.send(t, f.fill("POST /ssf/streams\nAuthorization: Bearer {token}\nContent-Type: application/json\n\n")+string(body)).(map[string]any)
	if len(stream["events_delivered"].([]any)) != len(uris) {
		t.Fatalf("stream: %v", stream)
	}
	f.names["{stream}"] = stream["stream_id"].(string)
}

// settle does all work that is due of requests that were kept and of the feed, as the pool does.
func (f *follower) settle(t *testing.T) {
	t.Helper()
	kinds := []string{"request", "feed", "signal"} // until the last is done, what comes later of the same person waits
	for range 1000 {
		rows, err := f.srv.Store.Claim(t.Context(), f.now().Add(time.Second), "test", kinds, 20, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return
		}
		for _, row := range rows {
			err := f.handlers[row.Kind](t.Context(), event.Item{ID: row.ID, Event: row.Event, Kind: row.Kind, Ref: row.Ref, NotAfter: row.NotAfter, Lease: row})
			var children event.Expanded
			switch {
			case errors.As(err, &children):
				var all []store.Work
				for _, c := range children {
					all = append(all, store.Work{Event: row.Event, Kind: c.Kind, Ref: c.Ref, NotBefore: row.NotBefore, NotAfter: row.NotAfter})
				}
				err = f.srv.Store.Expand(t.Context(), row, all)
			case err == nil:
				err = f.srv.Store.Done(t.Context(), row)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("there is always more to do")
}

// ask sends one request of the connector.
func (f *follower) ask(t *testing.T, verb, path, body string, later bool) (int, http.Header, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), verb, f.base+"/scim/v2"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.connector)
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	if later {
		r.Header.Set("Prefer", "respond-async")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	var doc map[string]any
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, doc
}

// writable is a resource without what no client writes.
func writable(doc map[string]any) map[string]any {
	doc = maps.Clone(doc)
	for _, name := range []string{"meta", "groups", "schemas"} {
		delete(doc, name)
	}
	return doc
}

// follow fetches what came and does what it says: it asks for whom and what it hears of, and takes away what is deleted.
func (f *follower) follow(t *testing.T) {
	t.Helper()
	for more := true; more; {
		f.ahead.Add(int64(time.Second))
		body, err := json.Marshal(map[string]any{"returnImmediately": true, "ack": f.taken})
		if err != nil {
			t.Fatal(err)
		}
		answer := f.send(t, f.fill("POST /ssf/poll/{stream}\nAuthorization: Bearer {token}\nContent-Type: application/json\n\n")+string(body)).(map[string]any)
		sets := answer["sets"].(map[string]any)
		more = answer["moreAvailable"] == true
		f.taken = slices.Sorted(maps.Keys(sets))
		for _, jti := range f.taken {
			raw, err := base64.RawURLEncoding.DecodeString(strings.Split(sets[jti].(string), ".")[1])
			var set struct {
				Txn     string
				Subject map[string]string `json:"sub_id"`
				Events  map[string]map[string]any
			}
			if err == nil {
				err = json.Unmarshal(raw, &set)
			}
			if err != nil || set.Txn == "" {
				t.Fatal(string(raw), err)
			}
			for name, e := range set.Events {
				f.heard++
				f.hear(t, strings.TrimPrefix(name, "urn:ietf:params:scim:event:"), set.Subject["uri"], set.Txn, e)
			}
		}
	}
}

func (f *follower) hear(t *testing.T, name, uri, txn string, e map[string]any) {
	t.Helper()
	switch name {
	case "misc:asyncresp":
		f.answers[txn] = e
	case "prov:delete":
		if f.copy[uri] == nil {
			t.Errorf("%s is deleted and was never there", uri)
		}
		delete(f.copy, uri)
	case "prov:activate", "prov:deactivate":
		f.copy[uri]["active"] = name == "prov:activate"
	default:
		status, _, now := f.ask(t, "GET", uri, "", false)
		if status == 404 { // by now it is: that is told next
			now = map[string]any{}
		}
		was := f.copy[uri]
		if (name == "prov:create:notice") != (was == nil) {
			t.Errorf("%s of %s, which was %v", name, uri, was)
		}
		f.copy[uri] = writable(now)
		if unnamed := f.diff(was, f.copy[uri], e["attributes"]); f.prompt && len(unnamed) > 0 {
			t.Errorf("%s of %s says %v, and not %v", name, uri, e["attributes"], unnamed)
		}
	}
}

// diff are the attributes in which two states differ that a notice does not name. What becomes of active is told by itself.
func (f *follower) diff(was, now map[string]any, named any) (unnamed []string) {
	list, _ := named.([]any)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if name == "active" || slices.Contains(list, any(name)) || reflect.DeepEqual(was[name], now[name]) {
			continue
		}
		if ext, ok := now[name].(map[string]any); ok && strings.HasPrefix(name, "urn:") {
			old, _ := was[name].(map[string]any)
			for part := range ext {
				if !slices.Contains(list, any(name+":"+part)) && !reflect.DeepEqual(old[part], ext[part]) {
					unnamed = append(unnamed, name+":"+part)
				}
			}
			continue
		}
		unnamed = append(unnamed, name)
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, there := now[name]; !there && !slices.Contains(list, any(name)) && !strings.HasPrefix(name, "urn:") {
			unnamed = append(unnamed, "no "+name)
		}
	}
	return unnamed
}

// state is what there is.
func (f *follower) state(t *testing.T) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, endpoint := range []string{"/Users", "/Groups"} {
		_, _, doc := f.ask(t, "GET", endpoint+"?count=200", "", false)
		for _, r := range doc["Resources"].([]any) {
			r := r.(map[string]any)
			out[endpoint+"/"+r["id"].(string)] = writable(r)
		}
	}
	return out
}

// act is one request that somebody might make, of a random kind.
func (f *follower) act(rnd *rand.Rand, n int) (verb, path, body string) {
	some := func(endpoint string) string {
		var all []string
		for uri := range f.copy {
			if strings.HasPrefix(uri, endpoint) {
				all = append(all, uri)
			}
		}
		if len(all) == 0 {
			return ""
		}
		slices.Sort(all)
		return all[rnd.IntN(len(all))]
	}
	user := func(name string) string {
		b := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"active":%v`, name, rnd.IntN(4) > 0)
		for _, more := range []string{fmt.Sprintf(`,"title":"T%d"`, rnd.IntN(3)), `,"name":{"givenName":"Ada","familyName":"Brandt"}`, `,"externalId":"x` + name + `"`, `,"password":"canary"`,
			fmt.Sprintf(`,"emails":[{"value":"%d@alder.example","type":"work"}]`, rnd.IntN(3)), `,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"D"}`} {
			if rnd.IntN(2) == 0 {
				b += more
			}
		}
		return b + "}"
	}
	patch := func(ops ...string) string {
		return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(ops, ",") + `]}`
	}
	one, group := some("/Users/"), some("/Groups/")
	switch k := rnd.IntN(12); {
	case k < 3 || one == "":
		return "POST", "/Users", user(fmt.Sprintf("person-%d", n))
	case k < 5:
		return "PUT", one, user(fmt.Sprint(f.copy[one]["userName"]))
	case k < 7:
		return "PATCH", one, patch([]string{fmt.Sprintf(`{"op":"replace","path":"title","value":"T%d"}`, rnd.IntN(3)), `{"op":"remove","path":"name.givenName"}`,
			fmt.Sprintf(`{"op":"replace","path":"active","value":%v}`, rnd.IntN(2) == 0), fmt.Sprintf(`{"op":"add","path":"emails","value":[{"value":"%d@alder.example","type":"other"}]}`, n),
			`{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"E"}`}[rnd.IntN(5)])
	case k < 8:
		return "DELETE", one, ""
	case k < 9 || group == "":
		return "POST", "/Groups", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G%d","members":[{"value":%q}]}`, n, strings.TrimPrefix(one, "/Users/"))
	case k < 11:
		id := strings.TrimPrefix(one, "/Users/")
		return "PATCH", group, patch([]string{fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, id), fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, id),
			fmt.Sprintf(`{"op":"replace","path":"displayName","value":"H%d"}`, rnd.IntN(3))}[rnd.IntN(3)])
	}
	return "DELETE", group, ""
}

func TestWhoeverFollowsTheEventsHasWhatThereIs(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			f := newFollower(t, kind)
			f.connect(t)
			f.prompt = true
			rnd := rand.New(rand.NewPCG(9967, uint64(len(kind))))
			var all []string
			for n := range 90 {
				verb, path, body := f.act(rnd, n)
				later := rnd.IntN(2) == 0 && !strings.Contains(body, "password") // which is kept nowhere
				all = append(all, fmt.Sprintf("%s %s %s later %v", verb, path, body, later))
				status, head, _ := f.ask(t, verb, path, body, later)
				if later != (status == 202) || status >= 300 {
					t.Fatalf("%s: %d", all[n], status)
				}
				f.settle(t)
				f.follow(t)
				if later {
					if a := f.answers[head.Get("Set-Txn")]; a == nil || !strings.HasPrefix(fmt.Sprint(a["status"]), "2") || a["method"] != verb {
						t.Fatalf("%s: answered %v", all[n], a)
					}
				}
				// Whoever is deleted is in no group any more. That is no change of the group's own: receivers know it as we do.
				for uri, r := range f.copy {
					if list, _ := r["members"].([]any); list != nil && verb == "DELETE" {
						list = slices.DeleteFunc(slices.Clone(list), func(m any) bool { return "/Users/"+fmt.Sprint(m.(map[string]any)["value"]) == path })
						if f.copy[uri]["members"] = list; len(list) == 0 {
							delete(f.copy[uri], "members")
						}
					}
				}
				if want := f.state(t); !reflect.DeepEqual(f.copy, want) {
					t.Fatalf("after\n%s\nthe copy is\n%v\nand there is\n%v", strings.Join(all[max(0, n-3):], "\n"), f.copy, want)
				}
			}
			if f.heard < 90 {
				t.Errorf("only %d events", f.heard)
			}
		})
	}
}

func TestWhoeverFollowsLateHasTheSame(t *testing.T) {
	f := newFollower(t, store.SQLite)
	f.connect(t)
	rnd := rand.New(rand.NewPCG(9967, 1))
	for n := range 60 {
		verb, path, body := f.act(rnd, n)
		if status, _, _ := f.ask(t, verb, path, body, rnd.IntN(2) == 0); status >= 300 && status != 404 {
			t.Fatal(status)
		}
		if f.settle(t); n%15 == 0 {
			f.copy = f.state(t) // only to choose from
		}
	}
	f.copy = map[string]map[string]any{}
	f.settle(t)
	f.follow(t)
	want := f.state(t)
	if !slices.Equal(slices.Sorted(maps.Keys(f.copy)), slices.Sorted(maps.Keys(want))) {
		t.Errorf("the copy has %v\nand there is %v", slices.Sorted(maps.Keys(f.copy)), slices.Sorted(maps.Keys(want)))
	}
}
