-- Whose copies devices are told to delete (gateway/identity/wipe.py).
ALTER TABLE accounts ADD COLUMN wipe INTEGER NOT NULL DEFAULT 0;
ALTER TABLE uploads ADD COLUMN wipe INTEGER NOT NULL DEFAULT 0;
