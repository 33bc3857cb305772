package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/store/storetest"
)

// signingIDP is an identity provider that provisions with an access token it asks for by a key (IPSIE).
type signingIDP struct {
	w   *world
	key *ecdsa.PrivateKey
}

func (p signingIDP) public() []byte {
	p.w.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(p.key.Public())
	if err != nil {
		p.w.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// token asks for an access token.
func (p signingIDP) token(name string) (status int, token string) {
	p.w.t.Helper()
	now := time.Now()
	claims, _ := json.Marshal(map[string]any{"iss": name, "sub": name, "aud": p.w.base, "jti": uuid.NewString(), "iat": now.Unix(), "exp": now.Add(30 * time.Second).Unix()})
	assertion, err := jws.Sign(claims, jws.WithKey(jwa.ES256(), p.key))
	if err != nil {
		p.w.t.Fatal(err)
	}
	res, err := http.PostForm(p.w.base+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"scim"}, "client_assertion": {string(assertion)},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	if err != nil {
		p.w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.w.t.Fatal(err)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		p.w.t.Fatalf("%d %s", res.StatusCode, body)
	}
	return res.StatusCode, answer.Token
}

// scimAt asks one replica for people with a token.
func scimAt(t *testing.T, srv *Server, token string) int {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/scim/v2/Users?count=1", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder()
	srv.Handler.ServeHTTP(rec, r)
	return rec.Code
}

func TestAnIdentityProviderThatSignsProvisionsAndItsAccessEndsWithItsKeyEverywhere(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, scene{kind: kind})
			other := w.open()
			defer other.Close(t.Context()) //nolint:errcheck // the database goes away
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			idp := signingIDP{w, key}
			a := &Admin{Store: w.srv.Store.Store, ring: w.setup.Ring, actor: "cli:test", now: w.now}
			secret, err := a.CreateConnector(t.Context(), "okta", ConnectorSettings{Key: idp.public()})
			if err != nil || secret != "" {
				t.Fatalf("%q, %v", secret, err)
			}
			status, token := idp.token("okta")
			if status != 200 || !strings.HasPrefix(token, "rgn_scim_at_") {
				t.Fatalf("%d %q", status, token)
			}
			if status, _ := w.scim(token, "POST", "/Users", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": "ada@alder.example"}); status != 201 {
				t.Errorf("POST /Users: %d", status)
			}
			if got := scimAt(t, other, token); got != 200 {
				t.Errorf("on another replica: %d", got)
			}
			if _, err := a.RotateConnectorKey(t.Context(), "okta", signingIDP{w, next}.public(), w.now()); err != nil {
				t.Fatal(err)
			}
			// The first replica polls; the other has no poll, and looks by itself when two seconds have gone by.
			begun := time.Now()
			for _, srv := range []*Server{w.srv, other} {
				eventually(t, "the access has ended", func() bool { return scimAt(t, srv, token) == 401 })
			}
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
			if status, _ := idp.token("okta"); status != 401 {
				t.Errorf("by the key that ended: %d", status)
			}
			if status, token := (signingIDP{w, next}).token("okta"); status != 200 || scimAt(t, other, token) != 200 {
				t.Errorf("by the next key: %d", status)
			}
			if log := w.log.tail(1000); strings.Contains(log, token) {
				t.Error("a token is in the log")
			}
		})
	}
}

func TestEveryRuleThatCanBeTurnedIsExplainedInTheConsole(t *testing.T) {
	c, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Rules(&client.Connector{Preset: client.PresetStandard}) {
		if !c.Has("console.rule." + r.Name) {
			t.Errorf("console.rule.%s has no text", r.Name)
		}
	}
}
