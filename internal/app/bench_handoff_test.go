package app

import (
	"context"
	"crypto"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// How many transactions one handoff needs: three limits, the handoff, its code and its redemption write; the app that asks,
// the handoff with its app, the try, and the handoff of the code with its app are read.
const (
	handoffWrites = 6
	handoffReads  = 4
)

// opensPerApp is how many handoffs one app may begin in half an hour, with room to spare: a run takes as many apps as it needs.
const opensPerApp = 2500

// BenchmarkHandoff is what a handoff costs beside the reset it is about: the browser that comes with a request, the same
// browser that goes back with a code, and the app that takes the code to the token endpoint, all over HTTP. The tries that
// were done in between are put into the database, unmeasured. Each figure is the median of rounds that take turns with
// bare, which is signing one ES256 token and the same number of transactions by the plain driver, of one small row each.
// of-writes compares with those alone that write.
func BenchmarkHandoff(b *testing.B) {
	for _, kind := range storetest.Kinds {
		for _, workers := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/c=%d", kind, workers), func(b *testing.B) {
				n := max(b.N, 16*workers*handoffRounds)
				w, people, raw := measured(b, kind, 1)
				var apps []*asker
				for i := 0; i < n; i += opensPerApp {
					apps = append(apps, w.asker(nil))
				}
				all := make([]*handover, n)
				for i := range all {
					a := apps[i/opensPerApp]
					all[i] = &handover{w: w, app: a, q: a.ask(client.ActionReset), from: origin(uint32(i)), client: &http.Client{Transport: pooled, CheckRedirect: stay}}
				}
				var rates, bares, ratios, ofWrites []float64
				b.StopTimer()
				for round := range handoffRounds {
					part := all[round*n/handoffRounds : (round+1)*n/handoffRounds]
					bare := storetest.Rate(b, workers, len(part), func(ctx context.Context, _ int) error { return bareHandoff(ctx, raw, handoffReads) })
					writes := storetest.Rate(b, workers, len(part), func(ctx context.Context, _ int) error { return bareHandoff(ctx, raw, 0) })
					took := time.Duration(0)
					timed := func(steps ...func(*handover, context.Context) error) {
						b.StartTimer()
						start := time.Now()
						storetest.Rate(b, workers, len(part), func(ctx context.Context, i int) error { return part[i].timed(ctx, steps...) })
						took += time.Since(start)
						b.StopTimer()
					}
					timed((*handover).authorize)
					storetest.Rate(b, 4, len(part), func(ctx context.Context, i int) error { return part[i].done(ctx, people[0]) })
					timed((*handover).goBack, (*handover).redeem)
					rate := float64(len(part)) / took.Seconds()
					rates, bares, ratios = append(rates, rate), append(bares, bare), append(ratios, rate/bare)
					ofWrites = append(ofWrites, rate/writes)
				}
				slices.SortFunc(all, func(x, y *handover) int { return int(x.took - y.took) })
				b.ReportMetric(median(rates), "handoffs/s")
				b.ReportMetric(float64(all[min(n-1, n*99/100)].took.Microseconds())/1000, "p99-ms")
				b.ReportMetric(median(bares), "bare/s")
				b.ReportMetric(median(ratios), "of-bare")
				b.ReportMetric(median(ofWrites), "of-writes")
			})
		}
	}
}

// handoffRounds is how often a measurement and what it is compared with take turns.
const handoffRounds = 5

// pooled keeps connections, as browsers and apps do.
var pooled = &http.Transport{MaxIdleConnsPerHost: 32}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// bareKey signs what is compared with.
var bareKey = sync.OnceValue(func() crypto.PrivateKey {
	k, err := keyring.NewSigningKey(keyring.ES256, time.Now())
	if err != nil {
		panic(err)
	}
	return k.Private()
})

// bareHandoff is the least that could do what a handoff does.
func bareHandoff(ctx context.Context, raw storetest.Control, reads int) error {
	if _, err := jws.Sign([]byte(`{"iss":"https://account.example.org","sub":"a subject of about the usual length"}`), jws.WithKey(jwa.ES256(), bareKey())); err != nil {
		return err
	}
	for range handoffWrites {
		if err := raw.Write(ctx); err != nil {
			return err
		}
	}
	for range reads {
		if err := raw.Read(ctx); err != nil {
			return err
		}
	}
	return nil
}

// handover is one handoff on its way.
type handover struct {
	w       *world
	app     *asker
	q       question
	from    string
	client  *http.Client
	cookies []*http.Cookie
	code    string
	took    time.Duration
}

// timed adds how long steps took.
func (h *handover) timed(ctx context.Context, steps ...func(*handover, context.Context) error) error {
	start := time.Now()
	for _, step := range steps {
		if err := step(h, ctx); err != nil {
			return err
		}
	}
	h.took += time.Since(start)
	return nil
}

func (h *handover) send(ctx context.Context, method, path string, form url.Values, basic bool) (*http.Response, []byte, error) {
	var in io.Reader
	if form != nil {
		in = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, h.w.base+path, in)
	if err != nil {
		return nil, nil, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if basic {
		r.SetBasicAuth(h.app.Key, h.app.secret)
		r.Header.Set("X-Forwarded-For", "198.51.100.7") // the app's own server
	} else {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("X-Forwarded-For", h.from)
		for _, c := range h.cookies {
			r.AddCookie(c)
		}
	}
	res, err := h.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}

func (h *handover) authorize(ctx context.Context) error {
	res, body, err := h.send(ctx, http.MethodGet, "/oauth2/authorize?"+h.q.form.Encode(), nil, false)
	if err != nil || res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/reset" {
		return fmt.Errorf("authorize: %v %v %s", err, res, body)
	}
	h.cookies = slices.DeleteFunc(res.Cookies(), func(c *http.Cookie) bool { return c.MaxAge < 0 })
	return nil
}

// done makes a try in this browser that ended well, and binds the handoff to it.
func (h *handover) done(ctx context.Context, p *somebody) error {
	secret, hash := keyring.NewToken("rgn_try")
	from := reset.Origin{Agent: "bench", Lang: "en"}
	a, err := h.w.srv.Flow.Start(ctx, from, policy.Reset, p.Login, hash)
	if err != nil {
		return err
	}
	now := h.w.now()
	if _, err = h.w.srv.Store.UpdateAttempt(ctx, a.ID, func(a *reset.Attempt) ([]event.Event, error) {
		a.State, a.Person, a.Resolved, a.Epoch, a.Ended = reset.Done, p.ID, true, 1, now
		a.Proofs = []reset.Proof{{Class: "mail"}, {Class: "phone"}}
		return nil, nil
	}); err != nil {
		return err
	}
	for _, c := range h.cookies {
		if c.Name != "regain-handoff" {
			continue
		}
		sum := sha256.Sum256([]byte(c.Value))
		kept, err := h.w.srv.Store.HandoffByCookie(ctx, sum[:])
		if err != nil || kept == nil {
			return fmt.Errorf("the handoff of a browser: %v %v", kept, err)
		}
		if _, err := h.w.srv.Store.UpdateHandoff(ctx, kept, func(k *client.Handoff) ([]event.Event, error) { return nil, k.Begin(a.ID, now) }); err != nil {
			return err
		}
		h.cookies = append(h.cookies, &http.Cookie{Name: "regain-try", Value: secret})
		return nil
	}
	return fmt.Errorf("no cookie of a handoff among %v", h.cookies)
}

func (h *handover) goBack(ctx context.Context) error {
	res, body, err := h.send(ctx, http.MethodPost, "/oauth2/return", url.Values{}, false)
	if err != nil {
		return err
	}
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		return fmt.Errorf("return: %s to %v: %s", res.Status, to, body)
	}
	h.code = to.Query().Get("code")
	return nil
}

func (h *handover) redeem(ctx context.Context) error {
	res, body, err := h.send(ctx, http.MethodPost, "/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {h.code},
		"redirect_uri": {h.app.Redirects[0]}, "code_verifier": {h.q.verifier}}, true)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), "id_token") {
		return fmt.Errorf("token: %v %v %s", err, res, body)
	}
	return nil
}

// What the benchmark compares with is as much as a handoff does: a change that does more shows here.
func TestAHandoffTakesAsManyTransactionsAsTheBenchmarkSays(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	counting, writes, reads := false, []string{}, []string{}
	w := newWorld(t, scene{kind: store.PostgreSQL, noWork: true, change: func(s *Setup) {
		s.Trace = func(sql string) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case !counting:
			case strings.HasPrefix(strings.TrimSpace(sql), "SELECT"):
				reads = append(reads, sql)
			default:
				writes = append(writes, sql)
			}
		}
	}})
	count := func(on bool) { mu.Lock(); counting = on; mu.Unlock() }
	a := w.asker(nil)
	p := w.newcomer()
	for round := range 2 { // the first call of an app from a network is counted, too: whoever guesses is
		h := &handover{w: w, app: a, q: a.ask(client.ActionReset), from: origin(1), client: &http.Client{Transport: pooled, CheckRedirect: stay}}
		step := func(f func(context.Context) error) {
			count(round == 1)
			if err := f(t.Context()); err != nil {
				t.Fatal(err)
			}
			count(false)
		}
		step(h.authorize)
		if err := h.done(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		step(h.goBack)
		step(h.redeem)
	}
	if len(writes) != handoffWrites || len(reads) != handoffReads {
		t.Errorf("%d transactions that write and %d that read, and the benchmark says %d and %d:\n%s", len(writes), len(reads), handoffWrites, handoffReads,
			strings.Join(append(writes, reads...), "\n"))
	}
}
