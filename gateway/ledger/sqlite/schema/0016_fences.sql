-- How often somebody went on with a file without waiting any longer for who wrote to it: that one's commits are refused.
ALTER TABLE files ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
