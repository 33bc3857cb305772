package app

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/config"
)

// guideBlock is one fenced block of a guide. Its info string says what a test makes of it:
//
//	py adapter               is an adapter, and does a reset
//	ldif config, ldif data   is loaded into a fresh OpenLDAP, in order
//	sh samba                 is run on a fresh Samba domain controller; "bat windows" is what regain check prints for Windows
//	text check               is what regain check says there
//	yaml config              is a configuration without faults
//	yaml part                is one beside the keys that every configuration needs
//	yaml policy              is parsed and decided
//	http scim                is sent to a server of this code, and "json answer" after it is part of the answer
//	text request             is what the configuration before it makes regain ask a provider
//	json metadata            is what that provider publishes of itself
//	json token, json refused is the ID token it answers with, and what becomes of it
//	sh real                  package house looks whether the commands exist
//	sh run                   is run
//	nginx run, caddy run     is a server that sends people here; so is "js run"
//	html link, js page       is a link to here, and a script that makes one on somebody else's page
//	go, ts, py, cs verify    tells a good webhook from a bad one; "http webhook" is a good one, "json webhook" a body
//	http set, json set       is what a provider pushes here, and what that says
//	http ssf, http token     is sent to a server of this code by a receiver, and "json event" is what it gets
//	http later               is sent by a connector that wants to be answered later, and "http accepted" is the head of the answer
//	http app, json app       is sent by an app, and answered so; "text browser" and "text callback" are where the browser goes
//	json claims              is what the ID token says
//	go example, ts example   stands so in examples/app; "text demo" is what the demo prints
//	… elsewhere              is for a system that cannot be had here; its addresses are looked at
type guideBlock struct {
	info, text string
	line       int
}

var guideInfos = regexp.MustCompile("^(" + strings.Join([]string{
	"py adapter", "ldif config", "ldif data", "sh samba", "bat windows", "text check", "yaml config", "yaml part", "yaml policy", "http scim", "json answer",
	"text request", "json metadata", "json token", "json refused", "sh real", "sh run",
	"nginx run", "caddy run", "js run", "html link", "js page", "[a-z]+ elsewhere", // links.md
	"go verify", "ts verify", "py verify", "cs verify", "http webhook", "json webhook", // webhooks.md
	"http ssf", "http token", "json event", "http set", "json set", // ssf.md
	"http later", "http accepted", // scim-events.md
	"http app", "json app", "json claims", "text browser", "text callback", "text demo", "go example", "ts example", // apps.md
}, "|") + ")$")

var guideFence = regexp.MustCompile("(?ms)^```([a-z ]*)\n(.*?)^```$")

// guide reads the blocks of one guide, or those with an info string.
func guide(t *testing.T, name string, infos ...string) (text string, found []guideBlock) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../docs/guides", name))
	if err != nil {
		t.Fatal(err)
	}
	all := guideFence.FindAllStringSubmatchIndex(string(b), -1)
	if open := strings.Count("\n"+string(b), "\n```"); open != 2*len(all) {
		t.Fatalf("%s: %d fences are not %d blocks with an info string", name, open, len(all))
	}
	for _, m := range all {
		block := guideBlock{info: string(b[m[2]:m[3]]), text: string(b[m[4]:m[5]]), line: 1 + strings.Count(string(b[:m[0]]), "\n")}
		for _, info := range infos {
			if info == block.info {
				found = append(found, block)
			}
		}
		if !guideInfos.MatchString(block.info) {
			t.Errorf("%s:%d: nobody checks a block %q", name, block.line, block.info)
		}
	}
	if len(infos) > 0 && len(found) == 0 {
		t.Fatalf("%s has no blocks %v", name, infos)
	}
	return string(b), found
}

// secretFiles makes every file that a configuration names as a secret.
func secretFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("postgres://regain:0123456789abcdef0123456789abcdef@localhost/regain"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheConfigurationsOfTheGuidesHaveNoFaults(t *testing.T) {
	pages, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil || len(pages) < 4 {
		t.Fatalf("%d guides: %v", len(pages), err)
	}
	for _, page := range pages {
		name := filepath.Base(page)
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		guide(t, name) // every block has a check
		if !strings.Contains(string(b), "```yaml config") && !strings.Contains(string(b), "```yaml part") {
			continue
		}
		_, blocks := guide(t, name, "yaml config", "yaml part")
		for _, block := range blocks {
			if _, err := loadBlock(t, block); err != nil {
				t.Errorf("%s:%d: %v", name, block.line, err)
			}
		}
	}
}

// neededKeys are those without which no configuration works.
const neededKeys = "base_url: https://account.example.org\norganisation: {name: Example Ltd}\ndirectories: [{name: staff, kind: memory}]\n"

// loadBlock loads the configuration of a block, with the secrets it names.
func loadBlock(t *testing.T, block guideBlock) (config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	secretFiles(t, dir, "secrets/directory", "secrets/sms", "secrets/mail", "secrets/idp", "secrets/idp-events")
	if strings.Contains(block.text, "secrets/idp.pem") {
		makeKey(t, dir)
	}
	text := strings.ReplaceAll(block.text, "secrets/", dir+"/secrets/")
	if block.info == "yaml part" {
		text = neededKeys + text
	}
	path := filepath.Join(dir, "regain.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(config.Source{File: path})
}

// The variables a unit or a compose file sets are not judged by those who read such files.
func TestTheVariablesOfTheExamplesAreConfiguration(t *testing.T) {
	for _, example := range []struct{ file, config, variable, secrets string }{
		{"systemd/regain.service", "compose/regain.yaml", `(?m)^Environment=(REGAIN_\w+)=(.*)$`, "%d"},
		{"compose/compose.yaml", "compose/regain.yaml", `(?m)^ +(REGAIN_\w+): (.*)$`, "/run/secrets"},
	} {
		b, err := os.ReadFile(filepath.Join("../../examples", example.file))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		secretFiles(t, dir, "database", "directory", "mail", "sms")
		var environ []string
		for _, m := range regexp.MustCompile(example.variable).FindAllStringSubmatch(string(b), -1) {
			environ = append(environ, m[1]+"="+strings.Replace(m[2], example.secrets, dir, 1))
		}
		if len(environ) < 4 {
			t.Fatalf("%s: found only %v", example.file, environ)
		}
		c, err := config.Load(config.Source{File: filepath.Join("../../examples", example.config), Environ: environ})
		if err != nil {
			t.Errorf("%s: %v", example.file, err)
			continue
		}
		if c.KeyFile != "/var/lib/regain/regain.key" || !c.Directories[0].BindPassword.Set() || !c.Mail.Password.Set() || !c.SMS.Webhook.Secret.Set() {
			t.Errorf("%s: a secret does not arrive", example.file)
		}
	}
}
