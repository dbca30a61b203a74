-- Whose password has to be changed before anything else (gateway/identity/accounts.py).
ALTER TABLE accounts ADD COLUMN must_change INTEGER NOT NULL DEFAULT 0;
