-- How urgent an upload was declared, in the clear: what is late has to be found without its key.
ALTER TABLE uploads ADD COLUMN priority TEXT NOT NULL DEFAULT '';
-- When it was told that it is late (`alerts.stat_after`).
ALTER TABLE uploads ADD COLUMN delayed_at REAL;
CREATE INDEX uploads_stat ON uploads (completed_at)
    WHERE priority = 'stat' AND completed_at IS NOT NULL AND finished_at IS NULL AND delayed_at IS NULL;
CREATE INDEX uploads_delayed ON uploads (endpoint_id) WHERE delayed_at IS NOT NULL AND finished_at IS NULL;
