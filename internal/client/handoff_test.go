package client

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

var verifier = strings.Repeat("v", 43)

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// opened is a handoff that a browser holds, with a try.
func opened() *Handoff {
	h := &Handoff{ID: "h1", App: "a1", Key: "hr", State: HandoffPushed, Action: ActionReset, Redirect: "https://hr.example/cb", Challenge: challengeOf(verifier)}
	h.Open([]byte("cookie"), noon)
	if err := h.Begin("t1", noon); err != nil {
		panic(err)
	}
	return h
}

var outcome = Outcome{Person: "ada", Epoch: 7, Status: StatusDone, Proofs: []string{"mail", "phone"}, At: noon, Txn: "t1", Over: true}

// answered is a handoff whose browser was sent back with a code.
func answered(t *testing.T) *Handoff {
	t.Helper()
	h := opened()
	if _, err := h.Answer([]byte("code"), outcome, "https://idp.example/", noon); err != nil {
		t.Fatal(err)
	}
	h.LiveEpoch, h.LiveActive = 7, true // as the store joins it
	return h
}

var good = Redemption{App: &App{ID: "a1", Key: "hr"}, Redirect: "https://hr.example/cb", Verifier: verifier}

func words(events []event.Event) string {
	var out []string
	for _, e := range events {
		word := string(e.Type) + " by " + e.Actor
		if why, ok := e.Data["why"].(string); ok {
			word += ": " + why
		}
		out = append(out, word)
	}
	return strings.Join(out, ", ")
}

func TestAHandoffIsOpenedHeldAndAnsweredOnce(t *testing.T) {
	h := &Handoff{ID: "h1", App: "a1", Key: "hr", State: HandoffPushed, Action: ActionReset, Request: []byte("r")}
	if h.Held(noon) {
		t.Error("a pushed request is held by nobody, and says it is")
	}
	events := h.Open([]byte("cookie"), noon)
	if got, want := words(events), "handoff.opened by stranger"; got != want || events[0].Txn != "h1" || events[0].Data["pushed"] != true {
		t.Errorf("opening it: %s of %s %v, want %s of h1, pushed", got, events[0].Txn, events[0].Data, want)
	}
	if !h.Held(noon.Add(OpenLife-time.Second)) || h.Held(noon.Add(OpenLife)) {
		t.Errorf("it is held until %s, want for %s", h.Expires, OpenLife)
	}
	if err := h.Begin("t1", noon.Add(time.Minute)); err != nil || h.Attempt != "t1" || !h.Expires.Equal(noon.Add(time.Minute+HandoffLife)) {
		t.Errorf("a try: %v, %q until %s", err, h.Attempt, h.Expires)
	}
	if err := h.Begin("t2", noon.Add(time.Minute)); err != nil || h.Attempt != "t2" {
		t.Errorf("a later try does not take its place: %v, %q", err, h.Attempt)
	}
	events, err := h.Answer([]byte("code"), outcome, "https://idp.example/", noon.Add(time.Hour))
	if got, want := words(events), "handoff.answered by person:ada"; err != nil || got != want || events[0].Subject != "ada" || events[0].Txn != "t1" {
		t.Errorf("answer: %s, %v, want %s", got, err, want)
	}
	if h.State != HandoffAnswered || h.Person != "ada" || h.Epoch != 7 || h.Result.Status != StatusDone || h.Result.Action != ActionReset ||
		h.Result.Time != noon.Unix() || h.Result.Txn != "t1" || h.Result.SignIn != "https://idp.example/" || !h.Until.Equal(noon.Add(time.Hour+CodeLife)) {
		t.Errorf("answered as %+v", h)
	}
	for what, err := range map[string]error{
		"another answer": second(h.Answer([]byte("code2"), outcome, "", noon)), "an end": second(h.End(WhyCancelled, noon)), "another try": h.Begin("t3", noon),
	} {
		if !fault.Is(err, fault.Over) {
			t.Errorf("%s after it was answered: %v, want over", what, err)
		}
	}
}

func second(_ []event.Event, err error) error { return err }

func TestNothingIsAnsweredThatDidNotHappenOrComesTooLate(t *testing.T) {
	nothing, nobody := outcome, outcome
	nothing.Status, nobody.Person = "", ""
	for name, err := range map[string]error{
		"nothing was changed": second(opened().Answer([]byte("c"), nothing, "", noon)),
		"nobody is known":     second(opened().Answer([]byte("c"), nobody, "", noon)),
		"its time is up":      second(opened().Answer([]byte("c"), outcome, "", noon.Add(HandoffLife))),
		"nobody opened it":    second((&Handoff{State: HandoffPushed, Expires: noon.Add(time.Hour)}).Answer([]byte("c"), outcome, "", noon)),
	} {
		if !fault.Is(err, fault.Over) {
			t.Errorf("%s: %v, want over", name, err)
		}
	}
	h := opened()
	events, err := h.End(WhyCancelled, noon)
	if got, want := words(events), "handoff.ended by stranger: cancelled"; err != nil || got != want || events[0].Subject != "" || h.State != HandoffEnded || h.Why != WhyCancelled {
		t.Errorf("cancelled: %s, %v, %+v", got, err, h)
	}
	if _, err := h.Answer([]byte("c"), outcome, "", noon); !fault.Is(err, fault.Over) {
		t.Errorf("an answer after the end: %v, want over", err)
	}
}

func TestACodeIsBurntAtFirstSightWhateverIsWrong(t *testing.T) {
	change := func(f func(*Redemption)) Redemption { r := good; f(&r); return r }
	for _, test := range []struct {
		name, want string
		shown      Redemption
		after      time.Duration
		spoil      func(*Handoff)
	}{
		{name: "all is right", shown: good},
		{name: "in its last second", shown: good, after: CodeLife - time.Second},
		{name: "too late", want: RefusedLate, shown: good, after: CodeLife},
		{name: "another client", want: RefusedClient, shown: change(func(r *Redemption) { r.App = &App{ID: "a2", Key: "crm"} })},
		{name: "a disabled client", want: RefusedApp, shown: change(func(r *Redemption) { r.App = &App{ID: "a1", Key: "hr", Disabled: true} })},
		{name: "another redirect URI", want: RefusedRedirect, shown: change(func(r *Redemption) { r.Redirect += "/" })},
		{name: "no redirect URI", want: RefusedRedirect, shown: change(func(r *Redemption) { r.Redirect = "" })},
		{name: "no verifier", want: RefusedVerifier, shown: change(func(r *Redemption) { r.Verifier = "" })},
		{name: "another verifier", want: RefusedVerifier, shown: change(func(r *Redemption) { r.Verifier = strings.Repeat("w", 43) })},
		{name: "the challenge as verifier", want: RefusedVerifier, shown: change(func(r *Redemption) { r.Verifier = challengeOf(verifier) })},
		{name: "a verifier without a challenge", want: RefusedVerifier, shown: good, spoil: func(h *Handoff) { h.Challenge = "" }},
		{name: "the person is disabled", want: RefusedPerson, shown: good, spoil: func(h *Handoff) { h.LiveActive = false }},
		{name: "the person's epoch moved", want: RefusedPerson, shown: good, spoil: func(h *Handoff) { h.LiveEpoch = 8 }},
	} {
		h := answered(t)
		if test.spoil != nil {
			test.spoil(h)
		}
		now := noon.Add(test.after)
		refused, events := h.Redeem(test.shown, []byte("token"), now)
		if refused != test.want || h.State != HandoffRedeemed {
			t.Errorf("%s: refused %q in state %s, want %q and redeemed", test.name, refused, h.State, test.want)
		}
		if h.Tells(now) != (test.want == "") || (len(h.Token) > 0) != (test.want == "") {
			t.Errorf("%s: the access token opens %t", test.name, h.Tells(now))
		}
		want := "handoff.redeemed by app:" + test.shown.App.Key
		if test.want != "" {
			want = "handoff.refused by app:" + test.shown.App.Key + ": " + test.want
		}
		if got := words(events); got != want {
			t.Errorf("%s: %s, want %s", test.name, got, want)
		}
		if again, events := h.Redeem(good, []byte("token2"), now); again != RefusedUsed || h.Tells(now) || len(events) != 1 || events[0].Type != event.HandoffRefused {
			t.Errorf("%s: the code shown again: %q %s, the token opens %t", test.name, again, words(events), h.Tells(now))
		}
		if again, events := h.Redeem(good, []byte("token3"), now); again != RefusedUsed || len(events) != 0 {
			t.Errorf("%s: the code shown a third time: %q, told as %s", test.name, again, words(events))
		}
	}
}

func TestAnAccessTokenEndsWithItsTimeAndThePersonsEpoch(t *testing.T) {
	redeemed := func() *Handoff {
		h := answered(t)
		if refused, _ := h.Redeem(good, []byte("token"), noon); refused != "" {
			t.Fatal(refused)
		}
		return h
	}
	h := redeemed()
	if !h.Tells(noon.Add(AccessLife-time.Second)) || h.Tells(noon.Add(AccessLife)) {
		t.Errorf("it lasts until %s, want %s", h.Until, AccessLife)
	}
	if h = redeemed(); true {
		h.LiveEpoch++
		if h.Tells(noon) {
			t.Error("it outlives the person's epoch")
		}
	}
	if h = redeemed(); true {
		h.LiveActive = false
		if h.Tells(noon) {
			t.Error("it outlives the person's account")
		}
	}
}

// What is found out moves the person's epoch: an answer that nobody could give yet must not end by being found.
func TestAnOutcomeThatBecomesKnownEndsNoStatementOfIt(t *testing.T) {
	sent := func() *Handoff {
		h := answered(t)
		h.Result.Status, h.LiveTry = StatusUnknown, 7
		return h
	}
	known := func(h *Handoff) { h.LiveEpoch, h.LiveTry = 8, 8 }
	for _, test := range []struct {
		name, want string
		status     Status
		spoil      func(*Handoff)
	}{
		{"still unknown", "", StatusUnknown, func(*Handoff) {}},
		{"done after all", "", StatusDone, known},
		{"done after all, and disputed since", RefusedPerson, StatusUnknown, func(h *Handoff) { known(h); h.LiveEpoch = 9 }},
		{"done after all by somebody disabled since", RefusedPerson, StatusUnknown, func(h *Handoff) { known(h); h.LiveActive = false }},
		{"done again elsewhere", RefusedPerson, StatusUnknown, func(h *Handoff) { h.LiveEpoch = 8 }},
	} {
		h := sent()
		test.spoil(h)
		refused, _ := h.Redeem(good, []byte("token"), noon)
		if refused != test.want || h.Result.Status != test.status || h.Tells(noon) != (test.want == "") {
			t.Errorf("%s: refused %q, %s, the access token opens %t; want %q, %s", test.name, refused, h.Result.Status, h.Tells(noon), test.want, test.status)
		}
	}
	h := sent()
	if refused, _ := h.Redeem(good, []byte("token"), noon); refused != "" {
		t.Fatal(refused)
	}
	if known(h); !h.Tells(noon) {
		t.Error("the access token ends because the outcome became known")
	}
	if h.LiveEpoch = 9; h.Tells(noon) {
		t.Error("the access token outlives a dispute")
	}
}

func TestAChallengeIsSHA256AndAVerifierProvesIt(t *testing.T) {
	// RFC 7636 appendix B.
	const v, c = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if !proves(v, c) {
		t.Error("the verifier of the RFC does not prove its challenge")
	}
	for name, pair := range map[string][2]string{
		"plain": {c, c}, "no verifier": {"", c}, "no challenge": {v, ""}, "neither": {"", ""}, "short": {v[:42], challengeOf(v[:42])},
		"long": {strings.Repeat("v", 129), challengeOf(strings.Repeat("v", 129))}, "other letters": {v[:42] + "+", challengeOf(v[:42] + "+")}, "padded": {v, c + "="},
	} {
		if proves(pair[0], pair[1]) {
			t.Errorf("%s: proved", name)
		}
	}
	for s, want := range map[string]bool{c: true, c[:42]: false, c + "A": false, c[:42] + "+": false, "": false} {
		if IsChallenge(s) != want {
			t.Errorf("%q is a challenge: %t, want %t", s, !want, want)
		}
	}
}
