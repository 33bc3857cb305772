package signin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
)

// untouched fails when anything of what an event could do was done to ada.
func (w *world) untouched(name string, b *browser) {
	w.t.Helper()
	if p := w.now(w.ada); b.session() == nil || p.Epoch != w.ada.Epoch || len(p.Alerts) != 0 {
		w.t.Errorf("%s: session %v, epoch %d, alerts %+v", name, b.session() != nil, p.Epoch, p.Alerts)
	}
	if slices.ContainsFunc(w.events(w.ada.ID), func(e string) bool { return strings.HasPrefix(e, "signal.") }) {
		w.t.Errorf("%s: written down as something that was said", name)
	}
}

// withToken signs with what the transmitter and we both know.
func withToken(input []byte) []byte {
	m := hmac.New(sha256.New, []byte(eventToken))
	m.Write(input)
	return m.Sum(nil)
}

// A transmitter, or whoever has its token, plays every defect of a statement: nothing happens, and it is told which.
func TestAHostileTransmitterChangesNothing(t *testing.T) {
	bothEngines(t, func(t *testing.T, kind store.Kind) {
		w := listening(t, func(o *options) { o.kind = kind })
		b := w.browser()
		b.signIn()
		disabled, now := risc+"account-disabled", w.clock.now()
		good := func(more map[string]any) map[string]any { return w.op.set(disabled, "sub-ada", more) }
		without := func(name string) string {
			c := good(nil)
			delete(c, name)
			return w.op.signSet(c)
		}
		with := func(name string, v any) string { return w.op.signSet(good(map[string]any{name: v})) }
		typed := func(h map[string]any) string {
			return w.op.sign(marshal(t, good(nil)), w.op.key, w.op.kid, w.op.alg, h)
		}
		set := map[string]any{"typ": "secevent+jwt"}
		id := func(kind string) map[string]any { return map[string]any{kind: map[string]any{}} }
		iss := w.op.issuer()
		for name, x := range map[string]struct{ body, word string }{
			"no token at all":             {"", "invalid_request"},
			"JSON":                        {string(marshal(t, good(nil))), "invalid_request"},
			"without a type":              {typed(nil), "invalid_request"},
			"of type JWT":                 {typed(map[string]any{"typ": "JWT"}), "invalid_request"},
			"of the logout token's type":  {typed(map[string]any{"typ": "logout+jwt"}), "invalid_request"},
			"a critical extension":        {typed(map[string]any{"typ": "secevent+jwt", "crit": []string{"x"}, "x": 1}), "invalid_key"},
			"alg none":                    {byHand(`{"typ":"secevent+jwt","alg":"none"}`, marshal(t, good(nil)), func([]byte) []byte { return nil }), "invalid_request"},
			"HS256 with the public key":   {byHand(`{"typ":"secevent+jwt","alg":"HS256","kid":"k1"}`, marshal(t, good(nil)), withPublicKey(w.op.key)), "invalid_request"},
			"HS256 with the bearer token": {byHand(`{"typ":"secevent+jwt","alg":"HS256","kid":"k1"}`, marshal(t, good(nil)), withToken), "invalid_request"},
			"another key of that name":    {w.op.sign(marshal(t, good(nil)), freshKey(t), w.op.kid, w.op.alg, set), "invalid_key"},
			"a key of another name":       {w.op.sign(marshal(t, good(nil)), freshKey(t), "k9", w.op.alg, set), "invalid_key"},
			"a changed claim":             {strings.Replace(w.op.signSet(good(nil)), ".", "."+base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"x"}`))[:3], 1), "invalid_key"},
			"another issuer":              {with("iss", "https://login.other.example"), "invalid_issuer"},
			"the issuer with a slash":     {with("iss", iss+"/"), "invalid_issuer"},
			"no issuer":                   {without("iss"), "invalid_issuer"},
			"a list of issuers":           {with("iss", []string{iss}), "invalid_issuer"},
			"another audience":            {with("aud", "https://other.example.org"), "invalid_audience"},
			"the client id":               {with("aud", "regain"), "invalid_audience"},
			"the audience with a slash":   {with("aud", base+"/"), "invalid_audience"},
			"no audience":                 {without("aud"), "invalid_audience"},
			"no jti":                      {without("jti"), "invalid_request"},
			"an empty jti":                {with("jti", ""), "invalid_request"},
			"a jti of a number":           {with("jti", 7), "invalid_request"},
			"a jti as long as a book":     {with("jti", strings.Repeat("j", 2000)), "invalid_request"},
			"no iat":                      {without("iat"), "invalid_request"},
			"iat in words":                {with("iat", "now"), "invalid_request"},
			"iat of six minutes ahead":    {with("iat", now.Add(6*time.Minute).Unix()), "invalid_request"},
			"iat of eight days ago":       {with("iat", now.Add(-8*24*time.Hour).Unix()), "invalid_request"},
			"expired":                     {with("exp", now.Add(-time.Hour).Unix()), "invalid_request"},
			"not yet":                     {with("nbf", now.Add(time.Hour).Unix()), "invalid_request"},
			"a subject of its own":        {with("sub", "sub-ada"), "invalid_request"},
			"a nonce":                     {with("nonce", "n"), "invalid_request"},
			"no events":                   {without("events"), "invalid_request"},
			"events in a list":            {with("events", []any{id(disabled)}), "invalid_request"},
			"an empty set of events":      {with("events", map[string]any{}), "invalid_request"},
			"an event that is a text":     {with("events", map[string]any{disabled: "yes"}), "invalid_request"},
			"an event that is nothing":    {with("events", map[string]any{disabled: nil}), "invalid_request"},
			"two events":                  {with("events", map[string]any{disabled: map[string]any{}, risc + "sessions-revoked": map[string]any{}}), "invalid_request"},
			"no subject":                  {without("sub_id"), "invalid_request"},
			"a subject that is a text":    {with("sub_id", "sub-ada"), "invalid_request"},
			"a subject that is nothing":   {with("sub_id", nil), "invalid_request"},
			"two subjects": {w.op.signSet(good(map[string]any{"events": map[string]any{disabled: map[string]any{
				"subject": map[string]any{"format": "iss_sub", "iss": iss, "sub": "sub-ben"}}}})), "invalid_request"},
			"an ID token":              {w.op.sign(marshal(t, map[string]any{"iss": iss, "sub": "sub-ada", "aud": base, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": "1"}), w.op.key, w.op.kid, w.op.alg, nil), "invalid_request"},
			"an ID token in its dress": {w.op.sign(marshal(t, map[string]any{"iss": iss, "sub": "sub-ada", "aud": base, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": "1", "nonce": "n"}), w.op.key, w.op.kid, w.op.alg, set), "invalid_request"},
			"a logout token in its dress": {w.op.sign(marshal(t, map[string]any{"iss": iss, "sub": "sub-ada", "aud": base, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": "1",
				"events": map[string]any{logoutEvent: map[string]any{}}}), w.op.key, w.op.kid, w.op.alg, set), "invalid_request"},
			"more than may be sent": {w.op.signSet(good(map[string]any{"x": strings.Repeat("x", maxEventBody)})), "invalid_request"},
		} {
			a := w.push("corp", x.body)
			if a.code != http.StatusBadRequest || a.word(t) != x.word {
				t.Errorf("%s: status %d: %s, want %s", name, a.code, a.body, x.word)
			}
			if strings.Contains(a.body, "canary") || strings.Contains(a.body, "ada") || strings.Contains(a.body, "other") && x.word == "invalid_audience" {
				t.Errorf("%s: what came is repeated: %s", name, a.body)
			}
			w.untouched(name, b)
		}
		many := map[string]any{}
		for i := range maxEvents + 1 {
			many[caep+strings.Repeat("x", i+1)] = map[string]any{}
		}
		if a := w.push("corp", with("events", many)); a.code != http.StatusBadRequest {
			t.Errorf("a great many events: status %d", a.code)
		}
		// And the truth is still taken.
		if a := w.push("corp", w.op.signSet(good(nil))); a.code != http.StatusAccepted || !w.now(w.ada).Barred(now) {
			t.Errorf("the truth: status %d: %s", a.code, a.body)
		}
		if strings.Contains(w.log.String(), eventToken) {
			t.Error("the token is in the log")
		}
	})
}

// What is true and none of our business is acknowledged, so that it is not sent for ever, and changes nothing.
func TestWhatIsNoneOfOurBusinessIsAcknowledgedAndDoesNothing(t *testing.T) {
	w := listening(t, func(o *options) { o.providers = 2 })
	w.ops[1].sub, w.ops[1].claims = "sub-ben", map[string]any{"preferred_username": "ben@alder.example"}
	ben := w.person("ben@alder.example")
	other := w.browser()
	other.follow(other.get("/signin/partner"))
	b := w.browser()
	b.follow(b.get("/signin/corp"))
	disabled := risc + "account-disabled"
	about := func(sub any) map[string]any { return map[string]any{"sub_id": sub} }
	ada := map[string]any{"format": "iss_sub", "iss": w.op.issuer(), "sub": "sub-ada"}
	named := func(more map[string]any) map[string]any {
		c := maps.Clone(ada)
		maps.Copy(c, more)
		return about(c)
	}
	for name, more := range map[string]map[string]any{
		"an unknown subject":              named(map[string]any{"sub": "sub-nobody"}),
		"a subject in other case":         named(map[string]any{"sub": "SUB-ADA"}),
		"an empty subject":                named(map[string]any{"sub": ""}),
		"another provider's person":       named(map[string]any{"iss": w.ops[1].issuer(), "sub": "sub-ben"}),
		"another provider's, by ours":     named(map[string]any{"sub": "sub-ben"}),
		"no issuer":                       named(map[string]any{"iss": ""}),
		"the issuer with a slash":         named(map[string]any{"iss": w.op.issuer() + "/"}),
		"an address":                      about(map[string]any{"format": "email", "email": "ada@alder.example"}),
		"an address dressed up":           about(map[string]any{"format": "email", "iss": w.op.issuer(), "sub": "sub-ada"}),
		"no format":                       about(map[string]any{"iss": w.op.issuer(), "sub": "sub-ada"}),
		"an account":                      about(map[string]any{"format": "account", "uri": "acct:ada@alder.example"}),
		"aliases":                         about(map[string]any{"format": "aliases", "identifiers": []any{ada}}),
		"a subject of line breaks":        named(map[string]any{"sub": "sub-ada\n"}),
		"another type of event":           {"events": map[string]any{risc + "account-purged": map[string]any{}}},
		"its type, written otherwise":     {"events": map[string]any{strings.ToUpper(disabled): map[string]any{}}},
		"a device out of order":           {"events": map[string]any{caep + "device-compliance-change": map[string]any{}}},
		"the end of an alert of nobody's": named(map[string]any{"sub": "x"}),
		"verification": {"sub_id": map[string]any{"format": "opaque", "id": "stream"},
			"events": map[string]any{"https://schemas.openid.net/secevent/ssf/event-type/verification": map[string]any{"state": "abc"}}},
		"stream updated": {"sub_id": map[string]any{"format": "opaque", "id": "stream"},
			"events": map[string]any{"https://schemas.openid.net/secevent/ssf/event-type/stream-updated": map[string]any{"status": "paused"}}},
	} {
		if a := w.push("corp", w.op.signSet(w.op.set(disabled, "sub-ada", more))); a.code != http.StatusAccepted || a.body != "" {
			t.Errorf("%s: status %d: %s", name, a.code, a.body)
		}
		w.untouched(name, b)
		if p := w.now(ben); other.session() == nil || p.Epoch != ben.Epoch || len(p.Alerts) != 0 {
			t.Errorf("%s: it touched another provider's person", name)
		}
	}
	// Somebody who signed in when another provider of the configuration had this issuer is none of this one's people.
	cyd := w.person("cyd@alder.example")
	tie := &session.Binding{IDP: "former", Key: "sub-cyd", Person: cyd.ID, Issuer: w.op.issuer(), Subject: "sub-cyd", Made: w.clock.now()}
	if _, err := w.store.Arrive(t.Context(), cyd.ID, tie, "", func(*account.Person) (*session.Session, []event.Event, error) { return nil, nil, nil }); err != nil {
		t.Fatal(err)
	}
	if w.tell(disabled, "sub-cyd", nil); w.now(cyd).Epoch != cyd.Epoch {
		t.Error("the person of a former provider is shut")
	}
	// One of two is of a type we do not know: the other counts.
	w.tell(disabled, "sub-ada", map[string]any{"events": map[string]any{disabled: map[string]any{}, "https://alder.example/x": map[string]any{}}})
	if !w.now(w.ada).Barred(w.clock.now()) {
		t.Error("an event beside an unknown one does not count")
	}
}

// A statement of one provider, sent to the door of another, is that of another issuer, and its token opens no other door.
func TestAStatementOfOneProviderIsNothingAtTheDoorOfAnother(t *testing.T) {
	w := newWorld(t, func(o *options) {
		o.providers = 2
		o.provider = func(i int, c *ProviderConfig) {
			c.Events = &Events{Token: []string{eventToken, strings.ToUpper(eventToken)}[i]}
		}
	})
	b := w.browser()
	b.follow(b.get("/signin/corp"))
	body := w.op.signSet(w.op.set(risc+"account-disabled", "sub-ada", nil))
	if a := w.push("partner", body); a.code != http.StatusUnauthorized {
		t.Errorf("by the token of the other: status %d", a.code)
	}
	own := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+strings.ToUpper(eventToken)) }
	// Both sign with the same key here, so that only the issuer tells them apart.
	if a := w.push("partner", body, own); a.code != http.StatusBadRequest || a.word(t) != "invalid_issuer" {
		t.Errorf("by its own: status %d: %s", a.code, a.body)
	}
	// The partner, in other hands, speaks of somebody who is tied to the first.
	forged := w.ops[1].set(risc+"account-disabled", "sub-ada", map[string]any{"sub_id": map[string]any{"format": "iss_sub", "iss": w.op.issuer(), "sub": "sub-ada"}})
	if a := w.push("partner", w.ops[1].sign(marshal(t, forged), w.ops[1].key, w.ops[1].kid, w.ops[1].alg, map[string]any{"typ": "secevent+jwt"}), own); a.code != http.StatusAccepted {
		t.Errorf("status %d: %s", a.code, a.body)
	}
	w.untouched("another provider", b)
}

func TestWithoutTheTokenNothingIsRead(t *testing.T) {
	w := listening(t)
	b := w.browser()
	b.signIn()
	body := w.op.signSet(w.op.set(risc+"account-disabled", "sub-ada", nil))
	keys := w.op.count("/jwks") + w.op.count("/.well-known/ssf-configuration")
	for name, header := range map[string][]string{
		"none": nil, "empty": {""}, "the token alone": {eventToken}, "another": {"Bearer x"}, "a part of it": {"Bearer " + eventToken[:33]}, "more than it": {"Bearer " + eventToken + "x"},
		"Basic": {"Basic " + eventToken}, "twice": {"Bearer " + eventToken, "Bearer " + eventToken}, "in other case": {"Bearer " + strings.ToUpper(eventToken)}, "two spaces": {"Bearer  " + eventToken},
	} {
		a := w.push("corp", body, func(r *http.Request) { r.Header["Authorization"] = header })
		if a.code != http.StatusUnauthorized || a.word(t) != "authentication_failed" || a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: status %d: %s", name, a.code, a.body)
		}
	}
	query := w.push("corp", body, func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "access_token=" + eventToken })
	if query.code != http.StatusUnauthorized {
		t.Errorf("in the query: status %d", query.code)
	}
	w.untouched("without the token", b)
	if n := w.op.count("/jwks") + w.op.count("/.well-known/ssf-configuration"); n != keys {
		t.Errorf("keys were asked for %d times", n-keys)
	}
	if a := w.push("corp", body, func(r *http.Request) { r.Header.Set("Authorization", "bEARER "+eventToken) }); a.code != http.StatusAccepted {
		t.Errorf("the scheme in other case (RFC 9110 §11.1): status %d", a.code)
	}
}

func TestTheEndpointIsThereOnlyForAProviderThatMayTell(t *testing.T) {
	w := newWorld(t, func(o *options) {
		o.providers = 2
		o.provider = func(i int, c *ProviderConfig) {
			if i == 1 {
				c.Events = &Events{Token: eventToken}
			}
		}
	})
	for idp, want := range map[string]int{"corp": http.StatusNotFound, "nobody": http.StatusNotFound, "partner": http.StatusBadRequest} {
		if a := w.push(idp, "x"); a.code != want {
			t.Errorf("%s: status %d, want %d", idp, a.code, want)
		}
	}
	if a := w.browser().get("/signin/partner/events"); a.code != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodPost {
		t.Errorf("GET: status %d, Allow %q", a.code, a.header.Get("Allow"))
	}
	for _, kind := range []string{"", "application/json", "application/x-www-form-urlencoded", "application/jwt", "text/plain; x=application/secevent+jwt"} {
		a := w.push("partner", w.ops[1].signSet(w.ops[1].set(caep+"session-revoked", "sub-ada", nil)), func(r *http.Request) { r.Header.Set("Content-Type", kind) })
		if a.code != http.StatusBadRequest || a.word(t) != "invalid_request" {
			t.Errorf("%q: status %d", kind, a.code)
		}
	}
}

func TestATransmitterThatNeverStopsIsToldToWait(t *testing.T) {
	w := listening(t)
	var last answer
	for range 3001 {
		if last = w.push("corp", "x", func(r *http.Request) { r.Header.Del("Authorization") }); last.code != http.StatusUnauthorized {
			break
		}
	}
	if last.code != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" {
		t.Errorf("status %d", last.code)
	}
}

// With invented key ids a transmitter costs its own keys one request in keyRetry.
func TestAJunkKidFloodAsksForTheKeysOnce(t *testing.T) {
	w := listening(t)
	c := marshal(t, w.op.set(caep+"session-revoked", "sub-ada", nil))
	for i := range 50 {
		w.push("corp", w.op.sign(c, freshKey(t), strings.Repeat("k", i+2), w.op.alg, map[string]any{"typ": "secevent+jwt"}))
	}
	if n := w.op.count("/jwks"); n > 2 {
		t.Errorf("%d requests for the keys", n)
	}
}

// What is taken for a statement is short, of one kind and about one account, whatever a signed body holds.
func FuzzASecurityEventIsAboutOneAccountOrNothing(f *testing.F) {
	const iss = "https://login.alder.example"
	for _, s := range []string{
		`{"iss":"` + iss + `","aud":"a","jti":"1","iat":1800000000,"sub_id":{"format":"iss_sub","iss":"` + iss + `","sub":"s"},"events":{"` + risc + `account-disabled":{}}}`,
		`{"iss":"` + iss + `","aud":["a"],"jti":"1","iat":1800000000,"events":{"` + risc + `sessions-revoked":{"subject":{"subject_type":"iss-sub","iss":"` + iss + `","sub":"s"}}}}`,
		`{"iss":"` + iss + `","aud":"a","jti":"1","iat":1800000000,"sub_id":null,"events":{"` + caep + `credential-change":{"change_type":"revoke","initiating_entity":"admin"}}}`,
		`{"events":{"a":null}}`, `[]`, `null`, `{"iat":1e99}`, `{"sub":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := readEvent(body)
		if err != nil {
			return
		}
		if !plain(c.ID) || c.ID == "" || c.Issued.IsZero() || len(c.Events) == 0 || len(c.Events) > maxEvents {
			t.Errorf("taken: %+v", c)
		}
		var has map[string]json.RawMessage
		if json.Unmarshal(body, &has) != nil || has["sub"] != nil || has["nonce"] != nil {
			t.Error("what could be a sign-in was taken")
		}
		_ = c.window(time.Unix(1_800_000_000, 0))
		n, err := c.notice("corp", iss)
		if n == nil {
			return
		}
		if err != nil || n.Issuer != iss || n.Subject == "" || !plain(n.Subject) || n.Kind == "" || n.IDP != "corp" || n.ID != c.ID {
			t.Errorf("taken: %+v, %v", n, err)
		}
	})
}
