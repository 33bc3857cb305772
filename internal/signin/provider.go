package signin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// Bounds of what a provider may make us do.
const (
	httpTimeout   = 10 * time.Second
	maxBodyBytes  = 512 << 10
	metadataAge   = time.Hour        // asked for again after so long
	metadataLife  = 24 * time.Hour   // used no longer while the provider does not answer
	metadataRetry = 15 * time.Second // between two tries that fail
)

// provider is one identity provider and what is known of it by now.
type provider struct {
	ProviderConfig
	now    func() time.Time
	client *http.Client
	keys   *keySet
	about  cached[*metadata]
	events *keySet // what signs security events; nil when none are taken
}

func newProvider(c ProviderConfig, now func() time.Time) *provider {
	c.Claim = cmp.Or(c.Claim, "sub")
	c.Label = cmp.Or(c.Label, c.Name)
	c.StepUp.Claim, c.StepUp.Ask = cmp.Or(c.StepUp.Claim, "acr"), cmp.Or(c.StepUp.Ask, AskNothing)
	if !slices.Contains(c.Scopes, "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}
	var allow []netip.Prefix
	if c.AllowPrivate {
		allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	}
	client := egress.New(egress.Options{Allow: allow, RootCAs: c.RootCAs, Timeout: httpTimeout})
	p := &provider{ProviderConfig: c, now: now, client: client}
	p.about = cached[*metadata]{now: now, fetch: p.discover, age: metadataAge, life: metadataLife, retry: metadataRetry}
	p.keys = newKeySet(now, p.readJWKS)
	if c.Events != nil {
		e := *c.Events
		e.Issuer = cmp.Or(e.Issuer, c.Issuer)
		p.Events, p.events = &e, newKeySet(now, p.readEventKeys)
	}
	return p
}

func (p *provider) shown() Provider {
	return Provider{Name: p.Name, Label: p.Label, AccountURL: p.AccountURL, MayProve: len(p.NoPassword) > 0, StepsUp: len(p.StepUp.Accept) > 0}
}

// metadata is the provider's discovery document (OIDC Discovery §3, RFC 8414 §2), as far as it matters here.
type metadata struct {
	Issuer               string   `json:"issuer"`
	Authorization        string   `json:"authorization_endpoint"`
	Token                string   `json:"token_endpoint"`
	JWKS                 string   `json:"jwks_uri"`
	UserInfo             string   `json:"userinfo_endpoint"`
	EndSession           string   `json:"end_session_endpoint"`
	PAR                  string   `json:"pushed_authorization_request_endpoint"`
	RequirePAR           bool     `json:"require_pushed_authorization_requests"`
	ResponseTypes        []string `json:"response_types_supported"`
	ResponseModes        []string `json:"response_modes_supported"`
	ChallengeMethods     []string `json:"code_challenge_methods_supported"`
	TokenAuth            []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs        []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IDTokenAlgs          []string `json:"id_token_signing_alg_values_supported"`
	IssParameter         bool     `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter      bool     `json:"claims_parameter_supported"`
	ACRValues            []string `json:"acr_values_supported"`
	BackChannelLogout    bool     `json:"backchannel_logout_supported"`
	BackChannelLogoutSID bool     `json:"backchannel_logout_session_supported"`
}

// algorithms are the signatures that are taken. Neither "none" nor a shared secret is among them, whatever the provider
// lists: with HS256 its public key would be the secret.
var algorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}

// check reports why a document cannot be used.
func (m *metadata) check(issuer string) error {
	if m.Issuer != issuer {
		return fmt.Errorf("issuer is %.200q, configured is %q: they must be equal to the letter", m.Issuer, issuer)
	}
	needed := map[string]string{"authorization_endpoint": m.Authorization, "token_endpoint": m.Token, "jwks_uri": m.JWKS}
	for name, at := range needed {
		if at == "" {
			return fmt.Errorf("%s is missing", name)
		}
	}
	for name, at := range map[string]string{"authorization_endpoint": m.Authorization, "token_endpoint": m.Token, "jwks_uri": m.JWKS,
		"userinfo_endpoint": m.UserInfo, "end_session_endpoint": m.EndSession, "pushed_authorization_request_endpoint": m.PAR} {
		if err := checkEndpoint(issuer, at); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, "code") {
		return errors.New("the code flow is not offered")
	}
	if len(m.ResponseModes) > 0 && !slices.Contains(m.ResponseModes, "query") {
		return errors.New("the response mode query is not offered")
	}
	// A list without S256 is a provider that would take the plain method, or none: refused. No list says nothing: Entra ID
	// leaves it out and supports it (RFC 8414 §2).
	if m.ChallengeMethods != nil && !slices.Contains(m.ChallengeMethods, "S256") {
		return errors.New("code_challenge_methods_supported is without S256")
	}
	if m.RequirePAR && m.PAR == "" {
		return errors.New("pushed requests are required but have no endpoint")
	}
	if len(m.signatures()) == 0 {
		return errors.New("no signature algorithm of the ID token can be checked")
	}
	return nil
}

// checkEndpoint takes https; http only from a provider whose own issuer is http, which the configuration allows on
// loopback alone. "" is no endpoint.
func checkEndpoint(issuer, at string) error {
	if at == "" {
		return nil
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" || len(at) > 2000 || strings.ContainsAny(at, "\\ \t\r\n") {
		return errors.New("is no address")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && strings.HasPrefix(issuer, "http://")) {
		return errors.New("is not https")
	}
	return nil
}

// signatures are the algorithms to take: those the provider lists, else the one every provider must have.
func (m *metadata) signatures() []string {
	if len(m.IDTokenAlgs) == 0 {
		return []string{"RS256"}
	}
	var out []string
	for _, a := range m.IDTokenAlgs {
		if slices.Contains(algorithms, a) {
			out = append(out, a)
		}
	}
	return out
}

// metadata returns what is known of the provider. A document is asked for again after an hour, beside the sign-ins that
// go on with the one there is; an outage is survived for a day. fault.Unavailable when nothing usable is known.
func (p *provider) metadata(ctx context.Context) (*metadata, error) {
	m, err := p.about.get(ctx, false)
	if err != nil {
		return nil, down(p, err)
	}
	return m, nil
}

// discover reads the document now.
func (p *provider) discover(ctx context.Context) (*metadata, error) {
	var m metadata
	if err := p.getJSON(ctx, strings.TrimSuffix(p.Issuer, "/")+"/.well-known/openid-configuration", &m); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if err := m.check(p.Issuer); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	return &m, nil
}

// getJSON reads one document. A redirect is no answer: it would let whoever controls a path there name another host.
func (p *provider) getJSON(ctx context.Context, at string, to any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	w, err := p.client.Do(req)
	if err != nil {
		return err
	}
	body, err := egress.Body(w, maxBodyBytes)
	if err != nil {
		return err
	}
	if w.StatusCode != http.StatusOK {
		return statusError(w.StatusCode)
	}
	if err := json.Unmarshal(body, to); err != nil {
		return errors.New("answered with something that is no JSON of the right form")
	}
	return nil
}

// statusError is an answer that is none.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("answered with status %d", int(e)) }

// down is the fault of a provider that does not answer, or answers what cannot be used.
func down(p *provider, cause error) error {
	return fault.Wrap(fault.Unavailable, message.Key("signin.down", "Provider", p.Label), fmt.Errorf("provider %s: %w", p.Name, cause))
}
