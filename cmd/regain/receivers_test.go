package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// withProviders is a deployment where people sign in at these providers.
func withProviders(t *testing.T, names ...string) []string {
	t.Helper()
	d := deployment(t)
	path := strings.TrimPrefix(d[0], "REGAIN_CONFIG=")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var idps []string
	for _, name := range names {
		idps = append(idps, "{name: "+name+", issuer: 'https://"+name+".example', client_id: us, client_secret: '0123456789abcdef0123456789abcdef', people: [hr]}")
	}
	if err := os.WriteFile(path, []byte(string(text)+"idps: ["+strings.Join(idps, ", ")+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAReceiverOfStreamsIsGivenWhatItNeedsOnce(t *testing.T) {
	d := withProviders(t, "corp")
	made := says(t, d, "Configuration   https://account.example.org/.well-known/ssf-configuration\nToken endpoint  https://account.example.org/oauth2/token\nClient id       okta\n",
		"receiver", "create", "Okta", "--ssf", "--push-host", "okta.example", "--push-host", "127.0.0.1:8443", "--events", "credential-change,session-revoked", "--audience", "https://okta.example/x")
	secret := regexp.MustCompile(`Client secret   (rgn_receiver_\S+)`).FindStringSubmatch(made)
	if secret == nil || !strings.Contains(made, "Audience        https://okta.example/x\n") || strings.Contains(made, "It may fetch") {
		t.Fatalf("got %s", made)
	}
	shown := says(t, d, "okta  Okta  ssf  enabled\n  hears  credential-change session-revoked\n  people by  iss_sub", "receiver", "show", "okta")
	if !strings.Contains(shown, "pushed to  okta.example 127.0.0.1:8443\n") || strings.Count(shown, "  secret  made ") != 1 || strings.Contains(shown, "rgn_") {
		t.Errorf("got %s", shown)
	}
	says(t, d, "It may fetch events", "receiver", "create", "Poller", "--ssf", "--format", "email")
	if got := says(t, d, "poller                   ssf      enabled  Poller\n", "receiver", "list"); strings.Count(got, "\n") != 2 {
		t.Errorf("got %s", got)
	}
	if rotated := says(t, d, "The one before ends in 1h0m0s", "receiver", "rotate", "okta", "--keep", "1h"); !strings.Contains(rotated, "Secret  rgn_receiver_") || strings.Contains(rotated, secret[1]) {
		t.Errorf("got %s", rotated)
	}
	if shown := says(t, d, "okta", "receiver", "show", "okta"); strings.Count(shown, "  secret  made ") != 2 || strings.Count(shown, "ends never") != 1 {
		t.Errorf("got %s", shown)
	}
	says(t, d, "", "receiver", "change", "okta", "--events", "all", "--name", "Okta Identity", "--disable")
	says(t, d, "okta  Okta Identity  ssf  disabled\n  hears  all there is\n", "receiver", "show", "okta")
	says(t, d, "receiver okta is disabled", "receiver", "test", "okta")
	says(t, d, "", "receiver", "change", "okta", "--enable")
	says(t, d, "no stream that is enabled", "receiver", "test", "okta")
	says(t, d, "0 streams changed", "receiver", "change", "okta", "--pause")
	says(t, d, "", "receiver", "delete", "okta")
	says(t, d, `no receiver "okta"`, "receiver", "show", "okta")
}

func TestAReceiverOfWebhooksIsRegisteredTestedAndRotated(t *testing.T) {
	d := deployment(t)
	made := says(t, d, "Key             siem\nAddress         https://siem.example/in\nSigning secret  whsec_", "receiver", "create", "SIEM", "--webhook", "https://siem.example/in", "--events", "password.reset")
	if !strings.Contains(made, "shown this once") {
		t.Errorf("got %s", made)
	}
	shown := says(t, d, "people by  opaque", "receiver", "show", "siem")
	if strings.Contains(shown, "whsec_") || !strings.Contains(shown, "arrived never, failed never , waiting 0, given up 0") {
		t.Errorf("got %s", shown)
	}
	says(t, d, "The server sends it now", "receiver", "test", "siem")
	says(t, d, "waiting 1,", "receiver", "show", "siem")
	says(t, d, "whsec_", "receiver", "rotate", "siem")
	says(t, d, "", "receiver", "change", "siem", "--webhook", "https://siem.example/canary-path", "--format", "email")
	says(t, d, "https://siem.example/canary-path", "receiver", "show", "siem")
	for want, args := range map[string][]string{
		`at least one of the flags in the group [ssf webhook]`: {"receiver", "create", "None"},
		"none of the others can be":                            {"receiver", "create", "Both", "--ssf", "--webhook", "https://x.example/"},
		"http is for loopback only":                            {"receiver", "create", "Plain", "--webhook", "http://siem.example/"},
		"none is configured":                                   {"receiver", "create", "Streams", "--ssf"},
		`event "code.asked"`:                                   {"receiver", "create", "Codes", "--webhook", "https://x.example/", "--events", "code.asked"},
		"key is taken":                                         {"receiver", "create", "Other", "--key", "siem", "--webhook", "https://x.example/"},
		"no key can be made":                                   {"receiver", "create", "店", "--webhook", "https://x.example/"},
		"are of kind ssf":                                      {"receiver", "change", "siem", "--push-host", "x.example"},
		`format "name"`:                                        {"receiver", "change", "siem", "--format", "name"},
		"webhooks are not kept":                                {"receiver", "change", "siem", "--pause"},
		"nothing to change":                                    {"receiver", "change", "siem"},
		`no receiver "gone"`:                                   {"receiver", "change", "gone", "--disable"},
		"want 0s to 720h":                                      {"receiver", "rotate", "siem", "--keep", "1000h"},
	} {
		says(t, d, want, args...)
	}
}

func TestWhoseSubjectsAReceiverKnowsPeopleByIsSaidWhenThereAreSeveral(t *testing.T) {
	d := withProviders(t, "corp", "lab")
	says(t, d, "say whose subjects, with --idp: corp, lab", "receiver", "create", "Okta", "--ssf")
	says(t, d, `provider "other": want corp, lab`, "receiver", "create", "Okta", "--ssf", "--idp", "other")
	says(t, d, "Client id       okta", "receiver", "create", "Okta", "--ssf", "--idp", "lab")
	says(t, d, "people by  iss_sub lab", "receiver", "show", "okta")
	says(t, d, "", "receiver", "change", "okta", "--format", "opaque")
	says(t, d, "people by  opaque \n", "receiver", "show", "okta")
}

func TestSecretsOfReceiversStandInNoEvent(t *testing.T) {
	d := deployment(t)
	text := run(t, d, "receiver", "create", "SIEM", "--webhook", "https://siem.example/canary-path")
	text += run(t, d, "receiver", "create", "Streams", "--ssf", "--format", "opaque")
	text += run(t, d, "receiver", "rotate", "siem") + run(t, d, "receiver", "rotate", "streams")
	says(t, d, "", "receiver", "change", "siem", "--webhook", "https://siem.example/canary-other", "--disable")
	says(t, d, "", "receiver", "delete", "siem")
	secrets := regexp.MustCompile(`whsec_\S+|rgn_receiver_\S+`).FindAllString(text, -1)
	if len(secrets) != 4 {
		t.Fatalf("got %d secrets in %s", len(secrets), text)
	}
	dir := filepath.Dir(strings.TrimPrefix(d[0], "REGAIN_CONFIG="))
	files, err := filepath.Glob(filepath.Join(dir, "regain.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no database", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if strings.Contains(string(b), strings.TrimPrefix(secret, "whsec_")) {
				t.Errorf("a secret stands in %s", filepath.Base(f))
			}
		}
	}
}

func TestAReceiverFollowsTheConnectorsItIsToldTo(t *testing.T) {
	d := deployment(t)
	says(t, d, "rgn_scim", "connector", "create", "hr")
	says(t, d, `connector "payroll": there is none of that name`, "receiver", "create", "CRM", "--ssf", "--format", "opaque", "--events", "scim", "--connector", "payroll")
	says(t, d, "hears none of them", "receiver", "create", "CRM", "--ssf", "--format", "opaque", "--connector", "hr")
	says(t, d, `event "prov:create:notice": want password.reset`, "receiver", "create", "CRM", "--webhook", "https://crm.example/", "--events", "scim")
	says(t, d, "Client id       crm", "receiver", "create", "CRM", "--ssf", "--format", "opaque", "--events", "scim", "--connector", "hr")
	if shown := says(t, d, "  hears  prov:create:notice prov:put:notice prov:patch:notice prov:delete prov:activate prov:deactivate misc:asyncresp\n", "receiver", "show", "crm"); !strings.Contains(shown, "\n  follows  ") {
		t.Errorf("got %s", shown)
	}
	says(t, d, "", "receiver", "change", "crm", "--events", "all,scim", "--connector", "all")
	if shown := says(t, d, "  hears  credential-change session-revoked ", "receiver", "show", "crm"); strings.Contains(shown, "follows") || !strings.Contains(shown, "misc:asyncresp") {
		t.Errorf("got %s", shown)
	}
}
