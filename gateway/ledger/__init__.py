"""The one ledger of facts. What is in it is true and durable; what isn't never happened."""
