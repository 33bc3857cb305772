-- Connectors, the policy, people, groups and methods.

CREATE TABLE connectors (
	id      TEXT   NOT NULL PRIMARY KEY,
	version BIGINT NOT NULL,
	name    TEXT /*bytewise*/ NOT NULL UNIQUE,
	trust   TEXT   NOT NULL,
	preset  TEXT   NOT NULL,
	groups  BOOLEAN NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	last    BIGINT NOT NULL
);

CREATE TABLE connector_tokens (
	hash      BYTEA  NOT NULL PRIMARY KEY,
	id        TEXT   NOT NULL,
	connector TEXT   NOT NULL REFERENCES connectors (id) ON DELETE CASCADE,
	created   BIGINT NOT NULL,
	expires   BIGINT NOT NULL -- 0: no end
);
CREATE INDEX connector_tokens_connector ON connector_tokens (connector);

CREATE TABLE policies (
	version BIGINT NOT NULL PRIMARY KEY,
	hash    TEXT   NOT NULL,
	body    TEXT   NOT NULL, -- JSON of policy.Policy
	by_whom TEXT   NOT NULL,
	applied BIGINT NOT NULL
);

CREATE TABLE people (
	id           TEXT    NOT NULL PRIMARY KEY,
	version      BIGINT  NOT NULL,
	epoch        BIGINT  NOT NULL,
	connector    TEXT    NOT NULL,
	external_id  TEXT /*bytewise*/, -- NULL for none, as the keys below: SCIM tells what is absent from what is empty
	user_name    TEXT    NOT NULL,
	user_name_key TEXT /*bytewise*/ NOT NULL UNIQUE,
	active       BOOLEAN NOT NULL,
	display_name TEXT    NOT NULL,
	display_name_key TEXT /*bytewise*/,
	given_name   TEXT    NOT NULL,
	given_name_key TEXT /*bytewise*/,
	family_name  TEXT    NOT NULL,
	family_name_key TEXT /*bytewise*/,
	language     TEXT    NOT NULL,
	emails       TEXT    NOT NULL, -- JSON of account.Contact; table contacts is what they are found by
	phones       TEXT    NOT NULL,
	attrs        TEXT    NOT NULL, -- the whole resource as JSON
	hold_until   BIGINT  NOT NULL,
	dispute      TEXT    NOT NULL, -- JSON of account.Dispute, '' without one
	created      BIGINT  NOT NULL,
	updated      BIGINT  NOT NULL
);
CREATE UNIQUE INDEX people_external ON people (connector, external_id);
CREATE INDEX people_connector ON people (connector, id);

-- What a person may type to say who they are: the user name and every provisioned address.
CREATE TABLE logins (
	person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
	key    TEXT /*bytewise*/ NOT NULL,
	PRIMARY KEY (key, person)
);
CREATE INDEX logins_person ON logins (person);

-- Provisioned contacts, as SCIM must search them.
CREATE TABLE contacts (
	person   TEXT    NOT NULL REFERENCES people (id) ON DELETE CASCADE,
	list     TEXT    NOT NULL, -- emails or phoneNumbers
	position BIGINT  NOT NULL,
	value    TEXT    NOT NULL,
	value_key TEXT /*bytewise*/,
	type_key TEXT /*bytewise*/,
	is_primary BOOLEAN NOT NULL,
	PRIMARY KEY (person, list, position)
);
CREATE INDEX contacts_value ON contacts (list, value_key);

CREATE TABLE groups (
	id           TEXT   NOT NULL PRIMARY KEY,
	version      BIGINT NOT NULL,
	connector    TEXT   NOT NULL,
	external_id  TEXT /*bytewise*/,
	display_name TEXT   NOT NULL,
	display_name_key TEXT /*bytewise*/,
	attrs        TEXT   NOT NULL,
	created      BIGINT NOT NULL,
	updated      BIGINT NOT NULL
);
CREATE INDEX groups_connector ON groups (connector, id);
CREATE INDEX groups_external ON groups (connector, external_id);
CREATE INDEX groups_name ON groups (display_name_key);

CREATE TABLE members (
	grp    TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
	member TEXT NOT NULL, -- a person or a group
	kind   TEXT NOT NULL, -- User or Group
	PRIMARY KEY (grp, member)
);
CREATE INDEX members_member ON members (member);

-- What was deleted, so that a name that comes back is not mistaken for a first provisioning. Kept 30 days.
CREATE TABLE tombstones (
	id            TEXT   NOT NULL PRIMARY KEY,
	connector     TEXT   NOT NULL,
	external_id   TEXT /*bytewise*/ NOT NULL,
	user_name_key TEXT /*bytewise*/ NOT NULL,
	deleted       BIGINT NOT NULL
);
CREATE INDEX tombstones_name ON tombstones (user_name_key);
CREATE INDEX tombstones_external ON tombstones (connector, external_id);
CREATE INDEX tombstones_deleted ON tombstones (deleted);

CREATE TABLE methods (
	id          TEXT    NOT NULL PRIMARY KEY,
	version     BIGINT  NOT NULL,
	person      TEXT    NOT NULL REFERENCES people (id) ON DELETE CASCADE,
	kind        TEXT    NOT NULL,
	status      TEXT    NOT NULL,
	root_kind   TEXT    NOT NULL,
	root_id     TEXT    NOT NULL,
	sealed      BYTEA   NOT NULL, -- destination, seed and what the person calls it, under the person's key
	destination BYTEA,            -- keyed hash
	since       BIGINT  NOT NULL, -- when the person got this destination
	attribute   TEXT    NOT NULL,
	is_primary  BOOLEAN NOT NULL,
	uses        TEXT    NOT NULL, -- JSON list
	created     BIGINT  NOT NULL,
	confirmed   BIGINT  NOT NULL,
	usable_from BIGINT  NOT NULL,
	removed_at  BIGINT  NOT NULL,
	last_used   BIGINT  NOT NULL,
	last_step   BIGINT  NOT NULL,
	failures    BIGINT  NOT NULL
);
CREATE INDEX methods_person ON methods (person, id);
CREATE INDEX methods_destination ON methods (destination);
CREATE INDEX methods_removed ON methods (removed_at) WHERE removed_at > 0;

CREATE TABLE recovery_codes (
	id       TEXT   NOT NULL PRIMARY KEY,
	person   TEXT   NOT NULL REFERENCES people (id) ON DELETE CASCADE,
	method   TEXT   NOT NULL REFERENCES methods (id) ON DELETE CASCADE,
	selector TEXT   NOT NULL,
	hash     TEXT   NOT NULL,
	used     BIGINT NOT NULL
);
CREATE INDEX recovery_codes_selector ON recovery_codes (person, selector);
