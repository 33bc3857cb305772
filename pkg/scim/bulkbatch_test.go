package scim_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// sized notes how many writes came at once.
type sized struct {
	*memstore.Store
	sizes *[]int
}

func (s sized) Apply(ctx context.Context, writes []scim.Write) []scim.Result {
	*s.sizes = append(*s.sizes, len(writes))
	return s.Store.Apply(ctx, writes)
}

// plain hides that a store is a Batcher.
type plain struct{ scim.Store }

// Missing implements scim.Resolver.
func (p plain) Missing(ctx context.Context, ids []string) ([]string, error) {
	return p.Store.(scim.Resolver).Missing(ctx, ids)
}

// bulkOn returns what a server answers to bulk requests, and how many writes its stores got at once.
func bulkOn(t *testing.T, together bool) (send func(body string) reply, sizes *[]int) {
	t.Helper()
	db := memstore.New()
	sizes = &[]int{}
	wrap := func(s *memstore.Store) scim.Store {
		if together {
			return sized{s, sizes}
		}
		return plain{s}
	}
	srv, err := scim.NewServer(scim.Config{
		BaseURL: "https://x.example/scim/v2",
		Auth:    func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: schema.Standard()}, nil },
		Types: []scim.ResourceType{
			{Name: "User", Endpoint: "/Users", Schema: schema.User(), Store: wrap(db.Type(userType(t)))},
			{Name: "Group", Endpoint: "/Groups", Schema: schema.Group(), Store: wrap(db.Type(groupType(t)))},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, srv: httptest.NewServer(srv)}
	t.Cleanup(b.srv.Close)
	return func(body string) reply {
		t.Helper()
		return b.want(200, "", "POST", "/Bulk", body)
	}, sizes
}

func user(n int) string {
	return post("/Users", fmt.Sprint("u", n), fmt.Sprintf(`{"userName":"user%d"}`, n))
}

func TestABulkOfManyIsDoneInBatchesThatKeepTheOrder(t *testing.T) {
	send, sizes := bulkOn(t, true)
	var ops []string
	for n := range 250 {
		ops = append(ops, user(n))
	}
	got := send(inBulk(ops...))
	if want := []int{100, 100, 50}; !slices.Equal(*sizes, want) {
		t.Errorf("batches of %v, want %v", *sizes, want)
	}
	if n := strings.Count(got.states(), "201"); n != 250 {
		t.Errorf("%d of 250 users were created: %s", n, got.body)
	}
	*sizes = nil
	member := `{"displayName":"g","members":[{"value":"bulkId:u900"}]}`
	got = send(inBulk(user(900), user(901), post("/Groups", "g", member), user(0), `{"method":"DELETE","path":"/Users/bulkId:u900"}`, user(902)))
	if got.states() != "201, 201, 201, 409 uniqueness, 204, 201" {
		t.Errorf("states %s", got.states())
	}
	if want := []int{2, 3}; !slices.Equal(*sizes, want) {
		t.Errorf("batches of %v, want %v: an operation must wait for what it refers to", *sizes, want)
	}
}

func TestFailOnErrorsStopsInTheMiddleOfABatch(t *testing.T) {
	for _, together := range []bool{true, false} {
		send, sizes := bulkOn(t, together)
		send(inBulk(user(0)))
		ops := []string{user(1), strings.Replace(user(0), `"u0"`, `"a"`, 1), `{"method":"POST","path":"/Users","bulkId":"b","data":{}}`, user(2), strings.Replace(user(0), `"u0"`, `"c"`, 1), user(3)}
		request := func(failOn int) string {
			return strings.Replace(inBulk(ops...), `"Operations"`, fmt.Sprintf(`"failOnErrors":%d,"Operations"`, failOn), 1)
		}
		got := send(request(3))
		if got.states() != "201, 409 uniqueness, 400 invalidValue, 201, 409 uniqueness" {
			t.Errorf("together %t: states %s", together, got.states())
		}
		got = send(request(1))
		if got.states() != "409 uniqueness" {
			t.Errorf("together %t: states %s", together, got.states())
		}
		if got := send(inBulk(user(3))); got.states() != "201" {
			t.Errorf("together %t: an operation after the last failure was done: %s", together, got.body)
		}
		if together && len(*sizes) == 0 {
			t.Error("nothing was done in a batch")
		}
	}
}

func TestADeletionIsNotBatchedWithWhatNamesTheDeleted(t *testing.T) {
	send, sizes := bulkOn(t, true)
	got := send(inBulk(post("/Groups", "a", `{"displayName":"a"}`)))
	id := regexp.MustCompile(`/Groups/([^"]+)"`).FindStringSubmatch(string(got.body))[1]
	got = send(inBulk(`{"method":"DELETE","path":"/Groups/`+id+`"}`, post("/Groups", "b", `{"displayName":"b","members":[{"value":"`+id+`"}]}`)))
	if got.states() != "204, 400 invalidValue" {
		t.Errorf("a group was given a member that was deleted before: %s (batches %v)", got.body, *sizes)
	}
}

// names, not ids, tell what a bulk request came to: ids are each server's own.
var ids = regexp.MustCompile(`[0-9]{8}-[a-z0-9]{8}`)

func TestABulkAnswersTheSameWithAndWithoutBatches(t *testing.T) {
	for range 30 {
		seed := rand.Uint64()
		draw := rand.New(rand.NewPCG(seed, 7))
		var known []string // names of operations that create, of requests before
		type server struct {
			send func(string) reply
			id   map[string]string
		}
		var servers [2]server
		for i := range servers {
			send, _ := bulkOn(t, i == 0)
			servers[i] = server{send, map[string]string{}}
		}
		for round := range 4 {
			type op struct{ text, target string }
			var ops []op
			var made []string
			for n := range 1 + draw.IntN(25) {
				bulkID := fmt.Sprint(round, "x", n)
				target, ref := "", ""
				if len(known) > 0 && draw.IntN(2) == 0 {
					target = known[draw.IntN(len(known))]
				}
				if len(made) > 0 {
					ref = made[draw.IntN(len(made))]
				}
				switch k := draw.IntN(8); {
				case k < 4 || target == "" && ref == "":
					ops = append(ops, op{post("/Users", bulkID, fmt.Sprintf(`{"userName":"user%d"}`, draw.IntN(30))), ""})
					made = append(made, bulkID)
				case k == 4:
					ops = append(ops, op{fmt.Sprintf(`{"method":"PATCH","path":"/Users/%s","data":{"Operations":[{"op":"replace","path":"title","value":"t%d"}]}}`, naming(target, ref), draw.IntN(3)), target})
				case k == 5:
					ops = append(ops, op{fmt.Sprintf(`{"method":"PUT","path":"/Users/%s","data":{"userName":"user%d"}}`, naming(target, ref), draw.IntN(30)), target})
				case k == 6:
					ops = append(ops, op{fmt.Sprintf(`{"method":"DELETE","path":"/Users/%s"}`, naming(target, ref)), target})
				default:
					ops = append(ops, op{post("/Groups", "g"+bulkID, fmt.Sprintf(`{"displayName":"g","members":[{"value":"%s"}]}`, naming(target, ref))), target})
				}
			}
			failOn := draw.IntN(4)
			var answers [2]string
			for i := range servers {
				var texts []string
				for _, o := range ops {
					text := o.text
					if o.target != "" {
						text = strings.ReplaceAll(text, "@"+o.target+"@", servers[i].id[o.target])
					}
					texts = append(texts, text)
				}
				got := servers[i].send(strings.Replace(inBulk(texts...), `"Operations"`, fmt.Sprintf(`"failOnErrors":%d,"Operations"`, failOn), 1))
				answers[i] = ids.ReplaceAllString(string(got.body), "ID")
				list, _ := got.json["Operations"].([]any)
				for _, e := range list {
					o := e.(map[string]any)
					location, _ := o["location"].(string)
					if id, ok := strings.CutPrefix(location, "https://x.example/scim/v2/Users/"); ok && o["method"] == "POST" && o["status"] == "201" {
						servers[i].id[o["bulkId"].(string)] = id
					}
				}
			}
			if answers[0] != answers[1] {
				t.Fatalf("seed %d: %v, failOnErrors %d\nbatches %s\nwithout %s", seed, ops, failOn, answers[0], answers[1])
			}
			for _, m := range made {
				if servers[0].id[m] != "" {
					known = append(known, m)
				}
			}
		}
	}
}

// naming names a resource of an earlier request, or one that this request makes.
func naming(known, made string) string {
	if known != "" {
		return "@" + known + "@"
	}
	return "bulkId:" + made
}
