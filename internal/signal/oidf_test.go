package signal

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
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

// suite is the conformance suite as a receiver.
type suite struct {
	*wire
	t     *testing.T
	token string
	host  string // where it takes pushes

	mu     sync.Mutex
	pushed []push
}

// push is one delivery as it came.
type push struct {
	set, authorization, kind string
}

func newSuite(t *testing.T) *suite {
	s := &suite{wire: newWire(t), t: t}
	cert, key := s.ca.Issue(t, "suite", []string{"127.0.0.1"})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pushed = append(s.pushed, push{string(b), r.Header.Get("Authorization"), r.Header.Get("Content-Type")})
		rw.WriteHeader(http.StatusAccepted)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	s.host = "127.0.0.1:" + port
	s.receiver("suite", client.FormatEmail, s.host)
	s.token = s.wire.token("suite", "ssf.manage", "ssf.read")
	return s
}

// create makes a stream, by push when it has an authorization header or "none", else polled.
func (s *suite) create(authorization string) (id string, doc map[string]any) {
	s.t.Helper()
	delivery := `{"method":"urn:ietf:rfc:8936"}`
	if authorization != "" {
		delivery = `{"method":"urn:ietf:rfc:8935","endpoint_url":"https://` + s.host + `/events","authorization_header":"` + authorization + `"}`
	}
	if authorization == "none" {
		delivery = `{"method":"urn:ietf:rfc:8935","endpoint_url":"https://` + s.host + `/events"}`
	}
	a := s.call(s.token, http.MethodPost, "/ssf/streams", `{"delivery":`+delivery+`,"events_requested":["`+caepEvents+`session-revoked","`+caepEvents+`credential-change"]}`)
	if a.status != http.StatusCreated || a.json["iss"] != s.base || a.json["aud"] != "https://suite.example" {
		s.t.Fatalf("create: %d %s", a.status, a.body)
	}
	return a.json["stream_id"].(string), a.json
}

// status holds an answer to a status.
func (s *suite) status(what string, a reply, want ...int) {
	s.t.Helper()
	if !slices.Contains(want, a.status) {
		s.t.Errorf("%s: %d %s, want %v", what, a.status, a.body, want)
	}
}

// verify asks for a verification event.
func (s *suite) verify(stream, state string) reply {
	s.t.Helper()
	s.clock.pass(minVerification * time.Second)
	a := s.call(s.token, http.MethodPost, "/ssf/verify", `{"stream_id":"`+stream+`","state":"`+state+`"}`)
	s.deliver()
	return a
}

// judge checks a SET as the suite does: RFC 8417, SSF 1.0 §4, CAEP Interoperability Profile §2.6, §2.8.
func (s *suite) judge(set string) (kind string, about, payload map[string]any) {
	s.t.Helper()
	signed, err := jose.ParseSignedCompact(set, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		s.t.Fatal(err)
	}
	h := signed.Signatures[0].Header
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(s.ask(http.MethodGet, "/ssf/jwks", "").body), &keys); err != nil {
		s.t.Fatal(err)
	}
	found := keys.Key(h.KeyID)
	if h.ExtraHeaders[jose.HeaderType] != "secevent+jwt" || len(found) != 1 {
		s.t.Fatalf("header %+v names %d keys", h, len(found))
	}
	b, err := signed.Verify(found[0])
	var c map[string]any
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	iat, _ := c["iat"].(float64)
	events, _ := c["events"].(map[string]any)
	if c["sub"] != nil || c["exp"] != nil || c["iss"] != s.base || c["aud"] != "https://suite.example" || c["jti"] == "" || len(events) != 1 || iat > float64(s.clock.now().Unix()) || iat < float64(s.clock.now().Add(-time.Hour).Unix()) {
		s.t.Errorf("claims %s at %v", b, s.clock.now())
	}
	about, _ = c["sub_id"].(map[string]any)
	for name, p := range events {
		kind = name
		payload, _ = p.(map[string]any)
	}
	return kind, about, payload
}

// verified holds a SET to being the answer to a verification.
func (s *suite) verified(set, stream, state string) {
	s.t.Helper()
	kind, about, payload := s.judge(set)
	if !strings.HasSuffix(kind, "/ssf/event-type/verification") || about["format"] != "opaque" || about["id"] != stream || payload["state"] != state {
		s.t.Errorf("%s about %v says %v", kind, about, payload)
	}
}

// only returns the one SET that a poll brings, and its jti.
func (s *suite) only(stream string) (jti, set string) {
	s.t.Helper()
	f := s.fetch(s.token, stream, `{"returnImmediately":true}`)
	if len(f.Sets) != 1 {
		s.t.Fatalf("%d events", len(f.Sets))
	}
	for jti, set = range f.Sets {
	}
	return jti, set
}

func (s *suite) empty(stream string) {
	s.t.Helper()
	if f := s.fetch(s.token, stream, `{"returnImmediately":true}`); len(f.Sets) != 0 {
		s.t.Errorf("%d events wait still", len(f.Sets))
	}
}

func (s *suite) set(stream, status string) {
	s.t.Helper()
	if a := s.call(s.token, http.MethodPost, "/ssf/status", `{"stream_id":"`+stream+`","status":"`+status+`"}`); a.status != http.StatusOK || a.json["status"] != status {
		s.t.Errorf("status: %d %s", a.status, a.body)
	}
}

// unlet is a module about a request whose token is no good.
func unlet(verb, path, body string) func(*suite) string {
	return func(s *suite) string {
		id, _ := s.create("")
		forged, _ := keyring.NewToken(tokenPrefix)
		for name, token := range map[string]string{"made up": forged, "no token at all": "invalid"} {
			a := s.call(token, verb, strings.ReplaceAll(path, "ID", id), strings.ReplaceAll(body, "ID", id))
			if a.status != http.StatusUnauthorized || !strings.Contains(a.header.Get("WWW-Authenticate"), "Bearer") {
				s.t.Errorf("%s: %d %q", name, a.status, a.header.Get("WWW-Authenticate"))
			}
		}
		return "pass"
	}
}

// wrong is a module about a request that must be refused with a status.
func wrong(status int, verb, path, body string) func(*suite) string {
	return func(s *suite) string {
		id, _ := s.create("")
		s.status(verb+" "+path, s.call(s.token, verb, strings.ReplaceAll(path, "ID", id), strings.ReplaceAll(body, "ID", id)), status)
		return "pass"
	}
}

const nobody = "00000000-0000-7000-8000-000000000000"

var ssfModules = map[string]func(*suite) string{
	"openid-ssf-transmitter-metadata": func(s *suite) string {
		m := s.ask(http.MethodGet, PathWellKnown, "").json
		for _, name := range []string{"issuer", "jwks_uri", "configuration_endpoint", "status_endpoint", "verification_endpoint", "add_subject_endpoint", "remove_subject_endpoint"} {
			if v, _ := m[name].(string); !strings.HasPrefix(v, s.base) {
				s.t.Errorf("%s is %v", name, m[name])
			}
		}
		schemes, _ := json.Marshal(m["authorization_schemes"])
		if m["issuer"] != s.base || m["spec_version"] != "1_0" || m["default_subjects"] != "ALL" || !strings.Contains(string(schemes), `"urn:ietf:rfc:6749"`) {
			s.t.Errorf("metadata %v", m)
		}
		return "pass"
	},
	"openid-ssf-stream-control-happy-path": func(s *suite) string {
		id, _ := s.create("")
		s.status("read", s.call(s.token, http.MethodGet, "/ssf/streams?stream_id="+id, ""), 200)
		s.status("update", s.call(s.token, http.MethodPatch, "/ssf/streams", `{"stream_id":"`+id+`","description":"changed"}`), 200)
		s.status("replace", s.call(s.token, http.MethodPut, "/ssf/streams", `{"stream_id":"`+id+`","delivery":{"method":"urn:ietf:rfc:8936"}}`), 200)
		if a := s.call(s.token, http.MethodGet, "/ssf/status?stream_id="+id, ""); a.status != 200 || a.json["status"] != "enabled" || a.json["stream_id"] != id {
			s.t.Errorf("status: %d %s", a.status, a.body)
		}
		s.set(id, "disabled")
		s.set(id, "enabled")
		s.status("delete", s.call(s.token, http.MethodDelete, "/ssf/streams?stream_id="+id, ""), 204)
		return "pass"
	},
	"openid-ssf-stream-control-error-create-stream-with-broken-input":  wrong(400, http.MethodPost, "/ssf/streams", `{"delivery":`),
	"openid-ssf-stream-control-error-create-stream-with-invalid-token": unlet(http.MethodPost, "/ssf/streams", `{}`),
	"openid-ssf-stream-control-error-create-stream-with-duplicate-config": func(s *suite) string {
		s.create("")
		s.status("a second one", s.call(s.token, http.MethodPost, "/ssf/streams", `{}`), 201, 409)
		return "pass"
	},
	"openid-ssf-stream-control-error-create-stream-with-read-only-token": func(s *suite) string {
		s.status("create", s.call(s.wire.token("suite", "ssf.read"), http.MethodPost, "/ssf/streams", `{}`), 403)
		return "pass"
	},
	"openid-ssf-stream-control-error-read-stream-with-invalid-token": unlet(http.MethodGet, "/ssf/streams?stream_id=ID", ""),
	"openid-ssf-stream-control-error-read-stream-without-token": func(s *suite) string {
		id, _ := s.create("")
		s.status("read", s.ask(http.MethodGet, "/ssf/streams?stream_id="+id, ""), 401)
		return "pass"
	},
	"openid-ssf-stream-control-error-token-in-uri-query": func(s *suite) string {
		id, _ := s.create("")
		s.status("read", s.ask(http.MethodGet, "/ssf/streams?stream_id="+id+"&access_token="+s.token, ""), 400, 401)
		return "pass"
	},
	"openid-ssf-stream-control-error-read-unknown-stream":               wrong(404, http.MethodGet, "/ssf/streams?stream_id="+nobody, ""),
	"openid-ssf-stream-control-error-read-status-of-unknown-stream":     wrong(404, http.MethodGet, "/ssf/status?stream_id="+nobody, ""),
	"openid-ssf-stream-control-error-update-stream-with-invalid-token":  unlet(http.MethodPatch, "/ssf/streams", `{"stream_id":"ID"}`),
	"openid-ssf-stream-control-error-update-stream-with-invalid-body":   wrong(400, http.MethodPatch, "/ssf/streams", `{"stream_id":"ID"`),
	"openid-ssf-stream-control-error-update-unknown-stream":             wrong(404, http.MethodPatch, "/ssf/streams", `{"stream_id":"`+nobody+`"}`),
	"openid-ssf-stream-control-error-replace-stream-with-invalid-body":  wrong(400, http.MethodPut, "/ssf/streams", `{"stream_id":"ID"`),
	"openid-ssf-stream-control-error-replace-stream-with-invalid-token": unlet(http.MethodPut, "/ssf/streams", `{"stream_id":"ID"}`),
	"openid-ssf-stream-control-error-replace-unknown-stream":            wrong(404, http.MethodPut, "/ssf/streams", `{"stream_id":"`+nobody+`"}`),
	"openid-ssf-stream-control-error-delete-stream-with-invalid-token":  unlet(http.MethodDelete, "/ssf/streams?stream_id=ID", ""),
	"openid-ssf-stream-control-error-delete-unknown-stream":             wrong(404, http.MethodDelete, "/ssf/streams?stream_id="+nobody, ""),
	"openid-ssf-stream-subject-control": func(s *suite) string {
		id, _ := s.create("")
		subject := `{"stream_id":"` + id + `","subject":{"format":"email","email":"ada@alder.example"}}`
		s.status("add", s.call(s.token, http.MethodPost, "/ssf/subjects:add", subject), 200)
		s.status("remove", s.call(s.token, http.MethodPost, "/ssf/subjects:remove", subject), 204)
		return "pass"
	},
	"openid-ssf-transmitter-stream-verification-push": func(s *suite) string {
		id, _ := s.create("Bearer header-canary")
		s.status("verify", s.verify(id, "a state"), 204)
		if len(s.pushed) != 1 || s.pushed[0].authorization != "Bearer header-canary" || s.pushed[0].kind != "application/secevent+jwt" {
			s.t.Fatalf("pushed %+v", s.pushed)
		}
		s.verified(s.pushed[0].set, id, "a state")
		return "pass"
	},
	"openid-ssf-transmitter-stream-verification-error-push-no-auth": func(s *suite) string {
		id, _ := s.create("none")
		s.status("verify", s.verify(id, "a state"), 204)
		if len(s.pushed) != 1 || s.pushed[0].authorization != "" {
			s.t.Fatalf("pushed %+v", s.pushed)
		}
		s.verified(s.pushed[0].set, id, "a state")
		return "pass"
	},
	"openid-ssf-transmitter-stream-verification-poll-only": func(s *suite) string {
		id, _ := s.create("")
		s.status("verify", s.verify(id, "a state"), 204)
		_, set := s.only(id)
		s.verified(set, id, "a state")
		s.only(id) // it stays until it is acknowledged
		return "pass"
	},
	"openid-ssf-transmitter-stream-verification-poll-and-ack": func(s *suite) string {
		id, _ := s.create("")
		s.verify(id, "one")
		jti, set := s.only(id)
		s.verified(set, id, "one")
		s.verify(id, "two")
		f := s.fetch(s.token, id, `{"returnImmediately":true,"ack":["`+jti+`"]}`)
		if len(f.Sets) != 1 || f.Sets[jti] != "" {
			s.t.Errorf("what was acknowledged comes again: %v", f.jtis())
		}
		return "pass"
	},
	"openid-ssf-transmitter-stream-verification-ack-only": func(s *suite) string {
		id, _ := s.create("")
		s.verify(id, "a state")
		jti, _ := s.only(id)
		if f := s.fetch(s.token, id, `{"maxEvents":0,"ack":["`+jti+`"]}`); len(f.Sets) != 0 {
			s.t.Errorf("%d events for who wants none", len(f.Sets))
		}
		s.empty(id)
		return "pass"
	},
	"openid-ssf-transmitter-stream-verification-error-unknown-stream": wrong(404, http.MethodPost, "/ssf/verify", `{"stream_id":"`+nobody+`"}`),
	"openid-ssf-transmitter-stream-verification-error-invalid-body":   wrong(400, http.MethodPost, "/ssf/verify", `{"stream_id":"ID"`),
	"openid-ssf-transmitter-poll-endpoint-authorization":              unlet(http.MethodPost, "/ssf/poll/ID", `{"returnImmediately":true}`),
	"openid-ssf-transmitter-poll-endpoint-url-unique-per-stream": func(s *suite) string {
		_, one := s.create("")
		_, two := s.create("")
		if a, b := one["delivery"].(map[string]any)["endpoint_url"], two["delivery"].(map[string]any)["endpoint_url"]; a == b || a == nil {
			s.t.Errorf("two streams are polled at %v and %v", a, b)
		}
		return "pass"
	},
	"openid-ssf-transmitter-paused-stream-holds-events": func(s *suite) string {
		id, _ := s.create("")
		s.set(id, "paused")
		s.status("verify", s.verify(id, "a state"), 204)
		s.empty(id)
		s.set(id, "enabled")
		_, set := s.only(id)
		s.verified(set, id, "a state")
		return "pass"
	},
	"openid-ssf-transmitter-disabled-stream-drops-events": func(s *suite) string {
		id, _ := s.create("")
		s.set(id, "disabled")
		refused := s.verify(id, "a state").status
		s.empty(id)
		s.set(id, "enabled")
		s.empty(id)
		s.status("verify", s.verify(id, "another"), 204)
		_, set := s.only(id)
		s.verified(set, id, "another")
		if refused != http.StatusNoContent {
			s.t.Logf("a verification over a disabled stream: %d", refused)
			return "differs"
		}
		return "pass"
	},
	"openid-ssf-transmitter-events": func(s *suite) string {
		id, _ := s.create("")
		for _, state := range []string{"one", "two", "three"} {
			s.status("verify", s.verify(id, state), 204)
			jti, set := s.only(id)
			s.verified(set, id, state)
			s.fetch(s.token, id, `{"maxEvents":0,"ack":["`+jti+`"]}`)
		}
		return "pass"
	},
	"openid-ssf-transmitter-stream-caep-interop": func(s *suite) string {
		id, doc := s.create("Bearer header-canary")
		if delivered, _ := json.Marshal(doc["events_delivered"]); !strings.Contains(string(delivered), "credential-change") || !strings.Contains(string(delivered), "session-revoked") {
			s.t.Errorf("it delivers %s", delivered)
		}
		s.commit(s.ada, event.PasswordReset)
		s.deliver()
		seen := map[string]bool{}
		for _, p := range s.pushed {
			kind, about, payload := s.judge(p.set)
			seen[kind] = true
			reasons, _ := payload["reason_admin"].(map[string]any)
			if about["format"] != "email" || about["email"] != "ada@alder.example" || len(reasons) == 0 || payload["event_timestamp"] == nil {
				s.t.Errorf("%s about %v says %v", kind, about, payload)
			}
			if kind == caepEvents+"credential-change" && (payload["credential_type"] != "password" || payload["change_type"] != "update") {
				s.t.Errorf("%s says %v", kind, payload)
			}
		}
		if len(seen) != 2 || !seen[caepEvents+"credential-change"] || !seen[caepEvents+"session-revoked"] {
			s.t.Errorf("a reset is %v, in stream %s", seen, id)
		}
		// device-compliance-change and risk-level-change are not delivered: nobody here knows devices.
		return "pass"
	},
}

func TestOIDFModulesOfTheTransmitterAreWhatTheDocumentSays(t *testing.T) {
	said := oidfResults(t, "Shared Signals transmitter")
	for name, perform := range ssfModules {
		t.Run(name, func(t *testing.T) {
			if got := perform(newSuite(t)); got != said[name] {
				t.Errorf("found %q, and the document says %q", got, said[name])
			}
		})
	}
	for name := range said {
		if ssfModules[name] == nil {
			t.Errorf("%s: nobody performs it", name)
		}
	}
	// Tokens are short.
	s := newSuite(t)
	a := s.post("/oauth2/token", "grant_type=client_credentials&scope=ssf.read", "Content-Type", "application/x-www-form-urlencoded", "Authorization", basic("suite", s.secrets["suite"]))
	if seconds, _ := a.json["expires_in"].(float64); seconds <= 0 || seconds > 3600 {
		t.Errorf("a token lives for %v seconds", a.json["expires_in"])
	}
}
