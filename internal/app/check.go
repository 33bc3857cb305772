package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/adapter/activedirectory"
	"github.com/regain-id/regain/internal/adapter/child"
	"github.com/regain-id/regain/internal/adapter/ldap"
	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/pkg/directory"
)

// Verdict says how much a finding matters.
type Verdict string

// The verdicts. A must that fails means people cannot get in.
const (
	Good   Verdict = "ok"
	Must   Verdict = "must"
	Should Verdict = "should"
	May    Verdict = "may"
)

// Finding is one thing that was looked at.
type Finding struct {
	Area    string  `json:"area"`
	Verdict Verdict `json:"verdict"`
	Text    string  `json:"text"`
	Fix     string  `json:"fix,omitempty"`
}

// Check looks at everything a deployment needs without changing anything: its configuration, keys, database, and for
// each directory the sign-in of the service account and the reset right itself, for each identity provider all that can be
// learned without signing in, and of each connector when it was last heard of.
func Check(ctx context.Context, from config.Source) []Finding {
	c, err := config.Load(from)
	if err = errors.Join(err, c.CheckFiles()); err != nil {
		var out []Finding
		for _, line := range strings.Split(err.Error(), "\n") {
			out = append(out, Finding{Area: "configuration", Verdict: Must, Text: line})
		}
		return out
	}
	out := []Finding{{Area: "configuration", Verdict: Good, Text: "no faults"}}
	for _, hint := range c.Hints() {
		out = append(out, Finding{Area: "configuration", Verdict: Should, Text: hint})
	}
	ring, err := keyring.Open(c.KeyFile)
	if err != nil {
		return append(out, Finding{Area: "keys", Verdict: Must, Text: err.Error(), Fix: "regain key create " + c.KeyFile})
	}
	out = append(out, Finding{Area: "keys", Verdict: Good, Text: fmt.Sprintf("%d in the file, primary %s", len(ring.Keys()), ring.Primary())})
	out = append(out, checkDatabase(ctx, c)...)
	out = append(out, checkConnectors(ctx, c, ring, time.Now())...)
	out = append(out, checkDirectories(ctx, c)...)
	return append(out, checkProviders(ctx, c)...)
}

func checkDatabase(ctx context.Context, c config.Config) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	have, want, err := store.Versions(ctx, store.Config{URL: c.Database.Reveal()})
	f := Finding{Area: "database", Verdict: Good, Text: fmt.Sprintf("%s, schema version %d", c.Database, have)}
	switch {
	case err != nil:
		f.Verdict, f.Text = Must, err.Error()
	case have == 0:
		f.Verdict, f.Text, f.Fix = Should, "no schema yet", "regain migrate, or the first regain serve"
	case have < want:
		f.Verdict, f.Text, f.Fix = Must, fmt.Sprintf("schema version %d, this program needs %d", have, want), "regain migrate"
	case have > want:
		f.Verdict, f.Text, f.Fix = Must, fmt.Sprintf("schema version %d is newer than this program's %d", have, want), "use the newer program"
	}
	return []Finding{f}
}

// rights says what a failed look at a directory means and what to grant.
var rights = map[ldap.Check]struct{ text, fix string }{
	ldap.Connect:        {"connect with TLS", "check urls, ca_file and server_name"},
	ldap.Bind:           {"sign-in of the service account", "check bind_dn and bind_password_file"},
	ldap.People:         {"people below base_dn", "check base_dn and user_filter, and that the service account may read entryUUID"},
	ldap.Assertion:      {"assertion control (RFC 4528), which keeps an administrator's lock from being lifted", "use a server that offers 1.3.6.1.1.12"},
	ldap.ResetRight:     {"the right to reset passwords", `access to dn.subtree="PEOPLE" attrs=userPassword by dn.exact="SERVICE" =xw …, and write on pwdReset`},
	ldap.UnlockRight:    {"the right to unlock", `access to dn.subtree="PEOPLE" attrs=pwdAccountLockedTime by dn.exact="SERVICE" write`},
	ldap.ReadPolicy:     {"reading the password policy, to show its rules before typing", "grant read on the policy entry and set default_policy_dn"},
	ldap.PolicyEnforced: {"the policy is enforced on a reset", "grant =xw on userPassword instead of manage: with manage the server skips its own rules"},
	ldap.PasswordModify: {"change with the current password (RFC 3062)", "let the server offer 1.3.6.1.4.1.4203.1.11.1"},
	ldap.OwnAccount:     {"the service account is not one of the people", "move it out of base_dn"},
}

func checkDirectories(ctx context.Context, c config.Config) []Finding {
	dirs, err := directories(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return []Finding{{Area: "directory", Verdict: Must, Text: err.Error()}}
	}
	var out []Finding
	for _, d := range dirs {
		area := "directory " + d.Name
		dctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		switch a := d.Adapter.(type) {
		case *ldap.Adapter:
			for _, f := range a.CheckRights(dctx) {
				r := rights[f.Check]
				out = append(out, finding(area, string(f.Level), r.text, r.fix, f.Err))
			}
		case *activedirectory.Adapter:
			for _, f := range a.CheckRights(dctx) {
				r := domainRights[f.Check]
				fix := r.fix
				if len(f.Windows) > 0 {
					fix = "as an administrator on Windows\n  " + strings.Join(f.Windows, "\n  ") + "\nor on a Samba domain controller\n  " + strings.Join(f.Samba, "\n  ")
				}
				out = append(out, finding(area, string(f.Level), r.text, fix, f.Err))
			}
		case *child.Adapter:
			out = append(out, checkProgram(dctx, area, a)...)
		default:
			out = append(out, Finding{Area: area, Verdict: Should, Text: "in memory: everything is forgotten at the end; for trying out only"})
		}
		cancel()
		d.Adapter.Close()
	}
	return out
}

// checkProgram starts an adapter of somebody else's and says what it says of itself.
func checkProgram(ctx context.Context, area string, a directory.Adapter) []Finding {
	d, err := a.Describe(ctx)
	if err != nil {
		return []Finding{{Area: area, Verdict: Must, Text: "start the adapter and ask it: " + err.Error(), Fix: "run its command by hand; what it says on standard error is in the log of regain serve"}}
	}
	can := []string{"reset"}
	for _, c := range []struct {
		can  bool
		what string
	}{{d.Caps.Change, "change"}, {d.Caps.Unlock, "unlock"}, {d.Caps.Policy, "show the password policy"}, {d.Caps.Verify, "try a password"}} {
		if c.can {
			can = append(can, c.what)
		}
	}
	out := []Finding{{Area: area, Verdict: Good, Text: fmt.Sprintf("adapter %s %s answers, server %s; it can %s", d.Name, d.Version, cmp.Or(d.Server, "not named"), strings.Join(can, ", "))}}
	if d.Caps.ResetLiftsAdminLock {
		out = append(out, Finding{Area: area, Verdict: Should, Text: "a reset may lift a lock that an administrator set", Fix: "ask whoever wrote the adapter whether the lock can be looked up in the write"})
	}
	if !d.Caps.ResetEnforcesQuality {
		out = append(out, Finding{Area: area, Verdict: May, Text: "the directory does not judge passwords on a reset: the rules of regain are the only ones"})
	}
	return out
}

// domainRights says what a failed look at an Active Directory means, and what to do where no command grants it.
var domainRights = map[activedirectory.Check]struct{ text, fix string }{
	activedirectory.Connect:     {"connect with TLS to a domain controller that takes writes", "check urls or domain, ca_file and server_name; urls have the name of the certificate"},
	activedirectory.Bind:        {"sign-in of the service account", "check bind_dn and bind_password_file, and that the account is neither locked nor expired"},
	activedirectory.Clock:       {"the clock of the domain controller is ours", "let both follow the same time server"},
	activedirectory.People:      {"people below base_dn whose state can be read", "check base_dn and user_filter"},
	activedirectory.ResetRight:  {"the right to reset passwords", ""},
	activedirectory.UnlockRight: {"the right to unlock", ""},
	activedirectory.ForceRight:  {"the right to demand a new password at the next sign-in", ""},
	activedirectory.ReadPolicy:  {"reading the password policies, to show their rules before typing", ""},
	activedirectory.History:     {"the history is checked on a reset", "nothing can be done on a Samba domain controller: a password used before is accepted there"},
	activedirectory.OwnAccount:  {"the service account is not one of the people", "move it out of base_dn"},
}

func finding(area, level, text, fix string, err error) Finding {
	out := Finding{Area: area, Verdict: Good, Text: text}
	switch ldap.Level(level) { // the adapters have the same levels
	case ldap.Fatal:
		out.Verdict, out.Fix = Must, fix
	case ldap.Warning:
		out.Verdict, out.Fix = Should, fix
	case ldap.Skipped:
		out.Verdict, out.Text = May, text+": not looked at, because something before it failed"
	}
	if err != nil {
		out.Text += ": " + err.Error()
	}
	return out
}
