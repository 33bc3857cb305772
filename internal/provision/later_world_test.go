package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

// later sends a request whose answer is wanted later, and returns the transaction it was given.
func (a as) later(verb, path, body string, header ...string) (txn string, r reply) {
	a.Helper()
	r = a.want(202, verb, path, body, append([]string{"Prefer", "respond-async, wait=10"}, header...)...)
	if txn = r.header.Get("Set-Txn"); r.body != "" || txn == "" || r.header.Get("Preference-Applied") != "respond-async" || r.header.Get("Content-Type") != "" {
		a.Fatalf("%s %s: %v %q", verb, path, r.header, r.body)
	}
	return txn, r
}

// worker is what carries out what was kept.
func (b *bench) worker(change ...func(*Config)) *Server {
	b.Helper()
	c := b.conf
	for _, f := range change {
		f(&c)
	}
	s, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// work does what is due, as the pool of workers does, until nothing is left, and returns how often something had to wait.
func (b *bench) work(s *Server) (waited int) {
	b.Helper()
	for range 10_000 {
		rows, err := b.store.Claim(b.Context(), b.now, "worker", []string{Kind}, 4, time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		if len(rows) == 0 {
			left, err := b.store.Backlog(b.Context(), b.now)
			if err != nil {
				b.Fatal(err)
			}
			if !slices.ContainsFunc(left, func(l store.Load) bool { return l.Kind == Kind && l.Later+l.Due > 0 }) {
				return waited
			}
			b.now = b.now.Add(lastLook)
			continue
		}
		for _, w := range rows {
			var later event.Later
			err := s.Handlers()[Kind](b.Context(), event.Item{ID: w.ID, Kind: w.Kind, Ref: w.Ref, Tries: w.Tries - 1})
			switch {
			case err == nil:
				err = b.store.Done(b.Context(), w)
			case errors.As(err, &later):
				waited++
				err = b.store.Retry(b.Context(), w, b.now.Add(later.After), later.Class)
			default:
				err = b.store.Retry(b.Context(), w, b.now.Add(time.Second), "error")
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Fatal("there is always more to do")
	return 0
}

// answers are the answers of one transaction by operation, "" for a request of its own: status, and bulkId or error.
func (b *bench) answers(txn string, operations int) map[string]string {
	b.Helper()
	out := map[string]string{}
	names := []string{txn}
	for i := range operations {
		names = append(names, fmt.Sprintf("%s:%d", txn, i))
	}
	for _, name := range names {
		all, err := b.store.EventsIn(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range all {
			if e.Type != event.RequestAnswered {
				continue
			}
			at := strings.TrimPrefix(strings.TrimPrefix(name, txn), ":")
			if out[at] != "" {
				b.Errorf("%s is answered twice", name)
			}
			out[at] = strings.TrimSpace(fmt.Sprint(e.Data["status"], " ", e.Private["bulkId"]))
			if r := e.Private["response"]; r != "" {
				var doc struct{ Status, Detail string }
				if err := json.Unmarshal([]byte(r), &doc); err != nil || doc.Status != fmt.Sprint(e.Data["status"]) {
					b.Errorf("answer %s: %v", r, err)
				}
				out[at] += " " + doc.Detail
			}
		}
	}
	return out
}

// kept counts what waits.
func (b *bench) kept() (n int) {
	b.Helper()
	loads, err := b.store.Backlog(b.Context(), b.now)
	if err != nil {
		b.Fatal(err)
	}
	for _, l := range loads {
		if l.Kind == Kind {
			n += l.Due + l.Later + l.Leased + l.Dead
		}
	}
	return n
}

func (a as) named(name string) []any {
	a.Helper()
	list, _ := a.want(200, "GET", `/Users?filter=userName+eq+"`+name+`"`, "").json["Resources"].([]any)
	return list
}

// hundred is a bulk request: people, a group that names some of them, and some that cannot be.
func hundred(name string) string {
	var ops []string
	members := ""
	for i := range 97 {
		ops = append(ops, fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"u%d","data":%s}`, i, body(fmt.Sprintf("%s-%d", name, i), "", "")))
		members += fmt.Sprintf(`{"value":"bulkId:u%d"},`, i)
	}
	ops = append(ops, `{"method":"POST","path":"/Groups","bulkId":"g","data":`+groupHead+`"`+name+`","members":[`+strings.TrimSuffix(members, ",")+`]}}`,
		`{"method":"DELETE","path":"/Users/nobody"}`,
		`{"method":"PATCH","path":"/Users/bulkId:u3","data":`+patch(set("title", `"Third"`))+`}`)
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[` + strings.Join(ops, ",") + `]}`
}

// sawHundred checks what became of it: every operation was done once and has one answer.
func (a as) sawHundred(name, txn string) {
	a.Helper()
	got := a.answers(txn, 100)
	for i := range 97 {
		if want := fmt.Sprintf("201 u%d", i); got[fmt.Sprint(i)] != want {
			a.Errorf("operation %d: %q, want %q", i, got[fmt.Sprint(i)], want)
		}
	}
	if len(got) != 100 || got["97"] != "201 g" || !strings.HasPrefix(got["98"], "404") || got["99"] != "200" {
		a.Errorf("%d answers; the last %q, %q, %q", len(got), got["97"], got["98"], got["99"])
	}
	if n := a.want(200, "GET", `/Users?count=0&filter=userName+sw+"`+name+`-"`, "").at("totalResults"); n != 97.0 {
		a.Errorf("%v people", n)
	}
	groups := a.want(200, "GET", `/Groups?filter=displayName+eq+"`+name+`"`, "").json["Resources"].([]any)
	if len(groups) != 1 || len(groups[0].(map[string]any)["members"].([]any)) != 97 {
		a.Errorf("%d groups", len(groups))
	}
	if third := a.named(name + "-3"); len(third) != 1 || third[0].(map[string]any)["title"] != "Third" {
		a.Errorf("the third: %v", third)
	}
}

// forgetful is a store whose answer gets lost: what it was to write is written, and it says that it was not.
type forgetful struct {
	Store
	mu    sync.Mutex
	every int
	n     int
}

func (f *forgetful) lose(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; err == nil && f.n%f.every == 0 {
		return errors.New("the connection was lost")
	}
	return err
}

func (f *forgetful) CreatePerson(ctx context.Context, p *account.Person, all []method.Method, events ...event.Event) error {
	return f.lose(f.Store.CreatePerson(ctx, p, all, events...))
}

func (f *forgetful) CreateGroup(ctx context.Context, g *account.Group, members []Member, events ...event.Event) error {
	return f.lose(f.Store.CreateGroup(ctx, g, members, events...))
}

func (f *forgetful) RecordAnswer(ctx context.Context, e event.Event) error {
	return f.lose(f.Store.RecordAnswer(ctx, e))
}
