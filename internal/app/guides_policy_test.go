package app

import (
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/policy"
)

func TestTheGuideToThePolicyExplainsEveryKey(t *testing.T) {
	text, _ := guide(t, "policy.md")
	var look func(reflect.Type)
	look = func(s reflect.Type) {
		for f := range s.Fields() {
			key := f.Tag.Get("yaml")
			if key == "" || key == "-" {
				continue
			}
			if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, "`"+key+":`") {
				t.Errorf("the guide does not explain %s of %s", key, s.Name())
			}
			if kind := f.Type; kind.Kind() == reflect.Struct {
				look(kind)
			} else if kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.Struct {
				look(kind.Elem())
			}
		}
	}
	look(reflect.TypeFor[policy.Policy]())
}

// inWords says a decision in the words of the guide's tables; kinds only when the row names some.
func inWords(d policy.Decision, kinds bool) string {
	if !d.Allowed {
		return "no: " + d.Why
	}
	s := "rule " + d.Rule + ", " + strconv.Itoa(d.Proofs) + " proof"
	if d.Proofs > 1 {
		s += "s"
	}
	if kinds {
		s += " of "
		for i, k := range d.Kinds {
			if k == "voice" { // sms by another name, which no provider speaks yet
				continue
			}
			switch {
			case i == len(d.Kinds)-1 && i > 0:
				s += " or "
			case i > 0:
				s += ", "
			}
			s += string(k)
		}
	}
	return s + ", " + strconv.Itoa(d.MinLength) + " characters"
}

var guideRow = regexp.MustCompile(`(?m)^\| (\S[^|]*?) +\| (reset|unlock|change|register) +\| (.*?) +\|$`)

// The rows of the table after an example are decided by the example, and by the last one before it where there are two
// in a row: a row holds for at least one of them.
func TestThePoliciesOfTheGuideDecideAsItSays(t *testing.T) {
	for page, least := range map[string]struct{ examples, rows int }{"policy.md": {3, 10}, "registering.md": {2, 4}} {
		t.Run(page, func(t *testing.T) {
			if examples, rows := decideAs(t, page); examples < least.examples || rows < least.rows {
				t.Errorf("found %d examples and %d rows: the test looks in the wrong place", examples, rows)
			}
		})
	}
}

func decideAs(t *testing.T, page string) (examples, rows int) {
	text, _ := guide(t, page, "yaml policy")
	for _, part := range strings.Split(text, "\n## ")[1:] {
		title, _, _ := strings.Cut(part, "\n")
		var policies []policy.Policy
		for _, m := range guideFence.FindAllStringSubmatch(part, -1) {
			if m[1] != "yaml policy" {
				continue
			}
			p, err := policy.Parse([]byte(m[2]))
			if err != nil {
				t.Fatalf("%s: %v", title, err)
			}
			policies = append(policies, p)
			examples++
		}
		for _, m := range guideRow.FindAllStringSubmatch(part, -1) {
			who, from, _ := strings.Cut(m[1], " from ")
			s := policy.Standing{UserName: "ada@example.org", Network: netip.MustParseAddr("192.0.2.7")}
			if from != "" {
				s.Network = netip.MustParseAddr(from)
			}
			if groups, ok := strings.CutPrefix(who, "in "); !ok {
				s.UserName = who
			} else if groups != "nothing" {
				for _, g := range strings.Split(groups, " and ") {
					s.Groups = append(s.Groups, account.Membership{Group: g, Trusted: true})
				}
			}
			var got []string
			for _, p := range policies {
				got = append(got, inWords(p.Decide(s, policy.Action(m[2])), strings.Contains(m[3], " of ")))
			}
			if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+m[3]+"\n") {
				t.Errorf("%s: %s wants to %s: got %q, and the guide says %q", title, m[1], m[2], got, m[3])
			}
			rows++
		}
	}
	return examples, rows
}

func TestAGroupOfAConnectorThatIsNotTrustedForItMakesNoResetCheaper(t *testing.T) {
	_, blocks := guide(t, "policy.md", "yaml policy")
	p, err := policy.Parse([]byte(blocks[0].text))
	if err != nil {
		t.Fatal(err)
	}
	d := p.Decide(policy.Standing{Groups: []account.Membership{{Group: "students"}}}, policy.Reset)
	if d.Proofs != 2 || d.MinLength != 15 {
		t.Errorf("got %+v, want what everybody needs", d)
	}
}
