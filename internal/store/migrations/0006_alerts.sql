-- What identity providers say of their people: sessions that ended there, accounts in other hands, accounts that are shut.

ALTER TABLE people ADD COLUMN alerts TEXT NOT NULL DEFAULT ''; -- JSON list of account.Alert, '' without one

-- One row for each provider that ever shut an account: whoever shuts one counts behind its lock.
CREATE TABLE signal_brakes (
	idp  TEXT /*bytewise*/ NOT NULL PRIMARY KEY,
	told BIGINT NOT NULL -- when administrators were last told that it shuts too many
);

-- Whom a provider shut out in the last minutes; older rows go with the next one.
CREATE TABLE signal_counts (
	idp    TEXT /*bytewise*/ NOT NULL,
	person TEXT   NOT NULL REFERENCES people (id) ON DELETE CASCADE,
	at     BIGINT NOT NULL,
	PRIMARY KEY (idp, person)
);
CREATE INDEX signal_counts_person ON signal_counts (person);
