package provision

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// benchPeople is how many people BenchmarkImport brings: REGAIN_BENCH_PEOPLE, or ten thousand.
func benchPeople(b *testing.B) int {
	text := os.Getenv("REGAIN_BENCH_PEOPLE")
	if text == "" {
		return 10_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkImport measures a first import, durably and with an event for everybody, and a second one of the same file.
func BenchmarkImport(b *testing.B) {
	n := benchPeople(b)
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			for b.Loop() {
				address, _ := storetest.Durable(b, kind)
				s := storetest.OpenConfig(b, store.Config{URL: address, Ring: storetest.Ring()})
				c := client.Connector{ID: uuid.NewString(), Name: "idp", Trust: client.TrustOne, Preset: client.PresetStandard, Created: noon, Updated: noon}
				if err := s.CreateConnector(b.Context(), &c); err != nil {
					b.Fatal(err)
				}
				conf := Config{Policies: fixed{}, Base: "https://id.example.org", Now: time.Now, Log: slog.New(slog.DiscardHandler), Hash: s.DestinationHash}
				run := func(want Tally) (rate, cpu float64) {
					start, peak, spent := time.Now(), peaking(), ownTime()
					r, w := io.Pipe()
					go func() {
						for i := range n {
							fmt.Fprintf(w, `{"userName":"user%[1]d@contoso.example","externalId":"x%[1]d","active":true,"displayName":"User %[1]d","name":{"givenName":"User","familyName":"Number %[1]d"},`+
								`"emails":[{"value":"user%[1]d@contoso.example","type":"work","primary":true}],"phoneNumbers":[{"value":"+49 171 %[1]d","type":"mobile"}]}`+"\n", i)
						}
						w.Close()
					}()
					got, err := Import(b.Context(), conf, s, &c, JSONLines(r), func(line int, why string) { b.Errorf("line %d: %s", line, why) })
					if err != nil || got != want {
						b.Fatalf("%+v, %v; want %+v", got, err, want)
					}
					b.Logf("%d people in %v, heap at most %d MiB", n, time.Since(start).Round(time.Millisecond), peak()>>20)
					return float64(n) / time.Since(start).Seconds(), float64((ownTime() - spent).Microseconds()) / float64(n)
				}
				rate, cpu := run(Tally{Created: n})
				b.ReportMetric(rate, "people/s")
				b.ReportMetric(cpu, "cpu-µs/person") // this process; on SQLite with the database in it
				rate, cpu = run(Tally{Same: n})
				b.ReportMetric(rate, "again/s")
				b.ReportMetric(cpu, "again-cpu-µs")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fixed is the policy that holds.
type fixed struct{}

func (fixed) Policy(context.Context) (policy.Policy, error) { return policy.Default(), nil }

// ownTime is the time this process spent on a processor: what others do on the machine does not show in it.
func ownTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
