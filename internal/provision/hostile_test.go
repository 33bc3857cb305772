package provision

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
)

// A bulk request is stopped at many places: the clock, which every step asks, takes the client away. Whoever came is there
// with all that was said of them, and the rest may be sent again.
func TestAClientThatGoesAwayInTheMiddleOfABulkLeavesNobodyHalf(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustAll, client.PresetStandard)
		var calls, end atomic.Int64
		var leave context.CancelFunc
		b.conf.Now = func() time.Time {
			if calls.Add(1) == end.Load() {
				leave()
			}
			return b.now
		}
		h, err := New(b.conf)
		if err != nil {
			b.Fatal(err)
		}
		stopped := 0
		for at := int64(1); at <= 60; at += 3 {
			name := fmt.Sprintf("run%d-", at)
			var ops []string
			var members []string
			for i := range 5 {
				id := fmt.Sprintf("u%d", i)
				data := body(fmt.Sprint(name, i), `,"emails":[{"value":"`+fmt.Sprint(name, i)+`@contoso.example","type":"work"}]`, `"recoveryEmail":"`+fmt.Sprint(name, i)+`@mail.example"`)
				ops = append(ops, `{"method":"POST","path":"/Users","bulkId":"`+id+`","data":`+data+`}`)
				members = append(members, `{"value":"bulkId:`+id+`"}`)
			}
			ops = append(ops, `{"method":"POST","path":"/Groups","bulkId":"g","data":{"displayName":"`+name+`group","members":[`+strings.Join(members, ",")+`]}}`)
			all := `{"Operations":[` + strings.Join(ops, ",") + `]}`
			var ctx context.Context
			ctx, leave = context.WithCancel(b.Context())
			calls.Store(0)
			end.Store(at)
			r := httptest.NewRequestWithContext(ctx, "POST", "https://id.example.org/scim/v2/Bulk", strings.NewReader(all))
			r.Header.Set("Authorization", "Bearer "+c.token)
			h.ServeHTTP(httptest.NewRecorder(), r)
			end.Store(0)
			if ctx.Err() != nil {
				stopped++
			}
			leave()
			people := c.want(200, "GET", "/Users?filter="+url.QueryEscape(`userName sw "`+name+`"`), "").list()
			for _, p := range people {
				who := fmt.Sprint(p["userName"])
				ext, _ := p[userURN].(map[string]any)
				if emails, _ := p["emails"].([]any); len(emails) != 1 || ext["recoveryEmail"] != who+"@mail.example" || len(b.ways(fmt.Sprint(p["id"]))) != 1 {
					b.Errorf("stopped at %d: %s is half there: %v", at, who, p)
				}
			}
			groups := c.want(200, "GET", "/Groups?filter="+url.QueryEscape(`displayName eq "`+name+`group"`), "").list()
			for _, g := range groups {
				if in, _ := g["members"].([]any); len(in) != 5 || len(people) != 5 {
					b.Errorf("stopped at %d: %d people and the group %v", at, len(people), g)
				}
			}
			again := c.want(http.StatusOK, "POST", "/Bulk", all)
			if came := strings.Count(again.body, `"status":"201"`) + len(people) + len(groups); came < 5 || strings.Contains(again.body, `"status":"5`) {
				b.Errorf("stopped at %d: sent again: %s", at, again.body)
			}
			if now := c.want(200, "GET", "/Users?filter="+url.QueryEscape(`userName sw "`+name+`"`), "").list(); len(now) != 5 {
				b.Errorf("stopped at %d and sent again: %d people", at, len(now))
			}
		}
		if stopped == 0 {
			b.Error("no request was stopped")
		}
	})
}

// list is what a search found.
func (r reply) list() []map[string]any {
	var out []map[string]any
	found, _ := r.at("Resources").([]any)
	for _, e := range found {
		if o, ok := e.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}
