package app

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/testserver"
)

// eightRule asks for eight characters, so that the directory's own ten are the rule that applies.
const eightRule = "rules: [{name: everyone, hold_new: 0s, hold_after_reset: 0s, min_length: 8, second_factor_at_sign_in: true}]"

// provisioned makes a person as a real organisation has one: an account in slapd with a history, and the person with
// contacts sent by an identity provider.
func (w *world) provisioned(uid string, trust client.Trust) (*somebody, string) {
	w.t.Helper()
	p := &somebody{uid: uid, Login: uid + "@alder.example", Email: uid + "@mail.example", Phone: "+4917139200" + fmt.Sprintf("%02d", len(uid)*7%100), Password: "the second password of " + uid}
	dn := w.slapd.AddUser(w.t, testserver.SlapdUser{Login: uid, Password: p.earlier(), Mail: p.Login})
	w.slapd.Set(w.t, dn, "userPassword", testserver.SSHA(p.Password)) // the first goes into the history
	token := w.connector("hr", trust)
	status, got := w.scim(token, "POST", "/Users", map[string]any{
		"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:regain:2.0:User"},
		"userName": p.Login, "externalId": "hr-" + uid, "active": true, "displayName": strings.ToUpper(uid[:1]) + uid[1:],
		"emails": []any{map[string]any{"value": p.Login, "type": "work", "primary": true}},
		"urn:ietf:params:scim:schemas:extension:regain:2.0:User": map[string]any{"recoveryEmail": p.Email, "recoveryPhone": p.Phone},
	})
	if status != 201 {
		w.t.Fatalf("provision: got status %d, want 201: %v", status, got)
	}
	p.ID, _ = got["id"].(string)
	return p, token
}

func (p *somebody) earlier() string { return "the first password of " + p.uid }

// hands are how a person works a page: with a mouse or with the keys alone.
type hands interface {
	// visit follows a link, fill types into a field, pick takes a radio button, send submits the form.
	visit(selector string) int
	fill(selector, text string)
	pick(selector string)
	send() int
}

// primary is the one button that goes on.
const primary = "form.card button.btn.block:not([form])"

type mouse struct{ *browser.Page }

func (m mouse) visit(selector string) int  { return m.Follow(selector) }
func (m mouse) fill(selector, text string) { m.Fill(selector, text) }
func (m mouse) pick(selector string)       { m.Click(selector) }
func (m mouse) send() int                  { return m.Follow(primary) }

// keys never touches a mouse: Tab to get there, arrows inside radio buttons, Enter to go on.
type keys struct {
	*browser.Page
	t testing.TB
}

// tab goes on with the Tab key until the focus is where it should be.
func (k keys) tab(selector string) {
	k.t.Helper()
	for range 40 {
		if browser.Eval[bool](k.Page, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			if !browser.Eval[bool](k.Page, `(e => { const s = getComputedStyle(e.matches(".choice input") ? e.closest(".choice") : e);
				return e.matches(":focus-visible") && (s.outlineStyle !== "none" || s.boxShadow !== "none") })(document.activeElement)`) {
				k.t.Errorf("%s has the focus and does not show it", selector)
			}
			return
		}
		k.Press("\t")
	}
	k.t.Fatalf("the Tab key does not reach %s on %s", selector, k.URL())
}

func (k keys) visit(selector string) int {
	k.tab(selector)
	return k.PressFollow("\r")
}

func (k keys) fill(selector, text string) {
	k.tab(selector)
	k.Press(text)
}

func (k keys) pick(selector string) {
	k.tab(".choice input")
	for range 10 {
		if browser.Eval[bool](k.Page, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			if !browser.Eval[bool](k.Page, "document.activeElement.checked") {
				k.Press(" ")
			}
			return
		}
		k.Press(browser.Down)
	}
	k.t.Fatalf("the arrow keys do not reach %s", selector)
}

func (k keys) send() int {
	k.tab(primary)
	return k.PressFollow("\r")
}

// said is what a page says in one language where the journey looks.
type said struct {
	ways, left, rules, length, history, refused, done, devices, reference, signIn, notice, nobody string
}

var sayings = map[string]said{
	"en": {"A code to", "Prove it one more way", "Rules for your new password", "At least 10 characters", "None of your last 3 passwords", "You have used this password before",
		"Your password is changed", "Phone and tablet", "Your reference", "Sign in", "Your Alder Works password was reset", "Nobody is signed in here"},
	"de": {"Ein Code an", "Zeigen Sie es noch einmal anders", "Regeln für Ihr neues Passwort", "Mindestens 10 Zeichen", "Keines Ihrer letzten 3 Passwörter", "Dieses Passwort hatten Sie schon einmal",
		"Ihr Passwort ist geändert", "Telefon und Tablet", "Ihre Vorgangsnummer", "Anmelden", "Ihr Passwort bei Alder Works wurde neu gesetzt", "Hier ist niemand angemeldet"},
}

// journey is the main job on real systems, from the first page to signing in to the directory. seen is called on every
// page.
func journey(t *testing.T, w *world, p *browser.Page, h hands, lang string, ada *somebody, seen func(page string)) {
	t.Helper()
	say := sayings[lang]
	at := func(status int, path string) {
		t.Helper()
		if status != 200 || p.URL() != w.base+path {
			t.Fatalf("got status %d at %s, want 200 at %s; the page says\n%s", status, p.URL(), path, p.Text("main"))
		}
		seen(path)
	}
	has := func(selector string, texts ...string) {
		t.Helper()
		got := p.Text(selector)
		for _, x := range texts {
			if !strings.Contains(got, x) {
				t.Errorf("%s lacks %q in %s:\n%s", p.URL(), x, selector, got)
			}
		}
	}
	at(p.Open(w.base+"/"), "/")
	at(h.visit(`a.choice[href="/reset"]`), "/reset")
	h.fill("#login", ada.Login)
	at(h.send(), "/choose")
	h.pick("input[value=email]")
	at(h.send(), "/code")
	if strings.Contains(p.Text("main"), "@") {
		t.Error("the page names an address before anything is proved")
	}
	h.fill("#code", spaced(w.mailCode(ada.Email, 1)))
	at(h.send(), "/choose")
	has("main", say.left, say.ways, "•")
	if html := p.HTML(); strings.Contains(html, ada.Email) || strings.Contains(html, ada.Phone) {
		t.Error("the page shows an address or a number in full")
	}
	h.pick(".choice:has([href$='#message-square']) input")
	at(h.send(), "/code")
	h.fill("#code", w.textCode(ada.Phone, 1))
	at(h.send(), "/new-password")
	has("main", say.rules)
	has("#rules", say.length, say.history)
	h.fill("#password", ada.earlier())
	if status := h.send(); status != 422 || p.URL() != w.base+"/new-password" {
		t.Fatalf("a password from the history: got status %d at %s", status, p.URL())
	}
	seen("refused")
	has("#problems", say.refused)
	has("#password-error", say.refused)
	if got := p.Value("#password"); got != "" {
		t.Error("the refused password stands in the page again")
	}
	if w.signsIn(ada, ada.earlier()) || !w.signsIn(ada, ada.Password) {
		t.Error("a refused password changed something")
	}
	h.fill("#password", fresh)
	at(h.send(), "/progress")
	has("h1", say.done)
	has("main", say.nobody, say.devices, say.reference, "Alder directory")
	if ref := p.Text(".reference"); !regexp.MustCompile(`^[A-Z0-9]{4}-[A-Z0-9]{4}$`).MatchString(ref) {
		t.Errorf("the reference is %q", ref)
	}
	if got := p.Attribute("main a.btn", "href"); got != w.setup.Organisation.SignIn || !strings.Contains(p.Text("main a.btn"), say.signIn) {
		t.Errorf("the last page leads to %q", got)
	}
	for _, c := range p.Cookies() {
		if c != "regain-try" && c != "regain-code" && c != "regain-lang" && c != "regain-theme" {
			t.Errorf("a reset leaves the cookie %s: nobody may be signed in by it", c)
		}
	}
	if !w.signsIn(ada, fresh) {
		t.Error("the new password does not sign in to the directory")
	}
	if w.signsIn(ada, ada.Password) {
		t.Error("the old password still signs in to the directory")
	}
	eventually(t, "a notice at every address", func() bool {
		return w.subjects(ada.Login, say.notice) == 1 && w.subjects(ada.Email, say.notice) == 1 && len(w.sms.Texts(ada.Phone)) == 2
	})
	if n := w.count(ada.ID, event.PasswordReset); n != 1 {
		t.Errorf("%d events say that the password was reset, want 1", n)
	}
	// Nothing behind the last page takes anything any more.
	if status := p.Open(w.base + "/new-password"); status != 200 || p.URL() != w.base+"/progress" {
		t.Errorf("after the end the password page answers %d at %s", status, p.URL())
	}
	if strings.Contains(w.log.String(), fresh) || strings.Contains(w.log.String(), ada.Email) {
		t.Error("a secret or an address stands in the log")
	}
}

// spaced is a code as a person may type it.
func spaced(code string) string { return code[:4] + " " + code[4:] }

// subjects counts letters to an address whose subject holds a text.
func (w *world) subjects(to, text string) int {
	n := 0
	for _, l := range w.mail.Letters(to) {
		if strings.Contains(l.Subject, text) {
			n++
		}
	}
	return n
}

func TestAPersonSentBySCIMGetsBackIntoARealDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{kind: store.PostgreSQL, slapd: true, policy: eightRule})
	ada, _ := w.provisioned("ada", client.TrustAll)
	p := browser.New(t)
	journey(t, w, p, mouse{p}, "en", ada, func(string) {})
}

func TestTheSameByKeyboardAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{slapd: true, policy: eightRule})
	ada, _ := w.provisioned("ada", client.TrustAll)
	p := browser.New(t)
	journey(t, w, p, keys{p, t}, "en", ada, func(page string) {
		if page == "refused" {
			if got := p.Focused(); got != "#problems" {
				t.Errorf("after a refusal the keyboard is at %s, want the summary of problems", got)
			}
			return
		}
		p.Press("\t")
		if !browser.Eval[bool](p, `document.activeElement.matches(".skip")`) {
			t.Errorf("%s: the first stop of the keyboard is no way past the head of the page", page)
		}
	})
}

// english are words no German page holds.
var english = regexp.MustCompile(`(?i)\b(the|you|your|and|with|this|that|password|back|continue|help|code to|please|cannot|is|of|not|try)\b`)

func TestTheSameInGermanWithoutScripts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{slapd: true, policy: eightRule})
	ada, _ := w.provisioned("ada", client.TrustAll)
	p := browser.New(t)
	p.DisableScripts()
	p.Language("de-AT,de;q=0.9")
	pages := 0
	journey(t, w, p, mouse{p}, "de", ada, func(page string) {
		pages++
		inGerman(t, p, page)
		if p.Count(".js") != 0 {
			t.Errorf("%s: a script ran", page)
		}
	})
	if pages < 8 {
		t.Errorf("only %d pages seen", pages)
	}
}

func TestALanguageChosenAtTheFootStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{})
	p := browser.New(t)
	p.Open(w.base + "/reset")
	if status := p.Follow("footer a[hreflang=de]"); status != 200 || p.URL() != w.base+"/reset" {
		t.Fatalf("got status %d at %s", status, p.URL())
	}
	inGerman(t, p, "chosen")
	p.Open(w.base + "/help")
	inGerman(t, p, "the next page")
}

// inGerman fails when a page is not all German: its text, its title, and what only a screen reader says.
func inGerman(t *testing.T, p *browser.Page, page string) {
	t.Helper()
	if got := p.Attribute("html", "lang"); got != "de" {
		t.Errorf("%s is in %q", page, got)
	}
	text := browser.Eval[string](p, `[document.title, document.body.innerText, ...[...document.querySelectorAll("[aria-label]")].map(e => e.getAttribute("aria-label")),
		...[...document.querySelectorAll(".hidden-text")].map(e => e.textContent)].join("\n")`)
	text = strings.NewReplacer("Alder directory", "", "https://help.alder.example/", "", "My phone", "").Replace(text) // the operator's and people's own words
	if found := english.FindAllString(text, -1); len(found) > 0 {
		t.Errorf("%s says %q in English:\n%s", page, found, text)
	}
}

func TestWithTheDefaultTrustOnePageSaysWhyItCannotWorkYet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{kind: store.PostgreSQL, slapd: true, policy: eightRule})
	ada, _ := w.provisioned("ada", client.TrustOne)
	v := w.visitor()
	v.post("/reset", "login", ada.Login).want(t, 200, "/choose")
	v.post("/choose", "way", "email").want(t, 200, "/code")
	v.post("/code", "code", w.mailCode(ada.Email, 1)).want(t, 200, "/choose", "You cannot finish this here yet",
		"2 different ways are needed and you can prove 1", "Text message: your organisation added it together with a way you have already used",
		"Until you confirm them yourself, they count as one", "set up one more way", "Ask the help desk")
	v.post("/new-password", "password", fresh)
	if w.signsIn(ada, fresh) || !w.signsIn(ada, ada.Password) {
		t.Error("one proof was enough")
	}
}

func TestAPersonDisabledBySCIMIsOutAtTheNextStep(t *testing.T) {
	t.Parallel()
	off := map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": []any{map[string]any{"op": "replace", "path": "active", "value": false}}}
	for _, step := range []string{"before the first code", "after the first proof", "before the password"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t, scene{kind: store.PostgreSQL, slapd: true, policy: eightRule})
			ada, token := w.provisioned("ada", client.TrustAll)
			disable := func() {
				t.Helper()
				if status, got := w.scim(token, "PATCH", "/Users/"+ada.ID, off); status != 200 && status != 204 {
					t.Fatalf("disable: got status %d: %v", status, got)
				}
			}
			v := w.visitor()
			v.post("/reset", "login", ada.Login).want(t, 200, "/choose")
			v.post("/choose", "way", "email").want(t, 200, "/code")
			code := w.mailCode(ada.Email, 1)
			if step == "before the first code" {
				disable()
				if got := v.post("/code", "code", code); got.Path == "/choose" && strings.Contains(got.Text, "•") {
					t.Fatalf("a disabled person proved it:\n%s", got.Text)
				}
			} else {
				v.post("/code", "code", code).want(t, 200, "/choose")
				if step == "before the password" {
					v.chooseKind("sms").want(t, 200, "/code")
					v.post("/code", "code", w.textCode(ada.Phone, 1)).want(t, 200, "/new-password")
				}
				disable()
				page := v.get("/choose")
				if step == "before the password" {
					page = v.post("/new-password", "password", fresh)
				}
				if !strings.Contains(page.Text, "This was ended") || strings.Contains(page.Text, "•") {
					t.Errorf("got at %s:\n%s", page.Path, page.Text)
				}
			}
			v.post("/new-password", "password", fresh)
			if w.signsIn(ada, fresh) || !w.signsIn(ada, ada.Password) {
				t.Error("a disabled person set a password")
			}
		})
	}
}

func TestAFloodByStrangersDoesNotKeepTheOwnerFromTheSecondMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{change: func(s *Setup) { s.Rates.SendsPerPerson = 3 }})
	ada := w.add("ada", method.SMS, method.RecoveryCode)
	for n := range 5 {
		stranger := w.visitor()
		stranger.From = fmt.Sprintf("203.0.113.%d", n+1)
		stranger.post("/reset", "login", ada.Login).want(t, 200, "/choose")
		stranger.post("/choose", "way", "sms").want(t, 200, "/code")
	}
	eventually(t, "the strangers' messages are spent", func() bool { return w.count(ada.ID, event.CodeUnsent) == 2 })
	sent := len(w.sms.Texts(ada.Phone))
	v := w.visitor()
	v.post("/reset", "login", ada.Login).want(t, 200, "/choose")
	v.post("/choose", "way", "recovery-code").want(t, 200, "/recovery-code")
	v.post("/recovery-code", "code", ada.Codes[0]).want(t, 200, "/choose")
	v.chooseKind("sms").want(t, 200, "/code")
	v.post("/code", "code", w.textCode(ada.Phone, sent+1)).want(t, 200, "/new-password")
}
