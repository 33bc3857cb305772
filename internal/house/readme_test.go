package house

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/config"
)

// block is one fenced block of README.md or of a guide. Its info string says what must be true of it:
//
//	sh run       it succeeds in the folder of a stranger who has regain in PATH
//	sh repo      it succeeds in this repository
//	sh make      its targets exist in the Makefile
//	sh demo      it says it is ready, its page answers, and an interrupt ends it
//	sh real      it needs servers of the reader's: each command exists and knows its flags
//	yaml config  it is a configuration without faults; later blocks find it as regain.yaml
//
// Of the guides only "sh real" is looked at here; package app does what the other blocks say.
type block struct {
	info, text string
	line       int
}

var fence = regexp.MustCompile("(?ms)^```([a-z]+(?: [a-z]+)?)\n(.*?)^```$")

func blocks(t *testing.T, page string) []block {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	for _, m := range fence.FindAllStringSubmatchIndex(string(b), -1) {
		all = append(all, block{info: string(b[m[2]:m[3]]), text: string(b[m[4]:m[5]]), line: 1 + strings.Count(string(b[:m[0]]), "\n")})
	}
	if open := strings.Count(string(b), "\n```"); open != 2*len(all) {
		t.Fatalf("%d fences are not %d blocks with an info string", open, len(all))
	}
	return all
}

func TestTheReadmeIsTrue(t *testing.T) {
	repo, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "./cmd/regain")
	build.Dir = repo
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	run := func(t *testing.T, dir, script string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out)
		}
		return string(out)
	}
	all := blocks(t, "README.md")
	guides, err := filepath.Glob(filepath.Join(repo, "docs/guides/*.md"))
	if err != nil || len(guides) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	for _, page := range guides {
		name := "docs/guides/" + filepath.Base(page)
		t.Run(name, func(t *testing.T) {
			for _, b := range blocks(t, name) {
				for line := range strings.Lines(b.text) {
					if b.info == "sh real" {
						known(t, run(t, home, "regain help "+nouns(line)), line)
					}
				}
			}
		})
	}
	t.Chdir(home)
	for _, b := range all {
		name, _, _ := strings.Cut(strings.TrimSpace(b.text), "\n")
		t.Run(b.info+": "+name, func(t *testing.T) {
			switch b.info {
			case "sh run":
				run(t, home, b.text)
			case "sh repo":
				run(t, repo, b.text)
			case "sh make":
				run(t, repo, strings.ReplaceAll(b.text, "make ", "make -n "))
			case "yaml config":
				if err := os.WriteFile("regain.yaml", []byte(b.text), 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := config.Load(config.Source{File: "regain.yaml"}); err != nil {
					t.Errorf("README.md:%d: %v", b.line, err)
				}
			case "sh real":
				for line := range strings.Lines(b.text) {
					known(t, run(t, home, "regain help "+nouns(line)), line)
				}
			case "sh demo":
				demo(t, repo, bin)
			default:
				t.Errorf("README.md:%d: nobody knows how to check %q", b.line, b.info)
			}
		})
	}
}

// nouns returns the words of a command line before its first flag or path, without the program. Other arguments stand
// after the flags.
func nouns(line string) string {
	words := strings.Fields(line)[1:]
	for i, w := range words {
		if strings.HasPrefix(w, "-") || strings.ContainsAny(w, "./@") {
			words = words[:i]
			break
		}
	}
	return strings.Join(words, " ")
}

// known fails when the help for a command is not of that command, or does not name a flag of the line.
func known(t *testing.T, help, line string) {
	t.Helper()
	if !strings.Contains(help, "regain "+nouns(line)) {
		t.Fatalf("%q is no command:\n%s", strings.TrimSpace(line), help)
	}
	for word := range strings.FieldsSeq(line) {
		if flag, _, _ := strings.Cut(word, "="); strings.HasPrefix(flag, "--") && !strings.Contains(help, flag) {
			t.Errorf("%s knows no %s:\n%s", nouns(line), flag, help)
		}
	}
}

// demo starts what the README starts, on any free port, and uses it.
func demo(t *testing.T, repo, bin string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "regain"), "demo", "--json", "--listen", "localhost:0")
	cmd.Dir, cmd.Stderr = repo, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct {
		Base string `json:"base"`
	}
	if err != nil || json.Unmarshal(line, &ready) != nil {
		t.Fatalf("the demo said %q: %v", line, err)
	}
	answer, err := http.Get(ready.Base + "/")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v, %v", ready.Base, answer, err)
	}
	answer.Body.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("asked to end, the demo said %v", err)
	}
}

func TestEveryLinkOfTheDocumentsLeadsSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "docs/guides/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			}
		}
	}
}
