package app

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

// dump is everything a database holds, table by table; of SQLite the bytes of its files, too.
func (w *world) dump() []byte {
	w.t.Helper()
	var out bytes.Buffer
	tables := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if w.srv.Store.Kind() == store.PostgreSQL {
		tables = `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`
	} else {
		for _, end := range []string{"", "-wal"} {
			b, err := os.ReadFile(w.db + end)
			if err != nil && end == "" {
				w.t.Fatal(err)
			}
			out.Write(b)
		}
	}
	n := 0
	for _, table := range w.rows(tables) {
		for _, row := range w.rows(fmt.Sprintf(`SELECT * FROM %s`, table[0])) {
			for _, v := range row {
				if b, ok := v.([]byte); ok {
					out.Write(b)
				} else {
					fmt.Fprint(&out, v)
				}
				out.WriteByte('\n')
			}
			n++
		}
	}
	if n < 50 {
		w.t.Fatalf("%d rows: the dump is not what it should be", n)
	}
	return out.Bytes()
}

func TestNoSecretStandsInTheDatabaseOrTheLog(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, scene{kind: kind})
			ada := w.add("ada", method.Email, method.SMS, method.RecoveryCode, method.TOTP)
			refused, slip, changed, wrong := "ada ada ada ada ada ada ada", "a slip of the finger, once", "the password after the change", "no-code-at-all-7f3a9"
			v := w.visitor()
			v.asks(ada.Login, "recovery-code")
			v.post("/recovery-code", "code", wrong)
			v.post("/recovery-code", "code", ada.Codes[0]).want(t, 200, "/choose")
			v.chooseKind("totp")
			v.post("/app-code", "code", appCode(ada.Seed, w.now())).want(t, 200, "/new-password")
			v.post("/new-password", "password", refused).want(t, 422, "/new-password")
			v.post("/new-password", "password", ada.Password).want(t, 422, "/new-password")
			v.post("/new-password", "suggest", "yes").want(t, 200, "/new-password")
			v.post("/new-password", "password", fresh).want(t, 200, "/progress")
			c := w.visitor()
			c.firstProof("/change", ada)
			c.post("/old-password", "current", slip, "password", changed).want(t, 422, "/old-password")
			c.post("/old-password", "current", fresh, "password", changed).want(t, 200, "/progress")
			stranger := w.visitor()
			stranger.asks("typed.by.mistake.s3cret", "email") // people type passwords into the wrong field
			w.visitor().asks(ada.Login, "sms")
			w.textCode(ada.Phone, 1)
			w.drained()
			secrets := []string{refused, ada.Password, fresh, slip, changed, wrong, "typed.by.mistake.s3cret", string(ada.Seed), ada.Email, ada.Phone, "192.0.2.10"}
			secrets = append(secrets, w.codes(ada.Email)...)
			secrets = append(secrets, w.textCode(ada.Phone, 1))
			for _, code := range ada.Codes {
				secrets = append(secrets, code, strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", "")[5:])
			}
			for _, who := range []*visitor{v, c, stranger} {
				for _, cookie := range who.cookies() {
					if cookie.Name == "regain-try" {
						secrets = append(secrets, cookie.Value)
					}
				}
			}
			secrets = append(secrets, strings.SplitN(w.srv.Flow.NotMe(v.id()), ".", 2)[1])
			dump, log := w.dump(), w.log.String()
			if !bytes.Contains(dump, []byte(ada.Login)) || !strings.Contains(log, "/new-password") {
				t.Fatal("the dump or the log is not what it should be")
			}
			for _, s := range secrets {
				if len(s) < 6 {
					t.Fatalf("%q is no secret to look for", s)
				}
				if bytes.Contains(dump, []byte(s)) {
					t.Errorf("%q stands in the database", s)
				}
				if strings.Contains(log, s) {
					t.Errorf("%q stands in the log", s)
				}
			}
			lacks(t, log, ada.Login, "/not-me?t=", "203.0.113")
		})
	}
}
