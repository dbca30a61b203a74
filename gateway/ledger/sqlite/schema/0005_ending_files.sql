-- What `complete` makes of REST files that no last chunk has ended is known without looking at them.
ALTER TABLE uploads ADD COLUMN unbegun_files INTEGER NOT NULL DEFAULT 0;
ALTER TABLE uploads ADD COLUMN ending_files INTEGER NOT NULL DEFAULT 0;
ALTER TABLE uploads ADD COLUMN ending_bytes INTEGER NOT NULL DEFAULT 0;

UPDATE uploads SET
    unbegun_files = (SELECT count(*) FROM files WHERE files.upload_id = uploads.upload_id
                     AND dialect = 'rest' AND state = 'receiving' AND chunks = 0),
    ending_files = (SELECT count(*) FROM files WHERE files.upload_id = uploads.upload_id
                    AND dialect = 'rest' AND state = 'receiving'
                    AND total_chunks IS NULL AND chunks > 0 AND chunks = highest_chunk + 1),
    ending_bytes = (SELECT coalesce(sum("offset"), 0) FROM files WHERE files.upload_id = uploads.upload_id
                    AND dialect = 'rest' AND state = 'receiving'
                    AND total_chunks IS NULL AND chunks > 0 AND chunks = highest_chunk + 1)
WHERE completed_at IS NULL AND finished_at IS NULL;
