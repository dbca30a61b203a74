-- Where an account may send: endpoint ids with a space between them; empty: everywhere (gateway/uploads/destinations.py).
ALTER TABLE accounts ADD COLUMN endpoints TEXT NOT NULL DEFAULT '';
