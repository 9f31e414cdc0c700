-- The ledger: what happened (events, contents), and what stands because of it (the registers).
PRAGMA application_id = 1296256071; -- "MCLG"
PRAGMA user_version = 1;

-- Its name and its secret. Written once.
CREATE TABLE ledger (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Who, when, what, about which entry of which register; `digest` stands for the content, `hash` for all of it and for
-- the event before.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY CHECK (seq > 0),
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    what TEXT NOT NULL,
    register TEXT NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    digest BLOB NOT NULL,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX events_of ON events (register, key, seq);

-- What was before, what is after, and why. Apart from the events, because content may have to be destroyed while the
-- chain stays whole; salted, so that what was destroyed cannot be found again by trying.
CREATE TABLE contents (
    seq INTEGER PRIMARY KEY REFERENCES events (seq),
    salt BLOB NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- Content destroyed, and the event that certifies it.
CREATE TABLE purged (
    seq INTEGER PRIMARY KEY REFERENCES events (seq),
    certificate INTEGER NOT NULL REFERENCES events (seq)
) STRICT;

-- The registers follow from the events; `mingcha verify` derives them again and compares.
CREATE TABLE leads (
    key TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    rule TEXT GENERATED ALWAYS AS (body ->> '$.rule_id') VIRTUAL,
    subject TEXT GENERATED ALWAYS AS (body ->> '$.subject_id') VIRTUAL,
    area TEXT GENERATED ALWAYS AS (body ->> '$.area_code') VIRTUAL,
    severity TEXT GENERATED ALWAYS AS (body ->> '$.severity') VIRTUAL,
    presence TEXT GENERATED ALWAYS AS (body ->> '$.presence') VIRTUAL,
    stage TEXT GENERATED ALWAYS AS (body ->> '$.stage') VIRTUAL,
    assignee TEXT GENERATED ALWAYS AS (body ->> '$.assignee') VIRTUAL
) STRICT;
CREATE INDEX leads_by_rule ON leads (rule);
CREATE INDEX leads_by_subject ON leads (subject);
CREATE TABLE runs (
    key TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    run_id TEXT GENERATED ALWAYS AS (body ->> '$.run_id') VIRTUAL,
    as_of TEXT GENERATED ALWAYS AS (body ->> '$.as_of') VIRTUAL
) STRICT, WITHOUT ROWID;
CREATE TABLE rules (
    key TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    last_run TEXT GENERATED ALWAYS AS (body ->> '$.last_run') VIRTUAL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ledger_stands BEFORE UPDATE ON ledger BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_stays BEFORE DELETE ON ledger BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER events_stand BEFORE UPDATE ON events BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER contents_stand BEFORE UPDATE ON contents BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER contents_stay BEFORE DELETE ON contents
WHEN NOT EXISTS (SELECT 1 FROM purged WHERE purged.seq = old.seq)
BEGIN SELECT raise(ABORT, 'content is destroyed only with a certificate'); END;
CREATE TRIGGER purged_stands BEFORE UPDATE ON purged BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER purged_stays BEFORE DELETE ON purged BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER purged_is_certified BEFORE INSERT ON purged
WHEN NOT EXISTS (SELECT 1 FROM events WHERE events.seq = new.certificate AND events.what = 'purged')
BEGIN SELECT raise(ABORT, 'content is destroyed only with a certificate'); END;
