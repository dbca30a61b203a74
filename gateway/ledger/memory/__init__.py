"""The ledger in memory: nothing is left of it when its process ends."""
