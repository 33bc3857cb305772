-- What connectors may do and how much of it, and the brake on those that take many people away at once.

ALTER TABLE connectors ADD COLUMN uses      TEXT    NOT NULL DEFAULT ''; -- with spaces between; '': everything
ALTER TABLE connectors ADD COLUMN read_only BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE connectors ADD COLUMN rate      BIGINT  NOT NULL DEFAULT 0;  -- requests a second and process; 0: the usual

-- Whom a connector disables and deletes is counted behind this row's lock; it goes with the connector.
CREATE TABLE brakes (
	connector TEXT NOT NULL PRIMARY KEY,
	state     TEXT NOT NULL -- JSON of client.Brake
);

-- Who was disabled or deleted of late, so that a wave of them can be undone. No rule ends a row: minutes do, or days.
CREATE TABLE departures (
	person    TEXT    NOT NULL PRIMARY KEY,
	connector TEXT    NOT NULL,
	wave      TEXT    NOT NULL, -- '' for whoever left in none: gone after minutes
	at        BIGINT  NOT NULL,
	active    BOOLEAN NOT NULL, -- whether they were active before all this
	sealed    BYTEA             -- the rows of somebody deleted, under their key; NULL for somebody disabled
);
CREATE INDEX departures_connector ON departures (connector, wave, at);
CREATE INDEX departures_at ON departures (at);
