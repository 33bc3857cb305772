package reset

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func attempt() *Attempt {
	a := &Attempt{ID: "a", Reference: "KTRW-49MP", Action: policy.Reset, State: Started, Started: noon, Expires: noon.Add(Life)}
	a.Resolve(&account.Person{ID: "ada", Epoch: 3, Active: true}, noon)
	return a
}

func way(id string, k method.Kind, root method.Root) *method.Method {
	return &method.Method{ID: id, Person: "ada", Kind: k, Status: method.Active, Root: root}
}

var (
	own    = method.Root{Kind: method.ByPerson, ID: "ada"}
	hr     = method.Root{Kind: method.ByConnector, ID: "hr"}
	other  = method.Root{Kind: method.ByConnector, ID: "other"}
	two    = policy.Decision{Allowed: true, Proofs: 2, Kinds: method.Kinds, Version: 1}
	single = policy.Decision{Allowed: true, Proofs: 1, Kinds: method.Kinds, Version: 1}
)

func TestTwoProofsAreTwoOnlyWithTwoClassesAndTwoRoots(t *testing.T) {
	for name, c := range map[string]struct {
		first, second *method.Method
		trust         method.Trusts
		want          State
	}{
		"mail and phone confirmed by the person":            {way("1", method.Email, own), way("2", method.SMS, own), nil, Proved},
		"a text and a call to a phone are one class":        {way("1", method.SMS, own), way("2", method.Voice, own), nil, Proving},
		"the same method twice":                             {way("1", method.Email, own), way("1", method.Email, own), nil, Proving},
		"two contacts of one connector are one root":        {way("1", method.Email, hr), way("2", method.SMS, hr), nil, Proving},
		"two contacts of one connector that is trusted":     {way("1", method.Email, hr), way("2", method.SMS, hr), method.Trusts{hr: client.TrustAll}, Proved},
		"contacts of two connectors":                        {way("1", method.Email, hr), way("2", method.SMS, other), nil, Proved},
		"a connector's and the person's own":                {way("1", method.Email, hr), way("2", method.SMS, own), nil, Proved},
		"a source that is not trusted at all":               {way("1", method.Email, own), way("2", method.SMS, hr), method.Trusts{hr: client.TrustNone}, Proving},
		"an app after a first proof":                        {way("1", method.Email, own), way("2", method.TOTP, own), nil, Proved},
		"somebody else's method":                            {way("1", method.Email, own), &method.Method{ID: "2", Person: "bob", Kind: method.SMS, Root: own}, nil, Proving},
		"two methods that share a session as root are once": {way("1", method.Email, method.Root{Kind: method.BySession, ID: "s"}), way("2", method.SMS, method.Root{Kind: method.BySession, ID: "s"}), nil, Proving},
	} {
		t.Run(name, func(t *testing.T) {
			a := attempt()
			if _, err := a.Prove(c.first, "c1", two, c.trust, noon); err != nil {
				t.Fatalf("first proof: %v", err)
			}
			_, err := a.Prove(c.second, "c2", two, c.trust, noon)
			if a.State != c.want || (err == nil) != (c.want == Proved) {
				t.Errorf("got state %s, error %v; want state %s", a.State, err, c.want)
			}
		})
	}
}

func TestAKindThatCanBeGuessedIsNoFirstProof(t *testing.T) {
	for _, k := range method.Kinds {
		a := attempt()
		_, err := a.Prove(way("1", k, own), "c", single, nil, noon)
		guessable := slices.Contains([]method.Kind{method.TOTP, method.HOTP, method.Question, method.Vouch, method.Pass, method.External}, k)
		if (err != nil) != guessable {
			t.Errorf("%s as first proof: error %v, want refused %v", k, err, guessable)
		}
	}
}

func TestOneChallengeProvesOnce(t *testing.T) {
	a := attempt()
	if _, err := a.Prove(way("1", method.Email, own), "c", two, nil, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Prove(way("2", method.SMS, own), "c", two, nil, noon); err == nil || a.State != Proving {
		t.Errorf("the same challenge proved twice: state %s, error %v", a.State, err)
	}
}

func TestAnEpochThatMovedEndsTheAttemptButTellsNoStranger(t *testing.T) {
	a := attempt()
	a.LiveEpoch++
	if err := a.Alive(noon); err != nil {
		t.Errorf("before a proof: %v, want nothing a stranger could see", err)
	}
	if _, err := a.Prove(way("1", method.Email, own), "c", two, nil, noon); !fault.Is(err, fault.Invalid) {
		t.Errorf("proof after the epoch moved: %v, want the answer to a wrong code", err)
	}
	a = attempt()
	if _, err := a.Prove(way("1", method.Email, own), "c", two, nil, noon); err != nil {
		t.Fatal(err)
	}
	a.LiveActive = false
	if err := a.Alive(noon); !fault.Is(err, fault.Over) {
		t.Errorf("after a proof, person disabled: %v, want over", err)
	}
}

func TestTheStricterPolicyTakesAProvedAttemptBack(t *testing.T) {
	a := attempt()
	if _, err := a.Prove(way("1", method.Email, own), "c", single, nil, noon); err != nil || a.State != Proved {
		t.Fatal(a.State, err)
	}
	if !a.Fresh(two, noon) || a.State != Proving {
		t.Errorf("two proofs asked for now: state %s, want proving", a.State)
	}
	noMail := two
	noMail.Kinds = []method.Kind{method.SMS}
	if !a.Fresh(noMail, noon) || len(a.Proofs) != 0 {
		t.Errorf("mail not allowed any more: %d proofs, want 0", len(a.Proofs))
	}
	a = attempt()
	a.Prove(way("1", method.Email, own), "c", single, nil, noon)
	if !a.Fresh(single, noon.Add(ProofLife+time.Second)) || len(a.Proofs) != 0 {
		t.Error("a proof older than an hour still counts")
	}
}

func TestAnAttemptLivesFifteenMinutesAndIsExtendedTenTimes(t *testing.T) {
	a := attempt()
	now := noon
	for i := range MaxExtended {
		now = now.Add(Life - time.Second)
		if _, err := a.Extend(now); err != nil {
			t.Fatalf("extension %d: %v", i+1, err)
		}
	}
	if _, err := a.Extend(now); !fault.Is(err, fault.Limited) {
		t.Errorf("eleventh extension: %v, want limited", err)
	}
	if err := a.Alive(now.Add(Life)); !fault.Is(err, fault.Over) {
		t.Errorf("after fifteen minutes: %v, want over", err)
	}
}

func TestEndedIsEnded(t *testing.T) {
	for _, s := range []State{Done, Expired, Cancelled, Blocked} {
		a := attempt()
		a.State = s
		if _, err := a.Prove(way("1", method.Email, own), "c", two, nil, noon); err == nil {
			t.Errorf("%s: a proof was taken", s)
		}
		if _, err := a.Extend(noon); err == nil {
			t.Errorf("%s: was extended", s)
		}
		if _, err := a.End(Cancelled, "x", "", noon); err == nil {
			t.Errorf("%s: was ended again", s)
		}
	}
	for _, s := range []State{Writing, Unknown} {
		a := attempt()
		a.State = s
		if _, err := a.End(Cancelled, "x", "", noon); err == nil {
			t.Errorf("%s: was cancelled while its outcome is awaited", s)
		}
	}
}

func TestReferencesAreEightReadableCharacters(t *testing.T) {
	form := regexp.MustCompile(`^[BCDFGHJKMNPQRTVWXYZ2-9]{4}-[BCDFGHJKMNPQRTVWXYZ2-9]{4}$`)
	seen := map[string]bool{}
	for range 1000 {
		r := NewReference()
		if !form.MatchString(r) || seen[r] {
			t.Fatalf("reference %q: wrong form or seen before", r)
		}
		seen[r] = true
	}
}

func TestEventsOfAnAttemptNameTheActorAsFarAsItIsKnown(t *testing.T) {
	a := attempt()
	if e := a.event(noon, event.ProofWrong, event.Failure); e.Actor != "stranger" {
		t.Errorf("before a proof the actor is %q, want stranger", e.Actor)
	}
	a.Prove(way("1", method.Email, own), "c", two, nil, noon)
	if e := a.event(noon, event.CodeAsked, event.Success); e.Actor != "person:ada" {
		t.Errorf("after a proof the actor is %q, want person:ada", e.Actor)
	}
}

func TestMatchTOTPFollowsRFC6238AppendixB(t *testing.T) {
	seeds := map[string]string{"SHA1": "12345678901234567890", "SHA256": "12345678901234567890123456789012", "SHA512": "1234567890123456789012345678901234567890123456789012345678901234"}
	for _, v := range []struct {
		at   int64
		alg  string
		code string
	}{
		{59, "SHA1", "94287082"}, {59, "SHA256", "46119246"}, {59, "SHA512", "90693936"},
		{1111111109, "SHA1", "07081804"}, {1111111109, "SHA256", "68084774"}, {1111111109, "SHA512", "25091201"},
		{1234567890, "SHA1", "89005924"}, {2000000000, "SHA256", "90698825"}, {20000000000, "SHA512", "47863826"},
	} {
		m := &method.Method{ID: "m", Kind: method.TOTP, Secret: []byte(seeds[v.alg]), Algorithm: v.alg, Digits: 8, Period: 30}
		step, ok, err := MatchTOTP(m, v.code, time.Unix(v.at, 0))
		if err != nil || !ok || step != v.at/30 {
			t.Errorf("%s at %d: step %d, %v, %v; want step %d", v.alg, v.at, step, ok, err, v.at/30)
		}
		if _, ok, _ := MatchTOTP(m, v.code, time.Unix(v.at+90, 0)); ok {
			t.Errorf("%s: code of %d taken 90 s later", v.alg, v.at)
		}
	}
}

func TestCodesAreTakenAsPeopleTypeThem(t *testing.T) {
	for typed, want := range map[string]string{"1234 5678": "12345678", "1234-5678": "12345678", " 1234\u00a05678\t": "12345678", "１２３４５６７８": "12345678"} {
		if got := Tidy(typed); got != want {
			t.Errorf("Tidy(%q) = %q, want %q", typed, got, want)
		}
	}
	if got := TidyRecovery("abcd-efgo il12-3456"); got != "ABCDEFG01112345"+"6" {
		t.Errorf("TidyRecovery: %q", got)
	}
}
