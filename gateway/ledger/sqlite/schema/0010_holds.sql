-- When an upload was held, and when it was let go: a receipt tells it, also after a retry (gateway/delivery/finish.py).
-- Of holds before this release nobody knows the time.
ALTER TABLE uploads ADD COLUMN held_at REAL;
ALTER TABLE uploads ADD COLUMN released_at REAL;
