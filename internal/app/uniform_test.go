package app

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	virtual "github.com/descope/virtualwebauthn"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/work"
)

// gate lets workers work only while it is open: beside a request their statements would be counted with its own.
type gate struct {
	work.Queue
	mu   sync.RWMutex // held while something is claimed, so that closing waits for a claim under way
	open bool
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
}

// Claim claims nothing while the gate is closed.
func (g *gate) Claim(ctx context.Context, now time.Time, owner string, kinds, held []string, n int, lease time.Duration) ([]event.Item, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if !g.open {
		return nil, nil
	}
	return g.Queue.Claim(ctx, now, owner, kinds, held, n, lease)
}

// Wake wakes often: the hint of a commit may have come while the gate was closed.
func (g *gate) Wake() <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(5*time.Millisecond, func() { close(c) })
	return c
}

// classes are the accounts a stranger must not be able to tell apart, the one that could finish first.
var classes = []string{"capable", "absent", "disabled", "unregistered", "throttled", "without mail", "protected", "compromised", "shut at work"}

const classPolicy = `
protected: {people: [protected@alder.example], deny: true}
rules: [{name: everyone, hold_new: 0s, hold_after_reset: 0s}]`

// statements keeps the texts of what a server asks its database.
type statements struct {
	mu   sync.Mutex
	text []string
}

// frame are statements that group others; how many callers share a commit of SQLite is chance.
var frame = regexp.MustCompile(`(?i)^\s*(begin|commit|rollback|savepoint|release)\b`)

// background are the statements of workers and of the look at the settings, which go on beside every request.
var background = regexp.MustCompile(`UPDATE work SET lease_until|DELETE FROM work WHERE dead_at|FROM settings|UPDATE settings`)

func (s *statements) add(sql string) {
	if frame.MatchString(sql) || background.MatchString(sql) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, strings.Join(strings.Fields(sql), " "))
}

func (s *statements) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.text
	s.text = nil
	return text
}

// addClasses makes one person of each class but the absent one, and returns what a stranger types for each.
func (w *world) addClasses() map[string]string {
	w.t.Helper()
	logins := map[string]string{}
	kinds := map[string][]method.Kind{
		"capable": {method.Email, method.SMS, method.RecoveryCode, method.Passkey}, "disabled": {method.Email, method.SMS}, "unregistered": nil,
		"throttled": {method.Email, method.SMS}, "without mail": {method.SMS}, "protected": {method.Email, method.SMS},
		"compromised": {method.Email, method.SMS}, "shut at work": {method.Email, method.SMS},
	}
	for _, c := range classes {
		logins[c] = strings.ReplaceAll(c, " ", "-") + "@alder.example"
		if c == "absent" {
			continue
		}
		p := w.add(strings.ReplaceAll(c, " ", "-"), kinds[c]...)
		if c == "disabled" {
			if _, err := w.srv.Store.UpdatePerson(w.t.Context(), p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) { p.Active = false; return nil, nil }); err != nil {
				w.t.Fatal(err)
			}
		}
		if kind := map[string]account.AlertKind{"compromised": account.Compromised, "shut at work": account.Disabled}[c]; kind != "" {
			w.change(p, func(p *account.Person, _ *[]method.Method) []event.Event {
				p.Raise("work", kind, w.now(), w.now())
				return nil
			})
		}
	}
	return logins
}

// answer is everything a stranger gets to see of one request, and what was asked of the database for it.
type answer struct {
	step string
	seen string
	asks []string
}

// stranger is a browser that follows no redirect by itself.
type stranger struct {
	w      *world
	client *http.Client
	from   string
}

func (w *world) stranger(from string) *stranger {
	jar, _ := cookiejar.New(nil)
	return &stranger{w: w, from: from, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// do sends one request and returns what came back byte by byte, without what differs from answer to answer for anybody:
// the date, the request's id, and the values, not the lengths, of cookies.
func (s *stranger) do(verb, path, form string) string {
	s.w.t.Helper()
	var body io.Reader
	if verb == http.MethodPost {
		body = strings.NewReader(form)
	}
	r, err := http.NewRequestWithContext(s.w.t.Context(), verb, s.w.base+path, body)
	if err != nil {
		s.w.t.Fatal(err)
	}
	r.Header = http.Header{"Sec-Fetch-Site": {"same-origin"}, "X-Forwarded-For": {s.from}, "User-Agent": {"Mozilla/5.0 Firefox/140.0"}}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.w.t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintln(&out, res.Proto, res.StatusCode, res.ContentLength)
	res.Header.Del("Date")
	res.Header.Del("X-Request-Id")
	for i, c := range res.Header["Set-Cookie"] {
		name, rest, _ := strings.Cut(c, "=")
		value, rest, _ := strings.Cut(rest, ";")
		res.Header["Set-Cookie"][i] = fmt.Sprintf("%s=%d bytes;%s", name, len(value), rest)
	}
	var names []string
	for name := range res.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintln(&out, name, res.Header[name])
	}
	out.Write(b)
	return out.String()
}

// strangersWay is a try of somebody who knows a name and nothing else, step by step, sent by an app's request or by nobody.
// wait runs after each step.
func (s *stranger) strangersWay(request, login string, trace *statements, wait func()) []answer {
	var out []answer
	step := func(name, verb, path string, pairs ...string) {
		form := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Add(pairs[i], pairs[i+1])
		}
		trace.take()
		seen := s.do(verb, path, form.Encode())
		out = append(out, answer{name, seen, trace.take()})
		wait()
	}
	if request != "" {
		step("sent", http.MethodGet, request)
		step("the first page", http.MethodGet, "/reset")
	}
	step("start", http.MethodPost, "/reset", "login", login)
	step("choose", http.MethodGet, "/choose")
	step("ask", http.MethodPost, "/choose", "way", "email")
	step("the page for the code", http.MethodGet, "/code")
	step("check", http.MethodPost, "/code", "code", "00000000")
	step("check again", http.MethodPost, "/code", "code", "1")
	step("nothing arrived", http.MethodGet, "/nothing-arrived")
	step("ask again", http.MethodPost, "/choose", "way", "sms")
	step("check the text message", http.MethodPost, "/code", "code", "00000000")
	step("ask for a recovery code", http.MethodPost, "/choose", "way", "recovery-code")
	step("the page for the recovery code", http.MethodGet, "/recovery-code")
	step("check a recovery code", http.MethodPost, "/recovery-code", "code", "ABCD-EFGH-JKMN-PQRS")
	step("ask for a passkey", http.MethodPost, "/choose", "way", "passkey")
	step("the page for the passkey", http.MethodGet, "/passkey")
	step("check no passkey", http.MethodPost, "/passkey", "answer", "{}")
	step("check somebody's passkey", http.MethodPost, "/passkey", "answer", s.foreignPasskey(out[len(out)-2].seen))
	step("ask for the work sign-in", http.MethodPost, "/choose", "way", "idp")
	step("the page for the work sign-in", http.MethodGet, "/work-sign-in")
	step("a try further on", http.MethodGet, "/new-password")
	step("where it stands", http.MethodGet, "/progress")
	step("more time", http.MethodPost, "/extend")
	if request != "" {
		step("back to the app", http.MethodPost, "/oauth2/cancel")
	} else {
		step("cancel", http.MethodPost, "/cancel")
	}
	step("after the end", http.MethodGet, "/progress")
	return out
}

// foreignPasskey is what the browser of somebody with a passkey of their own answers to the page: well made, and nobody's
// here.
func (s *stranger) foreignPasskey(page string) string {
	s.w.t.Helper()
	m := regexp.MustCompile(`data-options="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		s.w.t.Fatalf("no options on the page:\n%s", page)
	}
	options, err := virtual.ParseAssertionOptions(html.UnescapeString(m[1]))
	if err != nil {
		s.w.t.Fatal(err)
	}
	own := virtual.NewAuthenticatorWithOptions(virtual.AuthenticatorOptions{UserHandle: []byte("019ab000-0000-7000-8000-000000000000")})
	key := virtual.NewCredential(virtual.KeyTypeEC2)
	own.AddCredential(key)
	return virtual.CreateAssertionResponse(virtual.RelyingParty{ID: "localhost", Name: "Alder Works", Origin: s.w.base}, own, key, *options)
}

// signed are the bytes a passkey is asked to sign, which differ from try to try for anybody.
var signed = regexp.MustCompile(`&#34;challenge&#34;:&#34;[^&]*&#34;`)

// withoutChance takes out of an answer what differs from try to try for anybody.
func withoutChance(seen string) string {
	return signed.ReplaceAllString(reference.ReplaceAllString(seen, "REFE-RENC"), "the challenge")
}

var reference = regexp.MustCompile(`\b[B-DF-HJ-NP-TV-Z2-9]{4}-[B-DF-HJ-NP-TV-Z2-9]{4}\b`)

func TestAStrangerCannotTellAccountsApartByBytesOrByStatements(t *testing.T) {
	for _, kind := range storetest.Kinds {
		for _, workers := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s workers %v", kind, workers), func(t *testing.T) {
				t.Parallel()
				uniform(t, kind, workers, false)
			})
		}
		t.Run(fmt.Sprintf("%s sent by an app", kind), func(t *testing.T) {
			t.Parallel()
			uniform(t, kind, false, true)
		})
	}
}

func uniform(t *testing.T, kind store.Kind, workers, sent bool) {
	trace := &statements{}
	still := time.Now()
	w, l := stage(t, scene{kind: kind, policy: classPolicy, now: func() time.Time { return still }, change: func(s *Setup) {
		s.Trace = trace.add
		s.IDPs = []IDP{{Link: "userName", ProviderConfig: signin.ProviderConfig{Name: "work", Label: "Alder sign-in", Issuer: "https://login.alder.example", ClientID: "account",
			ClientSecret: "a secret of some length", LinkClaim: "preferred_username", NoPassword: []string{"phr"}}}}
		s.Rates.SendsPerOrigin = 2 // a mail and a text message
	}})
	gate := &gate{Queue: w.srv.pool.Queue}
	w.srv.pool.Queue = gate
	w.serve(l, !workers)
	logins := w.addClasses()
	settled := func() {}
	if workers {
		settled = func() {
			gate.set(true)
			defer gate.set(false)
			eventually(t, "the workers rest", func() bool {
				loads, err := w.srv.Store.Backlog(t.Context(), still)
				if err != nil {
					t.Fatal(err)
				}
				return !slices.ContainsFunc(loads, func(l store.Load) bool {
					return l.Kind != string(event.RouteRetire) && l.Kind != string(event.RouteReconcile) && l.Due+l.Leased > 0
				})
			})
		}
	}
	from := ""
	if sent {
		from = newShop(w, nil).request()
	}
	// The first try warms what is kept between requests. In each world it spends the budget of the throttled person.
	w.stranger("192.0.2.7").strangersWay(from, logins["throttled"], trace, settled)
	var want []answer
	for _, class := range append(slices.Clone(classes), "capable") {
		addr := fmt.Sprintf("192.0.2.%d", 20+len(want)%200)
		if class == "throttled" || workers {
			addr = "192.0.2.7"
		}
		if class == "capable" && want != nil { // once more, from where the budget is whole again
			addr = "192.0.2.99"
		}
		got := w.stranger(addr).strangersWay(from, logins[class], trace, settled)
		if want == nil {
			want = got
			if sent { // what the app is told is seen, too
				checkSent(t, want)
			} else {
				checkScenery(t, want)
			}
			continue
		}
		for i := range want {
			if a, b := withoutChance(want[i].seen), withoutChance(got[i].seen); a != b {
				t.Errorf("%s: %s: what is seen differs from a capable account:\n%s", class, want[i].step, firstDifference(a, b))
			}
			if !slices.Equal(want[i].asks, got[i].asks) {
				t.Errorf("%s: %s: the statements differ from a capable account:\n%s", class, want[i].step,
					firstDifference(strings.Join(want[i].asks, "\n"), strings.Join(got[i].asks, "\n")))
			}
		}
	}
	if workers { // the classes were what they are called: some got a code, the others a reason or nothing
		for class, codes := range map[string]int{"capable": 1, "disabled": 0, "throttled": 1, "without-mail": 0, "protected": 0, "unregistered": 0, "compromised": 1, "shut-at-work": 0} {
			if n := len(w.codes(class + "@mail.example")); n < codes || codes == 0 && n > 0 {
				t.Errorf("%s: %d codes by mail", class, n)
			}
		}
	}
}

// checkScenery makes sure that the comparison is not one of error pages, and that statements were seen at all.
func checkScenery(t *testing.T, way []answer) {
	t.Helper()
	for i, want := range []string{"303", "200", "303", "200", "422", "422", "200", "303", "422", "303", "200", "422",
		"303", "200", "422", "422", "303", "200", "303", "303", "303", "303", "200"} {
		line, _, _ := strings.Cut(way[i].seen, "\n")
		if !strings.Contains(line, " "+want+" ") {
			t.Errorf("%s: %s, want %s\n%s", way[i].step, line, want, way[i].seen)
		}
		if len(way[i].asks) == 0 {
			t.Errorf("%s: no statement was seen", way[i].step)
		}
	}
}

// checkSent makes sure that a try an app asked for was one: the app is shown, and hears what it always hears.
func checkSent(t *testing.T, way []answer) {
	t.Helper()
	for _, a := range way {
		switch a.step {
		case "choose", "the page for the code", "check again", "nothing arrived":
			if !strings.Contains(a.seen, "/oauth2/cancel") {
				t.Errorf("%s does not show the app:\n%s", a.step, a.seen)
			}
		case "back to the app":
			if !strings.Contains(a.seen, "error=access_denied") {
				t.Errorf("the app does not hear of it:\n%s", a.seen)
			}
		}
		if len(a.asks) == 0 {
			t.Errorf("%s: no statement was seen", a.step)
		}
	}
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(x), len(y)) {
		var l, r string
		if i < len(x) {
			l = x[i]
		}
		if i < len(y) {
			r = y[i]
		}
		if l != r {
			return fmt.Sprintf("line %d of %d and %d:\n  capable: %s\n  this:    %s", i+1, len(x), len(y), l, r)
		}
	}
	return "none"
}
