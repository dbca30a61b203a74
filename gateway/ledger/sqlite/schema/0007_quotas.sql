-- What each account has open and set aside, so that no quota is summed row by row. Triggers keep it, as in 0001.
CREATE TABLE account_sums (
    owner_id       TEXT PRIMARY KEY,
    open_uploads   INTEGER NOT NULL,
    reserved_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO account_sums
    SELECT owner_id, sum(coalesce(completed_at, finished_at) IS NULL), sum(iif(erased_at IS NULL, reserved_bytes, 0))
    FROM uploads GROUP BY owner_id;

CREATE TRIGGER uploads_sum AFTER INSERT ON uploads BEGIN
    INSERT INTO account_sums VALUES (
        NEW.owner_id, coalesce(NEW.completed_at, NEW.finished_at) IS NULL, iif(NEW.erased_at IS NULL, NEW.reserved_bytes, 0)
    )
    ON CONFLICT DO UPDATE SET open_uploads = open_uploads + excluded.open_uploads,
                              reserved_bytes = reserved_bytes + excluded.reserved_bytes;
END;
CREATE TRIGGER uploads_resum AFTER UPDATE OF reserved_bytes, completed_at, finished_at, erased_at ON uploads
WHEN (coalesce(OLD.completed_at, OLD.finished_at) IS NULL) <> (coalesce(NEW.completed_at, NEW.finished_at) IS NULL)
  OR iif(OLD.erased_at IS NULL, OLD.reserved_bytes, 0) <> iif(NEW.erased_at IS NULL, NEW.reserved_bytes, 0) BEGIN
    UPDATE account_sums SET
        open_uploads = open_uploads - (coalesce(OLD.completed_at, OLD.finished_at) IS NULL)
                                    + (coalesce(NEW.completed_at, NEW.finished_at) IS NULL),
        reserved_bytes = reserved_bytes - iif(OLD.erased_at IS NULL, OLD.reserved_bytes, 0)
                                        + iif(NEW.erased_at IS NULL, NEW.reserved_bytes, 0)
    WHERE owner_id = NEW.owner_id;
END;
CREATE TRIGGER uploads_unsum AFTER DELETE ON uploads BEGIN
    UPDATE account_sums SET
        open_uploads = open_uploads - (coalesce(OLD.completed_at, OLD.finished_at) IS NULL),
        reserved_bytes = reserved_bytes - iif(OLD.erased_at IS NULL, OLD.reserved_bytes, 0)
    WHERE owner_id = OLD.owner_id;
    DELETE FROM account_sums WHERE owner_id = OLD.owner_id AND open_uploads = 0 AND reserved_bytes = 0;
END;

-- Room that was set aside and of which no byte came.
CREATE INDEX uploads_empty ON uploads (created_at)
    WHERE received_bytes = 0 AND reserved_bytes > 0 AND completed_at IS NULL AND finished_at IS NULL;
-- Codes that may still be used.
CREATE INDEX qr_codes_open ON qr_codes (issuer_id, expires_at) WHERE used_at IS NULL AND revoked_at IS NULL;

-- Opened by a QR code: what its holder called things isn't its owner's to read (gateway/identity/principal.py).
ALTER TABLE uploads ADD COLUMN by_qr INTEGER NOT NULL DEFAULT 0;
