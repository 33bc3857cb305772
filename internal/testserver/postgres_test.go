package testserver

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestADurablePostgresKeepsWhatItAcknowledgedOverACrash(t *testing.T) {
	s := NewPostgres(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	run := func(prepare, sql string) (n int) {
		t.Helper()
		conn, err := pgx.Connect(ctx, s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, prepare); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	run("CREATE TABLE t(n int)", "INSERT INTO t VALUES (42) RETURNING n")
	s.Crash(t)
	if _, err := pgx.Connect(ctx, s.URL); err == nil {
		t.Fatal("a crashed server still answers")
	}
	s.Start(t)
	if n := run("", "SELECT n FROM t"); n != 42 {
		t.Errorf("got %d after the crash, want 42", n)
	}
}

func TestTestsOfOneBinaryShareOnePostgres(t *testing.T) {
	if a, b := Postgres(t), Postgres(t); a != b {
		t.Errorf("two servers: %s and %s", a, b)
	}
}
