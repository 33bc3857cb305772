package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// measured is a world on a database that really syncs, with people enough that nobody resets twice.
func measured(b *testing.B, kind store.Kind, people int) (w *world, all []*somebody, raw storetest.Control) {
	b.Helper()
	address, raw := storetest.Durable(b, kind)
	w = newWorld(b, scene{kind: store.SQLite, change: func(s *Setup) {
		s.Database, s.Lanes = address, 16
		s.Rates.StartsPerOrigin, s.Rates.ChecksPerOrigin = 1e6, 1e6
	}})
	for i := range people {
		uid := fmt.Sprintf("p%05d", i)
		p := &somebody{uid: uid, Login: uid + "@alder.example", Email: uid + "@mail.example", Phone: fmt.Sprintf("+4917139%05d", i), Password: "the first password", ID: newID()}
		if err := w.memory.Put(memory.Account{Login: uid, Name: uid, Password: p.Password, Attrs: map[string][]string{"mail": {p.Login}}, PasswordChangedAt: time.Now().Add(-48 * time.Hour)}); err != nil {
			b.Fatal(err)
		}
		w.addPerson(p, method.Email, method.SMS)
		all = append(all, p)
	}
	return w, all, raw
}

// origin spreads visitors over the whole of the internet: neighbours share a row of the limits, and would wait for it.
func origin(n uint32) string {
	return netip.AddrFrom4([4]byte{byte(11 + n%89), byte(n * 37), byte(n / 89), 7}).String()
}

// BenchmarkReset is one complete reset over HTTP, from the typed name to the written password, with real mail over SMTP
// and a webhook for the text message. The visitor looks for the code every 10 ms, so one at a time shows latency,
// and eight at once what the server carries with the visitors, the mail server and the provider on the same machine.
func BenchmarkReset(b *testing.B) {
	for _, kind := range storetest.Kinds {
		for _, workers := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/c=%d", kind, workers), func(b *testing.B) {
				n := max(b.N, workers)
				w, people, raw := measured(b, kind, n)
				limit := storetest.Rate(b, workers, max(200, n), func(ctx context.Context, _ int) error { return raw.Write(ctx) })
				b.ResetTimer()
				rate := storetest.Rate(b, workers, n, func(_ context.Context, i int) error {
					v := w.visitor()
					v.From = origin(uint32(i))
					p := people[i]
					for _, step := range [][3]string{{"/reset", "login", p.Login}, {"/choose", "way", "email"}} {
						if s := v.post(step[0], step[1], step[2]); s.Status != http.StatusOK {
							return fmt.Errorf("%s: %d", step[0], s.Status)
						}
					}
					v.post("/code", "code", w.mailCode(p.Email, 1))
					v.chooseKind("sms")
					v.post("/code", "code", w.textCode(p.Phone, 1))
					s := v.post("/new-password", "password", fresh)
					for deadline := time.Now().Add(10 * time.Second); !w.memory.SignIn(p.uid, fresh); time.Sleep(time.Millisecond) {
						if time.Now().After(deadline) {
							return fmt.Errorf("%s: not written: %s %s", p.uid, s.Path, s.Text)
						}
					}
					return nil
				})
				b.StopTimer()
				b.ReportMetric(rate, "resets/s")
				b.ReportMetric(limit, "raw-inserts/s")
				b.ReportMetric(limit/rate, "raw-inserts/reset")
			})
		}
	}
}

// BenchmarkStart is the first page's form, which anybody can send, beside a handler that does nothing.
func BenchmarkStart(b *testing.B) {
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() == nil {
			http.Redirect(w, r, "/choose", http.StatusSeeOther)
		}
	}))
	defer bare.Close()
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var from atomic.Uint32
	post := func(ctx context.Context, to, login string) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(url.Values{"login": {login}}.Encode()))
		if err != nil {
			return err
		}
		n := from.Add(1)
		r.Header.Set("X-Forwarded-For", origin(n))
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := hc.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		if res.StatusCode != http.StatusSeeOther {
			return fmt.Errorf("%s: %s", to, res.Status)
		}
		return nil
	}
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			w, people, raw := measured(b, kind, 1)
			n := max(b.N, 8)
			floor := storetest.Rate(b, 8, n, func(ctx context.Context, _ int) error { return post(ctx, bare.URL, "x") })
			limit := storetest.Rate(b, 8, n, func(ctx context.Context, _ int) error { return raw.Write(ctx) })
			b.ResetTimer()
			rate := storetest.Rate(b, 8, n, func(ctx context.Context, i int) error {
				return post(ctx, w.base+"/reset", []string{people[0].Login, "nobody@alder.example"}[i%2])
			})
			b.ReportMetric(rate, "posts/s")
			b.ReportMetric(floor, "bare-posts/s")
			b.ReportMetric(limit, "raw-inserts/s")
			b.ReportMetric(limit/rate, "raw-inserts/post")
		})
	}
}
