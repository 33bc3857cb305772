package password

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/FastFilter/xorfilter"
)

func build(t testing.TB, in string, o BuildOptions) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "breached.rgn")
	if _, err := BuildBreached(t.Context(), strings.NewReader(in), path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *Breached {
	t.Helper()
	b, err := OpenBreached(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func contains(t testing.TB, b *Breached, pw string) bool {
	t.Helper()
	ok, err := b.Contains(pw)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestABreachedPasswordIsFoundAndOthersAreNot(t *testing.T) {
	var hashes, plain bytes.Buffer
	const n = 20_000
	for i := range n {
		fmt.Fprintf(&hashes, "%X:%d\r\n", sha1.Sum(fmt.Appendf(nil, "otter-%d-é", i)), i)
		fmt.Fprintf(&plain, "otter-%d-e\u0301\n", i) // decomposed: the same password
	}
	var lines int64
	for name, path := range map[string]string{
		"hashes": build(t, hashes.String(), BuildOptions{Progress: func(n int64) { lines = n }}),
		"plain":  build(t, plain.String(), BuildOptions{Plain: true}),
		"double": build(t, hashes.String()+"\n\n"+strings.ToLower(hashes.String()), BuildOptions{}),
	} {
		b := open(t, path)
		if b.Count() != n {
			t.Errorf("%s: holds %d, want %d", name, b.Count(), n)
		}
		wrong := 0
		for i := range n {
			if !contains(t, b, fmt.Sprintf("otter-%d-é", i)) {
				t.Fatalf("%s: otter-%d-é is not found", name, i)
			}
			if contains(t, b, fmt.Sprintf("kettle-%d", i)) {
				wrong++
			}
		}
		if wrong > 8 { // 0.3 expected
			t.Errorf("%s: %d of %d others are found", name, wrong, n)
		}
	}
	if lines != n {
		t.Errorf("progress ended at %d lines, want %d", lines, n)
	}
	first, _ := os.ReadFile(build(t, hashes.String(), BuildOptions{}))
	again, _ := os.ReadFile(build(t, hashes.String()+hashes.String(), BuildOptions{}))
	if !bytes.Equal(first, again) {
		t.Error("the same passwords give different files")
	}
}

func TestListsOfOneAndOfAFewWork(t *testing.T) {
	for n := 1; n < 600; n = n*2 + 1 {
		var in []string
		for i := range n {
			in = append(in, fmt.Sprintf("velvet %d", i))
		}
		b := open(t, build(t, strings.Join(in, "\n"), BuildOptions{Plain: true}))
		for _, pw := range in {
			if !contains(t, b, pw) {
				t.Errorf("of %d, %q is not found", n, pw)
			}
		}
	}
}

func TestOurLookUpAgreesWithTheLibrary(t *testing.T) {
	var keys []uint64
	for i := range uint64(5000) {
		keys = append(keys, i*0x9e3779b97f4a7c15>>8) // all in shard 0
	}
	sh, body, err := buildShard(slices.Clone(keys))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "shard")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := &Breached{file: f}
	b.shards[0] = sh
	lib, err := xorfilter.NewBinaryFuse[uint16](keys)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for k := range uint64(400_000) {
		got, err := b.contains(k * 0x9e3779b97f4a7c15 >> 8)
		if err != nil {
			t.Fatal(err)
		}
		if want := lib.Contains(k * 0x9e3779b97f4a7c15 >> 8); got != want {
			t.Fatalf("key %d: got %v, the library says %v", k, got, want)
		} else if want {
			found++
		}
	}
	if found < 5000 {
		t.Errorf("found %d of 5000", found)
	}
}

func TestMinCountLeavesOutRareOnes(t *testing.T) {
	in := fmt.Sprintf("%x:3\n%x:2\n%x\n", sha1.Sum([]byte("three")), sha1.Sum([]byte("two")), sha1.Sum([]byte("one")))
	b := open(t, build(t, in, BuildOptions{MinCount: 3}))
	if !contains(t, b, "three") || b.Count() != 1 {
		t.Errorf("holds %d, three: %v", b.Count(), contains(t, b, "three"))
	}
}

func TestInputThatIsNoListIsRefusedAndNothingIsWritten(t *testing.T) {
	ok := fmt.Sprintf("%X:1\n", sha1.Sum([]byte("x")))
	for name, in := range map[string]string{
		"empty": "", "only blank": "\n\n", "text": ok + "hunter2\n", "short hash": ok[:39] + "\n", "bad digit": "Z" + ok[1:], "no count": ok[:41] + "\n", "bad count": ok[:41] + "-1\n",
		"long line": strings.Repeat("a", maxLine+1),
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "out")
		if err := os.WriteFile(path, []byte("as before"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := BuildBreached(t.Context(), strings.NewReader(in), path, BuildOptions{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		left, _ := os.ReadDir(dir)
		if text, _ := os.ReadFile(path); string(text) != "as before" || len(left) != 1 {
			t.Errorf("%s: the file says %q, the folder has %v", name, text, left)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := BuildBreached(ctx, strings.NewReader(ok), filepath.Join(t.TempDir(), "out"), BuildOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestACutExtendedOrFlippedFileIsRefused(t *testing.T) {
	path := build(t, "one\ntwo\nthree\n", BuildOptions{Plain: true})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, text []byte) {
		t.Helper()
		bad := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(bad, text, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := OpenBreached(bad)
		if !errors.Is(err, ErrBreachedFile) {
			t.Errorf("%s: %v", what, err)
		}
		if b != nil {
			b.Close()
		}
	}
	for n := 0; n < len(whole); n += 1 + n/50 {
		refused(fmt.Sprintf("cut to %d", n), whole[:n])
	}
	refused("one byte less", whole[:len(whole)-1])
	refused("one byte more", append(slices.Clone(whole), 0))
	for i := 0; i < len(whole); i += 1 + i/100 {
		flipped := slices.Clone(whole)
		flipped[i] ^= 0x10
		refused(fmt.Sprintf("byte %d flipped", i), flipped)
	}
	if _, err := OpenBreached(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestABreachedPasswordIsRefusedAndAnUnreadableListRefusesAll(t *testing.T) {
	b := open(t, build(t, good+"\n", BuildOptions{Plain: true}))
	if got := codes(good, Rules{}, Lists{Breached: b}); !slices.Equal(got, []Code{InBreach}) {
		t.Errorf("got %v", got)
	}
	if got := codes("Otter vellum kettle", Rules{}, Lists{Breached: b}); got != nil {
		t.Errorf("another one: got %v", got)
	}
	b.Close()
	if got := codes(good, Rules{}, Lists{Breached: b}); !slices.Equal(got, []Code{Unchecked}) {
		t.Errorf("closed file: got %v", got)
	}
}

func FuzzOpenBreached(f *testing.F) {
	whole, err := os.ReadFile(build(f, "one\ntwo\n", BuildOptions{Plain: true}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:breachedHead])
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if end := breachedHead - 4; len(text) > end+4 { // a right checksum, so that what lies behind it is tried, too
			text = slices.Clone(text)
			binary.BigEndian.PutUint32(text[end:], crc32.Checksum(text[:end], castagnoli))
		}
		path := filepath.Join(dir, "fuzz")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := OpenBreached(path)
		if err != nil {
			return
		}
		defer b.Close()
		for key := uint64(0); key < 1<<56*255; key += 1 << 54 {
			if _, err := b.contains(key * 0x9e3779b97f4a7c15); err != nil {
				t.Fatalf("opened, and then: %v", err)
			}
		}
	})
}
