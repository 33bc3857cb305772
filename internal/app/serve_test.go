package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/testserver"
)

// freePort returns a loopback port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// deployment writes a configuration for real servers and returns its path.
func deployment(t *testing.T, kind store.Kind, slapd *testserver.SlapdServer, mail *testserver.SMTPServer, sms *testserver.WebhookServer) (path, base string) {
	t.Helper()
	dir := t.TempDir()
	port := freePort(t)
	base = "http://localhost:" + port
	files := map[string]string{
		"bind":   slapd.ServicePassword,
		"sms":    smsSecret,
		"policy": "rules: [{name: everyone, hold_new: 0s, hold_after_reset: 0s}]",
		"regain.yaml": fmt.Sprintf(`
base_url: %s
listen: localhost:%s
telemetry: {listen: "off"}
database: %s
key_file: %s/regain.key
organisation: {name: Alder Works, corporate_domains: [alder.example], sign_in_url: "https://login.alder.example/"}
help: {text: {en: We answer within the hour., de: Wir antworten innerhalb einer Stunde.}, phone: +49 30 23125 000}
directories:
  - name: corp
    urls: [%s]
    ca_file: %s
    bind_dn: %s
    bind_password_file: %s/bind
    base_dn: %s
    default_policy_dn: %s
link: {directory: {person: userName, attribute: mail}}
mail: {host: 127.0.0.1, port: %d, ca_file: %s, from: "Alder Works <account@alder.example>"}
sms: {default_region: DE, webhook: {url: "%s", secret_file: %s/sms, allow_private: true}}
policy_file: %s/policy
security_contact: security@alder.example
`, base, port, storetest.Empty(t, kind), dir, slapd.URL, slapd.CAFile, slapd.ServiceDN, dir, slapd.PeopleDN, slapd.DefaultPolicyDN, mail.Port, mail.CA.File, sms.URL, dir, dir),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := CreateKeys(filepath.Join(dir, "regain.key")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "regain.yaml"), base
}

func TestAConfigurationFileBecomesAServerThatDoesItsJob(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			slapd, mail, sms := testserver.Slapd(t), testserver.SMTP(t), testserver.Webhook(t, smsSecret)
			slapd.AddUser(t, testserver.SlapdUser{Login: "ada", Mail: "ada@alder.example", Password: "the first password"})
			path, base := deployment(t, kind, slapd, mail, sms)
			for _, f := range Check(t.Context(), config.Source{File: path}) {
				if f.Verdict == Must {
					t.Errorf("check of a good configuration: %+v", f)
				}
			}
			c, err := config.Load(config.Source{File: path})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ready, ended := make(chan net.Addr, 1), make(chan error, 1)
			log := &logBuffer{}
			go func() { ended <- Run(ctx, c, slog.New(slog.NewJSONHandler(log, nil)), false, ready) }()
			select {
			case <-ready:
			case err := <-ended:
				t.Fatalf("serve: %v", err)
			}
			defer func() {
				stop()
				if err := <-ended; err != nil {
					t.Errorf("serve ended: %v", err)
				}
				if t.Failed() {
					t.Log(log.tail(40))
				}
			}()

			admin, err := OpenAdmin(t.Context(), c, "cli:test", false)
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close()
			token, err := admin.CreateConnector(t.Context(), "hr", ConnectorSettings{Trust: "all"})
			if err != nil {
				t.Fatal(err)
			}
			w := &world{t: t, base: base, mail: mail, sms: sms, slapd: slapd, log: log}
			status, made := w.scim(token, http.MethodPost, "/Users", map[string]any{
				"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:regain:2.0:User"},
				"userName": "ada@alder.example", "externalId": "7", "name": map[string]any{"givenName": "Ada", "familyName": "Brandt"}, "active": true,
				"emails": []any{map[string]any{"value": "ada@alder.example", "type": "work", "primary": true}},
				"urn:ietf:params:scim:schemas:extension:regain:2.0:User": map[string]any{"recoveryEmail": "ada@mail.example", "recoveryPhone": "0171 3920001"},
			})
			if status != http.StatusCreated {
				t.Fatalf("SCIM create: %d %v", status, made)
			}
			ada := &somebody{uid: "ada", Login: "ada@alder.example", Email: "ada@mail.example", Phone: "+491713920001", ID: made["id"].(string)}
			v := w.visitor()
			v.proveTwice(ada)
			v.post("/new-password", "password", fresh).want(t, 200, "/progress")
			if !slapd.SignIn(t, "ada", fresh) || slapd.SignIn(t, "ada", "the first password") {
				t.Error("OpenLDAP does not take the new password alone")
			}
			done := 0
			eventually(t, "an event that says so", func() bool {
				list, err := admin.Store.EventsOf(t.Context(), ada.ID, "", 50)
				if err != nil {
					t.Fatal(err)
				}
				done = 0
				for _, e := range list {
					if e.Type == event.PasswordReset {
						done++
					}
				}
				return done == 1
			})
			for _, secret := range []string{fresh, slapd.ServicePassword, token, "ada@mail.example"} {
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log holds %q", secret)
				}
			}
			for path, want := range map[string]int{"/healthz/live": 200, "/healthz/ready": 200, "/healthz/other": 404, "/.well-known/unknown": 404} {
				res, err := http.Get(base + path)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != want {
					t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
				}
			}
		})
	}
}

func TestCheckNamesTheMissingRight(t *testing.T) {
	slapd := testserver.Slapd(t, func(c *testserver.SlapdConfig) { c.ServicePrivilege = "=x" })
	slapd.AddUser(t, testserver.SlapdUser{Login: "ada", Mail: "ada@alder.example", Password: "the first password"})
	mail, sms := testserver.SMTP(t), testserver.Webhook(t, smsSecret)
	path, _ := deployment(t, store.SQLite, slapd, mail, sms)
	found := Check(t.Context(), config.Source{File: path})
	for _, f := range found {
		if f.Verdict == Must && f.Area == "directory corp" && strings.Contains(f.Text, "right to reset") && strings.Contains(f.Fix, "userPassword") {
			return
		}
	}
	t.Errorf("no finding names the missing reset right: %+v", found)
}

func TestAFaultyConfigurationIsToldWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "regain.yaml")
	if err := os.WriteFile(path, []byte("base_url: http://account.example.org\nlissten: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	found := Check(t.Context(), config.Source{File: path})
	if len(found) < 3 {
		t.Errorf("got %d findings, want every fault: %+v", len(found), found)
	}
}

func TestACertificateIsReadAgainWhenItsFilesChange(t *testing.T) {
	first, second := testserver.NewCA(t), testserver.NewCA(t)
	dir := t.TempDir()
	put := func(ca *testserver.CA, at time.Time) {
		cert, key := ca.Issue(t, "server", []string{"localhost"})
		for from, to := range map[string]string{cert: "c.pem", key: "k.pem"} {
			b, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, to), b, 0o600)
			}
			if err == nil {
				err = os.Chtimes(filepath.Join(dir, to), at, at)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	now := time.Now()
	put(first, now.Add(-time.Hour))
	c := &certificates{cert: filepath.Join(dir, "c.pem"), key: filepath.Join(dir, "k.pem")}
	a, err := c.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	put(second, now)
	b, err := c.get(nil)
	if err != nil || string(a.Certificate[0]) == string(b.Certificate[0]) {
		t.Errorf("the old certificate is still served (%v)", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.pem"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if kept, err := c.get(nil); err != nil || string(kept.Certificate[0]) != string(b.Certificate[0]) {
		t.Errorf("a broken file took the certificate away: %v", err)
	}
}

func TestARotatedKeyIsRecordedAndTheServerGoesOnWithIt(t *testing.T) {
	slapd, mail, sms := testserver.Slapd(t), testserver.SMTP(t), testserver.Webhook(t, smsSecret)
	path, base := deployment(t, store.SQLite, slapd, mail, sms)
	c, err := config.Load(config.Source{File: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- Run(ctx, c, slog.New(slog.DiscardHandler), false, ready) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("serve: %v", err)
	}
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve ended: %v", err)
		}
	}()
	admin, err := OpenAdmin(t.Context(), c, "cli:test", false)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	token, err := admin.CreateConnector(t.Context(), "hr", ConnectorSettings{Trust: "all"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, base: base}
	create := func(name string) {
		t.Helper()
		if status, made := w.scim(token, http.MethodPost, "/Users", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": name}); status != http.StatusCreated {
			t.Fatalf("create %s: %d %v", name, status, made)
		}
	}
	create("before@alder.example")
	id, n, err := admin.RotateKey(t.Context())
	if err != nil || n == 0 {
		t.Fatalf("rotate: %d keys, %v", n, err)
	}
	list, err := admin.Store.EventsIn(t.Context(), id)
	if err != nil || len(list) != 1 || list[0].Type != event.KeyRotated || list[0].Actor != "cli:test" {
		t.Errorf("events of the rotation: %+v, %v", list, err)
	}
	eventually(t, "the server to read people sealed under the new key", func() bool {
		status, _ := w.scim(token, http.MethodGet, "/Users?filter=userName%20eq%20%22before@alder.example%22", nil)
		return status == http.StatusOK
	})
	create("after@alder.example")
}
