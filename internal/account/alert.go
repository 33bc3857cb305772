package account

import (
	"slices"
	"time"
)

// AlertKind is what an identity provider says is wrong with one of its accounts.
type AlertKind string

// The kinds. Both make the rules for the person stricter, and neither ever makes one milder.
const (
	Compromised AlertKind = "compromised" // what proves somebody there is in other hands: a sign-in there proves nothing here, and one proof is not enough
	Disabled    AlertKind = "disabled"    // the account is shut: the same, and no reset at all
)

// AlertLife is how long the word of a provider alone makes the rules stricter. Only staff may make it longer.
const AlertLife = 7 * 24 * time.Hour

// Alert is the word of one provider about one person. There is at most one of a kind from each provider.
type Alert struct {
	IDP       string    `json:"idp"`
	Kind      AlertKind `json:"kind"`
	Since     time.Time `json:"since"` // when the provider said so, by its clock, and never later than when we heard it
	Until     time.Time `json:"until"` // counts for nothing once it is confirmed
	Confirmed time.Time `json:"confirmed,omitzero"`
	By        string    `json:"by,omitempty"` // who confirmed it
}

// Holds reports whether the alert counts at a time: until staff lift it when they confirmed it, else until its time is up.
func (a Alert) Holds(now time.Time) bool { return !a.Confirmed.IsZero() || now.Before(a.Until) }

// AlertsAt returns the alerts that count at a time.
func (p *Person) AlertsAt(now time.Time) []Alert {
	return slices.DeleteFunc(slices.Clone(p.Alerts), func(a Alert) bool { return !a.Holds(now) })
}

// Barred reports whether a provider shut the person's account there, so that nothing of it may be reset here.
func (p *Person) Barred(now time.Time) bool {
	return slices.ContainsFunc(p.Alerts, func(a Alert) bool { return a.Kind == Disabled && a.Holds(now) })
}

// Distrusts reports whether a sign-in of the person at the provider proves nothing now.
func (p *Person) Distrusts(idp string, now time.Time) bool {
	return slices.ContainsFunc(p.Alerts, func(a Alert) bool { return a.IDP == idp && a.Holds(now) })
}

// Raise notes what a provider said at a time, and returns the alert as it stands now; nil when that was longer ago than an
// alert lasts. Saying it again makes it last from then; what staff confirmed stays as it is.
func (p *Person) Raise(idp string, kind AlertKind, at, now time.Time) *Alert {
	if at.After(now) {
		at = now
	}
	p.Alerts = p.AlertsAt(now)
	if a := p.alert(idp, kind); a != nil {
		if until := at.Add(AlertLife); until.After(a.Until) {
			a.Since, a.Until = at, until
		}
		return a
	}
	a := Alert{IDP: idp, Kind: kind, Since: at, Until: at.Add(AlertLife)}
	if !a.Holds(now) {
		return nil
	}
	p.Alerts = append(p.Alerts, a)
	return &p.Alerts[len(p.Alerts)-1]
}

// Clear ends the alert by which a provider shut the account, because the provider says at a time that it is open again. It
// reports whether there was one: not when it was said before the account was shut, and not when staff confirmed it.
func (p *Person) Clear(idp string, at time.Time) bool {
	a := p.alert(idp, Disabled)
	if a == nil || !a.Confirmed.IsZero() || at.Before(a.Since) {
		return false
	}
	p.drop(idp, Disabled)
	return true
}

// Confirm makes an alert last until it is lifted; by is who says so. false when there is none that counts, or it was
// confirmed before.
func (p *Person) Confirm(idp string, kind AlertKind, by string, now time.Time) bool {
	a := p.alert(idp, kind)
	if a == nil || !a.Holds(now) || !a.Confirmed.IsZero() {
		return false
	}
	a.Confirmed, a.By = now, by
	return true
}

// Lift ends an alert, confirmed or not; false when there is none that counts.
func (p *Person) Lift(idp string, kind AlertKind, now time.Time) bool {
	a := p.alert(idp, kind)
	if a == nil || !a.Holds(now) {
		return false
	}
	p.drop(idp, kind)
	return true
}

func (p *Person) alert(idp string, kind AlertKind) *Alert {
	i := slices.IndexFunc(p.Alerts, func(a Alert) bool { return a.IDP == idp && a.Kind == kind })
	if i < 0 {
		return nil
	}
	return &p.Alerts[i]
}

func (p *Person) drop(idp string, kind AlertKind) {
	p.Alerts = slices.DeleteFunc(slices.Clone(p.Alerts), func(a Alert) bool { return a.IDP == idp && a.Kind == kind })
}
