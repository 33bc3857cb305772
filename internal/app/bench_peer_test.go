package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/testserver"
)

// newScimmy starts a server made with the npm packages scimmy and scimmy-routers.
func newScimmy(tb testing.TB) *process {
	tb.Helper()
	node, _ := nodePeers(tb, "scimmy", "scimmy-routers", "express")
	p := &process{tb: tb, token: "a token for this run", cmd: exec.Command(node, "testdata/scimmy.mjs")}
	in, err1 := p.cmd.StdinPipe()
	out, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		tb.Fatal(err)
	}
	p.in = in
	p.start("TOKEN=" + p.token)
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	p.base = "http://127.0.0.1:" + strings.TrimSpace(port) + "/scim/v2"
	p.answers()
	return p
}

// The users both have before anything is measured.
const seeded = 500

// fiveRequests are what an identity provider does all day. i is the number of a user who is there, or for a POST one who is not.
var fiveRequests = []struct {
	name string
	each int // how many a round
	do   func(ctx context.Context, p *process, ids []string, i int) (retort, error)
}{
	{"post", 400, func(ctx context.Context, p *process, _ []string, i int) (retort, error) {
		return p.want(ctx, http.StatusCreated, http.MethodPost, "/Users", newcomer(i))
	}},
	{"get", 400, func(ctx context.Context, p *process, ids []string, i int) (retort, error) {
		return p.want(ctx, http.StatusOK, http.MethodGet, "/Users/"+ids[i%len(ids)], "")
	}},
	{"filter", 400, func(ctx context.Context, p *process, _ []string, i int) (retort, error) {
		return p.want(ctx, http.StatusOK, http.MethodGet, "/Users?filter="+url.QueryEscape(`userName eq "`+numbered(i%seeded)+`@alder.example"`), "")
	}},
	{"patch", 200, func(ctx context.Context, p *process, ids []string, i int) (retort, error) {
		return p.want(ctx, http.StatusOK, http.MethodPatch, "/Users/"+ids[i%len(ids)],
			fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"title %d"}]}`, i))
	}},
	{"list", 80, func(ctx context.Context, p *process, _ []string, _ int) (retort, error) {
		return p.want(ctx, http.StatusOK, http.MethodGet, "/Users?startIndex=1&count=100", "")
	}},
}

// BenchmarkProvisionPeer is the five requests of an identity provider from eight clients, of regain as it is installed, which
// keeps everything durably, and of scimmy-routers over a Map, which keeps nothing: medians of five rounds in which they take
// turns. What the answers do not have that RFC 7644 asks for is logged for scimmy, and a failure for regain.
func BenchmarkProvisionPeer(b *testing.B) {
	peers := []struct {
		name string
		*process
		ids []string
	}{{name: "scimmy", process: newScimmy(b)},
		{name: "sqlite", process: install(b, filepath.Join(b.TempDir(), "regain.db")).serve(b)},
		{name: "postgresql", process: install(b, emptyOn(b, testserver.NewPostgres(b, true), "measured")).serve(b)}}
	for i := range peers {
		p := &peers[i]
		for n := range seeded {
			res, err := fiveRequests[0].do(b.Context(), p.process, nil, n)
			if err != nil {
				b.Fatal(err)
			}
			p.ids = append(p.ids, idOf(b, res))
		}
		for _, fault := range p.faults(b.Context(), p.ids) {
			if p.name == "scimmy" {
				b.Logf("scimmy: %s", fault)
			} else {
				b.Errorf("%s: %s", p.name, fault)
			}
		}
	}
	var serial atomic.Int64
	serial.Store(10 * seeded)
	for i := range fiveRequests {
		request := fiveRequests[(i+1)%len(fiveRequests)] // what makes more users comes last: all are as many until then
		b.Run(request.name+"/c=8", func(b *testing.B) {
			rates := make([][]float64, len(peers))
			var ratios [3][]float64
			for round := range benchRounds + 1 {
				for i, p := range peers {
					rate := storetest.Rate(b, 8, request.each, func(ctx context.Context, _ int) error {
						_, err := request.do(ctx, p.process, p.ids, int(serial.Add(1)))
						return err
					})
					if round > 0 { // the first warms them up
						rates[i] = append(rates[i], rate)
						ratios[i] = append(ratios[i], rate/rates[0][len(rates[0])-1])
					}
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, p := range peers {
				b.ReportMetric(median(rates[i]), p.name+"/s")
				if i > 0 {
					b.ReportMetric(median(ratios[i]), p.name+"-of-scimmy")
				}
			}
		})
	}
}

// faults asks the five requests once and returns what of the answers is not as RFC 7643 and RFC 7644 say.
func (p *process) faults(ctx context.Context, ids []string) (found []string) {
	wrong := func(bad bool, text string, args ...any) {
		if bad {
			found = append(found, fmt.Sprintf(text, args...))
		}
	}
	const fresh = 5 * seeded
	ask := func(i, who int, ids []string) (retort, map[string]any) {
		res, err := fiveRequests[i].do(ctx, p, ids, who)
		wrong(err != nil, "%s: %v", fiveRequests[i].name, err)
		var o map[string]any
		wrong(err == nil && json.Unmarshal(res.body, &o) != nil, "%s: the answer is no JSON", fiveRequests[i].name)
		wrong(err == nil && res.header.Get("Content-Type") != "application/scim+json", "%s: the content type is %s (RFC 7644 §8.1)", fiveRequests[i].name, res.header.Get("Content-Type"))
		return res, o
	}
	meta := func(o map[string]any, name string) string {
		m, _ := o["meta"].(map[string]any)
		s, _ := m[name].(string)
		return s
	}
	var sent map[string]any
	if err := json.Unmarshal([]byte(newcomer(fresh)), &sent); err != nil {
		return []string{err.Error()}
	}
	delete(sent, "schemas")

	res, made := ask(0, fresh, nil)
	wrong(within("", sent, made) != "", "post: the answer is not what was sent: %s", res.body)
	wrong(res.header.Get("Location") == "", "post: no Location (RFC 7644 §3.3)")
	wrong(!strings.HasPrefix(meta(made, "location"), "http"), "post: meta.location is %q, no URL that can be followed (RFC 7643 §3.1)", meta(made, "location"))
	wrong(meta(made, "version") != res.header.Get("ETag"), "post: the ETag is %q, meta.version is %q (RFC 7644 §3.14)", res.header.Get("ETag"), meta(made, "version"))
	id, _ := made["id"].(string)
	again, got := ask(1, 0, []string{id})
	wrong(within("", sent, got) != "", "get: the answer is not what was sent: %s", again.body)
	wrong(!reflect.DeepEqual(made, got), "get: the answer is not the one of the POST")

	_, list := ask(2, 7, nil)
	wrong(list["totalResults"] != 1.0, "filter: %v results, want 1", list["totalResults"])
	wrong(list["itemsPerPage"] != 1.0, "filter: itemsPerPage is %v for one result (RFC 7644 §3.4.2.4)", list["itemsPerPage"])
	_, list = ask(4, 0, nil)
	shown, _ := list["Resources"].([]any)
	wrong(list["totalResults"] != seeded+1.0, "list: %v results, want %d", list["totalResults"], seeded+1)
	wrong(len(shown) != 100, "list: %d shown, want 100", len(shown))

	_, changed := ask(3, 0, []string{id})
	sent["title"] = "title 0"
	wrong(within("", sent, changed) != "", "patch: not the resource with its new title")
	wrong(meta(changed, "version") == meta(made, "version"), "patch: the version is still %q", meta(changed, "version"))
	_, got = ask(1, 0, []string{id})
	wrong(within("", sent, got) != "", "get after patch: not the resource with its new title")
	if gone, err := p.ask(ctx, http.MethodDelete, "/Users/"+id, ""); err != nil || gone.status != http.StatusNoContent {
		wrong(true, "delete: %d, %v", gone.status, err)
	}
	return found
}
