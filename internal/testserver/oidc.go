package testserver

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The classes of sign-in (acr) that OIDC knows.
const (
	OIDCPassword     = "1"
	OIDCSecondFactor = "urn:example:mfa"          // a password, then a code
	OIDCPasswordless = "urn:example:passwordless" // a device and no password
)

// OIDCOptions are what a test may choose about its OpenID provider.
type OIDCOptions struct {
	Users   []OIDCUser
	Clients []OIDCClient // default: two with the three addresses below, "regain" with a secret and "regain-key" with a key
	// What the default clients are registered with.
	RedirectURIs, PostLogout []string
	BackChannel              string
	PAR                      string // pushed requests: "" offered, "required", "off"
}

// OIDCClient is an application at the provider.
type OIDCClient struct {
	ID                       string
	Key                      bool // authenticates with ClientKey (private_key_jwt, ES256) and not with ClientSecret
	RedirectURIs, PostLogout []string
	BackChannel              string // where logout tokens go; "" nowhere
}

// OIDCUser is somebody at the provider. An empty Password, Code or false Passwordless is a way the person does not have.
type OIDCUser struct {
	Login        string         `json:"login"`
	Password     string         `json:"password"`
	Code         string         `json:"code"` // second factor
	Passwordless bool           `json:"passwordless"`
	Sub          string         `json:"sub"`    // default "sub-" and the login
	Claims       map[string]any `json:"claims"` // in the ID token; email and profile claims by scope, others by openid; default preferred_username
}

// OIDCServer is a running OpenID provider: the certified npm oidc-provider on loopback, with PKCE, PAR, the iss parameter,
// the claims parameter, RP-initiated and back-channel logout. acr comes when asked for (acr_values or claims), auth_time
// with max_age, prompt=login or claims, amr always, sid with a back-channel, at_hash never (OIDC Core §3.1.3.6: optional).
//
// Its pages are forms for a browser or a client with cookies, posted to the page's own address with the hidden field step:
//
//	#password      #login, #password (fields login, password), button #sign-in
//	#passwordless  #device-login (field login), button #passwordless-sign-in
//	#second        #otp (field otp), button #confirm; asked for when the second factor is wanted and a password not
//	#none          button #no-second-factor    goes on with less, or is refused when the class is essential
//	#other         button #other-account       back to the first page
//	#cancel        access_denied
//
// An error is shown in #error. Signing out asks with #sign-out and #stay. When somebody else signs in where a session is,
// the provider first ends that one, logout tokens included, by a page whose only form posts itself where scripts run.
type OIDCServer struct {
	Issuer       string
	ClientID     string // of the first client with a secret
	ClientSecret string
	KeyClientID  string // of the first client with a key
	ClientKey    []byte // PEM, PKCS #8, P-256
	ClientKeyID  string // its kid as registered

	dir string
	cmd *exec.Cmd

	mu     sync.Mutex // one order at a time
	orders io.WriteCloser
	answer *bufio.Reader
}

// OIDC starts an OpenID provider of its own for the test, in about a second, and stops it when the test ends. Its log is
// shown when the test has failed. Without Node.js and the packages of internal/app/testdata it skips or fails as the
// package comment says.
func OIDC(t testing.TB, o OIDCOptions) *OIDCServer {
	t.Helper()
	node, script := findOIDC(t)
	clientKey := newKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(clientKey)
	if err != nil {
		t.Fatal(err)
	}
	s := &OIDCServer{dir: t.TempDir(), ClientSecret: "secret-" + rand.Text() + rand.Text(), ClientKeyID: "client-1",
		ClientKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
	if o.Clients == nil {
		o.Clients = []OIDCClient{
			{ID: "regain", RedirectURIs: o.RedirectURIs, PostLogout: o.PostLogout, BackChannel: o.BackChannel},
			{ID: "regain-key", Key: true, RedirectURIs: o.RedirectURIs, PostLogout: o.PostLogout, BackChannel: o.BackChannel},
		}
	}
	if err := s.launch(node, script, s.setup(t, o, clientKey)); err != nil {
		t.Fatalf("oidc-provider: %v\n%s", err, s.Log())
	}
	t.Cleanup(func() {
		s.orders.Close()
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("oidc-provider: %v", err)
		}
		if t.Failed() {
			t.Logf("oidc-provider:\n%s", s.Log())
		}
	})
	return s
}

// findOIDC returns the paths of Node.js and of our script, both seen from the folder of go.mod.
func findOIDC(t testing.TB) (node, script string) {
	t.Helper()
	root, err := os.Getwd()
	for ; err == nil; root = filepath.Dir(root) {
		if _, serr := os.Stat(filepath.Join(root, "go.mod")); serr == nil {
			break
		}
		if root == filepath.Dir(root) {
			err = errors.New("no go.mod above the test")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	packages := filepath.Join(root, "internal", "app", "testdata", "node_modules")
	node, script = filepath.Join(packages, ".bin", "node"), filepath.Join(root, "internal", "testserver", "testdata", "oidc-provider.mjs")
	// go test caches by the files a test looks at itself, so it looks at all that the provider is made of.
	for _, path := range []string{script, node, filepath.Join(packages, "oidc-provider", "package.json")} {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		const text = "Node.js or the package oidc-provider is not installed: run make install"
		if os.Getenv("REGAIN_REQUIRE_SERVERS") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	return node, script
}

// setup is the first line the script reads.
func (s *OIDCServer) setup(t testing.TB, o OIDCOptions, clientKey *ecdsa.PrivateKey) map[string]any {
	t.Helper()
	signing, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := clientKey.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	var clients []map[string]any
	for _, c := range o.Clients {
		client := map[string]any{"id": c.ID, "redirect_uris": c.RedirectURIs, "post_logout": c.PostLogout, "backchannel": c.BackChannel}
		if c.Key {
			client["jwk"] = map[string]any{"kty": "EC", "crv": "P-256", "kid": s.ClientKeyID, "alg": "ES256", "use": "sig",
				"x": base64.RawURLEncoding.EncodeToString(public[1:33]), "y": base64.RawURLEncoding.EncodeToString(public[33:])}
			if s.KeyClientID == "" {
				s.KeyClientID = c.ID
			}
		} else {
			client["secret"] = s.ClientSecret
			if s.ClientID == "" {
				s.ClientID = c.ID
			}
		}
		clients = append(clients, client)
	}
	users := make([]OIDCUser, len(o.Users))
	for i, u := range o.Users {
		if u.Sub == "" {
			u.Sub = "sub-" + u.Login
		}
		claims := map[string]any{"preferred_username": u.Login}
		for name, value := range u.Claims {
			claims[name] = value
		}
		u.Claims = claims
		users[i] = u
	}
	return map[string]any{"users": users, "clients": clients, "signing_key": rsaJWK(signing), "cookie_key": rand.Text(), "par": o.PAR}
}

// rsaJWK is a private key as a JWK (RFC 7518 §6.3).
func rsaJWK(k *rsa.PrivateKey) map[string]string {
	n := func(i *big.Int) string { return base64.RawURLEncoding.EncodeToString(i.Bytes()) }
	return map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "op-1", "n": n(k.N), "e": n(big.NewInt(int64(k.E))), "d": n(k.D),
		"p": n(k.Primes[0]), "q": n(k.Primes[1]), "dp": n(k.Precomputed.Dp), "dq": n(k.Precomputed.Dq), "qi": n(k.Precomputed.Qinv)}
}

func (s *OIDCServer) launch(node, script string, setup map[string]any) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(node, script)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "NODE_ENV=test"}
	s.cmd.Stderr = log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's interrupt is ours alone; the end of its input ends it
	if s.orders, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.answer = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return s.ask(setup, &s.Issuer)
}

// ask writes one line and reads its answer, for at most 20 s.
func (s *OIDCServer) ask(line, value any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := json.Marshal(line)
	if err != nil {
		return err
	}
	late := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() }) // ends the read below
	defer late.Stop()
	if _, err := s.orders.Write(append(raw, '\n')); err != nil {
		return err
	}
	read, err := s.answer.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	var a struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal(read, &a); err != nil {
		return fmt.Errorf("answer %q: %w", read, err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	if value == nil {
		return nil
	}
	return json.Unmarshal(a.Value, value)
}

func (s *OIDCServer) order(t testing.TB, line map[string]any, value any) {
	t.Helper()
	if err := s.ask(line, value); err != nil {
		t.Fatalf("oidc-provider %v: %v\n%s", line["order"], err, s.Log())
	}
}

// Stop plays an outage: connections break and new ones are refused. Sessions and keys stay for Start.
func (s *OIDCServer) Stop(t testing.TB) {
	t.Helper()
	s.order(t, map[string]any{"order": "stop"}, nil)
}

// Start ends the outage on the same port.
func (s *OIDCServer) Start(t testing.TB) {
	t.Helper()
	s.order(t, map[string]any{"order": "start"}, nil)
}

// Age makes every sign-in of a person at the provider older, for max_age without waiting. It fails the test when the
// person has none.
func (s *OIDCServer) Age(t testing.TB, login string, by time.Duration) {
	t.Helper()
	var n int
	s.order(t, map[string]any{"order": "age", "login": login, "seconds": int(by.Seconds())}, &n)
	if n == 0 {
		t.Fatalf("%s has no session at the provider", login)
	}
}

// OIDCLogout is one logout token that was delivered.
type OIDCLogout struct {
	Client string `json:"client"`
	Token  string `json:"token"`
	Status int    `json:"status"` // what the application answered
}

// Logout ends the sessions of a person at the provider and tells every application they used there by back-channel: one
// token a session, with sid and sub.
func (s *OIDCServer) Logout(t testing.TB, login string) []OIDCLogout {
	t.Helper()
	var told []OIDCLogout
	s.order(t, map[string]any{"order": "logout", "login": login}, &told)
	return told
}

// LogoutSubject is Logout with one token an application that names the person only: every session of theirs is over.
func (s *OIDCServer) LogoutSubject(t testing.TB, login string) []OIDCLogout {
	t.Helper()
	var told []OIDCLogout
	s.order(t, map[string]any{"order": "logout", "login": login, "subject": true}, &told)
	return told
}

// Log returns what the provider has logged: its requests as METHOD PATH STATUS, and why it refused some.
func (s *OIDCServer) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(b)
}
