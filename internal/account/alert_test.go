package account

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func TestTheWordOfAProviderHoldsForSevenDaysFromWhenItWasSaid(t *testing.T) {
	p := &Person{}
	if a := p.Raise("corp", Compromised, noon.Add(-time.Hour), noon); a == nil || !a.Until.Equal(noon.Add(7*24*time.Hour-time.Hour)) {
		t.Fatalf("raised %+v", a)
	}
	// A clock ahead of ours does not make it longer, and what is older than it lasts raises nothing.
	if a := p.Raise("corp", Disabled, noon.Add(5*time.Minute), noon); a == nil || !a.Until.Equal(noon.Add(7*24*time.Hour)) {
		t.Errorf("raised %+v", a)
	}
	if a := (&Person{}).Raise("corp", Disabled, noon.Add(-8*24*time.Hour), noon); a != nil {
		t.Errorf("raised %+v", a)
	}
	last := noon.Add(7*24*time.Hour - time.Microsecond)
	if !p.Barred(last) || p.Barred(last.Add(time.Microsecond)) || p.Distrusts("corp", last.Add(time.Microsecond)) {
		t.Error("it does not end on time")
	}
}

func TestSayingItAgainLastsLongerAndAnOlderWordNeverShorter(t *testing.T) {
	p := &Person{}
	p.Raise("corp", Disabled, noon, noon)
	p.Raise("corp", Disabled, noon.Add(-24*time.Hour), noon.Add(time.Hour))
	if len(p.Alerts) != 1 || !p.Alerts[0].Since.Equal(noon) {
		t.Errorf("an older word: %+v", p.Alerts)
	}
	p.Raise("corp", Disabled, noon.Add(24*time.Hour), noon.Add(24*time.Hour))
	if len(p.Alerts) != 1 || !p.Alerts[0].Until.Equal(noon.Add(8*24*time.Hour)) {
		t.Errorf("said again: %+v", p.Alerts)
	}
}

func TestWhatStaffConfirmedEndsByStaffAlone(t *testing.T) {
	p := &Person{}
	p.Raise("corp", Disabled, noon, noon)
	if p.Confirm("corp", Compromised, "x", noon) || p.Confirm("partner", Disabled, "x", noon) || p.Confirm("corp", Disabled, "x", noon.Add(8*24*time.Hour)) {
		t.Error("confirmed what there is none of")
	}
	if !p.Confirm("corp", Disabled, "person:1", noon) || p.Confirm("corp", Disabled, "person:2", noon) || p.Alerts[0].By != "person:1" {
		t.Errorf("confirmed by %+v", p.Alerts)
	}
	year := noon.Add(365 * 24 * time.Hour)
	if p.Clear("corp", year) || !p.Barred(year) {
		t.Error("the provider took it back")
	}
	p.Raise("corp", Disabled, year, year)
	if p.Alerts[0].Confirmed.IsZero() {
		t.Error("saying it again made it end")
	}
	if !p.Lift("corp", Disabled, year) || p.Lift("corp", Disabled, year) || len(p.Alerts) != 0 {
		t.Errorf("lifted: %+v", p.Alerts)
	}
}

func TestOneProviderCannotEndTheWordOfAnother(t *testing.T) {
	p := &Person{}
	p.Raise("corp", Disabled, noon, noon)
	p.Raise("corp", Compromised, noon, noon)
	p.Raise("partner", Disabled, noon, noon)
	if p.Clear("other", noon) || p.Clear("corp", noon.Add(-time.Second)) {
		t.Error("ended by another, or by an older word")
	}
	if !p.Clear("corp", noon) || len(p.Alerts) != 2 || !p.Barred(noon) || !p.Distrusts("corp", noon) {
		t.Errorf("left: %+v", p.Alerts)
	}
	if !p.Clear("partner", noon) || p.Barred(noon) {
		t.Errorf("left: %+v", p.Alerts)
	}
}

// A closure that runs twice must find the person as they were: nothing of the list is changed in place by what removes.
func TestRemovingLeavesTheListOfACopyAlone(t *testing.T) {
	p := &Person{}
	p.Raise("corp", Disabled, noon, noon)
	p.Raise("corp", Compromised, noon, noon)
	c := *p
	c.Clear("corp", noon)
	c.Lift("corp", Compromised, noon)
	if len(p.Alerts) != 2 || p.Alerts[0].Kind != Disabled || p.Alerts[1].Kind != Compromised {
		t.Errorf("%+v", p.Alerts)
	}
}
