-- tus concatenation: parts that are no files of their upload, and finals that are put together from them. Bytes aren't
-- copied: a final's runs name entries that were sealed for the parts (docs/spool-format.md).
ALTER TABLE uploads ADD COLUMN parts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE uploads ADD COLUMN part_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE files ADD COLUMN concat_sealed BLOB;
ALTER TABLE files ADD COLUMN sources_sealed BLOB;
ALTER TABLE runs ADD COLUMN source_id TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN source_start INTEGER NOT NULL DEFAULT 0;

CREATE TABLE concatenations (
    final_id TEXT NOT NULL,
    number   INTEGER NOT NULL,
    part_id  TEXT NOT NULL,
    PRIMARY KEY (final_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX concatenations_by_part ON concatenations (part_id, final_id);
CREATE TRIGGER files_take_concatenations AFTER DELETE ON files WHEN OLD.dialect = 'final' BEGIN
    DELETE FROM concatenations WHERE final_id = OLD.file_id;
END;

DROP TRIGGER files_count;
DROP TRIGGER files_recount;
DROP TRIGGER files_uncount;
CREATE TRIGGER files_count AFTER INSERT ON files WHEN NEW.dialect NOT IN ('gateway', 'part') BEGIN
    INSERT INTO file_counts VALUES (NEW.upload_id, NEW.state, 1)
    ON CONFLICT DO UPDATE SET files = files + 1;
END;
CREATE TRIGGER files_recount AFTER UPDATE OF state ON files
WHEN OLD.state <> NEW.state AND NEW.dialect NOT IN ('gateway', 'part') BEGIN
    UPDATE file_counts SET files = files - 1 WHERE upload_id = OLD.upload_id AND state = OLD.state;
    INSERT INTO file_counts VALUES (NEW.upload_id, NEW.state, 1)
    ON CONFLICT DO UPDATE SET files = files + 1;
END;
CREATE TRIGGER files_uncount AFTER DELETE ON files WHEN OLD.dialect NOT IN ('gateway', 'part') BEGIN
    UPDATE file_counts SET files = files - 1 WHERE upload_id = OLD.upload_id AND state = OLD.state;
END;

-- What a row names isn't given away: such an entry may get another row, though its segment is closed.
DROP TRIGGER runs_need_segments;
CREATE TRIGGER runs_need_segments BEFORE INSERT ON runs
WHEN NOT EXISTS (SELECT 1 FROM segments WHERE segment_id = NEW.segment_id)
 AND NOT EXISTS (SELECT 1 FROM shared_segments WHERE segment_id = NEW.segment_id AND state = 'open')
 AND NOT EXISTS (SELECT 1 FROM runs WHERE segment_id = NEW.segment_id AND entry_at = NEW.entry_at
                 AND entry_id = NEW.entry_id) BEGIN
    SELECT RAISE(ABORT, 'the segment takes no runs');
END;

-- A segment of one file may become one that files share; it is the same segment then.
DROP TRIGGER segments_take_runs;
CREATE TRIGGER segments_take_runs AFTER DELETE ON segments
WHEN NOT EXISTS (SELECT 1 FROM shared_segments WHERE segment_id = OLD.segment_id) BEGIN
    DELETE FROM runs WHERE segment_id = OLD.segment_id;
END;
