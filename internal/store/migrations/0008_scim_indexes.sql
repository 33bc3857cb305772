-- What lists of a connector's people and groups are found and sorted by.

-- By user name: the order of a list in pages, of one connector among several.
CREATE INDEX people_connector_name ON people (connector, user_name_key);
