-- Accounts take turns at the workers (gateway/jobs/workers.py): whose a job is stands in its row, and an index finds who
-- has something to do and the oldest of it, however many jobs one of them has.
ALTER TABLE jobs ADD COLUMN owner_id TEXT NOT NULL DEFAULT '';
UPDATE jobs SET owner_id = (SELECT owner_id FROM uploads WHERE uploads.upload_id = jobs.upload_id);
CREATE INDEX jobs_by_owner ON jobs (kind, owner_id, due_at) WHERE lease_until IS NULL;
