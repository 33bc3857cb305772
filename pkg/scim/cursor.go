package scim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// maxCursor bounds the text of a cursor, in and out. What is sorted by may be long.
const maxCursor = 16 << 10

// place is what a cursor holds: where each part of the search stands.
type place struct {
	Expires int64       `json:"e"` // seconds since 1970
	Total   int         `json:"t"` // as counted for the first page
	Seen    int         `json:"n"` // resources shown so far
	After   []*sealedAt `json:"a"` // by part; null: from the beginning
}

// sealedAt is a Keyset in JSON: each value is a letter for its kind and its text.
type sealedAt struct {
	Values []string `json:"v,omitempty"`
	ID     string   `json:"i"`
}

func seal(k *Keyset) *sealedAt {
	at := &sealedAt{ID: k.ID}
	for _, v := range k.Values {
		text := ""
		switch v := v.(type) {
		case string:
			text = "s" + v
		case bool:
			text = "b" + strconv.FormatBool(v)
		case int64:
			text = "i" + strconv.FormatInt(v, 10)
		case json.Number:
			text = "d" + v.String()
		case time.Time:
			text = "t" + v.Format(time.RFC3339Nano)
		}
		at.Values = append(at.Values, text)
	}
	return at
}

func (at *sealedAt) keyset() *Keyset {
	if at == nil {
		return nil
	}
	k := &Keyset{ID: at.ID}
	for _, text := range at.Values {
		var v any
		if text != "" {
			switch rest := text[1:]; text[0] { // sealed by us: it reads as it was written
			case 's':
				v = rest
			case 'b':
				v = rest == "true"
			case 'i':
				v, _ = strconv.ParseInt(rest, 10, 64)
			case 'd':
				v = json.Number(rest)
			case 't':
				v, _ = time.Parse(time.RFC3339Nano, rest)
			}
		}
		k.Values = append(k.Values, v)
	}
	return k
}

// sealer makes the cipher of cursors from a key.
func sealer(key []byte) (cipher.AEAD, error) {
	if len(key) == 0 {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "scim cursor v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// question is what a cursor belongs to: who asks for what, in which order. Another question does not open it.
func (q request) question(parts []*part, across bool, c criteria, desc bool) []byte {
	h := sha256.New()
	for _, text := range []string{q.s.base, q.p.Subject, c.filter, c.sortBy, strconv.FormatBool(desc), strconv.FormatBool(across)} {
		write(h, text)
	}
	for _, p := range parts {
		write(h, p.t.Endpoint)
	}
	return h.Sum(nil)
}

func (q request) sealCursor(at place, question []byte) (string, error) {
	text, err := json.Marshal(at)
	if err != nil {
		return "", err
	}
	cursor := base64.RawURLEncoding.EncodeToString(q.s.seal.Seal(nil, nil, text, question))
	if len(cursor) > maxCursor {
		return "", schema.Invalid(schema.TooMany, "sortBy", "a value to sort by is too long to page by cursor")
	}
	return cursor, nil
}

func (q request) openCursor(cursor string, question []byte, parts int) (at place, err error) {
	invalid := schema.Invalid(schema.InvalidCursor, "cursor", "not a cursor of this query; begin anew with an empty one")
	if len(cursor) > maxCursor {
		return at, invalid
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return at, invalid
	}
	text, err := q.s.seal.Open(nil, nil, sealed, question)
	if err != nil || json.Unmarshal(text, &at) != nil || len(at.After) != parts {
		return at, invalid
	}
	if q.s.now().Unix() >= at.Expires {
		return at, schema.Invalid(schema.ExpiredCursor, "cursor", "the cursor has expired; ask for the next page within %d seconds", int(q.s.cfg.Cursor.TTL/time.Second))
	}
	return at, nil
}

// turn answers with the page a cursor leads to (RFC 9865). It asks for one resource more than it shows, to know whether
// there is a next page; only the last page has no nextCursor.
func (q request) turn(parts []*part, across bool, c criteria, desc bool) (*response, error) {
	question := q.question(parts, across, c, desc)
	at := place{After: make([]*sealedAt, len(parts))}
	begin := c.cursor == ""
	if !begin {
		var err error
		if at, err = q.openCursor(c.cursor, question, len(parts)); err != nil {
			return nil, err
		}
	}
	merge := len(parts) > 1 && c.sortBy != ""
	var hits []hit
	for i, p := range parts {
		query := p.query
		query.After, query.Count, query.WantTotal = at.After[i].keyset(), c.count+1, begin
		if !merge {
			query.Count -= len(hits)
		}
		if query.Count == 0 && !begin {
			break
		}
		found, n, err := q.rows(p, query)
		if err != nil {
			return nil, err
		}
		if begin {
			at.Total += n
		}
		hits = append(hits, p.hits(i, found)...)
	}
	if merge {
		order(hits, desc)
	}
	more := len(hits) > c.count
	hits = hits[:min(len(hits), c.count)]
	for _, h := range hits {
		at.After[h.at] = seal(KeysetOf(h.r, parts[h.at].query.Sort))
	}
	at.Seen += len(hits)
	at.Total = max(at.Total, at.Seen)
	if more {
		at.Total = max(at.Total, at.Seen+1)
	}
	members := []member{{"totalResults", at.Total}, {"itemsPerPage", len(hits)}}
	if more {
		at.Expires = q.s.now().Add(q.s.cfg.Cursor.TTL).Unix()
		next, err := q.sealCursor(at, question)
		if err != nil {
			return nil, err
		}
		members = append(members, member{"nextCursor", next})
	}
	return q.listed(parts, hits, members), nil
}
