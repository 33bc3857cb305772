package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/net/idna"
	"golang.org/x/text/language"
)

// checker gathers faults.
type checker struct{ found []error }

func (k *checker) fault(key, format string, args ...any) {
	k.found = append(k.found, &Fault{Key: key, Say: fmt.Sprintf(format, args...)})
}

// Check reports every setting that cannot work, each a *Fault that names the key to change. It looks at values only, so
// it says the same on every machine; CheckFiles looks at the files they name.
func (c Config) Check() error {
	k := &checker{}
	k.address(c)
	k.organisation(c)
	k.directories(c.Directories)
	k.idps(c.IDPs)
	k.link(c.Link)
	k.mail(c.Mail)
	k.sms(c.SMS)
	k.allowed("receivers", "events go to", "receivers", c.Receivers.Allow)
	k.allowed("connectors", "keys be read from", "connectors", c.Connectors.Allow)
	if c.SecurityContact != "" {
		k.mailAddress("security_contact", c.SecurityContact)
	}
	k.limits(c.Limits)
	k.oneOf("log.level", string(c.Log.Level), "debug", "info", "warn", "error")
	k.oneOf("log.format", string(c.Log.Format), "json", "text")
	return errors.Join(k.found...)
}

func (k *checker) address(c Config) {
	if c.BaseURL == "" {
		k.fault("base_url", "is required: the address people type, such as https://account.example.org")
	} else if u := k.url("base_url", c.BaseURL); u != nil {
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			k.fault("base_url", "want scheme and host only, have %q: pages stand at the root", c.BaseURL)
		}
	}
	k.listen("listen", c.Listen)
	if c.Telemetry.Listen != "off" {
		k.listen("telemetry.listen", c.Telemetry.Listen)
		if c.Telemetry.Listen == c.Listen {
			k.fault("telemetry.listen", "is the same as listen: telemetry is not for the public")
		}
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		k.fault("tls", "want both cert_file and key_file, or neither")
	}
	for i, p := range c.TrustedProxies {
		if !p.IsValid() || p.Bits() == 0 {
			k.fault("trusted_proxies."+strconv.Itoa(i), "would believe everybody: want the addresses of your proxies")
		}
	}
	switch d := c.Database; {
	case !d.Set():
		k.fault("database", "is required: postgres://… or the path of a SQLite file")
	case d.Postgres():
		if u, err := url.Parse(d.Reveal()); err != nil || u.Path == "/" || u.Path == "" {
			k.fault("database", "want postgres://USER@HOST/NAME")
		}
	case strings.Contains(d.Reveal(), "://") || strings.HasPrefix(d.Reveal(), "file:") || d.Reveal() == ":memory:":
		k.fault("database", "want postgres://… or the path of a SQLite file")
	}
	if c.KeyFile == "" {
		k.fault("key_file", "is required: nothing can be sealed without keys")
	}
}

// listen takes HOST:PORT; the host may be empty, the port may be 0 for any free one.
func (k *checker) listen(key, s string) {
	_, port, err := net.SplitHostPort(s)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n > 65535 {
		k.fault(key, "want host:port, such as localhost:8080 or :8443, have %q", s)
	}
}

// url takes https, or http on loopback, and nothing that could carry a password.
func (k *checker) url(key, s string) *url.URL {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http":
		k.fault(key, "want an address such as https://example.org, have %q", s)
	case u.User != nil:
		k.fault(key, "holds a user name or a password: such addresses end up in logs")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		k.fault(key, "want https: http is for loopback only, have %q", s)
	default:
		return u
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func (k *checker) organisation(c Config) {
	o := c.Organisation
	k.line("organisation.name", o.Name, 100)
	if strings.TrimSpace(o.Name) == "" {
		k.fault("organisation.name", "is required: it stands on every page and in every message")
	}
	if !(o.Hue >= 0 && o.Hue <= 360) {
		k.fault("organisation.hue", "want 0 to 360 degrees, have %g", o.Hue)
	}
	if !(o.Chroma >= 0 && o.Chroma <= 0.25) {
		k.fault("organisation.chroma", "want 0 to 0.25, have %g", o.Chroma)
	}
	if o.SignInURL != "" {
		k.url("organisation.sign_in_url", o.SignInURL)
	}
	for i, d := range o.CorporateDomains {
		if d == "none" && len(o.CorporateDomains) == 1 {
			break
		}
		ascii, err := idna.Lookup.ToASCII(d)
		if err != nil || ascii != d || !strings.Contains(d, ".") || net.ParseIP(d) != nil {
			k.fault("organisation.corporate_domains."+strconv.Itoa(i), "want a domain in small letters such as example.org, have %q", d)
		}
	}
	for i, w := range o.Words {
		if n := len([]rune(w)); n < 3 || n > 64 {
			k.fault("organisation.words."+strconv.Itoa(i), "want 3 to 64 characters, have %d: shorter ones stand in everything", n)
		}
	}
	k.texts("help.text", c.Help.Text, 500, false)
	k.texts("help.phone", c.Help.Phone, 60, false)
	k.texts("help.hours", c.Help.Hours, 120, false)
	k.texts("help.url", c.Help.URL, 500, true)
	k.texts("links.privacy", c.Links.Privacy, 500, true)
	k.texts("links.accessibility", c.Links.Accessibility, 500, true)
	if _, err := language.Parse(c.Languages.Default); err != nil {
		k.fault("languages.default", "want a language such as en or de, have %q", c.Languages.Default)
	}
}

// line refuses what could begin a second header or a second message.
func (k *checker) line(key, s string, most int) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' }) {
		k.fault(key, "holds a line break or a control character")
	}
	if n := len([]rune(s)); n > most {
		k.fault(key, "has %d characters, at most %d", n, most)
	}
}

func (k *checker) texts(key string, t Texts, most int, isURL bool) {
	for _, tag := range sorted(t) {
		at := key
		if tag != "" {
			at = join(key, tag)
			if _, err := language.Parse(tag); err != nil {
				k.fault(at, "want a language such as en or de, have %q", tag)
			}
		}
		if isURL {
			k.url(at, t[tag])
		}
		k.line(at, t[tag], most)
	}
}

var (
	directoryName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	attributeName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]{0,63}$`)
)

func (k *checker) directories(all []Directory) {
	if len(all) == 0 {
		k.fault("directories", "is required: at least one place where passwords live")
	}
	for i, d := range all {
		key := "directories." + strconv.Itoa(i)
		if !directoryName.MatchString(d.Name) {
			k.fault(key+".name", "want a to z, 0 to 9 and -, at most 32, have %q", d.Name)
		}
		if slices.ContainsFunc(all[:i], func(other Directory) bool { return other.Name == d.Name }) && d.Name != "" {
			k.fault(key+".name", "%q is the name of another directory, too", d.Name)
		}
		if w := d.OldPasswordWorks.Std(); w < 0 || w > 24*time.Hour {
			k.fault(key+".old_password_works", "want 0 to 24h, have %s", d.OldPasswordWorks)
		}
		k.between(key+".timeouts.connect", d.Timeouts.Connect, 100*time.Millisecond, time.Minute)
		k.between(key+".timeouts.request", d.Timeouts.Request, 100*time.Millisecond, 2*time.Minute)
		k.oneOf(key+".kind", string(d.Kind), "ldap", "activedirectory", "memory", "plugin", "exec")
		switch d.Kind {
		case DirectoryLDAP:
			k.ldap(key, d)
		case DirectoryActiveDirectory:
			k.activeDirectory(key, d)
		case DirectoryPlugin, DirectoryExec:
			k.program(key, d)
		}
		if d.Kind != DirectoryActiveDirectory && (d.Domain != "" || len(d.Sites) > 0 || d.PreferPDC) {
			k.fault(key+".domain", "domain, sites and prefer_pdc belong to kind activedirectory")
		}
	}
}

var (
	domainName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$`)
	siteName   = regexp.MustCompile(`^[\pL\pN]([\pL\pN_-]{0,61}[\pL\pN])?$`)
)

func (k *checker) activeDirectory(key string, d Directory) {
	switch {
	case len(d.URLs) == 0 && d.Domain == "":
		k.fault(key+".urls", "is required, or domain: ldaps://DC1.AD.EXAMPLE.ORG")
	case len(d.URLs) > 0 && d.Domain != "":
		k.fault(key+".domain", "stands beside urls: want one of them")
	case d.Domain != "" && !domainName.MatchString(d.Domain):
		k.fault(key+".domain", "want a name as it is in DNS, such as ad.example.org, have %q", d.Domain)
	case len(d.Sites) > 0 && d.Domain == "":
		k.fault(key+".sites", "are looked up in DNS: set domain instead of urls")
	}
	for i, site := range d.Sites {
		if !siteName.MatchString(site) {
			k.fault(key+".sites."+strconv.Itoa(i), "want the name of a site, have %q", site)
		}
	}
	for i, s := range d.URLs {
		at := key + ".urls." + strconv.Itoa(i)
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Scheme != "ldap" && u.Scheme != "ldaps":
			k.fault(at, "want ldaps://HOST, have %q", s)
		case u.User != nil:
			k.fault(at, "holds a user name or a password: use bind_dn and bind_password")
		case u.Scheme == "ldap" || d.StartTLS:
			k.fault(at, "want ldaps://HOST without start_tls: Active Directory takes passwords over TLS only")
		case u.Port() == "3268" || u.Port() == "3269" || u.Port() == "389":
			k.fault(at, "want port 636: 389 is not TLS, and the global catalog takes no writes")
		}
	}
	if !strings.Contains(d.BindDN, "@") || strings.Contains(d.BindDN, "=") {
		k.dn(key+".bind_dn", d.BindDN, true)
	}
	if d.DefaultPolicyDN != "" {
		k.fault(key+".default_policy_dn", "belongs to kind ldap: Active Directory tells the policy of each account itself")
	}
	k.accounts(key, d)
}

func (k *checker) ldap(key string, d Directory) {
	if len(d.URLs) == 0 {
		k.fault(key+".urls", "is required: ldaps://HOST:636")
	}
	for i, s := range d.URLs {
		at := key + ".urls." + strconv.Itoa(i)
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Hostname() == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			k.fault(at, "want ldaps://HOST:PORT or ldap://HOST:PORT, have %q", s)
		case u.User != nil:
			k.fault(at, "holds a user name or a password: use bind_dn and bind_password")
		case u.Scheme == "ldap" && !d.StartTLS:
			k.fault(at, "want ldaps, or start_tls: true: passwords never travel in clear")
		case u.Scheme == "ldaps" && d.StartTLS:
			k.fault(at, "ldaps is TLS already: leave start_tls out")
		}
	}
	k.dn(key+".bind_dn", d.BindDN, true)
	k.dn(key+".default_policy_dn", d.DefaultPolicyDN, false)
	k.accounts(key, d)
}

// accounts checks where and how people are found.
func (k *checker) accounts(key string, d Directory) {
	k.dn(key+".base_dn", d.BaseDN, true)
	if !d.BindPassword.Set() {
		k.fault(key+".bind_password", "is required, here or as bind_password_file")
	}
	if _, err := ldap.CompileFilter(d.UserFilter); err != nil {
		k.fault(key+".user_filter", "is no LDAP filter, have %q", d.UserFilter)
	}
	if len(d.LoginAttributes) == 0 {
		k.fault(key+".login_attributes", "is required: with none nobody can be found")
	}
	for i, a := range d.LoginAttributes {
		if !attributeName.MatchString(a) {
			k.fault(key+".login_attributes."+strconv.Itoa(i), "want an attribute such as uid, have %q", a)
		}
	}
}

// program checks what can be said without looking at files: that the program is pinned, and by names that mean one file.
func (k *checker) program(key string, d Directory) {
	if len(d.Command) == 0 {
		k.fault(key+".command", "is required: the program and its arguments, such as [/usr/bin/python3, -s, -B, adapter.py]")
	}
	for name, path := range map[string]string{"dir": d.Dir, "venv": d.Venv, "settings": d.Settings} {
		if path != "" && !filepath.IsAbs(path) {
			k.fault(key+"."+name, "want an absolute path, have %q", path)
		}
	}
	pinned, relative := false, false
	for i, line := range d.Files {
		if !pin.MatchString(line) {
			k.fault(key+".files."+strconv.Itoa(i), "want a line that sha256sum prints: 64 hex digits, two spaces, a name; have %q", line)
			continue
		}
		name := line[66:]
		pinned = pinned || len(d.Command) > 0 && name == d.Command[0]
		relative = relative || !filepath.IsAbs(name)
	}
	if len(d.Command) > 0 && !pinned {
		k.fault(key+".files", "%s is run and not pinned: add the line that `sha256sum %s` prints", d.Command[0], d.Command[0])
	}
	if relative && d.Dir == "" {
		k.fault(key+".dir", "is required: the folder in which the relative names of files stand")
	}
	for i, e := range d.Env {
		if !environmentEntry.MatchString(e) {
			k.fault(key+".env."+strconv.Itoa(i), "want NAME=VALUE")
		}
	}
}

// pin is a line of sha256sum.
var pin = regexp.MustCompile(`^[0-9a-f]{64} [ *]\S.*$`)

var environmentEntry = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=[^\x00]*$`)

func (k *checker) dn(key, s string, required bool) {
	if s == "" {
		if required {
			k.fault(key, "is required, such as ou=people,dc=example,dc=org")
		}
		return
	}
	if _, err := ldap.ParseDN(s); err != nil {
		k.fault(key, "want a distinguished name such as ou=people,dc=example,dc=org, have %q", s)
	}
}

func (k *checker) link(l Link) {
	k.oneOf("link.directory.person", l.Directory.Person, "userName", "externalId", "emails.work")
	if !attributeName.MatchString(l.Directory.Attribute) {
		k.fault("link.directory.attribute", "want an attribute such as uid, have %q", l.Directory.Attribute)
	}
	k.oneOf("link.signin.person", l.SignIn.Person, "userName", "externalId", "emails.work")
	if !claimName.MatchString(l.SignIn.Claim) {
		k.fault("link.signin.claim", "want a claim such as preferred_username, have %q", l.SignIn.Claim)
	}
}

func (k *checker) mail(m Mail) {
	k.oneOf("mail.tls", string(m.TLS), "starttls", "tls", "none")
	if m.Port < 0 || m.Port > 65535 {
		k.fault("mail.port", "want 1 to 65535, have %d", m.Port)
	}
	if m.Host == "" {
		if m.User != "" || m.Password.Set() || m.From != "" || m.Port != 0 {
			k.fault("mail.host", "is required when other keys of mail are set")
		}
		return
	}
	if strings.ContainsAny(m.Host, ":/@ ") && net.ParseIP(m.Host) == nil {
		k.fault("mail.host", "want a host alone, have %q", m.Host)
	}
	if m.TLS == MailPlain && !loopback(m.Host) {
		k.fault("mail.tls", "none is for loopback only: codes never travel in clear")
	}
	if m.From == "" {
		k.fault("mail.from", "is required with a host")
	} else {
		k.mailAddress("mail.from", m.From)
	}
	if (m.User == "") != !m.Password.Set() {
		k.fault("mail.user", "want both user and password, or neither")
	}
}

func (k *checker) mailAddress(key, s string) {
	if a, err := mail.ParseAddress(s); err != nil || strings.ContainsAny(s, "\r\n") || !strings.Contains(a.Address, "@") {
		k.fault(key, "want a mail address, have %q", s)
	}
}

// linkLocal is where machines of a cloud find their own credentials, and where no receiver and no key set stands.
var linkLocal = []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")}

// allowed looks at the private networks that something may be reached in.
func (k *checker) allowed(section string, what, whose string, allow []netip.Prefix) {
	for i, p := range allow {
		key := section + ".allow." + strconv.Itoa(i)
		switch {
		case !p.IsValid() || p.Bits() == 0:
			k.fault(key, "would let %s every address there is: want the addresses of your %s", what, whose)
		case slices.ContainsFunc(linkLocal, p.Overlaps):
			k.fault(key, "has link-local addresses in it: machines of a cloud get their credentials there")
		}
	}
}

func (k *checker) sms(s SMS) {
	if s.DailyBudget < 1 || s.DailyBudget > 1_000_000 {
		k.fault("sms.daily_budget", "want 1 to 1000000, have %d", s.DailyBudget)
	}
	region := func(key, code string) {
		r, err := language.ParseRegion(code)
		if err != nil || !r.IsCountry() || code != strings.ToUpper(code) || len(code) != 2 {
			k.fault(key, "want a country as two capital letters such as DE, have %q", code)
		}
	}
	for i, code := range s.Countries {
		region("sms.countries."+strconv.Itoa(i), code)
	}
	if s.DefaultRegion != "" {
		region("sms.default_region", s.DefaultRegion)
	}
	if s.Webhook.URL == "" {
		if s.Webhook.Secret.Set() {
			k.fault("sms.webhook.url", "is required when a secret is set")
		}
		return
	}
	if u := k.url("sms.webhook.url", s.Webhook.URL); u != nil && loopback(u.Hostname()) && !s.Webhook.AllowPrivate {
		k.fault("sms.webhook.allow_private", "want true: %s is on this machine and would be refused on connect", u.Host)
	}
	if n := len(s.Webhook.Secret.Reveal()); n < 32 {
		k.fault("sms.webhook.secret", "want at least 32 bytes, have %d", n)
	}
	if s.DefaultRegion == "" {
		k.fault("sms.default_region", "is required with a webhook: numbers are often written without a country")
	} else if len(s.Countries) > 0 && !slices.Contains(s.Countries, s.DefaultRegion) {
		k.fault("sms.default_region", "%s is not one of the countries", s.DefaultRegion)
	}
}

// limits compares field by field with the most and the least, so that a new limit cannot be forgotten here.
func (k *checker) limits(l Limits) {
	have, most, least := reflect.ValueOf(l), reflect.ValueOf(mostLimits), reflect.ValueOf(leastLimits)
	for i := range have.NumField() {
		if n := have.Field(i).Int(); n > most.Field(i).Int() || n < least.Field(i).Int() {
			k.fault("limits."+have.Type().Field(i).Tag.Get("key"), "want %v to %v, have %v: limits may be lowered, not raised or lifted",
				least.Field(i), most.Field(i), have.Field(i))
		}
	}
}

func (k *checker) between(key string, d Duration, least, most time.Duration) {
	if d.Std() < least || d.Std() > most {
		k.fault(key, "want %s to %s, have %s", Duration(least), Duration(most), d)
	}
}

func (k *checker) oneOf(key, have string, want ...string) {
	if !slices.Contains(want, have) {
		k.fault(key, "want %s or %s, have %q", strings.Join(want[:len(want)-1], ", "), want[len(want)-1], have)
	}
}
