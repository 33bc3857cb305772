package app

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// listener is a receiver of the guide: what it has learned so far stands in names.
type listener struct {
	*world
	names map[string]string // {token} → what it stands for
	sets  map[string]any    // payloads it fetched, by type of event
}

func (r *listener) fill(text string) string {
	for name, value := range r.names {
		text = strings.ReplaceAll(text, name, value)
	}
	return strings.ReplaceAll(text, "https://account.example.org", r.base)
}

// send makes the request of a block as it stands there, and returns the JSON of the answer.
func (r *listener) send(t *testing.T, text string) (answer any) {
	t.Helper()
	head, body, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n\n")
	lines := strings.Split(head, "\n")
	verb, path, _ := strings.Cut(lines[0], " ")
	req, err := http.NewRequestWithContext(t.Context(), verb, r.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("%q is no header", line)
		}
		req.Header.Add(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("%s: %d %s, %v", lines[0], res.StatusCode, raw, err)
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			t.Fatal(err)
		}
	}
	return answer
}

// expand hands what happened to the streams that hear of it, and pushes nothing: the addresses of a guide are nobody's.
func (r *listener) expand(t *testing.T) {
	t.Helper()
	handle := r.srv.Signal.Handlers()["signal"]
	rows, err := r.srv.Store.Claim(t.Context(), r.now(), "guide", []string{"signal"}, 20, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		err := handle(t.Context(), event.Item{ID: row.ID, Event: row.Event, Kind: row.Kind, Ref: row.Ref, NotAfter: row.NotAfter, Lease: row})
		var children event.Expanded
		switch {
		case errors.As(err, &children):
			var all []store.Work
			for _, c := range children {
				all = append(all, store.Work{Event: row.Event, Kind: c.Kind, Ref: c.Ref, NotBefore: row.NotBefore, NotAfter: row.NotAfter})
			}
			err = r.srv.Store.Expand(t.Context(), row, all)
		case err == nil:
			err = r.srv.Store.Done(t.Context(), row)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// fetch polls until nothing is left, and keeps what came.
func (r *listener) fetch(t *testing.T) {
	t.Helper()
	ack := []string{}
	for {
		body, err := json.Marshal(map[string]any{"returnImmediately": true, "ack": ack})
		if err != nil {
			t.Fatal(err)
		}
		answer := r.send(t, r.fill("POST /ssf/poll/{stream}\nAuthorization: Bearer {token}\nContent-Type: application/json\n\n")+string(body)).(map[string]any)
		sets := answer["sets"].(map[string]any)
		if len(sets) == 0 {
			return
		}
		ack = slices.Collect(maps.Keys(sets))
		for _, jws := range sets {
			parts := strings.Split(jws.(string), ".")
			payload, err := base64.RawURLEncoding.DecodeString(parts[1])
			var set map[string]any
			if err == nil {
				err = json.Unmarshal(payload, &set)
			}
			if err != nil {
				t.Fatal(err)
			}
			for name := range set["events"].(map[string]any) {
				r.sets[name] = set
			}
		}
	}
}

// shape is a value with every moment and every new name made the same, so that two of a kind are equal.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			out[name] = shape(value)
			if name == "jti" || name == "txn" {
				out[name] = "…"
			}
		}
		return out
	case float64:
		return "a number"
	}
	return v
}

func TestTheRequestsOfTheGuideToSecurityEventsWorkInOrder(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			r := &listener{world: newWorld(t, scene{kind: kind, noWork: true}), names: map[string]string{}, sets: map[string]any{}}
			secret, hash := keyring.NewToken("rgn_receiver")
			if err := r.srv.Store.CreateReceiver(t.Context(), &client.Receiver{Key: "crm", Name: "CRM", Kind: client.ReceiverSSF, Format: client.FormatIssSub, Audience: "https://crm.example.org",
				Hosts: []string{"events.crm.example.org"}, Secrets: []client.Token{{Hash: hash, Created: r.now()}}, Created: r.now(), Updated: r.now()}); err != nil {
				t.Fatal(err)
			}
			r.names["{client_id:client_secret}"] = base64.StdEncoding.EncodeToString([]byte("crm:" + secret))
			ada := r.add("ada", method.Email)
			if _, err := r.srv.Store.Arrive(t.Context(), ada.ID, &session.Binding{IDP: "corp", Key: "ada", Issuer: "https://login.example.org", Subject: "ada-4711", Person: ada.ID, Made: r.now()}, "",
				func(*account.Person) (*session.Session, []event.Event, error) { return nil, nil, nil }); err != nil {
				t.Fatal(err)
			}
			_, blocks := guide(t, "ssf.md", "http ssf", "http token", "json answer", "json event")
			var last any
			happened, compared := false, 0
			for _, b := range blocks {
				switch b.info {
				case "json answer", "json event":
					var want any
					if err := json.Unmarshal([]byte(r.fill(b.text)), &want); err != nil {
						t.Fatalf("ssf.md:%d: %v", b.line, err)
					}
					if b.info == "json answer" {
						if said := within("", want, last); said != "" {
							t.Errorf("ssf.md:%d: %s\nin %v", b.line, said, last)
						}
						continue
					}
					if !happened {
						happened = true
						r.change(ada, func(p *account.Person, _ *[]method.Method) []event.Event {
							return []event.Event{event.New(r.now(), event.PasswordReset, "person:"+p.ID, p.ID, newID(), event.Success).With("action", "reset")}
						})
						r.expand(t)
						r.fetch(t)
					}
					for name := range want.(map[string]any)["events"].(map[string]any) {
						compared++
						if got := r.sets[name]; fmt.Sprint(shape(got)) != fmt.Sprint(shape(want)) {
							t.Errorf("ssf.md:%d: got %v", b.line, got)
						}
					}
				default:
					last = r.send(t, r.fill(b.text))
					answer, _ := last.(map[string]any)
					if token, ok := answer["access_token"].(string); ok {
						r.names["{token}"] = token
					}
					if stream, ok := answer["stream_id"].(string); ok {
						r.names["{stream}"] = stream
					}
				}
			}
			if compared != 3 {
				t.Errorf("%d events of the guide were compared", compared)
			}
		})
	}
}

// The guide says which of our events means what; a stream is asked.
func TestTheTableOfTheGuideSaysWhatIsHeard(t *testing.T) {
	text, _ := guide(t, "ssf.md")
	rows := regexp.MustCompile("(?m)^\\| ((?:`[a-z]+\\.[a-z]+`)) \\| (.*?) \\|").FindAllStringSubmatch(text, -1)
	if len(rows) != 8 {
		t.Fatalf("%d rows", len(rows))
	}
	r := &listener{world: newWorld(t, scene{noWork: true}), names: map[string]string{}, sets: map[string]any{}}
	secret, hash := keyring.NewToken("rgn_receiver")
	if err := r.srv.Store.CreateReceiver(t.Context(), &client.Receiver{Key: "crm", Name: "CRM", Kind: client.ReceiverSSF, Format: client.FormatOpaque, Audience: "https://crm.example.org",
		Secrets: []client.Token{{Hash: hash, Created: r.now()}}, Created: r.now(), Updated: r.now()}); err != nil {
		t.Fatal(err)
	}
	answer := r.send(t, "POST /oauth2/token\nAuthorization: Basic "+base64.StdEncoding.EncodeToString([]byte("crm:"+secret))+"\nContent-Type: application/x-www-form-urlencoded\n\ngrant_type=client_credentials")
	r.names["{token}"] = answer.(map[string]any)["access_token"].(string)
	made := r.send(t, r.fill("POST /ssf/streams\nAuthorization: Bearer {token}\nContent-Type: application/json\n\n{}")).(map[string]any)
	r.names["{stream}"] = made["stream_id"].(string)
	supported := map[string]bool{}
	for _, u := range made["events_supported"].([]any) {
		supported[u.(string)] = true
	}
	ada := r.add("ada")
	for _, row := range rows {
		r.change(ada, func(p *account.Person, _ *[]method.Method) []event.Event {
			return []event.Event{event.New(r.now(), event.Type(strings.Trim(row[1], "`")), "person:"+p.ID, p.ID, newID(), event.Success).With("action", "reset").With("kind", "sms")}
		})
		r.sets = map[string]any{}
		r.expand(t)
		r.fetch(t)
		var got []string
		for u := range r.sets {
			got = append(got, "`"+u[strings.LastIndex(u, "/")+1:]+"`")
			delete(supported, u)
		}
		slices.Sort(got)
		want := strings.Split(row[2], ", ")
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, the guide says %v", row[1], got, want)
		}
	}
	if len(supported) > 0 {
		t.Errorf("no row says when these are sent: %v", supported)
	}
}
