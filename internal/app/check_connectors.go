package app

import (
	"context"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
)

const (
	// endsSoon is how long before its end a connector's last token is told of.
	endsSoon = 14 * 24 * time.Hour
	// quietFor is how long a connector may say nothing before it is told of: identity providers come by every hour or so.
	quietFor = 24 * time.Hour
)

// checkConnectors says of each connector when it was last heard of, what failed, when it will be locked out, and whether it
// took very many people away. A database that is not as this program needs it is told of elsewhere.
func checkConnectors(ctx context.Context, c config.Config, ring *keyring.Ring, now time.Time) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	at := store.Config{URL: c.Database.Reveal(), Ring: ring}
	if have, want, err := store.Versions(ctx, at); err != nil || have != want {
		return nil
	}
	s, err := store.Open(ctx, at)
	if err != nil {
		return []Finding{{Area: "connectors", Verdict: Must, Text: err.Error()}}
	}
	defer s.Close()
	out, err := connectorFindings(ctx, s, now)
	if err != nil {
		return append(out, Finding{Area: "connectors", Verdict: Must, Text: err.Error()})
	}
	return out
}

func connectorFindings(ctx context.Context, s *store.Store, now time.Time) (out []Finding, err error) {
	all, err := s.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return []Finding{{Area: "connectors", Verdict: May, Text: "none: nobody provisions people", Fix: "regain connector create NAME"}}, nil
	}
	for i := range all {
		c := &all[i]
		found := func(v Verdict, fix, format string, args ...any) {
			out = append(out, Finding{Area: "connector " + c.Name, Verdict: v, Text: fmt.Sprintf(format, args...), Fix: fix})
		}
		heard, err := s.Heard(ctx, c.ID)
		if err != nil {
			return out, err
		}
		brake, held, err := s.Brake(ctx, c.ID)
		if err != nil {
			return out, err
		}
		switch {
		case c.Last.IsZero():
			found(Should, "start provisioning at the identity provider; /console/connectors/"+c.Name+" shows what arrives", "no request yet")
		case now.Sub(c.Last) > quietFor:
			found(Should, "look at the provisioning log of the identity provider", "last request %s, nothing since", when(c.Last))
		default:
			found(Good, "", "last request %s", when(c.Last))
		}
		if !heard.BadAt.IsZero() && now.Sub(heard.BadAt) < quietFor {
			found(Should, failureFix(c.Name, heard.BadStatus), "%s was answered with %d, %s", heard.BadWhat, heard.BadStatus, when(heard.BadAt))
		}
		if end, ends := lockedOut(c, now); ends {
			switch {
			case !end.After(now):
				found(Must, "regain connector rotate "+c.Name, "it has no token or key that works")
			case end.Sub(now) < endsSoon:
				found(Should, "regain connector rotate "+c.Name, "its last token or key ends %s", when(end))
			}
		}
		if w := brake.Wave("", now); w != nil && held[w.ID] > 0 {
			found(Should, "regain connector undo "+c.Name+", if that was a mistake", "took %d people away at once, from %s on; they can be had back until %s", held[w.ID], when(w.Began), when(w.Last.Add(client.BrakeKeeps)))
		}
		if e := brake.Expected; e != nil && e.Left > 0 && e.Until.After(now) {
			found(Good, "", "may take %d more people away until %s, as was said", e.Left, when(e.Until))
		}
	}
	return out, nil
}

// lockedOut returns when the last thing ends that a connector authenticates by: not later than now when there is none; false
// when there is no end.
func lockedOut(c *client.Connector, now time.Time) (end time.Time, ends bool) {
	if c.JWKS != "" {
		return end, false
	}
	ends = true
	last := func(expires time.Time) {
		ends = ends && !expires.IsZero()
		if expires.After(end) {
			end = expires
		}
	}
	for _, k := range c.Live(now) {
		last(k.Expires)
	}
	for _, k := range c.LiveKeys(now) {
		last(k.Expires)
	}
	return end, ends
}

// failureFix says what an answer of a kind means, mostly.
func failureFix(name string, status int) string {
	switch status {
	case 401:
		return "its token ended or it signs with another key: regain connector show " + name
	case 403:
		return "it asked for what it may not: regain connector show " + name
	case 429:
		return "it asks more often than it may: regain connector change --rate N " + name
	case 400:
		return "another preset may take what it sends: regain connector show --rules " + name
	}
	return "the provisioning log of the identity provider has the answer"
}

// when is a time as operators read it, in their zone.
func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
