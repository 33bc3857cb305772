// Package config is everything an operator may set before regain starts, where it may be set, and what is wrong with it.
//
// A value comes from, later ones winning: the defaults · one YAML file · the environment (REGAIN_MAIL__HOST is
// mail.host, REGAIN_DIRECTORIES__0__BIND_DN is bind_dn of the first directory) · flags. Every secret x may be given as
// x_file, the path of a file that holds it. Load is strict: an unknown key, a value of the wrong kind or a setting that
// cannot work stops the start, and all faults are told at once, each with its place and the nearest name that exists.
//
// What people may do, and which proofs they need, is policy and stands in the database; see policy_file.
package config

import (
	"net/netip"
	"time"
)

// Config is the whole configuration. BaseURL and one directory are a working single node on SQLite. The comments of the
// fields are what Render and so `regain config show` print: there is no second description to fall behind.
// A Config is a value: it is not changed after Load, and copies may be read concurrently.
type Config struct {
	// The address people type, and the only one that ever stands in a link. https, or http on loopback only. Required.
	BaseURL string `key:"base_url"`
	// The host and port to serve people and programs on. Default localhost:8080; ":8443" is all addresses.
	Listen    string    `key:"listen"`
	Telemetry Telemetry `key:"telemetry"`
	TLS       TLS       `key:"tls"`
	// Addresses or networks of reverse proxies whose X-Forwarded-For is believed. Default none: the peer is the origin.
	// Too wide a list lets strangers choose their origin and so escape the limits.
	TrustedProxies []netip.Prefix `key:"trusted_proxies"`
	// postgres://USER:PASSWORD@HOST/NAME, or the path of a SQLite file. Default regain.db in the working directory.
	Database DSN `key:"database"`
	// The file with the keys that seal people's data; made by `regain key create`, mode 0600 or tighter. Default regain.key.
	// Without it sealed data cannot be read again: back it up apart from the database.
	KeyFile      string       `key:"key_file"`
	Organisation Organisation `key:"organisation"`
	Help         Help         `key:"help"`
	Links        Links        `key:"links"`
	Languages    Languages    `key:"languages"`
	// The password directories, in the order in which they are asked. At least one.
	Directories []Directory `key:"directories"`
	// Where people and staff sign in: OpenID Connect providers. Default none: nobody signs in, and ways are only
	// provisioned. With several, people choose.
	IDPs       []IDP      `key:"idps"`
	Link       Link       `key:"link"`
	Mail       Mail       `key:"mail"`
	SMS        SMS        `key:"sms"`
	Password   Password   `key:"password"`
	Receivers  Receivers  `key:"receivers"`
	Connectors Connectors `key:"connectors"`
	// A YAML file of policy rules, applied once for each new content. Default none: the rules in the database stay.
	PolicyFile string `key:"policy_file"`
	// The mail address told when somebody says "this was not me", and when a connector takes very many people away. Default
	// none: it stands in the events only.
	SecurityContact string `key:"security_contact"`
	Limits          Limits `key:"limits"`
	Log             Log    `key:"log"`
}

// Telemetry is where the operator's own tools look.
type Telemetry struct {
	// The host and port of /metrics and verbose health. Default localhost:9464; "off" serves neither. Keep it private.
	Listen string `key:"listen"`
}

// TLS is the server's own certificate. Both files or neither; without them a proxy in front must speak https.
type TLS struct {
	// The certificate with its chain, PEM. Default none. Read again when the file changes.
	CertFile string `key:"cert_file"`
	// Its private key, PEM. Default none. Read again when the file changes.
	KeyFile string `key:"key_file"`
}

// Organisation is whose pages these are. People see this name and never the software's.
type Organisation struct {
	// The name on pages, in mails and in text messages. Required.
	Name string `key:"name"`
	// A PNG, JPEG or WebP file of at most 256KiB shown on every page. Default none: the name in letters.
	LogoFile string `key:"logo_file"`
	// The colour of buttons and links: an OKLCH hue in degrees, 0 to 360. Default 262, a blue.
	Hue float64 `key:"hue"`
	// How strong that colour is: an OKLCH chroma, 0 (grey) to 0.25. Default 0.19.
	Chroma float64 `key:"chroma"`
	// Where people go to sign in when they are done. Default none: the last page has no such button.
	SignInURL string `key:"sign_in_url"`
	// The domains of mailboxes opened with the password that is to be reset; codes never go there. The way "email" is
	// off while this is unset. An organisation without own mailboxes writes ["none"].
	CorporateDomains []string `key:"corporate_domains"`
	// Words no password may contain, beside the organisation's name: products, places, the old names. Default none.
	Words []string `key:"words"`
}

// Help is whom people may ask. Each is one text for everybody or one for each language: {en: …, de: …}.
type Help struct {
	// A sentence or two shown wherever somebody may be stuck. Default none.
	Text Texts `key:"text"`
	// The helpdesk's telephone number as people dial it. Default none.
	Phone Texts `key:"phone"`
	// When it is answered. Default none.
	Hours Texts `key:"hours"`
	// A page with more. https. Default none.
	URL Texts `key:"url"`
}

// Links stand at the foot of every page. Each is one address for everybody or one for each language.
type Links struct {
	// The privacy notice. Default none: no link.
	Privacy Texts `key:"privacy"`
	// The accessibility statement. Default none: no link.
	Accessibility Texts `key:"accessibility"`
}

// Languages is what to speak when the browser asks for nothing we have.
type Languages struct {
	// A language tag, such as en or de. Default en.
	Default string `key:"default"`
}

// DirectoryKind names the adapter that speaks to a directory.
type DirectoryKind string

// The adapters.
const (
	DirectoryLDAP            DirectoryKind = "ldap"            // OpenLDAP with ppolicy
	DirectoryActiveDirectory DirectoryKind = "activedirectory" // Active Directory, of Windows or Samba
	DirectoryMemory          DirectoryKind = "memory"          // in this process; forgotten at the end; for trying out only
	DirectoryPlugin          DirectoryKind = "plugin"          // a program of somebody else's that is kept running
	DirectoryExec            DirectoryKind = "exec"            // the same, started for each request
)

// Directory is one place where passwords live.
type Directory struct {
	// A short name for logs, events and the command line: a to z, 0 to 9 and -, at most 32. Unique, and never changed
	// later: links between people and accounts hold it. Required.
	Name string `key:"name"`
	// ldap, activedirectory, memory, or for a program of your own: plugin, which is kept running, or exec, which is started for each
	// request. Default ldap.
	Kind DirectoryKind `key:"kind"`
	// ldaps://HOST:PORT, or with ldap ldap://HOST:PORT and start_tls; several are tried in order. Required for ldap, and for
	// activedirectory without domain.
	URLs []string `key:"urls"`
	// With activedirectory, instead of urls: the domain whose controllers DNS names. Default none.
	Domain string `key:"domain"`
	// With domain: the sites whose controllers are tried first, in order. Default none.
	Sites []string `key:"sites"`
	// With activedirectory: whether to prefer the controller that is the PDC emulator, to which the others turn with a password
	// that they do not know yet. Default false.
	PreferPDC bool `key:"prefer_pdc"`
	// Whether to turn an ldap:// connection into TLS before anything is said. Default false; required for ldap://.
	StartTLS bool `key:"start_tls"`
	// The authorities that may have signed the directory's certificate, PEM. Default: those of this machine.
	CAFile string `key:"ca_file"`
	// The name the certificate must carry when it is not the host of the URL. Default: that host.
	ServerName string `key:"server_name"`
	// The account that resets passwords, delegated to exactly that: a distinguished name, or with activedirectory a user
	// principal name. Required for both.
	BindDN string `key:"bind_dn"`
	// Its password. Required for both, here or as bind_password_file.
	BindPassword Secret `key:"bind_password"`
	// Where accounts are looked for. Required for both.
	BaseDN string `key:"base_dn"`
	// An LDAP filter that every account must also match. Default (objectClass=inetOrgPerson), with activedirectory
	// (&(objectCategory=person)(objectClass=user)).
	UserFilter string `key:"user_filter"`
	// The attributes a typed login name is compared with. Default uid and mail, with activedirectory sAMAccountName,
	// userPrincipalName and mail.
	LoginAttributes []string `key:"login_attributes"`
	// The password policy of accounts that name none of their own (ppolicy_default). Default none: only policies named
	// by an account can be shown before typing.
	DefaultPolicyDN string `key:"default_policy_dn"`
	// How long the directory still takes the old password after a reset, 0 to 24h; told on the last page. Default 0.
	OldPasswordWorks Duration          `key:"old_password_works"`
	Timeouts         DirectoryTimeouts `key:"timeouts"`
	// plugin and exec: the program and its arguments, one each, never through a shell. A relative name is below dir.
	Command []string `key:"command"`
	// plugin and exec: the folder in which relative names of files stand. Absolute, and writable by its owner
	// only. Required where a name is relative.
	Dir string `key:"dir"`
	// plugin and exec: every file the program is made of, the program itself and an interpreter included, each as sha256sum
	// prints it: 64 hex digits, two spaces, the name. What holds other bytes is not run.
	Files []string `key:"files"`
	// plugin and exec: the whole environment, each as NAME=VALUE. Nothing secret: that belongs into settings. Default none.
	Env []string `key:"env"`
	// plugin and exec: a Python environment; sets VIRTUAL_ENV, and PATH to it. What it holds is not pinned. Default none.
	Venv string `key:"venv"`
	// plugin and exec: the user to run as, which takes root. Default the one regain runs as.
	RunAs string `key:"run_as"`
	// plugin and exec: a file with a JSON object that is handed over in the first message; it may hold secrets, and nobody
	// else may read it. Default none.
	Settings string `key:"settings"`
}

// DirectoryTimeouts bound one call each. A write that outlives its own is "unknown", never "failed".
type DirectoryTimeouts struct {
	// To connect, including TLS, 100ms to 1m. Default 5s.
	Connect Duration `key:"connect"`
	// For one request and its answer, 100ms to 2m. Default 10s.
	Request Duration `key:"request"`
}

// StepUpRequest is how a provider is asked for a stronger sign-in.
type StepUpRequest string

// The ways to ask.
const (
	StepUpACRValues  StepUpRequest = "acr_values"  // by the standard parameter
	StepUpClaimsACR  StepUpRequest = "claims_acr"  // as an essential claim
	StepUpClaimsACRS StepUpRequest = "claims_acrs" // Entra ID's authentication contexts
	StepUpNone       StepUpRequest = "none"        // not at all: the provider decides by itself
)

// IDP is one identity provider at which people sign in.
type IDP struct {
	// A short name for paths, logs and events: a to z, 0 to 9 and -, at most 32. Unique, and never changed later: it is
	// part of the redirect address registered with the provider, BASE_URL/signin/NAME/callback. Required.
	Name string `key:"name"`
	// What people read when they choose. Default: the name.
	Label string `key:"label"`
	// The provider's issuer, to the letter as its discovery document says it. Required. For Entra ID the one with your
	// tenant's id, never "common" or "organizations".
	Issuer string `key:"issuer"`
	// The id under which this program is registered there. Required.
	ClientID string `key:"client_id"`
	// Its secret. Default none; this or key_file is required.
	ClientSecret Secret `key:"client_secret"`
	// A private key instead of a secret, PEM: RSA of 2048 bits or more, ECDSA on P-256 or Ed25519 (private_key_jwt).
	// Better than a secret: it never travels. Default none. The public half is registered with the provider.
	KeyFile string `key:"key_file"`
	// The key's id at the provider. Default: its thumbprint (RFC 7638), as `regain check` prints it.
	KeyID string `key:"key_id"`
	// What is asked for. Default openid and profile. Ask for what link.signin.claim and role_claims need.
	Scopes []string  `key:"scopes"`
	StepUp IDPStepUp `key:"step_up"`
	// What the provider may tell about its people (Shared Signals Framework): sessions that ended there, accounts in other
	// hands, accounts that are shut. Default none: it is not listened to.
	Events IDPEvents `key:"events"`
	// Values of step_up.claim that stand for a sign-in without any password, such as a passkey: with one of them a sign-in
	// made for it proves who somebody is when they reset their password. Default none: a work sign-in proves nothing.
	NoPassword []string `key:"no_password"`
	// The claim that never changes for an account and is never given to another: sub; oid for Entra ID. Default sub. Never
	// changed later: accounts are known by it.
	Claim string `key:"claim"`
	// The SCIM attribute that holds the subject (sub) people have at this provider: userName, externalId or emails.work. With
	// it receivers of events are told of people before their first sign-in. Default none: a subject is learned at a sign-in.
	SubjectAttribute string `key:"subject_attribute"`
	// The connectors whose people this provider may speak for. Default everybody's; required when there are several
	// providers, or one could sign in as the people of another.
	People []string `key:"people"`
	// The claims whose values may make somebody staff; a dot reaches into an object, as in realm_access.roles. Default
	// groups and roles.
	RoleClaims []string `key:"role_claims"`
	// The page where people see and change how they sign in at the provider. Default none: no link.
	AccountURL string `key:"account_url"`
	// The authorities that may have signed the provider's certificate, PEM. Default: those of this machine.
	CAFile string `key:"ca_file"`
	// Whether the provider's addresses may be private (10.0.0.0/8, loopback, …). Default false: they are refused on connect.
	AllowPrivate bool `key:"allow_private"`
}

// IDPEvents is how a provider pushes security events (RFC 8935), to BASE_URL/signin/NAME/events. Give the token to turn it
// on.
type IDPEvents struct {
	// What the provider sends in the Authorization header, after "Bearer ": at least 32 characters. Required.
	Token Secret `key:"token"`
	// Who signs the events, to the letter. Default: the provider's issuer.
	Issuer string `key:"issuer"`
	// Where the keys are that sign them. Default: as the transmitter's own document says
	// (/.well-known/ssf-configuration); without such a document, the keys of the provider's ID tokens.
	JWKSURI string `key:"jwks_uri"`
	// Who the events must be meant for. Default: base_url.
	Audience string `key:"audience"`
}

// On reports whether the provider is listened to.
func (e IDPEvents) On() bool { return e.Token.Set() }

// IDPStepUp is how a stronger sign-in is asked for, and by what it is recognised. Only the answer counts.
type IDPStepUp struct {
	// acr_values, claims_acr, claims_acrs (Entra ID) or none. Default acr_values.
	Request StepUpRequest `key:"request"`
	// The values of the claim that are strong enough, compared to the letter. Default none: people of this provider can
	// register nothing and be no staff.
	Accept []string `key:"accept"`
	// The claim in which they stand: acr, acrs or amr. Default acr.
	Claim string `key:"claim"`
	// How long ago they may have signed in at the provider, 0 to 5m. Default 5m; 0 asks for a fresh sign-in each time.
	MaxAge Duration `key:"max_age"`
	// login to have the provider ask for everything anew. Default none.
	Prompt string `key:"prompt"`
}

// Link is how a person and an account are found to be one.
type Link struct {
	SignIn    LinkSignIn    `key:"signin"`
	Directory LinkDirectory `key:"directory"`
}

// LinkSignIn compares a claim of a first sign-in with one attribute of the person; exactly one match ties the account to
// the person, for good.
type LinkSignIn struct {
	// The claim. Default preferred_username. People must not be able to change it by themselves: whoever can call
	// themselves like somebody else is that person here at their first sign-in. email counts only with email_verified.
	Claim string `key:"claim"`
	// A SCIM attribute: userName, externalId, or emails.work for the work address. Default userName.
	Person string `key:"person"`
}

// LinkDirectory compares one attribute of the person with one of the account; exactly one match is a link.
type LinkDirectory struct {
	// A SCIM attribute: userName, externalId, or emails.work for the work address. Default userName.
	Person string `key:"person"`
	// The account's attribute. Default uid. It must be unique in the directory, and people must not be able to write it.
	Attribute string `key:"attribute"`
}

// MailTLS says how the connection to the mail server is protected.
type MailTLS string

// The ways.
const (
	MailStartTLS MailTLS = "starttls" // required, not opportunistic
	MailTLSFirst MailTLS = "tls"      // from the first byte
	MailPlain    MailTLS = "none"     // loopback only
)

// Mail is how mail leaves. Without a host no mail is sent, and with it no codes and no notices by mail.
type Mail struct {
	// The SMTP server. Default none.
	Host string `key:"host"`
	// Its port, 1 to 65535. Default 587 with starttls, 465 with tls, 25 with none.
	Port int `key:"port"`
	// starttls, tls or none (loopback only). Default starttls; a server that does not offer it gets no mail.
	TLS MailTLS `key:"tls"`
	// The name to sign in with. Default none: no sign-in.
	User string `key:"user"`
	// Its password, here or as password_file.
	Password Secret `key:"password"`
	// The sender, such as "Example Ltd <account@example.org>". Required with a host.
	From string `key:"from"`
	// The authorities that may have signed the mail server's certificate, PEM. Default: those of this machine.
	CAFile string `key:"ca_file"`
}

// SMS is how text messages leave. Without a webhook the ways "sms" and "voice" are off.
type SMS struct {
	Webhook Webhook `key:"webhook"`
	// The countries a message may go to, as two letters (DE, AT). Default: the default region only. Each more is a
	// chance for fraud by premium numbers.
	Countries []string `key:"countries"`
	// The country of numbers written without one, as two letters. Required with a webhook.
	DefaultRegion string `key:"default_region"`
	// How many messages may leave in a day in all, 1 to 1000000. Default 1000; beyond, none leaves and staff are told.
	DailyBudget int `key:"daily_budget"`
}

// Webhook is a program of the operator's that hands a message to a provider.
type Webhook struct {
	// Where to POST. https, or http on loopback. Default none.
	URL string `key:"url"`
	// The key of its HMAC-SHA-256 signature, at least 32 bytes, here or as secret_file. Required with a url.
	Secret Secret `key:"secret"`
	// Whether the address may be private (10.0.0.0/8, loopback, …). Default false: such a target is refused on connect.
	AllowPrivate bool `key:"allow_private"`
}

// Receivers are other systems that hear what happened; `regain receiver create` registers them.
type Receivers struct {
	// Private addresses or networks that events may be sent to. Default none: whatever a receiver's name resolves to, only
	// public addresses are connected to. Name single machines: who registers a receiver chooses what in here is asked.
	Allow []netip.Prefix `key:"allow"`
}

// Connectors are the identity providers that provision people by SCIM; `regain connector create` registers them.
type Connectors struct {
	// Private addresses or networks where connectors may publish the keys they sign with. Default none: whatever the name in a
	// key set's address resolves to, only public addresses are connected to. Name single machines.
	Allow []netip.Prefix `key:"allow"`
}

// Password is what every new password must satisfy, beside the policy and the directory's own rules.
type Password struct {
	// A filter of breached passwords, built by `regain import breached`. Default none: only the embedded list of the commonest.
	BreachedFile string `key:"breached_file"`
	// More passwords to refuse, one a line, UTF-8. Default none.
	BlocklistFile string `key:"blocklist_file"`
}

// Limits lower how often something may happen. Each default is also the most, and each has a least below which people
// could no longer get in; none can be switched off.
type Limits struct {
	// Tries begun from one origin in ten minutes, 3 to 20. Default 20.
	StartsPerOrigin int `key:"starts_per_origin"`
	// Codes looked at for one origin in an hour, 5 to 60. Default 60.
	FailuresPerOrigin int `key:"failures_per_origin"`
	// Codes sent to one person a day on behalf of one origin, 1 to 3. Default 3.
	SendsPerOrigin int `key:"sends_per_origin"`
	// Codes sent to one person a day on behalf of all strangers together, 3 to 12. Default 12.
	SendsPerPerson int `key:"sends_per_person"`
	// Text messages to one number range (country and first digits) in an hour, 1 to 20. Default 20.
	SMSPerPrefix int `key:"sms_per_prefix"`
}

// LogLevel is the least serious line that is written.
type LogLevel string

// LogFormat is the shape of a log line.
type LogFormat string

// The levels and formats.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"

	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// Log is what is written to standard error. No level writes codes, passwords or whole addresses.
type Log struct {
	// debug, info, warn or error. Default info.
	Level LogLevel `key:"level"`
	// json or text. Default json.
	Format LogFormat `key:"format"`
}

// Defaults returns what holds when nothing is set. It does not pass Check: who the organisation is, its address and its
// directory cannot be guessed.
func Defaults() Config {
	return Config{
		Listen:       "localhost:8080",
		Telemetry:    Telemetry{Listen: "localhost:9464"},
		Database:     DSN{Secret{value: "regain.db"}},
		KeyFile:      "regain.key",
		Organisation: Organisation{Hue: 262, Chroma: 0.19},
		Languages:    Languages{Default: "en"},
		Link: Link{SignIn: LinkSignIn{Claim: "preferred_username", Person: "userName"},
			Directory: LinkDirectory{Person: "userName", Attribute: "uid"}},
		Mail:   Mail{TLS: MailStartTLS},
		SMS:    SMS{DailyBudget: 1000},
		Limits: mostLimits,
		Log:    Log{Level: LogInfo, Format: LogJSON},
	}
}

// mostLimits are the defaults and the ceilings at once: an operator may only lower them.
var mostLimits = Limits{StartsPerOrigin: 20, FailuresPerOrigin: 60, SendsPerOrigin: 3,
	SendsPerPerson: 12, SMSPerPrefix: 20}

// leastLimits are the floors: below them a person who mistypes once could not get in.
var leastLimits = Limits{StartsPerOrigin: 3, FailuresPerOrigin: 5, SendsPerOrigin: 1,
	SendsPerPerson: 3, SMSPerPrefix: 1}

// setDefaults fills what a listed provider left out.
func (i *IDP) setDefaults() {
	*i = IDP{
		Scopes:     []string{"openid", "profile"},
		StepUp:     IDPStepUp{Request: StepUpACRValues, Claim: "acr", MaxAge: Duration(5 * time.Minute)},
		Claim:      "sub",
		RoleClaims: []string{"groups", "roles"},
	}
}

// MailPort returns the port to use: the one set, or the usual one of the TLS mode.
func (m Mail) MailPort() int {
	switch {
	case m.Port != 0:
		return m.Port
	case m.TLS == MailTLSFirst:
		return 465
	case m.TLS == MailPlain:
		return 25
	}
	return 587
}

// Domains returns the corporate domains, lower case, and whether the way "email" may be on at all: it is off until an
// operator has said which mailboxes the lost password opens. ["none"] is no domain and on.
func (o Organisation) Domains() (domains []string, on bool) {
	if len(o.CorporateDomains) == 1 && o.CorporateDomains[0] == "none" {
		return nil, true
	}
	return o.CorporateDomains, len(o.CorporateDomains) > 0
}

// Regions returns the countries a text message may go to: those listed, else the default region.
func (s SMS) Regions() []string {
	if len(s.Countries) == 0 && s.DefaultRegion != "" {
		return []string{s.DefaultRegion}
	}
	return s.Countries
}
