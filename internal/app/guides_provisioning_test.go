package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// within says where an answer lacks what the guide shows of it: objects may have more keys, lists may not have more
// elements, "…" stands for any text.
func within(path string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s: got %v, want an object", path, got)
		}
		for key, value := range want {
			if said := within(path+"/"+key, value, object[key]); said != "" {
				return said
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s: got %v, want %d elements", path, got, len(want))
		}
		for i := range want {
			if said := within(fmt.Sprint(path, "/", i), want[i], list[i]); said != "" {
				return said
			}
		}
	case string:
		text, ok := got.(string)
		if want == "…" && ok && text != "" {
			return ""
		}
		if text != want || !ok {
			return fmt.Sprintf("%s: got %v, want %q", path, got, want)
		}
	default:
		if want != got {
			return fmt.Sprintf("%s: got %v, want %v", path, got, want)
		}
	}
	return ""
}

// replays sends the requests of a guide as a connector, holds each answer to what the guide shows of it, and returns the ids of
// what was made by the names the guide has for them.
func (w *world) replays(token, page string) map[string]string {
	t, ok := w.t.(*testing.T)
	if !ok {
		panic("a guide is replayed by a test")
	}
	t.Helper()
	_, blocks := guide(t, page, "http scim", "json answer")
	ids := map[string]string{}
	fill := func(text string) string {
		for name, id := range ids {
			text = strings.ReplaceAll(text, name, id)
		}
		return text
	}
	var last any
	for _, b := range blocks {
		if b.info == "json answer" {
			var want any
			if err := json.Unmarshal([]byte(fill(b.text)), &want); err != nil {
				t.Fatalf("%s:%d: %v", page, b.line, err)
			}
			if said := within("", want, last); said != "" {
				t.Errorf("%s:%d: %s\nin %v", page, b.line, said, last)
			}
			continue
		}
		head, body, _ := strings.Cut(fill(b.text), "\n\n")
		line, _, _ := strings.Cut(head, "\n")
		verb, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		r, err := http.NewRequestWithContext(t.Context(), verb, w.base+strings.ReplaceAll(path, " ", "%20"), bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatalf("%s:%d: %v", page, b.line, err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		if body != "" {
			r.Header.Set("Content-Type", "application/scim+json")
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode/100 != 2 {
			t.Fatalf("%s:%d: %s %s: %d %s, %v", page, b.line, verb, path, res.StatusCode, text, err)
		}
		last = nil
		if len(text) > 0 {
			if err := json.Unmarshal(text, &last); err != nil {
				t.Fatal(err)
			}
		}
		if made, ok := last.(map[string]any); ok && verb == http.MethodPost {
			name := map[string]string{"/scim/v2/Users": "{ada}", "/scim/v2/AuthenticationMethods": "{method}", "/scim/v2/Groups": "{group}"}[path]
			ids[name], _ = made["id"].(string)
		}
	}
	return ids
}

func TestTheRequestsOfTheGuideToProvisioningAreAnsweredAsItSays(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, scene{kind: kind, policy: "rules: [{name: everyone}]", noWork: true})
			token := w.connector("hr", client.TrustOne)
			ids := w.replays(token, "provisioning.md")
			if len(ids) != 3 {
				t.Errorf("the guide makes %v", ids)
			}
		})
	}
}

// connected are the guides to identity providers that provision, with the preset each of them has its connector made with.
var connected = map[string]client.Preset{"scim-entra.md": client.PresetEntra, "scim-okta.md": client.PresetStandard, "scim-authentik.md": client.PresetStandard, "scim-keycloak.md": client.PresetStandard}

func TestTheRequestsOfTheGuidesToIdentityProvidersAreAnsweredAsTheySay(t *testing.T) {
	for page, preset := range connected {
		text, _ := guide(t, page)
		if !strings.Contains(text, "regain connector create --preset "+string(preset)+" ") {
			t.Errorf("%s does not make its connector with %s", page, preset)
		}
		if _, first, _ := strings.Cut(text, "\n\n"); !strings.HasPrefix(first, "*From vendor documentation") || !strings.Contains(text, "never run against a live one") {
			t.Errorf("%s does not begin with what it was tried against", page)
		}
		for _, kind := range storetest.Kinds {
			t.Run(page+" "+string(kind), func(t *testing.T) {
				w := newWorld(t, scene{kind: kind, policy: "rules: [{name: everyone}]", noWork: true})
				token := w.connector("idp", client.TrustOne)
				a := &Admin{Store: w.srv.Store.Store, ring: w.setup.Ring, actor: "cli:test", now: w.now}
				if err := a.ChangeConnector(t.Context(), "idp", ConnectorSettings{Preset: string(preset)}); err != nil {
					t.Fatal(err)
				}
				if ids := w.replays(token, page); ids["{ada}"] == "" || ids["{group}"] == "" {
					t.Errorf("the guide makes %v", ids)
				}
			})
		}
	}
}

// Attributes that a guide names as ours are there, and are written as SCIM has them.
func TestTheGuidesToIdentityProvidersNameAttributesThatThereAre(t *testing.T) {
	w := newWorld(t, scene{policy: "rules: [{name: everyone}]", noWork: true})
	token := w.connector("idp", client.TrustOne)
	const urn = "urn:ietf:params:scim:schemas:extension:regain:2.0:User"
	status, schema := w.scim(token, "GET", "/Schemas/"+urn, nil)
	if status != 200 {
		t.Fatalf("%d %v", status, schema)
	}
	for page := range connected {
		text, _ := guide(t, page)
		for _, m := range regexp.MustCompile(`extension:regain:2\.0:User:([A-Za-z]+)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(fmt.Sprint(schema["attributes"]), "name:"+m[1]+" ") {
				t.Errorf("%s names %s, which there is not", page, m[1])
			}
		}
		if rest := strings.ReplaceAll(text, urn, ""); strings.Contains(rest, "extension:regain") {
			t.Errorf("%s names our extension in another way", page)
		}
	}
}

// told is what the guide quotes under a heading, line by line.
func told(t *testing.T, name, heading string) (quotes []string) {
	t.Helper()
	text, _ := guide(t, name)
	_, part, ok := strings.Cut(text, "\n### "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no part %q", name, heading)
	}
	part, _, _ = strings.Cut(part, "\n#")
	for _, m := range regexp.MustCompile(`(?m)^> (.*)$`).FindAllStringSubmatch(part, -1) {
		quotes = append(quotes, m[1])
	}
	return quotes
}

func TestAPersonSeesOfTrustWhatTheGuideSays(t *testing.T) {
	for _, trust := range []client.Trust{client.TrustNone, client.TrustOne, client.TrustAll} {
		t.Run(string(trust), func(t *testing.T) {
			// Holds are off, so that trust alone is seen.
			w := newWorld(t, scene{kind: store.SQLite, slapd: true})
			ada, _ := w.provisioned("ada", trust)
			v := w.visitor()
			v.post("/reset", "login", ada.Login).want(t, 200, "/choose")
			v.post("/choose", "way", "email").want(t, 200, "/code")
			seen := ""
			if trust == client.TrustNone {
				eventually(t, "an honest letter", func() bool { return len(w.mail.Letters(ada.Email)) > 0 || len(w.mail.Letters(ada.Login)) > 0 })
				for _, l := range slices.Concat(w.mail.Letters(ada.Email), w.mail.Letters(ada.Login)) {
					seen += l.Text
				}
			} else {
				seen = v.post("/code", "code", w.mailCode(ada.Email, 1)).Text
			}
			quotes := told(t, "provisioning.md", "`--trust "+string(trust)+"`")
			if len(quotes) == 0 {
				t.Error("the guide quotes nothing")
			}
			for _, q := range quotes {
				if !strings.Contains(strings.Join(strings.Fields(seen), " "), q) {
					t.Errorf("nobody tells the person %q; they see\n%s", q, seen)
				}
			}
		})
	}
}
