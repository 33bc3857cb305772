package keyring

import (
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestDerivedValuesStayTheSameForEver(t *testing.T) {
	r := fixed(t)
	for name, got := range map[string][2]string{
		"hash":   {hex.EncodeToString(r.Hash("email", "ada@example.org")), "aee62bd62bd1d9920209385026308b344776096dc42485808a0d290ac79de2bd"},
		"code":   {r.Code("0192f0c1-0000-7000-8000-000000000001", 8), "42923932"},
		"code 6": {r.Code("0192f0c1-0000-7000-8000-000000000001", 6), "233332"},
		"ticket": {r.Ticket("attempt", "password"), "baA5-7ZurUCG600Oo2OnqDOEwNhO29Hm2pdrvaYeqco"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %s, want %s", name, got[0], got[1])
		}
	}
	// Computed with the reference implementation of Argon2 over HMAC-SHA-256(pepper, length ‖ "secret" ‖ length ‖ secret).
	const stored = "$argon2id$v=19$m=19456,t=2,p=1,keyid=00000003$MDEyMzQ1Njc4OWFiY2RlZg$dMWkJWfkDdD56OfuboSyUuLD7pKjtc1CdgqBRoIWVTU"
	if !r.VerifySecret(stored, "correct horse") || r.VerifySecret(stored, "correct horsf") {
		t.Error("a hash made before no longer verifies, or any secret does")
	}
}

func TestHashesDifferByPurposeByBoundaryAndByRing(t *testing.T) {
	r := Generate()
	seen := map[string]string{}
	for _, parts := range [][]string{
		{"a"}, {"a", ""}, {"", "a"}, {"a", "b"}, {"ab"}, {"ab", ""}, {"a", "b", ""}, {"b", "a"}, {"a\x00b"}, {"a", "\x00b"}, {},
	} {
		for _, purpose := range []string{"email", "phone", "emaila"} {
			h := string(r.Hash(purpose, parts...))
			name := fmt.Sprintf("%s %q", purpose, parts)
			if other, ok := seen[h]; ok {
				t.Errorf("%s and %s hash alike", name, other)
			}
			seen[h] = name
			if len(h) != 32 {
				t.Errorf("%s: %d bytes", name, len(h))
			}
		}
	}
	if string(r.Hash("email", "a")) == string(Generate().Hash("email", "a")) {
		t.Error("two rings hash alike")
	}
}

func TestCodesAreDigitsOfTheLengthAskedAndEvenEnough(t *testing.T) {
	r := fixed(t)
	const n = 100_000
	var counts [8][10]int // by place and digit
	seen := map[string]int{}
	for i := range n {
		c := r.Code(fmt.Sprintf("challenge-%d", i), 8)
		if len(c) != 8 || strings.Trim(c, "0123456789") != "" {
			t.Fatalf("code %q", c)
		}
		for place, d := range c {
			counts[place][d-'0']++
		}
		seen[c]++
	}
	for place, c := range counts {
		chi := 0.0
		for _, got := range c {
			chi += (float64(got) - n/10) * (float64(got) - n/10) / (n / 10)
		}
		if chi > 33.72 { // 9 degrees of freedom, p = 0.0001; the ring is fixed, so this cannot flake
			t.Errorf("place %d: chi-square %.1f: %v", place, chi, c)
		}
	}
	if double := n - len(seen); double > 100 { // n²/2·10⁸ = 50 expected
		t.Errorf("%d codes came up twice", double)
	}
	if r.Code("c", 6) == r.Code("c", 8)[2:] {
		t.Error("the 6-digit code is the end of the 8-digit one")
	}
	for _, digits := range []int{0, 5, 13, -1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d digits: no panic", digits)
				}
			}()
			r.Code("c", digits)
		}()
	}
}

func TestATicketOpensOneStepOfOneAttempt(t *testing.T) {
	r := Generate()
	ticket := r.Ticket("KTRW-49MP", "prove", "7")
	if !r.CheckTicket(ticket, "KTRW-49MP", "prove", "7") {
		t.Fatal("its own step refuses it")
	}
	for _, parts := range [][]string{
		{"KTRW-49MP", "password", "7"}, {"KTRW-49MQ", "prove", "7"}, {"KTRW-49MP", "prove", "8"}, {"KTRW-49MP", "prove"}, {"KTRW-49MP", "prove", "7", ""},
		{"KTRW-49MPprove", "", "7"}, {"KTRW-49MP", "prove7"}, {},
	} {
		if r.CheckTicket(ticket, parts...) {
			t.Errorf("%q accepts it", parts)
		}
	}
	last := ticket[len(ticket)-1]
	for _, forged := range []string{
		"", ticket[:len(ticket)-1], ticket[1:], ticket + "=", ticket + "A", " " + ticket, ticket + "\n", strings.ToUpper(ticket), strings.ToLower(ticket),
		ticket[:len(ticket)-1] + string(last+1), ticket + ticket, // last+1 may decode to the same bytes: two bits are spare
	} {
		if forged != ticket && r.CheckTicket(forged, "KTRW-49MP", "prove", "7") {
			t.Errorf("%q passes for %q", forged, ticket)
		}
	}
	if Generate().CheckTicket(ticket, "KTRW-49MP", "prove", "7") {
		t.Error("another ring accepts it")
	}
}

func TestSecretsVerifyWithTheirPepperAndNothingElseDoes(t *testing.T) {
	r := Generate()
	stored, err := r.HashSecret("K7QM-22XD")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := r.HashSecret("K7QM-22XD"); again == stored {
		t.Error("no salt: hashing twice gives the same")
	}
	pepper := r.state.Load().pepper
	if want := "$argon2id$v=19$m=19456,t=2,p=1,keyid=" + pepper + "$"; !strings.HasPrefix(stored, want) {
		t.Errorf("%q does not begin with %q", stored, want)
	}
	if !r.VerifySecret(stored, "K7QM-22XD") {
		t.Error("the right secret is refused")
	}
	for _, wrong := range []string{"", "K7QM-22XE", "K7QM-22XD ", "k7qm-22xd", stored} {
		if r.VerifySecret(stored, wrong) {
			t.Errorf("%q is accepted", wrong)
		}
	}
	if Generate().VerifySecret(stored, "K7QM-22XD") {
		t.Error("another ring accepts it")
	}
	if r.NeedsRehash(stored) {
		t.Error("a fresh hash needs another")
	}
	if _, err := r.AddPepper(""); err != nil {
		t.Fatal(err)
	}
	if !r.VerifySecret(stored, "K7QM-22XD") || !r.NeedsRehash(stored) {
		t.Error("after a new pepper the old hash must verify, and be due for another")
	}
	if fresh, _ := r.HashSecret("x"); strings.Contains(fresh, pepper) || !r.VerifySecret(fresh, "x") {
		t.Error("new hashes must take the new pepper")
	}
	if _, err := r.HashSecret(""); err == nil {
		t.Error("nothing was hashed")
	}
}

func TestAHashThatIsNoneOfOursIsRefusedCheaplyEnough(t *testing.T) {
	r := Generate()
	good, _ := r.HashSecret("x")
	dummy := r.DummyHash()
	if _, err := parsePHC(dummy); err != nil || r.NeedsRehash(dummy) || len(dummy) != len(good) {
		t.Errorf("the dummy %q differs in kind from %q: %v", dummy, good, err)
	}
	if dummy == r.DummyHash() {
		t.Error("the dummy is always the same, so it can be recognised")
	}
	cut := strings.LastIndex(good, "$")
	for _, bad := range []string{
		"", "x", dummy, good[:len(good)-1], good + "A", good + "$", good[:cut], good[:cut+1], strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=19456", "m=4294967295", 1), strings.Replace(good, "m=19456", "m=+19456", 1), strings.Replace(good, "t=2", "t=0", 1), strings.Replace(good, "t=2", "t=4294967295", 1),
		strings.Replace(good, "p=1", "p=255", 1), strings.Replace(good, "p=1", "p=0", 1), strings.Replace(good, "keyid=", "keyid=00", 1), strings.Replace(good, "keyid=", "x=", 1),
		strings.Repeat("$", 1000),
	} {
		if r.VerifySecret(bad, "x") {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestSlowHashesNeverExceedTheProcessors(t *testing.T) {
	r := Generate()
	if cap(r.slots) != runtime.GOMAXPROCS(0) {
		t.Fatalf("%d slots for %d processors", cap(r.slots), runtime.GOMAXPROCS(0))
	}
	for range cap(r.slots) {
		r.slots <- struct{}{} // all taken
	}
	var wg sync.WaitGroup
	done := make(chan bool, 1)
	wg.Go(func() { r.VerifySecret(r.DummyHash(), "x"); done <- true })
	select {
	case <-done:
		t.Error("a hash ran with no slot free")
	default:
	}
	for range cap(r.slots) {
		<-r.slots
	}
	wg.Wait()
	if len(r.slots) != 0 {
		t.Error("a slot was not given back")
	}
}

func FuzzVerifySecret(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1,keyid=00000003$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=19456,t=2,p=1,keyid=x$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			return
		}
		if h.String() != s || h.memory > maxArgonMemory || h.time > maxArgonTime || len(h.salt) < 8 || len(h.hash) < 16 {
			t.Errorf("%q was read as %v", s, h)
		}
	})
}
