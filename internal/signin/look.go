package signin

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Level says how much a finding matters.
type Level int

// The levels.
const (
	Fine    Level = iota
	Notice        // works, and could be better
	Warning       // works, and something people expect does not
	Fatal         // nobody can sign in
)

// Finding is one thing that was looked at.
type Finding struct {
	What  string // discovery, keys, pkce, pushed requests, client, signatures, iss parameter, step-up, sign-out, back-channel, events
	Level Level
	Text  string
	Fix   string // what to do; "" when there is nothing
}

// Look asks a provider for everything that can be learned without signing in, and changes nothing there.
func Look(ctx context.Context, c ProviderConfig) []Finding {
	if err := c.check(); err != nil {
		return []Finding{{"configuration", Fatal, err.Error(), "change the provider's keys"}}
	}
	p := newProvider(c, time.Now)
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	m, err := p.discover(ctx)
	if err != nil {
		return []Finding{{"discovery", Fatal, err.Error(), "check issuer, ca_file and allow_private; the issuer must be equal to the letter"}}
	}
	out := []Finding{{"discovery", Fine, "read from " + p.Issuer, ""}}
	add := func(what string, good bool, yes string, level Level, no, fix string) {
		if good {
			out = append(out, Finding{what, Fine, yes, ""})
		} else {
			out = append(out, Finding{what, level, no, fix})
		}
	}
	p.about.have, p.about.fetched = m, time.Now()
	keys, err := p.readJWKS(ctx)
	switch {
	case err != nil:
		out = append(out, Finding{"keys", Fatal, err.Error(), "jwks_uri must be reachable from here"})
	case len(keys) == 0:
		out = append(out, Finding{"keys", Fatal, "the key set holds no public signature key that can be used", "RSA keys need 2048 bits"})
	default:
		out = append(out, Finding{"keys", Fine, fmt.Sprintf("%d public signature keys", len(keys)), ""})
	}
	out = append(out, Finding{"signatures", Fine, strings.Join(m.signatures(), " "), ""})
	add("pkce", slices.Contains(m.ChallengeMethods, "S256"), "S256", Notice, "the provider does not say which methods it takes; S256 is sent all the same", "")
	add("pushed requests", m.PAR != "", "offered, and used", Notice, "not offered: people can edit what is asked for, so only the answer counts", "")
	if method, err := p.authMethod(m); err != nil {
		out = append(out, Finding{"client", Fatal, err.Error(), "offered are: " + strings.Join(m.TokenAuth, " ")})
	} else if out = append(out, Finding{"client", Fine, method, ""}); p.Key != nil {
		if key, err := p.publicKey(); err == nil {
			out = append(out, Finding{"client", Fine, "the public key to register there: " + key, ""})
		}
	}
	add("iss parameter", m.IssParameter, "answers name their issuer", Notice, "answers do not name their issuer: the redirect address of each provider keeps them apart", "")
	out = append(out, p.lookStepUp(m)...)
	add("sign-out", m.EndSession != "", "people can be signed out there, too", Warning, "no end_session_endpoint: people stay signed in there", "")
	add("back-channel", m.BackChannelLogout, "sessions end here when they end there", Warning, "not offered: a session ended there goes on here until its time is up", "")
	if m.BackChannelLogout && !m.BackChannelLogoutSID {
		out = append(out, Finding{"back-channel", Notice, "without sid: a sign-out there ends every session of the person here", ""})
	}
	return append(out, p.lookEvents(ctx)...)
}

// lookEvents reads the keys of what the provider may tell.
func (p *provider) lookEvents(ctx context.Context) []Finding {
	if p.Events == nil {
		return nil // most have no such thing; nothing to say
	}
	keys, err := p.readEventKeys(ctx)
	switch {
	case err != nil:
		return []Finding{{"events", Warning, err.Error(), "check events.issuer, or set events.jwks_uri"}}
	case len(keys) == 0:
		return []Finding{{"events", Warning, "the key set holds no public signature key that can be used", "RSA keys need 2048 bits"}}
	}
	return []Finding{{"events", Fine, fmt.Sprintf("taken from %s, signed with one of %d keys", p.Events.Issuer, len(keys)), ""}}
}

func (p *provider) lookStepUp(m *metadata) (out []Finding) {
	switch {
	case len(p.StepUp.Accept) == 0:
		return []Finding{{"step-up", Warning, "no accept list: its people can register nothing and be no staff", "set step_up.accept"}}
	case p.StepUp.Ask == AskClaimsACR && !m.ClaimsParameter: // Entra ID takes acrs without saying so
		out = append(out, Finding{"step-up", Warning, "the claims parameter is not said to be supported", "use acr_values, or make sure that it is"})
	}
	if p.StepUp.Claim == "acr" && len(m.ACRValues) > 0 {
		for _, v := range slices.Concat(p.StepUp.Accept, p.NoPassword) {
			if !slices.Contains(m.ACRValues, v) {
				out = append(out, Finding{"step-up", Warning, fmt.Sprintf("%q is not among the acr values of the provider", v), "offered are: " + strings.Join(m.ACRValues, " ")})
			}
		}
	}
	if len(out) == 0 {
		out = append(out, Finding{"step-up", Fine, fmt.Sprintf("asked for by %s, recognised by %s", p.StepUp.Ask, p.StepUp.Claim), ""})
	}
	return out
}

// ReadKey reads the private key of private_key_jwt from PEM: PKCS #8, PKCS #1 or SEC 1. RSA of 2048 bits or more, ECDSA
// on P-256, or Ed25519.
func ReadKey(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block in it")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("more than one PEM block in it")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	switch block.Type {
	case "PRIVATE KEY":
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a %.40q, want a private key without a passphrase", block.Type)
	}
	if err != nil {
		return nil, errors.New("the private key cannot be read")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("an RSA key of %d bits, want %d or more", k.N.BitLen(), minRSABits)
		}
		return k, nil
	case *ecdsa.PrivateKey:
		if k.Curve.Params().BitSize != 256 {
			return nil, errors.New("an ECDSA key, but not on P-256")
		}
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("a key of type %T cannot sign", key)
}
