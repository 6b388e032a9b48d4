-- Which cluster's nodes use the database. A SQLite file has one node, so there is no such table there.
CREATE TABLE cluster (
    id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    name BYTEA  NOT NULL CHECK (length(name) = 16)
);
