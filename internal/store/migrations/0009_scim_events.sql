-- Who follows people and groups as SCIM knows them, and the requests that are answered later (RFC 9967).

ALTER TABLE receivers ADD COLUMN connectors TEXT    NOT NULL DEFAULT '';    -- JSON list of ids; '': all
ALTER TABLE receivers ADD COLUMN feed       BOOLEAN NOT NULL DEFAULT FALSE; -- hears anything of the feed at all

-- A row lives until its request was carried out, or refused for good.
CREATE TABLE requests (
	id        TEXT   NOT NULL PRIMARY KEY,
	connector TEXT   NOT NULL, -- it may be gone: then the request is refused
	place     BIGINT NOT NULL, -- in the connector's line; of those with one place the smaller id is first
	at        BIGINT NOT NULL,
	failures  BIGINT NOT NULL,
	size      BIGINT NOT NULL,
	sealed    BYTEA  NOT NULL  -- the request: it may hold secrets
);
CREATE INDEX requests_line ON requests (connector, place, id);
