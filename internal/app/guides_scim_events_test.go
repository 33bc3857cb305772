package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/store/storetest"
)

// accepted compares the head of an answer with what a guide shows of it: "…" stands for any text.
func accepted(t *testing.T, line int, text string, res *http.Response) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if want := res.Proto + " " + res.Status; lines[0] != want {
		t.Errorf("scim-events.md:%d: got %s", line, want)
	}
	for _, l := range lines[1:] {
		name, want, _ := strings.Cut(l, ": ")
		if got := res.Header.Get(name); got == "" || want != "…" && got != want {
			t.Errorf("scim-events.md:%d: %s: got %q", line, name, got)
		}
	}
}

func TestTheRequestsOfTheGuideToEventsOfSCIMAreAnsweredAsItSays(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			f := newFollower(t, kind)
			_, blocks := guide(t, "scim-events.md", "http token", "http ssf", "http later", "http accepted", "json event")
			var last *http.Response
			compared := 0
			for _, b := range blocks {
				switch b.info {
				case "http later":
					head, body, _ := strings.Cut(f.fill(b.text), "\n\n")
					lines := strings.Split(head, "\n")
					verb, path, _ := strings.Cut(lines[0], " ")
					r, err := http.NewRequestWithContext(t.Context(), verb, f.base+path, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					for _, line := range lines[1:] {
						name, value, _ := strings.Cut(line, ": ")
						r.Header.Set(name, value)
					}
					if last, err = http.DefaultClient.Do(r); err != nil {
						t.Fatal(err)
					}
					last.Body.Close()
				case "http accepted":
					accepted(t, b.line, b.text, last)
					f.settle(t)
					f.fetch(t)
					_, _, found := f.ask(t, "GET", `/Users?filter=userName+eq+"ada@example.org"`, "", false)
					f.names["{ada}"] = found["Resources"].([]any)[0].(map[string]any)["id"].(string)
				case "json event":
					var want map[string]any
					if err := json.Unmarshal([]byte(f.fill(b.text)), &want); err != nil {
						t.Fatalf("scim-events.md:%d: %v", b.line, err)
					}
					for name := range want["events"].(map[string]any) {
						compared++
						got, _ := f.sets[name].(map[string]any)
						if got["txn"] != last.Header.Get("Set-Txn") || fmt.Sprint(shape(got)) != fmt.Sprint(shape(want)) {
							t.Errorf("scim-events.md:%d: got %v", b.line, got)
						}
					}
				default:
					answer := f.send(t, f.fill(b.text)).(map[string]any)
					if token, ok := answer["access_token"].(string); ok {
						f.names["{token}"] = token
					}
					if stream, ok := answer["stream_id"].(string); ok {
						f.names["{stream}"] = stream
						if got := answer["events_delivered"].([]any); len(got) != len(client.Feeds()) {
							t.Errorf("delivered: %v", got)
						}
					}
				}
			}
			if compared != 2 {
				t.Errorf("%d events of the guide were compared", compared)
			}
		})
	}
}

func TestTheGuideToEventsOfSCIMNamesThemAll(t *testing.T) {
	text, _ := guide(t, "scim-events.md")
	_, table, _ := strings.Cut(text, "| name | is sent when")
	table, _, _ = strings.Cut(table, "\n\n")
	var got []string
	for _, m := range regexp.MustCompile("`([a-z]+:[a-z:]+)`").FindAllStringSubmatch(table, -1) {
		got = append(got, m[1])
	}
	want := client.Feeds()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the guide names %v, and there are %v", got, want)
	}
}
