package provision

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// statements notes what is sent to the database while it is on.
type statements struct {
	mu   sync.Mutex
	on   bool
	all  []string
	last string
	rest chan struct{} // closed when what was heard of a connector first is written down, which happens beside the request
}

func (s *statements) note(sql string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rest != nil && strings.EqualFold(sql, "commit") && strings.Contains(s.last, "connector_heard") {
		close(s.rest)
		s.rest = nil
	}
	s.last = sql
	if s.on {
		s.all = append(s.all, strings.Join(strings.Fields(sql), " "))
	}
}

// warm makes the first request of a minute, after which nothing is written beside requests.
func (s *statements) warm(do func()) {
	rest := make(chan struct{})
	s.mu.Lock()
	s.rest = rest
	s.mu.Unlock()
	do()
	<-rest
}

// during returns the statements that are sent while fn runs, but for the look at the token.
func (s *statements) during(fn func()) (sent []string) {
	s.mu.Lock()
	s.on, s.all = true, nil
	s.mu.Unlock()
	fn()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
	for _, sql := range s.all {
		if !strings.Contains(sql, "connector_tokens") {
			sent = append(sent, sql)
		}
	}
	return sent
}

// traced is a bench whose statements are noted.
func traced(t *testing.T, kind store.Kind) (*bench, *statements) {
	t.Helper()
	s, b := &statements{}, &bench{T: t, now: noon, log: &bytes.Buffer{}, policy: policy.Default()}
	b.store = storetest.Open(t, kind, func(c *store.Config) { c.Now, c.Trace = func() time.Time { return b.now }, s.note })
	b.conf = Config{
		Store: b.store, Policies: b, Base: "https://id.example.org", Corporate: []string{"contoso.example"}, Region: "DE",
		Now: func() time.Time { return b.now }, Log: slog.New(slog.NewTextHandler(b.log, nil)), Hash: b.store.DestinationHash,
	}
	h, err := New(b.conf)
	if err != nil {
		t.Fatal(err)
	}
	b.srv = httptest.NewServer(h)
	t.Cleanup(b.srv.Close)
	return b, s
}

func bulkUsers(from, n int, more string) string {
	var ops []string
	for i := from; i < from+n; i++ {
		ops = append(ops, fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"u%d","data":%s}`, i, body(fmt.Sprint("user", i), more, "")))
	}
	return `{"Operations":[` + strings.Join(ops, ",") + `]}`
}

func TestANewPersonIsOneRoundTripAndOneCommit(t *testing.T) {
	b, sent := traced(t, store.PostgreSQL)
	c := b.connector("idp", client.TrustAll, client.PresetEntra)
	sent.warm(func() { c.want(201, "POST", "/Users", body("first", "", "")) }) // from here on the token is known
	full := `,"externalId":"x1","displayName":"Ada Lovelace","name":{"givenName":"Ada","familyName":"Lovelace"},"active":true,
		"emails":[{"value":"ada@contoso.example","type":"work","primary":true}],"phoneNumbers":[{"value":"+49 171 3920001","type":"mobile"}]`
	if all := sent.during(func() { c.want(201, "POST", "/Users", body("ada", full, "")) }); len(all) != 1 {
		t.Errorf("%d statements, want 1:\n%s", len(all), strings.Join(all, "\n"))
	}
	if n, err := b.store.EventsOf(t.Context(), c.want(200, "GET", `/Users?filter=userName%20eq%20%22ada%22`, "").at("Resources").([]any)[0].(map[string]any)["id"].(string), "", 10); err != nil || len(n) != 1 {
		t.Errorf("%d events, %v", len(n), err)
	}
	if all := sent.during(func() { c.want(200, "POST", "/Bulk", bulkUsers(0, 100, "")) }); len(all) != 1 {
		t.Errorf("a bulk of 100: %d statements, want 1:\n%s", len(all), strings.Join(all, "\n"))
	}
}

// The fourth person with one address is refused it, whether they come one by one or at once.
func TestABulkCountsWhoSharesADestinationAsItGoes(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustAll, client.PresetStandard)
		var ops []string
		for i := range 5 {
			ops = append(ops, fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"u%d","data":%s}`, i, body(fmt.Sprint("user", i), "", `"recoveryEmail":"shared@mail.example"`)))
		}
		r := c.want(200, "POST", "/Bulk", `{"Operations":[`+strings.Join(ops, ",")+`]}`)
		var states []string
		for _, op := range r.at("Operations").([]any) {
			location := op.(map[string]any)["location"].(string)
			all, err := b.store.Methods(b.Context(), location[strings.LastIndexByte(location, '/')+1:])
			if err != nil || len(all) != 1 {
				b.Fatalf("%d methods, %v", len(all), err)
			}
			states = append(states, string(all[0].Status))
		}
		if got, want := strings.Join(states, " "), strings.TrimSpace(strings.Repeat(string(method.Active)+" ", 3)+strings.Repeat(string(method.Disabled)+" ", 2)); got != want {
			b.Errorf("states %s, want %s", got, want)
		}
	})
}

// Sixteen writers PATCH one attribute each of a hundred people, all at once: everybody is answered with success, and every
// change is there in the end.
func TestManyWritersOfTheSamePeopleLoseNothing(t *testing.T) {
	const writers, people = 16, 100
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		r := c.want(200, "POST", "/Bulk", bulkUsers(0, people, ""))
		var paths []string
		for _, op := range r.at("Operations").([]any) {
			location := op.(map[string]any)["location"].(string)
			paths = append(paths, location[strings.LastIndex(location, "/Users/"):])
		}
		attrs := []string{"title", "nickName", "displayName", "locale", "timezone", "userType", "profileUrl", "preferredLanguage", "name.givenName", "name.familyName",
			"name.middleName", "name.formatted", "name.honorificPrefix", "name.honorificSuffix",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division"}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range people {
					path := paths[(i+w*3)%people] // they meet all the time
					if r := c.do("PATCH", path, fmt.Sprintf(`{"Operations":[{"op":"replace","path":"%s","value":"%s"}]}`, attrs[w], value(w))); r.status/100 != 2 {
						b.Errorf("PATCH of %s: %d %s", attrs[w], r.status, r.body)
						return
					}
				}
			})
		}
		wg.Wait()
		for _, path := range paths {
			got := c.want(200, "GET", path, "")
			for w := range writers {
				if !strings.Contains(got.body, `"`+value(w)+`"`) {
					b.Errorf("%s: the change of %s is lost: %s", path, attrs[w], got.body)
				}
			}
			if want := fmt.Sprintf(`W/"%d"`, 1+writers); got.header.Get("ETag") != want {
				b.Errorf("%s: version %s, want %s", path, got.header.Get("ETag"), want)
			}
		}
	})
}

// value is what a writer writes: a language, a zone or an address where the attribute wants one.
func value(writer int) string {
	special := map[int]string{3: "de-DE", 4: "Europe/Berlin", 6: "https://contoso.example/7", 7: "en-GB"}
	if v, ok := special[writer]; ok {
		return v
	}
	return fmt.Sprint("written by ", writer)
}
