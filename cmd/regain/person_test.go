package main

import (
	"regexp"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/app"
	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
)

func TestAPersonIsShownWithWhatTheirWaysStandOnAndHowOftenTheyAreSignedIn(t *testing.T) {
	d := deployment(t)
	c, err := config.Load(config.Source{Environ: d, File: variable(d, "REGAIN_CONFIG")})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.OpenAdmin(t.Context(), c, "cli:test", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.CreateConnector(t.Context(), "hr", app.ConnectorSettings{}); err != nil {
		t.Fatal(err)
	}
	hr, err := a.Store.ConnectorByName(t.Context(), "hr")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	later := now.Add(time.Hour)
	p := &account.Person{Connector: hr.ID, UserName: "ada", Active: true, DisplayName: "Ada Lovelace", Created: now, Updated: now}
	if err := a.Store.CreatePerson(t.Context(), p, []method.Method{
		{Kind: method.Email, Status: method.Active, Root: method.Root{Kind: method.ByConnector, ID: hr.ID}, Destination: "ada@home.example", Created: now, Leaves: later},
		{Kind: method.Passkey, Status: method.Active, Root: method.Root{Kind: method.BySession, ID: "s"}, Created: now, Matures: later},
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		v := &session.Session{Hash: []byte{byte(i)}, Started: now, Seen: now, Expires: now.Add(session.Life)}
		if i == 0 {
			v.Expires = now // is over
		}
		if _, err := a.Store.Arrive(t.Context(), p.ID, nil, "", func(*account.Person) (*session.Session, []event.Event, error) { return v, nil, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	got := run(t, d, "person", "show", "ADA")
	for _, want := range []string{
		`(?m)^ada  Ada Lovelace  active true  sessions 2$`, `(?m)^  email +\S+ +active +by connector hr  leaving ` + minute(later) + `$`,
		`(?m)^  passkey +active +by session  maturing until ` + minute(later) + `$`,
	} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("got\n%s\nwant %s in it", got, want)
		}
	}
	says(t, d, `called "bob"`, "person", "show", "bob")
}
