-- How connectors authenticate by keys of their own, how far they are bent to one by one, and what was last heard of them.

ALTER TABLE connectors ADD COLUMN keys     TEXT NOT NULL DEFAULT ''; -- JSON of client.PublicKey; '': none
ALTER TABLE connectors ADD COLUMN jwks     TEXT NOT NULL DEFAULT ''; -- where it publishes its keys; '': nowhere
ALTER TABLE connectors ADD COLUMN switches TEXT NOT NULL DEFAULT ''; -- name=on or name=off, with spaces between

-- Access tokens of connectors that authenticate by a key (RFC 6749 §4.4).
CREATE TABLE connector_access (
	hash      BYTEA  NOT NULL PRIMARY KEY, -- SHA-256
	connector TEXT   NOT NULL REFERENCES connectors (id) ON DELETE CASCADE,
	asked_by  TEXT   NOT NULL,             -- id of the key it was asked for with, or the address of the key set
	expires   BIGINT NOT NULL
);
CREATE INDEX connector_access_connector ON connector_access (connector, expires);

-- What was last heard of a connector, and what of that failed; connector '' is whoever came with a secret that is nobody's.
CREATE TABLE connector_heard (
	connector  TEXT   NOT NULL PRIMARY KEY,
	at         BIGINT NOT NULL,
	what       TEXT   NOT NULL, -- as "POST Users"
	status     BIGINT NOT NULL,
	bad_at     BIGINT NOT NULL,
	bad_what   TEXT   NOT NULL,
	bad_status BIGINT NOT NULL
);
