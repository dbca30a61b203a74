-- How many uploads are in which state, for each endpoint, so that nobody counts them. Triggers keep it, as in 0001.
CREATE TABLE upload_counts (
    endpoint_id TEXT NOT NULL,
    state       TEXT NOT NULL,
    uploads     INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, state)
) STRICT, WITHOUT ROWID;
INSERT INTO upload_counts SELECT endpoint_id, state, count(*) FROM uploads GROUP BY endpoint_id, state;

CREATE TRIGGER uploads_count AFTER INSERT ON uploads BEGIN
    INSERT INTO upload_counts VALUES (NEW.endpoint_id, NEW.state, 1)
    ON CONFLICT DO UPDATE SET uploads = uploads + 1;
END;
CREATE TRIGGER uploads_recount AFTER UPDATE OF state ON uploads WHEN OLD.state <> NEW.state BEGIN
    UPDATE upload_counts SET uploads = uploads - 1 WHERE endpoint_id = OLD.endpoint_id AND state = OLD.state;
    INSERT INTO upload_counts VALUES (NEW.endpoint_id, NEW.state, 1)
    ON CONFLICT DO UPDATE SET uploads = uploads + 1;
END;
CREATE TRIGGER uploads_uncount AFTER DELETE ON uploads BEGIN
    UPDATE upload_counts SET uploads = uploads - 1 WHERE endpoint_id = OLD.endpoint_id AND state = OLD.state;
END;

-- Since when an upload has been on its way to its PACS: completed, released or retried.
ALTER TABLE uploads ADD COLUMN queued_at REAL;
UPDATE uploads SET queued_at = max(completed_at, coalesce(released_at, 0.0)) WHERE completed_at IS NOT NULL;
CREATE INDEX uploads_queued ON uploads (endpoint_id, queued_at) WHERE state = 'delivering';
CREATE INDEX uploads_held ON uploads (endpoint_id, held_at) WHERE state = 'held';
