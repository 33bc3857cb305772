-- Passwords that identity providers bring.

ALTER TABLE connectors ADD COLUMN set_password BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX writes_person ON writes (person, created);
