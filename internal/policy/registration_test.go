package policy

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

const registering = `
rules:
  - name: plant
    groups: [Plant]
    networks: [10.0.0.0/8]
    proofs: {reset: 1}
    registration: {mode: required, networks: [10.20.0.0/16], acr: [phr, mfa], max_age: 2m, reconfirm_days: 180}
    mature_after: 48h
  - name: everyone
    register: 3
    registration: {mode: invited, snooze_days: 14, snoozes: 2, acr: [mfa]}
`

func TestARuleSaysHowPeopleRegister(t *testing.T) {
	p := parse(t, registering)
	got := p.Decide(in(true, "Plant"), Register).Registration
	want := Registering{Mode: Required, Methods: 1, Snooze: 24 * time.Hour, Snoozes: 3, Reconfirm: 180 * 24 * time.Hour, ACR: []string{"phr", "mfa"}, MaxAge: 2 * time.Minute, Mature: 48 * time.Hour}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = p.Decide(in(true), Register).Registration
	want = Registering{Mode: Invited, Methods: 3, Snooze: 14 * 24 * time.Hour, Snoozes: 2, ACR: []string{"mfa"}, MaxAge: MaxStepUp, Mature: DefaultHold}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := parse(t, sample).Decide(in(true), Register).Registration; got.Mode != Off || got.Methods != 2 {
		t.Errorf("a rule that says nothing: got %+v, want off and two ways", got)
	}
}

func TestNetworksForRegisteringAreNotThoseForTries(t *testing.T) {
	p := parse(t, registering)
	for from, want := range map[string]struct{ reset, register bool }{"10.20.1.1": {true, true}, "10.30.1.1": {true, false}, "192.0.2.7": {false, false}} {
		who := in(true, "Plant")
		who.Network = netip.MustParseAddr(from)
		if d := p.Decide(who, Reset); d.Allowed != want.reset {
			t.Errorf("reset from %s: got %t (%s)", from, d.Allowed, d.Why)
		}
		if d := p.Decide(who, Register); d.Allowed != want.register || !d.Allowed && d.Why != "network" {
			t.Errorf("register from %s: got %t (%s)", from, d.Allowed, d.Why)
		}
	}
}

func TestAGroupNobodyTrustsMakesRegisteringOnlyStricter(t *testing.T) {
	p := parse(t, registering)
	who := in(false, "Plant")
	who.Network = netip.MustParseAddr("10.20.1.1")
	got := p.Decide(who, Register).Registration
	want := Registering{Mode: Required, Methods: 3, Snooze: 24 * time.Hour, Snoozes: 2, Reconfirm: 180 * 24 * time.Hour, ACR: []string{"mfa"}, MaxAge: 2 * time.Minute, Mature: 48 * time.Hour}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	none := stricterRegistering(Registering{ACR: []string{"a"}}, Registering{ACR: []string{"b"}})
	if !reflect.DeepEqual(none.ACR, []string{""}) {
		t.Errorf("two lists that share nothing: got %q, want one that no sign-in satisfies", none.ACR)
	}
}

func TestFaultsOfRegistrationAreToldAtOnce(t *testing.T) {
	_, err := Parse([]byte(`rules: [{name: a, registration: {mode: forced, snooze_days: 15, snoozes: 4, reconfirm_days: 731, networks: [home], acr: [""], max_age: 6m}}]`))
	for _, want := range []string{"mode", "snooze_days", "snoozes", "reconfirm_days", "networks", "acr", "max_age"} {
		if err == nil || !strings.Contains(err.Error(), "a: registration: "+want) {
			t.Errorf("%s is not told: %v", want, err)
		}
	}
}
