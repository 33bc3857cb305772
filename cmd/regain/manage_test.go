package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// deployment is a database and keys of its own, and what names them.
func deployment(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "regain.yaml")
	text := "base_url: https://account.example.org/\norganisation: {name: Example}\ndatabase: " + filepath.Join(dir, "regain.db") +
		"\nkey_file: " + filepath.Join(dir, "regain.key") + "\ndirectories: [{name: here, kind: memory}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"REGAIN_CONFIG=" + path}
	says(t, environ, "made. Back it up", "key", "create", filepath.Join(dir, "regain.key"))
	says(t, environ, "up to date", "migrate")
	return environ
}

// says runs a command line and fails the test unless it prints what it should.
func says(t *testing.T, environ []string, want string, args ...string) string {
	t.Helper()
	got := run(t, environ, args...)
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("regain %s: got %q, want %q in it", strings.Join(args, " "), got, want)
	}
	return got
}

func TestAnAppIsRegisteredShownChangedAndDeleted(t *testing.T) {
	d := deployment(t)
	says(t, d, "", "app", "list")
	made := says(t, d, "the-shop\n", "app", "create", "The Shop!", "--return-to", "https://shop.example/back", "--return-to", "http://localhost:3000/")
	if !strings.Contains(made, "https://account.example.org/setup?return_to=the-shop\n") {
		t.Errorf("no link to it: %s", made)
	}
	says(t, d, "Key   hr\n", "app", "create", "Human Resources", "--key", "hr", "--return-to", "https://hr.example/")
	if got := says(t, d, "the-shop", "app", "list"); !strings.Contains(got, "hr ") || strings.Count(got, "\n") != 2 {
		t.Errorf("got %s", got)
	}
	if got := says(t, d, "The Shop!  enabled", "app", "show", "the-shop"); !strings.Contains(got, "https://shop.example/back\n") || !strings.Contains(got, "http://localhost:3000/\n") {
		t.Errorf("got %s", got)
	}
	says(t, d, "", "app", "change", "the-shop", "--name", "Shop", "--return-to", "https://new.example/", "--disable")
	if got := says(t, d, "Shop  disabled", "app", "show", "the-shop"); !strings.Contains(got, "https://new.example/\n") || strings.Contains(got, "shop.example") {
		t.Errorf("got %s", got)
	}
	says(t, d, "", "app", "change", "the-shop", "--enable")
	says(t, d, "Shop  enabled", "app", "show", "the-shop")
	says(t, d, "", "app", "delete", "the-shop")
	for want, args := range map[string][]string{
		`no app "the-shop"`:            {"app", "show", "the-shop"},
		`no app "gone"`:                {"app", "change", "gone", "--disable"},
		`error: not found`:             {"app", "delete", "gone"},
		"nothing to change":            {"app", "change", "hr"},
		"none of the others can be":    {"app", "change", "hr", "--enable", "--disable"},
		"[return-to redirect]":         {"app", "create", "No Address"},
		"http is for loopback only":    {"app", "create", "Plain", "--return-to", "http://plain.example/"},
		"no key can be made":           {"app", "create", "店", "--return-to", "https://a.example/"},
		"want 1 to 40 small letters":   {"app", "create", "A", "--key", "A B", "--return-to", "https://a.example/"},
		"key is taken":                 {"app", "create", "Other", "--key", "hr", "--return-to", "https://a.example/"},
		"without user or fragment":     {"app", "change", "hr", "--return-to", "https://user@a.example/"},
		"accepts 1 arg(s), received 0": {"app", "show"},
	} {
		says(t, d, want, args...)
	}
	says(t, d, "https://hr.example/", "app", "show", "hr")
}

func TestAConnectorMayMakeStaffOnlyWhenItIsToldTo(t *testing.T) {
	d := deployment(t)
	says(t, d, "Secret token", "connector", "create", "hr")
	says(t, d, "Secret token", "connector", "create", "--roles", "yes", "it")
	list := func() string {
		t.Helper()
		var roles []string
		for _, m := range regexp.MustCompile(`(?m)^(\S+) .* roles (\S+) `).FindAllStringSubmatch(run(t, d, "connector", "list"), -1) {
			roles = append(roles, m[1]+" "+m[2])
		}
		return strings.Join(roles, ", ")
	}
	if got := list(); got != "hr false, it true" {
		t.Errorf("got %s", got)
	}
	says(t, d, "", "connector", "change", "--roles", "yes", "hr")
	says(t, d, "", "connector", "change", "--roles", "no", "it")
	says(t, d, "", "connector", "change", "--trust", "all", "it") // says nothing of roles, and changes nothing of them
	if got := list(); got != "hr true, it false" {
		t.Errorf("got %s", got)
	}
	says(t, d, `roles "maybe": want yes or no`, "connector", "change", "--roles", "maybe", "hr")
}

func TestWhatMakesStaffIsWrittenDownAndTakenBack(t *testing.T) {
	d := deployment(t)
	says(t, d, "note: no connector may make people staff", "role", "create", "--role", "helpdesk", "--group", "Help Desk")
	claim, _, _ := strings.Cut(run(t, d, "role", "create", "--role", "administrator", "--claim", "corp:https://example.org/roles=a=b"), "\n")
	says(t, d, "note: corp is no identity provider of the configuration", "role", "create", "--role", "helpdesk", "--claim", "corp:groups=desk")
	got := says(t, d, "helpdesk      group Help Desk", "role", "list")
	if !strings.Contains(got, claim+"  administrator claim corp:https://example.org/roles=a=b") || strings.Count(got, "cli:") != 3 {
		t.Errorf("got %s", got)
	}
	for want, args := range map[string][]string{
		"want helpdesk or administrator": {"role", "create", "--role", "king", "--group", "x"},
		"want IDP:CLAIM=VALUE":           {"role", "create", "--role", "helpdesk", "--claim", "groups=x"},
		"needs the identity provider":    {"role", "create", "--role", "helpdesk", "--claim", ":groups=x"},
		"want 1 to 256 bytes":            {"role", "create", "--role", "helpdesk", "--claim", "corp:groups="},
		"want one of --claim":            {"role", "create", "--role", "helpdesk"},
		"want one of --claim IDP":        {"role", "create", "--role", "helpdesk", "--claim", "corp:groups=x", "--group", "x"},
		`"role" not set`:                 {"role", "create", "--group", "x"},
		"that rule is there already":     {"role", "create", "--role", "helpdesk", "--group", "Help Desk"},
		`no role "gone"`:                 {"role", "delete", "gone"},
	} {
		says(t, d, want, args...)
	}
	says(t, d, "", "role", "delete", claim)
	if got := says(t, d, "Help Desk", "role", "list"); strings.Contains(got, claim) {
		t.Errorf("got %s", got)
	}
	says(t, d, "Secret token", "connector", "create", "--roles", "yes", "it")
	if got := run(t, d, "role", "create", "--role", "helpdesk", "--group", "Other"); strings.Contains(got, "note") {
		t.Errorf("got %s", got)
	}
}

func TestTheFirstAdministratorGetsALinkThatIsAnothersEachTime(t *testing.T) {
	d := deployment(t)
	link := regexp.MustCompile(`^https://account\.example\.org/console/invite\?t=rgn_invite_\S{52}\n`)
	one, two := run(t, d, "console"), run(t, d, "console", "--role", "helpdesk")
	if !link.MatchString(one) || !link.MatchString(two) || one == two {
		t.Errorf("got %s and %s", one, two)
	}
	says(t, d, `role "king": want helpdesk or administrator`, "console", "--role", "king")
}
