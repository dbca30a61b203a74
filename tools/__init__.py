"""What builds RelayPACS and prepares a machine for its tests. Only the standard library, and setuptools."""
