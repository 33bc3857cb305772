package signin

import (
	"maps"
	"net/http"
	"testing"

	"github.com/google/uuid"
)

// C6 of the attack list: a provider that also sends security events signs them, at worst, with the key of its ID tokens.
// Whoever catches one cannot sign in with it or sign somebody out, whatever is left of what says that it is one.
func TestC6ASecurityEventIsNoSignInAndNoLogout(t *testing.T) {
	w := newWorld(t)
	now := w.clock.now().Unix()
	// As RFC 8417 and SSF 1.0 want it: iss, jti, iat, aud, txn, sub_id and one event; no sub, no exp, no nonce.
	event := func(more map[string]any) map[string]any {
		c := map[string]any{"iss": w.op.issuer(), "jti": uuid.NewString(), "iat": now, "aud": "regain", "txn": "t1", "sub_id": map[string]any{"format": "iss_sub", "iss": w.op.issuer(), "sub": "sub-ada"},
			"events": map[string]any{"https://schemas.openid.net/secevent/caep/event-type/session-revoked": map[string]any{"event_timestamp": now, "initiating_entity": "policy",
				"reason_admin": map[string]any{"en": "x"}}}}
		maps.Copy(c, more)
		return c
	}
	signed := func(typ string, more map[string]any) string {
		h := map[string]any{}
		if typ != "" {
			h["typ"] = typ
		}
		return w.op.sign(marshal(t, event(more)), w.op.key, w.op.kid, w.op.alg, h)
	}
	b := w.browser()
	b.signIn()
	type as struct {
		typ  string
		more map[string]any
	}
	dressed := map[string]any{"sub": "sub-ada", "exp": now + 60, "sid": "op-session-sub-ada", "auth_time": now}
	for name, x := range map[string]struct {
		as  as
		why string
	}{
		"as it is":                          {as{"secevent+jwt", nil}, "type"},
		"as it is, with what it lacks":      {as{"secevent+jwt", dressed}, "type"},
		"by the long name of its type":      {as{"application/secevent+jwt", dressed}, "type"},
		"without its type":                  {as{"", nil}, "token"},
		"as a JWT":                          {as{"JWT", map[string]any{"exp": now + 60}}, "nonce"},
		"as a JWT, with all but the nonce":  {as{"JWT", dressed}, "nonce"},
		"without its type, with a subject":  {as{"", dressed}, "nonce"},
		"as a logout token, with what lack": {as{"logout+jwt", dressed}, "type"},
	} {
		w.mustRefuse(name+", as ID token", "/in", x.why, func(o *op) { o.raw = func([]byte) string { return signed(x.as.typ, x.as.more) } })
		if a := w.logout(signed(x.as.typ, x.as.more), "203.0.113.9:1"); a.code != http.StatusBadRequest || b.session() == nil {
			t.Errorf("%s, as logout token: status %d, session %v", name, a.code, b.session())
		}
	}
	// Even with the nonce of this very sign-in it stays an event.
	w.mustRefuse("with the right nonce", "/in", "events", func(o *op) {
		o.spoil = func(c map[string]any) {
			maps.Copy(c, map[string]any{"events": event(nil)["events"], "sub_id": event(nil)["sub_id"]})
		}
	})
	w.browser().signIn() // and the truth is still taken
}
