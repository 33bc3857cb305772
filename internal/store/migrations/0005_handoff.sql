-- Apps that ask by OpenID Connect, what they asked for, the keys answers are signed with, and who hears what happened.

ALTER TABLE apps ADD COLUMN redirects TEXT NOT NULL DEFAULT '[]';    -- JSON list, compared to the letter
ALTER TABLE apps ADD COLUMN actions   TEXT NOT NULL DEFAULT '[]';    -- JSON list
ALTER TABLE apps ADD COLUMN auth      TEXT NOT NULL DEFAULT '';
ALTER TABLE apps ADD COLUMN secrets   TEXT NOT NULL DEFAULT '[]';    -- JSON of client.Token: hashes
ALTER TABLE apps ADD COLUMN keys      TEXT NOT NULL DEFAULT '[]';    -- JSON of client.PublicKey
ALTER TABLE apps ADD COLUMN alg       TEXT NOT NULL DEFAULT '';
ALTER TABLE apps ADD COLUMN subject   TEXT NOT NULL DEFAULT '';
ALTER TABLE apps ADD COLUMN sector    TEXT NOT NULL DEFAULT '';
ALTER TABLE apps ADD COLUMN initiate  TEXT NOT NULL DEFAULT '';
ALTER TABLE apps ADD COLUMN push_only BOOLEAN NOT NULL DEFAULT FALSE;

-- People sent here by an app: one row for one browser, answered once.
CREATE TABLE handoffs (
	id      TEXT   NOT NULL PRIMARY KEY,
	version BIGINT NOT NULL,
	app     TEXT   NOT NULL,
	key     TEXT   NOT NULL,
	state   TEXT   NOT NULL,
	action  TEXT   NOT NULL,
	request BYTEA  UNIQUE,          -- SHA-256 of the request URI; NULL when it was not pushed
	cookie  BYTEA  UNIQUE,          -- SHA-256 of what only the browser holds; NULL while pushed
	sealed  BYTEA  NOT NULL,        -- JSON: redirect URI, state, nonce, challenge, hint, language, subject
	attempt TEXT   NOT NULL,        -- '' until a try begins
	person  TEXT   NOT NULL,        -- '' until it is answered; ends with the person's epoch
	epoch   BIGINT NOT NULL,
	code    BYTEA  UNIQUE,          -- SHA-256; NULL until it is answered
	token   BYTEA  UNIQUE,          -- SHA-256; NULL until the code is redeemed
	until   BIGINT NOT NULL,        -- of code or token
	result  TEXT   NOT NULL,        -- JSON of client.Result
	why     TEXT   NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX handoffs_attempt ON handoffs (attempt) WHERE attempt <> '';
CREATE INDEX handoffs_expires ON handoffs (expires);

-- What statements are signed with. Which key signs is a column, changed by rotation; at most one does for each use and
-- algorithm.
CREATE TABLE signing_keys (
	id      TEXT   NOT NULL PRIMARY KEY, -- thumbprint (RFC 7638)
	purpose TEXT   NOT NULL,             -- id-token or event
	alg     TEXT   NOT NULL,
	state   TEXT   NOT NULL,             -- next, current or retired
	sealed  BYTEA  NOT NULL,
	created BIGINT NOT NULL,
	moved   BIGINT NOT NULL              -- when it came into this state
);
CREATE UNIQUE INDEX signing_keys_current ON signing_keys (purpose, alg) WHERE state = 'current';
CREATE UNIQUE INDEX signing_keys_next ON signing_keys (purpose, alg) WHERE state = 'next';

CREATE TABLE receivers (
	id       TEXT    NOT NULL PRIMARY KEY,
	version  BIGINT  NOT NULL,
	key      TEXT /*bytewise*/ NOT NULL UNIQUE,
	name     TEXT    NOT NULL,
	kind     TEXT    NOT NULL,
	events   TEXT    NOT NULL, -- JSON list
	format   TEXT    NOT NULL,
	idp      TEXT    NOT NULL,
	disabled BOOLEAN NOT NULL,
	secrets  TEXT    NOT NULL, -- JSON of client.Token: hashes
	audience TEXT    NOT NULL,
	hosts    TEXT    NOT NULL, -- JSON list
	url      TEXT    NOT NULL,
	sealed   BYTEA   NOT NULL, -- JSON of client.SignSecret
	created  BIGINT  NOT NULL,
	updated  BIGINT  NOT NULL
);

CREATE TABLE streams (
	id            TEXT   NOT NULL PRIMARY KEY,
	version       BIGINT NOT NULL,
	receiver      TEXT   NOT NULL REFERENCES receivers (id) ON DELETE CASCADE,
	delivery      TEXT   NOT NULL,
	endpoint      TEXT   NOT NULL,
	sealed        BYTEA,           -- the header sent with each push; NULL for none
	requested     TEXT   NOT NULL, -- JSON list
	description   TEXT   NOT NULL,
	profile       TEXT   NOT NULL,
	status        TEXT   NOT NULL,
	reason        TEXT   NOT NULL,
	verified      BIGINT NOT NULL,
	created       BIGINT NOT NULL,
	updated       BIGINT NOT NULL
);
CREATE INDEX streams_receiver ON streams (receiver, id);

-- Access tokens of receivers: they live for less than an hour, and no longer than the secret they were asked for with.
CREATE TABLE ssf_tokens (
	hash     BYTEA  NOT NULL PRIMARY KEY, -- SHA-256
	receiver TEXT   NOT NULL REFERENCES receivers (id) ON DELETE CASCADE,
	secret   TEXT   NOT NULL,             -- id of the secret
	scopes   TEXT   NOT NULL,             -- with spaces between
	expires  BIGINT NOT NULL
);
CREATE INDEX ssf_tokens_receiver ON ssf_tokens (receiver, expires);

-- Whom a receiver asked not to be told of any more.
CREATE TABLE stream_subjects (
	stream TEXT   NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
	person TEXT   NOT NULL REFERENCES people (id) ON DELETE CASCADE,
	made   BIGINT NOT NULL,
	PRIMARY KEY (stream, person)
);
CREATE INDEX stream_subjects_person ON stream_subjects (person);

-- How deliveries went of late, for one receiver of webhooks or one stream.
CREATE TABLE deliveries (
	client TEXT   NOT NULL PRIMARY KEY,
	good   BIGINT NOT NULL,
	bad    BIGINT NOT NULL,
	class  TEXT   NOT NULL
);

-- What waits for one receiver is found by it: a delivery's ref begins with the 36 characters of its id.
CREATE INDEX work_client ON work (substr(ref, 1, 36), id);

-- Whom a receiver names by issuer and subject.
CREATE INDEX identities_subject ON identities (issuer, subject);
