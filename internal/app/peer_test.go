package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/client"
)

// npmClient is the certified npm openid-client in a process of its own, as an app uses it.
type npmClient struct {
	t          testing.TB
	in         io.Writer
	out        *bufio.Reader
	complaints bytes.Buffer
}

func newNPMClient(t testing.TB) *npmClient {
	t.Helper()
	node, _ := nodePeers(t, "openid-client")
	c := &npmClient{t: t}
	cmd := exec.Command(node, "testdata/openid-client.mjs")
	cmd.Stderr = &c.complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("openid-client: %v\n%s", err, c.complaints.String())
		}
	})
	return c
}

// npmAnswer is what it says to an order.
type npmAnswer struct {
	URL      string
	Claims   map[string]any
	Userinfo map[string]any
	Tokens   map[string]any
	Server   map[string]any
	Error    *struct{ Name, Code, Error, Message, Cause string }
}

func (c *npmClient) order(do string, with map[string]any) npmAnswer {
	c.t.Helper()
	order := map[string]any{"do": do}
	for k, v := range with {
		order[k] = v
	}
	line, err := json.Marshal(order)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		c.t.Fatal(err)
	}
	said, err := c.out.ReadBytes('\n')
	if err != nil {
		c.t.Fatalf("openid-client ended: %v\n%s", err, c.complaints.String())
	}
	var a npmAnswer
	if err := json.Unmarshal(said, &a); err != nil {
		c.t.Fatalf("%v: %s", err, said)
	}
	return a
}

// must is order that the library has to take.
func (c *npmClient) must(do string, with map[string]any) npmAnswer {
	c.t.Helper()
	a := c.order(do, with)
	if a.Error != nil {
		c.t.Fatalf("%s %v: %+v", do, with, *a.Error)
	}
	return a
}

// refuses is order that has to fail with an OAuth error of ours, or with a code of the library's.
func (c *npmClient) refuses(what, do, want string, with map[string]any) {
	c.t.Helper()
	if a := c.order(do, with); a.Error == nil || a.Error.Error != want && a.Error.Code != want {
		c.t.Errorf("%s: got %+v (%v), want %s", what, a.Error, a.Claims, want)
	}
}

// registered is how an app knows itself.
func (a *asker) registered(auth, alg string) map[string]any {
	o := map[string]any{"issuer": a.w.base, "client_id": a.Key, "auth": auth, "secret": a.secret, "signed": a.Alg}
	if a.pem != nil {
		o["pem"], o["kid"], o["alg"] = string(a.pem), "key-1", alg
	}
	return o
}

// sends follows an address that the library made to the pages, and through them back to the app.
func (w *world) sends(t testing.TB, to string, a *asker) (address string) {
	t.Helper()
	v := w.visitor().stopAtApps()
	v.get(strings.TrimPrefix(to, w.base)).want(t, 200, "/reset")
	v.proveTwice(w.newcomer())
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
	left := v.goBack()
	left.answer(t, a.Redirects[0])
	return left.Header.Get("Location")
}

func TestTheCertifiedClientOfNodeGetsThroughInEveryWayThereIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{})
	for _, test := range []struct {
		auth, key, signed string
		par               bool
		subject           client.Subject
	}{
		{"client_secret_basic", "", "RS256", true, client.Pairwise},
		{"client_secret_basic", "", "ES256", false, client.Public},
		{"client_secret_basic", "", "EdDSA", true, client.Pairwise},
		{"client_secret_post", "", "ES256", true, client.Pairwise},
		{"client_secret_post", "", "RS256", false, client.Pairwise},
		{"private_key_jwt", "ES256", "ES256", true, client.Pairwise},
		{"private_key_jwt", "EdDSA", "EdDSA", true, client.Pairwise},
		{"private_key_jwt", "RS256", "RS256", false, client.Pairwise},
		{"private_key_jwt", "PS256", "ES256", true, client.Pairwise},
	} {
		t.Run(strings.Join([]string{test.auth, test.key, test.signed}, " "), func(t *testing.T) {
			t.Parallel()
			change := func(a *client.App) { a.Alg, a.Subject, a.PushOnly = test.signed, test.subject, test.par }
			var a *asker
			if test.key == "" {
				a = w.asker(change)
			} else {
				a = w.keyed(test.key, change)
			}
			c := newNPMClient(t)
			if s := c.must("begin", a.registered(test.auth, test.key)).Server; s["issuer"] != w.base {
				t.Errorf("discovered %v", s)
			}
			asked := c.must("ask", map[string]any{"par": test.par, "redirect_uri": a.Redirects[0], "scope": "openid regain.reset"})
			if u, err := url.Parse(asked.URL); err != nil || test.par && (u.Query().Get("scope") != "" || u.Query().Get("request_uri") == "") {
				t.Errorf("the browser carries %s", asked.URL)
			}
			got := c.must("answer", map[string]any{"url": w.sends(t, asked.URL, a)})
			result, _ := got.Claims["urn:regain:claim:result"].(map[string]any)
			if got.Claims["acr"] != "urn:regain:acr:recovery" || result["action"] != "reset" || result["status"] != "done" || result["txn"] == "" || result["sign_in"] != "https://login.alder.example/" {
				t.Errorf("claims %v", got.Claims)
			}
			for _, name := range []string{"amr", "auth_time", "email", "name", "preferred_username", "phone_number"} {
				if v, there := got.Claims[name]; there {
					t.Errorf("the statement says %s: %v", name, v)
				}
			}
			if got.Tokens["refresh_token"] != nil || got.Tokens["token_type"] != "bearer" {
				t.Errorf("tokens %v", got.Tokens)
			}
			if info := c.must("userinfo", nil).Userinfo; len(info) != 1 || info["sub"] != got.Claims["sub"] {
				t.Errorf("userinfo %v", info)
			}
		})
	}
}

func TestTheCertifiedClientOfNodeIsRefusedWhatItMayNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{})
	a := w.asker(nil)
	c := newNPMClient(t)
	know := a.registered("client_secret_basic", "")
	request := map[string]any{"par": true, "redirect_uri": a.Redirects[0], "scope": "openid regain.reset"}
	with := func(in map[string]any, pairs ...any) map[string]any {
		out := map[string]any{}
		for k, v := range in {
			out[k] = v
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			out[pairs[i].(string)] = pairs[i+1]
		}
		return out
	}
	// Who it is.
	c.must("begin", with(know, "secret", a.secret+"x"))
	c.refuses("a wrong secret", "ask", "OAUTH_WWW_AUTHENTICATE_CHALLENGE", request) // RFC 6749 §5.2: 401 with how to do it
	c.must("begin", with(know, "client_id", "nobody-here"))
	c.refuses("a client nobody knows", "ask", "OAUTH_WWW_AUTHENTICATE_CHALLENGE", request)
	c.must("begin", with(know, "auth", "none"))
	c.refuses("no authentication", "ask", "invalid_client", request)
	stranger := w.keyed("ES256", nil)
	other := w.keyed("ES256", nil)
	c.must("begin", with(other.registered("private_key_jwt", "ES256"), "pem", string(stranger.pem)))
	c.refuses("another's key", "ask", "invalid_client", request)
	c.must("begin", with(a.registered("private_key_jwt", "ES256"), "pem", string(stranger.pem), "kid", "key-1", "alg", "ES256"))
	c.refuses("a key where a secret is registered", "ask", "invalid_client", request)
	// What it asks for.
	c.must("begin", know)
	for what, test := range map[string]struct {
		want string
		ask  map[string]any
	}{
		"two actions":              {"invalid_scope", with(request, "scope", "openid regain.reset regain.unlock")},
		"no action":                {"invalid_scope", with(request, "scope", "openid profile")},
		"another redirect URI":     {"invalid_request", with(request, "redirect_uri", "https://evil.example/callback")},
		"no PKCE":                  {"invalid_request", with(request, "parameters", map[string]any{"code_challenge": "", "code_challenge_method": ""})},
		"plain PKCE":               {"invalid_request", with(request, "parameters", map[string]any{"code_challenge_method": "plain"})},
		"an answer in a form":      {"invalid_request", with(request, "parameters", map[string]any{"response_mode": "form_post"})},
		"a token from the browser": {"unsupported_response_type", with(request, "parameters", map[string]any{"response_type": "code id_token"})},
		"nobody at the screen":     {"interaction_required", with(request, "parameters", map[string]any{"prompt": "none"})},
		"a request object":         {"request_not_supported", with(request, "parameters", map[string]any{"request": "eyJhbGciOiJub25lIn0.e30."})},
	} {
		c.refuses(what, "ask", test.want, test.ask)
	}
	// The same by a browser: what is wrong with a request of a known client is told there.
	v := w.visitor().stopAtApps()
	asked := c.must("ask", with(request, "par", false, "scope", "openid"))
	left := v.get(strings.TrimPrefix(asked.URL, w.base))
	left.answer(t, a.Redirects[0])
	c.refuses("no action, by a browser", "answer", "invalid_scope", map[string]any{"url": left.Header.Get("Location")})
	// What the browser brings.
	asked = c.must("ask", request)
	back := w.sends(t, asked.URL, a)
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := func(name, value string) string {
		q := u.Query()
		if q.Set(name, value); value == "" {
			q.Del(name)
		}
		return a.Redirects[0] + "?" + q.Encode()
	}
	c.refuses("no issuer", "answer", "OAUTH_INVALID_RESPONSE", map[string]any{"url": spoiled("iss", "")})
	c.refuses("another issuer", "answer", "OAUTH_INVALID_RESPONSE", map[string]any{"url": spoiled("iss", "https://evil.example")})
	c.refuses("another state", "answer", "OAUTH_INVALID_RESPONSE", map[string]any{"url": spoiled("state", "x")})
	c.refuses("a code nobody gave", "answer", "invalid_grant", map[string]any{"url": spoiled("code", "rgn_code_x")})
	// A code is shown once: with another verifier it is burnt.
	c.refuses("another verifier", "answer", "invalid_grant", map[string]any{"url": back, "verifier": strings.Repeat("v", 43)})
	c.refuses("the right one after it", "answer", "invalid_grant", map[string]any{"url": back})
	// And one that was redeemed.
	asked = c.must("ask", request)
	back = w.sends(t, asked.URL, a)
	first := c.must("answer", map[string]any{"url": back})
	c.refuses("a code twice", "answer", "invalid_grant", map[string]any{"url": back})
	token, _ := first.Tokens["access_token"].(string)
	if got := c.order("userinfo", map[string]any{"access_token": token, "sub": first.Claims["sub"]}); got.Error == nil {
		t.Error("what a code gave that was shown twice opens userinfo still")
	}
	c.refuses("a refresh token", "refresh", "unsupported_grant_type", map[string]any{"refresh_token": token})
	// Somebody who stops.
	asked = c.must("ask", request)
	v = w.visitor().stopAtApps()
	v.get(strings.TrimPrefix(asked.URL, w.base)).want(t, http.StatusOK, "/reset")
	left = v.post("/oauth2/cancel")
	left.answer(t, a.Redirects[0])
	c.refuses("stopped", "answer", "access_denied", map[string]any{"url": left.Header.Get("Location")})
	// A pushed request opens once, and for its own client.
	asked = c.must("ask", request)
	w.visitor().get(strings.TrimPrefix(asked.URL, w.base)).want(t, http.StatusOK, "/reset")
	if again := w.visitor().get(strings.TrimPrefix(asked.URL, w.base)); again.Status != http.StatusGone {
		t.Errorf("a pushed request opens twice: %d", again.Status)
	}
	// An ID token signed by another algorithm than the client registered is not taken by the client.
	wrong := newNPMClient(t)
	wrong.must("begin", with(know, "signed", "RS256"))
	ours := wrong.must("ask", request)
	wrong.refuses("another algorithm", "answer", "OAUTH_INVALID_RESPONSE", map[string]any{"url": w.sends(t, ours.URL, a)})
}
