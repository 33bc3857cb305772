-- Text for both engines. Times are microseconds since 1970 UTC, 0 for none; ids are UUIDv7 made by us. What people's
-- names are compared by is marked bytewise: a comment to SQLite, which compares so anyway, and COLLATE "C" to PostgreSQL.

CREATE TABLE settings (
	key        TEXT   NOT NULL PRIMARY KEY,
	value      TEXT   NOT NULL,
	generation BIGINT NOT NULL
);
INSERT INTO settings (key, value, generation) VALUES ('generation', '', 1);

CREATE TABLE events (
	id      TEXT   NOT NULL PRIMARY KEY,
	at      BIGINT NOT NULL,
	type    TEXT   NOT NULL,
	version BIGINT NOT NULL, -- of the form of data
	actor   TEXT   NOT NULL,
	subject TEXT   NOT NULL,
	txn     TEXT   NOT NULL,
	ref     TEXT   NOT NULL,
	outcome TEXT   NOT NULL,
	data    TEXT   NOT NULL,
	sealed  BYTEA,
	salt    BYTEA  NOT NULL
);
CREATE INDEX events_subject ON events (subject, id);
CREATE INDEX events_txn ON events (txn, id);

CREATE TABLE work (
	id               TEXT   NOT NULL PRIMARY KEY,
	event            TEXT   NOT NULL,
	kind             TEXT   NOT NULL,
	ref              TEXT   NOT NULL,
	not_before       BIGINT NOT NULL,
	not_after        BIGINT NOT NULL,
	tries            BIGINT NOT NULL,
	lease_until      BIGINT NOT NULL,
	lease_owner      TEXT   NOT NULL,
	dead_at          BIGINT NOT NULL,
	last_error_class TEXT   NOT NULL,
	UNIQUE (event, kind, ref)
);
CREATE INDEX work_due ON work (not_before, id) WHERE dead_at = 0;
CREATE INDEX work_overdue ON work (not_after) WHERE dead_at = 0 AND not_after > 0;

CREATE TABLE limits (
	k   BYTEA  NOT NULL PRIMARY KEY,
	tat BIGINT NOT NULL
);

CREATE TABLE person_keys (
	person  TEXT /*bytewise*/ NOT NULL PRIMARY KEY,
	kek     TEXT   NOT NULL,
	wrapped BYTEA  NOT NULL,
	created BIGINT NOT NULL
);
CREATE INDEX person_keys_kek ON person_keys (kek, person);
