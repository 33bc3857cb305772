package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const oneIDP = `idps:
  - name: entra
    label: Example Ltd
    issuer: https://login.example.org/tenant/v2.0
    client_id: app
    client_secret: s3cret
`

func TestAProviderNeedsFourThingsAndTheRestIsDefault(t *testing.T) {
	c, bad := load(t, whole+oneIDP)
	if len(bad) > 0 {
		t.Fatalf("got faults %q, want none", bad)
	}
	want := IDP{Name: "entra", Label: "Example Ltd", Issuer: "https://login.example.org/tenant/v2.0", ClientID: "app", ClientSecret: NewSecret("s3cret"),
		Scopes: []string{"openid", "profile"}, StepUp: IDPStepUp{Request: StepUpACRValues, Claim: "acr", MaxAge: Duration(5 * time.Minute)},
		Claim: "sub", RoleClaims: []string{"groups", "roles"}}
	if len(c.IDPs) != 1 || !reflect.DeepEqual(c.IDPs[0], want) {
		t.Errorf("got  %+v\nwant %+v", c.IDPs, want)
	}
	if c.Link.SignIn != (LinkSignIn{Claim: "preferred_username", Person: "userName"}) {
		t.Errorf("got link %+v", c.Link.SignIn)
	}
	back, bad := load(t, string(Render(c, false)))
	if len(bad) > 0 || !reflect.DeepEqual(c, back) {
		t.Errorf("read back with faults %q:\n%s", bad, Render(c, false))
	}
	if shown := string(Render(c, true)); strings.Contains(shown, "s3cret") || !strings.Contains(shown, "client_secret: (hidden)") {
		t.Errorf("redacted: got\n%s", shown)
	}
	if c.IDPs[0].Events.On() {
		t.Error("it is listened to without having been asked for")
	}
	c, bad = load(t, whole+oneIDP+"    events: {token: the-token-of-the-transmitter-0123456}\n")
	if len(bad) > 0 || !c.IDPs[0].Events.On() || strings.Contains(string(Render(c, true)), "the-token-of") {
		t.Errorf("events: faults %q, or the token is shown", bad)
	}
	c, bad = load(t, whole+oneIDP, "REGAIN_IDPS__0__STEP_UP__ACCEPT=c1,c2", "REGAIN_IDPS__0__STEP_UP__REQUEST=claims_acrs", "REGAIN_IDPS__0__STEP_UP__CLAIM=acrs")
	if len(bad) > 0 || !reflect.DeepEqual(c.IDPs[0].StepUp.Accept, []string{"c1", "c2"}) {
		t.Errorf("from the environment: got %q with faults %q", c.IDPs[0].StepUp.Accept, bad)
	}
}

func TestAProviderThatCannotWorkOrIsUnsafeIsRefused(t *testing.T) {
	const start = "idps:\n  - {name: a, client_id: c, client_secret: s, issuer: "
	for _, test := range []struct{ name, yaml, want string }{
		{"no name", "idps:\n  - {label: x}", "idps.0.name: want a to z"},
		{"a name that is a path", "idps:\n  - {name: a/b}", "idps.0.name: want a to z"},
		{"no issuer", "idps:\n  - {name: a}", "idps.0.issuer: is required"},
		{"no client", "idps:\n  - {name: a}", "idps.0.client_id: is required"},
		{"no secret", "idps:\n  - {name: a}", "idps.0.client_secret: is required, here or as client_secret_file, or a key_file"},
		{"secret and key", start + "https://i.example, key_file: k.pem}", "idps.0.key_file: give a secret or a key, not both"},
		{"the id of no key", start + "https://i.example, key_id: k}", "idps.0.key_id: is the id of a key"},
		{"an issuer in clear", start + "http://i.example}", "idps.0.issuer: want https"},
		{"an issuer with a query", start + "'https://i.example/?a=b'}", "idps.0.issuer: want no query"},
		{"the document's address", start + "https://i.example/.well-known/openid-configuration}", "idps.0.issuer: is the address of the document"},
		{"every tenant of Entra ID", start + "https://login.microsoftonline.com/common/v2.0}", "idps.0.issuer: stands for every tenant"},
		{"a template of a tenant", start + "'https://login.microsoftonline.com/{tenantid}/v2.0'}", "idps.0.issuer: stands for every tenant"},
		{"loopback by accident", start + "http://localhost:9}", "idps.0.allow_private: want true"},
		{"one name twice", start + "https://i.example}\n  - {name: a}", `idps.1.name: "a" is the name of another`},
		{"several without their people", start + "https://i.example}\n  - {name: b}", "idps.1.people: is required with several"},
		{"people of no connector", start + "https://i.example, people: [h r]}", "idps.0.people.0: want the name of a connector"},
		{"scopes without openid", start + "https://i.example, scopes: [profile]}", "idps.0.scopes: want openid"},
		{"a scope that stays", start + "https://i.example, scopes: [openid, offline_access]}", "idps.0.scopes.1: offline_access"},
		{"two scopes as one", start + "https://i.example, scopes: [openid, 'a b']}", "idps.0.scopes.1: want a scope"},
		{"a key that moves", start + "https://i.example, claim: email}", "idps.0.claim: email can be given to somebody else"},
		{"no claim", start + "https://i.example, claim: 'a b'}", "idps.0.claim: want a claim"},
		{"roles of no claim", start + "https://i.example, role_claims: ['']}", "idps.0.role_claims.0: want a claim"},
		{"an attribute nobody has", start + "https://i.example, subject_attribute: nickName}", "idps.0.subject_attribute: want userName, externalId or emails.work"},
		{"events without a token", start + "https://i.example, events: {audience: x}}", "idps.0.events.token: is required, here or as token_file"},
		{"a token that can be guessed", start + "https://i.example, events: {token: a123456789012345678901234567890}}", "idps.0.events.token: is required"},
		{"a token of two words", start + "https://i.example, events: {token: '0123456789012345 6789012345678901'}}", "idps.0.events.token: want at most 1000"},
		{"events in clear", start + "https://i.example, events: {token: a1234567890123456789012345678901, issuer: 'http://x.example'}}", "idps.0.events.issuer: want https"},
		{"an issuer of events with a query", start + "https://i.example, events: {token: a1234567890123456789012345678901, issuer: 'https://x.example/?a'}}", "idps.0.events.issuer: want no query"},
		{"keys in clear", start + "https://i.example, events: {token: a1234567890123456789012345678901, jwks_uri: 'http://x.example/keys'}}", "idps.0.events.jwks_uri: want https"},
		{"a page in clear", start + "https://i.example, account_url: 'http://x.example'}", "idps.0.account_url: want https"},
		{"another way to ask", start + "https://i.example, step_up: {request: amr_values}}", "idps.0.step_up.request: want acr_values"},
		{"another place", start + "https://i.example, step_up: {claim: scope}}", "idps.0.step_up.claim: want acr"},
		{"acrs by acr_values", start + "https://i.example, step_up: {claim: acrs}}", "idps.0.step_up.request: want claims_acrs"},
		{"acrs into acr", start + "https://i.example, step_up: {request: claims_acrs}}", "idps.0.step_up.claim: want acrs"},
		{"acr into amr", start + "https://i.example, step_up: {request: claims_acr, claim: amr}}", "idps.0.step_up.claim: want acr"},
		{"only if possible", start + "https://i.example, step_up: {accept: ['urn:okta:loa:2fa:any:ifpossible']}}", "idps.0.step_up.accept.0: \"urn:okta:loa:2fa:any:ifpossible\" is only a wish"},
		{"acr 0", start + "https://i.example, step_up: {accept: ['0']}}", "idps.0.step_up.accept.0: 0 says"},
		{"an empty value", start + "https://i.example, step_up: {accept: ['']}}", "idps.0.step_up.accept.0: want a value"},
		{"an old sign-in", start + "https://i.example, step_up: {max_age: 6m}}", "idps.0.step_up.max_age: want 0s to 5m, have 6m"},
		{"prompt none", start + "https://i.example, step_up: {prompt: none}}", "idps.0.step_up.prompt: want login"},
		{"a password that needs none", start + "https://i.example, no_password: [pwd]}", `idps.0.no_password.0: "pwd" is a sign-in with a password`},
		{"AD FS's two steps", start + "https://i.example, no_password: ['http://schemas.microsoft.com/claims/multipleauthn']}", "idps.0.no_password.0:"},
		{"a link to no claim", "link: {signin: {claim: ''}}", "link.signin.claim: want a claim"},
		{"a link to a display name", "link: {signin: {person: displayName}}", "link.signin.person: want userName"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, bad := load(t, test.yaml)
			if all := strings.Join(bad, "\n"); !strings.Contains(all, test.want) {
				t.Errorf("got faults:\n%s\nwant one with %q", all, test.want)
			}
		})
	}
}

func TestWhatIsAllowedButSeldomMeantOfAProviderIsHinted(t *testing.T) {
	c, bad := load(t, whole+strings.Replace(oneIDP, "client_secret: s3cret", "key_file: k.pem\n    step_up: {accept: [c1], request: claims_acrs, claim: acrs}", 1))
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	base := len(c.Hints())
	for name, change := range map[string]func(*Config){
		"no accept list":  func(c *Config) { c.IDPs[0].StepUp.Accept = nil },
		"one factor":      func(c *Config) { c.IDPs[0].StepUp.Accept = []string{"urn:okta:loa:1fa:any"} },
		"mfa as none":     func(c *Config) { c.IDPs[0].NoPassword = []string{"mfa"} },
		"a secret":        func(c *Config) { c.IDPs[0].ClientSecret = NewSecret("x") },
		"link by address": func(c *Config) { c.Link.SignIn.Claim = "email" },
	} {
		other := c
		other.IDPs = append([]IDP(nil), c.IDPs...)
		change(&other)
		if got := len(other.Hints()); got != base+1 {
			t.Errorf("%s: %d hints, want %d", name, got, base+1)
		}
	}
}
