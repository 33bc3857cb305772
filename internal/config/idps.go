package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	claimName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:/-]{0,127}$`)
	connectorName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// movable are claims that can be given to somebody else, or that people change by themselves: they name nobody for good.
var movable = []string{"email", "preferred_username", "upn", "unique_name", "name", "nickname", "given_name", "family_name", "phone_number", "login_hint"}

func (k *checker) idps(all []IDP) {
	for i, p := range all {
		key := "idps." + strconv.Itoa(i)
		if !directoryName.MatchString(p.Name) {
			k.fault(key+".name", "want a to z, 0 to 9 and -, at most 32, have %q", p.Name)
		}
		same := func(other IDP) bool { return other.Name == p.Name && p.Name != "" }
		if slices.ContainsFunc(all[:i], same) {
			k.fault(key+".name", "%q is the name of another provider, too", p.Name)
		}
		k.line(key+".label", p.Label, 60)
		k.issuer(key, p)
		k.line(key+".client_id", p.ClientID, 256)
		if p.ClientID == "" {
			k.fault(key+".client_id", "is required: the id under which this program is registered there")
		}
		switch {
		case !p.ClientSecret.Set() && p.KeyFile == "":
			k.fault(key+".client_secret", "is required, here or as client_secret_file, or a key_file instead")
		case p.ClientSecret.Set() && p.KeyFile != "":
			k.fault(key+".key_file", "give a secret or a key, not both")
		}
		if p.KeyID != "" && p.KeyFile == "" {
			k.fault(key+".key_id", "is the id of a key: want key_file, too")
		}
		k.line(key+".key_id", p.KeyID, 256)
		k.scopes(key+".scopes", p.Scopes)
		k.stepUp(key, p)
		k.events(key, p)
		if !claimName.MatchString(p.Claim) {
			k.fault(key+".claim", "want a claim such as sub or oid, have %q", p.Claim)
		} else if slices.Contains(movable, p.Claim) {
			k.fault(key+".claim", "%s can be given to somebody else: want one that never is, such as sub or oid", p.Claim)
		}
		if len(all) > 1 && len(p.People) == 0 {
			k.fault(key+".people", "is required with several providers: the connectors whose people this one may speak for")
		}
		for j, c := range p.People {
			if !connectorName.MatchString(c) {
				k.fault(key+".people."+strconv.Itoa(j), "want the name of a connector, have %q", c)
			}
		}
		if p.SubjectAttribute != "" {
			k.oneOf(key+".subject_attribute", p.SubjectAttribute, "userName", "externalId", "emails.work")
		}
		for j, c := range p.RoleClaims {
			if !claimName.MatchString(c) {
				k.fault(key+".role_claims."+strconv.Itoa(j), "want a claim such as groups, have %q", c)
			}
		}
		if p.AccountURL != "" {
			k.url(key+".account_url", p.AccountURL)
		}
	}
}

// issuer is an identifier that is compared to the letter, and the address of the discovery document.
func (k *checker) issuer(key string, p IDP) {
	if p.Issuer == "" {
		k.fault(key+".issuer", "is required, such as https://login.example.org")
		return
	}
	u := k.url(key+".issuer", p.Issuer)
	if u == nil {
		return
	}
	if u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(p.Issuer, "?") || strings.HasSuffix(p.Issuer, "#") {
		k.fault(key+".issuer", "want no query and no fragment, have %q", p.Issuer)
	}
	if strings.HasSuffix(u.Path, "/.well-known/openid-configuration") {
		k.fault(key+".issuer", "is the address of the document: want the issuer it names")
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if part == "common" || part == "organizations" || part == "consumers" || strings.ContainsAny(part, "{}") {
			k.fault(key+".issuer", "stands for every tenant: want the one with your tenant's id, have %q", p.Issuer)
			break
		}
	}
	if loopback(u.Hostname()) && !p.AllowPrivate {
		k.fault(key+".allow_private", "want true: %s is on this machine and would be refused on connect", u.Host)
	}
}

func (k *checker) events(key string, p IDP) {
	e, at := p.Events, key+".events"
	if e == (IDPEvents{}) {
		return
	}
	if token := e.Token.Reveal(); len(token) < minEventsToken {
		k.fault(at+".token", "is required, here or as token_file: at least %d characters that nobody can guess", minEventsToken)
	} else if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) || len(token) > 1000 {
		k.fault(at+".token", "want at most 1000 letters, digits and signs, without spaces: it travels in a header")
	}
	for name, address := range map[string]string{"issuer": e.Issuer, "jwks_uri": e.JWKSURI} {
		if address == "" {
			continue
		}
		u := k.url(at+"."+name, address)
		if u == nil {
			continue
		}
		if u.Scheme != "https" && !strings.HasPrefix(p.Issuer, "http://") {
			k.fault(at+"."+name, "want https, have %q", address)
		}
		if name == "issuer" && (u.RawQuery != "" || u.Fragment != "") {
			k.fault(at+"."+name, "want no query and no fragment, have %q", address)
		}
	}
	k.line(at+".audience", e.Audience, 256)
}

// minEventsToken is the shortest token of a transmitter, in characters.
const minEventsToken = 32

func (k *checker) scopes(key string, all []string) {
	if !slices.Contains(all, "openid") {
		k.fault(key, "want openid among them")
	}
	for i, s := range all {
		switch {
		case s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }):
			k.fault(key+"."+strconv.Itoa(i), "want a scope such as profile, have %q", s)
		case s == "offline_access":
			k.fault(key+"."+strconv.Itoa(i), "offline_access: nothing is done at the provider while nobody is here")
		}
	}
}

func (k *checker) stepUp(key string, p IDP) {
	s, at := p.StepUp, key+".step_up"
	k.oneOf(at+".request", string(s.Request), "acr_values", "claims_acr", "claims_acrs", "none")
	k.oneOf(at+".claim", s.Claim, "acr", "acrs", "amr")
	switch {
	case s.Request == StepUpClaimsACRS && s.Claim != "acrs":
		k.fault(at+".claim", "want acrs: what is asked for comes back there")
	case s.Request == StepUpClaimsACR && s.Claim != "acr":
		k.fault(at+".claim", "want acr: what is asked for comes back there")
	case s.Request == StepUpACRValues && s.Claim == "acrs":
		k.fault(at+".request", "want claims_acrs: acr_values does not ask for acrs")
	}
	if s.Prompt != "" && s.Prompt != "login" {
		k.fault(at+".prompt", "want login, or leave it out, have %q", s.Prompt)
	}
	k.between(at+".max_age", s.MaxAge, 0, 5*time.Minute)
	k.accept(at+".accept", s.Accept)
	k.accept(key+".no_password", p.NoPassword)
	for i, v := range p.NoPassword {
		if withPassword(v) {
			k.fault(key+".no_password."+strconv.Itoa(i), "%q is a sign-in with a password: it cannot replace one", v)
		}
	}
}

// accept refuses values that prove nothing. Okta's ifpossible asks for a second factor and takes its absence.
func (k *checker) accept(key string, values []string) {
	for i, v := range values {
		at := key + "." + strconv.Itoa(i)
		switch {
		case v == "" || len(v) > 256 || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			k.fault(at, "want a value without spaces, have %q", v)
		case strings.Contains(strings.ToLower(v), "ifpossible"):
			k.fault(at, "%q is only a wish: the provider answers it without a second factor, too", v)
		case v == "0":
			k.fault(at, "0 says that nothing was proved just now (OIDC Core §2)")
		}
	}
}

// withPassword knows the values by which providers say that a password was used.
func withPassword(v string) bool {
	return slices.Contains([]string{"pwd", "urn:okta:loa:1fa:pwd", "urn:okta:loa:1fa:any", "urn:okta:loa:2fa:any",
		"http://schemas.microsoft.com/claims/multipleauthn", "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
		"urn:oasis:names:tc:SAML:2.0:ac:classes:Password"}, v)
}

func (p IDP) hints() (hints []string) {
	hint := func(when bool, say string) {
		if when {
			hints = append(hints, "provider "+p.Name+": "+say)
		}
	}
	hint(len(p.StepUp.Accept) == 0, "step_up.accept is not set: its people can register nothing and be no staff")
	hint(slices.ContainsFunc(p.StepUp.Accept, func(v string) bool { return v == "pwd" || strings.HasPrefix(v, "urn:okta:loa:1fa:") }),
		"step_up.accept takes a sign-in with one factor: whoever knows the password may change everything")
	hint(slices.Contains(p.NoPassword, "mfa"), "no_password takes mfa, which most providers say of a password and a second step: the password then helps to replace itself")
	hint(p.ClientSecret.Set(), "client_secret travels with every sign-in: a key_file never does")
	return hints
}
