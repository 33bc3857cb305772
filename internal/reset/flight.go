package reset

import (
	"context"
	"encoding/base32"
	"sync"
)

// flight counts work that must not be abandoned: writes on their way and their reconciliation.
type flight struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed while n is 0
}

func newFlight() *flight {
	f := &flight{idle: make(chan struct{})}
	close(f.idle)
	return f
}

func (f *flight) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		f.idle = make(chan struct{})
	}
	f.n++
}

func (f *flight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 {
		close(f.idle)
	}
}

func (f *flight) wait(ctx context.Context) error {
	f.mu.Lock()
	idle := f.idle
	f.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// base32Seed returns the seed in the form the one-time password library takes.
func base32Seed(seed []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)
}
