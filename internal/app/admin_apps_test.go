package app

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// admins is an Admin whose clock a test moves.
func admins(s *store.Store) (*Admin, *time.Time) {
	clock := adminNoon
	return &Admin{Store: s, actor: "cli:grace", now: func() time.Time { return clock }}, &clock
}

// opens reports whether a secret is a live one of an app.
func opens(a *client.App, secret string, now time.Time) bool {
	hash, ok := keyring.HashToken(secret)
	return ok && slices.ContainsFunc(a.LiveSecrets(now), func(k client.Token) bool { return slices.Equal(k.Hash, hash) })
}

func TestWhatBecomesOfAnAppThatAsksIsWrittenDownWithoutItsSecrets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a, clock := admins(s)
		app, first, err := a.CreateApp(t.Context(), "HR", "", AppSettings{Redirects: []string{"https://hr.example/cb"}, Alg: "ES256"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if app.Subject != client.Pairwise || app.Sector != "hr.example" || !slices.Equal(app.Actions, []client.Action{client.ActionReset}) || !opens(app, first.Secret, adminNoon.Add(9999*time.Hour)) {
			t.Errorf("made: %+v", app)
		}
		if keys, err := s.SigningKeys(t.Context(), keyring.ForIDTokens); err != nil || len(keys) != 2 || keys[0].Alg != "ES256" {
			t.Errorf("nothing signs for it: %v, %v", keys, err)
		}
		change := func(c AppChange) {
			t.Helper()
			if err := a.ChangeApp(t.Context(), "hr", c); err != nil {
				t.Fatal(err)
			}
		}
		start, push := "https://hr.example/start", true
		change(AppChange{AppSettings: AppSettings{Actions: []string{"unlock", "reset"}, Alg: "EdDSA", Initiate: &start, PushOnly: &push}})
		change(AppChange{AppSettings: AppSettings{Actions: []string{"unlock", "reset"}, PushOnly: &push}}) // nothing new
		*clock = clock.Add(time.Hour)
		_, second, err := a.RotateApp(t.Context(), "hr", nil, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		change(AppChange{AppSettings: AppSettings{Redirects: []string{"https://new.example/cb"}, Returns: []string{"https://new.example/"}}})
		change(AppChange{AppSettings: AppSettings{Auth: "private_key_jwt"}})
		_, key, err := a.RotateApp(t.Context(), "hr", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.DeleteApp(t.Context(), "hr"); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(logged(t, s, app.ID), "\n")
		want := strings.Join([]string{
			`app.created {"key":"hr","name":"HR"}`,
			`app.changed {"actions":["reset"],"alg":"ES256","auth":"client_secret","initiate":"","key":"hr","push_only":false,"redirects":["https://hr.example/cb"],"sector":"hr.example","subject":"pairwise"}`,
			`app.changed {"actions":[["reset"],["unlock","reset"]],"alg":["ES256","EdDSA"],"initiate":["","https://hr.example/start"],"key":"hr","push_only":[false,true]}`,
			`app.changed {"key":"hr","secret":"rotated","until":"` + adminNoon.Add(25*time.Hour).Format(time.RFC3339) + `"}`,
			`app.changed {"key":"hr","returns_before":null,"sector":["hr.example","new.example"]}`,
			`app.changed {"key":"hr","returns":["https://new.example/"]}`,
			`app.changed {"key":"hr","redirects_before":["https://hr.example/cb"]}`,
			`app.changed {"key":"hr","redirects":["https://new.example/cb"]}`,
			`app.changed {"auth":["client_secret","private_key_jwt"],"key":"hr"}`,
			`app.changed {"key":"hr","public_key":"` + key.KeyID + `","until":"` + adminNoon.Add(time.Hour).Format(time.RFC3339) + `"}`,
			`app.deleted {"key":"hr","name":"HR","returns":["https://new.example/"]}`,
		}, "\n")
		if got != want {
			t.Errorf("of the app:\n%s\nwant\n%s", got, want)
		}
		for _, secret := range []string{first.Secret, second.Secret, key.PrivateKey} {
			if secret == "" || strings.Contains(got, secret) {
				t.Errorf("%q is among what was written down", secret)
			}
		}
	})
}

func TestAnAppsSecretWorksBesideTheNextForAsLongAsItIsKept(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	a, clock := admins(s)
	_, first, err := a.CreateApp(t.Context(), "HR", "", AppSettings{Redirects: []string{"https://hr.example/cb"}, Alg: "ES256"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var c [3]Credentials
	for i, keep := range []time.Duration{24 * time.Hour, 24 * time.Hour, 0} {
		*clock = clock.Add(time.Hour)
		app, fresh, err := a.RotateApp(t.Context(), "hr", nil, keep)
		if err != nil {
			t.Fatal(err)
		}
		c[i] = fresh
		end := clock.Add(keep)
		for name, w := range map[string]struct {
			secret string
			at     time.Time
			want   bool
		}{
			"the new one": {fresh.Secret, end.Add(9999 * time.Hour), true},
			"the first":   {first.Secret, *clock, i == 0}, "the first until its end": {first.Secret, end.Add(-time.Microsecond), i == 0}, "the first at its end": {first.Secret, end, false},
			"the second": {c[0].Secret, *clock, i < 2},
		} {
			if got := opens(app, w.secret, w.at); got != w.want {
				t.Errorf("rotation %d: %s opens %v, want %v", i, name, got, w.want)
			}
		}
		if fresh.Ended != (i == 1) {
			t.Errorf("rotation %d: one had to go early: %v", i, fresh.Ended)
		}
	}
	for _, keep := range []time.Duration{-time.Second, MaxKeep + time.Second} {
		if _, _, err := a.RotateApp(t.Context(), "hr", nil, keep); err == nil {
			t.Errorf("kept %s", keep)
		}
	}
}

func TestSigningKeysAreRotatedByPurposeAndAlgorithm(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	a, clock := admins(s)
	if _, err := a.RotateSigning(t.Context(), "", ""); err == nil {
		t.Error("there is none, and it was rotated")
	}
	for _, k := range [][2]string{{keyring.ForIDTokens, "ES256"}, {keyring.ForIDTokens, "EdDSA"}, {keyring.ForEvents, "ES256"}} {
		if err := s.EnsureSigning(t.Context(), k[0], k[1], adminNoon); err != nil {
			t.Fatal(err)
		}
	}
	*clock = clock.Add(time.Hour)
	// retired is which of them have a retired key.
	retired := func(all []SigningInfo) (which string) {
		for _, k := range all {
			if k.State == keyring.Retired {
				which += k.Purpose + " " + k.Alg + ", "
			}
		}
		return which
	}
	for _, step := range []struct{ purpose, alg, want string }{
		{keyring.ForIDTokens, "EdDSA", "id-token EdDSA, "},
		{keyring.ForEvents, "", "event ES256, id-token EdDSA, "},
		{"", "ES256", "event ES256, event ES256, id-token ES256, id-token EdDSA, "},
		{"", "", "event ES256, event ES256, event ES256, id-token ES256, id-token ES256, id-token EdDSA, id-token EdDSA, "},
	} {
		all, err := a.RotateSigning(t.Context(), step.purpose, step.alg)
		if got := retired(all); err != nil || got != step.want {
			t.Errorf("%+v: %s (%v)", step, got, err)
		}
	}
	for _, bad := range [][2]string{{"session", ""}, {"", "HS256"}, {keyring.ForEvents, "RS256"}, {"ID-Token", ""}} {
		if _, err := a.RotateSigning(t.Context(), bad[0], bad[1]); err == nil {
			t.Errorf("%q: rotated", bad)
		}
	}
}
