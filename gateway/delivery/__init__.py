"""From a completed upload to a receipt: checks, the PACS, what it says, and what it shows.

Everything here begins with a job of the ledger and ends in a transaction. A crash at any line costs a step, never an
instance: what was sent is asked for before it is sent again.
"""
