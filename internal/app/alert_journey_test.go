package app

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

const (
	caepEvents     = "https://schemas.openid.net/secevent/caep/event-type/"
	riscEvents     = "https://schemas.openid.net/secevent/risc/event-type/"
	transmitterKey = "the token of the transmitter, agreed on"
)

// teller is an identity provider that tells of its people. It shares no line with what judges it.
type teller struct {
	*world
	issuer string
	key    crypto.Signer
	clock  *clock
}

// newTeller starts a deployment whose identity provider may tell of its people.
func newTeller(t *testing.T, kind store.Kind) *teller {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &teller{key: key, clock: newClock()}
	public, err := jwk.Import(key.Public())
	if err == nil {
		err = public.Set(jwk.KeyIDKey, "events")
	}
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/ssf-configuration":
			json.NewEncoder(w).Encode(map[string]any{"issuer": p.issuer, "jwks_uri": p.issuer + "/keys"}) //nolint:errcheck // to ourselves
		case "/keys":
			json.NewEncoder(w).Encode(map[string]any{"keys": []any{public}}) //nolint:errcheck // to ourselves
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	p.issuer = srv.URL
	p.world = newWorld(t, scene{kind: kind, now: p.clock.now, policy: `rules: [{name: everyone, proofs: {unlock: 1}, hold_new: 0s, hold_after_reset: 0s, mature_after: 0s}]`, change: func(s *Setup) {
		s.IDPs = []IDP{{Link: "userName", ProviderConfig: signin.ProviderConfig{Name: "work", Label: "Alder sign-in", Issuer: p.issuer, ClientID: "account", ClientSecret: "a secret of some length",
			LinkClaim: "preferred_username", NoPassword: []string{"phr"}, StepUp: signin.StepUp{Ask: signin.AskACRValues, Accept: []string{"mfa"}, Claim: "acr"}, AllowPrivate: true, Events: &signin.Events{Token: transmitterKey}}}}
	}})
	return p
}

// sign makes a security event token of claims.
func (p *teller) sign(claims map[string]any) string {
	p.t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	h := jws.NewHeaders()
	h.Set(jws.KeyIDKey, "events")      //nolint:errcheck // a text
	h.Set(jws.TypeKey, "secevent+jwt") //nolint:errcheck // a text
	set, err := jws.Sign(payload, jws.WithKey(jwa.ES256(), p.key, jws.WithProtectedHeaders(h)))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(set)
}

// tells pushes an event about somebody, to a replica, and wants it acknowledged.
func (p *teller) tells(base, kind, sub string, body map[string]any) {
	p.t.Helper()
	if body == nil {
		body = map[string]any{}
	}
	set := p.sign(map[string]any{"iss": p.issuer, "aud": p.base, "jti": uuid.NewString(), "iat": p.now().Unix(),
		"sub_id": map[string]any{"format": "iss_sub", "iss": p.issuer, "sub": sub}, "events": map[string]any{kind: body}})
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, base+"/signin/work/events", strings.NewReader(set))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/secevent+jwt"}, "Authorization": {"Bearer " + transmitterKey}}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusAccepted {
		p.t.Fatalf("%s: status %d: %s", kind, res.StatusCode, answer)
	}
}

// signedIn is a visitor with a session that the provider made for somebody.
func (p *teller) signedIn(who *somebody) *visitor {
	p.t.Helper()
	token, hash := keyring.NewToken("rgn_session")
	now := p.now()
	tie := &session.Binding{IDP: "work", Key: "sub-" + who.uid, Person: who.ID, Issuer: p.issuer, Subject: "sub-" + who.uid, Made: now}
	_, err := p.srv.Store.Arrive(p.t.Context(), who.ID, tie, "", func(*account.Person) (*session.Session, []event.Event, error) {
		return &session.Session{Hash: hash, IDP: "work", Issuer: p.issuer, Subject: tie.Subject, AuthTime: now, StepUp: now, Started: now, Seen: now, Expires: now.Add(session.Life)}, nil, nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	v := p.visitor()
	v.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), p.base) { // off to the provider: signed in no more
			return http.ErrUseLastResponse
		}
		return nil
	}
	v.cookie("regain-session", token)
	return v
}

// in reports whether the visitor is signed in at a replica.
func (v *visitor) in() bool { return v.get("/activity").Status == http.StatusOK }

func (p *teller) person(who *somebody) *account.Person {
	p.t.Helper()
	got, err := p.srv.Store.Person(p.t.Context(), who.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	return got
}

func TestASessionThatEndedAtTheProviderEndsAtTheOtherReplicaWithinASecond(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p := newTeller(t, kind)
			ada := p.add("ada", method.Email, method.SMS)
			here, bert := p.signedIn(ada), p.signedIn(p.add("bert", method.Email))
			there := here.at(p.replica())
			if !here.in() || !there.in() {
				t.Fatal("not signed in")
			}
			began := time.Now()
			p.tells(p.base, caepEvents+"session-revoked", "sub-ada", nil)
			if there.in() || here.in() || !bert.in() {
				t.Error("the session goes on, or somebody else's ended")
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("after %s", took)
			}
		})
	}
}

func TestACompromiseAtTheProviderMakesTheNextResetNeedTwoOtherProofs(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p := newTeller(t, kind)
			ada := p.add("ada", method.Email, method.SMS)
			in := p.signedIn(ada)
			running := p.visitor()
			running.firstProof("/reset", ada).want(t, 200, "/choose")
			p.tells(p.base, riscEvents+"credential-compromise", "sub-ada", nil)
			if in.in() {
				t.Error("the session goes on")
			}
			running.chooseKindOver(t)

			// One proof would do for this by the rule; now there have to be two, and the work sign-in is none.
			v := p.visitor()
			page := v.firstProof("/unlock", ada).want(t, 200, "/choose")
			lacks(t, page.Text, "Alder sign-in", "work sign-in")
			v.chooseKind("sms").want(t, 200, "/code")
			if v.state() != "proving" {
				t.Errorf("one proof: %s", v.state())
			}
			v.post("/code", "code", p.textCode(ada.Phone, 1))
			if v.state() != "proved" {
				t.Errorf("two proofs: %s", v.state())
			}
			// Who signs in there afterwards can add no way: it may be the thief.
			again := p.signedIn(ada)
			if s := again.get("/security-info/add"); !strings.Contains(s.Text, "somebody else may have used your account") {
				t.Errorf("status %d at %s: %s", s.Status, s.Path, s.Text)
			}
			has(t, words(again.get("/activity").Text), "somebody else may have used your account")

			p.clock.add(account.AlertLife)
			v = p.visitor()
			page = v.firstProof("/unlock", ada)
			if v.state() != "proved" {
				t.Errorf("seven days later: %s at %s", v.state(), page.Path)
			}
			if s := p.signedIn(ada).get("/security-info/add"); strings.Contains(s.Text, "somebody else may have used your account") {
				t.Error("seven days later no way can be added")
			}
		})
	}
}

// chooseKindOver wants a try that was running to be over.
func (v *visitor) chooseKindOver(t *testing.T) {
	t.Helper()
	if s := v.get("/choose"); strings.Contains(s.Text, "Text message") || s.Path == "/new-password" {
		t.Errorf("the try goes on: %d at %s: %s", s.Status, s.Path, s.Text)
	}
}

func TestAnAccountThatIsShutAtTheProviderResetsNothingUntilItIsOpen(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p := newTeller(t, kind)
			ada := p.add("ada", method.Email, method.SMS, method.RecoveryCode)
			p.signedIn(ada)
			running := p.visitor()
			running.proveTwice(ada) // as far as the new password
			p.tells(p.base, riscEvents+"account-disabled", "sub-ada", nil)
			if s := running.post("/new-password", "password", "a fresh password nobody knows"); strings.Contains(s.Text, "Your password is changed") || p.signsIn(ada, "a fresh password nobody knows") {
				t.Fatal("a running try went on")
			}
			// By mail they are told why; whoever proves a way reads it on the page.
			codes := len(p.codes(ada.Email))
			p.visitor().asks(ada.Login, "email")
			p.drained()
			if len(p.codes(ada.Email)) != codes {
				t.Error("a code was sent")
			}
			letters := p.letters(ada.Login)
			has(t, words(letters[len(letters)-1].Text), "your work sign-in says that your account is disabled")
			v := p.visitor()
			v.asks(ada.Login, "recovery-code")
			has(t, v.post("/recovery-code", "code", ada.Codes[0]).Text, "Your work sign-in says that your account is disabled")
			if v.state() == "proved" {
				t.Error("proved")
			}

			resets := func() bool {
				p.signedIn(ada)
				v := p.visitor()
				n := len(p.codes(ada.Email))
				v.asks(ada.Login, "email")
				p.drained()
				return len(p.codes(ada.Email)) > n
			}
			p.clock.add(time.Hour)
			p.tells(p.base, riscEvents+"account-enabled", "sub-ada", nil)
			if !resets() {
				t.Error("it is open at the provider, and shut here")
			}
			// It ends by itself, but not once staff confirmed it.
			p.tells(p.base, riscEvents+"account-disabled", "sub-ada", nil)
			p.clock.add(account.AlertLife)
			if !resets() {
				t.Error("seven days later it is still shut")
			}
			p.tells(p.base, riscEvents+"account-disabled", "sub-ada", nil)
			desk := &Admin{Store: p.srv.Store.Store, now: p.now, actor: "cli:test"}
			if err := desk.JudgeAlerts(t.Context(), ada.Login, true); err != nil {
				t.Fatal(err)
			}
			p.clock.add(10 * account.AlertLife)
			p.tells(p.base, riscEvents+"account-enabled", "sub-ada", nil)
			if resets() {
				t.Error("what staff confirmed is over")
			}
			if err := desk.JudgeAlerts(t.Context(), ada.Login, false); err != nil {
				t.Fatal(err)
			}
			if !resets() {
				t.Error("what staff lifted goes on")
			}
			if err := desk.JudgeAlerts(t.Context(), ada.Login, false); err == nil {
				t.Error("lifted twice")
			}
		})
	}
}

func TestAProviderThatShutsEverybodyIsToldToTheAdministratorsOnce(t *testing.T) {
	p := newTeller(t, store.SQLite)
	var people []*somebody
	for i := range 25 {
		who := &somebody{uid: fmt.Sprintf("p%d", i), Login: fmt.Sprintf("p%d@alder.example", i), ID: newID()}
		p.addPerson(who)
		p.signedIn(who)
		people = append(people, who)
	}
	for _, who := range people {
		p.tells(p.base, riscEvents+"account-disabled", "sub-"+who.uid, nil)
	}
	p.drained()
	n := 0
	for _, who := range people {
		if p.person(who).Barred(p.now()) {
			n++
		}
	}
	told := p.letters("security@alder.example")
	if n != 20 || len(told) != 1 {
		t.Fatalf("%d are shut, administrators are told %d times; want 20 and once", n, len(told))
	}
	has(t, words(told[0].Text), "The identity provider work disabled 21 of the 25 accounts it has here within ten minutes.")
}
