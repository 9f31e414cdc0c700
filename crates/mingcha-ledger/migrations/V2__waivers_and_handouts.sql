-- What is known to be lawful, and what has left the house.
PRAGMA user_version = 2;

CREATE TABLE waivers (
    key TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    expires TEXT GENERATED ALWAYS AS (body ->> '$.expires') VIRTUAL
) STRICT, WITHOUT ROWID;
CREATE TABLE handouts (
    key TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    recipient TEXT GENERATED ALWAYS AS (body ->> '$.recipient') VIRTUAL,
    expires TEXT GENERATED ALWAYS AS (body ->> '$.expires') VIRTUAL
) STRICT, WITHOUT ROWID;
