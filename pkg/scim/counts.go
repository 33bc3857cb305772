package scim

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"
)

// How long a total is kept for the next pages of the same search, and how many are.
const (
	countsFor = 30 * time.Second
	countsAll = 1000
)

// counts remembers how many resources a search of one principal found, so that not every page of it counts a large table
// anew. A write through this server forgets all of it; one elsewhere shows after countsFor.
type counts struct {
	mu  sync.Mutex
	era uint64 // how often it was forgotten: what was counted before is not kept after
	by  map[[32]byte]kept
}

type kept struct {
	total int
	until time.Time
}

// counted is what is remembered of a search.
type counted struct {
	ok    bool
	total int
	era   uint64
}

// countKey names a search; the zero key is never remembered.
func (q request) countKey(p *part) (key [32]byte) {
	if q.p.Subject == "" { // nobody knows whose view it is
		return key
	}
	h := sha256.New()
	texts := []string{q.p.Subject, p.t.Endpoint, p.text}
	for _, t := range texts {
		write(h, t)
	}
	h.Sum(key[:0])
	return key
}

// write hashes a text with its length, so that no two lists of texts are hashed alike.
func write(h hash.Hash, text string) {
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
	h.Write([]byte(text))
}

func (c *counts) look(key [32]byte, now time.Time) counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.by[key]
	return counted{ok && now.Before(k.until), k.total, c.era}
}

func (c *counts) keep(key [32]byte, total int, era uint64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if era != c.era || key == ([32]byte{}) {
		return
	}
	if c.by == nil || len(c.by) >= countsAll {
		c.by = map[[32]byte]kept{}
	}
	c.by[key] = kept{total, now.Add(countsFor)}
}

func (c *counts) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.era++
	c.by = nil
}
