package scim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/regain-id/regain/pkg/scim/scimtest"
)

// mostMemory is what one request may add to what the process holds.
const mostMemory = 50 << 20

// peak runs work and returns by how much it made what is alive on the heap grow. It looks at the end of every garbage
// collection, of which there is one for each five percent of growth: no clock is involved, and what is only garbage does not
// count.
func peak(work func()) (grown int64) {
	live := func() int64 {
		s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	runtime.GC()
	base := live()
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	var most atomic.Int64
	var over atomic.Bool
	var watch func(*[16]byte)
	watch = func(*[16]byte) {
		most.Store(max(most.Load(), live()))
		if !over.Load() {
			runtime.SetFinalizer(new([16]byte), watch) // for the next one
		}
	}
	runtime.SetFinalizer(new([16]byte), watch)
	work()
	over.Store(true)
	runtime.GC()
	return most.Load() - base
}

func TestWhatIsMeantToHurtCostsLittleMemory(t *testing.T) {
	b := newBench(t)
	scimtest.RunHostile(t, b.srv.URL+"/scim/v2", "strict", func(r scimtest.Request, send func()) {
		grown := peak(send)
		t.Logf("%3d MiB: %s", grown>>20, r.Name)
		if grown > mostMemory {
			t.Errorf("%s: %d MiB", r.Name, grown>>20)
		}
	})
}

func TestPeakSeesWhatIsAliveAndNoGarbage(t *testing.T) {
	var kept [][]byte
	if grown := peak(func() {
		for range 60 {
			kept = append(kept, make([]byte, 1<<20))
		}
	}); grown < 50<<20 {
		t.Errorf("60 MiB that are kept are %d", grown)
	}
	runtime.KeepAlive(kept)
	kept = nil
	if grown := peak(func() {
		for range 60 {
			_ = append([]byte("x"), make([]byte, 1<<20)...)
		}
	}); grown > 20<<20 {
		t.Errorf("60 MiB one after the other are %d", grown)
	}
}

// BenchmarkHostile tells what a request that is meant to hurt costs the engine, as a multiple of what it costs to find out
// whether its body is JSON at all: work grows with what a stranger sends, and not faster.
func BenchmarkHostile(b *testing.B) {
	h := newHandler(b)
	send := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer strict")
		h.ServeHTTP(w, r)
		return w
	}
	id := func(w *httptest.ResponseRecorder) string {
		var doc struct{ ID string }
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != http.StatusCreated {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
		return doc.ID
	}
	fill := strings.NewReplacer("{{run}}", "x", "{{u}}", id(send("POST", "/Users", `{`+userSchemas+`,"userName":"u"}`)),
		"{{g}}", id(send("POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"g"}`)))
	for _, r := range scimtest.Hostile() {
		path, body := fill.Replace(r.Path), fill.Replace(r.Body)
		b.Run(r.Name, func(b *testing.B) {
			var scan, work float64
			for b.Loop() {
				b.StopTimer()
				before := b.Elapsed()
				b.StartTimer()
				json.Valid([]byte(body))
				b.StopTimer()
				middle := b.Elapsed()
				b.StartTimer()
				send(r.Method, path, body)
				b.StopTimer()
				scan, work = scan+float64(middle-before), work+float64(b.Elapsed()-middle)
				b.StartTimer()
			}
			b.ReportMetric(work/float64(b.N)/1e6, "ms/request")
			if len(body) > 100_000 {
				b.ReportMetric(work/scan, "×json.Valid")
			}
		})
	}
}
