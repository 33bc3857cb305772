package password

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Blocklist is an operator's own list of passwords to refuse, compared folded and in the same disguises as the embedded
// one. It is kept in memory.
type Blocklist struct {
	entries map[string]struct{}
	lines   int
}

// MaxBlocklist is how many lines a blocklist may have; larger collections belong in a breached filter.
const MaxBlocklist = 1_000_000

// ReadBlocklist reads one password a line, UTF-8; empty lines are skipped. It refuses more than MaxBlocklist lines, and
// names the line that is not UTF-8 or longer than 1,024 bytes, without quoting it.
func ReadBlocklist(in io.Reader) (*Blocklist, error) {
	b := &Blocklist{entries: map[string]struct{}{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4096), 64<<10)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		switch {
		case n > MaxBlocklist:
			return nil, fmt.Errorf("blocklist: more than %d lines", MaxBlocklist)
		case line == "":
			continue
		case len(line) > 1024 || !utf8.ValidString(line):
			return nil, fmt.Errorf("blocklist: line %d is longer than 1024 bytes or no UTF-8", n)
		}
		b.lines++
		for _, r := range readings(Normalise(line)) { // as each would be read, so that a disguise meets its like
			b.entries[r.text] = struct{}{}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("blocklist: %w", err)
	}
	return b, nil
}

// Len returns how many passwords the list holds.
func (b *Blocklist) Len() int { return b.lines }

func (b *Blocklist) has(r reading) bool {
	_, found := b.entries[r.text]
	return found
}
