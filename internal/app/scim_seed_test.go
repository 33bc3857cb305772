package app

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

// oath is a token as a maker delivers it: RFC 4226 written down here once more, so that the program is not its own judge.
type oath struct {
	seed   string
	hash   func() hash.Hash
	digits int
}

func (o oath) code(counter int64) string {
	m := hmac.New(o.hash, []byte(o.seed))
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(counter)))
	sum := m.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & 0x7fffffff
	text := fmt.Sprintf("%010d", n)
	return text[10-o.digits:]
}

func (o oath) base32() string { return base32.StdEncoding.EncodeToString([]byte(o.seed)) }

func (w *world) brings(token, person, kind string, o map[string]any) string {
	w.t.Helper()
	status, got := w.scim(token, "POST", "/AuthenticationMethods", map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:extension:regain:2.0:AuthenticationMethod"},
		"user":    map[string]any{"value": person}, "type": kind, "totp": o})
	if status != 201 || strings.Contains(fmt.Sprint(got), fmt.Sprint(o["secret"])) {
		w.t.Fatalf("%s: %d %v", kind, status, got)
	}
	return fmt.Sprint(got["id"])
}

func TestASeedAProviderBringsProvesWhoSomebodyIs(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			time0 := newClock()
			w := newWorld(t, scene{kind: kind, now: time0.now})
			token := w.provider("idp", func(c *client.Connector) { c.Trust = client.TrustAll })
			for i, c := range []struct {
				kind   string
				token  oath
				period int64 // 0: by counter
				as     map[string]any
			}{
				{"totp", oath{"12345678901234567890", sha1.New, 6}, 30, map[string]any{}},
				{"totp", oath{"12345678901234567890123456789012", sha256.New, 8}, 60, map[string]any{"algorithm": "SHA256", "digits": 8, "period": 60}},
				{"hotp", oath{"12345678901234567890", sha1.New, 6}, 0, map[string]any{"counter": 5}},
				{"hotp", oath{"12345678901234567890123456789012", sha256.New, 8}, 0, map[string]any{"algorithm": "SHA256", "digits": 8}},
			} {
				p := w.hired(token, fmt.Sprint("u", i), nil)
				w.give(p, method.Root{Kind: method.ByPerson, ID: p.ID}, w.now().Add(-72*time.Hour), method.Method{Kind: method.Email, Destination: p.Email})
				c.as["secret"] = c.token.base32()
				id := w.brings(token, p.ID, c.kind, c.as)
				counter, _ := c.as["counter"].(int)
				step, late, early := int64(counter+3), int64(counter+30), int64(counter-1) // pressed three times for nothing; too often; used before
				if c.period > 0 {
					step = w.now().Unix() / c.period
					late, early = step+3, step-3
				}
				v := w.visitor()
				v.firstProof("/reset", p).want(t, 200, "/choose")
				v.chooseKind("totp").want(t, 200, "/app-code")
				for _, wrong := range []int64{late, max(early, 0)} {
					if c.kind == "hotp" && early < 0 && wrong == 0 {
						continue
					}
					v.post("/app-code", "code", c.token.code(wrong)).want(t, 422, "/app-code", wrongCode)
				}
				v.post("/app-code", "code", c.token.code(step)).want(t, 200, "/new-password")
				v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysChanged)
				// The same code is no proof again, and neither is one before it.
				again := w.visitor()
				again.firstProof("/reset", p).want(t, 200, "/choose")
				again.chooseKind("totp").want(t, 200, "/app-code")
				again.post("/app-code", "code", c.token.code(step)).want(t, 422, "/app-code", wrongCode)
				again.post("/app-code", "code", c.token.code(step-1)).want(t, 422, "/app-code", wrongCode)
				again.post("/app-code", "code", c.token.code(step+1)).want(t, 200, "/new-password")
				// What is known of it elsewhere is neither its seed nor a way to move it.
				if status, got := w.scim(token, "GET", "/AuthenticationMethods/"+id, nil); status != 200 || fmt.Sprint(got["lastUsed"]) == "<nil>" || strings.Contains(fmt.Sprint(got), c.token.base32()) {
					t.Errorf("GET: %d %v", status, got)
				}
				w.scim(token, "DELETE", "/AuthenticationMethods/"+id, nil)
				last := w.visitor()
				last.firstProof("/reset", p).want(t, 200, "/choose", "You cannot finish this here yet")
			}
			for _, secret := range []string{"12345678901234567890", oath{seed: "12345678901234567890"}.base32()} {
				if strings.Contains(string(w.dump()), secret) || strings.Contains(w.log.String(), secret) {
					t.Errorf("%q stands in the database or the log", secret)
				}
			}
		})
	}
}
