-- One migration is one file; it runs inside a transaction and is never edited once a release has carried it.
-- Columns bear the names of the fields in gateway/ledger/rows.py. Every index serves a query of gateway/ledger/base.py.

CREATE TABLE uploads (
    upload_id       TEXT PRIMARY KEY,
    owner_id        TEXT NOT NULL,
    endpoint_id     TEXT NOT NULL,
    single          INTEGER NOT NULL,
    state           TEXT NOT NULL,
    epoch           INTEGER NOT NULL,
    key_id          INTEGER,
    kek_id          TEXT NOT NULL,
    total_files     INTEGER NOT NULL,
    total_size_bytes INTEGER NOT NULL,
    reserved_bytes  INTEGER NOT NULL,
    chunk_size      INTEGER NOT NULL,
    live_files      INTEGER NOT NULL,
    planned_bytes   INTEGER NOT NULL,
    received_bytes  INTEGER NOT NULL,
    whole_files     INTEGER NOT NULL,
    whole_bytes     INTEGER NOT NULL,
    meta_sealed     BLOB,
    skipped_sealed  BLOB,
    warnings_sealed BLOB,
    studies_sealed  BLOB,
    held_codes      TEXT NOT NULL,
    receipt_id      TEXT,
    created_at      REAL NOT NULL,
    active_at       REAL NOT NULL,
    expires_at      REAL NOT NULL,
    completed_at    REAL,
    finished_at     REAL,
    erased_at       REAL
) STRICT;
CREATE INDEX uploads_by_state ON uploads (state, upload_id);
CREATE INDEX uploads_unfinished ON uploads (state, expires_at) WHERE finished_at IS NULL;
CREATE INDEX uploads_unerased ON uploads (state, finished_at) WHERE erased_at IS NULL AND finished_at IS NOT NULL;
CREATE INDEX uploads_erased ON uploads (finished_at) WHERE erased_at IS NOT NULL;
CREATE INDEX uploads_by_kek ON uploads (kek_id) WHERE key_id IS NOT NULL;

-- Sums that would else be counted row by row. Triggers keep them, so that no way of writing can forget to.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('reserved_bytes', 0), ('awaited_bytes', 0);

CREATE TRIGGER uploads_reserve AFTER INSERT ON uploads WHEN NEW.erased_at IS NULL BEGIN
    UPDATE counters SET value = value + NEW.reserved_bytes WHERE name = 'reserved_bytes';
END;
CREATE TRIGGER uploads_re_reserve AFTER UPDATE OF reserved_bytes, erased_at ON uploads
WHEN iif(OLD.erased_at IS NULL, OLD.reserved_bytes, 0) <> iif(NEW.erased_at IS NULL, NEW.reserved_bytes, 0) BEGIN
    UPDATE counters SET value = value - iif(OLD.erased_at IS NULL, OLD.reserved_bytes, 0)
                                      + iif(NEW.erased_at IS NULL, NEW.reserved_bytes, 0)
    WHERE name = 'reserved_bytes';
END;
CREATE TRIGGER uploads_unreserve AFTER DELETE ON uploads WHEN OLD.erased_at IS NULL BEGIN
    UPDATE counters SET value = value - OLD.reserved_bytes WHERE name = 'reserved_bytes';
END;

-- What is still to come: reserved, less what came, of uploads that are neither completed nor over.
CREATE TRIGGER uploads_await AFTER INSERT ON uploads WHEN NEW.completed_at IS NULL AND NEW.finished_at IS NULL BEGIN
    UPDATE counters SET value = value + max(NEW.reserved_bytes - NEW.received_bytes, 0) WHERE name = 'awaited_bytes';
END;
CREATE TRIGGER uploads_re_await AFTER UPDATE OF reserved_bytes, received_bytes, completed_at, finished_at ON uploads
WHEN iif(coalesce(OLD.completed_at, OLD.finished_at) IS NULL, max(OLD.reserved_bytes - OLD.received_bytes, 0), 0)
  <> iif(coalesce(NEW.completed_at, NEW.finished_at) IS NULL, max(NEW.reserved_bytes - NEW.received_bytes, 0), 0) BEGIN
    UPDATE counters SET value = value
        - iif(coalesce(OLD.completed_at, OLD.finished_at) IS NULL, max(OLD.reserved_bytes - OLD.received_bytes, 0), 0)
        + iif(coalesce(NEW.completed_at, NEW.finished_at) IS NULL, max(NEW.reserved_bytes - NEW.received_bytes, 0), 0)
    WHERE name = 'awaited_bytes';
END;
CREATE TRIGGER uploads_unawait AFTER DELETE ON uploads WHEN OLD.completed_at IS NULL AND OLD.finished_at IS NULL BEGIN
    UPDATE counters SET value = value - max(OLD.reserved_bytes - OLD.received_bytes, 0) WHERE name = 'awaited_bytes';
END;

CREATE TABLE files (
    file_id          TEXT PRIMARY KEY,
    upload_id        TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE,
    dialect          TEXT NOT NULL,
    state            TEXT NOT NULL,
    client_mac       BLOB,
    client_id_sealed BLOB,
    meta_sealed      BLOB,
    key_id           INTEGER,
    length           INTEGER,
    "offset"         INTEGER NOT NULL,
    total_chunks     INTEGER,
    chunks           INTEGER NOT NULL,
    highest_chunk    INTEGER NOT NULL,
    sealed_bytes     INTEGER NOT NULL,
    facts_sealed     BLOB,
    outcome_sealed   BLOB,
    created_at       REAL NOT NULL,
    whole_at         REAL
) STRICT;
CREATE INDEX files_by_upload ON files (upload_id, file_id);
CREATE UNIQUE INDEX files_by_client_mac ON files (upload_id, client_mac) WHERE client_mac IS NOT NULL;

CREATE TABLE file_counts (
    upload_id TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE,
    state     TEXT NOT NULL,
    files     INTEGER NOT NULL,
    PRIMARY KEY (upload_id, state)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER files_count AFTER INSERT ON files BEGIN
    INSERT INTO file_counts VALUES (NEW.upload_id, NEW.state, 1)
    ON CONFLICT DO UPDATE SET files = files + 1;
END;
CREATE TRIGGER files_recount AFTER UPDATE OF state ON files WHEN OLD.state <> NEW.state BEGIN
    UPDATE file_counts SET files = files - 1 WHERE upload_id = OLD.upload_id AND state = OLD.state;
    INSERT INTO file_counts VALUES (NEW.upload_id, NEW.state, 1)
    ON CONFLICT DO UPDATE SET files = files + 1;
END;
CREATE TRIGGER files_uncount AFTER DELETE ON files BEGIN
    UPDATE file_counts SET files = files - 1 WHERE upload_id = OLD.upload_id AND state = OLD.state;
END;

CREATE TABLE segments (
    segment_id TEXT PRIMARY KEY,
    file_id    TEXT NOT NULL,
    upload_id  TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX segments_by_upload ON segments (upload_id, file_id, segment_id);

CREATE TABLE runs (
    run_id      INTEGER PRIMARY KEY,
    file_id     TEXT NOT NULL,
    segment_id  TEXT NOT NULL REFERENCES segments ON DELETE CASCADE,
    start       INTEGER NOT NULL,
    length      INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    first_frame INTEGER NOT NULL,
    content_mac BLOB
) STRICT;
CREATE INDEX runs_by_file ON runs (file_id, start);
CREATE INDEX runs_by_segment ON runs (segment_id);

-- A job's number is never given twice: a worker may still hold the number of a job that is gone.
CREATE TABLE jobs (
    job_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT NOT NULL,
    upload_id     TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE,
    file_id       TEXT,
    due_at        REAL NOT NULL,
    attempts      INTEGER NOT NULL,
    tried_s       REAL NOT NULL,
    lease_by      TEXT,
    lease_until   REAL,
    memory_sealed BLOB,
    last_code     TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_free ON jobs (kind, due_at) WHERE lease_until IS NULL;
CREATE INDEX jobs_leased ON jobs (kind, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX jobs_by_upload ON jobs (upload_id, kind);

CREATE TABLE receipts (
    receipt_id TEXT PRIMARY KEY,
    upload_id  TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE,
    kid        TEXT NOT NULL,
    jws_sealed BLOB NOT NULL,
    created_at REAL NOT NULL
) STRICT;
CREATE INDEX receipts_by_upload ON receipts (upload_id);

CREATE TABLE delivered (
    instance_mac BLOB PRIMARY KEY,
    content_mac  BLOB NOT NULL,
    receipt_id   TEXT NOT NULL,
    delivered_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX delivered_by_receipt ON delivered (receipt_id);

-- No foreign key: an instance may be noted before its receipt is written.
CREATE TRIGGER receipts_forget AFTER DELETE ON receipts BEGIN
    DELETE FROM delivered WHERE receipt_id = OLD.receipt_id;
END;

CREATE TABLE refresh_tokens (
    token_hash  BLOB PRIMARY KEY,
    family_id   TEXT NOT NULL,
    parent_hash BLOB,
    account_id  TEXT NOT NULL,
    upload_id   TEXT REFERENCES uploads ON DELETE CASCADE,
    spent       INTEGER NOT NULL,
    issued_at   REAL NOT NULL,
    expires_at  REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_by_parent ON refresh_tokens (parent_hash) WHERE parent_hash IS NOT NULL;
CREATE INDEX refresh_tokens_by_account ON refresh_tokens (account_id);
CREATE INDEX refresh_tokens_by_upload ON refresh_tokens (upload_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE idempotency (
    principal  TEXT NOT NULL,
    key_mac    BLOB NOT NULL,
    body_mac   BLOB NOT NULL,
    upload_id  TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE,
    expires_at REAL NOT NULL,
    PRIMARY KEY (principal, key_mac)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_upload ON idempotency (upload_id);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

CREATE TABLE accounts (
    account_id    TEXT PRIMARY KEY,
    name_mac      BLOB NOT NULL UNIQUE,
    name_sealed   BLOB NOT NULL,
    role          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    disabled_at   REAL,
    created_at    REAL NOT NULL
) STRICT;

CREATE TABLE qr_codes (
    qr_id        TEXT PRIMARY KEY,
    token_hash   BLOB NOT NULL UNIQUE,
    issuer_id    TEXT NOT NULL,
    endpoint_id  TEXT NOT NULL,
    max_files    INTEGER,
    max_bytes    INTEGER,
    terms_sealed BLOB NOT NULL,
    reopens_id   TEXT,
    created_at   REAL NOT NULL,
    expires_at   REAL NOT NULL,
    used_at      REAL,
    revoked_at   REAL,
    upload_id    TEXT
) STRICT;
CREATE INDEX qr_codes_by_issuer ON qr_codes (issuer_id, qr_id);
CREATE INDEX qr_codes_by_end ON qr_codes (expires_at);

-- The trail outlives what it speaks of: no foreign keys. Its head is kept apart, so that a shortened trail shows.
CREATE TABLE audit (
    number    INTEGER PRIMARY KEY,
    at        REAL NOT NULL,
    event     TEXT NOT NULL,
    actor     TEXT NOT NULL,
    upload_id TEXT,
    detail    TEXT NOT NULL,
    mac       BLOB NOT NULL
) STRICT;
CREATE TABLE audit_head (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    number   INTEGER NOT NULL,
    mac      BLOB NOT NULL
) STRICT;
INSERT INTO audit_head VALUES (1, 0, x'');

-- Rows of one size that are overwritten in place and never deleted (gateway/ledger/sqlite/keys.py says why).
CREATE TABLE key_slots (
    slot    INTEGER PRIMARY KEY,
    content BLOB NOT NULL CHECK (length(content) = 128)
) STRICT;
CREATE TABLE free_key_slots (
    slot INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE service_keys (
    name       TEXT NOT NULL,
    kek_id     TEXT NOT NULL,
    key_id     INTEGER PRIMARY KEY,
    created_at REAL NOT NULL
) STRICT;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
