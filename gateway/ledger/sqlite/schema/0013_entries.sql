-- Spool format 2: a run is in an entry of a segment, and files may share a segment (docs/spool-format.md). A segment of
-- format 1 is one entry at 0 that bears the segment's id; no blob is touched.
CREATE TABLE shared_segments (
    segment_id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('open', 'closed', 'tidy'))
) STRICT, WITHOUT ROWID;
CREATE INDEX shared_segments_by_state ON shared_segments (state, segment_id);

CREATE TABLE runs_of_entries (
    run_id       INTEGER PRIMARY KEY,
    file_id      TEXT NOT NULL,
    segment_id   TEXT NOT NULL,
    start        INTEGER NOT NULL,
    length       INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    first_frame  INTEGER NOT NULL,
    content_mac  BLOB,
    entry_at     INTEGER NOT NULL,
    entry_id     TEXT NOT NULL,
    sealed_bytes INTEGER NOT NULL
) STRICT;
INSERT INTO runs_of_entries
    SELECT run_id, file_id, segment_id, start, length, position, first_frame, content_mac, 0, segment_id, 0 FROM runs;
DROP TABLE runs;
ALTER TABLE runs_of_entries RENAME TO runs;
CREATE INDEX runs_by_file ON runs (file_id, start);
CREATE INDEX runs_by_segment ON runs (segment_id, entry_at);

-- What a foreign key to two tables would do. A run that comes when its segment is closed comes too late: whoever closed
-- it may have given away what no run named.
CREATE TRIGGER runs_need_segments BEFORE INSERT ON runs
WHEN NOT EXISTS (SELECT 1 FROM segments WHERE segment_id = NEW.segment_id)
 AND NOT EXISTS (SELECT 1 FROM shared_segments WHERE segment_id = NEW.segment_id AND state = 'open') BEGIN
    SELECT RAISE(ABORT, 'the segment takes no runs');
END;
CREATE TRIGGER segments_take_runs AFTER DELETE ON segments BEGIN
    DELETE FROM runs WHERE segment_id = OLD.segment_id;
END;
CREATE TRIGGER shared_segments_take_runs AFTER DELETE ON shared_segments BEGIN
    DELETE FROM runs WHERE segment_id = OLD.segment_id;
END;
