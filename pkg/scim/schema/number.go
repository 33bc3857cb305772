package schema

import (
	"cmp"
	"encoding/json"
	"math/big"
)

// CompareNumbers orders two decimals exactly: 9007199254740992 and 9007199254740993 are two numbers, which a float64 does not
// know. Both are as Compat.Element lets them pass, at most 64 digits; what is no number counts as 0.
func CompareNumbers(a, b json.Number) int {
	x, _ := a.Float64()
	y, _ := b.Float64()
	if n := cmp.Compare(x, y); n != 0 {
		return n
	}
	return exact(a).Cmp(exact(b))
}

// exact holds 64 decimal digits and whatever exponent a float64 has.
func exact(n json.Number) *big.Float {
	f, _, err := big.ParseFloat(string(n), 10, 512, big.ToNearestEven)
	if err != nil {
		return new(big.Float)
	}
	return f
}
