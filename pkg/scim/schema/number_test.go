package schema_test

import (
	"encoding/json"
	"testing"

	"github.com/regain-id/regain/pkg/scim/schema"
)

func TestNumbersAreComparedExactly(t *testing.T) {
	for _, c := range []struct {
		a, b json.Number
		want int
	}{
		{"1", "2", -1}, {"1", "1.0", 0}, {"1e2", "100", 0}, {"-0", "0", 0}, {"-1", "1", -1},
		{"9007199254740993", "9007199254740992", 1}, {"9007199254740993", "9007199254740993.0", 0},
		{"0.1", "0.1000000000000000000000000000000000001", -1}, {"1e308", "1e307", 1}, {"1e-400", "0", 1},
		{"1234567890123456789012345678901234567890123456789012345678901234", "1234567890123456789012345678901234567890123456789012345678901235", -1},
	} {
		if got := schema.CompareNumbers(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: got %d, want %d", c.a, c.b, got, c.want)
		}
		if got := schema.CompareNumbers(c.b, c.a); got != -c.want {
			t.Errorf("%s and %s: got %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}
