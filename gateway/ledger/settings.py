"""The few facts of the gateway itself that the ledger keeps by name. The names are stored: they never change."""

from __future__ import annotations

from enum import StrEnum


class Setting(StrEnum):
    """A fact's name."""

    ACTIVE_KEK = "keys.active"  #: the id of the KEK that wraps
    AUDIT_EXPORTED = "audit_exported"  #: number of the last exported event
    AUDIT_PRUNED = "audit_pruned"  #: JSON: number, MAC and seal of the head that deleted events left behind
    AUDIT_SENT = "audit_sent"  #: number of the last event that the audit repository has
    CONFIG_SHA256 = "config_sha256"  #: digest of the configuration of the last start
    ERASURES_UNFINISHED = "erasure.unfinished"  #: JSON: uploads whose keys are gone, and whose bytes may be there
    PROBE = "readyz"  #: asked for to see whether the ledger answers; nobody writes it
    RECEIPT_JWKS = "receipt_jwks"  #: JSON: every public key that ever signed, as JWKs, oldest first
    RETENTION_GAPS = "retention.gaps"  #: JSON: spans in which no gateway ran
    RETENTION_LAST_TICK = "retention.last_tick"  #: unix seconds of the purge's last run
    SPOOL_ID = "spool.id"  #: the mark of the spool whose segments the rows name
    SERVING_KEYS = "keys.serving"  #: JSON: ids of the KEKs that the gateway which serves now, or served last, has
