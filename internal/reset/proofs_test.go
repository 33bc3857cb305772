package reset_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	virtual "github.com/descope/virtualwebauthn"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

const (
	host   = "reset.contoso.example"
	site   = "https://" + host
	idp    = "contoso"
	single = "rules: [{name: staff, groups: [nobody]}, {name: everyone, kinds: [passkey, idp, email, totp], hold_after_reset: 0s}]"
)

// bench is the flow on a real store.
type bench struct {
	t     testing.TB
	s     *store.Store
	flow  *reset.Service
	ring  *keyring.Ring
	keys  *passkey.Relying
	clock time.Time
	trace []string
	mu    sync.Mutex
}

func newBench(t *testing.T, kind store.Kind, change ...func(*reset.Config)) *bench {
	t.Helper()
	b := &bench{t: t, ring: keyring.Generate(), clock: time.Now().Truncate(time.Second)}
	now := func() time.Time { return b.clock }
	b.s = storetest.Open(t, kind, func(c *store.Config) {
		c.Ring, c.Now = b.ring, now
		c.Trace = func(sql string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.trace = append(b.trace, strings.Join(strings.Fields(sql), " "))
		}
	})
	var err error
	if b.keys, err = passkey.New(host, site, "Contoso"); err != nil {
		t.Fatal(err)
	}
	dir, err := memory.New(memory.Config{Name: "corp"})
	if err != nil {
		t.Fatal(err)
	}
	c := reset.Config{
		Store: b.s, Limits: b.s, Keys: b.ring, Policies: b.s, Kinds: func() []method.Kind { return method.Kinds }, Passkeys: b.keys, SignIns: []string{idp},
		Directories: []reset.Directory{{Name: "corp", Label: "Contoso", Adapter: dir, Claim: "userName", Attribute: "mail"}}, Now: now, Log: slog.New(slog.DiscardHandler),
		Rates: reset.Rates{StartsPerOrigin: 100000, ChecksPerOrigin: 100000, SendsPerOrigin: 1000, SendsPerPerson: 1000},
	}
	for _, f := range change {
		f(&c)
	}
	if b.flow, err = reset.New(c); err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse([]byte(single))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.ApplyPolicy(t.Context(), p, "test", b.clock); err != nil {
		t.Fatal(err)
	}
	return b
}

// person makes somebody with ways.
func (b *bench) person(name string, ways ...method.Method) *account.Person {
	b.t.Helper()
	p := &account.Person{UserName: name + "@contoso.example", Active: true, Created: b.clock, Updated: b.clock}
	if err := b.s.CreatePerson(context.Background(), p, nil); err != nil {
		b.t.Fatal(err)
	}
	for i := range ways {
		m := &ways[i]
		m.Status, m.Created = method.Active, b.clock.Add(-48*time.Hour)
		if m.Root.Kind == "" {
			m.Root = method.Root{Kind: method.ByPerson, ID: p.ID}
		}
	}
	if err := b.s.CreateMethods(context.Background(), p.ID, ways, nil); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// device is somebody's authenticator.
type device struct {
	rp   virtual.RelyingParty
	auth virtual.Authenticator
	key  virtual.Credential
}

// enrol makes a passkey of a person and gives it to them.
func (b *bench) enrol(p *account.Person) *device {
	b.t.Helper()
	d := &device{rp: virtual.RelyingParty{ID: host, Name: "Contoso", Origin: site},
		auth: virtual.NewAuthenticatorWithOptions(virtual.AuthenticatorOptions{UserHandle: reset.Handle(p.ID)})}
	for d.key.Key == nil || len(d.key.Key.AttestationData()) != 77 { // the library cuts leading zeros, which no authenticator does
		d.key = virtual.NewCredential(virtual.KeyTypeEC2)
	}
	challenge := b.ring.Hash("test", p.ID)
	options, err := b.keys.Create(challenge, reset.Handle(p.ID), "x", "X", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	o, err := virtual.ParseAttestationOptions(string(options))
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := b.keys.Created(challenge, reset.Handle(p.ID), []byte(virtual.CreateAttestationResponse(d.rp, d.auth, d.key, *o)))
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.s.CreateMethods(b.t.Context(), p.ID, []method.Method{{Kind: method.Passkey, Status: method.Active, Secret: c.Bytes(), Created: b.clock.Add(-48 * time.Hour),
		Root: method.Root{Kind: method.ByPerson, ID: p.ID}}}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (d *device) answer(b *bench, options []byte) string {
	b.t.Helper()
	o, err := virtual.ParseAssertionOptions(string(options))
	if err != nil {
		b.t.Fatal(err)
	}
	d.key.Counter++
	return virtual.CreateAssertionResponse(d.rp, d.auth, d.key, *o)
}

var from = reset.Origin{Addr: netip.MustParseAddr("192.0.2.7"), Agent: "Firefox", Lang: "en"}

// start begins a try and asks for a kind.
func (b *bench) start(login string, kind method.Kind) (*reset.Attempt, *reset.Challenge) {
	b.t.Helper()
	a, err := b.flow.Start(b.t.Context(), from, policy.Reset, login, []byte(rand.Text()))
	if err != nil {
		b.t.Fatal(err)
	}
	return a, b.ask(a, kind, "")
}

func (b *bench) ask(a *reset.Attempt, kind method.Kind, id string) *reset.Challenge {
	b.t.Helper()
	c, err := b.flow.Ask(b.t.Context(), a, from, kind, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) options(a *reset.Attempt, c *reset.Challenge) []byte {
	b.t.Helper()
	o, err := b.flow.Options(b.t.Context(), a, c.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

func wrong(t *testing.T, what string, err error) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Say.Key != "reset.code.wrong" {
		t.Errorf("%s: got %v, want the words of a wrong code", what, err)
	}
}

func each(t *testing.T, fn func(t *testing.T, kind store.Kind)) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) { fn(t, kind) })
	}
}

func TestAPasskeyIsAFirstProof(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		b := newBench(t, kind)
		p := b.person("ada")
		d := b.enrol(p)
		a, c := b.start(p.UserName, method.Passkey)
		if !strings.Contains(string(b.options(a, c)), `"userVerification":"required"`) || strings.Contains(string(b.options(a, c)), "allowCredentials") {
			t.Errorf("options: %s", b.options(a, c))
		}
		answer := d.answer(b, b.options(a, c))
		after, err := b.flow.Check(t.Context(), a, from, c.ID, answer)
		if err != nil || after.State != reset.Proving || len(after.Proofs) != 1 || after.Proofs[0].Kind != method.Passkey {
			t.Fatalf("%+v, %v", after, err)
		}
		methods, err := b.s.Methods(t.Context(), p.ID)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := passkey.Parse(methods[0].Secret); err != nil || kept.Counter != 1 || methods[0].LastUsed.IsZero() {
			t.Errorf("kept %+v, used %v, %v", kept, methods[0].LastUsed, err)
		}
		_, err = b.flow.Check(t.Context(), after, from, c.ID, answer)
		wrong(t, "the same answer again", err)
		other, c2 := b.start(p.UserName, method.Passkey)
		_, err = b.flow.Check(t.Context(), other, from, c2.ID, answer)
		wrong(t, "the answer in another try", err)
		_, err = b.flow.Check(t.Context(), other, from, c.ID, answer)
		wrong(t, "another try's challenge", err)
	})
}

func TestAPasskeyOfSomebodyElseOrUsedElsewhereProvesNothing(t *testing.T) {
	b := newBench(t, store.SQLite)
	ada, ben := b.person("ada"), b.person("ben")
	mine, theirs := b.enrol(ada), b.enrol(ben)
	for name, d := range map[string]device{
		"ben's own":                {mine.rp, theirs.auth, theirs.key},
		"ben's, said to be ada's":  {mine.rp, mine.auth, theirs.key},
		"ada's id and ben's key":   {mine.rp, mine.auth, virtual.Credential{ID: mine.key.ID, Key: theirs.key.Key}},
		"ada's, said to be ben's":  {mine.rp, theirs.auth, mine.key},
		"another origin":           {virtual.RelyingParty{ID: host, Origin: "https://evil.example"}, mine.auth, mine.key},
		"nobody looked at the key": {mine.rp, virtual.NewAuthenticatorWithOptions(virtual.AuthenticatorOptions{UserHandle: reset.Handle(ada.ID), UserNotVerified: true}), mine.key},
	} {
		a, c := b.start(ada.UserName, method.Passkey)
		_, err := b.flow.Check(t.Context(), a, from, c.ID, d.answer(b, b.options(a, c)))
		wrong(t, name, err)
	}
	for name, junk := range map[string]string{"nothing": "", "no JSON": "12345678", "too much": strings.Repeat(" ", passkey.MaxResponse+1), "half": `{"id":"AA","rawId":"AA","type":"public-key"`} {
		a, c := b.start(ada.UserName, method.Passkey)
		_, err := b.flow.Check(t.Context(), a, from, c.ID, junk)
		wrong(t, name, err)
	}
	mine.key.Counter = 0
	a, c := b.start(ada.UserName, method.Passkey)
	if _, err := b.flow.Check(t.Context(), a, from, c.ID, mine.answer(b, b.options(a, c))); err != nil {
		t.Fatalf("ada's own: %v", err)
	}
	mine.key.Counter = 0 // a copy that was made before
	a, c = b.start(ada.UserName, method.Passkey)
	_, err := b.flow.Check(t.Context(), a, from, c.ID, mine.answer(b, b.options(a, c)))
	wrong(t, "a counter that went back", err)
	a, c = b.start(ada.UserName, method.Email)
	if _, err := b.flow.Options(t.Context(), a, c.ID); !fault.Is(err, fault.Over) {
		t.Errorf("options for a code by mail: %v", err)
	}
}

func TestASignInWithoutThePasswordIsAFirstProofOfItsOwnPersonOnly(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		b := newBench(t, kind)
		ada, ben := b.person("ada"), b.person("ben")
		prove := func(login, challenge, who, provider string) (*reset.Attempt, error) {
			a, c := b.start(login, method.IDP)
			if challenge == "" {
				challenge = c.ID
			}
			return b.flow.ProveSignIn(t.Context(), a.ID, challenge, from, who, provider)
		}
		_, mail := b.start(ada.UserName, method.Email)
		for name, err := range map[string]error{
			"somebody else":            second(prove(ada.UserName, "", ben.ID, idp)),
			"nobody here":              second(prove(ada.UserName, "", "", idp)),
			"a name nobody has":        second(prove("nobody@contoso.example", "", ada.ID, idp)),
			"nobody for nobody":        second(prove("nobody@contoso.example", "", "", idp)),
			"a provider without list":  second(prove(ada.UserName, "", ada.ID, "other")),
			"another try's challenge":  second(prove(ada.UserName, mail.ID, ada.ID, idp)),
			"a challenge that is none": second(prove(ada.UserName, "x", ada.ID, idp)),
		} {
			wrong(t, name, err)
		}
		a, err := prove(ada.UserName, "", ada.ID, idp)
		if err != nil || len(a.Proofs) != 1 || a.Proofs[0].Class != method.Federated || a.Proofs[0].Root != (method.Root{Kind: method.ByIDP, ID: idp}) {
			t.Fatalf("%+v, %v", a, err)
		}
		_, err = b.flow.ProveSignIn(t.Context(), a.ID, a.Proofs[0].Challenge, from, ada.ID, idp)
		wrong(t, "the same sign-in again", err)
		other, c := b.start(ada.UserName, method.IDP)
		for range reset.MaxTries {
			_, err = b.flow.ProveSignIn(t.Context(), other.ID, c.ID, from, ben.ID, idp)
			wrong(t, "ben", err)
		}
		_, err = b.flow.ProveSignIn(t.Context(), other.ID, c.ID, from, ada.ID, idp)
		wrong(t, "after five tries", err)
	})
}

func TestASignInAtAProviderThatSaysItMayBeSomebodyElsesProvesNothing(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		b := newBench(t, kind, func(c *reset.Config) { c.SignIns = []string{idp, "partner"} })
		ada := b.person("ada")
		if _, err := b.s.UpdatePerson(t.Context(), ada.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			p.Raise(idp, account.Compromised, b.clock, b.clock)
			return nil, nil
		}); err != nil {
			t.Fatal(err)
		}
		prove := func(provider string) error {
			a, c := b.start(ada.UserName, method.IDP)
			return second(b.flow.ProveSignIn(t.Context(), a.ID, c.ID, from, ada.ID, provider))
		}
		wrong(t, "there", prove(idp))
		if err := prove("partner"); err != nil {
			t.Errorf("at another provider: %v", err)
		}
		b.clock = b.clock.Add(account.AlertLife)
		if err := prove(idp); err != nil {
			t.Errorf("seven days later: %v", err)
		}
	})
}

func second(_ *reset.Attempt, err error) error { return err }

func TestAfterTheFirstProofThePageOffersAPasskeyOnlyToThoseWhoHaveOne(t *testing.T) {
	b := newBench(t, store.SQLite)
	ada, ben := b.person("ada", method.Method{Kind: method.TOTP, Secret: []byte("12345678901234567890")}), b.person("ben")
	b.enrol(ada)
	d := b.enrol(ada)
	kinds := func(a *reset.Attempt) (out []method.Kind, w *reset.Ways) {
		w, err := b.flow.Ways(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		for _, way := range w.Ways {
			out = append(out, way.Kind)
		}
		return out, w
	}
	a, c := b.start(ada.UserName, method.IDP)
	if got, w := kinds(a); !w.Uniform || !slices.Equal(got, []method.Kind{method.Passkey, method.Email, method.SMS, method.Voice, method.RecoveryCode, method.IDP}) {
		t.Errorf("before: %v", got)
	}
	a, err := b.flow.ProveSignIn(t.Context(), a.ID, c.ID, from, ada.ID, idp)
	if err != nil {
		t.Fatal(err)
	}
	got, w := kinds(a)
	if !slices.Equal(got, []method.Kind{method.Passkey, method.TOTP}) {
		t.Errorf("ada: %v, want one passkey, and no second sign-in", got)
	}
	c = b.ask(a, method.Passkey, w.Ways[0].Method)
	if a, err = b.flow.Check(t.Context(), a, from, c.ID, d.answer(b, b.options(a, c))); err != nil || a.State != reset.Proved {
		t.Errorf("the other of two passkeys: %+v, %v", a, err)
	}
	a, c = b.start(ben.UserName, method.IDP)
	if a, err = b.flow.ProveSignIn(t.Context(), a.ID, c.ID, from, ben.ID, idp); err != nil {
		t.Fatal(err)
	}
	if got, w := kinds(a); len(got) != 0 || w.Cannot != "too_few" {
		t.Errorf("ben: %v, %q", got, w.Cannot)
	}
	a, c = b.start(ada.UserName, method.Passkey)
	if a, err = b.flow.Check(t.Context(), a, from, c.ID, d.answer(b, b.options(a, c))); err != nil {
		t.Fatal(err)
	}
	if got, _ := kinds(a); !slices.Equal(got, []method.Kind{method.IDP, method.TOTP}) {
		t.Errorf("after a passkey: %v", got)
	}
	if c = b.ask(a, method.IDP, ""); c.Kind != method.IDP {
		t.Errorf("asked for %s", c.Kind)
	}
}

func TestWithoutProvidersNeitherIsOffered(t *testing.T) {
	b := newBench(t, store.SQLite, func(c *reset.Config) { c.Passkeys, c.SignIns = nil, nil })
	offered, err := b.flow.Offered(t.Context())
	if err != nil || slices.Contains(offered, method.Passkey) || slices.Contains(offered, method.IDP) {
		t.Errorf("offered %v, %v", offered, err)
	}
}

func TestAWayThatLeavesOrMaturesCountsAsItStandsThen(t *testing.T) {
	b := newBench(t, store.SQLite)
	hr := method.Root{Kind: method.BySession, ID: "s"}
	noon := b.clock
	all := []method.Method{
		{ID: "1", Person: "ada", Kind: method.Email, Destination: "a@b.example", Status: method.Active, Root: hr, Matures: noon.Add(time.Hour)},
		{ID: "2", Person: "ada", Kind: method.TOTP, Status: method.Active, Root: hr, Matures: noon.Add(time.Hour)},
		{ID: "3", Person: "ada", Kind: method.SMS, Destination: "+491713920001", Status: method.Active, Root: method.Root{Kind: method.ByPerson, ID: "ada"}, Leaves: noon.Add(2 * time.Hour)},
	}
	o := reset.Owner{Person: &account.Person{ID: "ada"}, Methods: all, Kinds: method.Kinds}
	for after, want := range map[time.Duration]int{0: 2, time.Hour: 3, 2 * time.Hour: 2} {
		if got := o.Together(3, noon.Add(after)); got != want {
			t.Errorf("after %s: %d together, want %d", after, got, want)
		}
	}
}

// frame are statements that group others; how many callers share a commit of SQLite is chance.
var frame = regexp.MustCompile(`(?i)^\s*(begin|commit|rollback|savepoint|release)\b`)

func TestTheNewProofsAskTheSameOfTheDatabaseWhoeverItIsAbout(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		b := newBench(t, kind)
		ada, _ := b.person("ada"), b.person("bare")
		gone := b.person("gone")
		d := b.enrol(ada)
		b.enrol(gone)
		if _, err := b.s.UpdatePerson(t.Context(), gone.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) { p.Active = false; return nil, nil }); err != nil {
			t.Fatal(err)
		}
		stranger := &device{rp: d.rp, auth: d.auth, key: virtual.NewCredential(virtual.KeyTypeEC2)}
		walk := func(login string) []string {
			b.mu.Lock()
			b.trace = nil
			b.mu.Unlock()
			a, c := b.start(login, method.Passkey)
			_, err := b.flow.Check(t.Context(), a, from, c.ID, stranger.answer(b, b.options(a, c)))
			wrong(t, login, err)
			_, err = b.flow.Check(t.Context(), a, from, c.ID, "junk")
			wrong(t, login, err)
			c = b.ask(a, method.IDP, "")
			_, err = b.flow.ProveSignIn(t.Context(), a.ID, c.ID, from, "somebody-else", idp)
			wrong(t, login, err)
			b.mu.Lock()
			defer b.mu.Unlock()
			return slices.DeleteFunc(slices.Clone(b.trace), frame.MatchString)
		}
		walk(ada.UserName) // warms what is kept between requests
		want := walk(ada.UserName)
		for _, login := range []string{"bare@contoso.example", "gone@contoso.example", "nobody@contoso.example", "x"} {
			if got := walk(login); !slices.Equal(got, want) {
				t.Errorf("%s: %d statements, want the %d of somebody with a passkey:\n%s\n\n%s", login, len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		if len(want) < 10 {
			t.Errorf("only %d statements were seen", len(want))
		}
	})
}
