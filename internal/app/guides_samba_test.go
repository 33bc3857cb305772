package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/adapter/activedirectory"
	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

const guideStaff = "OU=Staff," + "DC=ad,DC=example,DC=com"

// freshDomain is a domain as an operator has it before reading the guide to Active Directory, with one person in it. Nobody
// reads what is not theirs to read.
func freshDomain(t *testing.T) *testserver.SambaServer {
	t.Helper()
	s := testserver.Samba(t)
	s.Harden(t)
	s.Tool(t, "ou", "create", guideStaff)
	s.AddUser(t, testserver.SambaUser{Login: "ada", Password: "Her first passw0rd", Attrs: map[string][]string{"mail": {"ada@example.org"}}})
	s.Move(t, "CN=ada,"+s.PeopleDN, guideStaff)
	return s
}

// checkDomain runs regain check with the guide's configuration and returns what it finds about the directory.
func checkDomain(t *testing.T, s *testserver.SambaServer, password string) (lines []string, all []Finding) {
	t.Helper()
	_, blocks := guide(t, "active-directory.md", "yaml config")
	dir := t.TempDir()
	text := regexp.MustCompile(`urls: .*`).ReplaceAllString(blocks[0].text, "urls: ["+s.URL+"]")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "secrets/directory", dir+"/bind"), "secrets/domain-ca.pem", s.CAFile) +
		"key_file: " + dir + "/regain.key\ndatabase: " + dir + "/regain.db\n"
	for name, content := range map[string]string{"bind": password, "regain.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := CreateKeys(filepath.Join(dir, "regain.key")); err != nil {
		t.Fatal(err)
	}
	for _, f := range Check(t.Context(), config.Source{File: filepath.Join(dir, "regain.yaml")}) {
		if f.Area == "directory staff" {
			lines, all = append(lines, fmt.Sprintf("%-7s %-16s %s", f.Verdict, f.Area, f.Text)), append(all, f)
		} else if f.Verdict == Must {
			t.Errorf("%+v", f)
		}
	}
	return lines, all
}

func TestTheGuideToActiveDirectoryLeadsToAWorkingReset(t *testing.T) {
	const password, fresh = "Xq7-a-long-and-random-0ne-for-the-service", "A heron lands on 1 cold lake"
	s := freshDomain(t)
	_, blocks := guide(t, "active-directory.md", "sh samba")
	if len(blocks) != 2 {
		t.Fatalf("%d blocks", len(blocks))
	}
	s.Shell(t, blocks[0].text, "PASSWORD="+password)

	// Before the second step regain check prints what is missing, in the words of the guide.
	commands := map[string]bool{}
	_, found := checkDomain(t, s, password)
	for _, f := range found {
		for line := range strings.Lines(f.Fix) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "dsacls ") {
				commands[line] = true
			}
		}
	}
	if len(commands) == 0 {
		t.Errorf("no commands in %+v", found)
	}
	_, windows := guide(t, "active-directory.md", "bat windows")
	for command := range commands {
		if !strings.Contains(windows[0].text, command+"\n") {
			t.Errorf("the guide lacks %s", command)
		}
	}

	s.Shell(t, blocks[1].text)
	_, want := guide(t, "active-directory.md", "text check")
	if got, _ := checkDomain(t, s, password); strings.Join(got, "\n")+"\n" != want[0].text {
		t.Errorf("regain check says\n%s\nand the guide\n%s", strings.Join(got, "\n"), want[0].text)
	}
	a, err := activedirectory.New(activedirectory.Config{Name: "staff", URLs: []string{s.URL}, CAFile: s.CAFile, BindName: "svc-regain@ad.example.com",
		BindPassword: directory.NewSecret(password), BaseDN: guideStaff})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	u, err := a.FindUser(t.Context(), directory.Query{Login: "ada@ad.example.com", Attrs: []string{"userPrincipalName"}})
	if err != nil {
		t.Fatal(err)
	}
	s.LockOut(t, "ada")
	if _, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret("Shrt-9")}); !errors.Is(err, directory.ErrPolicy) {
		t.Errorf("the policy is not enforced: %v", err)
	}
	res, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret(fresh), Unlock: true, MustChange: true})
	if err != nil || !res.Unlocked || !s.SignIn(t, "ada", fresh) {
		t.Errorf("reset: %+v, %v", res, err)
	}
	for range 5 { // step 1: nobody locks the service account
		s.SignIn(t, "svc-regain", "a guess")
	}
	if err := a.Health(t.Context()); err != nil {
		t.Errorf("after five guesses: %v", err)
	}
	if p, err := a.Policy(t.Context(), u.Ref); err != nil || p.MinLength != 10 {
		t.Errorf("the policy: %+v, %v", p, err)
	}
	c := s.Connect(t)
	defer c.Close()
	if err := c.Bind("svc-regain@ad.example.com", password); err != nil {
		t.Errorf("signing in: %v", err)
	}
	outside, err := activedirectory.New(activedirectory.Config{URLs: []string{s.URL}, CAFile: s.CAFile, BindName: "svc-regain@ad.example.com",
		BindPassword: directory.NewSecret(password), BaseDN: s.BaseDN})
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	s.AddUser(t, testserver.SambaUser{Login: "eve", Password: "Her first passw0rd"})
	if eve, err := outside.FindUser(t.Context(), directory.Query{Login: "eve"}); err == nil {
		if _, err := outside.Reset(t.Context(), directory.ResetRequest{User: eve.Ref, New: directory.NewSecret(fresh)}); err == nil {
			t.Error("the service account sets passwords outside the folder")
		}
	}
}
