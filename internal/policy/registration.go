package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Mode says how people are asked to register.
type Mode string

// The modes, from the mildest.
const (
	Off      Mode = "off"      // whoever comes by themselves
	Invited  Mode = "invited"  // asked at sign-in, and may put it off
	Required Mode = "required" // asked at sign-in, and not let on
)

// Registration says when people are asked to register, and under which conditions they may.
type Registration struct {
	Mode          Mode     `yaml:"mode" json:"mode"`                     // default off
	SnoozeDays    *int     `yaml:"snooze_days" json:"snooze_days"`       // for how long it may be put off, 0 to 14; default 1
	Snoozes       *int     `yaml:"snoozes" json:"snoozes"`               // how often, 0 to 3; default 3; then it is required
	ReconfirmDays int      `yaml:"reconfirm_days" json:"reconfirm_days"` // asked again after so many days, 0 to 730; 0: never
	Networks      []string `yaml:"networks" json:"networks"`             // only from these prefixes; empty: anywhere
	ACR           []string `yaml:"acr" json:"acr"`                       // the step-up must bring one of these; empty: what the identity provider's accept list says
	MaxAge        *Span    `yaml:"max_age" json:"max_age"`               // how old the step-up may be, 1m to 5m; default 5m
}

// Registering is what holds for one person who wants to register.
type Registering struct {
	Mode      Mode          `json:"mode"`
	Methods   int           `json:"methods"` // how many a person should have
	Snooze    time.Duration `json:"snooze"`
	Snoozes   int           `json:"snoozes"`
	Reconfirm time.Duration `json:"reconfirm"`
	ACR       []string      `json:"acr,omitempty"`
	MaxAge    time.Duration `json:"max_age"`
	Mature    time.Duration `json:"mature"`
}

// MaxStepUp is the oldest step-up by which ways may be added or removed, whatever a policy says.
const MaxStepUp = 5 * time.Minute

func (r Registration) check() (bad []error) {
	fault := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	switch r.Mode {
	case "", Off, Invited, Required:
	default:
		fault("mode: want off, invited or required, have %q", r.Mode)
	}
	if n := r.SnoozeDays; n != nil && (*n < 0 || *n > 14) {
		fault("snooze_days: want 0 to 14, have %d", *n)
	}
	if n := r.Snoozes; n != nil && (*n < 0 || *n > 3) {
		fault("snoozes: want 0 to 3, have %d", *n)
	}
	if r.ReconfirmDays < 0 || r.ReconfirmDays > 730 {
		fault("reconfirm_days: want 0 to 730, have %d", r.ReconfirmDays)
	}
	for _, n := range r.Networks {
		if _, err := netip.ParsePrefix(n); err != nil {
			fault("networks: %q is no prefix like 10.0.0.0/8", n)
		}
	}
	if slices.Contains(r.ACR, "") {
		fault("acr: one is empty")
	}
	if a := r.MaxAge; a != nil && (time.Duration(*a) < time.Minute || time.Duration(*a) > MaxStepUp) {
		fault("max_age: want 1m to 5m, have %s", time.Duration(*a))
	}
	return bad
}

const day = 24 * time.Hour

func (r Rule) registering() Registering {
	n := cmp.Or(r.Register, r.Proofs.Reset, 2)
	out := Registering{Mode: cmp.Or(r.Registration.Mode, Off), Methods: n, Snooze: day, Snoozes: 3, ACR: r.Registration.ACR, MaxAge: MaxStepUp,
		Reconfirm: time.Duration(r.Registration.ReconfirmDays) * day, Mature: DefaultHold}
	if v := r.Registration.SnoozeDays; v != nil {
		out.Snooze = time.Duration(*v) * day
	}
	if v := r.Registration.Snoozes; v != nil {
		out.Snoozes = *v
	}
	if v := r.Registration.MaxAge; v != nil {
		out.MaxAge = time.Duration(*v)
	}
	if r.Mature != nil {
		out.Mature = time.Duration(*r.Mature)
	}
	return out
}

// stricterRegistering joins two so that both are kept. Where both name classes of sign-in and share none, the joined
// list is of one that no sign-in brings.
func stricterRegistering(a, b Registering) Registering {
	out := a
	if strictness(b.Mode) > strictness(a.Mode) {
		out.Mode = b.Mode
	}
	out.Methods = max(a.Methods, b.Methods)
	out.Snooze, out.Snoozes = min(a.Snooze, b.Snooze), min(a.Snoozes, b.Snoozes)
	if a.Reconfirm == 0 || b.Reconfirm > 0 && b.Reconfirm < a.Reconfirm {
		out.Reconfirm = b.Reconfirm
	}
	out.MaxAge, out.Mature = min(a.MaxAge, b.MaxAge), max(a.Mature, b.Mature)
	switch {
	case len(a.ACR) == 0:
		out.ACR = slices.Clone(b.ACR)
	case len(b.ACR) > 0:
		out.ACR = slices.DeleteFunc(slices.Clone(a.ACR), func(v string) bool { return !slices.Contains(b.ACR, v) })
		if len(out.ACR) == 0 {
			out.ACR = []string{""}
		}
	}
	return out
}

func strictness(m Mode) int { return slices.Index([]Mode{Off, Invited, Required}, m) }
