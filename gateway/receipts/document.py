"""Receipts: the signed proof of what a PACS took (CONTRACT 5).

Promises: a payload says only UIDs, digests, codes and times, never a patient, a file name or a client's words; the
same facts give the same payload; anyone with our public keys can check a receipt. Pure: no ledger, no clock, no
network.

Compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037), keys named by their thumbprint (RFC 7638).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.clock import rfc3339
from gateway.errors import Malformed
from gateway.states import FileResult

ALGORITHM = "EdDSA"
TYPE = "relaypacs-receipt+jwt"
_JWS = jwt.PyJWS(algorithms=[ALGORITHM])
#: The PACS said that it changed attributes (PS3.4 table B.2-1), or it files the instance under another PatientID.
COERCED, OTHER_PATIENT = "B000", "other_patient_in_pacs"
_CODE = re.compile(r"[A-Za-z0-9_]{1,64}")


class Verification(StrEnum):
    """How far the gateway looked after the PACS had answered."""

    NONE = "none"  #: no instance is there
    COMMITTED = "committed"  #: the PACS answers for keeping the instances (storage commitment)
    COMPARED = "compared"  #: the PACS gave the bytes back, and they were equal
    QUERIED = "queried"  #: the PACS shows the instances (QIDO-RS)
    ACKNOWLEDGED = "acknowledged"  #: the PACS named them in its answer; it can't be asked


@dataclass(frozen=True, slots=True)
class InstanceProof:
    """One instance in a receipt. UIDs are empty where the file has none (a rejected one)."""

    study_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    sha256: str  #: lower hex, of the bytes as received
    outcome: FileResult
    reason: str | None = None  #: a code: the PACS's (0008,1197) in hex, or one of ours
    made_by: str = ""  #: `gateway`: nobody sent it; empty: the client did
    series_instance_uid: str = ""
    at: float | None = None  #: unix seconds, when the outcome was known
    warnings: tuple[str, ...] = ()  #: codes that say how far this is the instance that was sent


@dataclass(frozen=True, slots=True)
class Hold:
    """A person had to look at it first. Times are unix seconds; None: not known."""

    codes: tuple[str, ...]
    held_at: float | None = None
    released_at: float | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """What happened on the way.

    :param declared_files: and `declared_bytes`: what the sender announced, less what was taken out.
    :param received_files: of those, that came whole.
    :param hold: None: nobody had to look at it.
    :param software: name and version of what made the receipt.
    """

    declared_files: int
    declared_bytes: int
    received_files: int
    software: str
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out. `reason` is a code; a client's free words become `declared`."""

    reason: str
    file_id: str | None = None  #: our random one, never the client's


def receipt_payload(
    *,
    receipt_id: str,
    upload_id: str,
    endpoint_id: str,
    created_at: float,
    completed_at: float | None,
    delivered_at: float,
    verification: Verification,
    instances: Iterable[InstanceProof],
    skipped: Iterable[Skipped] = (),
    story: Story | None = None,
) -> dict[str, Any]:
    """What a receipt says; the order of `instances` and `skipped` doesn't matter. Times are unix seconds.

    `studies` count what was sent; what the gateway made itself is among `instances`, marked `made_by`.
    """
    ordered = sorted(instances, key=lambda one: (one.study_instance_uid, one.sop_instance_uid, one.sha256, one.outcome))
    per_study = Counter(one.study_instance_uid for one in ordered if one.study_instance_uid and not one.made_by)
    payload: dict[str, Any] = {
        "pacs_receipt_id": receipt_id,
        "upload_id": upload_id,
        "endpoint_id": endpoint_id,
        "created_at": rfc3339(created_at),
        "delivered_at": rfc3339(delivered_at),
        "verification": str(verification),
        "studies": [{"study_instance_uid": uid, "instances": per_study[uid]} for uid in sorted(per_study)],
        "skipped": [_skipped(one) for one in sorted(skipped, key=lambda one: (one.reason, one.file_id or ""))],
        "instances": [_instance(one) for one in ordered],
    }
    if completed_at is not None:
        payload["completed_at"] = rfc3339(completed_at)
    if story is not None:
        coerced = sum(COERCED in (one.reason, *one.warnings) or OTHER_PATIENT in one.warnings for one in ordered)
        payload |= _told(story, coerced)
    return payload


def _told(story: Story, coerced: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "declared": {"files": story.declared_files, "bytes": story.declared_bytes},
        "received": {"files": story.received_files},
        "coerced": coerced,
        "software": story.software,
    }
    if story.hold is not None:
        times = {"held_at": story.hold.held_at, "released_at": story.hold.released_at}
        known = {name: rfc3339(at) for name, at in times.items() if at is not None}
        told["hold"] = {"codes": [_code(code) for code in story.hold.codes], **known}
    return told


def _instance(one: InstanceProof) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "study_instance_uid": one.study_instance_uid,
        "series_instance_uid": one.series_instance_uid,
        "sop_class_uid": one.sop_class_uid,
        "sop_instance_uid": one.sop_instance_uid,
        "sha256": one.sha256,
        "outcome": str(one.outcome),
    }
    if one.at is not None:
        shown["at"] = rfc3339(one.at)
    if one.warnings:
        shown["warnings"] = [_code(code) for code in one.warnings]
    if one.made_by:
        shown["made_by"] = one.made_by
    return shown if one.reason is None else {**shown, "reason": _code(one.reason)}


def _skipped(one: Skipped) -> dict[str, str]:
    shown = {"reason": _code(one.reason)}
    return shown if one.file_id is None else {"file_id": one.file_id, **shown}


def _code(reason: str) -> str:
    return reason if _CODE.fullmatch(reason) else "declared"


class Signer:
    """Signs receipts with one Ed25519 key.

    :param seed: its 32 secret bytes (RFC 8032 5.1.5).
    """

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._jwk = _public_jwk(self._key.public_key())

    @property
    def kid(self) -> str:
        """The key's thumbprint (RFC 7638)."""
        return self._jwk["kid"]

    def sign(self, payload: Mapping[str, Any]) -> str:
        """The payload as a compact JWS."""
        body = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
        return _JWS.encode(body, self._key, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": self.kid})

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK Set (RFC 7517 5), for `/.well-known/jwks.json`."""
        return {"keys": [dict(self._jwk)]}


def verify(jws: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of a receipt that one of these keys signed.

    :raises Malformed: it isn't a receipt, no key of `jwks` is the one it names, or the signature doesn't hold.
    """
    try:
        header = jwt.get_unverified_header(jws)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise Malformed("this is not a receipt") from None
    if header.keys() != {"alg", "typ", "kid"} or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise Malformed("this is not a receipt")
    key = next((key for key in map(_public_key, jwks.get("keys", ())) if key and key[0] == header["kid"]), None)
    if key is None:
        raise Malformed("the receipt was signed with a key that is not among the known ones")
    try:
        payload = json.loads(_JWS.decode(jws, key[1], algorithms=[ALGORITHM]))
    except (jwt.PyJWTError, ValueError, TypeError):
        raise Malformed("the receipt's signature does not hold") from None
    if not isinstance(payload, dict):
        raise Malformed("this is not a receipt")
    return payload


def _public_key(jwk: Any) -> tuple[str, Ed25519PublicKey] | None:
    """The key with its thumbprint, reckoned and not believed; None: not an Ed25519 key."""
    if not isinstance(jwk, dict) or jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519":
        return None
    try:
        raw = jwk["x"].encode()
        key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4)))
    except (KeyError, AttributeError, ValueError):
        return None
    return _public_jwk(key)["kid"], key


def _public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    public = _b64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    required = {"crv": "Ed25519", "kty": "OKP", "x": public}
    thumbprint = hashlib.sha256(json.dumps(required, sort_keys=True, separators=(",", ":")).encode()).digest()
    return {**required, "kid": _b64url(thumbprint), "alg": ALGORITHM, "use": "sig"}


def _b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
