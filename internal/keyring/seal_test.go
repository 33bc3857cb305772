package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

func TestASealedValueOpensInItsOwnPlaceOnly(t *testing.T) {
	r := Generate()
	ada, _, err := r.NewPersonKey("ada")
	if err != nil {
		t.Fatal(err)
	}
	type opener func([]byte, string, string, string) ([]byte, error)
	for name, c := range map[string]struct {
		seal func([]byte, string, string, string) []byte
		open opener
	}{"person": {ada.Seal, ada.Open}, "nobody": {r.Seal, r.Open}} {
		sealed := c.seal([]byte("+44 20 7946 0018"), "methods", "m1", "destination")
		if got, err := c.open(sealed, "methods", "m1", "destination"); err != nil || string(got) != "+44 20 7946 0018" {
			t.Errorf("%s: opens to %q, %v", name, got, err)
		}
		if bytes.Contains(sealed, []byte("7946")) {
			t.Errorf("%s: the plain text shows", name)
		}
		if bytes.Equal(sealed, c.seal([]byte("+44 20 7946 0018"), "methods", "m1", "destination")) {
			t.Errorf("%s: sealing twice gives the same", name)
		}
		for _, place := range [][3]string{
			{"methods", "m2", "destination"}, {"methods", "m1", "secret"}, {"events", "m1", "destination"}, {"", "", ""},
			{"methodsm", "1", "destination"}, {"methods", "m1destination", ""}, {"method", "sm1", "destination"},
		} {
			if got, err := c.open(sealed, place[0], place[1], place[2]); !errors.Is(err, ErrSealed) || got != nil {
				t.Errorf("%s: opens in %v: %q, %v", name, place, got, err)
			}
		}
		for n := range sealed {
			if _, err := c.open(sealed[:n], "methods", "m1", "destination"); err == nil {
				t.Errorf("%s: cut to %d it opens", name, n)
			}
			flipped := slices.Clone(sealed)
			flipped[n] ^= 1
			if _, err := c.open(flipped, "methods", "m1", "destination"); err == nil {
				t.Errorf("%s: with byte %d flipped it opens", name, n)
			}
		}
		if _, err := c.open(append(slices.Clone(sealed), 0), "methods", "m1", "destination"); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: extended: %v", name, err)
		}
	}
	empty := ada.Seal(nil, "t", "r", "c")
	if got, err := ada.Open(empty, "t", "r", "c"); err != nil || len(got) != 0 {
		t.Errorf("nothing sealed opens to %q, %v", got, err)
	}
}

func TestOnePersonsKeyOpensNothingOfAnother(t *testing.T) {
	r := Generate()
	ada, adaWrapped, _ := r.NewPersonKey("ada")
	bob, bobWrapped, _ := r.NewPersonKey("bob")
	sealed := ada.Seal([]byte("x"), "t", "r", "c")
	if _, err := bob.Open(sealed, "t", "r", "c"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("bob opens ada's: %v", err)
	}
	if _, err := r.Unwrap("bob", adaWrapped); !errors.Is(err, ErrSealed) {
		t.Errorf("ada's key as bob's: %v", err)
	}
	if _, err := r.Unwrap("", bobWrapped); !errors.Is(err, ErrSealed) {
		t.Errorf("bob's key as nobody's: %v", err)
	}
	if _, err := Generate().Unwrap("ada", adaWrapped); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("another ring's: %v", err)
	}
	again, err := r.Unwrap("ada", adaWrapped)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(sealed, "t", "r", "c"); err != nil || string(got) != "x" {
		t.Errorf("unwrapped again: %q, %v", got, err)
	}
	// The same key material under another name must not do either: the person is part of what is authenticated.
	forged := newPersonKey("bob", ada.key.get().secret)
	if _, err := forged.Open(sealed, "t", "r", "c"); !errors.Is(err, ErrSealed) {
		t.Errorf("ada's secret under bob's name: %v", err)
	}
	// A wrapped key is no cell and a cell no wrapped key, whatever the parts are called.
	if _, err := r.Open(adaWrapped, "ada", "", ""); !errors.Is(err, ErrSealed) {
		t.Errorf("a wrapped key opened as a cell: %v", err)
	}
	if _, err := r.Unwrap("ada", r.Seal(make([]byte, 32), "ada", "", "")); !errors.Is(err, ErrSealed) {
		t.Errorf("a cell unwrapped as a key: %v", err)
	}
	if _, _, err := r.NewPersonKey(""); err == nil {
		t.Error("a key for no person")
	}
}

func FuzzOpen(f *testing.F) {
	r := fixed(f)
	key, wrapped, _ := r.NewPersonKey("ada")
	f.Add(wrapped)
	f.Add(key.Seal([]byte("hello"), "t", "r", "c"))
	f.Add(r.Seal([]byte("hello"), "t", "r", "c"))
	f.Add([]byte{sealVersion})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		before := slices.Clone(sealed)
		for _, open := range []func() ([]byte, error){
			func() ([]byte, error) { return r.Open(sealed, "T", "r", "c") },
			func() ([]byte, error) { return key.Open(sealed, "T", "r", "c") },
			func() ([]byte, error) { _, err := r.Unwrap("eve", sealed); return nil, err },
		} {
			plain, err := open()
			if err == nil || plain != nil {
				t.Errorf("%x opened to %q", sealed, plain)
			}
			if !errors.Is(err, ErrSealed) && !errors.Is(err, ErrUnknownKey) {
				t.Errorf("%v", err)
			}
		}
		if !bytes.Equal(before, sealed) {
			t.Error("the input was changed")
		}
	})
}

// table is a store of wrapped keys that may break at a chosen call.
type table struct {
	mu       sync.Mutex
	rows     map[string][]byte
	writes   int
	failAt   int // the write that fails, counted from 1
	onLoad   func()
	reversed bool
}

func (s *table) WrappedKeys(_ context.Context, after, notUnder string, limit int) ([]Wrapped, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Wrapped
	for p, k := range s.rows {
		if id, err := SealedUnder(k); p > after && (err != nil || id != notUnder) {
			out = append(out, Wrapped{p, slices.Clone(k)})
		}
	}
	slices.SortFunc(out, func(a, b Wrapped) int { return bytes.Compare([]byte(a.Person), []byte(b.Person)) })
	if s.reversed {
		slices.Reverse(out)
	}
	out = out[:min(len(out), limit)]
	if s.onLoad != nil {
		s.onLoad()
	}
	return out, nil
}

var errKilled = errors.New("killed")

func (s *table) ReplaceWrapped(_ context.Context, person string, old, new []byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.writes == s.failAt {
		return false, errKilled
	}
	if !bytes.Equal(s.rows[person], old) {
		return false, nil
	}
	s.rows[person] = new
	return true, nil
}

func people(t *testing.T, r *Ring, n int) (*table, map[string][]byte) {
	t.Helper()
	s, sealed := &table{rows: map[string][]byte{}}, map[string][]byte{}
	for i := range n {
		p := fmt.Sprintf("person-%03d", i)
		key, wrapped, err := r.NewPersonKey(p)
		if err != nil {
			t.Fatal(err)
		}
		s.rows[p], sealed[p] = wrapped, key.Seal([]byte(p), "t", p, "c")
	}
	return s, sealed
}

func checkAll(t *testing.T, r *Ring, s *table, sealed map[string][]byte) {
	t.Helper()
	for p, w := range s.rows {
		if id, err := SealedUnder(w); err != nil || id != r.Primary() {
			t.Errorf("%s is under %s, %v; want %s", p, id, err, r.Primary())
		}
		key, err := r.Unwrap(p, w)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if got, err := key.Open(sealed[p], "t", p, "c"); err != nil || string(got) != p {
			t.Errorf("%s: data opens to %q, %v", p, got, err)
		}
	}
}

func TestARotationKilledHalfWayIsFinishedByTheNextRun(t *testing.T) {
	r := Generate()
	s, sealed := people(t, r, 50)
	old := r.Primary()
	if _, err := r.Add(""); err != nil {
		t.Fatal(err)
	}
	s.failAt = 23
	done, err := r.Rewrap(t.Context(), s, 7)
	if !errors.Is(err, errKilled) || done != 22 {
		t.Fatalf("first run moved %d, %v; want 22, killed", done, err)
	}
	if err := r.Remove("", old, 28); !errors.Is(err, ErrInUse) {
		t.Errorf("removing a key in use: %v", err)
	}
	done, err = r.Rewrap(t.Context(), s, 7)
	if err != nil || done != 28 {
		t.Fatalf("second run moved %d, %v; want 28", done, err)
	}
	if done, err := r.Rewrap(t.Context(), s, 7); err != nil || done != 0 {
		t.Errorf("third run moved %d, %v; want 0", done, err)
	}
	if err := r.Remove("", old, 0); err != nil {
		t.Fatal(err)
	}
	checkAll(t, r, s, sealed)
}

func TestTwoRotationsAtOnceMoveEachKeyOnce(t *testing.T) {
	r := Generate()
	s, sealed := people(t, r, 200)
	if _, err := r.Add(""); err != nil {
		t.Fatal(err)
	}
	// Both have read their first page before either writes: every row of it is contested.
	var loaded sync.WaitGroup
	loaded.Add(2)
	first := map[int]bool{}
	calls := 0
	s.onLoad = func() {
		calls++
		if calls <= 2 && !first[calls] {
			first[calls] = true
			s.mu.Unlock()
			loaded.Done()
			loaded.Wait()
			s.mu.Lock()
		}
	}
	var wg sync.WaitGroup
	var done [2]int
	for i := range done {
		wg.Go(func() {
			var err error
			if done[i], err = r.Rewrap(t.Context(), s, 200); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if done[0]+done[1] != 200 || s.writes < 300 {
		t.Errorf("moved %d and %d with %d writes; want 200 together and a real race", done[0], done[1], s.writes)
	}
	checkAll(t, r, s, sealed)
}

func TestADamagedRowIsReportedAndDoesNotStopARotation(t *testing.T) {
	r := Generate()
	s, sealed := people(t, r, 20)
	s.rows["person-007"][20] ^= 1
	s.rows["person-011"] = []byte("not ours")
	if _, err := r.Add(""); err != nil {
		t.Fatal(err)
	}
	done, err := r.Rewrap(t.Context(), s, 3)
	if done != 18 || !errors.Is(err, ErrSealed) {
		t.Errorf("moved %d, %v; want 18 and ErrSealed", done, err)
	}
	delete(s.rows, "person-007")
	delete(s.rows, "person-011")
	checkAll(t, r, s, sealed)
}

func TestRewrapEndsOnCancelAndOnAStoreOutOfOrder(t *testing.T) {
	r := Generate()
	s, _ := people(t, r, 5)
	if _, err := r.Add(""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if done, err := r.Rewrap(ctx, s, 2); done != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %d, %v", done, err)
	}
	s.reversed = true
	if _, err := r.Rewrap(t.Context(), s, 5); err == nil {
		t.Error("a store out of order goes unnoticed")
	}
	if _, err := r.Rewrap(t.Context(), s, 0); err == nil {
		t.Error("a batch of none goes unnoticed")
	}
}

func TestRowsOfNobodyMoveByReseal(t *testing.T) {
	r := Generate()
	sealed := r.Seal([]byte("smtp"), "settings", "1", "secret")
	if same, changed, err := r.Reseal(sealed, "settings", "1", "secret"); err != nil || changed || !bytes.Equal(same, sealed) {
		t.Errorf("under the primary: changed %v, %v", changed, err)
	}
	if _, err := r.Add(""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Reseal(sealed, "settings", "2", "secret"); !errors.Is(err, ErrSealed) {
		t.Errorf("another row: %v", err)
	}
	moved, changed, err := r.Reseal(sealed, "settings", "1", "secret")
	if err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if id, _ := SealedUnder(moved); id != r.Primary() {
		t.Errorf("under %s, want %s", id, r.Primary())
	}
	if got, err := r.Open(moved, "settings", "1", "secret"); err != nil || string(got) != "smtp" {
		t.Errorf("opens to %q, %v", got, err)
	}
}
