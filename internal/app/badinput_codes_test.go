package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

func TestACodeThatIsNotExactlyTheOneAskedForHereAndNowIsRefusedAlike(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now})
	ada := w.add("ada", method.Email, method.SMS)
	bob := w.add("bob", method.Email)
	strange := w.visitor()
	strange.asks(bob.Login, "email")
	foreign := w.mailCode(bob.Email, 1)
	pages := map[string]string{}
	for name, typed := range map[string]func(code string) string{
		"wrong":                       otherThan,
		"truncated":                   func(c string) string { return c[:7] },
		"cut in front":                func(c string) string { return c[1:] },
		"extended":                    func(c string) string { return c + "0" },
		"extended in front":           func(c string) string { return "0" + c },
		"twice in a row":              func(c string) string { return c + c },
		"typed as its hash":           func(c string) string { h := sha256.Sum256([]byte(c)); return hex.EncodeToString(h[:]) },
		"of another try":              func(string) string { return foreign },
		"as hexadecimal":              func(c string) string { return "0x" + c },
		"with a sign":                 func(c string) string { return "+" + c },
		"with a decimal point":        func(c string) string { return c + ".0" },
		"with a wildcard":             func(c string) string { return c[:7] + "%" },
		"with a quote":                func(c string) string { return c + "' OR '1'='1" },
		"in Arabic-Indic digits":      func(c string) string { return indic(c) },
		"with something invisible in": func(c string) string { return c[:4] + "\u200b" + c[4:] },
		"a recovery code":             func(string) string { return "0123-4567-89AB-CDEF" },
		"spaces only":                 func(string) string { return "   " },
	} {
		t.Run(name, func(t *testing.T) {
			n := len(w.codes(ada.Email))
			v := w.visitor()
			v.asks(ada.Login, "email")
			code := w.mailCode(ada.Email, n+1)
			w.drained()
			got := v.post("/code", "code", typed(code)).want(t, 422, "/code", wrongCode)
			pages[got.HTML] = name
			if a := v.attempt(); a["proofs"] != 0 || a["state"] != "started" {
				t.Errorf("the try became %v", a)
			}
			v.post("/code", "code", code).want(t, 200, "/choose", "Prove it one more way") // the right one still works
		})
	}
	if len(pages) != 1 {
		t.Errorf("%d different pages refuse a code, want one: %v", len(pages), pages)
	}
	t.Run("none", func(t *testing.T) {
		v := w.visitor()
		v.asks(ada.Login, "email")
		v.post("/code", "code", "").want(t, 422, "/code", "Enter the code")
		v.post("/code").want(t, 422, "/code", "Enter the code")
		if n := w.number(`SELECT tries FROM challenges WHERE attempt = $1`, v.id()); n != 0 {
			t.Errorf("%d tries were spent on nothing", n)
		}
	})
}

func indic(code string) string {
	return strings.Map(func(r rune) rune { return r - '0' + '٠' }, code)
}

func TestSpacesDashesAndWideDigitsInACodeDoNotMatter(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email)
	for i, typed := range []func(string) string{
		func(c string) string { return " " + c[:4] + " " + c[4:] + " " },
		func(c string) string { return c[:4] + "-" + c[4:] },
		func(c string) string { return strings.Map(func(r rune) rune { return r - '0' + '０' }, c) },
	} {
		v := w.visitor()
		v.asks(ada.Login, "email")
		v.post("/code", "code", typed(w.mailCode(ada.Email, i+1)))
		if a := v.attempt(); a["proofs"] != 1 {
			t.Errorf("spelling %d was refused", i)
		}
	}
}

func TestACodeIsOverAfterTenMinutes(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		right bool
	}{
		"a microsecond before": {10*time.Minute - time.Microsecond, true},
		"to the microsecond":   {10 * time.Minute, false},
		"later":                {14 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			time0 := newClock()
			w := newWorld(t, scene{now: time0.now})
			ada := w.add("ada", method.Email)
			v := w.visitor()
			v.asks(ada.Login, "email")
			code := w.mailCode(ada.Email, 1)
			time0.add(c.after)
			v.post("/code", "code", code)
			if got := v.attempt()["proofs"]; (got == 1) != c.right {
				t.Errorf("%v proofs", got)
			}
		})
	}
}

func TestACodeIsAcceptedOnce(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.asks(ada.Login, "email")
	code := w.mailCode(ada.Email, 1)
	v.post("/code", "code", code).want(t, 200, "/choose")
	v.post("/code", "code", code).want(t, 422, "/code", wrongCode)
	if a := v.attempt(); a["proofs"] != 1 || a["state"] != "proving" {
		t.Errorf("after the same code again: %v", a)
	}
	again := w.visitor() // the same person, a new try, the old code
	again.asks(ada.Login, "email")
	second := w.mailCode(ada.Email, 2)
	again.post("/code", "code", code).want(t, 422, "/code", wrongCode)
	again.cookie("regain-code", fmt.Sprint(w.rows(`SELECT id FROM challenges WHERE attempt = $1`, v.id())[0][0])) // and the old code's challenge
	again.post("/code", "code", code).want(t, 200, "/choose", "Prove that it is you")
	again.post("/choose", "way", "email").want(t, 200, "/code")
	third := w.mailCode(ada.Email, 3)
	again.post("/code", "code", second).want(t, 422, "/code", wrongCode) // of the code before: only the latest counts
	again.post("/code", "code", third).want(t, 200, "/choose", "Prove it one more way")
}

func TestFiveWrongCodesSpendTheRightOneAndANewOneWorks(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.asks(ada.Login, "email")
	code := w.mailCode(ada.Email, 1)
	for range 5 {
		v.post("/code", "code", otherThan(code)).want(t, 422, "/code", wrongCode)
	}
	for range 3 {
		v.post("/code", "code", code).want(t, 422, "/code", wrongCode)
	}
	if a := v.attempt(); a["proofs"] != 0 || w.number(`SELECT tries FROM challenges`) != 5 || w.count(ada.ID, event.ProofRight) != 0 {
		t.Errorf("the right code after five wrong ones: %v", a)
	}
	v.post("/choose", "way", "email").want(t, 200, "/code")
	v.post("/code", "code", code).want(t, 422, "/code", wrongCode)
	v.post("/code", "code", w.mailCode(ada.Email, 2)).want(t, 200, "/choose", "Prove it one more way")
}

func TestARecoveryCodeWorksOnceForItsOwner(t *testing.T) {
	w := newWorld(t, scene{})
	alice, bob := w.add("alice", method.RecoveryCode, method.Email), w.add("bob", method.RecoveryCode, method.Email)
	if len(alice.Codes) != 10 || w.number(`SELECT count(*) FROM recovery_codes`) != 20 {
		t.Fatalf("%d codes", len(alice.Codes))
	}
	try := func(p *somebody, code string) bool {
		t.Helper()
		v := w.visitor()
		v.asks(p.Login, "recovery-code")
		got := v.post("/recovery-code", "code", code)
		right := v.attempt()["proofs"] == 1
		if right {
			got.want(t, 200, "/choose", "Prove it one more way")
		} else {
			got.want(t, 422, "/recovery-code", wrongCode)
		}
		return right
	}
	for i, code := range alice.Codes {
		if i < 2 && try(bob, code) { // each try costs a slow hash
			t.Errorf("Alice's code %d was accepted for Bob", i)
		}
		typed := []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", " "), strings.NewReplacer("0", "o", "1", "l").Replace(code)}[i%5]
		if !try(alice, typed) {
			t.Errorf("Alice's code %d was refused as %s", i, typed)
		}
		if i < 2 && try(alice, code) {
			t.Errorf("Alice's code %d was accepted twice", i)
		}
	}
	for _, code := range []string{bob.Codes[0][:18], bob.Codes[0] + "0", bob.Codes[0][:5], strings.Repeat("0", 16), bob.Codes[0][:9] + bob.Codes[1][9:]} {
		if try(bob, code) {
			t.Errorf("%q was accepted", code)
		}
	}
	if n := w.number(`SELECT count(*) FROM recovery_codes WHERE used > 0`); n != 10 {
		t.Errorf("%d codes are used, want 10", n)
	}
	v := w.visitor() // the last proof may be one, too, and two of a list are one
	v.asks(bob.Login, "recovery-code")
	v.post("/recovery-code", "code", bob.Codes[0]).want(t, 200, "/choose")
	lacks(t, v.get("/choose").Text, "One that you printed or saved")
	v.post("/recovery-code", "code", bob.Codes[1]).want(t, 422, "/recovery-code", wrongCode)
	if a := v.attempt(); a["proofs"] != 1 {
		t.Errorf("a second code of the list counted: %v", a)
	}
}
