package app

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/web"
)

func TestTheGuideToSigningInExplainsEveryKey(t *testing.T) {
	text, _ := guide(t, "sign-in.md")
	events, _ := guide(t, "ssf.md")
	var look func(reflect.Type)
	look = func(s reflect.Type) {
		text := text
		if s == reflect.TypeFor[config.IDPEvents]() {
			text = events // what a provider may say is told there
		}
		for f := range s.Fields() {
			key := f.Tag.Get("key")
			if !strings.Contains(text, "\n| `"+key+"` |") {
				t.Errorf("the guide does not explain %s of %s", key, s.Name())
			}
			if f.Type.Kind() == reflect.Struct && f.Type.NumField() > 0 && f.Type.Field(0).Tag.Get("key") != "" {
				look(f.Type)
			}
		}
	}
	look(reflect.TypeFor[config.IDP]())
	for f := range reflect.TypeFor[config.LinkSignIn]().Fields() {
		if _, part, _ := strings.Cut(text, "`link.signin` says"); !strings.Contains(part, "`"+f.Tag.Get("key")+"`") {
			t.Errorf("the guide does not explain link.signin.%s", f.Tag.Get("key"))
		}
	}
}

func TestTheDefaultsInTheGuideToSigningInAreThoseOfTheProgram(t *testing.T) {
	c, err := loadBlock(t, guideBlock{info: "yaml part", text: "idps: [{name: main, issuer: https://id.example.org, client_id: regain, client_secret_file: secrets/idp}]"})
	if err != nil {
		t.Fatal(err)
	}
	p := c.IDPs[0]
	text, _ := guide(t, "sign-in.md")
	for key, value := range map[string]string{
		"scopes": "`[" + strings.Join(p.Scopes, ", ") + "]`", "claim": "`" + p.Claim + "`", "role_claims": "`[" + strings.Join(p.RoleClaims, ", ") + "]`",
		"request": "`" + string(p.StepUp.Request) + "`", "max_age": "`" + p.StepUp.MaxAge.String() + "`",
	} {
		if !regexp.MustCompile("(?m)^\\| `" + key + "` \\|.*\\| " + regexp.QuoteMeta(value) + " \\|$").MatchString(text) {
			t.Errorf("the program takes %s for %s, and the guide does not say so", value, key)
		}
	}
	for _, said := range []string{"`" + c.Link.SignIn.Claim + "`", "`" + c.Link.SignIn.Person + "`"} {
		if _, part, _ := strings.Cut(text, "`link.signin` says"); !strings.Contains(part, said) {
			t.Errorf("the guide does not say that link.signin has %s", said)
		}
	}
}

// What the guide quotes in the table of refusals is what people really read.
func TestTheRefusalsInTheGuideAreTheTextsPeopleRead(t *testing.T) {
	catalogue, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	text, _ := guide(t, "sign-in.md")
	_, part, _ := strings.Cut(text, "\n## 7. ")
	rows := regexp.MustCompile(`(?m)^\| \*(.+?)\* <!-- ([a-z_.]+) --> \|`).FindAllStringSubmatch(part, -1)
	if len(rows) < 6 {
		t.Fatalf("found %d rows: the test looks in the wrong place", len(rows))
	}
	for _, row := range rows {
		if got := catalogue.With("Organisation", "Example Ltd").Render("en", message.Key(row[2], "Provider", "Example Ltd")); !strings.Contains(got, strings.Trim(row[1], "…")) {
			t.Errorf("the guide says %q, and people read %q", row[1], got)
		}
	}
}

func TestTheGuideToRegisteringSaysTheNumbersOfTheProgram(t *testing.T) {
	text, _ := guide(t, "registering.md")
	for way, kind := range map[string]method.Kind{"a passkey": method.Passkey, "an authenticator app": method.TOTP, "a private mail address": method.Email, "a phone": method.SMS} {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^\| %s \|.*\| %d \|$`, way, register.Most[kind])).MatchString(text) {
			t.Errorf("the guide does not say that one may have %d of %s", register.Most[kind], kind)
		}
	}
	words := strings.Join(strings.Fields(text), " ")
	for _, said := range []string{
		fmt.Sprintf("gone on with for %d minutes", register.Life/time.Minute), fmt.Sprintf("of %s people at most", number(register.MaxSharing)),
		fmt.Sprintf("%s, shown once", number(register.MaxCodes)), fmt.Sprintf("ends after %d days", session.BrowserLife/(24*time.Hour)),
		fmt.Sprintf("a sign-in of the last %s minutes", number(int(session.StepUpLife/time.Minute))),
	} {
		if !strings.Contains(words, said) {
			t.Errorf("the guide does not say %q", said)
		}
	}
}

// The buttons that the guide to registering names are those on the pages.
func TestTheGuideToRegisteringNamesTheButtonsThereAre(t *testing.T) {
	catalogue, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	text, _ := guide(t, "registering.md")
	for _, key := range []string{"add.other", "add_codes.button", "setup.later", "activity.trust"} {
		if button := catalogue.Render("en", message.Key(key)); !strings.Contains(text, "*"+button+"*") {
			t.Errorf("the guide does not name the button %q", button)
		}
	}
}

func number(n int) string { return map[int]string{3: "three", 5: "five", 10: "ten"}[n] }

func TestTheKeyOfTheGuideIsOneThatSigns(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("without openssl nobody can make the key as the guide says")
	}
	dir := t.TempDir()
	makeKey(t, dir)
	pem, err := os.ReadFile(filepath.Join(dir, "secrets/idp.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signin.ReadKey(pem); err != nil {
		t.Error(err)
	}
}

// makeKey does what the guide says to make a key.
func makeKey(t *testing.T, dir string) {
	t.Helper()
	_, blocks := guide(t, "sign-in.md", "sh run")
	for _, b := range blocks {
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", b.text)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sign-in.md:%d: %v\n%s", b.line, err, out)
		}
	}
}

// vendor is an identity provider that a guide describes: it has the metadata the guide shows, and answers with the
// token the guide shows.
type vendor struct {
	t    *testing.T
	here string // of this server
	real string // scheme and host in the guide
	key  *rsa.PrivateKey
	meta map[string]any

	mu     sync.Mutex
	pushed map[string]url.Values
	asked  []url.Values // authorization requests, whichever way they came
	answer map[string]any
	codes  map[string]url.Values
}

func newVendor(t *testing.T, metadata string) *vendor {
	t.Helper()
	v := &vendor{t: t, pushed: map[string]url.Values{}, codes: map[string]url.Values{}}
	var err error
	if v.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	if err := json.Unmarshal([]byte(metadata), &v.meta); err != nil {
		t.Fatal(err)
	}
	issuer, err := url.Parse(v.meta["issuer"].(string))
	if err != nil {
		t.Fatal(err)
	}
	v.here, v.real = server.URL, issuer.Scheme+"://"+issuer.Host
	return v
}

// ServeHTTP answers every address that the metadata names.
func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := v.real + r.URL.Path
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	say := func(status int, what any) {
		b, err := json.Marshal(what)
		if err != nil {
			v.t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(strings.ReplaceAll(string(b), v.real, v.here)))
	}
	switch at {
	case strings.TrimSuffix(v.meta["issuer"].(string), "/") + "/.well-known/openid-configuration":
		say(http.StatusOK, v.meta)
	case v.meta["jwks_uri"]:
		say(http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: v.key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	case v.meta["pushed_authorization_request_endpoint"]:
		if !v.authenticated(r) {
			say(http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
			return
		}
		handle := fmt.Sprintf("urn:ietf:params:oauth:request_uri:%d", len(v.pushed))
		v.pushed[handle] = r.PostForm
		say(http.StatusCreated, map[string]any{"request_uri": handle, "expires_in": 60})
	case v.meta["authorization_endpoint"]:
		asked := r.Form
		if handle := r.Form.Get("request_uri"); handle != "" {
			if asked = v.pushed[handle]; len(r.Form) != 2 {
				v.t.Errorf("beside the handle the browser carries %v", r.Form)
			}
		} else if v.meta["pushed_authorization_request_endpoint"] != nil {
			v.t.Errorf("the request went through the browser although it can be pushed: %v", r.Form)
		}
		v.asked = append(v.asked, asked)
		code := fmt.Sprintf("code-%d", len(v.asked))
		v.codes[code] = asked
		back := url.Values{"code": {code}, "state": {asked.Get("state")}}
		if v.meta["authorization_response_iss_parameter_supported"] == true {
			back.Set("iss", strings.Replace(v.meta["issuer"].(string), v.real, v.here, 1))
		}
		http.Redirect(w, r, asked.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	case v.meta["token_endpoint"]:
		asked, known := v.codes[r.PostForm.Get("code")]
		if !known || !v.authenticated(r) || !pkce(r.PostForm.Get("code_verifier"), asked.Get("code_challenge")) {
			say(http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		delete(v.codes, r.PostForm.Get("code"))
		say(http.StatusOK, map[string]any{"access_token": "an access token", "token_type": "Bearer", "expires_in": 300, "id_token": v.token(asked.Get("nonce"))})
	default:
		v.t.Errorf("nobody said that %s exists", at)
		http.NotFound(w, r)
	}
}

func pkce(verifier, challenge string) bool {
	return verifier != "" && oauth2.S256ChallengeFromVerifier(verifier) == challenge
}

// authenticated reports whether the client proved itself in one of the ways the metadata names.
func (v *vendor) authenticated(r *http.Request) bool {
	_, _, basic := r.BasicAuth()
	way := map[bool]string{true: "client_secret_basic"}[basic]
	if r.PostForm.Get("client_secret") != "" {
		way = "client_secret_post"
	}
	if r.PostForm.Get("client_assertion") != "" {
		way = "private_key_jwt"
	}
	return slices.Contains(v.meta["token_endpoint_auth_methods_supported"].([]any), any(way))
}

// token signs the answer that is next. Times in it are seconds from now.
func (v *vendor) token(nonce string) string {
	claims := maps.Clone(v.answer)
	for _, name := range []string{"iat", "nbf", "exp", "auth_time"} {
		if n, has := claims[name].(float64); has {
			claims[name] = time.Now().Unix() + int64(n)
		}
	}
	if claims["nonce"] == "…" {
		claims["nonce"] = nonce
	}
	claims["iss"] = strings.Replace(claims["iss"].(string), v.real, v.here, 1)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: v.key, KeyID: "k1"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		v.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		v.t.Fatal(err)
	}
	return text
}

// next is the answer to the sign-ins that follow; what was asked before is forgotten.
func (v *vendor) next(claims map[string]any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer, v.asked = claims, nil
}

func (v *vendor) first() url.Values {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.asked) == 0 {
		return nil
	}
	return v.asked[0]
}

// exchange is a request that a guide shows, and what may be answered to it.
type exchange struct {
	purpose string
	to      string
	asks    map[string]string
	line    int
	answers []recorded
}

type recorded struct {
	claims  map[string]any
	refused bool
	line    int
}

func exchanges(t *testing.T, page string) (all []exchange) {
	t.Helper()
	_, blocks := guide(t, page, "text request", "json token", "json refused")
	for _, b := range blocks {
		if b.info != "text request" {
			r := recorded{refused: b.info == "json refused", line: b.line}
			if err := json.Unmarshal([]byte(b.text), &r.claims); err != nil || len(all) == 0 {
				t.Fatalf("%s:%d: %v", page, b.line, err)
			}
			last := &all[len(all)-1]
			last.answers = append(last.answers, r)
			continue
		}
		head, rest, _ := strings.Cut(b.text, "\n")
		x := exchange{asks: map[string]string{}, line: b.line}
		x.purpose, x.to, _ = strings.Cut(head, " ")
		for line := range strings.Lines(rest) {
			name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			if !ok {
				t.Fatalf("%s:%d: %q is no parameter", page, b.line, line)
			}
			x.asks[name] = value
		}
		all = append(all, x)
	}
	return all
}

// differs says where a request is not what a guide shows: the same parameters, each once, "…" for what is new each time.
func (x exchange) differs(got url.Values, base string) (why []string) {
	for name, want := range x.asks {
		want = strings.Replace(want, "https://account.example.org", base, 1)
		if len(got[name]) != 1 || want != "…" && got.Get(name) != want || got.Get(name) == "" {
			why = append(why, fmt.Sprintf("%s: got %q, the guide says %q", name, got[name], want))
		}
	}
	for name := range got {
		if _, said := x.asks[name]; !said && !strings.HasPrefix(name, "client_assertion") && name != "client_secret" && name != "ui_locales" {
			why = append(why, fmt.Sprintf("%s=%q is sent, and the guide does not say so", name, got.Get(name)))
		}
	}
	return why
}

// Each guide to a provider shows its configuration, the requests that come of it, and tokens with what becomes of them.
// Here the configuration is loaded as it stands, the provider is played by its metadata and these tokens, and the code
// that signs people in does the rest. Only the host is another one.
func TestTheProvidersOfTheGuidesAreAskedAndBelievedAsTheySay(t *testing.T) {
	for _, page := range []string{"sign-in-entra.md", "sign-in-okta.md", "sign-in-keycloak.md", "sign-in-authentik.md"} {
		t.Run(page, func(t *testing.T) {
			_, metadata := guide(t, page, "json metadata")
			v := newVendor(t, metadata[0].text)
			w := signInWorld(t, page, v)
			purposes := map[string]int{}
			said := exchanges(t, page)
			for _, x := range said {
				purposes[x.purpose]++
				if want := v.meta["authorization_endpoint"]; x.to != want {
					t.Errorf("%s:%d: asked at %s, and the metadata says %s", page, x.line, x.to, want)
				}
				for _, a := range x.answers {
					w.replay(t, page, v, said[0].answers[0], x, a)
				}
			}
			if purposes["sign-in"] != 1 || purposes["step-up"] != 1 || purposes["proof"] != 1 {
				t.Errorf("the guide shows %v", purposes)
			}
		})
	}
}

// replay lets a new browser do one exchange of a guide: a sign-in, a step-up after the guide's first sign-in, or a proof
// in a reset.
func (w *world) replay(t *testing.T, page string, v *vendor, signIn recorded, x exchange, a recorded) {
	t.Helper()
	b := w.visitor()
	from, to, afterwards := "/guide/"+x.purpose, "/guide/"+x.purpose, "somebody"
	switch x.purpose {
	case "sign-in":
		to = "/guide/who"
	case "step-up":
		v.next(signIn.claims)
		if in := b.get("/guide/sign-in"); in.Path != "/guide/who" || !strings.Contains(in.HTML, `"somebody`) {
			t.Fatalf("%s:%d: the sign-in before it ends at %s: %s", page, x.line, in.Path, in.Text)
		}
		if !a.refused {
			afterwards = "somebody strong"
		}
	case "proof":
		b.post("/reset", "login", "ada").want(t, 200, "/choose")
		b.post("/choose", "way", "idp").want(t, 200, "/work-sign-in")
		from, to, afterwards = "/work-sign-in/go?idp="+w.setup.IDPs[0].Name, "/choose", "nobody" // a proof signs nobody in
	}
	v.next(a.claims)
	seen := b.get(from)
	for _, why := range x.differs(v.first(), w.base) {
		t.Errorf("%s:%d: %s", page, x.line, why)
	}
	accepted := seen.Status == http.StatusOK && seen.Path == to
	if x.purpose == "proof" {
		proofs := b.attempt()["proofs"]
		accepted = accepted && proofs == 1
	} else if a.refused && (seen.Status != http.StatusForbidden || seen.H1 != "A stronger sign-in is needed") {
		t.Errorf("%s:%d: the person reads %q with status %d", page, a.line, seen.H1, seen.Status)
	}
	if accepted == a.refused {
		t.Errorf("%s:%d: accepted is %t; the browser sees %d at %s\n%s", page, a.line, accepted, seen.Status, seen.Path, seen.Text)
	}
	if who := b.get("/guide/who").HTML; !strings.Contains(who, `"`+afterwards+`"`) {
		t.Errorf("%s:%d: afterwards the browser is %s, want %s", page, a.line, who, afterwards)
	}
}

// signInWorld is a deployment with the configuration of a guide, whose provider is played by v, and one person, who has
// there the account of the guide's first token. Two pages stand for those that ask for a step-up and tell who is there.
func signInWorld(t *testing.T, page string, v *vendor) *world {
	t.Helper()
	_, blocks := guide(t, page, "yaml part")
	c, err := loadBlock(t, blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	providers, err := idps(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &providers[0]
	p.Issuer, p.AllowPrivate = strings.Replace(p.Issuer, v.real, v.here, 1), true
	w := newWorld(t, scene{noWork: true, change: func(s *Setup) { s.IDPs, s.Extra = providers, guidePages }})
	link, _ := exchanges(t, page)[0].answers[0].claims[p.LinkClaim].(string)
	ada := map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": "ada", "active": true}
	ada[p.Link] = link
	if status, said := w.scim(w.connector("hr", client.TrustOne), http.MethodPost, "/Users", ada); status != http.StatusCreated || link == "" {
		t.Fatalf("%d: %v", status, said)
	}
	return w
}

func guidePages(site *web.Site, srv *Server) error {
	door := srv.Door
	site.Handle(http.MethodGet, "/guide/sign-in", func(r *web.Request) (web.Page, error) {
		return door.Begin(r, session.Flow{Purpose: session.SignIn, Goto: "/guide/who"})
	})
	site.Handle(http.MethodGet, "/guide/step-up", door.In(func(r *web.Request, s *session.Session) (web.Page, error) {
		if s.SteppedUp(time.Now(), session.StepUpLife) {
			return web.Page{JSON: "strong"}, nil
		}
		return door.StepUp(r, s, "/guide/step-up")
	}))
	site.Handle(http.MethodGet, "/guide/who", func(r *web.Request) (web.Page, error) {
		s, err := door.Session(r)
		switch {
		case err != nil:
			return web.Page{}, err
		case s == nil:
			return web.Page{JSON: "nobody"}, nil
		case s.SteppedUp(time.Now(), session.StepUpLife):
			return web.Page{JSON: "somebody strong"}, nil
		}
		return web.Page{JSON: "somebody"}, nil
	})
	return nil
}
