-- What connectors may do and how much of it, and the brake on those that take many people away at once.

ALTER TABLE connectors ADD COLUMN uses      TEXT    NOT NULL DEFAULT ''; -- with spaces between; '': everything
ALTER TABLE connectors ADD COLUMN read_only BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE connectors ADD COLUMN rate      BIGINT  NOT NULL DEFAULT 0;  -- requests a second and process; 0: the usual
