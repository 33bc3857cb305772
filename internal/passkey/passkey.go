// Package passkey makes and checks passkeys (W3C Web Authentication Level 3): discoverable credentials of which the
// private half never leaves an authenticator that first made sure who holds it.
//
//	Create  → options for navigator.credentials.create   §5.4   Created → the credential to keep            §7.1
//	Request → options for navigator.credentials.get      §5.5   Checked → the credential with its counter   §7.2
//
// What every check asks for: our origin to the letter, our RP ID, the very challenge, user present and user verified.
// Attestation is not asked for: which make an authenticator is decides nothing here. Challenges are the caller's, and so is
// that each is taken once.
package passkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

// MaxResponse is the largest answer of a browser that is looked at, in bytes.
const MaxResponse = 16 << 10

// ErrRefused is every answer that proves nothing: malformed, too large, of another origin, for another challenge, signed by
// another key, without user verification, or with a counter that went back. Its text is for operators.
var ErrRefused = errors.New("passkey refused")

// Credential is what is kept of a passkey. Nothing in it is secret; it is the form of method.Method.Secret.
type Credential struct {
	ID        []byte   `json:"id"`
	PublicKey []byte   `json:"public_key"` // COSE_Key (RFC 9052 §7)
	Counter   uint32   `json:"counter"`    // 0 for those that count nothing, as synced ones do
	AAGUID    []byte   `json:"aaguid,omitempty"`
	Transport []string `json:"transport,omitempty"`
	Eligible  bool     `json:"backup_eligible"` // may be synced (§6.1.3); never changes
	BackedUp  bool     `json:"backed_up"`       // was, at its last use
}

// Parse reads a kept credential.
func Parse(secret []byte) (Credential, error) {
	var c Credential
	if err := json.Unmarshal(secret, &c); err != nil {
		return c, fmt.Errorf("kept passkey: %w", err)
	}
	if len(c.ID) == 0 || len(c.PublicKey) == 0 {
		return c, errors.New("kept passkey: no id or no key")
	}
	return c, nil
}

// Bytes returns the form that is kept.
func (c Credential) Bytes() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // bytes, numbers and words
	}
	return b
}

// Advance takes the counter and backup state of a later use. False when the counter went back, or stood still: then there
// are two of that key (§6.1.1). Ones that never count are let through.
func (c *Credential) Advance(used Credential) bool {
	if used.Counter <= c.Counter && (used.Counter != 0 || c.Counter != 0) {
		return false
	}
	c.Counter, c.BackedUp = used.Counter, used.BackedUp
	return true
}

// Relying is the relying party: us. Safe for concurrent use.
type Relying struct {
	w     *webauthn.WebAuthn
	dummy Credential
}

// New returns the relying party of an origin (scheme, host and port, nothing else). rpID is the origin's host or a parent
// domain of it; browsers take no addresses, and no origin that is not https but http://localhost. name is the
// organisation's.
func New(rpID, origin, name string) (*Relying, error) {
	u, err := url.Parse(origin)
	switch {
	case err != nil || u.Scheme+"://"+u.Host != origin:
		return nil, fmt.Errorf("passkeys: origin %q is not scheme://host", origin)
	case u.Scheme != "https" && !(u.Scheme == "http" && (u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost"))):
		return nil, fmt.Errorf("passkeys: origin %q: browsers want https, or http://localhost", origin)
	case u.Hostname() != rpID && !strings.HasSuffix(u.Hostname(), "."+rpID):
		return nil, fmt.Errorf("passkeys: origin %q is not of the domain %q", origin, rpID)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return nil, fmt.Errorf("passkeys: %q is an address: browsers want a name", rpID)
	}
	resident := true
	w, err := webauthn.New(&webauthn.Config{
		RPID: rpID, RPDisplayName: name, RPOrigins: []string{origin}, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: &resident, UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	key, err := nobodysKey()
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	return &Relying{w: w, dummy: Credential{PublicKey: key}}, nil
}

// algorithms are the ones asked for, the most wanted first.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// owner is somebody with passkeys, as the library wants to see them.
type owner struct {
	handle        []byte
	name, display string
	keys          []webauthn.Credential
}

func (o owner) WebAuthnID() []byte                         { return o.handle }
func (o owner) WebAuthnName() string                       { return o.name }
func (o owner) WebAuthnDisplayName() string                { return o.display }
func (o owner) WebAuthnCredentials() []webauthn.Credential { return o.keys }

// Create returns the options of making a passkey, as JSON for PublicKeyCredential.parseCreationOptionsFromJSON. challenge
// is at least 16 unguessable bytes; userHandle names the person to their authenticator and nobody else, 1 to 64 bytes
// without personal data (§14.6.1); name and display are what the authenticator shows. Ones in exclude make a second on the
// same authenticator fail.
func (r *Relying) Create(challenge, userHandle []byte, name, display string, exclude []Credential) (optionsJSON []byte, err error) {
	creation, _, err := r.create(challenge, owner{handle: userHandle, name: name, display: display}, exclude)
	if err != nil {
		return nil, err
	}
	return json.Marshal(creation.Response)
}

func (r *Relying) create(challenge []byte, o owner, exclude []Credential) (*protocol.CredentialCreation, *webauthn.SessionData, error) {
	creation, session, err := r.w.BeginRegistration(o, func(c *protocol.PublicKeyCredentialCreationOptions) error {
		c.Challenge, c.Parameters = challenge, algorithms
		for _, x := range exclude {
			c.CredentialExcludeList = append(c.CredentialExcludeList, protocol.CredentialDescriptor{Type: protocol.PublicKeyCredentialType, CredentialID: x.ID})
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("passkey options: %w", err)
	}
	return creation, session, nil
}

// Created judges what a browser made of those options and returns the credential to keep. ErrRefused says why not.
func (r *Relying) Created(challenge, userHandle, response []byte) (Credential, error) {
	o := owner{handle: userHandle, name: "-", display: "-"}
	_, session, err := r.create(challenge, o, nil)
	if err != nil {
		return Credential{}, err
	}
	if err := plain(response); err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Credential{}, refused(err)
	}
	made, err := r.w.CreateCredential(o, *session, parsed)
	if err != nil {
		return Credential{}, refused(err)
	}
	c := Credential{ID: made.ID, PublicKey: made.PublicKey, Counter: made.Authenticator.SignCount, AAGUID: made.Authenticator.AAGUID,
		Eligible: made.Flags.BackupEligible, BackedUp: made.Flags.BackupState}
	for _, t := range made.Transport {
		if len(c.Transport) < 8 && len(t) <= 32 {
			c.Transport = append(c.Transport, string(t))
		}
	}
	return c, nil
}

// Request returns the options of using a passkey, as JSON for PublicKeyCredential.parseRequestOptionsFromJSON. They name
// no credential: whoever asks, they are the same but for the challenge.
func (r *Relying) Request(challenge []byte) (optionsJSON []byte, err error) {
	assertion, _, err := r.request(challenge)
	if err != nil {
		return nil, err
	}
	return json.Marshal(assertion.Response)
}

func (r *Relying) request(challenge []byte) (*protocol.CredentialAssertion, *webauthn.SessionData, error) {
	assertion, session, err := r.w.BeginDiscoverableLogin(func(o *protocol.PublicKeyCredentialRequestOptions) error {
		o.Challenge = challenge
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("passkey options: %w", err)
	}
	return assertion, session, nil
}

// Checked judges the use of a passkey and returns the credential with its new counter, which the caller keeps. find
// returns the credential an answer claims to be of, nil for none: then a signature is checked all the same, against a key
// nobody has, so that time tells nothing. ErrRefused says why it proves nothing.
func (r *Relying) Checked(challenge, response []byte, find func(credentialID, userHandle []byte) *Credential) (Credential, error) {
	_, session, err := r.request(challenge)
	if err != nil {
		return Credential{}, err
	}
	if err := plain(response); err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Credential{}, refused(err)
	}
	var kept *Credential
	_, used, err := r.w.ValidatePasskeyLogin(func(rawID, userHandle []byte) (webauthn.User, error) {
		kept = find(rawID, userHandle)
		c := r.dummy
		if kept != nil {
			c = *kept
		}
		// The library compares whether it may be synced with what it was; for nobody's, as it is said to be now.
		eligible := c.Eligible
		if kept == nil {
			eligible = parsed.Response.AuthenticatorData.Flags.HasBackupEligible()
		}
		return owner{handle: userHandle, keys: []webauthn.Credential{{
			ID: rawID, PublicKey: c.PublicKey, Flags: webauthn.CredentialFlags{BackupEligible: eligible}, Authenticator: webauthn.Authenticator{SignCount: c.Counter},
		}}}, nil
	}, *session, parsed)
	if err != nil {
		return Credential{}, refused(err)
	}
	if kept == nil {
		return Credential{}, refused(errors.New("nobody's"))
	}
	after := *kept
	if !after.Advance(Credential{Counter: parsed.Response.AuthenticatorData.Counter, BackedUp: used.Flags.BackupState}) {
		return Credential{}, refused(fmt.Errorf("the counter went from %d to %d", kept.Counter, parsed.Response.AuthenticatorData.Counter))
	}
	return after, nil
}

// plain bounds an answer before anything parses it.
func plain(response []byte) error {
	if len(response) == 0 || len(response) > MaxResponse {
		return refused(fmt.Errorf("%d bytes", len(response)))
	}
	return nil
}

// refused marks an answer that proves nothing. What the library says of it may quote the stranger's bytes: it is cut.
func refused(cause error) error {
	text := cause.Error()
	if p, ok := errors.AsType[*protocol.Error](cause); ok && p.DevInfo != "" {
		text += ": " + p.DevInfo
	}
	return fmt.Errorf("%w: %.200q", ErrRefused, text)
}
