package passkey

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	virtual "github.com/descope/virtualwebauthn"
)

const (
	host   = "reset.contoso.example"
	origin = "https://reset.contoso.example"
)

var (
	handle    = []byte("0198f3c2-0000-7000-8000-00000000ada0")
	challenge = bytes.Repeat([]byte{7}, 32)
)

func relying(t testing.TB) *Relying {
	t.Helper()
	r, err := New(host, origin, "Contoso")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// device is an authenticator with one key.
type device struct {
	rp   virtual.RelyingParty
	auth virtual.Authenticator
	key  virtual.Credential
}

func newDevice(change func(*device)) device {
	d := device{rp: virtual.RelyingParty{ID: host, Name: "Contoso", Origin: origin},
		auth: virtual.NewAuthenticatorWithOptions(virtual.AuthenticatorOptions{UserHandle: handle}), key: newKey()}
	if change != nil {
		change(&d)
	}
	return d
}

// newKey returns a P-256 key. The library cuts leading zeros of coordinates, which no authenticator does: such a key is
// not taken.
func newKey() virtual.Credential {
	for {
		if c := virtual.NewCredential(virtual.KeyTypeEC2); len(c.Key.AttestationData()) == 77 {
			return c
		}
	}
}

func (d device) create(t testing.TB, options []byte) []byte {
	t.Helper()
	o, err := virtual.ParseAttestationOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtual.CreateAttestationResponse(d.rp, d.auth, d.key, *o))
}

func (d device) use(t testing.TB, options []byte) []byte {
	t.Helper()
	o, err := virtual.ParseAssertionOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtual.CreateAssertionResponse(d.rp, d.auth, d.key, *o))
}

func options(t testing.TB, r *Relying, c []byte, exclude ...Credential) []byte {
	t.Helper()
	o, err := r.Create(c, handle, "ada", "Ada Lovelace", exclude)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func request(t testing.TB, r *Relying, c []byte) []byte {
	t.Helper()
	o, err := r.Request(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestAPasskeyThatWasMadeIsRecognisedWhenItIsUsed(t *testing.T) {
	r := relying(t)
	for name, key := range map[string]virtual.Credential{"ES256": newKey(), "RS256": virtual.NewCredential(virtual.KeyTypeRSA)} {
		d := newDevice(func(d *device) {
			d.key = key
			d.auth.Options.BackupEligible, d.auth.Options.BackupState = true, true
		})
		made, err := r.Created(challenge, handle, d.create(t, options(t, r, challenge)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !made.Eligible || !made.BackedUp || !bytes.Equal(made.ID, d.key.ID) {
			t.Errorf("%s: made %+v", name, made)
		}
		kept, err := Parse(made.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		other := bytes.Repeat([]byte{9}, 32)
		d.key.Counter, d.auth.Options.BackupState = 5, false
		after, err := r.Checked(other, d.use(t, request(t, r, other)), func(id, who []byte) *Credential {
			if !bytes.Equal(id, kept.ID) || !bytes.Equal(who, handle) {
				t.Errorf("%s: asked for %x of %s", name, id, who)
			}
			return &kept
		})
		if err != nil || after.Counter != 5 || after.BackedUp || !after.Eligible {
			t.Errorf("%s: %+v, %v", name, after, err)
		}
	}
}

func TestOptionsAskForADiscoverablePasskeyOfAVerifiedUser(t *testing.T) {
	r := relying(t)
	var o struct {
		RP                     struct{ ID, Name string }
		User                   struct{ ID, Name, DisplayName string }
		Challenge, Attestation string
		PubKeyCredParams       []struct{ Alg int }
		AuthenticatorSelection struct {
			ResidentKey, UserVerification string
			RequireResidentKey            bool
		}
		ExcludeCredentials []struct{ ID string }
	}
	if err := json.Unmarshal(options(t, r, challenge, Credential{ID: []byte{1, 2, 3}}), &o); err != nil {
		t.Fatal(err)
	}
	var algs []int
	for _, p := range o.PubKeyCredParams {
		algs = append(algs, p.Alg)
	}
	s := o.AuthenticatorSelection
	if o.RP.ID != host || s.ResidentKey != "required" || !s.RequireResidentKey || s.UserVerification != "required" || o.Attestation != "none" ||
		!slices.Equal(algs, []int{-7, -8, -257}) || len(o.ExcludeCredentials) != 1 || o.ExcludeCredentials[0].ID != "AQID" ||
		o.Challenge != base64.RawURLEncoding.EncodeToString(challenge) || o.User.ID != base64.RawURLEncoding.EncodeToString(handle) {
		t.Errorf("got %+v", o)
	}
	var q map[string]any
	if err := json.Unmarshal(request(t, r, challenge), &q); err != nil {
		t.Fatal(err)
	}
	if q["allowCredentials"] != nil || q["userVerification"] != "required" || q["rpId"] != host {
		t.Errorf("got %v: want no credential named and the user verified", q)
	}
}

// wrong is what makes an answer worthless, on the side of the device.
var wrong = map[string]func(*device){
	"another origin":                func(d *device) { d.rp.Origin = "https://evil.example" },
	"a subdomain as origin":         func(d *device) { d.rp.Origin = "https://x.reset.contoso.example" },
	"another port":                  func(d *device) { d.rp.Origin = origin + ":8443" },
	"http":                          func(d *device) { d.rp.Origin = "http://reset.contoso.example" },
	"another RP ID":                 func(d *device) { d.rp.ID = "evil.example" },
	"the parent domain":             func(d *device) { d.rp.ID = "contoso.example" },
	"no user verification":          func(d *device) { d.auth.Options.UserNotVerified = true },
	"no user present":               func(d *device) { d.auth.Options.UserNotPresent = true },
	"backed up, but never may be":   func(d *device) { d.auth.Options.BackupState = true },
	"may be synced all of a sudden": func(d *device) { d.auth.Options.BackupEligible = true },
}

func TestWhatComesFromElsewhereOrWithoutTheUserIsRefused(t *testing.T) {
	r := relying(t)
	for name, change := range wrong {
		d := newDevice(change)
		if name != "may be synced all of a sudden" {
			if _, err := r.Created(challenge, handle, d.create(t, options(t, r, challenge))); !errors.Is(err, ErrRefused) {
				t.Errorf("made with %s: %v", name, err)
			}
		}
		good := newDevice(nil)
		kept, err := r.Created(challenge, handle, good.create(t, options(t, r, challenge)))
		if err != nil {
			t.Fatal(err)
		}
		change(&good)
		if _, err := r.Checked(challenge, good.use(t, request(t, r, challenge)), func(_, _ []byte) *Credential { return &kept }); !errors.Is(err, ErrRefused) {
			t.Errorf("used with %s: %v", name, err)
		}
	}
}

func TestAnAnswerToAnotherChallengeOrOfAnotherKindIsRefused(t *testing.T) {
	r, d, other := relying(t), newDevice(nil), bytes.Repeat([]byte{8}, 32)
	creation := d.create(t, options(t, r, challenge))
	kept, err := r.Created(challenge, handle, creation)
	if err != nil {
		t.Fatal(err)
	}
	find := func(_, _ []byte) *Credential { return &kept }
	use := d.use(t, request(t, r, challenge))
	if _, err := r.Created(other, handle, creation); !errors.Is(err, ErrRefused) {
		t.Errorf("made for another challenge: %v", err)
	}
	if _, err := r.Checked(other, use, find); !errors.Is(err, ErrRefused) {
		t.Errorf("used for another challenge: %v", err)
	}
	if _, err := r.Checked(challenge, creation, find); !errors.Is(err, ErrRefused) {
		t.Errorf("the making of a key was taken as its use: %v", err)
	}
	if _, err := r.Created(challenge, handle, use); !errors.Is(err, ErrRefused) {
		t.Errorf("the use of a key was taken as its making: %v", err)
	}
	if _, err := r.Create([]byte("short"), handle, "ada", "Ada", nil); err == nil {
		t.Error("a challenge of five bytes was taken")
	}
}

func TestASignatureOfAnotherKeyProvesNothing(t *testing.T) {
	r, d := relying(t), newDevice(nil)
	kept, err := r.Created(challenge, handle, d.create(t, options(t, r, challenge)))
	if err != nil {
		t.Fatal(err)
	}
	thief := newDevice(func(x *device) { x.key.ID = d.key.ID })
	if _, err := r.Checked(challenge, thief.use(t, request(t, r, challenge)), func(_, _ []byte) *Credential { return &kept }); !errors.Is(err, ErrRefused) {
		t.Errorf("another key: %v", err)
	}
	if _, err := r.Checked(challenge, d.use(t, request(t, r, challenge)), func(_, _ []byte) *Credential { return nil }); !errors.Is(err, ErrRefused) {
		t.Errorf("nobody's: %v", err)
	}
	nobody := newDevice(func(x *device) { x.auth.Options.UserHandle = nil })
	if _, err := r.Checked(challenge, nobody.use(t, request(t, r, challenge)), func(_, _ []byte) *Credential { return &kept }); !errors.Is(err, ErrRefused) {
		t.Errorf("without saying whose: %v", err)
	}
}

func TestACounterThatGoesBackOrStandsStillIsRefused(t *testing.T) {
	r := relying(t)
	for _, c := range []struct {
		kept, now uint32
		right     bool
	}{{0, 0, true}, {0, 1, true}, {4, 5, true}, {4, 4, false}, {4, 3, false}, {4, 0, false}} {
		d := newDevice(nil)
		kept, err := r.Created(challenge, handle, d.create(t, options(t, r, challenge)))
		if err != nil {
			t.Fatal(err)
		}
		kept.Counter, d.key.Counter = c.kept, c.now
		after, err := r.Checked(challenge, d.use(t, request(t, r, challenge)), func(_, _ []byte) *Credential { return &kept })
		if (err == nil) != c.right || err == nil && after.Counter != c.now {
			t.Errorf("%d, then %d: %+v, %v", c.kept, c.now, after, err)
		}
	}
}

func TestWhatIsTooLargeOrMalformedIsRefusedBeforeItIsParsed(t *testing.T) {
	r, d := relying(t), newDevice(nil)
	creation := d.create(t, options(t, r, challenge))
	padded := append(bytes.Repeat([]byte(" "), MaxResponse), creation...)
	for name, b := range map[string][]byte{
		"nothing": nil, "too large": padded, "no JSON": []byte("x"), "null": []byte("null"), "a list": []byte("[]"), "an empty object": []byte("{}"),
		"two answers": slices.Concat(creation, creation), "cut": creation[:len(creation)/2], "deep": []byte(strings.Repeat("[", 8000)),
		"no bytes": []byte(strings.Replace(string(creation), "attestationObject", "attestation", 1)),
	} {
		if _, err := r.Created(challenge, handle, b); !errors.Is(err, ErrRefused) {
			t.Errorf("made from %s: %v", name, err)
		}
		if _, err := r.Checked(challenge, b, func(_, _ []byte) *Credential { return nil }); !errors.Is(err, ErrRefused) {
			t.Errorf("used from %s: %v", name, err)
		}
	}
}

func TestOnlyOriginsThatBrowsersTakeAreRelyingParties(t *testing.T) {
	for _, c := range []struct {
		id, origin string
		right      bool
	}{
		{host, origin, true}, {"contoso.example", origin, true}, {"localhost", "http://localhost:8080", true},
		{"127.0.0.1", "http://127.0.0.1:8080", false}, {"::1", "https://[::1]", false}, {host, "http://" + host, false}, {"evil.example", origin, false},
		{host, origin + "/", false}, {host, origin + "/x", false}, {host, "https://u@" + host, false}, {"", origin, false}, {"so.example", origin, false},
	} {
		if _, err := New(c.id, c.origin, "Contoso"); (err == nil) != c.right {
			t.Errorf("%s of %s: %v", c.id, c.origin, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	r, d := relying(f), newDevice(nil)
	creation := d.create(f, options(f, r, challenge))
	kept, err := r.Created(challenge, handle, creation)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(creation)
	f.Add(d.use(f, request(f, r, challenge)))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{}}`))
	other := bytes.Repeat([]byte{8}, 32)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := r.Created(other, handle, b); err == nil {
			t.Errorf("an answer to another challenge made a passkey: %q", b)
		}
		if _, err := r.Checked(other, b, func(_, _ []byte) *Credential { return &kept }); err == nil {
			t.Errorf("an answer to another challenge proved a passkey: %q", b)
		}
	})
}
