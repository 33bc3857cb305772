package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
)

const sample = `
protected:
  groups: [Administrators]
  people: [root@example.org]
  proofs: 3
  not_kinds: [sms]
rules:
  - name: students
    groups: [Students]
    except: [Exams]
    proofs: {reset: 1}
    kinds: [email, sms]
    min_length: 8
    second_factor_at_sign_in: true
    hold_new: 0s
  - name: on site
    groups: [Workshop]
    networks: [10.0.0.0/8, "2001:db8::/32"]
    kinds: [email, totp]
  - name: everyone
`

func parse(t *testing.T, text string) Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func in(trusted bool, names ...string) Standing {
	s := Standing{UserName: "ada@example.org", Network: netip.MustParseAddr("192.0.2.7")}
	for _, n := range names {
		s.Groups = append(s.Groups, account.Membership{Group: n, Trusted: trusted})
	}
	return s
}

func TestTheFirstMatchingRuleApplies(t *testing.T) {
	p := parse(t, sample)
	for name, c := range map[string]struct {
		who      Standing
		rule     string
		proofs   int
		min      int
		allowed  bool
		why      string
		hold     time.Duration
		someKind method.Kind
	}{
		"a group picks its rule":          {in(true, "Students"), "students", 1, 8, true, "", 0, method.SMS},
		"whatever the case of its name":   {in(true, "STUDENTS"), "students", 1, 8, true, "", 0, method.SMS},
		"an exception falls through":      {in(true, "Students", "Exams"), "everyone", 2, 15, true, "", DefaultHold, method.Passkey},
		"no group is everyone":            {in(true), "everyone", 2, 15, true, "", DefaultHold, method.Passkey},
		"the wrong network":               {in(true, "Workshop"), "on site", 2, 15, false, "network", DefaultHold, method.TOTP},
		"a group nobody trusts, stricter": {in(false, "Students"), "students + everyone", 2, 15, true, "", DefaultHold, method.SMS},
		"a protected group":               {in(true, "Students", "Administrators"), "students", 3, 15, true, "", 0, method.Email},
		"protected by an untrusted group": {in(false, "Administrators"), "everyone", 3, 15, true, "", DefaultHold, method.Email},
	} {
		t.Run(name, func(t *testing.T) {
			d := p.Decide(c.who, Reset)
			if d.Rule != c.rule || d.Proofs != c.proofs || d.MinLength != c.min || d.Allowed != c.allowed || d.Why != c.why || d.HoldNew != c.hold {
				t.Errorf("got %+v", d)
			}
			if !slices.Contains(d.Kinds, c.someKind) {
				t.Errorf("kinds %v lack %s", d.Kinds, c.someKind)
			}
		})
	}
	if d := p.Decide(in(true, "Students", "Administrators"), Reset); slices.Contains(d.Kinds, method.SMS) {
		t.Errorf("protected people must not use sms: %v", d.Kinds)
	}
}

func TestNoRuleMeansNobody(t *testing.T) {
	p := parse(t, "rules: [{name: students, groups: [Students]}]")
	if d := p.Decide(in(true), Reset); d.Allowed || d.Why != "not_in_scope" || len(d.Kinds) != 0 {
		t.Errorf("got %+v, want nobody", d)
	}
}

func TestEveryFaultIsReportedAtOnce(t *testing.T) {
	_, err := Parse([]byte(`
protected: {proofs: 9, not_kinds: [fax]}
rules:
  - proofs: {reset: 7}
  - name: a
    kinds: [email, telepathy, external]
    networks: [10.0.0.0]
    allow: [fly]
    min_length: 8
  - name: a
    proofs: {reset: 1}
`))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"protected.proofs", "fax", "name is missing", "have 7", "telepathy", "external", "10.0.0.0", "fly", "min_length", "second rule", "must name the groups"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not reported: %s\n%v", want, err)
		}
	}
	for _, text := range []string{"rules: [{name: x, nmae: y}]", "rules: {", "", "rules: [{name: a, hold_new: 3}]", "rules: [{name: a, hold_new: -1h}]"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("accepted: %q", text)
		}
	}
}

func TestStricterKeepsBothDecisions(t *testing.T) {
	a := Decision{Allowed: true, Proofs: 1, Kinds: []method.Kind{method.Email, method.SMS}, MinLength: 8, Required: []method.Kind{method.Email}}
	b := Decision{Allowed: true, Proofs: 2, Kinds: []method.Kind{method.Email, method.TOTP}, MinLength: 15, HoldNew: time.Hour}
	for _, d := range []Decision{Stricter(a, b), Stricter(b, a)} {
		if d.Proofs != 2 || d.MinLength != 15 || d.HoldNew != time.Hour || !slices.Equal(d.Kinds, []method.Kind{method.Email}) || !slices.Equal(d.Required, []method.Kind{method.Email}) {
			t.Errorf("got %+v", d)
		}
	}
	b.Required = []method.Kind{method.TOTP}
	if d := Stricter(a, b); d.Allowed {
		t.Errorf("required kinds that exclude each other: %+v, want refused", d)
	}
}

func TestAUniformPageOffersOnlyFirstProofs(t *testing.T) {
	for _, k := range parse(t, sample).Offered() {
		if !k.First() {
			t.Errorf("%s is offered before anything was proved", k)
		}
	}
	if n := parse(t, sample).Most(Reset); n != 3 {
		t.Errorf("most proofs = %d, want 3", n)
	}
}

func FuzzParseNeverAcceptsWhatCheckRefuses(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("rules: [&a {name: x}, *a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := Parse(text); err == nil && p.Check() != nil {
			t.Errorf("accepted a policy with faults: %v", p.Check())
		}
	})
}
