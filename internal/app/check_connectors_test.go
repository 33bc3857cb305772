package app

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func TestTheCheckSaysOfEachConnectorWhatAnOperatorMustDo(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	now := adminNoon
	made := func(name string, change func(*client.Connector)) *client.Connector {
		t.Helper()
		c := &client.Connector{ID: uuid.NewString(), Name: name, Trust: client.TrustOne, Preset: client.PresetStandard, Created: now, Updated: now, Last: now.Add(-time.Minute),
			Tokens: []client.Token{{Hash: []byte(name), Created: now}}}
		change(c)
		if err := s.CreateConnector(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	about := func() map[string][]string {
		t.Helper()
		found, err := connectorFindings(t.Context(), s, now)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string][]string{}
		for _, f := range found {
			all[f.Area] = append(all[f.Area], string(f.Verdict)+": "+f.Text+" → "+f.Fix)
		}
		return all
	}
	if got := about()["connectors"]; len(got) != 1 || !strings.HasPrefix(got[0], "may: none") {
		t.Errorf("without any: %v", got)
	}
	key := client.PublicKey{ID: "k", JWK: `{"kty":"EC"}`}
	made("fine", func(*client.Connector) {})
	made("keys", func(c *client.Connector) { c.Tokens, c.Keys = nil, []client.PublicKey{key} })
	made("set", func(c *client.Connector) { c.Tokens, c.JWKS = nil, "https://idp.example/jwks" })
	made("rotated", func(c *client.Connector) {
		c.Tokens = []client.Token{{Hash: []byte("old"), Created: now, Expires: now.Add(time.Hour)}, {Hash: []byte("newer"), Created: now, Expires: now.Add(100 * 24 * time.Hour)}}
	})
	made("new", func(c *client.Connector) { c.Last = time.Time{} })
	made("quiet", func(c *client.Connector) { c.Last = now.Add(-25 * time.Hour) })
	made("ending", func(c *client.Connector) { c.Tokens[0].Expires = now.Add(13 * 24 * time.Hour) })
	made("ended", func(c *client.Connector) { c.Tokens[0].Expires = now })
	made("bare", func(c *client.Connector) { c.Tokens = nil })
	failing := made("failing", func(*client.Connector) {})
	if err := s.NoteHeard(t.Context(), failing.ID, "PATCH Users", 400, true, now); err != nil {
		t.Fatal(err)
	}
	braked := made("braked", func(*client.Connector) {})
	for i := range 30 {
		p := &account.Person{ID: uuid.NewString(), Connector: braked.ID, UserName: fmt.Sprint("p", i), Active: true, Created: now, Updated: now}
		if err := s.CreatePerson(t.Context(), p, nil, event.New(now, event.PersonCreated, "connector:"+braked.ID, p.ID, "", event.Success)); err != nil {
			t.Fatal(err)
		}
		if err := s.DeletePerson(t.Context(), p.ID, braked.ID, 0, event.New(now, event.PersonDeleted, "connector:"+braked.ID, p.ID, "", event.Success)); err != nil {
			t.Fatal(err)
		}
	}
	got := about()
	for name, want := range map[string][]string{
		"fine": {"ok: last request"}, "keys": {"ok: last request"}, "set": {"ok: last request"}, "rotated": {"ok: last request"},
		"new":     {"should: no request yet → start provisioning"},
		"quiet":   {"should: last request"},
		"ending":  {"ok: last request", "should: its last token or key ends"},
		"ended":   {"ok: last request", "must: it has no token or key that works → regain connector rotate ended"},
		"bare":    {"ok: last request", "must: it has no token or key that works"},
		"failing": {"ok: last request", "should: PATCH Users was answered with 400"},
	} {
		have := got["connector "+name]
		if !slices.EqualFunc(have, want, strings.HasPrefix) {
			t.Errorf("%s: %v, want %v", name, have, want)
		}
	}
	if have := got["connector braked"]; len(have) != 2 || !strings.HasPrefix(have[1], "should: took") || !strings.Contains(have[1], "regain connector undo braked") {
		t.Errorf("braked: %v", have)
	}
}
