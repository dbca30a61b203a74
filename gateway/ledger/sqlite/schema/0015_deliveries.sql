-- Uploads that go to several endpoints (docs/decisions/0008-several-deliveries.md). Those with one have no rows here.
ALTER TABLE uploads ADD COLUMN route INTEGER;
ALTER TABLE uploads ADD COLUMN open_deliveries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN endpoint_id TEXT NOT NULL DEFAULT '';

-- Of an account's jobs those of urgent uploads go first (`JobRow.urgency`): they are few, and have an index of their own.
ALTER TABLE jobs ADD COLUMN urgency INTEGER NOT NULL DEFAULT 2;
UPDATE jobs SET urgency = coalesce((
    SELECT iif(priority = 'stat', 0, 1) FROM uploads
    WHERE uploads.upload_id = jobs.upload_id AND priority IN ('stat', 'urgent')
), 2);
CREATE INDEX jobs_urgent ON jobs (kind, owner_id, urgency, due_at) WHERE lease_until IS NULL AND urgency < 2;

CREATE TABLE deliveries (
    upload_id       TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE,
    endpoint_id     TEXT NOT NULL,
    place           INTEGER NOT NULL,
    required        INTEGER NOT NULL,
    state           TEXT NOT NULL,
    fallback        TEXT NOT NULL,
    replaced_by     TEXT NOT NULL,
    held_codes      TEXT NOT NULL,
    receipt_id      TEXT,
    warnings_sealed BLOB,
    studies_sealed  BLOB,
    queued_at       REAL,
    held_at         REAL,
    released_at     REAL,
    finished_at     REAL,
    PRIMARY KEY (upload_id, endpoint_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_queued ON deliveries (endpoint_id, queued_at) WHERE state = 'delivering';
CREATE INDEX deliveries_held ON deliveries (endpoint_id, held_at) WHERE state = 'held';

CREATE TABLE outcomes (
    file_id        TEXT NOT NULL REFERENCES files ON DELETE CASCADE,
    endpoint_id    TEXT NOT NULL,
    state          TEXT NOT NULL,
    outcome_sealed BLOB,
    PRIMARY KEY (file_id, endpoint_id)
) STRICT, WITHOUT ROWID;

-- An upload whose endpoint is chosen after it was opened is counted there from then on.
DROP TRIGGER uploads_recount;
CREATE TRIGGER uploads_recount AFTER UPDATE OF state, endpoint_id ON uploads
WHEN OLD.state <> NEW.state OR OLD.endpoint_id <> NEW.endpoint_id BEGIN
    UPDATE upload_counts SET uploads = uploads - 1 WHERE endpoint_id = OLD.endpoint_id AND state = OLD.state;
    INSERT INTO upload_counts VALUES (NEW.endpoint_id, NEW.state, 1)
    ON CONFLICT DO UPDATE SET uploads = uploads + 1;
END;
