package console

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/session"
)

// clients registers two apps, by secret and by link only, and two receivers, of webhooks and of signals.
func (h *house) clients() {
	h.t.Helper()
	_, hash := keyring.NewToken(prefixApp)
	portal := &client.App{Key: "hr-portal", Name: "HR Portal", Redirects: []string{"https://hr.contoso.example/callback"}, Returns: []string{"https://hr.contoso.example/"}, Auth: client.AuthSecret,
		Actions: []client.Action{client.ActionReset, client.ActionUnlock}, Secrets: []client.Token{{Hash: hash, Created: h.clock}}, Alg: "ES256", Subject: client.Pairwise, Sector: "hr.contoso.example", Created: h.clock, Updated: h.clock}
	h.must(h.db.CreateApp(h.t.Context(), portal))
	h.must(h.db.CreateApp(h.t.Context(), &client.App{Key: "intranet", Name: "Intranet", Returns: []string{"https://intranet.contoso.example/"}, Created: h.clock, Updated: h.clock}))
	h.must(h.db.CreateReceiver(h.t.Context(), &client.Receiver{Key: "tickets", Name: "Ticket system", Kind: client.ReceiverWebhook, Format: client.FormatOpaque, URL: "https://hooks.contoso.example/in/T0K3N?key=s3cret",
		Sign: []client.SignSecret{{Secret: []byte("the first secret of the webhooks"), Created: h.clock}}, Created: h.clock, Updated: h.clock}))
	h.must(h.db.CreateReceiver(h.t.Context(), &client.Receiver{Key: "entra", Name: "Entra ID", Kind: client.ReceiverSSF, Format: client.FormatEmail, Audience: "https://events.contoso.example/",
		Hosts: []string{"events.contoso.example"}, Secrets: []client.Token{{Hash: hash, Created: h.clock}}, Created: h.clock, Updated: h.clock}))
}

func (h *house) appOf(key string) *client.App {
	h.t.Helper()
	a, err := h.db.Store.App(h.t.Context(), key)
	h.must(err)
	return a
}

func (h *house) receiverOf(key string) *client.Receiver {
	h.t.Helper()
	r, err := h.db.Store.Receiver(h.t.Context(), key)
	h.must(err)
	return r
}

// changes are the events about an app or a receiver.
func (h *house) changes(id string) []event.Event {
	h.t.Helper()
	all, err := h.db.EventsIn(h.t.Context(), id)
	h.must(err)
	return all
}

var shownSecret = regexp.MustCompile(`<output class="secret" id="secret"[^>]*>([^<]*)</output>`)

// rotate asks for another secret as the page does and returns what is shown; "" when nothing is.
func (b *surfer) rotate(at, keep string) (secret string, version string, w *httptest.ResponseRecorder) {
	b.t.Helper()
	m := regexp.MustCompile(`name="version" value="(\d+)"`).FindStringSubmatch(b.get(at).Body.String())
	if m == nil {
		b.t.Fatalf("%s: no form", at)
	}
	w = b.do("POST", at+"/rotate", url.Values{"version": {m[1]}, "keep": {keep}})
	if got := shownSecret.FindStringSubmatch(w.Body.String()); got != nil {
		secret = html.UnescapeString(got[1])
	}
	return secret, m[1], w
}

func TestAppsAreListedWithWhatTheyMayAskForAndHow(t *testing.T) {
	h := open(t)
	h.clients()
	b := h.signIn("rosa", true, "root")
	list := b.get(PathApps).Body.String()
	for _, want := range []string{"HR Portal", "hr-portal", "reset, unlocking", "A secret", "Intranet", "Plain link only", `aria-current="page"`} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q", want)
		}
	}
	page := b.get(PathApps + "/hr-portal").Body.String()
	for _, want := range []string{"https://hr.contoso.example/callback", "https://hr.contoso.example/", "A name for this app alone", "ES256", "Works"} {
		if !strings.Contains(page, want) {
			t.Errorf("the app lacks %q", want)
		}
	}
	if link := b.get(PathApps + "/intranet").Body.String(); strings.Contains(link, "/rotate") || !strings.Contains(link, "https://intranet.contoso.example/") {
		t.Error("an app that does not ask has a secret")
	}
	for _, key := range []string{"none", "HR-PORTAL", "%00", strings.Repeat("a", 300)} {
		for _, root := range []string{PathApps, PathReceivers} {
			if w := b.get(root + "/" + key); w.Code != 404 && w.Code != 400 {
				t.Errorf("%s/%s: %d", root, key, w.Code)
			}
		}
	}
	for _, at := range []string{PathApps + "/none/disable", PathApps + "/none/rotate", PathReceivers + "/none/enable", PathReceivers + "/none/rotate", PathReceivers + "/none/test"} {
		if w := b.do("POST", at, nil); w.Code != 404 {
			t.Errorf("%s: %d", at, w.Code)
		}
	}
}

func TestAnAppIsDisabledAndEnabledOnceByWhoeverDidIt(t *testing.T) {
	h := open(t)
	h.clients()
	b, id := h.signIn("rosa", true, "root"), h.appOf("hr-portal").ID
	for _, c := range []struct {
		do       string
		disabled bool
		says     string
	}{{"disable", true, "Enable this app"}, {"disable", true, "Enable this app"}, {"enable", false, "Disable this app"}, {"enable", false, "Disable this app"}} {
		h.clock = h.clock.Add(time.Second)
		w := b.do("POST", PathApps+"/hr-portal/"+c.do, nil)
		if w.Code != 303 || w.Header().Get("Location") != PathApps+"/hr-portal" || h.appOf("hr-portal").Disabled != c.disabled {
			t.Fatalf("%s: %d to %q, disabled %v", c.do, w.Code, w.Header().Get("Location"), h.appOf("hr-portal").Disabled)
		}
		if !strings.Contains(b.get(PathApps+"/hr-portal").Body.String(), c.says) {
			t.Errorf("after %s the page does not offer %q", c.do, c.says)
		}
	}
	var said []string
	for _, e := range h.changes(id) {
		said = append(said, fmt.Sprint(e.Type, " ", e.Actor == "person:"+h.people["rosa"].ID, " ", e.Data["key"], " ", e.Data["disabled"]))
	}
	if got := strings.Join(said, "; "); got != "app.changed true hr-portal [false true]; app.changed true hr-portal [true false]" {
		t.Errorf("written down: %s", got)
	}
}

func TestANewSecretOfAnAppIsShownOnceAndTheOldOneEndsWhenItWasSaid(t *testing.T) {
	h := open(t)
	h.clients()
	b := h.signIn("rosa", true, "root")
	old := h.appOf("hr-portal").Secrets[0]
	secret, version, w := b.rotate(PathApps+"/hr-portal", "day")
	hash, ok := keyring.HashToken(secret)
	a := h.appOf("hr-portal")
	if w.Code != 200 || !ok || !strings.HasPrefix(secret, prefixApp+"_") || len(a.Secrets) != 2 || string(a.Secrets[1].Hash) != string(hash) || !a.Secrets[1].Expires.IsZero() {
		t.Fatalf("%d, %q, %+v", w.Code, secret, a.Secrets)
	}
	if string(a.Secrets[0].Hash) != string(old.Hash) || !a.Secrets[0].Expires.Equal(h.clock.Add(keepLife)) {
		t.Errorf("the old one ends %v", a.Secrets[0].Expires)
	}
	if w.Header().Get("Cache-Control") != "no-store" || len(w.Result().Cookies()) > 0 {
		t.Errorf("the page with the secret is kept: %v", w.Header())
	}
	// A page that is loaded again sends the same post: it must not end the secret that was just shown.
	w = b.do("POST", PathApps+"/hr-portal/rotate", url.Values{"version": {version}, "keep": {"none"}})
	if now := h.appOf("hr-portal"); w.Code != 303 || now.Version != a.Version || len(now.Secrets) != 2 || strings.Contains(w.Body.String(), prefixApp) {
		t.Errorf("again: %d, %+v", w.Code, now.Secrets)
	}
	page := b.get(PathApps + "/hr-portal").Body.String()
	if strings.Contains(page, secret) || strings.Contains(page, prefixApp) || !strings.Contains(page, "Works until") {
		t.Error("the page afterwards shows the secret, or not when the old one ends")
	}
	other, _, _ := b.rotate(PathApps+"/hr-portal", "none")
	now := h.appOf("hr-portal")
	if hash, ok := keyring.HashToken(other); !ok || len(now.Secrets) != 1 || string(now.Secrets[0].Hash) != string(hash) {
		t.Errorf("with the old ones ended: %q, %+v", other, now.Secrets)
	}
	for _, e := range h.changes(a.ID) {
		if text := fmt.Sprint(e.Data, e.Private); strings.Contains(text, secret) || strings.Contains(text, other) || strings.Contains(text, prefixApp) || e.Data["secret"] != "rotated" || e.Actor != "person:"+h.people["rosa"].ID {
			t.Errorf("written down: %+v", e)
		}
	}
	if n := len(h.changes(a.ID)); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	for what, form := range map[string]url.Values{"no number": {"version": {"x"}}, "another end": {"version": {"1"}, "keep": {"year"}}, "a field more": {"version": {"1"}, "secret": {"x"}}} {
		if w := b.do("POST", PathApps+"/hr-portal/rotate", form); w.Code != 400 && w.Code != 422 {
			t.Errorf("%s: %d", what, w.Code)
		}
	}
	if w := b.do("POST", PathApps+"/intranet/rotate", url.Values{"version": {strconv.FormatInt(h.appOf("intranet").Version, 10)}}); w.Code != 303 || len(h.appOf("intranet").Secrets) > 0 {
		t.Errorf("an app that does not ask got a secret: %d", w.Code)
	}
}

func TestAChangeWantsAStepUpOfTheLastMinutes(t *testing.T) {
	h := open(t)
	h.clients()
	b := h.signIn("rosa", true, "root")
	h.clock = h.clock.Add(session.StepUpLife + time.Second)
	for at, version := range map[string]int64{
		PathApps + "/hr-portal/disable": 0, PathApps + "/hr-portal/rotate": h.appOf("hr-portal").Version, PathReceivers + "/tickets/disable": 0,
		PathReceivers + "/tickets/rotate": h.receiverOf("tickets").Version, PathReceivers + "/entra/rotate": h.receiverOf("entra").Version,
	} {
		form := url.Values{}
		if version > 0 {
			form.Set("version", strconv.FormatInt(version, 10))
		}
		w := b.do("POST", at, form)
		if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, "/step-up") || shownSecret.MatchString(body) {
			t.Errorf("%s: %d", at, w.Code)
		}
	}
	if a, r, e := h.appOf("hr-portal"), h.receiverOf("tickets"), h.receiverOf("entra"); a.Version != 1 || r.Version != 1 || e.Version != 1 || a.Disabled || r.Disabled {
		t.Errorf("changed without a step-up: %+v, %+v, %+v", a, r, e)
	}
	if w := b.get(PathApps + "/hr-portal"); w.Code != 200 {
		t.Errorf("looking wants no step-up of the last minutes: %d", w.Code)
	}
}

func TestHowOftenOneMayChangeAndTestIsCounted(t *testing.T) {
	h := open(t)
	h.clients()
	b := h.signIn("rosa", true, "root")
	for i := range maxChanges {
		at := []string{PathApps + "/hr-portal/enable", PathReceivers + "/tickets/enable", PathApps + "/none/enable"}[i%3] // whatever comes of it
		if w := b.do("POST", at, nil); w.Code == 429 {
			t.Fatalf("change %d was refused", i+1)
		}
	}
	for range maxTests {
		if w := b.do("POST", PathReceivers+"/tickets/test", nil); w.Code != 303 {
			t.Fatalf("a test: %d", w.Code)
		}
	}
	for _, at := range []string{PathApps + "/hr-portal/disable", PathReceivers + "/tickets/disable", PathReceivers + "/tickets/test"} {
		if w := b.do("POST", at, nil); w.Code != 429 {
			t.Errorf("%s: %d", at, w.Code)
		}
	}
	if h.appOf("hr-portal").Disabled || h.receiverOf("tickets").Disabled {
		t.Error("changed beyond what is counted")
	}
}

func TestReceiversAreShownByHowDeliveriesGoAndNeverByWhatWasSent(t *testing.T) {
	h := open(t)
	h.clients()
	b := h.signIn("rosa", true, "root")
	tickets, entra := h.receiverOf("tickets"), h.receiverOf("entra")
	s := &client.Stream{Receiver: entra.ID, Delivery: client.DeliverPush, Endpoint: "https://events.contoso.example/in/T0K3N", Authorization: "Bearer s3cret-of-theirs", Status: client.StreamEnabled, Description: "Sessions", Created: h.clock, Updated: h.clock}
	h.must(h.db.CreateStream(t.Context(), s))
	if list := b.get(PathReceivers).Body.String(); strings.Count(list, "Nothing sent yet") != 2 || !strings.Contains(list, "Webhooks") || !strings.Contains(list, "Shared signals") {
		t.Error("the list does not say that nothing was sent yet")
	}
	h.must(h.db.NoteDelivery(t.Context(), tickets.ID, true, "", h.clock))
	h.must(h.db.NoteDelivery(t.Context(), s.ID, true, "", h.clock))
	h.clock = h.clock.Add(time.Minute)
	h.must(h.db.NoteDelivery(t.Context(), s.ID, false, "status-503", h.clock))
	list := b.get(PathReceivers).Body.String()
	for _, want := range []string{"Arriving", "The last one failed", "status-503", "Ticket system", "Entra ID"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q", want)
		}
	}
	pages := list
	for key, wants := range map[string][]string{
		"tickets": {"hooks.contoso.example", "Last arrived", "Secrets it is signed with", "A name for this receiver alone", "Everything there is for its kind"},
		"entra":   {"events.contoso.example", "Sent to events.contoso.example", "Sessions", "status-503", "The last one failed", "Their work mail address"},
	} {
		page := b.get(PathReceivers + "/" + key).Body.String()
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q", key, want)
			}
		}
		pages += page
	}
	secret := base64.StdEncoding.EncodeToString([]byte("the first secret of the webhooks"))
	for _, never := range []string{"T0K3N", "s3cret", secret, "the first secret", "Bearer"} {
		if strings.Contains(pages, never) {
			t.Errorf("%q is on a page", never)
		}
	}
}

func TestAReceiverIsDisabledTestedAndGetsAnotherSecret(t *testing.T) {
	h := open(t)
	h.clients()
	b := h.signIn("rosa", true, "root")
	waits := func(key string) int {
		t.Helper()
		all, err := h.db.Health(t.Context(), h.receiverOf(key).ID)
		h.must(err)
		return all[0].Waiting
	}
	w := b.do("POST", PathReceivers+"/tickets/test", nil)
	if w.Code != 303 || waits("tickets") != 1 {
		t.Fatalf("a test: %d, %d wait", w.Code, waits("tickets"))
	}
	if page := b.get(PathReceivers + "/tickets").Body.String(); !strings.Contains(page, "The test is on its way") {
		t.Error("nobody says that the test is on its way")
	}
	if page := b.get(PathReceivers + "/tickets").Body.String(); strings.Contains(page, "The test is on its way") {
		t.Error("it is said twice")
	}

	secret, version, _ := b.rotate(PathReceivers+"/tickets", "day")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	r := h.receiverOf("tickets")
	if err != nil || !strings.HasPrefix(secret, "whsec_") || len(raw) != 32 || len(r.Sign) != 2 || string(r.Sign[1].Secret) != string(raw) || !r.Sign[0].Expires.Equal(h.clock.Add(keepLife)) {
		t.Fatalf("%q, %v, %+v", secret, err, r.Sign)
	}
	if w := b.do("POST", PathReceivers+"/tickets/rotate", url.Values{"version": {version}}); w.Code != 303 || h.receiverOf("tickets").Version != r.Version {
		t.Errorf("a second click: %d", w.Code)
	}
	again, _, _ := b.rotate(PathReceivers+"/tickets", "day")
	if again == secret || string(raw) == string(make([]byte, 32)) {
		t.Errorf("a secret that can be guessed: %q, then %q", secret, again)
	}
	token, _, _ := b.rotate(PathReceivers+"/entra", "none")
	hash := sha256.Sum256([]byte(token))
	if e := h.receiverOf("entra"); !strings.HasPrefix(token, prefixReceiver+"_") || len(e.Secrets) != 1 || string(e.Secrets[0].Hash) != string(hash[:]) {
		t.Errorf("%q, %+v", token, e.Secrets)
	}

	for _, do := range []string{"disable", "disable", "enable"} {
		h.clock = h.clock.Add(time.Second)
		if w := b.do("POST", PathReceivers+"/tickets/"+do, nil); w.Code != 303 || h.receiverOf("tickets").Disabled != (do == "disable") {
			t.Fatalf("%s: %d", do, w.Code)
		}
		if do == "disable" {
			before := waits("tickets")
			if w := b.do("POST", PathReceivers+"/tickets/test", nil); w.Code != 303 || waits("tickets") != before {
				t.Errorf("a disabled receiver is tested: %d", w.Code)
			}
			if page := b.get(PathReceivers + "/tickets").Body.String(); strings.Contains(page, "/test\"") || strings.Contains(page, "on its way") {
				t.Error("a test of a disabled receiver is offered, or was said to be on its way")
			}
		}
	}
	for _, e := range append(h.changes(r.ID), h.changes(h.receiverOf("entra").ID)...) {
		if text := fmt.Sprint(e.Data, e.Private); strings.Contains(text, secret) || strings.Contains(text, token) || e.Actor != "person:"+h.people["rosa"].ID {
			t.Errorf("written down: %+v", e)
		}
	}
	if n := len(h.changes(r.ID)); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	if e := h.changes(r.ID)[2]; e.Data["status"] != string(client.StreamDisabled) {
		t.Errorf("its streams would not be told that it is disabled: %+v", e)
	}
	// A receiver of signals that has no stream has nothing to test.
	if w := b.do("POST", PathReceivers+"/entra/test", nil); w.Code != 303 {
		t.Errorf("a receiver without a stream: %d", w.Code)
	}
	if page := b.get(PathReceivers + "/entra").Body.String(); strings.Contains(page, "on its way") || !strings.Contains(page, "The receiver has not asked for any") || !strings.Contains(page, "There is no stream that is enabled") {
		t.Error("a test that cannot be sent is said to be on its way")
	}
}

func TestHowDeliveriesGoByAllWaysTogether(t *testing.T) {
	at := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	good, bad := client.Health{Good: at(2), Bad: at(1), Class: "timeout", Waiting: 1, Dead: 2}, client.Health{Good: at(1), Bad: at(3), Class: "status-500", Waiting: 3, Dead: 4}
	if got, want := together([]client.Health{good, bad}), (client.Health{Good: at(2), Bad: at(3), Class: "status-500", Waiting: 4, Dead: 6}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	stream := func(s client.StreamStatus) client.Stream { return client.Stream{Status: s} }
	for _, c := range []struct {
		streams []client.Stream
		all     []client.Health
		want    bool
	}{
		{nil, []client.Health{good}, false}, {nil, []client.Health{bad}, true}, {nil, []client.Health{{}}, false},
		{[]client.Stream{stream(client.StreamEnabled), stream(client.StreamEnabled)}, []client.Health{good, bad}, true},
		{[]client.Stream{stream(client.StreamEnabled), stream(client.StreamPaused)}, []client.Health{good, bad}, false},
		{[]client.Stream{stream(client.StreamDisabled)}, []client.Health{bad}, false},
	} {
		if got := failing(c.streams, c.all); got != c.want {
			t.Errorf("%v, %v: got %v", c.streams, c.all, got)
		}
	}
}

func TestHelpdeskSeesNoRoomOfAdministrators(t *testing.T) {
	h := open(t)
	h.clients()
	for group, sees := range map[string]bool{"desk": false, "root": true} {
		who := map[string]string{"desk": "grace", "root": "rosa"}[group]
		if body := h.signIn(who, true, group).get(PathSearch).Body.String(); strings.Contains(body, `href="/console/apps"`) != sees || strings.Contains(body, `href="/console/receivers"`) != sees {
			t.Errorf("%s: sees the rooms of administrators: %v", group, !sees)
		}
	}
}
