// Package storetest gives every test a fresh database, on both engines.
package storetest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/testserver"
)

// Kinds are the engines Each runs on.
var Kinds = []store.Kind{store.SQLite, store.PostgreSQL}

// Each runs fn once on each engine, as a subtest with a store of its own. Without PostgreSQL that half is skipped, or
// fails, as package testserver says. change may alter the configuration before the store is opened.
func Each(t *testing.T, fn func(t *testing.T, s *store.Store), change ...func(*store.Config)) {
	t.Helper()
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) { fn(t, Open(t, kind, change...)) })
	}
}

// Open returns a store on a fresh, migrated database with a key ring in memory, and closes and removes it when the test
// ends.
func Open(t testing.TB, kind store.Kind, change ...func(*store.Config)) *store.Store {
	t.Helper()
	c := store.Config{URL: URL(t, kind), Ring: ring()}
	for _, f := range change {
		f(&c)
	}
	return OpenConfig(t, c)
}

// OpenConfig opens a store and closes it when the test ends: a second one on a URL is a second replica.
func OpenConfig(t testing.TB, c store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ring is one for all tests of a binary: making one costs a slow hash.
var ring = sync.OnceValue(keyring.Generate)

// URL makes a fresh, migrated database and returns its address.
func URL(t testing.TB, kind store.Kind) string {
	t.Helper()
	if kind == store.SQLite {
		path := Empty(t, kind)
		template, err := sqliteTemplate()
		if err == nil {
			err = os.WriteFile(path, template, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	server := testserver.Postgres(t)
	if err := postgresTemplate(server); err != nil {
		t.Fatal(err)
	}
	return postgresDatabase(t, server, templateName)
}

// Empty makes a fresh database without a schema and returns its address.
func Empty(t testing.TB, kind store.Kind) string {
	t.Helper()
	if kind == store.SQLite {
		return filepath.Join(t.TempDir(), "regain.db")
	}
	return postgresDatabase(t, testserver.Postgres(t), "template0")
}

// sqliteTemplate is the content of a migrated database file.
var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "regain-storetest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "regain.db")
	if err := migrate(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path) // closing the store has moved everything into the one file
})

const templateName = "regain_template"

var template = struct {
	sync.Mutex
	server string // the one that has the template
}{}

// postgresTemplate makes the migrated database that tests get a copy of.
func postgresTemplate(server string) error {
	template.Lock()
	defer template.Unlock()
	if template.server == server {
		return nil
	}
	if err := admin(server, "CREATE DATABASE "+templateName+" TEMPLATE template0"); err != nil {
		return err
	}
	if err := migrate(named(server, templateName)); err != nil {
		return err
	}
	template.server = server
	return nil
}

func migrate(url string) error {
	s, err := store.Open(context.Background(), store.Config{URL: url, Migrate: true})
	if err != nil {
		return err
	}
	return s.Close()
}

var databases atomic.Int64

// postgresDatabase makes a copy of a database and drops it, with whoever is connected, when the test ends.
func postgresDatabase(t testing.TB, server, from string) string {
	t.Helper()
	name := fmt.Sprintf("t%d", databases.Add(1))
	if err := admin(server, "CREATE DATABASE "+name+" TEMPLATE "+from); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return named(server, name)
}

// named is the address of another database of a server.
func named(server, database string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err) // testserver made it
	}
	u.Path = "/" + database
	return u.String()
}

func admin(server, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}
