package provision

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/pkg/scim"
)

func TestWithoutALiveTokenNothingIsReached(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	id := c.want(201, "POST", "/Users", body("ada", "", contactsOfAda)).id()
	expired, gone := b.connector("expired", client.TrustOne, client.PresetStandard), b.connector("revoked", client.TrustOne, client.PresetStandard)
	for who, change := range map[string]func(*client.Connector){
		expired.id: func(c *client.Connector) { c.Tokens[0].Expires = b.now },
		gone.id:    func(c *client.Connector) { c.Tokens = nil },
	} {
		if _, err := b.store.UpdateConnector(b.Context(), who, func(c *client.Connector) ([]event.Event, error) { change(c); return nil, nil }); err != nil {
			b.Fatal(err)
		}
	}
	other, _ := keyring.NewToken("rgn_try")
	headers := map[string][]string{
		"none":        nil,
		"empty":       {""},
		"no scheme":   {c.token},
		"basic":       {"Basic " + c.token},
		"no token":    {"Bearer "},
		"truncated":   {"Bearer " + c.token[:len(c.token)-1]},
		"extended":    {"Bearer " + c.token + "a"},
		"upper case":  {"Bearer " + strings.ToUpper(c.token)},
		"hash typed":  {"Bearer " + fmt.Sprintf("%x", c.token)},
		"two headers": {"Bearer " + c.token, "Bearer " + c.token},
		"two tokens":  {"Bearer " + c.token + ", Bearer " + c.token},
		"other kind":  {"Bearer " + other},
		"expired":     {"Bearer " + expired.token},
		"revoked":     {"Bearer " + gone.token},
	}
	paths := []string{"/scim/v2/Users", "/scim/v2/Users/" + id, "/scim/v2//Users/" + id, "/scim/v2/./Users/" + id, "/scim/v2/Users/../Users/" + id, "/scim/v2/%55sers/" + id,
		"/scim/v2/Users%2f" + id, "/scim/v2/%2e/Users", "/scim/v2/%2e%2e/v2/Users", "/SCIM/V2/Users/" + id, "/scim/v2/users", "/scim/v2/Groups", "/scim/v2/AuthenticationMethods",
		"/scim/v2/Schemas", "/scim/v2/ServiceProviderConfig", "/scim/v2/ResourceTypes", "/scim/v2/", "/scim/v2", "/scim/v2/Me", "/scim/v2/Bulk", "/scim/v2/.search", "/scim/v2/nothing",
		"/scim/v2/Users?access_token=" + c.token, "/Users/" + id}
	srv := b.srv.Config.Handler
	for about, values := range headers {
		for _, verb := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			b.now = b.now.Add(time.Hour) // the allowance for failures is not what is tested here
			for _, path := range paths {
				b.now = b.now.Add(time.Second)
				r := httptest.NewRequest(verb, path, strings.NewReader(patch(set("active", "false"))))
				r.Header.Set("Content-Type", "application/scim+json")
				r.Header["Authorization"] = values
				r.AddCookie(&http.Cookie{Name: "token", Value: c.token})
				w := httptest.NewRecorder()
				srv.ServeHTTP(w, r)
				if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" || strings.Contains(w.Body.String(), id) || strings.Contains(w.Body.String(), "ada") {
					b.Errorf("%s: %s %s: %d %s", about, verb, path, w.Code, w.Body)
				}
			}
		}
	}
	if !b.person(id).Active {
		b.Error("somebody without a token disabled a person")
	}
	c.want(200, "GET", "/Users/"+id, "") // and the right one works all the same
	for _, log := range []string{c.token, other, expired.token} {
		if strings.Contains(b.log.String(), log) {
			b.Error("a token is in the log")
		}
	}
}

// counting counts questions for tokens.
type counting struct {
	Connectors
	asked int
	err   error
}

func (c *counting) ConnectorByToken(ctx context.Context, hash []byte, now time.Time) (*client.Connector, error) {
	c.asked++
	if c.err != nil {
		return nil, c.err
	}
	return c.Connectors.ConnectorByToken(ctx, hash, now)
}

func TestFailuresAreLimitedAndLockNobodyOut(t *testing.T) {
	b := newBench(t, store.SQLite)
	live, late := b.connector("idp", client.TrustOne, client.PresetStandard), b.connector("late", client.TrustOne, client.PresetStandard)
	n := &counting{Connectors: b.store}
	g := &guard{store: n, now: func() time.Time { return b.now }, log: b.conf.Log}
	try := func(token string) error {
		r := httptest.NewRequest("GET", "/scim/v2/Users", nil)
		r.Header.Set("Authorization", "bearer "+token)
		_, err := g.authenticate(r)
		return err
	}
	if err := try(live.token); err != nil {
		t.Fatal(err)
	}
	n.asked = 0
	for range 10 * failureBurst {
		token, _ := keyring.NewToken("rgn_scim")
		try(token)
	}
	if n.asked != failureBurst {
		t.Errorf("%d of %d strange tokens were looked up, want %d", n.asked, 10*failureBurst, failureBurst)
	}
	limited := &scim.Error{Status: 429}
	if err := try(late.token); !errors.Is(err, limited) {
		t.Errorf("a token not seen before, under attack: %v", err)
	}
	if err := try(live.token); err != nil {
		t.Errorf("the live connector is locked out: %v", err)
	}
	b.now = b.now.Add(failureEvery)
	if err := try(late.token); err != nil {
		t.Errorf("a moment later: %v", err)
	}
	n.err = errors.New("database down: dsn")
	if err := try(live.token); !errors.Is(err, &scim.Error{Status: 503}) {
		t.Errorf("with the database down: %v", err)
	}
}
