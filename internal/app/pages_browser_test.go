package app

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/portal"
	"github.com/regain-id/regain/internal/web"
	"github.com/regain-id/regain/pkg/directory"
)

// tour leads a person through real pages and shows each state to see; what it shows is judged, or photographed.
type tour struct {
	*browser.Page
	t   testing.TB
	w   *world
	off *atomic.Int64 // how far the world's clock is ahead
	see func(name string)
}

// tours are all of them, each in a world of its own.
var tours = map[string]func(*tour){
	"reset": (*tour).reset, "other ways": (*tour).otherWays, "unlock and change": (*tour).unlockAndChange, "cannot": (*tour).cannot,
	"ends": (*tour).ends, "not me": (*tour).notMe, "unsure": (*tour).unsure, "unresolved": (*tour).unresolved, "faults": (*tour).faults,
}

// takeTour runs one of them. see gets the page as it stands, in a state that stays.
func takeTour(t *testing.T, name string, prepare func(*browser.Page), see func(p *browser.Page, name string)) {
	t.Helper()
	p := browser.New(t)
	prepare(p)
	tr := &tour{Page: p, t: t, off: &atomic.Int64{}}
	tr.w = newWorld(t, scene{now: func() time.Time { return time.Now().Add(time.Duration(tr.off.Load())) }, change: func(s *Setup) {
		s.Help = web.Help{Text: web.Localised{"en": "The help desk is on the second floor.", "de": "Der Helpdesk ist im zweiten Stock."}, Phone: "+49 30 23125 000",
			Hours: web.Localised{"en": "Monday to Friday, 8 to 18", "de": "Montag bis Freitag, 8 bis 18 Uhr"}, URL: web.Localised{"": "https://help.alder.example/"}}
		s.Links = web.Links{Privacy: web.Localised{"": "https://alder.example/privacy"}, Accessibility: web.Localised{"": "https://alder.example/accessibility"}}
		s.Extra = samplePages
		if name == "unresolved" {
			// A directory that keeps no marks by which anybody could find out what became of a write.
			s.Directories[0].Adapter, s.Directories[0].Timeout = struct{ directory.Adapter }{s.Directories[0].Adapter}, 200*time.Millisecond
		}
		if name == "faults" {
			s.Rates.StartsPerOrigin = 2
		}
		if name == "unsure" {
			// Just after a write stayed unanswered the directory falls silent, so that nobody can find out meanwhile.
			s.Crash = func(point string) {
				if point == "after-send" {
					tr.w.memory.SetFault(memory.Fault{Kind: memory.Silent})
				}
			}
		}
	}})
	tr.see = func(name string) {
		t.Helper()
		browser.Eval[bool](p, "window.stop(), true") // a page that asks again by itself must not do so while it is looked at
		see(p, name)
	}
	tours[name](tr)
}

// samplePages are states that take too long to reach.
func samplePages(s *web.Site, _ *Server) error {
	run := portal.Running{Step: 2, SecondsLeft: 90}
	mail := portal.Way{Kind: method.Email, Value: "a", Masked: "s•••@e•••.net"}
	for path, page := range map[string]web.Page{
		"resting": portal.NextPage{Running: run, Proved: []portal.Way{mail}, Needed: 3, Ways: []portal.Way{{Kind: method.SMS, Value: "b", Masked: "•• 42"}},
			Resting: []portal.Way{{Kind: method.SMS, Masked: "•• 17", Until: time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)}},
			Missing: []message.Message{message.Key("reset.cannot.too_few", "Needed", 2, "Have", 1)}}.Page(),
		"not-me-late": portal.NotMeOverPage{Late: true, Reference: "KTRW-49MP"}.Page(),
		"not-me-over": portal.NotMeOverPage{Reference: "KTRW-49MP"}.Page(),
	} {
		s.Handle("GET", "/sample/"+path, func(*web.Request) (web.Page, error) { return page, nil })
	}
	s.Handle("GET", "/sample/unavailable", func(*web.Request) (web.Page, error) {
		return web.Page{}, fault.New(fault.Unavailable, message.Key("error.unavailable"))
	})
	return nil
}

// ahead moves the world's clock.
func (r *tour) ahead(d time.Duration) { r.off.Add(int64(d)) }

// open, send and show go somewhere, check that the status is what it should be, and show the page.
func (r *tour) open(status int, path, name string) {
	r.t.Helper()
	if got := r.Open(r.w.base + path); got != status {
		r.t.Fatalf("%s: got status %d at %s, want %d", name, got, r.URL(), status)
	}
	r.see(name)
}

func (r *tour) send(status int, path, name string) {
	r.t.Helper()
	r.follow(primary, status, path, name)
}

func (r *tour) follow(selector string, status int, path, name string) {
	r.t.Helper()
	if got := r.Follow(selector); got != status || r.URL() != r.w.base+path {
		r.t.Fatalf("%s: got status %d at %s, want %d at %s:\n%s", name, got, r.URL(), status, path, r.Text("main"))
	}
	if name != "" {
		r.see(name)
	}
}

func (r *tour) pick(icon string) { r.Click(".choice:has([href$='#" + icon + "']) input") }

// prove takes the person through mail and text message, showing nothing, to the page where the last word is said.
func (r *tour) prove(p *somebody, action, last string) {
	r.t.Helper()
	mails, texts := len(r.w.codes(p.Email)), len(r.w.sms.Texts(p.Phone))
	r.Open(r.w.base + action)
	r.Fill("#login", p.Login)
	r.send(200, "/choose", "")
	r.pick("mail")
	r.send(200, "/code", "")
	r.Fill("#code", r.w.mailCode(p.Email, mails+1))
	if r.Follow(primary); r.URL() == r.w.base+last {
		return // one proof was enough for this
	}
	r.pick("message-square")
	r.send(200, "/code", "")
	r.Fill("#code", r.w.textCode(p.Phone, texts+1))
	r.send(200, last, "")
}

func (r *tour) reset() {
	ada := r.w.add("ada", method.Email, method.SMS, method.TOTP, method.RecoveryCode)
	r.open(200, "/", "home")
	r.open(200, "/help", "help")
	r.open(200, "/reset", "start")
	r.send(422, "/reset", "start-error")
	r.Fill("#login", ada.Login)
	r.send(200, "/choose", "choose")
	r.pick("mail")
	r.send(200, "/code", "code-email")
	r.send(422, "/code", "code-empty")
	r.Fill("#code", "0000 0000")
	r.send(422, "/code", "code-wrong")
	r.follow("a[href='/nothing-arrived']", 200, "/nothing-arrived", "nothing-arrived")
	r.follow("main .back", 200, "/code", "")
	r.open(200, "/help", "help-in-a-try")
	r.open(200, "/code", "code-again")
	r.Fill("#code", r.w.mailCode(ada.Email, 1))
	r.send(200, "/choose", "next")
	r.pick("message-square")
	r.send(200, "/code", "code-own-phone")
	r.Fill("#code", r.w.textCode(ada.Phone, 1))
	r.send(200, "/new-password", "password")
	r.Fill("#password", "too short")
	r.see("password-typing")
	r.send(422, "/new-password", "password-refused")
	r.follow("button[form=suggest]", 200, "/new-password", "password-suggestion")
	r.Click("#suggestion-use")
	r.see("password-suggestion-used")
	r.Fill("#password", fresh)
	r.send(200, "/progress", "done")
	if !r.w.signsIn(ada, fresh) {
		r.t.Error("the new password does not sign in")
	}
}

func (r *tour) otherWays() {
	ada := r.w.add("ada", method.Email, method.SMS, method.TOTP, method.RecoveryCode)
	r.Open(r.w.base + "/reset")
	r.Fill("#login", ada.Login)
	r.send(200, "/choose", "")
	r.pick("file-key")
	r.send(200, "/recovery-code", "recovery-code")
	r.Fill("#code", "AAAA-BBBB")
	r.send(422, "/recovery-code", "recovery-code-wrong")
	r.Fill("#code", ada.Codes[0])
	r.send(200, "/choose", "next-after-recovery-code")
	r.pick("smartphone")
	r.send(200, "/app-code", "app-code")
	r.Fill("#code", "000000")
	r.send(422, "/app-code", "app-code-wrong")
	r.Fill("#code", appCode(ada.Seed, r.w.now()))
	r.send(200, "/new-password", "")
}

// appCode is what an authenticator app shows: RFC 6238 with SHA-1, six digits and 30 seconds.
func appCode(seed []byte, now time.Time) string {
	m := hmac.New(sha1.New, seed)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(now.Unix()/30)))
	sum := m.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

func (r *tour) unlockAndChange() {
	ada := r.w.add("ada", method.Email, method.SMS)
	r.open(200, "/unlock", "start-unlock")
	r.prove(ada, "/unlock", "/unlock-now")
	r.see("unlock")
	r.send(200, "/progress", "done-unlock")
	r.open(200, "/change", "start-change")
	r.prove(ada, "/change", "/old-password")
	r.see("change")
	r.Fill("#current", "not the one")
	r.Fill("#password", fresh)
	r.send(422, "/old-password", "change-wrong")
	r.Fill("#current", ada.Password)
	r.Fill("#password", fresh)
	r.send(200, "/progress", "done-change")
}

func (r *tour) cannot() {
	ada := r.w.add("ada", method.Email)
	r.Open(r.w.base + "/reset")
	r.Fill("#login", ada.Login)
	r.send(200, "/choose", "")
	r.pick("mail")
	r.send(200, "/code", "")
	r.Fill("#code", r.w.mailCode(ada.Email, 1))
	r.send(200, "/choose", "cannot-finish")
	r.open(200, "/sample/resting", "next-resting")
}

func (r *tour) ends() {
	ada := r.w.add("ada", method.Email, method.SMS)
	r.open(410, "/progress", "no-try")
	r.open(200, "/code", "other-browser")
	start := func() {
		r.Open(r.w.base + "/reset")
		r.Fill("#login", ada.Login)
		r.send(200, "/choose", "")
	}
	start()
	r.follow("form[action='/cancel'] button", 200, "/progress", "cancelled")
	start()
	r.ahead(16 * time.Minute)
	r.open(410, "/choose", "expired")
	r.prove(ada, "/reset", "/new-password")
	for range 4 {
		r.Fill("#password", ada.Password)
		r.send(422, "/new-password", "")
	}
	r.see("password-last-chance")
	r.Fill("#password", ada.Password)
	r.follow(primary, 200, "/progress", "refused")
}

func (r *tour) notMe() {
	ada := r.w.add("ada", method.Email, method.SMS)
	link := func(n int) string {
		var found string
		eventually(r.t, "a letter with a link", func() bool {
			letters := r.w.mail.Letters(ada.Email)
			if len(letters) < n {
				return false
			}
			for _, l := range letters[n-1].Links() {
				if strings.Contains(l, "/not-me") {
					found = strings.TrimPrefix(l, r.w.base)
				}
			}
			return found != ""
		})
		return found
	}
	r.Open(r.w.base + "/reset")
	r.Fill("#login", ada.Login)
	r.send(200, "/choose", "")
	r.pick("mail")
	r.send(200, "/code", "")
	r.open(200, link(1), "not-me")
	r.send(200, "/not-me", "not-me-stopped")
	r.open(200, "/code", "stopped")
	r.prove(ada, "/reset", "/new-password")
	r.Fill("#password", fresh)
	r.send(200, "/progress", "")
	r.open(200, link(3), "not-me-changed")
	r.send(200, "/not-me", "not-me-disputed")
	r.open(200, "/sample/not-me-late", "not-me-late")
	r.open(200, "/sample/not-me-over", "not-me-over")
}

func (r *tour) unsure() {
	ada := r.w.add("ada", method.Email, method.SMS)
	r.prove(ada, "/reset", "/new-password")
	r.w.memory.SetFault(memory.Fault{Kind: memory.TimeoutBeforeWrite})
	r.Fill("#password", fresh)
	r.Click(primary)
	eventually(r.t, "the write is on its way", func() bool { return r.w.count(ada.ID, event.WriteStarted) == 1 })
	r.open(200, "/progress", "writing")
	eventually(r.t, "the write is unanswered", func() bool { return r.w.count(ada.ID, event.WriteUnknown) == 1 })
	r.open(200, "/progress", "unknown")
	r.w.memory.SetFault(memory.Fault{Kind: memory.None})
}

func (r *tour) unresolved() {
	ada := r.w.add("ada", method.Email, method.SMS)
	r.prove(ada, "/reset", "/new-password")
	r.w.memory.SetFault(memory.Fault{Kind: memory.TimeoutBeforeWrite})
	r.Fill("#password", fresh)
	r.Follow(primary)
	eventually(r.t, "nobody can find out", func() bool { return r.w.count(ada.ID, event.WriteUnresolved) == 1 })
	r.open(200, "/progress", "unresolved")
	r.w.memory.SetFault(memory.Fault{Kind: memory.None})
	r.follow("form[action='/try-again'] button", 200, "/new-password", "")
	r.Fill("#password", fresh)
	r.send(200, "/progress", "")
	if !r.w.signsIn(ada, fresh) {
		r.t.Error("the second try did not set the password")
	}
}

func (r *tour) faults() {
	r.open(404, "/nowhere", "not-found")
	r.open(503, "/sample/unavailable", "unavailable")
	for range 2 {
		r.Open(r.w.base + "/reset")
		r.Fill("#login", "somebody")
		r.send(200, "/choose", "")
	}
	r.Open(r.w.base + "/reset")
	r.Fill("#login", "somebody")
	r.follow(primary, 429, "/reset", "too-many")
}

// looks are how each page is looked at.
var looks = []struct {
	name  string
	dark  bool
	width int
}{{"light", false, 1280}, {"dark", true, 1280}, {"small", false, 390}}

// judge holds a page to what every page must be, in every look.
func judge(t *testing.T, p *browser.Page, name string) {
	t.Helper()
	for _, l := range looks {
		p.SetViewport(l.width, 844)
		p.Dark(l.dark)
		p.MustAxe(name + " " + l.name)
		if over := p.Overflow(); over > 0 {
			t.Errorf("%s %s: the page is %d pixels wider than the window", name, l.name, over)
		}
	}
	p.Dark(false)
	p.SetViewport(1280, 844)
}

func TestNobodyIsShutOutOfAnyPage(t *testing.T) {
	for name := range tours {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			takeTour(t, name, func(*browser.Page) {}, func(p *browser.Page, page string) { judge(t, p, page) })
		})
	}
}

func TestGermanFitsATelephone(t *testing.T) {
	for name := range tours {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			takeTour(t, name, func(p *browser.Page) {
				p.Language("de")
				p.SetViewport(320, 700)
			}, func(p *browser.Page, page string) {
				inGerman(t, p, page)
				if over := p.Overflow(); over > 0 {
					t.Errorf("%s is %d pixels wider than a small telephone", page, over)
				}
			})
		})
	}
}
