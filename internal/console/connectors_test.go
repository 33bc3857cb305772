package console

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/session"
)

func (h *house) connectorOf(name string) *client.Connector {
	h.t.Helper()
	c, err := h.db.ConnectorByName(h.t.Context(), name)
	h.must(err)
	return c
}

func connecting(name, provider, life string) url.Values {
	return url.Values{"name": {name}, "provider": {provider}, "life": {life}}
}

func TestAnIdentityProviderIsConnectedAndTheLightTurnsOn(t *testing.T) {
	h := open(t)
	b := h.signIn("rosa", true, "root")
	if list := b.get(PathConnectors).Body.String(); !strings.Contains(list, "workday") || !strings.Contains(list, "No request yet") || !strings.Contains(list, "no secret works") || !strings.Contains(list, `aria-current="page"`) {
		t.Error("the list does not show what is connected already")
	}
	w := b.do("POST", PathConnectors, connecting("entra", "entra", "year"))
	secret := html.UnescapeString(shownSecret.FindStringSubmatch(w.Body.String())[1])
	hash, ok := keyring.HashToken(secret)
	v := h.connectorOf("entra")
	if w.Code != 200 || !ok || !strings.HasPrefix(secret, prefixConnector+"_") || !strings.Contains(w.Body.String(), "https://reset.contoso.example/scim/v2") || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %q", w.Code, secret)
	}
	if v == nil || v.Preset != client.PresetEntra || v.Trust != client.TrustOne || v.Groups || v.Roles || v.Uses != nil || len(v.Tokens) != 1 || string(v.Tokens[0].Hash) != string(hash) || !v.Tokens[0].Expires.Equal(h.clock.Add(365*24*time.Hour)) {
		t.Fatalf("%+v", v)
	}
	if got, err := h.db.ConnectorByToken(t.Context(), hash, h.clock); err != nil || got == nil || got.ID != v.ID {
		t.Errorf("the secret does not work: %v, %v", got, err)
	}

	// The page looks again by itself, without script, until the first request; and not for ever.
	page := b.get(PathConnectors + "/entra")
	if page.Header().Get("Refresh") != "5" || !strings.Contains(page.Body.String(), "Waiting for the first request") || strings.Contains(page.Body.String(), secret) {
		t.Errorf("waiting: %v", page.Header())
	}
	b.do("POST", PathConnectors, connecting("fast", "okta", "year"))
	h.must(h.db.NoteHeard(t.Context(), h.connectorOf("fast").ID, "GET Users", 200, false, h.clock))
	if page := b.get(PathConnectors + "/fast"); page.Header().Get("Refresh") != "" || !strings.Contains(page.Body.String(), ">Connected<") {
		t.Errorf("heard of at once: %v", page.Header())
	}
	h.clock = h.clock.Add(lookFor)
	if page := b.get(PathConnectors + "/entra"); page.Header().Get("Refresh") != "" || !strings.Contains(page.Body.String(), "Look again") {
		t.Errorf("after ten minutes: %v", page.Header())
	}
	h.must(h.db.NoteHeard(t.Context(), v.ID, "GET Users", 200, false, h.clock))
	page = b.get(PathConnectors + "/entra")
	if page.Header().Get("Refresh") != "" || !strings.Contains(page.Body.String(), ">Connected<") || !strings.Contains(page.Body.String(), "Last request") {
		t.Errorf("connected: %v", page.Header())
	}
	if list := b.get(PathConnectors).Body.String(); !strings.Contains(list, ">Connected<") || !strings.Contains(list, "Last request") || !strings.Contains(list, "a secret ends") {
		t.Error("the list does not say that it is connected")
	}
	all := h.changes(v.ID)
	if len(all) != 1 || all[0].Type != event.ConnectorCreated || all[0].Actor != "person:"+h.people["rosa"].ID || strings.Contains(fmt.Sprint(all[0].Data), secret) || all[0].Data["trust"] != "one" {
		t.Errorf("written down: %+v", all)
	}
}

func TestWhatIsNoConnectorIsNotMade(t *testing.T) {
	h := open(t)
	b := h.signIn("rosa", true, "root")
	for what, c := range map[string]struct {
		form url.Values
		code int
		says string
	}{
		"a taken name":        {connecting("workday", "entra", "year"), 422, "There is a connector of that name"},
		"no name":             {connecting("", "entra", "year"), 422, "Enter a name"},
		"a path":              {connecting("../apps", "entra", "year"), 422, "Enter a name"},
		"a preset of nobody":  {connecting("new", "onelogin", "year"), 400, ""},
		"a life of nobody":    {connecting("new", "entra", "century"), 400, ""},
		"nothing":             {url.Values{}, 400, ""},
		"more than may be":    {url.Values{"name": {"new"}, "preset": {"entra"}, "life": {"year"}, "roles": {"yes"}}, 400, ""},
		"trust from the form": {url.Values{"name": {"new"}, "preset": {"entra"}, "life": {"year"}, "trust": {"all"}}, 400, ""},
	} {
		w := b.do("POST", PathConnectors, c.form)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) || shownSecret.MatchString(w.Body.String()) {
			t.Errorf("%s: %d", what, w.Code)
		}
	}
	if all, err := h.db.Connectors(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%d connectors, %v", len(all), err)
	}
	for _, at := range []string{"/none", "/none/rotate", "/none/undo"} {
		verb, form := "GET", url.Values(nil)
		if strings.Contains(at[1:], "/") {
			verb, form = "POST", url.Values{"life": {"year"}, "version": {"1"}}
			if strings.HasSuffix(at, "undo") {
				form = nil
			}
		}
		if w := b.do(verb, PathConnectors+at, form); w.Code != 404 {
			t.Errorf("%s: %d", at, w.Code)
		}
	}
}

func TestASecretOfAConnectorIsRotatedOnceAndWithItsEnd(t *testing.T) {
	h := open(t)
	b := h.signIn("rosa", true, "root")
	b.do("POST", PathConnectors, connecting("entra", "entra", "never"))
	v := h.connectorOf("entra")
	rotate := func(version int64, keep, life string) string {
		t.Helper()
		w := b.do("POST", PathConnectors+"/entra/rotate", url.Values{"version": {strconv.FormatInt(version, 10)}, "keep": {keep}, "life": {life}})
		if got := shownSecret.FindStringSubmatch(w.Body.String()); got != nil {
			return html.UnescapeString(got[1])
		}
		return ""
	}
	second := rotate(v.Version, "day", "quarter")
	now := h.connectorOf("entra")
	if hash, ok := keyring.HashToken(second); !ok || len(now.Tokens) != 2 || string(now.Tokens[1].Hash) != string(hash) || !now.Tokens[0].Expires.Equal(h.clock.Add(keepLife)) || !now.Tokens[1].Expires.Equal(h.clock.Add(90*24*time.Hour)) {
		t.Fatalf("%q, %+v", second, now.Tokens)
	}
	if again := rotate(v.Version, "none", "year"); again != "" || h.connectorOf("entra").Version != now.Version {
		t.Error("a page that is loaded again makes another secret")
	}
	if third := rotate(now.Version, "none", "never"); third == "" || third == second {
		t.Errorf("third: %q", third)
	}
	if now := h.connectorOf("entra"); len(now.Tokens) != 1 || !now.Tokens[0].Expires.IsZero() {
		t.Errorf("with the old ones ended: %+v", now.Tokens)
	}
	for _, e := range h.changes(v.ID) {
		if text := fmt.Sprint(e.Data, e.Private); strings.Contains(text, prefixConnector) {
			t.Errorf("written down: %s", text)
		}
	}
}

func TestConnectingWantsAStepUpOfTheLastMinutesAndAnAdministrator(t *testing.T) {
	h := open(t)
	b := h.signIn("rosa", true, "root")
	b.do("POST", PathConnectors, connecting("entra", "entra", "never"))
	v := h.connectorOf("entra")
	h.clock = h.clock.Add(session.StepUpLife + time.Second)
	for at, form := range map[string]url.Values{
		PathConnectors: connecting("other", "entra", "year"), PathConnectors + "/entra/rotate": {"version": {strconv.FormatInt(v.Version, 10)}, "life": {"year"}}, PathConnectors + "/entra/undo": nil,
	} {
		if w := b.do("POST", at, form); w.Code != 200 || !strings.Contains(w.Body.String(), "/step-up") || shownSecret.MatchString(w.Body.String()) {
			t.Errorf("%s: %d", at, w.Code)
		}
	}
	if now := h.connectorOf("entra"); now.Version != v.Version || h.connectorOf("other") != nil {
		t.Error("changed without a step-up")
	}
	desk := h.signIn("grace", true, "desk")
	if w := desk.get(PathSearch); strings.Contains(w.Body.String(), `href="/console/connectors"`) {
		t.Error("helpdesk sees the room of connectors")
	}
	for at, form := range map[string]url.Values{PathConnectors: connecting("other", "entra", "year"), PathConnectors + "/entra/undo": nil} {
		if w := desk.do("POST", at, form); w.Code == 303 || shownSecret.MatchString(w.Body.String()) || h.connectorOf("other") != nil {
			t.Errorf("helpdesk: %s: %d", at, w.Code)
		}
	}
}

func TestAWaveIsShownAndUndoneByOneButton(t *testing.T) {
	h := open(t)
	b := h.signIn("rosa", true, "root")
	b.do("POST", PathConnectors, connecting("entra", "entra", "never"))
	id := h.connectorOf("entra").ID
	if w := b.do("POST", PathConnectors+"/entra/undo", nil); w.Code != 303 {
		t.Errorf("with nothing to undo: %d", w.Code)
	}
	var people []string
	for i := range 30 {
		p := &account.Person{Connector: id, UserName: fmt.Sprint("p", i), Active: true, Created: h.clock, Updated: h.clock}
		h.must(h.db.CreatePerson(t.Context(), p, nil))
		people = append(people, p.ID)
	}
	for _, p := range people {
		h.must(h.db.DeletePerson(t.Context(), p, id, 0))
	}
	page := b.get(PathConnectors + "/entra").Body.String()
	if !strings.Contains(page, "It took very many people away") || !regexp.MustCompile(`\b30 of them can be brought back`).MatchString(page) {
		t.Error("the wave is not shown")
	}
	if w := b.do("POST", PathConnectors+"/entra/undo", nil); w.Code != 303 || w.Header().Get("Location") != PathConnectors+"/entra" {
		t.Errorf("undo: %d", w.Code)
	}
	if page := b.get(PathConnectors + "/entra").Body.String(); strings.Contains(page, "very many people") {
		t.Error("the wave is still shown")
	}
	if p, err := h.db.Person(t.Context(), people[29]); err != nil || p == nil || !p.Active {
		t.Errorf("%+v, %v", p, err)
	}
	if all := h.changes(id); all[len(all)-1].Type != event.ConnectorUndone || all[len(all)-1].Actor != "person:"+h.people["rosa"].ID {
		t.Errorf("written down: %+v", all)
	}
}

func TestAConnectorIsBentToWithoutANewSecret(t *testing.T) {
	h := open(t)
	b := h.signIn("rosa", true, "root")
	b.do("POST", PathConnectors, connecting("entra", "entra", "never"))
	v := h.connectorOf("entra")
	bend := func(version int64, change ...string) int {
		t.Helper()
		form := url.Values{"version": {strconv.FormatInt(version, 10)}, "preset": {"entra"}, "rule-any-case-ops": {"preset"}, "rule-brief-patch": {"preset"}}
		for i := 0; i < len(change); i += 2 {
			form.Set(change[i], change[i+1])
		}
		return b.do("POST", PathConnectors+"/entra/bend", form).Code
	}
	if code := bend(v.Version, "preset", "strict", "rule-any-case-ops", "on", "rule-brief-patch", "off"); code != 303 {
		t.Fatalf("%d", code)
	}
	now := h.connectorOf("entra")
	if now.Preset != client.PresetStrict || now.SwitchesText() != "any-case-ops=on brief-patch=off" || len(now.Tokens) != 1 || now.Tokens[0].ID != v.Tokens[0].ID || now.Version != v.Version+1 {
		t.Errorf("%+v", now)
	}
	all := h.changes(v.ID)
	if last := all[len(all)-1]; last.Type != event.ConnectorChanged || last.Actor != "person:"+h.people["rosa"].ID || fmt.Sprint(last.Data["switches"]) != "[ any-case-ops=on brief-patch=off]" {
		t.Errorf("written down: %+v", last)
	}
	page := b.get(PathConnectors + "/entra").Body.String()
	if !strings.Contains(page, `<details open><summary>Rule by rule`) || !strings.Contains(page, `value="strict" checked`) || !strings.Contains(page, `<option value="off" selected>`) {
		t.Error("the page does not show how it is")
	}
	// A page that is older than that changes nothing; nor does one that asks for what there is not.
	if bend(v.Version); h.connectorOf("entra").Version != now.Version {
		t.Error("an old page changed it")
	}
	if bend(now.Version, "preset", "strict", "rule-any-case-ops", "on", "rule-brief-patch", "off"); h.connectorOf("entra").Version != now.Version {
		t.Error("the same again is a change")
	}
	for _, wrong := range [][]string{{"preset", "lenient"}, {"preset", ""}, {"rule-brief-patch", "perhaps"}, {"rule-of-nobody", "on"}, {"trust", "all"}} {
		if code := bend(now.Version, wrong...); code != 400 || h.connectorOf("entra").Version != now.Version {
			t.Errorf("%v: %d", wrong, code)
		}
	}
	if code := bend(now.Version); code != 303 || h.connectorOf("entra").SwitchesText() != "" || h.connectorOf("entra").Preset != client.PresetEntra {
		t.Errorf("given back: %d", code)
	}
	h.clock = h.clock.Add(session.StepUpLife + time.Second)
	if code := bend(h.connectorOf("entra").Version, "preset", "strict"); code != 200 || h.connectorOf("entra").Preset != client.PresetEntra {
		t.Errorf("without a step-up: %d", code)
	}
}

func TestWhatFailedAndWhoCameWithoutASecretIsShown(t *testing.T) {
	h := open(t)
	b := h.signIn("rosa", true, "root")
	b.do("POST", PathConnectors, connecting("okta", "okta", "year"))
	id := h.connectorOf("okta").ID
	page := func() string { t.Helper(); return b.get(PathConnectors + "/okta?with=okta").Body.String() }
	if got := page(); !strings.Contains(got, "<details open><summary>Okta") || strings.Contains(got, "<details open><summary>Microsoft") {
		t.Error("the steps that were chosen are not open")
	}
	if got := b.get(PathConnectors + `/okta?with="><script>`).Body.String(); strings.Contains(got, "script>") && strings.Contains(got, `"><script>`) {
		t.Error("what stands in the address comes into the page")
	}
	h.must(h.db.NoteHeard(t.Context(), "", "mistyped", 401, true, h.clock))
	if got := page(); !strings.Contains(got, "cut off or changed on its way") {
		t.Error("a secret that was cut is not told of")
	}
	h.must(h.db.NoteHeard(t.Context(), id, "GET Users", 401, true, h.clock))
	if got := page(); !strings.Contains(got, "GET Users was answered with 401") || !strings.Contains(got, "It was not let in") || !strings.Contains(b.get(PathConnectors).Body.String(), "The last request failed") {
		t.Error("a refusal is not told of")
	}
	h.clock = h.clock.Add(time.Minute)
	h.must(h.db.NoteHeard(t.Context(), id, "POST Users", 201, false, h.clock))
	if got := page(); !strings.Contains(got, ">Connected<") || strings.Contains(got, "cut off") || !strings.Contains(got, "The last one that failed: GET Users") || strings.Contains(got, "<details open>") {
		t.Error("once it is connected the page says so, and what failed before")
	}
	h.clock = h.clock.Add(quietAfter)
	b = h.signIn("rosa", true, "root")
	if got := page(); !strings.Contains(got, "Quiet for more than a day") {
		t.Error("a quiet one is not told of")
	}
}
