-- Attempts and what belongs to them.

CREATE TABLE attempts (
	id         TEXT    NOT NULL PRIMARY KEY,
	version    BIGINT  NOT NULL,
	reference  TEXT    NOT NULL UNIQUE,
	action     TEXT    NOT NULL,
	state      TEXT    NOT NULL,
	cookie     BYTEA   NOT NULL UNIQUE,
	typed      BYTEA,            -- sealed; erased a day after the end
	typed_hash BYTEA   NOT NULL,
	person     TEXT    NOT NULL, -- '' until resolved, and for nobody; ends with the person's epoch
	resolved   BOOLEAN NOT NULL,
	epoch      BIGINT  NOT NULL,
	policy     BIGINT  NOT NULL,
	lang       TEXT    NOT NULL,
	origin     BYTEA   NOT NULL, -- sealed JSON: network and browser family
	proofs     TEXT    NOT NULL, -- JSON of reset.Proof
	asked      BIGINT  NOT NULL,
	extended   BIGINT  NOT NULL,
	refusals   BIGINT  NOT NULL,
	again      BOOLEAN NOT NULL,
	write      TEXT    NOT NULL,
	why        TEXT    NOT NULL,
	directory  TEXT    NOT NULL,
	login      BYTEA,            -- sealed
	started    BIGINT  NOT NULL,
	expires    BIGINT  NOT NULL,
	ended      BIGINT  NOT NULL
);
CREATE INDEX attempts_person ON attempts (person, id);
CREATE INDEX attempts_started ON attempts (started);

CREATE TABLE challenges (
	id      TEXT   NOT NULL PRIMARY KEY,
	attempt TEXT   NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
	kind    TEXT   NOT NULL,
	method  TEXT   NOT NULL,
	tries   BIGINT NOT NULL,
	send    TEXT   NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX challenges_attempt ON challenges (attempt, id);

CREATE TABLE writes (
	id        TEXT   NOT NULL PRIMARY KEY,
	attempt   TEXT   NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
	person    TEXT   NOT NULL, -- ends with the attempt
	directory TEXT   NOT NULL,
	ref       TEXT   NOT NULL,
	action    TEXT   NOT NULL,
	server    TEXT   NOT NULL,
	marker    TEXT   NOT NULL,
	changed   BIGINT NOT NULL, -- of the password, before the write, as the directory said
	state     TEXT   NOT NULL,
	lease     BIGINT NOT NULL,
	created   BIGINT NOT NULL,
	ended     BIGINT NOT NULL
);
-- Single flight: one write of an account at a time, across all replicas.
CREATE UNIQUE INDEX writes_running ON writes (directory, ref) WHERE state IN ('writing', 'unknown');
CREATE INDEX writes_attempt ON writes (attempt);

CREATE TABLE links (
	person    TEXT   NOT NULL REFERENCES people (id) ON DELETE CASCADE,
	directory TEXT   NOT NULL,
	ref       TEXT   NOT NULL,
	login     TEXT   NOT NULL,
	made      BIGINT NOT NULL,
	PRIMARY KEY (person, directory),
	UNIQUE (directory, ref)
);
