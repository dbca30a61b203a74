"""RelayPACS gateway: resumable intake, encrypted spool, verified delivery to a PACS."""

__version__ = "0.1.0"
