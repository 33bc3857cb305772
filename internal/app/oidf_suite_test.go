package app

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// suite is the conformance suite as an app: it asks as the module at hand does, and looks at what it gets as strictly.
type suite struct {
	t    *testing.T
	w    *world
	time *clock
	meta map[string]any
	app  *asker
	v    *visitor // the person's browser
}

// What a module finds.
const (
	oidfPass    = "pass"
	oidfDiffers = "differs"
	oidfSkipped = "not applicable"
)

// reply is what an endpoint for programs answers.
type reply struct {
	status int
	body   map[string]any
	header http.Header
}

// call sends a request of the app. The method is GET or POST; a form goes in the body of a POST.
func (s *suite) call(method, path string, form url.Values, dress func(*http.Request)) reply {
	s.t.Helper()
	var in io.Reader
	if form != nil {
		in = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.w.base+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if dress != nil {
		dress(r)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	out := reply{status: res.StatusCode, header: res.Header}
	b, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(b, &out.body)
	}
	if err != nil || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		s.t.Fatalf("%s %s: %d %s is no JSON: %s", method, path, res.StatusCode, res.Header.Get("Content-Type"), b)
	}
	return out
}

func (s *suite) basic(r *http.Request) {
	r.SetBasicAuth(url.QueryEscape(s.app.Key), url.QueryEscape(s.app.secret))
}

// redeem takes a code to the token endpoint.
func (s *suite) redeem(q question, code string) reply {
	s.t.Helper()
	return s.call("POST", "/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {q.form.Get("redirect_uri")}, "code_verifier": {q.verifier}}, s.basic)
}

// open begins a request in the person's browser and holds it to the first page of a reset.
func (s *suite) open(q question) sight {
	s.t.Helper()
	return s.v.get("/oauth2/authorize?"+q.form.Encode()).want(s.t, http.StatusOK, "/reset")
}

// finish goes from the first page through two proofs to the code, and checks the answer as every module does.
func (s *suite) finish(q question) string {
	s.t.Helper()
	p := s.w.newcomer()
	s.v.proveTwice(p)
	s.v.post("/new-password", "password", fresh).want(s.t, http.StatusOK, "/progress", "Your password is changed")
	back := s.v.goBack().answer(s.t, q.form.Get("redirect_uri"))
	for name, values := range back {
		if len(values) != 1 || !slices.Contains([]string{"code", "state", "iss"}, name) {
			s.t.Errorf("the answer has %s=%q", name, values)
		}
	}
	if back.Get("state") != q.form.Get("state") || back.Get("iss") != s.w.base || len(back.Get("code")) < 22 {
		s.t.Errorf("the answer is %v", back)
	}
	return back.Get("code")
}

// refused holds a request to being answered with an error, by a browser that is sent back.
func (s *suite) refused(q question) string {
	s.t.Helper()
	back := s.v.get("/oauth2/authorize?"+q.form.Encode()).answer(s.t, q.form.Get("redirect_uri"))
	if back.Get("state") != q.form.Get("state") || back.Get("iss") != s.w.base || back.Get("code") != "" {
		s.t.Errorf("the answer is %v", back)
	}
	return back.Get("error")
}

// granted is a whole flow, judged: claims of the ID token and the access token.
type granted struct {
	claims map[string]any
	header jose.Header
	raw    string
	access string
	code   string
}

// flow performs a request to its end.
func (s *suite) flow(q question) granted {
	s.t.Helper()
	s.open(q)
	return s.judge(q, s.finish(q))
}

// judge redeems a code and checks all of the answer: OIDC Core §3.1.3.3, §3.1.3.7, RFC 6749 §5.1.
func (s *suite) judge(q question, code string) granted {
	s.t.Helper()
	r := s.redeem(q, code)
	if r.status != http.StatusOK || !strings.EqualFold(fmt.Sprint(r.body["token_type"]), "Bearer") || !strings.Contains(r.header.Get("Cache-Control"), "no-store") || r.body["expires_in"] == nil {
		s.t.Fatalf("token endpoint: %d %v %v", r.status, r.body, r.header)
	}
	g := granted{code: code, access: fmt.Sprint(r.body["access_token"]), raw: fmt.Sprint(r.body["id_token"])}
	var keys jose.JSONWebKeySet
	b, _ := json.Marshal(s.call("GET", strings.TrimPrefix(s.meta["jwks_uri"].(string), s.w.base), nil, nil).body)
	if err := json.Unmarshal(b, &keys); err != nil {
		s.t.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(g.raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		s.t.Fatal(err)
	}
	g.header = signed.Signatures[0].Header
	found := keys.Key(g.header.KeyID)
	if g.header.KeyID == "" || len(found) != 1 || !found[0].IsPublic() {
		s.t.Fatalf("kid %q names %d keys", g.header.KeyID, len(found))
	}
	payload, err := signed.Verify(found[0])
	if err == nil {
		err = json.Unmarshal(payload, &g.claims)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	now := float64(s.w.now().Unix())
	iat, _ := g.claims["iat"].(float64)
	exp, _ := g.claims["exp"].(float64)
	sub, _ := g.claims["sub"].(string)
	if g.claims["iss"] != s.w.base || g.claims["aud"] != s.app.Key || sub == "" || len(sub) > 255 || iat < now-60 || iat > now+60 || exp <= now || g.claims["azp"] != nil && g.claims["azp"] != s.app.Key {
		s.t.Errorf("claims %v at %v", g.claims, now)
	}
	if nonce := q.form.Get("nonce"); nonce != "" && g.claims["nonce"] != nonce || nonce == "" && g.claims["nonce"] != nil {
		s.t.Errorf("nonce %v", g.claims["nonce"])
	}
	if at, there := g.claims["at_hash"]; there {
		sum := sha256.Sum256([]byte(g.access))
		if at != base64.RawURLEncoding.EncodeToString(sum[:16]) {
			s.t.Errorf("at_hash %v", at)
		}
	}
	return g
}

// userinfo asks for the subject, as a module does.
func (s *suite) userinfo(g granted, method string, form url.Values, dress func(*http.Request)) {
	s.t.Helper()
	if r := s.call(method, "/oauth2/userinfo", form, dress); r.status != http.StatusOK || r.body["sub"] != g.claims["sub"] {
		s.t.Errorf("userinfo: %d %v, want sub %v", r.status, r.body, g.claims["sub"])
	}
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// offers reports whether a list of the metadata holds a value.
func (s *suite) offers(list, value string) bool {
	all, _ := s.meta[list].([]any)
	return slices.Contains(all, any(value))
}

// again asks a second time in the browser that just finished: it reports whether everything is to be proved anew, and what
// comes of it. Without a page the answer is an error.
func (s *suite) again(q question) (g granted, refusal string) {
	s.t.Helper()
	page := s.v.get("/oauth2/authorize?" + q.form.Encode())
	if page.Status == http.StatusSeeOther {
		back := page.answer(s.t, q.form.Get("redirect_uri"))
		if back.Get("code") != "" {
			s.t.Error("a code without anybody proving anything")
		}
		return g, back.Get("error")
	}
	page.want(s.t, http.StatusOK, "/reset")
	if strings.Contains(s.v.get("/progress").HTML, `action="/oauth2/return"`) {
		s.t.Error("what was done before is the answer to this")
	}
	return s.judge(q, s.finish(q)), ""
}
