-- Files that the gateway makes itself: their bytes are in their row, and no count that a client sees has them.

ALTER TABLE files ADD COLUMN bytes_sealed BLOB;

DROP TRIGGER files_count;
DROP TRIGGER files_recount;
DROP TRIGGER files_uncount;

CREATE TRIGGER files_count AFTER INSERT ON files WHEN NEW.dialect <> 'gateway' BEGIN
    INSERT INTO file_counts VALUES (NEW.upload_id, NEW.state, 1)
    ON CONFLICT DO UPDATE SET files = files + 1;
END;
CREATE TRIGGER files_recount AFTER UPDATE OF state ON files WHEN OLD.state <> NEW.state AND NEW.dialect <> 'gateway' BEGIN
    UPDATE file_counts SET files = files - 1 WHERE upload_id = OLD.upload_id AND state = OLD.state;
    INSERT INTO file_counts VALUES (NEW.upload_id, NEW.state, 1)
    ON CONFLICT DO UPDATE SET files = files + 1;
END;
CREATE TRIGGER files_uncount AFTER DELETE ON files WHEN OLD.dialect <> 'gateway' BEGIN
    UPDATE file_counts SET files = files - 1 WHERE upload_id = OLD.upload_id AND state = OLD.state;
END;
