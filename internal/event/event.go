// Package event is the catalogue of facts: what happened to whom, by whom, when. An event is written once, in the
// transaction of the change it tells of, and is the source of the audit log, of reports and of every message sent.
package event

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Outcome says how the act ended.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Unknown Outcome = "unknown"
)

// Event is one fact. Data holds no personal data; Private does and is sealed by the store under the subject's key
// (or the actor's, for acts of staff). No secret ever stands in either.
type Event struct {
	ID      string            // UUIDv7, made by New
	At      time.Time         // UTC
	Type    Type              // an entry of the catalogue
	Actor   string            // person:ID, connector:ID, app:KEY, cli:USER, system, stranger
	Subject string            // person ID; "" when the fact is about nobody
	Txn     string            // attempt ID or request id that ties facts together
	Ref     string            // what its work is about: a challenge or write ID; "" means Txn
	Outcome Outcome           // how it ended
	Data    map[string]any    // no personal data: counts, kinds, ids, references, versions
	Private map[string]string // personal data: masked destinations, addresses, names typed
	Salt    []byte            // 16 random bytes, so that a sealed fact cannot be guessed from its hash
	Due     time.Time         // when its work may start; zero means at once
	Until   time.Time         // when its work is worthless; zero means the catalogue's lifetime
}

// New returns a fact with an id, a salt and a time. It panics on a type outside the catalogue: a bug in our code.
func New(at time.Time, t Type, actor, subject, txn string, outcome Outcome) Event {
	if _, ok := Catalogue[t]; !ok {
		panic(fmt.Sprintf("event: %q is not in the catalogue", t))
	}
	e := Event{ID: uuid.Must(uuid.NewV7()).String(), At: at.UTC(), Type: t, Actor: actor, Subject: subject, Txn: txn, Outcome: outcome, Salt: make([]byte, 16)}
	rand.Read(e.Salt)
	return e
}

// With returns the event with one more fact that is no personal data.
func (e Event) With(name string, value any) Event {
	data := make(map[string]any, len(e.Data)+1)
	for k, v := range e.Data {
		data[k] = v
	}
	data[name] = value
	e.Data = data
	return e
}

// Sealed returns the event with one more fact that is personal data and will be sealed.
func (e Event) Sealed(name, value string) Event {
	private := make(map[string]string, len(e.Private)+1)
	for k, v := range e.Private {
		private[k] = v
	}
	private[name] = value
	e.Private = private
	return e
}

// DataJSON returns Data as canonical JSON (keys sorted), at most MaxData bytes.
func (e Event) DataJSON() ([]byte, error) {
	if len(e.Data) == 0 {
		return []byte("{}"), nil
	}
	b, err := json.Marshal(e.Data)
	if err == nil && len(b) > MaxData {
		err = fmt.Errorf("event %s: %d bytes of data, at most %d", e.Type, len(b), MaxData)
	}
	return b, err
}

// MaxData is the largest Data of one event, in bytes of JSON.
const MaxData = 8 << 10
