package app

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/testserver"
)

// What the tests of the flow, its limits and bad input share.

const (
	wrongCode = "That code did not work"
	ended     = "This was ended"
)

// clock is a time that moves only when told to. Safe for concurrent use.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// rows reads the database past the server: what stands there, not what the store makes of it.
func (w *world) rows(query string, args ...any) [][]any {
	w.t.Helper()
	out, err := readRows(w.srv.Store.Kind(), w.db, query, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return out
}

func readRows(kind store.Kind, at, query string, args ...any) (out [][]any, err error) {
	ctx := context.Background()
	if kind == store.PostgreSQL {
		conn, err := pgx.Connect(ctx, at)
		if err != nil {
			return nil, err
		}
		defer conn.Close(ctx)
		rows, err := conn.Query(ctx, query, args...)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			v, err := rows.Values()
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, rows.Err()
	}
	db, err := sql.Open("sqlite", at+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		v := make([]any, len(names))
		to := make([]any, len(names))
		for i := range v {
			to[i] = &v[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func (w *world) number(query string, args ...any) int {
	w.t.Helper()
	var n int
	if rows := w.rows(query, args...); len(rows) == 1 {
		fmt.Sscan(fmt.Sprint(rows[0][0]), &n)
		return n
	}
	w.t.Fatalf("%s: not one row", query)
	return 0
}

// drained waits until everything that may be sent now has been. It gives up when nothing moves for ten seconds, so that
// a busy machine is no fault.
func (w *world) drained() {
	w.t.Helper()
	left, since := -1, time.Now()
	for time.Since(since) < 10*time.Second {
		loads, err := w.srv.Store.Backlog(context.Background(), w.now())
		if err != nil {
			w.t.Fatal(err)
		}
		n := 0
		for _, l := range loads {
			if l.Kind != string(event.RouteRetire) && l.Kind != string(event.RouteReconcile) {
				n += l.Due + l.Leased
			}
		}
		if n == 0 {
			return
		}
		if n != left {
			left, since = n, time.Now()
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("%d rows of work are not done", left)
}

// attempt is the visitor's try as the database has it now.
func (v *visitor) attempt() map[string]any {
	v.w.t.Helper()
	a, err := v.w.srv.Store.AttemptByCookie(context.Background(), v.hash())
	if err != nil || a == nil {
		v.w.t.Fatalf("the visitor's try: %v, %v", a, err)
	}
	return map[string]any{"id": a.ID, "state": string(a.State), "proofs": len(a.Proofs), "asked": a.Asked, "extended": a.Extended, "refusals": a.Refusals,
		"write": a.Write, "expires": a.Expires, "person": a.Person, "resolved": a.Resolved, "again": a.Again}
}

func (v *visitor) id() string { return v.attempt()["id"].(string) }

func (v *visitor) state() string { return v.attempt()["state"].(string) }

func (v *visitor) hash() []byte {
	for _, c := range v.cookies() {
		if c.Name == "regain-try" {
			h := sha256.Sum256([]byte(c.Value))
			return h[:]
		}
	}
	v.w.t.Fatal("the visitor holds no try")
	return nil
}

func (v *visitor) cookies() []*http.Cookie {
	at, err := url.Parse(v.w.base)
	if err != nil {
		v.w.t.Fatal(err)
	}
	return v.client.Jar.Cookies(at)
}

func (v *visitor) cookie(name, value string) {
	at, _ := url.Parse(v.w.base)
	v.client.Jar.SetCookies(at, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// asks starts a reset and asks for a code of a kind.
func (v *visitor) asks(login, way string) {
	v.w.t.Helper()
	v.post("/reset", "login", login).want(v.w.t, 200, "/choose")
	page := map[string]string{"recovery-code": "/recovery-code"}[way]
	if page == "" {
		page = "/code"
	}
	v.post("/choose", "way", way).want(v.w.t, 200, page)
}

// firstProof takes a visitor behind the code of a mail, for an action that starts at path.
func (v *visitor) firstProof(path string, p *somebody) sight {
	v.w.t.Helper()
	n := len(v.w.codes(p.Email))
	v.post(path, "login", p.Login).want(v.w.t, 200, "/choose")
	v.post("/choose", "way", "email").want(v.w.t, 200, "/code")
	return v.post("/code", "code", v.w.mailCode(p.Email, n+1))
}

// recovers takes a visitor through mail and text message to a new password.
func (v *visitor) recovers(p *somebody, password string) {
	v.w.t.Helper()
	v.proveTwice(p)
	v.post("/new-password", "password", password).want(v.w.t, 200, "/progress", "Your password is changed")
	if !v.w.signsIn(p, password) {
		v.w.t.Fatalf("%s cannot sign in with the new password", p.Login)
	}
}

// at is the same visitor before another replica: same cookies, another address.
func (v *visitor) at(base string) *visitor {
	from, to := *v, *v.w
	jar := v.client.Jar
	here, err := url.Parse(base)
	if err != nil {
		v.w.t.Fatal(err)
	}
	jar.SetCookies(here, v.cookies())
	to.base = base
	from.w = &to
	return &from
}

// replica serves a second server on the world's database and returns its address.
func (w *world) replica() string {
	w.t.Helper()
	srv := w.open()
	web := httptest.NewServer(srv.Handler)
	w.t.Cleanup(func() {
		web.Close()
		if err := srv.Store.Close(); err != nil {
			w.t.Errorf("close the replica: %v", err)
		}
	})
	return strings.Replace(web.URL, "127.0.0.1", "localhost", 1)
}

// submit posts a form with the visitor's cookies and follows nothing. It may be called at once by many.
func (v *visitor) submit(base, path string, pairs ...string) (status int, to string, err error) {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequest(http.MethodPost, base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("X-Forwarded-For", v.From)
	for _, c := range v.cookies() {
		r.AddCookie(c)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header.Get("Location"), err
}

// change changes a person as an identity provider would.
func (w *world) change(p *somebody, fn func(*account.Person, *[]method.Method) []event.Event) {
	w.t.Helper()
	_, err := w.srv.Store.UpdatePerson(w.t.Context(), p.ID, "", func(p *account.Person, m *[]method.Method) ([]event.Event, error) { return fn(p, m), nil })
	if err != nil {
		w.t.Fatal(err)
	}
}

// give adds ways that stand on a root and were there since a time.
func (w *world) give(p *somebody, root method.Root, since time.Time, ways ...method.Method) {
	w.t.Helper()
	for i := range ways {
		m := &ways[i]
		m.ID, m.Version, m.Person, m.Status, m.Root, m.Created, m.Primary = newID(), 1, p.ID, method.Active, root, since, true
		if root.Kind == method.ByPerson {
			m.Confirmed = since
		}
		if m.Destination != "" {
			m.DestinationHash = w.srv.Store.DestinationHash(m.Kind, m.Destination)
		}
	}
	if err := w.srv.Store.CreateMethods(w.t.Context(), p.ID, ways, nil); err != nil {
		w.t.Fatal(err)
	}
}

// letters are the letters to an address that bring no code.
func (w *world) letters(to string) []testserver.Letter {
	var out []testserver.Letter
	for _, l := range w.mail.Letters(to) {
		if l.Code() == "" {
			out = append(out, l)
		}
	}
	return out
}

// otherThan returns a code of the same length that is not this one.
func otherThan(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+5)%10)
}

// words is the text of a letter without its line breaks.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

func has(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}

func lacks(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("%q stands in:\n%s", p, text)
		}
	}
}

func accountOf(p *somebody, now time.Time) memory.Account {
	return memory.Account{Login: p.uid, Name: p.uid, Password: p.Password, Attrs: map[string][]string{"mail": {p.Login}}, PasswordChangedAt: now.Add(-48 * time.Hour)}
}
