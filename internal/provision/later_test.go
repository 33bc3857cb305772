package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

func TestARequestIsCarriedOutAfterItWasAccepted(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		worker := b.worker()
		txn, r := c.later("POST", "/Users", body("ada", `,"displayName":"Ada"`, ""))
		if r.header.Get("Location") != "" || len(c.named("ada")) != 0 {
			t.Error("done at once, or said where it will be")
		}
		b.work(worker)
		found := c.named("ada")
		if got := b.answers(txn, 1); len(found) != 1 || !maps.Equal(got, map[string]string{"": "201"}) {
			t.Fatalf("answers %v, found %v", got, found)
		}
		id := found[0].(map[string]any)["id"].(string)
		where := "https://id.example.org/scim/v2/Users/" + id
		for _, step := range []struct{ verb, body, status string }{
			{"PUT", body("ada", `,"displayName":"Ada B."`, ""), "200"},
			{"PATCH", patch(set("title", `"Countess"`)), "200"},
			{"PATCH", patch(set("title", `"Countess"`)), "200"}, // it is so already: nothing is written, and it is answered
			{"DELETE", "", "204"},
			{"DELETE", "", "404 no such resource"},
		} {
			txn, r := c.later(step.verb, "/Users/"+id, step.body)
			if r.header.Get("Location") != where {
				t.Errorf("%s: Location %q", step.verb, r.header.Get("Location"))
			}
			b.work(worker)
			if got := b.answers(txn, 1)[""]; got != step.status {
				t.Errorf("%s: answer %q, want %q", step.verb, got, step.status)
			}
			// What the act did and its answer are one transaction, as receivers are told.
			all, err := b.store.EventsIn(b.Context(), txn)
			if err != nil || step.verb == "PUT" && len(all) != 2 {
				t.Errorf("%s: %v, %v", step.verb, types(all), err)
			}
		}
		if b.kept() != 0 {
			t.Error("something is kept for ever")
		}
	})
}

func TestAPreconditionIsKeptWithTheRequest(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		made := c.want(201, "POST", "/Users", body("ada", "", ""))
		path, tag := "/Users/"+made.id(), made.header.Get("ETag")
		first, _ := c.later("PATCH", path, patch(set("title", `"A"`)), "If-Match", tag)
		second, _ := c.later("PATCH", path, patch(set("title", `"B"`)), "If-Match", tag)
		b.work(b.worker())
		if got := c.want(200, "GET", path, "").at("title"); got != "A" {
			t.Errorf("title %v", got)
		}
		if a, z := b.answers(first, 1)[""], b.answers(second, 1)[""]; a != "200" || !strings.HasPrefix(z, "412") {
			t.Errorf("answers %q, %q", a, z)
		}
	})
}

func TestABulkRequestOfAHundredIsAnsweredByOperation(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		txn, r := c.later("POST", "/Bulk", hundred("wave"))
		if r.header.Get("Location") != "" {
			t.Error("a bulk request is nowhere")
		}
		b.work(b.worker())
		c.sawHundred("wave", txn)
	})
}

func TestWhatWasDoneAndNotHeardOfIsNotDoneTwice(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		txn, _ := c.later("POST", "/Bulk", hundred("wave"))
		b.work(b.worker(func(c *Config) { c.Store = &forgetful{Store: c.Store, every: 7} }))
		c.sawHundred("wave", txn)
	})
}

func TestManyWorkersOnOneRequestDoEachOperationOnce(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		txn, _ := c.later("POST", "/Bulk", hundred("wave"))
		rows, err := b.store.Claim(t.Context(), b.now, "worker", []string{Kind}, 1, time.Minute)
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		// Leases run out and workers go on all the same: all of them believe that it is theirs.
		var racing sync.WaitGroup
		for range 16 {
			racing.Go(func() {
				s, err := New(b.conf)
				for range 20 {
					if err == nil {
						err = s.carryOut(context.Background(), event.Item{ID: rows[0].ID, Kind: Kind, Ref: rows[0].Ref})
					}
					if _, again := errors.AsType[event.Later](err); !again {
						break
					}
					err = nil
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		racing.Wait()
		c.sawHundred("wave", txn)
	})
}

func TestRequestsOfAConnectorAreCarriedOutInTheirOrder(t *testing.T) {
	on(t, func(b *bench) {
		c, other := b.connector("idp", client.TrustOne, client.PresetStandard), b.connector("hr", client.TrustOne, client.PresetStandard)
		path := "/Users/" + c.want(201, "POST", "/Users", body("ada", "", "")).id()
		for i := range 30 {
			c.later("PATCH", path, patch(set("title", fmt.Sprintf(`"%02d"`, i))))
		}
		// Somebody else's does not wait for them.
		txn, _ := other.later("POST", "/Users", body("bob", "", ""))
		rows, err := b.store.Claim(t.Context(), b.now, "worker", []string{Kind}, 100, time.Minute)
		if err != nil || len(rows) != 31 {
			t.Fatal(len(rows), err)
		}
		slices.Reverse(rows)
		worker := b.worker()
		for n, w := range rows {
			err := worker.carryOut(t.Context(), event.Item{ID: w.ID, Kind: Kind, Ref: w.Ref})
			if last := n == 30; last != (err == nil) && n != 0 || n == 0 && err != nil {
				t.Errorf("row %d of the reversed line: %v", n, err)
			}
			if err == nil {
				err = b.store.Done(t.Context(), w)
			} else {
				err = b.store.Retry(t.Context(), w, b.now.Add(time.Hour), "in-order")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := b.answers(txn, 1)[""]; got != "201" {
			t.Errorf("the other connector's: %q", got)
		}
		before := b.now
		b.work(worker) // each makes the next one due: nobody waits an hour
		if got := c.want(200, "GET", path, "").at("title"); got != "29" || b.now.Sub(before) > time.Minute {
			t.Errorf("title %v after %s", got, b.now.Sub(before))
		}
		versions := []float64{}
		for _, e := range b.events(strings.TrimPrefix(path, "/Users/")) {
			if e.Type == event.PersonUpdated {
				versions = append(versions, e.Data["version"].(float64))
			}
		}
		if len(versions) != 30 || !slices.IsSorted(versions) {
			t.Errorf("versions %v", versions)
		}
	})
}

func TestWhoeverMayDoNothingAnyMoreIsRefusedLater(t *testing.T) {
	on(t, func(b *bench) {
		gone, ended, reader, groups := b.connector("gone", client.TrustOne, client.PresetStandard), b.connector("ended", client.TrustOne, client.PresetStandard),
			b.connector("reader", client.TrustOne, client.PresetStandard), b.connector("groups", client.TrustOne, client.PresetStandard)
		keyed := b.connector("keyed", client.TrustOne, client.PresetStandard)
		txns := map[string]string{}
		for name, c := range map[string]as{"gone": gone, "ended": ended, "reader": reader, "groups": groups, "keyed": keyed} {
			txns[name], _ = c.later("POST", "/Bulk", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[
				{"method":"POST","path":"/Users","bulkId":"a","data":`+body(name+"-a", "", "")+`},{"method":"POST","path":"/Groups","bulkId":"b","data":`+groupHead+`"`+name+`"}}]}`)
		}
		if err := b.store.DeleteConnector(t.Context(), gone.id); err != nil {
			t.Fatal(err)
		}
		ended.is(func(c *client.Connector) { c.Tokens = nil })
		keyed.is(func(c *client.Connector) { c.Tokens, c.JWKS = nil, "https://idp.example/jwks" }) // it signs for tokens: it may go on
		reader.is(func(c *client.Connector) { c.ReadOnly = true })
		groups.is(func(c *client.Connector) { c.Uses = []client.Use{client.UseGroups} })
		b.work(b.worker())
		for name, want := range map[string][2]string{
			"gone":   {"403 a the client that sent it may do nothing any more", "403 b the client that sent it may do nothing any more"},
			"ended":  {"403 a the client that sent it may do nothing any more", "403 b the client that sent it may do nothing any more"},
			"reader": {"403 a this token may only read", "403 b this token may only read"},
			"groups": {"403 a this token may not use /Users", "201 b"},
			"keyed":  {"201 a", "201 b"},
		} {
			if got := b.answers(txns[name], 2); got["0"] != want[0] || got["1"] != want[1] {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		if b.kept() != 0 {
			t.Error("something is kept for ever")
		}
	})
}

// broken is a store that can write nobody.
type broken struct{ Store }

func (broken) CreatePerson(context.Context, *account.Person, []method.Method, ...event.Event) error {
	return errors.New("the disk is full")
}

func TestWhatCannotBeCarriedOutEndsAndLetsOthersPass(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		path := "/Users/" + c.want(201, "POST", "/Users", body("ada", "", "")).id()
		bad, _ := c.later("POST", "/Users", body("bob", "", ""))
		good, _ := c.later("PATCH", path, patch(set("title", `"T"`)))
		b.work(b.worker(func(c *Config) { c.Store = broken{c.Store} }))
		if got := b.answers(bad, 1)[""]; got != "503 it could not be carried out" {
			t.Errorf("answer %q", got)
		}
		if got := b.answers(good, 1)[""]; got != "200" {
			t.Errorf("the next one: %q", got)
		}
		// One that nobody came to for a day is too late: the client has done something else by then.
		late, _ := c.later("PATCH", path, patch(set("title", `"late"`)))
		b.now = b.now.Add(maxLate + time.Minute)
		b.work(b.worker())
		if got := b.answers(late, 1)[""]; !strings.HasPrefix(got, "503") || c.want(200, "GET", path, "").at("title") != "T" {
			t.Errorf("answer %q", got)
		}
	})
}

func TestWhatIsWrongAtOnceIsSaidAtOnce(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		async := []string{"Prefer", `respond-async`}
		for _, r := range []struct {
			status           int
			verb, path, body string
		}{
			{400, "POST", "/Users", `{`}, {400, "POST", "/Users", body("ada", `,"active":"perhaps"`, "")}, {404, "POST", "/Nothing", body("ada", "", "")},
			{405, "POST", "/Users/x", `{}`}, {400, "POST", "/Bulk", `{"Operations":[]}`}, {400, "PATCH", "/Users/x", `{"Operations":[{"op":"fly"}]}`},
			{200, "GET", "/Users", ""}, {200, "POST", "/Users/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}`},
		} {
			c.want(r.status, r.verb, r.path, r.body, async...)
		}
		c.want(415, "POST", "/Users", body("ada", "", ""), "Prefer", "respond-async", "Content-Type", "text/plain")
		c.want(201, "POST", "/Users", body("ada", "", ""), "Prefer", "return=minimal, wait=5")
		// A circle is made at once and whole.
		circle := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[
			{"method":"POST","path":"/Groups","bulkId":"a","data":` + groupHead + `"a","members":[{"value":"bulkId:b"}]}},
			{"method":"POST","path":"/Groups","bulkId":"b","data":` + groupHead + `"b","members":[{"value":"bulkId:a"}]}}]}`
		c.want(200, "POST", "/Bulk", circle, async...)
		if b.kept() != 0 {
			t.Error("something was kept")
		}
		c.is(func(c *client.Connector) { c.ReadOnly = true })
		c.want(403, "POST", "/Users", body("bob", "", ""), async...)
		c.want(403, "POST", "/Bulk", circle, async...)
		if got := c.want(200, "GET", "/ServiceProviderConfig", "").at("securityEvents", "asyncRequest"); got != "none" {
			t.Errorf("asyncRequest %v for one that may only read", got)
		}
		c.is(func(c *client.Connector) { c.ReadOnly = false })
		events := c.want(200, "GET", "/ServiceProviderConfig", "").at("securityEvents").(map[string]any)
		if list := events["eventUris"].([]any); events["asyncRequest"] != "request" || len(list) != len(client.Feeds()) || !slices.Contains(list, any("urn:ietf:params:scim:event:misc:asyncresp")) {
			t.Errorf("securityEvents %v", events)
		}
	})
}

func TestWhatIsKeptIsBoundedAndSealed(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	c.later("POST", "/Users", body("ada", `,"displayName":"canary-name"`, `"recoveryEmail":"canary@mail.example"`))
	c.later("PATCH", "/Users/canary-id", patch(set("title", `"canary-title"`)))
	files := 0
	err := filepath.WalkDir(filepath.Dir(strings.TrimPrefix(b.url, "file:")), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("canary")) {
			t.Errorf("%s holds what was sent, in clear", filepath.Base(path))
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatal(files, err)
	}
	for range client.MaxRequests - 2 {
		if err := b.store.KeepRequest(t.Context(), &client.Request{Connector: c.id, At: b.now, Body: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.want(http.StatusTooManyRequests, "POST", "/Users", body("bob", "", ""), "Prefer", "respond-async"); r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.connector("hr", client.TrustOne, client.PresetStandard).later("POST", "/Users", body("bob", "", "")) // another's line
}

func TestTwoAreNeverOneAnswer(t *testing.T) {
	const txn = "019dbb30-5d7e-7001-8d3c-000000000001"
	seen := map[string]bool{}
	for _, name := range []string{txn, txn + ":0", txn + ":1", txn + ":10", "019dbb30-5d7e-7001-8d3c-000000000002"} {
		id, err := answerID(name)
		again, _ := answerID(name)
		if err != nil || seen[id] || id != again || id[14] != '7' || id[:13] != txn[:13] {
			t.Errorf("%s: %s, %v", name, id, err)
		}
		seen[id] = true
	}
	for _, bad := range []string{"", "x", strings.Repeat("z", 36)} {
		if _, err := answerID(bad); err == nil {
			t.Errorf("%q has an answer", bad)
		}
	}
}
