package app

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
)

// oidfResults is what docs/oidf.md says of the modules in one of its sections, by their names.
func oidfResults(t *testing.T, section string) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/oidf.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "\n## "+section)
	if !ok {
		t.Fatalf("no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| ([a-z ]+) \\|").FindAllStringSubmatch(text, -1) {
		if out[m[1]] != "" {
			t.Errorf("%s stands twice", m[1])
		}
		out[m[1]] = m[2]
	}
	return out
}

// whole is a module that is one flow, with more in the request.
func whole(more ...string) func(*suite) string {
	return func(s *suite) string {
		s.flow(s.app.ask(client.ActionReset).with(more...))
		return oidfPass
	}
}

// scoped is a module about a scope of claims: the suite leaves it out when the scope is not offered. It is performed all the same.
func scoped(scopes string) func(*suite) string {
	return func(s *suite) string {
		q := s.app.ask(client.ActionReset)
		g := s.flow(q.with("scope", q.form.Get("scope")+" "+scopes))
		r := s.call("GET", "/oauth2/userinfo", nil, bearer(g.access))
		for _, claim := range []string{"name", "email", "address", "phone_number", "preferred_username", "family_name"} {
			if g.claims[claim] != nil || r.body[claim] != nil {
				s.t.Errorf("%s is told", claim)
			}
		}
		for scope := range strings.FieldsSeq(scopes) {
			if s.offers("scopes_supported", scope) {
				return oidfDiffers
			}
		}
		return oidfSkipped
	}
}

// quiet is a module that asks a second time and expects no page.
func quietly(prepare func(*suite, granted, question) question) func(*suite) string {
	return func(s *suite) string {
		first := s.flow(s.app.ask(client.ActionReset))
		if _, refusal := s.again(prepare(s, first, s.app.ask(client.ActionReset))); refusal != "interaction_required" {
			s.t.Errorf("got %q", refusal)
		}
		return oidfDiffers
	}
}

var opModules = map[string]func(*suite) string{
	"oidcc-server": func(s *suite) string {
		g := s.flow(s.app.ask(client.ActionReset))
		s.userinfo(g, "GET", nil, bearer(g.access))
		return oidfPass
	},
	"oidcc-response-type-missing": func(s *suite) string {
		if got := s.refused(s.app.ask(client.ActionReset).with("response_type", "")); got != "invalid_request" && got != "unsupported_response_type" {
			s.t.Errorf("got %q", got)
		}
		return oidfPass
	},
	"oidcc-idtoken-signature": func(s *suite) string {
		if g := s.flow(s.app.ask(client.ActionReset)); g.header.Algorithm != "RS256" {
			s.t.Errorf("signed by %s", g.header.Algorithm)
		}
		return oidfPass
	},
	"oidcc-idtoken-unsigned": func(s *suite) string {
		app := *s.app.App
		if app.Alg = "none"; app.Check() == nil {
			s.t.Error("an app may be registered for unsigned tokens")
		}
		if s.offers("id_token_signing_alg_values_supported", "none") {
			return oidfDiffers
		}
		return oidfSkipped
	},
	"oidcc-userinfo-get": func(s *suite) string {
		g := s.flow(s.app.ask(client.ActionReset))
		s.userinfo(g, "GET", nil, bearer(g.access))
		return oidfPass
	},
	"oidcc-userinfo-post-header": func(s *suite) string {
		g := s.flow(s.app.ask(client.ActionReset))
		s.userinfo(g, "POST", nil, bearer(g.access))
		return oidfPass
	},
	"oidcc-userinfo-post-body": func(s *suite) string {
		g := s.flow(s.app.ask(client.ActionReset))
		s.userinfo(g, "POST", url.Values{"access_token": {g.access}}, nil)
		return oidfPass
	},
	"oidcc-ensure-request-without-nonce-succeeds-for-code-flow": whole("nonce", ""),
	"oidcc-scope-profile": scoped("profile"),
	"oidcc-scope-email":   scoped("email"),
	"oidcc-scope-address": scoped("address"),
	"oidcc-scope-phone":   scoped("phone"),
	"oidcc-scope-all":     scoped("profile email address phone"),
	"oidcc-alternate-happy-flow": func(s *suite) string {
		q := s.app.ask(client.ActionReset).with("scope", "regain.reset email openid")
		s.v.get("/oauth2/authorize?"+backwards(q.form)).want(s.t, http.StatusOK, "/reset")
		s.judge(q, s.finish(q))
		return oidfPass
	},
	"oidcc-ensure-other-scope-order-succeeds": whole("scope", "email regain.reset openid"),
	"oidcc-display-page":                      whole("display", "page"),
	"oidcc-display-popup":                     whole("display", "popup"),
	"oidcc-prompt-login": func(s *suite) string {
		s.flow(s.app.ask(client.ActionReset))
		s.again(s.app.ask(client.ActionReset).with("prompt", "login"))
		return oidfPass
	},
	"oidcc-prompt-none-not-logged-in": func(s *suite) string {
		if got := s.refused(s.app.ask(client.ActionReset).with("prompt", "none", "state", strings.Repeat("0123456789abcdef", 8))); !slices.Contains([]string{"login_required", "interaction_required", "account_selection_required", "consent_required"}, got) {
			s.t.Errorf("got %q", got)
		}
		return oidfPass
	},
	"oidcc-prompt-none-logged-in":                          quietly(func(_ *suite, _ granted, q question) question { return q.with("prompt", "none") }),
	"oidcc-max-age-1":                                      aged("1"),
	"oidcc-max-age-10000":                                  aged("10000"),
	"oidcc-ensure-request-with-unknown-parameter-succeeds": whole("extra", "foobar"),
	"oidcc-id-token-hint": func(s *suite) string {
		got := quietly(func(_ *suite, g granted, q question) question {
			return q.with("prompt", "none", "id_token_hint", g.raw)
		})(s)
		// Without prompt=none the hint is honoured: somebody else's reset is no answer to it.
		other := &suite{t: s.t, w: s.w, time: s.time, meta: s.meta, app: s.app, v: s.w.visitor().stopAtApps()}
		first := other.flow(other.app.ask(client.ActionReset))
		q := other.app.ask(client.ActionReset).with("id_token_hint", first.raw)
		other.open(q)
		other.v.proveTwice(s.w.newcomer())
		other.v.post("/new-password", "password", fresh).want(s.t, http.StatusOK, "/progress", "Your password is changed")
		if back := other.v.goBack().answer(s.t, q.form.Get("redirect_uri")); back.Get("error") != "access_denied" || back.Get("code") != "" {
			s.t.Errorf("another person answered for the one of the hint: %v", back)
		}
		return got
	},
	"oidcc-login-hint": func(s *suite) string {
		q := s.app.ask(client.ActionReset).with("login_hint", "buffy@example.com")
		if at := s.open(q); !strings.Contains(at.HTML, `value="buffy@example.com"`) {
			s.t.Errorf("the hint is not in the field:\n%s", at.HTML)
		}
		s.judge(q, s.finish(q))
		return oidfPass
	},
	"oidcc-ui-locales": func(s *suite) string {
		q := s.app.ask(client.ActionReset).with("ui_locales", "se de en")
		if at := s.open(q); !strings.Contains(at.HTML, `lang="de"`) {
			s.t.Errorf("the page is not in the first language that there is:\n%s", at.HTML)
		}
		s.v.get("/reset?lang=en")
		s.judge(q, s.finish(q))
		return oidfPass
	},
	"oidcc-claims-locales": whole("claims_locales", "se"),
	"oidcc-ensure-request-with-acr-values-succeeds": func(s *suite) string {
		if g := s.flow(s.app.ask(client.ActionReset).with("acr_values", "1 2")); g.claims["acr"] != "urn:regain:acr:recovery" {
			s.t.Errorf("acr %v", g.claims["acr"])
		}
		return oidfPass
	},
	"oidcc-codereuse": func(s *suite) string {
		q := s.app.ask(client.ActionReset)
		g := s.flow(q)
		if r := s.redeem(q, g.code); r.status != http.StatusBadRequest || r.body["error"] != "invalid_grant" {
			s.t.Errorf("a second time: %d %v", r.status, r.body)
		}
		return oidfPass
	},
	"oidcc-codereuse-30seconds": func(s *suite) string {
		q := s.app.ask(client.ActionReset)
		g := s.flow(q)
		s.userinfo(g, "GET", nil, bearer(g.access))
		s.time.add(30 * time.Second)
		if r := s.redeem(q, g.code); r.status != http.StatusBadRequest || r.body["error"] != "invalid_grant" {
			s.t.Errorf("a second time: %d %v", r.status, r.body)
		}
		if r := s.call("GET", "/oauth2/userinfo", nil, bearer(g.access)); r.status != http.StatusUnauthorized {
			s.t.Errorf("the access token of the first use: %d %v", r.status, r.body)
		}
		return oidfPass
	},
	"oidcc-ensure-registered-redirect-uri": func(s *suite) string {
		q := s.app.ask(client.ActionReset)
		for _, other := range []string{"http://localhost:1/callback/x", "https://evil.example/", "http://localhost:1/callback?x=1", ""} {
			if at := s.v.get("/oauth2/authorize?" + q.with("redirect_uri", other).form.Encode()); at.Status != http.StatusBadRequest || at.Header.Get("Location") != "" {
				s.t.Errorf("%q: %d to %q", other, at.Status, at.Header.Get("Location"))
			}
		}
		return oidfPass
	},
	"oidcc-ensure-post-request-succeeds": func(s *suite) string {
		q := s.app.ask(client.ActionReset)
		s.v.send(http.MethodPost, "/oauth2/authorize", strings.NewReader(q.form.Encode())).want(s.t, http.StatusOK, "/reset")
		s.judge(q, s.finish(q))
		return oidfPass
	},
	"oidcc-server-client-secret-post": func(s *suite) string {
		q := s.app.ask(client.ActionReset)
		s.open(q)
		form := url.Values{"grant_type": {"authorization_code"}, "code": {s.finish(q)}, "redirect_uri": {q.form.Get("redirect_uri")}, "code_verifier": {q.verifier},
			"client_id": {s.app.Key}, "client_secret": {s.app.secret}}
		if r := s.call("POST", "/oauth2/token", form, nil); r.status != http.StatusOK || r.body["id_token"] == nil {
			s.t.Errorf("%d %v", r.status, r.body)
		}
		return oidfPass
	},
	"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported": func(s *suite) string {
		if got := s.refused(s.app.ask(client.ActionReset).with("request_uri", s.w.sms.URL+"/request.jwt")); got != "request_uri_not_supported" {
			s.t.Errorf("got %q", got)
		}
		return oidfPass
	},
	"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported": func(s *suite) string {
		return objects(s, oidfPass)
	},
	"oidcc-claims-essential": func(s *suite) string {
		s.flow(s.app.ask(client.ActionReset).with("claims", `{"userinfo":{"name":{"essential":true}}}`))
		if s.meta["claims_parameter_supported"] != false {
			return oidfDiffers
		}
		return oidfSkipped
	},
	"oidcc-ensure-request-object-with-redirect-uri": func(s *suite) string { return objects(s, oidfSkipped) },
	"oidcc-refresh-token": func(s *suite) string {
		q := s.app.ask(client.ActionReset)
		q = q.with("scope", q.form.Get("scope")+" offline_access", "prompt", "consent")
		s.open(q)
		r := s.redeem(q, s.finish(q))
		if r.status != http.StatusOK || r.body["refresh_token"] != nil {
			s.t.Errorf("%d %v", r.status, r.body)
		}
		if r := s.call("POST", "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}, s.basic); r.body["error"] != "unsupported_grant_type" {
			s.t.Errorf("a refresh token: %d %v", r.status, r.body)
		}
		if s.offers("grant_types_supported", "refresh_token") {
			return oidfDiffers
		}
		return oidfSkipped
	},
	"oidcc-ensure-request-with-valid-pkce-succeeds": func(s *suite) string {
		s.flow(s.app.ask(client.ActionReset))
		if got := s.refused(s.app.ask(client.ActionReset).with("code_challenge", "", "code_challenge_method", "")); got != "invalid_request" {
			s.t.Errorf("without: %q", got)
		}
		return oidfPass
	},
}

// backwards is a query with its parameters in the other order.
func backwards(form url.Values) string {
	parts := strings.Split(form.Encode(), "&")
	slices.Reverse(parts)
	return strings.Join(parts, "&")
}

// aged is a module about max_age: the suite wants auth_time, and a page or none.
func aged(seconds string) func(*suite) string {
	return func(s *suite) string {
		s.flow(s.app.ask(client.ActionReset))
		s.time.add(2 * time.Second)
		if g, refusal := s.again(s.app.ask(client.ActionReset).with("max_age", seconds)); refusal != "" || g.claims["auth_time"] != nil {
			s.t.Errorf("got %q, auth_time %v", refusal, g.claims["auth_time"])
		}
		return oidfDiffers
	}
}

// objects is a module that sends a request object.
func objects(s *suite, result string) string {
	e := base64.RawURLEncoding
	object := e.EncodeToString([]byte(`{"alg":"none"}`)) + "." + e.EncodeToString([]byte(`{"redirect_uri":"https://evil.example/"}`)) + "."
	if got := s.refused(s.app.ask(client.ActionReset).with("request", object)); got != "request_not_supported" {
		s.t.Errorf("got %q", got)
	}
	if s.meta["request_parameter_supported"] != false {
		return oidfDiffers
	}
	return result
}

func TestOIDFModulesOfTheProviderAreWhatTheDocumentSays(t *testing.T) {
	t.Parallel()
	said := oidfResults(t, "OpenID provider")
	at := newClock()
	w := newWorld(t, scene{now: at.now})
	s := suite{t: t, w: w, time: at, app: w.asker(func(a *client.App) { a.Alg = "RS256" })}
	s.meta = s.call("GET", "/.well-known/openid-configuration", nil, nil).body
	for name, perform := range opModules {
		t.Run(name, func(t *testing.T) {
			s := s
			s.t, s.v = t, w.visitor().stopAtApps()
			if got := perform(&s); got != said[name] {
				t.Errorf("found %q, and the document says %q", got, said[name])
			}
		})
	}
	for name := range said {
		if opModules[name] == nil {
			t.Errorf("%s: nobody performs it", name)
		}
	}
	// As the suite sends them: without an action, and without PKCE.
	s.v = w.visitor().stopAtApps()
	if got := s.refused(s.app.ask(client.ActionReset).with("scope", "openid")); got != "invalid_scope" {
		t.Errorf("without an action: %q", got)
	}
}
