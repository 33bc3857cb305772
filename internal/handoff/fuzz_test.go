package handoff

import (
	"context"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
)

var fuzzed = &client.App{ID: "a1", Key: "hr", Redirects: []string{cb}, Actions: []client.Action{client.ActionReset, client.ActionUnlock}}

// What a browser brings is a stranger's: whatever it is, a handoff is only made of a request without fault, and an error
// says nothing of what was sent.
func FuzzWhatIsAskedIsJudgedTheSameWhateverItIs(f *testing.F) {
	a := &app{App: fuzzed}
	f.Add(a.request().Encode(), false)
	f.Add(a.request("prompt", "none", "state", "\x00").Encode(), true)
	f.Add(a.request("scope", "openid regain.reset regain.unlock", "response_mode", "fragment").Encode(), false)
	f.Add("client_id=hr&client_id=hr&state=a&state=b&request_uri=urn:ietf:params:oauth:request_uri:x", false)
	f.Add("a=%zz&;=&&=&scope=openid+regain.reset", false)
	s := &Service{Config: Config{Base: base, Languages: []string{"en", "de"}}}
	f.Fuzz(func(t *testing.T, query string, pushed bool) {
		p, err := parse(query, maxQuery)
		if err != nil {
			return
		}
		h, bad := s.read(fuzzed, p, pushed)
		if (h == nil) == (bad == nil) {
			t.Fatalf("%q: both or neither of a handoff and a refusal", query)
		}
		if bad != nil {
			if bad.code == "" || bad.description == "" || strings.ContainsFunc(bad.description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
				t.Errorf("%q: refused as %q %q", query, bad.code, bad.description) // RFC 6749 §4.1.2.1
			}
			return
		}
		values := url.Values(p)
		switch {
		case !slices.Contains(fuzzed.Actions, h.Action) || h.App != "a1" || h.Key != "hr":
			t.Errorf("%q: a handoff of %s for %s", query, h.Action, h.Key)
		case values.Get("response_type") != "code" || values.Get("code_challenge_method") != "S256" || !client.IsChallenge(h.Challenge):
			t.Errorf("%q: a handoff without PKCE, or for no code", query)
		case len(values["state"]) > 1 || len(values["code_challenge"]) > 1 || len(values["redirect_uri"]) > 1 || len(values["scope"]) > 1:
			t.Errorf("%q: a handoff of a parameter that came twice", query)
		case values.Has("request") || values.Has("request_uri"):
			t.Errorf("%q: a handoff of a request that stands elsewhere", query)
		case h.Param != values.Get("state") || len(h.Param) > maxState || !plain(h.Param) || !plain(h.Nonce) || !plain(h.Hint):
			t.Errorf("%q: a handoff with %q %q %q", query, h.Param, h.Nonce, h.Hint)
		case h.Lang != "" && h.Lang != "en" && h.Lang != "de":
			t.Errorf("%q: the language %q", query, h.Lang)
		}
		to, err := url.Parse(s.answerTo(cb, h.Param, url.Values{"code": {"c"}}))
		if err != nil || to.Host != "hr.example" || to.Path != "/cb" || to.Query().Get("state") != h.Param || to.Query().Get("iss") != base {
			t.Errorf("%q: the answer goes to %v", query, to)
		}
	})
}

// anyOnce lets everything be used, as often as it likes.
type anyOnce struct{}

func (anyOnce) SpendOnce(context.Context, []byte, time.Time, time.Time) (bool, error) {
	return true, nil
}

type anyKeys struct{}

func (anyKeys) Hash(purpose string, parts ...string) []byte { return []byte(purpose) }

// An assertion is a stranger's bytes: none is believed but one of the very header and claims that the client signed. (Who
// knows one may write its ECDSA signature in another way; its jti is used up all the same.)
func FuzzAnAssertionSaysTheVeryTextThatWasSigned(f *testing.F) {
	key := newPair(f, "ES256")
	now := time.Unix(1_800_000_000, 0)
	good := key.signs(f, "ES256", map[string]any{"kid": key.public.ID}, map[string]any{"iss": "hr", "sub": "hr", "aud": base, "jti": "1", "exp": now.Unix() + 60})
	f.Add(good)
	f.Add(good + "A")
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add(strings.ToUpper(good))
	f.Add("eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".")
	f.Add("e30.e30.")
	f.Add(`{"signatures":[]}`)
	keys := func(string) ([]client.PublicKey, error) { return []client.PublicKey{key.public}, nil }
	s := &Service{Config: Config{Base: base, Once: anyOnce{}, Keys: anyKeys{}, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
	if kid, err := s.judge(f.Context(), "hr", good, keys); err != nil || kid != key.public.ID {
		f.Fatal(err)
	}
	said := good[:strings.LastIndex(good, ".")+1]
	f.Fuzz(func(t *testing.T, assertion string) {
		if who, err := assertedBy(assertion); err == nil && len(assertion) > maxAssertion {
			t.Errorf("%d bytes are read, by %q", len(assertion), who)
		}
		if _, err := s.judge(t.Context(), "hr", assertion, keys); err == nil && !strings.HasPrefix(assertion, said) {
			t.Errorf("believed: %q", assertion)
		}
	})
}

// Whoever writes an Authorization header may write anything.
func FuzzABasicHeaderIsReadOrRefused(f *testing.F) {
	for _, s := range []string{basic("hr", "secret"), "Basic", "basic  aHI6c2VjcmV0", "Basic aHI6JTAw", "Bearer x", "Basic " + strings.Repeat("A", 5000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		key, secret, err := readBasic(header)
		if err == nil && (secret == "" || len(key)+len(secret) > 4*maxSecret) {
			t.Errorf("%q is read as %q %q", header, key, secret)
		}
	})
}
