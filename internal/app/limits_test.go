package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
)

// realRates are the limits of a deployment, which other tests lift.
func realRates(s *Setup) { s.Rates = reset.Rates{} }

// atOnce runs n jobs, some at a time, and waits for all.
func atOnce(n, width int, job func(i int)) {
	var running sync.WaitGroup
	free := make(chan struct{}, width)
	for i := range n {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			job(i)
		})
	}
	running.Wait()
}

func TestAThousandWrongCodesFromAThousandOriginsUnderTenSpellingsJudgeFiveACodeAndLockNobodyOut(t *testing.T) {
	w := newWorld(t, scene{now: newClock().now, change: realRates})
	zoe := &somebody{uid: "zoe", ID: newID(), Login: "zoë@alder.example", Email: "zoe@mail.example", Phone: "+491713920077", Password: "the first password of zoe"}
	w.keeps(zoe)
	w.addPerson(zoe, method.Email, method.SMS)
	spellings := []string{
		"zoë@alder.example", "ZOË@ALDER.EXAMPLE", "Zoë@Alder.Example", "  zoë@alder.example ", "\tzoë@alder.example", "\u00a0zoë@alder.example\u00a0",
		`ALDER\zoë@alder.example`, `alder.example\ZOË@alder.example`, "zoe\u0308@alder.example", "ｚｏë@alder.example",
	}
	tries := make([]*visitor, len(spellings))
	for i, s := range spellings {
		tries[i] = w.visitor()
		tries[i].From = fmt.Sprintf("198.18.%d.1", i)
		tries[i].asks(s, "email")
	}
	w.drained()
	right := map[string]bool{}
	for _, c := range w.codes(zoe.Email) {
		right[c] = true
	}
	if len(right) != len(spellings)-1 {
		t.Errorf("%d of the spellings were understood, want all but the full-width one", len(right))
	}
	other := map[int]int{}
	var mu sync.Mutex
	atOnce(1000, 16, func(i int) {
		v := *tries[i%len(tries)]
		v.From = fmt.Sprintf("198.51.%d.%d", i/250, i%250)
		code := fmt.Sprintf("%08d", i)
		if right[code] {
			code = "99999999"
		}
		status, _, err := v.submit(w.base, "/code", "code", code)
		if status != 422 || err != nil {
			mu.Lock()
			other[status]++
			mu.Unlock()
		}
	})
	if len(other) > 0 {
		t.Errorf("answers other than 422: %v", other)
	}
	for _, r := range w.rows(`SELECT tries, count(*) FROM challenges GROUP BY tries`) {
		if fmt.Sprint(r) != "[5 10]" {
			t.Errorf("tries and how many codes had them: %v, want five judged of each of ten", r)
		}
	}
	for i, v := range tries {
		if a := v.attempt(); a["proofs"] != 0 || a["state"] != "started" {
			t.Errorf("try %d became %v", i, a)
		}
		for code := range right { // not even the right ones help now
			v.From = fmt.Sprintf("203.0.%d.1", i)
			v.post("/code", "code", code).want(t, 422, "/code", wrongCode)
			break
		}
	}
	owner := w.visitor()
	owner.From = "192.0.2.77"
	owner.recovers(zoe, fresh)
}

// keeps puts the account of somebody whose name is no plain one into the directory.
func (w *world) keeps(p *somebody) {
	w.t.Helper()
	if err := w.memory.Put(accountOf(p, w.now())); err != nil {
		w.t.Fatal(err)
	}
}

func TestFiveHundredStartsForOnePersonSendTwelveCodesAndOneHonestMailAnHour(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now, change: realRates})
	ada, bob := w.add("ada", method.Email, method.SMS), w.add("bob", method.Email)
	flood := func(from, n int) {
		t.Helper()
		statuses := map[int]int{}
		var mu sync.Mutex
		atOnce(n, 12, func(i int) {
			v := w.visitor()
			v.From = fmt.Sprintf("10.%d.%d.1", (from+i)/250, (from+i)%250)
			s := v.post("/reset", "login", ada.Login)
			s = v.post("/choose", "way", "email")
			mu.Lock()
			statuses[s.Status]++
			mu.Unlock()
		})
		if len(statuses) != 1 || statuses[200] != n {
			t.Errorf("what strangers saw depends on the budget: %v", statuses)
		}
		w.drained()
	}
	told := func() (work, own int) { return len(w.letters(ada.Login)), len(w.letters(ada.Email)) }
	flood(0, 500)
	if n := len(w.codes(ada.Email)); n != 12 {
		t.Errorf("%d codes were sent, want 12", n)
	}
	if work, own := told(); work != 1 || own != 1 {
		t.Errorf("%d notices at work and %d at home, want one each", work, own)
	}
	if work := w.letters(ada.Login); len(work) > 0 {
		has(t, words(work[0].Subject+" "+work[0].Text), "Many codes were asked for in your name", "Your account is safe and not locked")
	}
	if n := w.number(`SELECT count(*) FROM events WHERE type = $1`, string(event.AttemptFlooded)); n != 1 {
		t.Errorf("%d events tell of the flood, want 1", n)
	}
	time0.add(59 * time.Minute)
	flood(600, 20)
	if work, _ := told(); work != 1 {
		t.Errorf("%d notices within the hour", work)
	}
	time0.add(time.Minute)
	flood(700, 20)
	if work, own := told(); work != 2 || own != 2 || len(w.codes(ada.Email)) != 12 {
		t.Errorf("an hour later: %d and %d notices, %d codes", work, own, len(w.codes(ada.Email)))
	}
	v := w.visitor() // nobody else pays for it
	v.asks(bob.Login, "email")
	w.mailCode(bob.Email, 1)
	time0.add(23 * time.Hour)
	v = w.visitor() // and tomorrow codes come again
	v.asks(ada.Login, "email")
	w.mailCode(ada.Email, 13)
}

func TestOneNetworkGetsThreeCodesADaySentToAPerson(t *testing.T) {
	w := newWorld(t, scene{now: newClock().now, change: realRates})
	ada := w.add("ada", method.Email, method.SMS)
	ask := func(from string, n int) {
		for range n {
			v := w.visitor()
			v.From = from
			v.asks(ada.Login, "email")
		}
		w.drained()
	}
	ask("192.0.2.1", 10)
	if n := len(w.codes(ada.Email)); n != 3 {
		t.Errorf("%d codes on behalf of one address, want 3", n)
	}
	ask("2001:db8:1:2::1", 2)
	ask("2001:db8:1:2:ffff::9", 2) // the same /64
	if n := len(w.codes(ada.Email)); n != 6 {
		t.Errorf("%d codes after those of one IPv6 network, want 6", n)
	}
	ask("192.0.2.2", 1)
	if n := len(w.codes(ada.Email)); n != 7 {
		t.Errorf("%d codes after another address asked, want 7", n)
	}
}

func TestWhoComesTooOftenIsToldSoOpenlyAndNobodyElseIsHeldUp(t *testing.T) {
	w := newWorld(t, scene{now: newClock().now, change: realRates})
	v := w.visitor()
	for i := range 20 {
		v.post("/reset", "login", fmt.Sprintf("someone%d@alder.example", i)).want(t, 200, "/choose")
	}
	got := v.post("/reset", "login", "ada@alder.example").want(t, 429, "/reset", "a lot of tries")
	if got.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	other := w.visitor()
	other.From = "192.0.2.11"
	other.asks("ada@alder.example", "email")
	for range 60 {
		other.post("/code", "code", "12345678").want(t, 422, "/code")
	}
	other.post("/code", "code", "12345678").want(t, 429, "/code", "a lot of tries")
	for range 19 { // one was asked for above
		other.post("/choose", "way", "email").want(t, 200, "/code")
	}
	other.post("/choose", "way", "email").want(t, 429, "/choose")
}

func TestSixtyFourSubmitsOfOneRightCodeOnTwoReplicasAreOneProof(t *testing.T) {
	w := newWorld(t, scene{kind: store.PostgreSQL})
	ada := w.add("ada", method.Email, method.SMS, method.RecoveryCode)
	second := w.replica()
	v := w.visitor()
	race := func(path, code string) {
		t.Helper()
		before := v.attempt()["proofs"].(int)
		start, results := make(chan struct{}), make([]string, 64)
		var running sync.WaitGroup
		for i := range results {
			running.Go(func() {
				<-start
				status, to, err := v.submit([]string{w.base, second}[i%2], path, "code", code)
				results[i] = fmt.Sprint(status, " ", to, " ", err)
			})
		}
		close(start)
		running.Wait()
		tally := map[string]int{}
		for _, r := range results {
			tally[r]++
		}
		accepted := 0
		for r, n := range tally {
			if strings.HasPrefix(r, "303 /choose ") && before == 0 || strings.HasPrefix(r, "303 /new-password ") {
				accepted += n
			}
		}
		if after := v.attempt()["proofs"]; after != before+1 {
			t.Errorf("%v proofs, want %d: %v", after, before+1, tally)
		}
		if before == 0 && accepted != 1 || tally["422  <nil>"] != 63 && before == 0 {
			t.Errorf("answers: %v, want one accepted and 63 refused", tally)
		}
		if n := w.count(ada.ID, event.ProofRight); n != before+1 {
			t.Errorf("%d events say a proof was accepted, want %d", n, before+1)
		}
	}
	v.asks(ada.Login, "email")
	code := w.mailCode(ada.Email, 1)
	w.drained()
	race("/code", code)
	v.chooseKind("recovery-code").want(t, 200, "/recovery-code")
	race("/recovery-code", ada.Codes[0])
	if n := w.number(`SELECT max(tries) FROM challenges`); n != 5 {
		t.Errorf("%d judged, want 5", n)
	}
	if n := w.count(ada.ID, event.AttemptProved); n != 1 {
		t.Errorf("%d events say enough was proved, want 1", n)
	}
}

func TestOneRecoveryCodeInSixteenTriesAtOnceIsAcceptedInOne(t *testing.T) {
	w := newWorld(t, scene{kind: store.PostgreSQL})
	ada := w.add("ada", method.Email, method.RecoveryCode)
	second := w.replica()
	tries := make([]*visitor, 16)
	for i := range tries {
		tries[i] = w.visitor()
		tries[i].asks(ada.Login, "recovery-code")
	}
	atOnce(len(tries), len(tries), func(i int) {
		if _, _, err := tries[i].submit([]string{w.base, second}[i%2], "/recovery-code", "code", ada.Codes[3]); err != nil {
			t.Error(err)
		}
	})
	proved := 0
	for _, v := range tries {
		proved += v.attempt()["proofs"].(int)
	}
	if proved != 1 || w.count(ada.ID, event.ProofRight) != 1 {
		t.Errorf("%d tries have a proof, want one", proved)
	}
}

func TestManyNewPasswordsAtOnceAreOneWrite(t *testing.T) {
	w := newWorld(t, scene{kind: store.PostgreSQL})
	ada := w.add("ada", method.Email, method.SMS)
	second := w.replica()
	one, two := w.visitor(), w.visitor()
	one.proveTwice(ada)
	two.proveTwice(ada)
	atOnce(32, 32, func(i int) {
		if _, _, err := []*visitor{one, two}[i%2].submit([]string{w.base, second}[i/2%2], "/new-password", "password", fmt.Sprintf("%s, number %d", fresh, i)); err != nil {
			t.Error(err)
		}
	})
	if n := w.number(`SELECT count(*) FROM writes WHERE state = 'applied'`); n != 1 || w.count(ada.ID, event.PasswordReset) != 1 {
		t.Errorf("%d writes were applied, want one: %v", n, w.rows(`SELECT state, count(*) FROM writes GROUP BY state`))
	}
	if one.state() == two.state() {
		t.Errorf("both tries are %s", one.state())
	}
	works := 0
	for i := range 32 {
		if w.signsIn(ada, fmt.Sprintf("%s, number %d", fresh, i)) {
			works++
		}
	}
	if p, err := w.srv.Store.Person(context.Background(), ada.ID); err != nil || works != 1 || p.Epoch != 2 {
		t.Errorf("%d of the passwords work, epoch %d, %v", works, p.Epoch, err)
	}
}
