"""The rules of the protocols: pure functions over frozen values. No I/O, no HTTP library, no clock."""
