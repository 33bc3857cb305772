package passkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
)

// nobodysKey returns a P-256 public key as a COSE_Key (RFC 9053 §7.1.1: kty EC2, alg ES256, crv P-256, x, y). Its private
// half is thrown away: nothing it signed will ever be seen.
func nobodysKey() ([]byte, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := k.PublicKey.Bytes() // 04, x, y (SEC 1 §2.3.3)
	if err != nil || len(point) != 65 {
		return nil, fmt.Errorf("a point of %d bytes: %w", len(point), err)
	}
	out := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01}
	for i, coordinate := range [][]byte{point[1:33], point[33:]} {
		out = append(out, byte(0x21+i), 0x58, 0x20) // labels -2 and -3, a byte string of 32
		out = append(out, coordinate...)
	}
	return out, nil
}
