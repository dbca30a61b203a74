"""Work that is written in the ledger and done by whoever claims it."""
