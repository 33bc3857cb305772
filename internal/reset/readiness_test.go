package reset_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// ready judges a person with these methods under a policy.
func ready(t *testing.T, rules string, p account.Person, methods ...method.Method) *reset.Readiness {
	t.Helper()
	ring := keyring.Generate()
	db := storetest.Open(t, store.SQLite, func(c *store.Config) { c.Ring = ring })
	now := func() time.Time { return noon }
	pol, err := policy.Parse([]byte(rules))
	if err == nil {
		_, err = db.ApplyPolicy(t.Context(), pol, "test", noon)
	}
	if err != nil {
		t.Fatal(err)
	}
	none := &client.Connector{ID: "none", Name: "none", Trust: client.TrustNone, Preset: client.PresetStandard}
	if err := db.CreateConnector(t.Context(), none); err != nil {
		t.Fatal(err)
	}
	p.UserName, p.Created, p.Updated = "ada", noon, noon
	for i := range methods {
		methods[i].ID = fmt.Sprintf("m%02d", i)
	}
	if err := db.CreatePerson(t.Context(), &p, methods); err != nil {
		t.Fatal(err)
	}
	dir, err := memory.New(memory.Config{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	s, err := reset.New(reset.Config{
		Directories: []reset.Directory{{Name: "main", Adapter: dir}}, Store: db, Limits: db, Keys: ring, Policies: db, Corporate: []string{"contoso.example"}, Now: now, Log: slog.New(slog.DiscardHandler),
		Kinds: func() []method.Kind { return []method.Kind{method.Email, method.SMS, method.TOTP, method.RecoveryCode} },
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Readiness(t.Context(), &p, policy.Reset)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func has(kind method.Kind, to string, root method.Root, change ...func(*method.Method)) method.Method {
	m := method.Method{Kind: kind, Status: method.Active, Root: root, Destination: to, Created: noon.Add(-time.Hour)}
	for _, f := range change {
		f(&m)
	}
	return m
}

var (
	mine    = method.Root{Kind: method.ByPerson, ID: "ada"}
	hr      = method.Root{Kind: method.ByConnector, ID: "hr"}
	evening = method.Root{Kind: method.BySession, ID: "s1"}
)

const everyone = "rules: [{name: everyone}]"

func TestWhetherSomebodyCouldResetNowAndWhyNot(t *testing.T) {
	active := account.Person{Active: true}
	rests := func(m *method.Method) { m.UsableFrom = noon.Add(time.Hour) }
	for _, c := range []struct {
		what    string
		rules   string
		person  account.Person
		methods []method.Method
		want    reset.Readiness
	}{
		{"two of their own", everyone, active, []method.Method{has(method.Email, "a@home.example", mine), has(method.SMS, "+12065550100", mine)},
			reset.Readiness{Registered: true, Enabled: true, Capable: true, Together: 2}},
		{"nothing", everyone, active, nil, reset.Readiness{Enabled: true, Why: "never_registered"}},
		{"one source brought both", everyone, active, []method.Method{has(method.Email, "a@home.example", hr), has(method.SMS, "+12065550100", hr)},
			reset.Readiness{Registered: true, Enabled: true, Why: "too_few", Together: 1}},
		{"one rests", everyone, active, []method.Method{has(method.Email, "a@home.example", mine), has(method.SMS, "+12065550100", mine, rests)},
			reset.Readiness{Registered: true, Enabled: true, Why: "resting", From: noon.Add(time.Hour), Together: 1}},
		{"two of one session have not matured", everyone, active, []method.Method{
			has(method.Email, "a@home.example", evening, func(m *method.Method) { m.Matures = noon.Add(2 * time.Hour) }), has(method.SMS, "+12065550100", evening)},
			reset.Readiness{Registered: true, Enabled: true, Why: "resting", From: noon.Add(2 * time.Hour), Together: 1}},
		{"what will be enough is removed before", everyone, active, []method.Method{
			has(method.Email, "a@home.example", mine, func(m *method.Method) { m.Leaves = noon.Add(time.Minute) }), has(method.SMS, "+12065550100", mine, rests)},
			reset.Readiness{Registered: true, Enabled: true, Why: "too_few", Together: 1}},
		{"disabled", everyone, account.Person{}, []method.Method{has(method.Email, "a@home.example", mine), has(method.SMS, "+12065550100", mine)},
			reset.Readiness{Registered: true, Enabled: true, Why: "inactive", Together: 2}},
		{"no rule", "rules: [{name: some, groups: [x]}]", active, []method.Method{has(method.Email, "a@home.example", mine)},
			reset.Readiness{Registered: true, Why: "not_in_scope"}},
		{"not allowed", "rules: [{name: everyone, allow: [unlock]}]", active, nil, reset.Readiness{Why: "action"}},
		{"not allowed, and from a network only", "rules: [{name: everyone, allow: [unlock], networks: [10.0.0.0/8]}]", active, nil, reset.Readiness{Why: "action", Network: true}},
		{"from a network only", "rules: [{name: everyone, networks: [10.0.0.0/8]}]", active, []method.Method{has(method.Email, "a@home.example", mine), has(method.SMS, "+12065550100", mine)},
			reset.Readiness{Registered: true, Enabled: true, Capable: true, Together: 2, Network: true}},
		{"protected", "protected: {people: [ADA], deny: true}\nrules: [{name: everyone}]", active, nil, reset.Readiness{Why: "protected"}},
		{"shut at a provider", everyone, account.Person{Active: true, Alerts: []account.Alert{{IDP: "corp", Kind: account.Disabled, Until: noon.Add(time.Minute)}}},
			[]method.Method{has(method.Email, "a@home.example", mine), has(method.SMS, "+12065550100", mine)}, reset.Readiness{Registered: true, Why: "alerted", Together: 2}},
		{"shut at a provider until a moment ago", everyone, account.Person{Active: true, Alerts: []account.Alert{{IDP: "corp", Kind: account.Disabled, Until: noon}}},
			[]method.Method{has(method.Email, "a@home.example", mine), has(method.SMS, "+12065550100", mine)}, reset.Readiness{Registered: true, Enabled: true, Capable: true, Together: 2}},
		{"one proof would do, and a provider warns", "rules: [{name: x, proofs: {reset: 1}, groups: [x]}, {name: everyone}]", account.Person{Active: true, Alerts: []account.Alert{{IDP: "corp", Kind: account.Compromised, Until: noon.Add(time.Minute)}}},
			[]method.Method{has(method.Email, "a@home.example", mine)}, reset.Readiness{Registered: true, Enabled: true, Why: "too_few", Together: 1}},
		{"only what is known elsewhere", everyone, active, []method.Method{has(method.External, "", hr)}, reset.Readiness{Enabled: true, Why: "never_registered"}},
	} {
		got := *ready(t, c.rules, c.person, c.methods...)
		got.Decision, got.Ways = policy.Decision{}, nil
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.what, got, c.want)
		}
	}
}

func TestEachWayThatDoesNotCountSaysWhy(t *testing.T) {
	p := account.Person{Active: true, Dispute: &account.Dispute{Attempt: "a", Since: noon.Add(-2 * time.Hour), At: noon, Methods: []string{"m00"}}}
	old := func(m *method.Method) { m.Created = noon.Add(-3 * time.Hour) }
	status := func(s method.Status) func(*method.Method) { return func(m *method.Method) { m.Status = s } }
	want := []string{"disputed", "disputed", "", "resting", "corporate", "untrusted", "disabled", "pending", "elsewhere", "kind", "off"}
	r := ready(t, "rules: [{name: everyone, kinds: [email, sms, voice]}]", p,
		has(method.Email, "used@home.example", mine, old), has(method.Email, "younger@home.example", mine), has(method.SMS, "+12065550142", mine, old),
		has(method.Email, "new@home.example", mine, old, func(m *method.Method) { m.UsableFrom = noon.Add(time.Hour) }),
		has(method.Email, "ada@mail.contoso.example", mine, old), has(method.SMS, "+12065550143", method.Root{Kind: method.ByConnector, ID: "none"}, old),
		has(method.SMS, "+12065550144", mine, old, status(method.Disabled)), has(method.SMS, "+12065550145", mine, old, status(method.Pending)),
		has(method.External, "", hr, old), has(method.TOTP, "", mine, old), has(method.Voice, "+12065550146", mine, old),
		has(method.SMS, "+12065550147", mine, old, status(method.Removed)))
	if len(r.Ways) != len(want) {
		t.Fatalf("%d ways, want %d: %+v", len(r.Ways), len(want), r.Ways)
	}
	for i, w := range r.Ways {
		if w.Why != want[i] {
			t.Errorf("way %d, %s %s: %q, want %q", i, w.Kind, w.Masked, w.Why, want[i])
		}
	}
	if w := r.Ways[2]; w.Masked != "•• 42" {
		t.Errorf("shown as %q", w.Masked)
	}
}
