package handoff

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
)

// metadata is what programs read of the provider (OIDC Discovery §3, RFC 8414 §2).
type metadata struct {
	Issuer            string   `json:"issuer"`
	Authorize         string   `json:"authorization_endpoint"`
	Token             string   `json:"token_endpoint"`
	Userinfo          string   `json:"userinfo_endpoint"`
	Keys              string   `json:"jwks_uri"`
	Push              string   `json:"pushed_authorization_request_endpoint"` // RFC 9126 §5
	MustPush          bool     `json:"require_pushed_authorization_requests"`
	ResponseTypes     []string `json:"response_types_supported"`
	ResponseModes     []string `json:"response_modes_supported"`
	Grants            []string `json:"grant_types_supported"`
	Subjects          []string `json:"subject_types_supported"`
	IDTokenAlgs       []string `json:"id_token_signing_alg_values_supported"`
	Challenges        []string `json:"code_challenge_methods_supported"`
	Iss               bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
	TokenAuth         []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs     []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	Scopes            []string `json:"scopes_supported"`
	Claims            []string `json:"claims_supported"`
	ACRs              []string `json:"acr_values_supported"`
	Locales           []string `json:"ui_locales_supported,omitempty"`
	Prompts           []string `json:"prompt_values_supported"`
	ClaimsParameter   bool     `json:"claims_parameter_supported"`
	RequestParameter  bool     `json:"request_parameter_supported"`
	RequestURI        bool     `json:"request_uri_parameter_supported"` // where it is missing it means true
	RequireRequestURI bool     `json:"require_request_uri_registration"`
}

// idTokenAlgs are what ID tokens may be signed with. A provider must offer RS256 (OIDC Core §15.1).
var idTokenAlgs = []string{keyring.RS256, keyring.ES256, keyring.EdDSA}

func (s *Service) metadata() ([]byte, error) {
	grants := []string{grantCode}
	if s.ClientCredentials != nil || s.Connectors != nil {
		grants = append(grants, grantClient)
	}
	scopes := []string{scopeOpenID}
	for _, a := range s.Actions {
		scopes = append(scopes, ScopePrefix+string(a))
	}
	if s.Connectors != nil {
		scopes = append(scopes, string(client.ScopeSCIM))
	}
	return json.Marshal(metadata{
		Issuer: s.Base, Authorize: s.Base + PathAuthorize, Token: s.Base + PathToken, Userinfo: s.Base + PathUserinfo,
		Keys: s.Base + PathKeys, Push: s.Base + PathPush,
		ResponseTypes: []string{"code"}, ResponseModes: []string{"query"}, Grants: grants,
		Subjects: []string{string(client.Public), string(client.Pairwise)}, IDTokenAlgs: idTokenAlgs,
		Challenges: []string{"S256"}, Iss: true,
		TokenAuth:     []string{"private_key_jwt", "client_secret_basic", "client_secret_post"},
		TokenAuthAlgs: assertionAlgs, Scopes: scopes,
		Claims: []string{"iss", "sub", "aud", "iat", "exp", "jti", "nonce", "acr", ClaimResult}, ACRs: []string{ACR},
		Locales: slices.Clone(s.Languages), Prompts: []string{"login", "none"},
	})
}

// What may be kept of the provider, and how long. A key is published long before it signs, so that nothing kept for this
// long ever lacks the key of a token; one that was withdrawn is believed no longer than this.
const keepFor = "public, max-age=300"

func (s *Service) discovery(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", keepFor)
	s.json(w, http.StatusOK, json.RawMessage(s.config))
}

// jwks publishes the public halves of all keys of ID tokens: the next, the current and the retired ones.
func (s *Service) jwks(w http.ResponseWriter, r *http.Request) {
	keys, err := s.Signing.SigningKeys(r.Context(), keyring.ForIDTokens)
	var body []byte
	if err == nil {
		body, err = keyring.JWKS(keys...)
	}
	if err != nil {
		s.refuse(w, r, down(err))
		return
	}
	w.Header().Set("Cache-Control", keepFor)
	s.json(w, http.StatusOK, json.RawMessage(body))
}
