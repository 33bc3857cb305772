package password

import (
	"reflect"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/pkg/directory"
)

func TestTheStricterOfBothRulesIsShownAndWhatTheDirectoryAdds(t *testing.T) {
	base := func(min int) []message.Message {
		return []message.Message{message.Key("password.rule.length", "Min", min), message.Key("password.rule.free"), message.Key("password.rule.lists")}
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name string
		r    Rules
		p    directory.Policy
		want []message.Message
	}{
		{"no directory policy", Rules{}, directory.Policy{}, base(15)},
		{"the directory asks for less", Rules{}, directory.Policy{MinLength: 8, Complexity: directory.ComplexityNone}, base(15)},
		{"the directory asks for more", Rules{MinLength: 8}, directory.Policy{MinLength: 20}, base(20)},
		{"everything", Rules{}, directory.Policy{MaxLength: 127, History: 5, MinAge: 2 * day, MaxAge: 90 * day, Complexity: directory.ComplexityAD, Partial: true}, []message.Message{
			message.Key("password.rule.length", "Min", 15), message.Key("password.rule.max_length", "Max", 127),
			message.Key("password.rule.free"), message.Key("password.rule.lists"),
			message.Key("password.rule.complexity"), message.Key("password.rule.names"), message.Key("password.rule.history", "Count", 5),
			message.Key("password.rule.min_age_days", "Days", 2), message.Key("password.rule.max_age", "Days", 90), message.Key("password.rule.partial"),
		}},
		{"hours", Rules{}, directory.Policy{MinAge: 36 * time.Hour}, append(base(15), message.Key("password.rule.min_age_hours", "Hours", 36))},
		{"minutes", Rules{}, directory.Policy{MinAge: 90*time.Second + time.Nanosecond}, append(base(15), message.Key("password.rule.min_age_minutes", "Minutes", 2))},
		{"a complexity we cannot read", Rules{}, directory.Policy{Complexity: directory.ComplexityCustom}, append(base(15), message.Key("password.rule.partial"))},
	} {
		if got := Describe(c.r, c.p); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %v\nwant %v", c.name, got, c.want)
		}
	}
}

func TestWhatIsShownIsWhatIsJudged(t *testing.T) {
	p := directory.Policy{MinLength: 20, MaxLength: 30}
	e := Effective(Rules{}, p)
	expect(t, "velvet-otter-kettle", e, TooShort) // 19
	expect(t, "velvet-otter-kettles", e)          // 20
	expect(t, "velvet-otter-kettles-moon-fig-", e)
	expect(t, "velvet-otter-kettles-moon-figs-", e, TooLong) // 31
	if s := SuggestFor("en", e, Lists{}); len(Judge(s, e, Lists{})) > 0 {
		t.Logf("%q is longer than the directory takes", s) // four words may exceed 30: allowed, see SuggestFor
	}
	if !e.Possible() || Effective(Rules{}, directory.Policy{MaxLength: 14}).Possible() {
		t.Error("Possible: 20 to 30 must be, 15 to 14 must not")
	}
}

func TestEveryRuleAndViolationHasATextInBothLanguages(t *testing.T) {
	c, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	all := Describe(Rules{MaxLength: 99}, directory.Policy{History: 1, MinAge: time.Hour, MaxAge: 48 * time.Hour, Complexity: directory.ComplexityAD, Partial: true})
	for _, pw := range []string{"a", "\x00", good + good} {
		for _, v := range Judge(pw, Rules{MaxLength: 20}, Lists{}) {
			all = append(all, v.Message)
		}
	}
	if len(all) < 12 {
		t.Fatalf("only %d messages: the test has gone blind", len(all))
	}
	for _, m := range all {
		if !c.Has(m.Key) {
			t.Errorf("no text for %s", m.Key)
		}
		for _, name := range c.Placeholders("en", m.Key) {
			if _, ok := m.Args[name]; !ok && name != "Organisation" {
				t.Errorf("%s is said without %s", m.Key, name)
			}
		}
	}
}
