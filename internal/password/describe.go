package password

import (
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/pkg/directory"
)

// Effective returns our rules tightened by what can be judged of a directory's: the greater least length and the smaller
// greatest. Judge and SuggestFor by these, so that nobody is sent to the directory to be refused there.
func Effective(r Rules, p directory.Policy) Rules {
	r.MinLength = max(r.min(), p.MinLength)
	r.MaxLength = r.max()
	if p.MaxLength > 0 {
		r.MaxLength = min(r.MaxLength, p.MaxLength)
	}
	return r
}

// Possible reports whether any password can satisfy both lengths: not when a directory takes at most 14 characters and 15
// are asked for. Then nobody can reset there, and an administrator must change one of the two.
func (r Rules) Possible() bool { return r.min() <= r.max() }

// Describe returns the rules to show before a person types: the stricter of ours and the directory's where both have one,
// then what the directory adds, and that it has more than we can read when it does (Policy.Partial, or a complexity of its
// own). The zero Policy adds nothing.
func Describe(r Rules, p directory.Policy) []message.Message {
	e := Effective(r, p)
	out := []message.Message{message.Key("password.rule.length", "Min", e.min())}
	if p.MaxLength > 0 || e.max() < MaxLength {
		out = append(out, message.Key("password.rule.max_length", "Max", e.max()))
	}
	out = append(out, message.Key("password.rule.free"), message.Key("password.rule.lists"))
	if p.Complexity == directory.ComplexityAD {
		out = append(out, message.Key("password.rule.complexity"), message.Key("password.rule.names"))
	}
	if p.History > 0 {
		out = append(out, message.Key("password.rule.history", "Count", p.History))
	}
	if m := age(p.MinAge); !m.IsZero() {
		out = append(out, m)
	}
	if days := int(p.MaxAge / (24 * time.Hour)); days > 0 {
		out = append(out, message.Key("password.rule.max_age", "Days", days))
	}
	if p.Partial || p.Complexity == directory.ComplexityCustom {
		out = append(out, message.Key("password.rule.partial"))
	}
	return out
}

// age says a least age in the largest unit that is exact, rounding up to minutes.
func age(d time.Duration) message.Message {
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return message.Message{}
	case d%day == 0:
		return message.Key("password.rule.min_age_days", "Days", int(d/day))
	case d%time.Hour == 0:
		return message.Key("password.rule.min_age_hours", "Hours", int(d/time.Hour))
	}
	return message.Key("password.rule.min_age_minutes", "Minutes", int((d+time.Minute-1)/time.Minute))
}
