package signal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
)

// An opaque name is a person's id, one block of AES under a key that each receiver has its own of. To the receiver it is 16
// random bytes that stay the same; two receivers cannot tell that they know the same person; and when one of them says the
// name, we know whom it means without keeping a list. Each id is another block, so one block needs no mode.

var nameForm = base64.RawURLEncoding.Strict()

// OpaqueName is the name by which one receiver knows a person: nobody else does, and nothing can be told from it. "" when
// the id is none of ours.
func (s *Service) OpaqueName(r *client.Receiver, person string) string {
	id, err := uuid.Parse(person)
	if err != nil {
		return ""
	}
	var out [aes.BlockSize]byte
	s.permutation(r).Encrypt(out[:], id[:])
	return nameForm.EncodeToString(out[:])
}

// byOpaqueName returns the id of the person that a receiver knows by a name; "" when no name looks like that. For every
// other name there is some id, so whether there is such a person is for the caller to see.
func (s *Service) byOpaqueName(r *client.Receiver, name string) string {
	raw, err := nameForm.DecodeString(name)
	if err != nil || len(raw) != aes.BlockSize {
		return ""
	}
	var id uuid.UUID
	s.permutation(r).Decrypt(id[:], raw)
	return id.String()
}

func (s *Service) permutation(r *client.Receiver) cipher.Block {
	block, err := aes.NewCipher(s.Keys.Hash("signal subject", r.ID))
	if err != nil {
		panic(err) // a keyed hash is 32 bytes
	}
	return block
}
