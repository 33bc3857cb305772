package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim/scimtest"
)

const token = "a token for this test alone"

// start serves on a free port until the test ends and returns the base URL.
func start(t *testing.T) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- serve(ctx, "127.0.0.1:0", token, func(base string) { ready <- base }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("asked to end, it said %v", err)
		}
	})
	select {
	case base := <-ready:
		return base
	case err := <-ended:
		ended <- http.ErrServerClosed
		t.Fatal(err)
		return ""
	}
}

func TestTheExampleIsAConformingServer(t *testing.T) {
	scimtest.Run(t, start(t), token)
}

func TestNobodyGetsInWithoutTheToken(t *testing.T) {
	base := start(t)
	for _, header := range []string{"", "Bearer ", "Bearer " + token + "x", "Basic " + token, token} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/Users", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%q: got %d, want 401", header, res.StatusCode)
		}
	}
	if err := serve(t.Context(), "127.0.0.1:0", "", nil); err == nil {
		t.Error("serves without a token")
	}
}

// The command stays short enough to be read in one go.
func TestTheExampleFitsIn120Lines(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte("\n")); n >= 120 {
		t.Errorf("main.go has %d lines", n)
	}
}

var fence = regexp.MustCompile("(?ms)^```([a-z ]*)\n(.*?)^```$")

// between stands between the outputs of two blocks.
const between = "\x1e"

func TestTheCommandsOfTheREADMESayWhatItSays(t *testing.T) {
	for _, name := range []string{"bash", "curl", "sed"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	var want []string
	for _, block := range fence.FindAllStringSubmatch(string(readme), -1) {
		switch block[1] {
		case "sh walk":
			script.WriteString(block[2])
		case "json answer":
			script.WriteString("printf '\\036'\n")
			want = append(want, block[2])
		case "sh start":
		default:
			t.Errorf("nobody checks a block %q", block[1])
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script.String())
	cmd.Env = append(os.Environ(), "TOKEN="+token, "BASE="+start(t))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &complaints)
	}
	got := strings.Split(strings.TrimSuffix(string(out), between), between)
	if len(got) != len(want) || len(want) == 0 {
		t.Fatalf("%d answers to %d of the README:\n%s", len(got), len(want), out)
	}
	for i := range want {
		if !says(t, want[i], got[i]) {
			t.Errorf("the README says\n%s\nthe server says\n%s", want[i], got[i])
		}
	}
}

// says compares two JSON texts, where "…" stands for anything.
func says(t *testing.T, want, got string) bool {
	var w, g any
	for text, to := range map[string]*any{want: &w, got: &g} {
		if err := json.Unmarshal([]byte(text), to); err != nil {
			t.Errorf("%v: %s", err, text)
		}
	}
	return alike(w, g)
}

func alike(want, got any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for k, v := range w {
			if _, there := g[k]; !there || !alike(v, g[k]) {
				return false
			}
		}
		return len(g) == len(w)
	case []any:
		g, _ := got.([]any)
		for i := range min(len(w), len(g)) {
			if !alike(w[i], g[i]) {
				return false
			}
		}
		return len(g) == len(w)
	}
	return want == "…" || reflect.DeepEqual(want, got)
}
