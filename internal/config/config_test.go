package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// whole sets what is required and no more.
const whole = `base_url: https://account.example.org
organisation:
  name: Example Ltd
directories:
  - name: staff
    urls: ldaps://ldap.example.org
    bind_dn: cn=regain,ou=services,dc=example,dc=org
    bind_password: correct horse
    base_dn: ou=people,dc=example,dc=org
`

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load reads text as a file and gives the faults with the folder of the file left out.
func load(t *testing.T, text string, environ ...string) (Config, []string) {
	t.Helper()
	path := write(t, "regain.yaml", text)
	c, err := Load(Source{File: path, Environ: environ})
	return c, faults(t, err, path)
}

func faults(t *testing.T, err error, path string) []string {
	t.Helper()
	var all []string
	for _, err := range split(err) {
		if _, ok := errors.AsType[*Fault](err); !ok {
			t.Errorf("an error that is no *Fault: %v", err)
		}
		all = append(all, strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", ""))
	}
	return all
}

func TestWhatIsRequiredIsEnoughAndTheRestIsDefault(t *testing.T) {
	c, bad := load(t, whole)
	if len(bad) > 0 {
		t.Fatalf("got faults %q, want none", bad)
	}
	want := Defaults()
	want.BaseURL = "https://account.example.org"
	want.Organisation.Name = "Example Ltd"
	want.Directories = []Directory{{Name: "staff", Kind: DirectoryLDAP, URLs: []string{"ldaps://ldap.example.org"},
		BindDN: "cn=regain,ou=services,dc=example,dc=org", BindPassword: NewSecret("correct horse"), BaseDN: "ou=people,dc=example,dc=org",
		UserFilter: "(objectClass=inetOrgPerson)", LoginAttributes: []string{"uid", "mail"},
		Timeouts: DirectoryTimeouts{Connect: Duration(5 * time.Second), Request: Duration(10 * time.Second)}}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %s\nwant %s", Render(c, false), Render(want, false))
	}
}

func TestEveryFaultIsToldAtOnceWithItsLineAndTheNearestName(t *testing.T) {
	_, bad := load(t, `base_url: http://account.example.org
lissten: localhost:8080
organisation:
  nmae: Example Ltd
  hue: blue
mail:
  hots: smtp.example.org
  timeout: 5s
directories:
  - name: Staff
    kind: ldap
    timeouts: {connect: 5, request: 9h}
links: scim
smtp_host: x
`, "REGAIN_LOG__LEVEL=loud", "REGAIN_LOG__FROMAT=json", "HOME=/root")
	want := []string{
		`regain.yaml:1: base_url: want https: http is for loopback only, have "http://account.example.org"`,
		`regain.yaml:2: lissten: there is no such key, did you mean listen?`,
		`regain.yaml:3: organisation.name: is required: it stands on every page and in every message`,
		`regain.yaml:4: organisation.nmae: there is no such key, did you mean organisation.name?`,
		`regain.yaml:5: organisation.hue: want a number, have "blue"`,
		`regain.yaml:7: mail.hots: there is no such key, did you mean mail.host?`,
		`regain.yaml:8: mail.timeout: there is no such key`,
		`regain.yaml:10: directories.0.name: want a to z, 0 to 9 and -, at most 32, have "Staff"`,
		`regain.yaml:10: directories.0.urls: is required: ldaps://HOST:636`,
		`regain.yaml:10: directories.0.bind_dn: is required, such as ou=people,dc=example,dc=org`,
		`regain.yaml:10: directories.0.base_dn: is required, such as ou=people,dc=example,dc=org`,
		`regain.yaml:10: directories.0.bind_password: is required, here or as bind_password_file`,
		`regain.yaml:12: directories.0.timeouts.connect: want a time with its unit, such as 30s, 10m, 24h or 7d, have a number`,
		`regain.yaml:12: directories.0.timeouts.request: want 100ms to 2m, have 9h`,
		`regain.yaml:13: links: want a section of keys, not one value`,
		`regain.yaml:14: smtp_host: there is no such key`,
		`REGAIN_LOG__FROMAT: log.fromat: there is no such key, did you mean log.format?`,
		`REGAIN_LOG__LEVEL: log.level: want debug, info, warn or error, have "loud"`,
	}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Errorf("faults, want - got +:\n%s", diff)
	}
}

func TestASettingThatCannotWorkIsRefused(t *testing.T) {
	const ad = "directories:\n  - {kind: activedirectory, name: a, bind_dn: r@ad.example.org, bind_password: x, base_dn: dc=x, "
	const ldap = "directories:\n  - {name: a, bind_dn: cn=r, bind_password: x, base_dn: dc=x, "
	for _, test := range []struct{ name, yaml, want string }{
		{"http beyond loopback", `base_url: http://10.0.0.1`, "base_url: want https"},
		{"a path after the host", `base_url: https://example.org/reset`, "base_url: want scheme and host only"},
		{"a password in the address", `base_url: https://u:p@example.org`, "base_url: holds a user name"},
		{"no address at all", `base_url: account.example.org`, "base_url: want an address"},
		{"listen without a port", `listen: localhost`, "listen: want host:port"},
		{"listen on port 70000", `listen: ":70000"`, "listen: want host:port"},
		{"telemetry beside the pages", `telemetry: {listen: "localhost:8080"}`, "telemetry.listen: is the same as listen"},
		{"half a certificate", `tls: {cert_file: a.pem}`, "tls: want both"},
		{"everybody is a proxy", `trusted_proxies: [0.0.0.0/0]`, "trusted_proxies.0: would believe everybody"},
		{"a proxy by name", `trusted_proxies: [proxy.local]`, "trusted_proxies.0: want an address or a network"},
		{"a database of another kind", `database: mysql://host/x`, "database: want postgres://"},
		{"a database in memory", `database: ":memory:"`, "database: want postgres://"},
		{"postgres without a name", `database: postgres://u@h/`, "database: want postgres://"},
		{"a line break in the name", `organisation: {name: "A\nBcc: x"}`, "organisation.name: holds a line break"},
		{"an endless name", `organisation: {name: "` + strings.Repeat("x", 101) + `"}`, "organisation.name: has 101"},
		{"a colour off the circle", `organisation: {hue: 361}`, "organisation.hue: want 0 to 360"},
		{"a colour off the screen", `organisation: {chroma: 1}`, "organisation.chroma: want 0 to 0.25"},
		{"a sign-in page in clear", `organisation: {sign_in_url: "http://idp.example.org"}`, "organisation.sign_in_url: want https"},
		{"a script as a link", `links: {privacy: "javascript:alert(1)"}`, "links.privacy: want an address"},
		{"a language nobody speaks", `help: {text: {klingonisch: "x"}}`, "help.text.klingonisch: want a language"},
		{"a default language nobody speaks", `languages: {default: "?"}`, "languages.default: want a language"},
		{"an address as corporate domain", `organisation: {corporate_domains: [it@example.org]}`, "corporate_domains.0: want a domain"},
		{"a domain in capitals", `organisation: {corporate_domains: [Example.org]}`, "corporate_domains.0: want a domain"},
		{"a word of two letters", `organisation: {words: [ab]}`, "organisation.words.0: want 3 to 64"},
		{"ldap in clear", ldap + `urls: "ldap://h"}`, "urls.0: want ldaps"},
		{"a password in the LDAP address", ldap + `urls: "ldaps://u:p@h"}`, "urls.0: holds a user name"},
		{"TLS twice", ldap + `urls: "ldaps://h", start_tls: true}`, "urls.0: ldaps is TLS already"},
		{"a web address as directory", ldap + `urls: "https://h"}`, "urls.0: want ldaps://HOST"},
		{"no DN", ldap + `urls: "ldaps://h", default_policy_dn: default}`, "default_policy_dn: want a distinguished name"},
		{"no filter", ldap + `urls: "ldaps://h", user_filter: "(a=b"}`, "user_filter: is no LDAP filter"},
		{"no attribute", ldap + `urls: "ldaps://h", login_attributes: ["uid)(x"]}`, "login_attributes.0: want an attribute"},
		{"no way to log in", ldap + `urls: "ldaps://h", login_attributes: []}`, "login_attributes: is required"},
		{"an old password for ever", ldap + `urls: "ldaps://h", old_password_works: 2d}`, "old_password_works: want 0 to 24h"},
		{"Active Directory in clear", ad + `urls: "ldap://dc1"}`, "urls.0: want ldaps://HOST without start_tls"},
		{"Active Directory by StartTLS", ad + `urls: "ldaps://dc1", start_tls: true}`, "urls.0: want ldaps://HOST without start_tls"},
		{"the global catalog", ad + `urls: "ldaps://dc1:3269"}`, "urls.0: want port 636"},
		{"no controller", ad + `prefer_pdc: true}`, "urls: is required, or domain"},
		{"controllers twice", ad + `urls: "ldaps://dc1", domain: ad.example.org}`, "domain: stands beside urls"},
		{"a domain that is none", ad + `domain: "ldaps://dc1"}`, "domain: want a name as it is in DNS"},
		{"sites of nothing", ad + `urls: "ldaps://dc1", sites: [Berlin]}`, "sites: are looked up in DNS"},
		{"a site that is none", ad + `domain: ad.example.org, sites: ["a.b"]}`, "sites.0: want the name of a site"},
		{"a policy that Active Directory tells itself", ad + `domain: ad.example.org, default_policy_dn: cn=x}`, "default_policy_dn: belongs to kind ldap"},
		{"OpenLDAP with a domain", ldap + `urls: "ldaps://h", domain: ad.example.org}`, "domain: domain, sites and prefer_pdc belong"},
		{"one name twice", ldap + `kind: memory}` + "\n  - {name: a, kind: memory}", "directories.1.name: \"a\" is the name of another"},
		{"an adapter nobody wrote", ldap + `kind: nis}`, "kind: want ldap, activedirectory, memory, plugin or exec"},
		{"a link by display name", `link: {directory: {person: displayName}}`, "link.directory.person: want"},
		{"a link to no attribute", `link: {directory: {attribute: "*"}}`, "link.directory.attribute: want"},
		{"mail in clear", `mail: {host: smtp.example.org, tls: none, from: a@example.org}`, "mail.tls: none is for loopback"},
		{"mail from nobody", `mail: {host: smtp.example.org}`, "mail.from: is required"},
		{"mail to nowhere", `mail: {from: a@example.org}`, "mail.host: is required"},
		{"mail with half a login", `mail: {host: h, from: a@example.org, user: a}`, "mail.user: want both"},
		{"mail to a web page", `mail: {host: "https://h", from: a@example.org}`, "mail.host: want a host alone"},
		{"no sender", `mail: {host: h, from: nobody}`, "mail.from: want a mail address"},
		{"port 0x10000", `mail: {host: h, from: a@example.org, port: 65536}`, "mail.port: want 1 to 65535"},
		{"a short key", `sms: {default_region: DE, webhook: {url: "https://h", secret: abc}}`, "sms.webhook.secret: want at least 32 bytes, have 3"},
		{"no region", `sms: {webhook: {url: "https://h"}}`, "sms.default_region: is required"},
		{"a region that is none", `sms: {default_region: XX}`, "sms.default_region: want a country"},
		{"a region in small letters", `sms: {countries: [de]}`, "sms.countries.0: want a country"},
		{"home is abroad", `sms: {default_region: DE, countries: [AT], webhook: {url: "https://h"}}`, "sms.default_region: DE is not one"},
		{"a webhook here by accident", `sms: {webhook: {url: "http://127.0.0.1:9"}}`, "sms.webhook.allow_private: want true"},
		{"a budget of none", `sms: {daily_budget: 0}`, "sms.daily_budget: want 1 to"},
		{"a contact that is a name", `security_contact: security`, "security_contact: want a mail address"},
		{"limits raised", `limits: {starts_per_origin: 21}`, "limits.starts_per_origin: want 3 to 20, have 21"},
		{"limits lifted", `limits: {sends_per_person: 0}`, "limits.sends_per_person: want 3 to 12, have 0"},
		{"logs of no shape", `log: {format: xml}`, "log.format: want json or text"},
		{"a number as text", `help: {phone: 0891234}`, "help.phone: want text, have a number: put it in quotes"},
		{"a date as text", `help: {hours: 2026-01-01}`, "help.hours: want text, have a date: put it in quotes"},
		{"a truth value as text", `organisation: {name: yes}`, ""},
		{"text as truth", "directories:\n  - {name: a, start_tls: maybe}", `start_tls: want true or false, have "maybe"`},
		{"receivers anywhere", `receivers: {allow: [0.0.0.0/0]}`, "receivers.allow.0: would let events go to every address"},
		{"receivers anywhere by the other protocol", `receivers: {allow: [10.0.0.5, "::/0"]}`, "receivers.allow.1: would let events go to every address"},
		{"receivers where credentials are", `receivers: {allow: [169.254.169.254]}`, "receivers.allow.0: has link-local addresses"},
		{"keys from anywhere", `connectors: {allow: [0.0.0.0/0]}`, "connectors.allow.0: would let keys be read from every address"},
		{"keys from where credentials are", `connectors: {allow: [10.0.0.5, 169.254.0.0/16]}`, "connectors.allow.1: has link-local addresses"},
		{"a receiver by name", `receivers: {allow: [siem.local]}`, "receivers.allow.0: want an address or a network"},
		{"half a number", `sms: {daily_budget: 1.5}`, "sms.daily_budget: want a whole number"},
		{"a list as a section", `mail: [a]`, "mail: want a section of keys"},
		{"a section as a list", `trusted_proxies: {a: b}`, "trusted_proxies: want a list"},
		{"an empty directory", "directories:\n  -\n", "directories.0: an empty entry"},
		{"a list as text", `key_file: [a]`, "key_file: want text, have a list"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, bad := load(t, test.yaml)
			all := strings.Join(bad, "\n")
			if !strings.Contains(all, test.want) {
				t.Errorf("got faults:\n%s\nwant one with %q", all, test.want)
			}
		})
	}
}

func TestAFileThatWouldHideSomethingIsRefused(t *testing.T) {
	for _, test := range []struct{ name, yaml, want string }{
		{"no YAML", "a: [", "regain.yaml"},
		{"a key twice", whole + "base_url: https://evil.example\n", "regain.yaml:10: base_url: stands here a second time, first in line 1"},
		{"a second document", whole + "---\nlisten: x\n", "second document"},
		{"an alias", "listen: &a localhost:1\ntelemetry: {listen: *a}", "regain.yaml:1: listen: anchors and aliases"},
		{"a bomb of aliases", "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "anchors and aliases"},
		{"an anchor in itself", "a: &a [*a]", "anchors and aliases"},
		{"a merge key", "<<: {listen: x}", "cannot be a key"},
		{"a key with dots", "mail.host: x", `"mail.host" cannot be a key`},
		{"a number as key", "1: x", `"1" cannot be a key`},
		{"a list as file", "- a", "want keys and values"},
		{"one text as file", "hello", "want keys and values"},
		{"thousands of keys", strings.Join(slices.Collect(func(yield func(string) bool) {
			for i := 0; i <= maxKeys && yield(fmt.Sprintf("k%d: x\n", i)); i++ {
			}
		}), ""), "1001 keys in one section"},
		{"a huge file", "#" + strings.Repeat("x", maxFile), "at most 1048576"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, bad := load(t, test.yaml); !strings.Contains(strings.Join(bad, "\n"), test.want) {
				t.Errorf("got faults %q, want one with %q", bad, test.want)
			}
		})
	}
	if _, err := Load(Source{File: filepath.Join(t.TempDir(), "none.yaml")}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: got %v", err)
	}
	for _, empty := range []string{"", "# only a comment\n", "~\n", "mail:\n"} {
		if _, bad := load(t, empty); len(bad) != 3 {
			t.Errorf("%q: got faults %q, want the three required keys", empty, bad)
		}
	}
}

func TestAFileOfSomethingElseIsToldInAHundredLines(t *testing.T) {
	var text strings.Builder
	for i := range maxKeys {
		fmt.Fprintf(&text, "unknown_%d: x\n", i)
	}
	_, bad := load(t, text.String())
	if len(bad) != maxFaults+1 || !strings.HasSuffix(bad[maxFaults], "more") {
		t.Errorf("got %d faults, the last %q", len(bad), bad[len(bad)-1])
	}
}

func TestTheEnvironmentWinsOverTheFileAndFlagsOverBoth(t *testing.T) {
	path := write(t, "regain.yaml", whole+"listen: localhost:1\nlog: {level: debug}\nhelp: {phone: '1'}\n")
	c, err := Load(Source{File: path,
		Environ: []string{"REGAIN_LISTEN=localhost:2", "REGAIN_LOG__LEVEL=warn", "REGAIN_DIRECTORIES__0__SERVER_NAME=dc1",
			"REGAIN_DIRECTORIES__1__NAME=second", "REGAIN_DIRECTORIES__1__KIND=memory", "REGAIN_TRUSTED_PROXIES=10.0.0.1, fd00::/8",
			"REGAIN_HELP__PHONE__DE=0800", "REGAIN_MAIL__PORT=", "REGAIN_LIMITS__STARTS_PER_ORIGIN=7", "PATH=/bin"},
		Flags: map[string]string{"listen": "localhost:3"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "localhost:3" || c.Log.Level != LogWarn || c.Limits.StartsPerOrigin != 7 {
		t.Errorf("got listen %s, level %s, limit %d", c.Listen, c.Log.Level, c.Limits.StartsPerOrigin)
	}
	if len(c.Directories) != 2 || c.Directories[0].ServerName != "dc1" || c.Directories[0].Name != "staff" || c.Directories[1].Kind != DirectoryMemory {
		t.Errorf("got directories %+v", c.Directories)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("fd00::/8")}
	if !reflect.DeepEqual(c.TrustedProxies, want) {
		t.Errorf("got proxies %v, want %v", c.TrustedProxies, want)
	}
	if got := c.Help.Phone.In("de-AT"); got != "0800" {
		t.Errorf("got phone %q, want the one of the environment", got)
	}
}

func TestVariablesThatAreNoSettingsDoNotStopTheStart(t *testing.T) {
	for _, ok := range []string{"REGAIN_CONFIG=/x", "REGAIN_REQUIRE_SERVERS=1", "REGAIN_TEST_KEEP=1", "REGAIN_SERVICE_HOST=10.0.0.1",
		"REGAIN_SERVICE_PORT_HTTP=8080", "REGAIN_PORT=tcp://10.0.0.1:80", "REGAIN_PORT_80_TCP_ADDR=10.0.0.1", "REGAIN_DB_PORT_5432_TCP=tcp://x"} {
		if _, bad := load(t, whole, ok); len(bad) > 0 {
			t.Errorf("%s: got %q", ok, bad)
		}
	}
	for _, wrong := range []string{"REGAIN_DIRECTORIES__x__NAME=a", "REGAIN_DIRECTORIES__7__NAME=a", "REGAIN_MAIL=x", "REGAIN_MAIL__HOST__X=y", "REGAIN___=1", "REGAIN_NOTHING=1", "REGAIN_DIRECTORIES__0=x"} {
		if _, bad := load(t, whole, wrong); len(bad) != 1 {
			t.Errorf("%s: got faults %q, want one", wrong, bad)
		}
	}
}

func TestEverySecretMayStandInAFileOfItsOwn(t *testing.T) {
	secret := write(t, "password", "from a file\n")
	text := strings.Replace(whole, "bind_password: correct horse", "bind_password_file: "+secret, 1)
	c, bad := load(t, text, "REGAIN_DATABASE_FILE="+write(t, "dsn", "postgres://u:p@h/regain\r\n"))
	if len(bad) > 0 || c.Directories[0].BindPassword.Reveal() != "from a file" || c.Database.Reveal() != "postgres://u:p@h/regain" {
		t.Errorf("got %q and faults %q", c.Directories[0].BindPassword.Reveal(), bad)
	}
	for _, test := range []struct{ name, path, want string }{
		{"missing", secret + ".none", "bind_password_file: " + secret + ".none cannot be used: no such file"},
		{"empty", write(t, "e", "\n"), "it is empty"},
		{"two lines", write(t, "two", "a\nb\n"), "more than one line"},
		{"huge", write(t, "huge", strings.Repeat("x", maxSecret+1)), "longer than"},
		{"a folder", t.TempDir(), "cannot be used: is a directory"},
	} {
		_, bad := load(t, strings.Replace(text, secret, test.path, 1))
		if len(bad) != 1 || !strings.Contains(bad[0], test.want) {
			t.Errorf("%s: got %q, want one fault with %q", test.name, bad, test.want)
		}
	}
	if _, bad := load(t, whole, "REGAIN_DIRECTORIES__0__BIND_PASSWORD_FILE="+secret); len(bad) != 1 || !strings.Contains(bad[0], "not both") {
		t.Errorf("given twice: got %q", bad)
	}
	// By type, not by list: a secret added later has its twin as well.
	keys := strings.Join(Keys(), "\n")
	for _, key := range []string{"database", "directories.N.bind_password", "idps.N.client_secret", "mail.password", "sms.webhook.secret"} {
		if !strings.Contains(keys, key+"_file") {
			t.Errorf("no key %s_file", key)
		}
	}
}

func TestNoWayOfPrintingShowsASecret(t *testing.T) {
	c, _ := load(t, whole+"database: postgres://regain:hunter2@db/regain?password=hunter2\nmail: {password: hunter2}\nsms: {webhook: {secret: hunter2}}\n")
	c.Directories[0].BindPassword = NewSecret("hunter2")
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", c.Mail.Password)
		fmt.Fprintf(&out, verb+"\n", &c.Database)
	}
	json.NewEncoder(&out).Encode(c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "config", c, "password", c.Mail.Password, "db", c.Database)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "config", c, "password", c.Mail.Password, "db", c.Database)
	out.Write(Render(c, true))
	if shown := out.String(); strings.Contains(shown, "hunter2") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("a secret is shown:\n%s", shown)
	}
	if got := c.Database.String(); got != "postgres://regain@db/regain" {
		t.Errorf("got database %q: want host and name still there", got)
	}
	if strings.Contains(string(Render(c, false)), "(hidden)") {
		t.Error("Render without redact hides something")
	}
	// A secret in the wrong place is not repeated in the fault.
	for _, yaml := range []string{"mail: hunter2", "sms: {webhook: {secret: hunter2, url: 'https://h'}}", "mail: {password: [hunter2]}", "database: 'foo://hunter2'"} {
		if _, bad := load(t, yaml); strings.Contains(strings.Join(bad, "\n"), "hunter2") {
			t.Errorf("%s: got %q", yaml, bad)
		}
	}
}

func TestWhatIsRenderedReadsBackTheSame(t *testing.T) {
	c, bad := load(t, whole+`help: {text: {en: "Ask: us, \"now\" # really", de: 'Fragt uns'}, phone: "+49 89 12", url: https://example.org}
database: postgres://u:p@h/regain
trusted_proxies: [10.0.0.0/8]
sms: {default_region: DE, countries: [DE, "NO"], webhook: {url: https://h, secret: "0123456789012345678901234567890123456789"}}
`)
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	c.Directories[0].OldPasswordWorks = Duration(90 * time.Minute)
	back, bad := load(t, string(Render(c, false)))
	if len(bad) > 0 || !reflect.DeepEqual(c, back) {
		t.Errorf("faults %q\ngot  %s\nwant %s", bad, Render(back, false), Render(c, false))
	}
}

func TestTheRenderedDefaultsAreAsRecorded(t *testing.T) {
	c := Defaults()
	c.Directories = make([]Directory, 1)
	c.Directories[0].setDefaults()
	c.IDPs = make([]IDP, 1)
	c.IDPs[0].setDefaults()
	golden := filepath.Join("testdata", "defaults.yaml")
	got := Render(c, true)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("defaults changed; if that is meant: go test ./internal/config -update, and a line in CHANGELOG.md\n%s", diff)
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	docs := comments()
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Tag.Get("key") == "" {
				t.Errorf("%s.%s has no key", typ.Name(), f.Name)
			}
			doc := docs[typ.Name()+"."+f.Name]
			switch {
			case f.Type.Kind() == reflect.Struct && f.Type.Field(0).Tag.Get("key") != "":
				walk(f.Type)
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && f.Type.Elem().PkgPath() == typ.PkgPath():
				walk(f.Type.Elem())
				fallthrough
			default:
				if doc == "" && docs[f.Type.Name()] == "" {
					t.Errorf("%s.%s has no comment", typ.Name(), f.Name)
				} else if f.Type.Kind() != reflect.Slice && f.Type.Kind() != reflect.Struct && !strings.Contains(doc, "Default") && !strings.Contains(doc, "Required") {
					t.Errorf("the comment of %s.%s says neither its default nor that it is required: %q", typ.Name(), f.Name, doc)
				}
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}

func TestDurationsAndSizesSayTheirUnit(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "0s": 0, "90s": 90 * time.Second, "10m": 10 * time.Minute, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Std() != want {
			t.Errorf("%s: got %v, %v", text, d, err)
		}
		var back Duration
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Errorf("%s prints as %s", text, d)
		}
	}
	for _, text := range []string{"", "30", "-5m", "d", "1w", "5 m", "99999d99999999h", "1d-2h"} {
		if err := new(Duration).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as a duration", text)
		}
	}
	for text, want := range map[string]Size{"0B": 0, "512B": 512, "64KiB": 65536, "1MB": 1e6, "2 GiB": 2 << 30} {
		var s, back Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || back.UnmarshalText([]byte(s.String())) != nil || back != s {
			t.Errorf("%s: got %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "5", "-1B", "1kb", "99999999999GiB", "1.5MiB"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as a size", text)
		}
	}
}

func TestFilesThatCannotBeReadAreAllNamed(t *testing.T) {
	c := Defaults()
	c.TLS = TLS{CertFile: "/none/cert", KeyFile: "/none/key"}
	c.Organisation.LogoFile = t.TempDir()
	c.Directories = []Directory{{CAFile: write(t, "ca", "x")}, {CAFile: "/none/ca"}}
	got := faults(t, c.CheckFiles(), "")
	if len(got) != 4 || !strings.HasPrefix(got[2], "organisation.logo_file: ") || !strings.HasPrefix(got[3], "directories.1.ca_file: /none/ca cannot") {
		t.Errorf("got %q", got)
	}
}

func TestEmailIsOffUntilTheCorporateDomainsAreSaid(t *testing.T) {
	for _, test := range []struct {
		domains []string
		on      bool
		left    int
	}{{nil, false, 0}, {[]string{"none"}, true, 0}, {[]string{"example.org"}, true, 1}} {
		domains, on := Organisation{CorporateDomains: test.domains}.Domains()
		if on != test.on || len(domains) != test.left {
			t.Errorf("%q: got %q, %t", test.domains, domains, on)
		}
	}
	if hints := Defaults().Hints(); len(hints) != 7 {
		t.Errorf("got hints %q, want one for each thing left open", hints)
	}
}

func FuzzLoadNeverPanicsAndNeverReadsTwoWays(f *testing.F) {
	f.Add(whole, "LISTEN", ":1")
	f.Add("a: &a [*a]\n<<: {b: 1}\n? [x]\n: y\n1: 2\n", "MAIL__HOST", "x")
	f.Add("help: {text: {de: 1, ~: 2}}\ntrusted_proxies: [[], {}, ~, 1]\n", "HELP__TEXT__", "x")
	f.Add("directories: {}\n", "DIRECTORIES__0__URLS__0", "x")
	f.Add("mail: !!binary aGVsbG8=\nlimits: {sends_per_person: 0x10, starts_per_origin: 1e3}\n", "DIRECTORIES__99999999999999999999", "x")
	f.Fuzz(func(t *testing.T, text, name, value string) {
		load := func(text string) (Config, error) {
			l := &loader{origin: map[string]origin{}}
			return l.load("regain.yaml", []byte(text), []string{"REGAIN_" + name + "=" + value}, nil)
		}
		c, err := load(text)
		if err != nil {
			_ = err.Error()
			return
		}
		l := &loader{origin: map[string]origin{}}
		back, err := l.load("regain.yaml", Render(c, false), nil, nil)
		if err != nil || !reflect.DeepEqual(c, back) {
			t.Errorf("accepted but not read back: %v\n%s", err, Render(c, false))
		}
	})
}

func TestEachKindOfDirectoryHasDefaultsOfItsOwn(t *testing.T) {
	c, bad := load(t, strings.Replace(whole, "urls: ldaps://ldap.example.org", "kind: activedirectory\n    domain: ad.example.org\n    sites: [Hamburg, Haupt-Sitz]", 1))
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	d := c.Directories[0]
	if d.UserFilter != "(&(objectCategory=person)(objectClass=user))" || !slices.Equal(d.LoginAttributes, []string{"sAMAccountName", "userPrincipalName", "mail"}) {
		t.Errorf("got %+v", d)
	}
	back, bad := load(t, string(Render(c, false)))
	if len(bad) > 0 || back.Directories[0].Domain != "ad.example.org" {
		t.Errorf("rendered and read again: %q, %+v", bad, back.Directories[0])
	}
}
