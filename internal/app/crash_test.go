package app

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/pkg/directory"
)

// crash is one death: at which point, the how manieth time it is passed, and what is known to be so afterwards.
type crash struct {
	point string
	nth   int
	kind  store.Kind
	lose  bool // the directory's answer is lost
	maybe int  // notices that the password may have been changed
	other bool // our own account wrote to the person before, and writes something else while nobody serves
}

// crashes are the deaths tried. The second code is the text message, the first one the mail.
var crashes = []crash{
	{point: "after-start", nth: 1},
	{point: "after-ask", nth: 1},
	{point: "after-ask", nth: 2},
	{point: "after-resolve", nth: 1},
	{point: "after-claim", nth: 1},
	{point: "after-claim", nth: 2},
	{point: "before-delivered", nth: 1},
	{point: "before-delivered", nth: 2},
	{point: "between-delivered", nth: 2},
	{point: "before-done-code", nth: 1},
	{point: "before-done-code", nth: 2},
	{point: "after-try", nth: 1},
	{point: "before-proof", nth: 2},
	{point: "after-proof", nth: 1},
	{point: "after-proof", nth: 2},
	{point: "after-begin", nth: 1, maybe: 1},
	{point: "after-begin", nth: 1, maybe: 1, kind: store.PostgreSQL},
	{point: "after-begin", nth: 1, maybe: 1, other: true},
	{point: "after-send", nth: 1, maybe: 1},
	{point: "after-send", nth: 1, maybe: 1, kind: store.PostgreSQL},
	{point: "after-record", nth: 1},
	{point: "after-record", nth: 1, kind: store.PostgreSQL},
	{point: "after-record", nth: 1, lose: true, maybe: 1},
	{point: "before-reconcile", nth: 1, lose: true, maybe: 1},
	{point: "before-reconciled", nth: 1, lose: true, maybe: 1},
	{point: "before-expand-notice", nth: 1},
	{point: "before-done-letter", nth: 1},
	{point: "before-done-letter", nth: 3},
}

// killedElsewhere are points at which a test of their own package kills the process.
var killedElsewhere = map[string]string{"before-answer": "../provision/kill_test.go"}

func TestEveryPointAtWhichATestCanKillTheServerIsTried(t *testing.T) {
	call := regexp.MustCompile(`\b[cC]rash\("([a-z-]+)"(?: \+ (i\.Kind))?\)`)
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
			if test := killedElsewhere[m[1]]; test != "" {
				if text, err := os.ReadFile(test); err != nil || !strings.Contains(string(text), "syscall.SIGKILL") {
					t.Errorf("%s: nothing dies at %q in %s: %v", path, m[1], test, err)
				}
				continue
			}
			if !slices.ContainsFunc(crashes, func(c crash) bool {
				return c.point == m[1] || m[2] != "" && strings.HasPrefix(c.point, m[1])
			}) {
				t.Errorf("%s: nothing dies at %q", path, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range crashes {
		kind := c.point[strings.LastIndexByte(c.point, '-')+1:]
		if !found[c.point] && !found[strings.TrimSuffix(c.point, kind)] {
			t.Errorf("there is no point %q", c.point)
		}
	}
	if len(found) < 15 {
		t.Errorf("%d points found: the search is blind", len(found))
	}
}

func TestAServerKilledBetweenAnyTwoStepsLeavesNoHalfStateAndNoFalseStatement(t *testing.T) {
	for _, c := range crashes {
		name := fmt.Sprintf("%s %d %s", c.point, c.nth, c.kind)
		switch {
		case c.lose:
			name += " answer lost"
		case c.other:
			name += " account touched"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c crash) run(t *testing.T) {
	ringFile := filepath.Join(t.TempDir(), "keys")
	var later atomic.Int64
	plan := crashPlan{Ring: ringFile, Point: c.point, Nth: c.nth, Lose: c.lose}
	w, l := stage(t, scene{kind: c.kind, slapd: true, now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }, wire: func(w *world) {
		ring, err := keyring.Create(ringFile)
		if err != nil {
			t.Fatal(err)
		}
		w.setup.Ring = ring
		plan.LDAP, plan.LDAPCA, plan.BindDN, plan.BindPassword = w.slapd.URL, w.slapd.CAFile, w.slapd.ServiceDN, w.slapd.ServicePassword
		plan.People, plan.Rules = w.slapd.PeopleDN, w.slapd.DefaultPolicyDN
		w.setup.Directories[0].Patience = 400 * time.Millisecond
	}})
	ada := w.add("ada", method.Email, method.SMS)
	c.before(w, ada)
	if err := w.srv.Store.Close(); err != nil { // the child is the only server until it dies
		t.Fatal(err)
	}
	plan.Base, plan.Database = w.base, w.db
	plan.MailHost, plan.MailPort, plan.MailCA, plan.Texts = w.mail.Host, w.mail.Port, w.mail.CA.File, w.sms.URL
	died := plan.start(t, l)
	k := &walker{w: w, p: ada, died: died}
	k.fresh()
	k.walk()
	select {
	case <-died:
	case <-time.After(15 * time.Second):
		t.Fatalf("the server passed %q fewer than %d times", c.point, c.nth)
	}
	written := writes(w.slapd, ada.uid) == c.written() // a look that does not touch the account
	c.touch(w, ada)

	// Two minutes later another server takes over: every lease of the dead one has run out.
	later.Store(int64(2 * time.Minute))
	k.died = nil
	w.srv = w.open()
	w.serve(l, false)
	first := k.v.get("/progress")
	if first.H1 == saysChanged && !written {
		t.Errorf("the page says %q and nothing was written", first.H1)
	}
	c.mailsSent(w, ada)
	last := k.walk()
	w.told(ada, last, ada.Password, fresh)
	if last.H1 != saysChanged {
		t.Errorf("the work is lost: %s", last.Text)
	}
	c.judge(w, ada)
}

// before gives the account a password that our own service account wrote, as an earlier reset does.
func (c crash) before(w *world, p *somebody) {
	w.t.Helper()
	if !c.other {
		return
	}
	p.Password = "an earlier reset wrote this"
	u := w.account(p)
	if _, err := w.setup.Directories[0].Adapter.Reset(w.t.Context(), directory.ResetRequest{OpID: "earlier", User: u, New: directory.NewSecret(p.Password)}); err != nil {
		w.t.Fatal(err)
	}
}

// touch moves the account's marker, by our own service account, without touching the password.
func (c crash) touch(w *world, p *somebody) {
	w.t.Helper()
	if !c.other {
		return
	}
	if _, err := w.setup.Directories[0].Adapter.(directory.ForceChanger).RequireChange(w.t.Context(), w.account(p), false); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) account(p *somebody) directory.Ref {
	w.t.Helper()
	u, err := w.setup.Directories[0].Adapter.FindUser(w.t.Context(), directory.Query{Login: p.Login, Attrs: []string{"mail"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Ref
}

// written is how often the directory is written in the end.
func (c crash) written() int {
	if c.other {
		return 2
	}
	return 1
}

// mailsSent waits until every mail that was asked for has left: no work is lost with the process.
func (c crash) mailsSent(w *world, p *somebody) {
	w.t.Helper()
	if c.point != "after-ask" || c.nth != 1 {
		return
	}
	eventually(w.t, "the mail asked for before the crash", func() bool { return len(w.codes(p.Email)) == 1 })
}

// judge looks at everything that must be so whatever was interrupted.
func (c crash) judge(w *world, p *somebody) {
	t := w.t
	if n := writes(w.slapd, p.uid); n != c.written() {
		t.Errorf("the directory was written %d times, want %d", n, c.written())
	}
	for typ, want := range map[event.Type]int{event.PasswordReset: 1, event.ProofRight: 2, event.AttemptProved: 1, event.WriteUnknown: c.maybe} {
		if n := w.count(p.ID, typ); n != want {
			t.Errorf("%d events %s, want %d", n, typ, want)
		}
	}
	eventually(t, "every row of work is done, but those that end what is old", func() bool {
		loads, err := w.srv.Store.Backlog(t.Context(), w.now())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range loads {
			if l.Kind != string(event.RouteRetire) && l.Kind != string(event.RouteReconcile) && l.Due+l.Later+l.Leased > 0 {
				return false
			}
		}
		return true
	})
	ids := map[string]bool{}
	for _, l := range w.mail.Letters(p.Login) {
		if strings.Contains(l.Subject, "was reset") {
			ids[l.Header.Get("Message-Id")] = true
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d different letters say that the password was reset, want 1", len(ids))
	}
	if _, maybe := w.notices(p.Login); maybe != c.maybe {
		t.Errorf("%d letters say that the password may have been changed, want %d", maybe, c.maybe)
	}
	texts := map[string]int{}
	for _, x := range w.sms.Texts(p.Phone) {
		texts[x.ID]++
	}
	for id, n := range texts {
		if n > 1 {
			t.Errorf("the text message %s was sent %d times", id, n)
		}
	}
	if n := w.sms.Replays(); n != 0 {
		t.Errorf("%d text messages were handed over twice", n)
	}
}
