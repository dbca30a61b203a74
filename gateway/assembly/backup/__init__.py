"""A copy of ledger and spool beside a running gateway, and what becomes of it elsewhere."""
