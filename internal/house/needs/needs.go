// Package needs lets plain `go test ./...` name the groups of tests it left out: go test shows nothing of a test that was
// skipped, but it marks a package that ran none. So each group has a package here that carries its name and reads
//
//	ok   …/internal/house/needs/postgresql   [no tests to run]
//
// where the group was left out, and a plain ok where its server is there. With REGAIN_REQUIRE_SERVERS=1 a missing server
// fails instead. It is for tests only.
package needs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Group fails, skips or passes the test as missing says.
func Group(t *testing.T, missing error) {
	t.Helper()
	switch {
	case missing == nil:
	case os.Getenv("REGAIN_REQUIRE_SERVERS") == "1":
		t.Fatalf("%v; make test installs it on Debian as root", missing)
	default:
		fmt.Println("\ntesting: warning: no tests to run") // the words go test looks for
		t.Skipf("left out: %v", missing)
	}
}

// AnyOf returns nil when one of the paths or patterns exists, or one of the names is in PATH; else an error that names the
// package that brings it.
func AnyOf(brings string, candidates ...string) error {
	for _, c := range candidates {
		if _, err := exec.LookPath(c); err == nil {
			return nil
		}
		if found, err := filepath.Glob(c); err == nil && filepath.IsAbs(c) && len(found) > 0 {
			return nil
		}
	}
	return errors.New("not installed: " + brings)
}
