"""The audit trail: its events, its copies in files, its checking, its end. The chain itself is in the ledger."""
