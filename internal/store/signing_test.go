package store_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// signing is the keys of a purpose.
func signing(t *testing.T, s *store.Store, purpose string) []keyring.SigningKey {
	t.Helper()
	return ok[[]keyring.SigningKey](t)(s.SigningKeys(t.Context(), purpose))
}

// states are the keys of a purpose as letters, in order: c for current, n for next, r for retired.
func states(t *testing.T, s *store.Store, purpose string) (word string) {
	t.Helper()
	for _, k := range signing(t, s, purpose) {
		word += string(k.State[0])
	}
	return word
}

func TestAPurposeGetsAKeyThatSignsAndOneThatWill(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if got := states(t, s, keyring.ForIDTokens); got != "" {
			t.Errorf("before: %s", got)
		}
		generation := ok[int64](t)(s.Generation(t.Context()))
		for range 2 {
			must(t, s.EnsureSigning(t.Context(), keyring.ForIDTokens, keyring.ES256, noon))
		}
		if now := ok[int64](t)(s.Generation(t.Context())); now != generation+1 {
			t.Errorf("generation %d, want %d", now, generation+1)
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'signing.rotated'`)
		all := signing(t, s, keyring.ForIDTokens)
		if got := states(t, s, keyring.ForIDTokens); got != "cn" || all[0].ID == all[1].ID || all[0].Alg != keyring.ES256 || !all[0].Created.Equal(noon) {
			t.Errorf("got %s: %+v", got, all)
		}
		if k, found := keyring.Signer(all); !found || k.ID != all[0].ID || k.Private() == nil {
			t.Error("nothing signs")
		}
		if got := states(t, s, keyring.ForEvents); got != "" {
			t.Errorf("another purpose has keys: %s", got)
		}
		must(t, s.EnsureSigning(t.Context(), keyring.ForIDTokens, keyring.EdDSA, noon))
		must(t, s.EnsureSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon))
		if ids, events := states(t, s, keyring.ForIDTokens), states(t, s, keyring.ForEvents); ids != "cncn" || events != "cn" {
			t.Errorf("got %s and %s", ids, events)
		}
		infos := ok[[]store.SigningInfo](t)(s.SigningInfos(t.Context()))
		if len(infos) != 6 || infos[0].Purpose != keyring.ForEvents || infos[2].ID != all[0].ID || infos[2].State != keyring.Current || !infos[2].Moved.Equal(noon) {
			t.Errorf("infos: %+v", infos)
		}
		for what, err := range map[string]error{
			"a purpose nobody knows":    s.EnsureSigning(t.Context(), "session", keyring.ES256, noon),
			"an algorithm nobody knows": s.EnsureSigning(t.Context(), keyring.ForEvents, "HS256", noon),
			"an algorithm with NUL":     s.EnsureSigning(t.Context(), keyring.ForEvents, "\x00", noon),
		} {
			if err == nil {
				t.Errorf("%s: taken", what)
			}
		}
		// A key that is missing beside one that is there is made alone.
		must(t, s.Exec(t.Context(), `DELETE FROM signing_keys WHERE purpose = 'event' AND state = 'next'`))
		was := signing(t, s, keyring.ForEvents)[0].ID
		must(t, s.EnsureSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon))
		if again := signing(t, s, keyring.ForEvents); len(again) != 2 || again[0].ID != was {
			t.Errorf("got %+v", again)
		}
	})
}

func TestOfManyWhoMakeASigningKeyTheKeysOfOneAreStored(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		replicas := twoReplicas(t, kind)
		for _, err := range race(16, func(i int) error {
			return replicas[i%2].EnsureSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon)
		}) {
			must(t, err)
		}
		if got := states(t, replicas[1], keyring.ForEvents); got != "cn" {
			t.Errorf("got %s", got)
		}
		count(t, replicas[0], 1, `SELECT count(*) FROM events WHERE type = 'signing.rotated'`)
	})
}

func TestRotatingLetsTheNextKeySignAndKeepsTheOldOnePublished(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		rotate := func(at time.Time) {
			t.Helper()
			if !ok[bool](t)(s.RotateSigning(t.Context(), keyring.ForIDTokens, keyring.ES256, at, "cli:ada")) {
				t.Fatal("nothing was rotated")
			}
		}
		rotate(noon) // with no key yet
		first := signing(t, s, keyring.ForIDTokens)
		must(t, s.EnsureSigning(t.Context(), keyring.ForIDTokens, keyring.EdDSA, noon))
		generation := ok[int64](t)(s.Generation(t.Context()))
		rotate(noon.Add(time.Hour))
		if now := ok[int64](t)(s.Generation(t.Context())); now <= generation {
			t.Error("the generation did not move")
		}
		second := signing(t, s, keyring.ForIDTokens)
		if got := states(t, s, keyring.ForIDTokens); got != "cnrcn" && got != "cncnr" {
			t.Fatalf("got %s", got)
		}
		of := func(all []keyring.SigningKey, state keyring.KeyState) string {
			for _, k := range all {
				if k.Alg == keyring.ES256 && k.State == state {
					return k.ID
				}
			}
			return ""
		}
		if of(second, keyring.Current) != of(first, keyring.Next) || of(second, keyring.Retired) != of(first, keyring.Current) || of(second, keyring.Next) == "" {
			t.Errorf("from %+v to %+v", first, second)
		}
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'signing.rotated' AND actor = 'cli:ada' AND txn = $1`, of(second, keyring.Current))
		if _, err := s.RotateSigning(t.Context(), "other", keyring.ES256, noon, "cli:ada"); err == nil {
			t.Error("a purpose nobody knows")
		}
		// With no next key the fresh one signs at once, and Ensure makes the one after it.
		must(t, s.Exec(t.Context(), `DELETE FROM signing_keys WHERE state = 'next'`))
		rotate(noon.Add(2 * time.Hour))
		third := signing(t, s, keyring.ForIDTokens)
		if of(third, keyring.Next) != "" || of(third, keyring.Current) == of(second, keyring.Current) || of(third, keyring.Current) == "" {
			t.Errorf("got %+v", third)
		}
	})
}

func TestOfManyWhoRotateTheSameKeyOneDoes(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		replicas := twoReplicas(t, kind)
		must(t, replicas[0].EnsureSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon))
		at := noon.Add(store.SigningLife)
		if rotated, swept, err := replicas[0].SweepSigning(t.Context(), at.Add(-time.Microsecond)); rotated+swept != 0 || err != nil {
			t.Errorf("too early: %d, %d, %v", rotated, swept, err)
		}
		var rotated atomic.Int64
		for _, err := range race(16, func(i int) error {
			n, _, err := replicas[i%2].SweepSigning(t.Context(), at)
			rotated.Add(int64(n))
			return err
		}) {
			must(t, err)
		}
		if rotated.Load() != 1 || states(t, replicas[1], keyring.ForEvents) != "cnr" {
			t.Errorf("%d rotated it, want 1: %s", rotated.Load(), states(t, replicas[1], keyring.ForEvents))
		}
		count(t, replicas[0], 1, `SELECT count(*) FROM events WHERE type = 'signing.rotated' AND actor = 'system' AND at > $1`, noon.UnixMicro())
	})
}

func TestARetiredKeyGoesThirtyDaysLaterAndNoOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ok[bool](t)(s.RotateSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon, "cli:ada"))
		ok[bool](t)(s.RotateSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon.Add(time.Hour), "cli:ada"))
		generation := ok[int64](t)(s.Generation(t.Context()))
		gone := noon.Add(time.Hour + 30*24*time.Hour)
		for _, step := range []struct {
			at    time.Time
			swept int
			left  string
			moved int64
		}{{gone.Add(-time.Microsecond), 0, "cnr", 0}, {gone, 1, "cn", 1}, {gone, 0, "cn", 1}} {
			rotated, swept, err := s.SweepSigning(t.Context(), step.at)
			must(t, err)
			if got := states(t, s, keyring.ForEvents); rotated != 0 || swept != step.swept || got != step.left {
				t.Errorf("at %v: %d rotated, %d swept, %s left", step.at, rotated, swept, got)
			}
			if now := ok[int64](t)(s.Generation(t.Context())); now != generation+step.moved {
				t.Errorf("at %v: generation %d", step.at, now)
			}
		}
	})
}

func TestSigningKeysAreCachedAndOneThatDoesNotOpenHarmsNothingElse(t *testing.T) {
	var statements atomic.Int64
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ok[int64](t)(s.EnsurePolicy(t.Context(), "system", noon))
		must(t, s.EnsureSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon))
		cached := s.Cached()
		look := func() string {
			t.Helper()
			return ok[[]keyring.SigningKey](t)(cached.SigningKeys(t.Context(), keyring.ForEvents))[0].ID
		}
		first := look()
		before := statements.Load()
		look()
		if none := ok[[]keyring.SigningKey](t)(cached.SigningKeys(t.Context(), keyring.ForIDTokens)); len(none) != 0 || statements.Load() != before {
			t.Errorf("%d statements, %d keys of another purpose", statements.Load()-before, len(none))
		}
		ok[[]keyring.SigningKey](t)(cached.SigningKeys(t.Context(), keyring.ForEvents))[0] = keyring.SigningKey{} // is not what others get
		if look() != first {
			t.Error("a caller changed what others get")
		}
		ok[bool](t)(s.RotateSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon, "cli:ada"))
		must(t, cached.Refresh(t.Context()))
		if look() == first {
			t.Error("the key before the rotation is in force")
		}
		must(t, s.Exec(t.Context(), `UPDATE signing_keys SET id = 'x' WHERE state = 'current'`, `UPDATE settings SET generation = generation + 1 WHERE key = 'generation'`))
		must(t, cached.Refresh(t.Context()))
		if all, err := cached.SigningKeys(t.Context(), keyring.ForEvents); err == nil {
			t.Errorf("a key in another row opened: %v", all)
		}
		ok[policy.Policy](t)(cached.Policy(t.Context()))
	}, func(c *store.Config) { c.Trace = func(string) { statements.Add(1) } })
}

// What is swept as old by one replica may have been rotated by another since: then the key that signs by now is not old,
// and stays. (On SQLite there is one process.)
func TestAKeyThatAnotherReplicaRotatedSinceIsLeftAlone(t *testing.T) {
	c := store.Config{URL: storetest.URL(t, store.PostgreSQL), Ring: storetest.Ring()}
	there := storetest.OpenConfig(t, c)
	must(t, there.EnsureSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon))
	at := noon.Add(store.SigningLife)
	var meanwhile sync.Once
	c.Trace = func(sql string) {
		if strings.Contains(sql, "state = 'current'") && !strings.Contains(sql, "moved <=") { // the first after those that are due were read
			meanwhile.Do(func() { ok[bool](t)(there.RotateSigning(t.Context(), keyring.ForEvents, keyring.ES256, at, "cli:ada")) })
		}
	}
	here := storetest.OpenConfig(t, c)
	if rotated, _, err := here.SweepSigning(t.Context(), at); rotated != 0 || err != nil {
		t.Errorf("rotated %d more, %v", rotated, err)
	}
	if got := states(t, here, keyring.ForEvents); got != "cnr" {
		t.Errorf("got %s, want one rotation", got)
	}
}

func TestAKeyInWrongHandsIsWithdrawnWhateverItDid(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		must(t, s.EnsureSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon))
		first := signing(t, s, keyring.ForEvents)
		generation := ok[int64](t)(s.Generation(t.Context()))
		must(t, s.WithdrawSigning(t.Context(), first[0].ID, noon, "cli:x")) // it signed
		then := signing(t, s, keyring.ForEvents)
		if got := states(t, s, keyring.ForEvents); got != "cn" || then[0].ID != first[1].ID {
			t.Errorf("after the one that signed: %s", got)
		}
		if now := ok[int64](t)(s.Generation(t.Context())); now <= generation {
			t.Error("nobody is told")
		}
		must(t, s.WithdrawSigning(t.Context(), then[1].ID, noon, "cli:x")) // it waited
		if got := states(t, s, keyring.ForEvents); got != "cn" || signing(t, s, keyring.ForEvents)[1].ID == then[1].ID {
			t.Errorf("after the next one: %s", got)
		}
		ok[bool](t)(s.RotateSigning(t.Context(), keyring.ForEvents, keyring.ES256, noon, "cli:x"))
		must(t, s.WithdrawSigning(t.Context(), then[0].ID, noon, "cli:x")) // it was retired
		if got := states(t, s, keyring.ForEvents); got != "cn" {
			t.Errorf("after the retired one: %s", got)
		}
		count(t, s, 3, `SELECT count(*) FROM events WHERE type = 'signing.withdrawn'`)
		if err := s.WithdrawSigning(t.Context(), then[0].ID, noon, "cli:x"); !fault.Is(err, fault.NotFound) {
			t.Errorf("once more: %v", err)
		}
	})
}
