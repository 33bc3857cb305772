package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// killEnv holds, in a child process, the database and the key file it is to work on, and the answer at which it dies.
const killEnv = "REGAIN_TEST_KILL"

// TestChildThatIsKilled is no test: it is the process that TestAProcessKilledInBetweenLosesNothing starts.
func TestChildThatIsKilled(t *testing.T) {
	url, rest, there := strings.Cut(os.Getenv(killEnv), "\n")
	if !there {
		t.Skip("started by another test only")
	}
	path, at, _ := strings.Cut(rest, "\n")
	ring, err := keyring.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.OpenConfig(t, store.Config{URL: url, Ring: ring, Now: time.Now})
	left, err := strconv.Atoi(at)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, store: s}
	worker, err := New(Config{Store: s, Policies: b, Base: "https://id.example.org", Now: time.Now, Log: slog.Default(), Hash: s.DestinationHash,
		Crash: func(string) {
			if left--; left <= 0 {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Claim(t.Context(), time.Now(), "child", []string{Kind}, 1, time.Millisecond)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	if err := worker.carryOut(context.Background(), event.Item{ID: rows[0].ID, Kind: Kind, Ref: rows[0].Ref}); err != nil {
		t.Fatal(err)
	}
	t.Fatal("nobody killed it")
}

func TestAProcessKilledInBetweenLosesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	ring, err := keyring.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			b := newBench(t, kind, func(c *store.Config) { c.Ring, c.Now = ring, time.Now })
			b.now, b.conf.Now = time.Now(), time.Now
			c := b.connector("idp", client.TrustOne, client.PresetStandard)
			txn, _ := c.later("POST", "/Bulk", hundred("wave"))
			// Whoever is killed before an answer is written down has made the change; the next one starts there.
			for _, at := range []int{1, 2, 30, 40, 25} {
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildThatIsKilled$")
				cmd.Env = append(os.Environ(), killEnv+"="+fmt.Sprintf("%s\n%s\n%d", b.url, file, at))
				out, err := cmd.CombinedOutput()
				if dead, ok := errors.AsType[*exec.ExitError](err); !ok || dead.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("the child ended otherwise: %v\n%s", err, out)
				}
			}
			b.now = time.Now().Add(time.Minute)
			b.work(b.worker())
			c.sawHundred("wave", txn)
		})
	}
}
