package store

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/pkg/scim"
)

// ErrUnchanged is what the closure of an update returns when there is nothing to write: the row keeps its version and its
// times, and the update returns it as it is.
var ErrUnchanged = errors.New("nothing to change")

// TakenError says that a value that must be unique is another row's. It is a fault.Conflict, and a *scim.ConflictError.
type TakenError struct {
	Attr string // userName, externalId, name, id
}

func (e *TakenError) Error() string { return e.Attr + " is taken" }

// Unwrap makes the error what callers look for: provisioning speaks SCIM, everybody else of faults.
func (e *TakenError) Unwrap() []error {
	return []error{&scim.ConflictError{Attr: e.Attr}, fault.New(fault.Conflict, message.Key("error.conflict"))}
}

// violates reports whether a statement was refused by a unique index, named as PostgreSQL and as SQLite name it.
func violates(err error, index, columns string) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23505" && e.ConstraintName == index
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return (e.Code() == lib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == lib.SQLITE_CONSTRAINT_PRIMARYKEY) &&
			strings.Contains(e.Error(), "UNIQUE constraint failed: "+columns+" (")
	}
	return false
}

// taken turns the refusal of one of the indexes of people into a TakenError.
func taken(err error) error {
	switch {
	case violates(err, "people_user_name_key_key", "people.user_name_key"):
		return &TakenError{"userName"}
	case violates(err, "people_external", "people.connector, people.external_id"):
		return &TakenError{"externalId"}
	case violates(err, "people_pkey", "people.id"):
		return &TakenError{"id"}
	}
	return err
}
