package app

import (
	"context"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves what an operator watches: the process, and the queue of messages.
func metrics(srv *Server, version string) http.Handler {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "regain_build_info", Help: "Always 1; the version is a label.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build, &backlog{srv: srv})
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{Timeout: 5 * time.Second, MaxRequestsInFlight: 2})
}

var (
	pendingDesc = prometheus.NewDesc("regain_outbox_pending", "Rows of work that wait, by kind and state.", []string{"kind", "state"}, nil)
	oldestDesc  = prometheus.NewDesc("regain_outbox_oldest_seconds", "How long the oldest row of work that may be done has waited.", []string{"kind"}, nil)
)

// backlog reads the queue when it is asked.
type backlog struct{ srv *Server }

// Describe names the metrics.
func (b *backlog) Describe(out chan<- *prometheus.Desc) {
	out <- pendingDesc
	out <- oldestDesc
}

// Collect reads them.
func (b *backlog) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	now := b.srv.setup.Now()
	loads, err := b.srv.Store.Backlog(ctx, now)
	if err != nil {
		out <- prometheus.NewInvalidMetric(pendingDesc, err)
		return
	}
	for _, l := range loads {
		for state, n := range map[string]int{"due": l.Due, "later": l.Later, "leased": l.Leased, "dead": l.Dead} {
			out <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(n), l.Kind, state)
		}
		if !l.Oldest.IsZero() {
			out <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, now.Sub(l.Oldest).Seconds(), l.Kind)
		}
	}
}

// telemetry serves /metrics and health on an address of its own, and returns what stops it.
func telemetry(address string, srv *Server) (stop func(), err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics(srv, Version()))
	mux.Handle("/healthz/", srv.health)
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go h.Serve(l) //nolint:errcheck // ends with Close
	return func() { h.Close() }, nil
}

// Version tells the module's version, or the commit it was built from; "unknown" in a build that recorded neither.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "commit " + s.Value[:12]
		}
	}
	return "unknown"
}
