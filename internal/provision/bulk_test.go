package provision

import (
	"fmt"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
)

func TestAPersonTheirWaysAndTheirGroupComeInOneRequest(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustAll, client.PresetStandard)
		post := func(path, id, data string) string {
			return `{"method":"POST","path":"` + path + `","bulkId":"` + id + `","data":` + data + `}`
		}
		r := c.want(200, "POST", "/Bulk", `{"Operations":[`+strings.Join([]string{
			post("/AuthenticationMethods", "m", wayBody("bulkId:u", "email", `,"email":{"address":"ada@mail.example"}`)),
			post("/AuthenticationMethods", "t", wayBody("bulkId:u", "totp", `,"totp":{"secret":"`+seedText+`"}`)),
			post("/Groups", "g", `{"displayName":"Staff","members":[{"value":"bulkId:u"},{"value":"bulkId:h"}]}`),
			post("/Groups", "h", `{"displayName":"Everybody","members":[{"value":"bulkId:g"}]}`),
			post("/Users", "u", body("ada", "", "")),
			post("/Users", "v", body("ADA", "", "")),
		}, ",")+`]}`)
		var states []string
		var user, group string
		for _, op := range r.at("Operations").([]any) {
			op := op.(map[string]any)
			states = append(states, fmt.Sprint(op["status"]))
			location := fmt.Sprint(op["location"])
			switch op["bulkId"] {
			case "u":
				user = location[strings.LastIndexByte(location, '/')+1:]
			case "g":
				group = location[strings.LastIndexByte(location, '/')+1:]
			}
		}
		if got := strings.Join(states, " "); got != "201 201 201 201 201 409" {
			b.Fatalf("states %s: %s", got, r.body)
		}
		if strings.Contains(r.body, seedText) {
			b.Error("the seed came back")
		}
		kinds := map[method.Kind]bool{}
		all, err := b.store.Methods(b.Context(), user)
		for _, m := range all {
			kinds[m.Kind] = true
		}
		if err != nil || len(all) != 2 || !kinds[method.Email] || !kinds[method.TOTP] {
			b.Errorf("methods %+v, %v", all, err)
		}
		if got := c.want(200, "GET", "/Groups/"+group, ""); !strings.Contains(got.body, user) || strings.Contains(got.body, "bulkId") {
			b.Errorf("members: %s", got.body)
		}
		other := b.connector("other", client.TrustAll, client.PresetStandard)
		r = other.want(200, "POST", "/Bulk", `{"Operations":[{"method":"DELETE","path":"/Users/`+user+`"},`+post("/Groups", "g", `{"displayName":"Theirs","members":[{"value":"`+user+`"}]}`)+`]}`)
		if strings.Contains(r.body, `"status":"201"`) || strings.Contains(r.body, `"status":"204"`) {
			b.Errorf("another connector's person was touched: %s", r.body)
		}
	})
}
