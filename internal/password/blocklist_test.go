package password

import (
	"strings"
	"testing"
)

func TestAnOperatorsOwnListIsRefusedInDisguiseToo(t *testing.T) {
	list, err := ReadBlocklist(strings.NewReader("Harbour lights at dusk 1987\r\n\nÜber den Wolken ist es hell\n"))
	if err != nil || list.Len() != 2 {
		t.Fatalf("%d entries, %v; want 2", list.Len(), err)
	}
	for pw, refused := range map[string]bool{
		"Harbour lights at dusk 1987": true,
		"harbour LIGHTS at dusk 1987": true,
		"h4rbour l1ghts at dusk 1987": true,
		"Über den Wolken ist es hell": true, // decomposed
		"Harbour lights at dawn 1987": false,
	} {
		got := false
		for _, v := range Judge(pw, Rules{}, Lists{Refused: list}) {
			got = got || v.Code == Common
		}
		if got != refused {
			t.Errorf("%q refused: %v, want %v", pw, got, refused)
		}
	}
	for _, bad := range []string{strings.Repeat("x", 1025), "\xff\xfe"} {
		if _, err := ReadBlocklist(strings.NewReader(bad)); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("a bad line: %v, want refused without quoting it", err)
		}
	}
}
