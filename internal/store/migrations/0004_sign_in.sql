-- People who sign in at their identity provider, what they register, and who of them is staff.

-- Who an identity provider's account is here. Made at the first sign-in by the link rule and never moved by it: a name
-- that somebody else is given later opens nothing.
CREATE TABLE identities (
	idp     TEXT /*bytewise*/ NOT NULL,
	key     TEXT /*bytewise*/ NOT NULL, -- the value of the immutable claim
	person  TEXT   NOT NULL REFERENCES people (id) ON DELETE CASCADE,
	issuer  TEXT   NOT NULL,
	subject TEXT   NOT NULL,
	made    BIGINT NOT NULL,
	PRIMARY KEY (idp, key),
	UNIQUE (idp, person)
);
CREATE INDEX identities_person ON identities (person);

-- Sign-ins under way: one row for one browser, taken once.
CREATE TABLE signins (
	state   BYTEA  NOT NULL PRIMARY KEY, -- SHA-256 of the state parameter
	cookie  BYTEA  NOT NULL,             -- SHA-256 of what only the starting browser holds
	idp     TEXT   NOT NULL,
	purpose TEXT   NOT NULL,
	session TEXT   NOT NULL,             -- of a step-up; '' else
	attempt TEXT   NOT NULL,             -- of a proof; '' else
	sealed  BYTEA  NOT NULL,             -- JSON: nonce, verifier, where to go on
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX signins_expires ON signins (expires);

CREATE TABLE sessions (
	id        TEXT   NOT NULL PRIMARY KEY,
	version   BIGINT NOT NULL,
	hash      BYTEA  NOT NULL UNIQUE, -- SHA-256 of the cookie
	person    TEXT   NOT NULL,        -- ends with the person's epoch
	epoch     BIGINT NOT NULL,
	idp       TEXT   NOT NULL,
	issuer    TEXT   NOT NULL,
	subject   TEXT   NOT NULL,
	sid       TEXT   NOT NULL,
	acr       TEXT   NOT NULL,
	amr       TEXT   NOT NULL,        -- JSON list
	auth_time BIGINT NOT NULL,
	step_up   BIGINT NOT NULL,        -- when the sign-in that passed the accept list was made; 0: never
	sealed    BYTEA  NOT NULL,        -- JSON under the person's key: network, browser family, ID token, values of role claims
	started   BIGINT NOT NULL,
	seen      BIGINT NOT NULL,
	expires   BIGINT NOT NULL,
	ended     BIGINT NOT NULL,
	why       TEXT   NOT NULL,
	staffed   BIGINT NOT NULL DEFAULT 0 -- when a page for staff was last shown in it; nothing else moves it
);
CREATE INDEX sessions_person ON sessions (person, id);
CREATE INDEX sessions_sid ON sessions (issuer, sid) WHERE sid <> '';
CREATE INDEX sessions_subject ON sessions (issuer, subject);
CREATE INDEX sessions_expires ON sessions (expires);

-- What may be taken once until a time: ids of logout tokens. k is a keyed hash.
CREATE TABLE spent (
	k         BYTEA  NOT NULL PRIMARY KEY,
	not_after BIGINT NOT NULL
);
CREATE INDEX spent_not_after ON spent (not_after);

-- Ways that are being registered.
CREATE TABLE enrolments (
	id          TEXT   NOT NULL PRIMARY KEY,
	version     BIGINT NOT NULL,
	person      TEXT   NOT NULL, -- ends with the person's epoch
	epoch       BIGINT NOT NULL,
	session     TEXT   NOT NULL, -- the one it was begun in; no other may go on with it
	kind        TEXT   NOT NULL,
	state       TEXT   NOT NULL,
	sealed      BYTEA,           -- JSON under the person's key: destination, seed, what the person calls it; NULL once it is over
	destination BYTEA,           -- keyed hash
	tries       BIGINT NOT NULL,
	sends       BIGINT NOT NULL,
	send        TEXT   NOT NULL,
	created     BIGINT NOT NULL,
	expires     BIGINT NOT NULL
);
CREATE INDEX enrolments_session ON enrolments (session, id);
CREATE INDEX enrolments_expires ON enrolments (expires);

-- How many people may share a destination is counted behind this row's lock.
CREATE TABLE destinations (
	hash    BYTEA  NOT NULL PRIMARY KEY,
	touched BIGINT NOT NULL
);

-- What a person was asked to register, and put off.
CREATE TABLE registrations (
	person   TEXT   NOT NULL PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
	snoozes  BIGINT NOT NULL,
	until    BIGINT NOT NULL, -- put off until then
	reviewed BIGINT NOT NULL  -- when they last said that what stands here is right
);

CREATE TABLE browsers (
	id      TEXT   NOT NULL PRIMARY KEY,
	hash    BYTEA  NOT NULL UNIQUE, -- SHA-256 of the cookie
	person  TEXT   NOT NULL,        -- ends with the person's epoch
	epoch   BIGINT NOT NULL,
	sealed  BYTEA  NOT NULL,        -- JSON under the person's key: browser family, network
	made    BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX browsers_person ON browsers (person, id);

CREATE TABLE apps (
	id       TEXT    NOT NULL PRIMARY KEY,
	version  BIGINT  NOT NULL,
	key      TEXT /*bytewise*/ NOT NULL UNIQUE, -- what return_to names
	name     TEXT    NOT NULL,
	returns  TEXT    NOT NULL, -- JSON list of addresses, the first is where people go back to
	disabled BOOLEAN NOT NULL,
	created  BIGINT  NOT NULL,
	updated  BIGINT  NOT NULL
);

-- What makes somebody staff: a value of a claim, or a group of a connector that is trusted for it.
CREATE TABLE role_rules (
	id     TEXT   NOT NULL PRIMARY KEY,
	role   TEXT   NOT NULL,
	source TEXT   NOT NULL, -- claim or group
	idp    TEXT   NOT NULL,
	claim  TEXT   NOT NULL,
	value  TEXT   NOT NULL, -- of the claim, or the display name of the group
	made   BIGINT NOT NULL,
	by_whom TEXT  NOT NULL,
	UNIQUE (role, source, idp, claim, value)
);

CREATE TABLE invites (
	hash    BYTEA  NOT NULL PRIMARY KEY, -- SHA-256 of the link's token
	role    TEXT   NOT NULL,
	by_whom TEXT   NOT NULL,
	made    BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	used    BIGINT NOT NULL
);

ALTER TABLE connectors ADD COLUMN roles BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE methods ADD COLUMN matures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE methods ADD COLUMN leaves BIGINT NOT NULL DEFAULT 0;
CREATE INDEX methods_leaves ON methods (leaves) WHERE leaves > 0;

-- What the console finds people by. The last digits of a provisioned number; '' for addresses and shorter numbers.
ALTER TABLE contacts ADD COLUMN ending TEXT NOT NULL DEFAULT '';
UPDATE contacts SET ending = substr(replace(replace(replace(replace(replace(value, ' ', ''), '-', ''), '.', ''), ')', ''), '/', ''),
		length(replace(replace(replace(replace(replace(value, ' ', ''), '-', ''), '.', ''), ')', ''), '/', '')) - 3)
	WHERE list = 'phoneNumbers' AND length(value) >= 4;
CREATE INDEX contacts_ending ON contacts (ending, person) WHERE ending <> '';
CREATE INDEX people_display_name ON people (display_name_key);
CREATE INDEX people_given_name ON people (given_name_key);
CREATE INDEX people_family_name ON people (family_name_key);
-- By it a person is found at their first sign-in, whichever connector brought them.
CREATE INDEX people_external_id ON people (external_id);
