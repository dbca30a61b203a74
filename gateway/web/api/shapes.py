"""Shapes of what is answered, as JSON Schema. Tests hold every answer that they get to them, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.fields import Schema
from gateway.protocol.rest import DECLARED
from gateway.states import FileResult, FileState, UploadState

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": "integer", "minimum": 0, "description": "Seconds."}
BYTES: Schema = {"type": "integer", "minimum": 0, "description": "Bytes."}
TIME: Schema = {"type": "string", "format": "date-time"}
FLAG: Schema = {"type": "boolean"}


def ref(name: str) -> Schema:
    """A shape by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(of: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": of}


def maybe(of: Schema) -> Schema:
    """Or null."""
    return {"anyOf": [of, {"type": "null"}]}


def one_of(values: Any) -> Schema:
    """One of these strings."""
    return {"type": "string", "enum": [str(value) for value in values]}


def counts(names: Any) -> Schema:
    """A number for each of some names."""
    return {"type": "object", "propertyNames": one_of(names), "additionalProperties": COUNT}


def texts(about: str) -> Schema:
    """An object of strings, under names that a client chose."""
    return {"type": "object", "additionalProperties": TEXT, "description": about}


def thing(needed: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, about: str = "") -> Schema:
    """An object. More members may come with a release."""
    found: Schema = {"type": "object", "properties": {**needed, **(optional or {})}, "required": list(needed)}
    return found | ({"description": about} if about else {})


_STATE = one_of(UploadState)
_LIMITS = thing(
    {
        "max_file_size": BYTES,
        "max_upload_size": BYTES,
        "max_files": COUNT,
        "chunk_size": BYTES,
        "open_uploads": COUNT,
        "reserved_bytes": BYTES,
    }
)
_DESTINATION = {"endpoint_id": TEXT, "display_name": TEXT, "contact": TEXT, "takes_notes": FLAG, "notice": TEXT}
_STUDY_COUNTS = (FileResult.STORED, FileResult.ALREADY_THERE, FileResult.REJECTED, FileResult.FAILED)
_WAITING: Schema = {"attempts": COUNT, "last_code": TEXT, "due_at": maybe(TIME)}
_ADMIN_UPLOAD = {
    "upload_id": TEXT,
    "owner_id": TEXT,
    "endpoint_id": TEXT,
    "state": _STATE,
    "held_reasons": many(TEXT),
    "files": thing({"expected": COUNT, "whole": COUNT}),
    "bytes": thing({"expected": BYTES, "received": BYTES}),
    "warnings": many(TEXT),
    "pacs_receipt_id": maybe(TEXT),
    "delivery": maybe(thing(_WAITING)),
    "created_at": TIME,
    "expires_at": TIME,
    "finished_at": maybe(TIME),
    "erased_at": maybe(TIME),
}
_ADMIN_DELIVERIES = {
    "deliveries": many(
        thing(
            {
                "endpoint_id": TEXT,
                "required": FLAG,
                "state": _STATE,
                "pacs_receipt_id": maybe(TEXT),
                "held_reasons": many(TEXT),
                "delivery": maybe(thing(_WAITING)),
                "finished_at": maybe(TIME),
            }
        )
    )
}
_PATIENT = ("patient_id", "issuer_of_patient_id", "patient_name", "patient_birth_date", "accession_number")

#: Name -> schema; `ref` leads here.
SHAPES: Mapping[str, Schema] = {
    "Problem": thing(
        {"type": TEXT, "title": TEXT, "status": COUNT, "code": TEXT, "detail": TEXT, "request_id": TEXT},
        about="RFC 9457. Some codes bring members of their own: see the page of errors.",
    )
    | {"additionalProperties": True},
    "Tokens": thing(
        {"access_token": TEXT, "token_type": one_of(["Bearer"]), "expires_in": SECONDS, "refresh_token": TEXT}
    ),
    "Endpoints": thing(
        {"endpoints": many(thing(_DESTINATION | {"default": FLAG, "limits": _LIMITS}))},
    ),
    "Opened": thing(
        {
            "upload_id": TEXT,
            "upload_token": TEXT,
            "expires_in": SECONDS,
            "refresh_token": TEXT,
            "chunk_size": BYTES,
            "endpoint_id": TEXT,
            "expires_at": TIME,
            "tus_url": TEXT,
        }
    ),
    "ChunkTaken": thing({"received_chunk_index": COUNT, "file_id": TEXT, "received_bytes": BYTES}),
    "Warning": thing(
        {"code": TEXT, "message": TEXT},
        {"file_id": TEXT, "sop_instance_uid": TEXT, "reason": TEXT, "endpoint_id": TEXT},
    ),
    "Study": thing({"study_instance_uid": TEXT}, dict.fromkeys(map(str, _STUDY_COUNTS), COUNT) | {"notes": TEXT}),
    "Result": thing(
        {
            "status": one_of(["success", "partial", "failed"]),
            "upload_id": TEXT,
            "pacs_receipt_id": maybe(TEXT),
            "warnings": many(ref("Warning")),
            "studies": many(ref("Study")),
        },
        {"deliveries": many(ref("Delivery"))},
    ),
    "Delivery": thing(
        {"endpoint_id": TEXT, "required": FLAG, "state": _STATE, "pacs_receipt_id": maybe(TEXT)},
        about="Of an upload that a route sends to several endpoints.",
    ),
    "Status": thing(
        {
            "upload_id": TEXT,
            "endpoint_id": TEXT,
            "state": _STATE,
            "progress_percent": {"type": "number", "minimum": 0, "maximum": 100},
            "uploaded_bytes": BYTES,
            "total_bytes": BYTES,
            "files": counts(FileState),
            "studies": many(ref("Study")),
            "pacs_receipt_id": maybe(TEXT),
            "warnings": many(ref("Warning")),
            "expires_at": TIME,
        },
        {"held_reasons": many(TEXT), "deliveries": many(ref("Delivery"))},
    ),
    "File": thing(
        {
            "file_id": TEXT,
            "state": one_of(FileState),
            "size": maybe(BYTES),
            "offset": BYTES,
            "outcome": maybe(one_of(FileResult)),
            "received_chunks": many({"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2}),
        },
        {
            "sop_class_uid": TEXT,
            "sop_instance_uid": TEXT,
            "study_instance_uid": TEXT,
            "series_instance_uid": TEXT,
            "sha256": TEXT,
            "reason": TEXT,
            "code": TEXT,
            "warnings": many(TEXT),
            "verification": TEXT,
            "made_by": TEXT,
            "at": {"type": "number"},
        },
        about="What is beside `outcome` is there once it is known.",
    ),
    "Files": thing({"files": many(ref("File")), "cursor": maybe(TEXT)}),
    "WholeFile": thing({"file_id": TEXT, "upload_id": TEXT, "state": _STATE}),
    "QrMade": thing({"qr_id": TEXT, "endpoint_id": TEXT, "upload_token": TEXT, "expires_at": TIME, "url": TEXT}),
    "QrCodes": thing(
        {
            "qr_codes": many(
                thing(
                    {
                        "qr_id": TEXT,
                        "endpoint_id": TEXT,
                        "state": one_of(["open", "used", "expired", "revoked"]),
                        "label": TEXT,
                        "max_files": maybe(COUNT),
                        "max_bytes": maybe(BYTES),
                        "created_at": TIME,
                        "expires_at": TIME,
                        "upload_id": maybe(TEXT),
                    }
                )
            ),
            "cursor": maybe(TEXT),
        }
    ),
    "QrInfo": thing(_DESTINATION | {"limits": _LIMITS, "expires_at": TIME}),
    "AdminUpload": thing(_ADMIN_UPLOAD | {"file_states": counts(FileState)}, _ADMIN_DELIVERIES),
    "AdminUploads": thing({"uploads": many(thing(_ADMIN_UPLOAD, _ADMIN_DELIVERIES)), "cursor": maybe(TEXT)}),
    "Revealed": thing(
        {
            "upload_id": TEXT,
            "study_metadata": texts(f"As declared; known names are {', '.join(DECLARED)}."),
            "expected": texts("What a QR code was made for."),
            "uploader": texts("As declared."),
            "clinical_notes": TEXT,
            "patients": many(thing({}, dict.fromkeys(_PATIENT, TEXT))),
            "files_read": COUNT,
        }
    ),
    "AdminEndpoints": thing(
        {
            "endpoints": many(
                thing(
                    {
                        "endpoint_id": TEXT,
                        "condition": one_of(["up", "down", "misconfigured"]),
                        "code": maybe(TEXT),
                        "queued_jobs": COUNT,
                    }
                )
            )
        }
    ),
    "Trail": thing(
        {
            "events": many(
                thing(
                    {
                        "number": COUNT,
                        "at": TIME,
                        "event": TEXT,
                        "actor": TEXT,
                        "upload_id": maybe(TEXT),
                        "detail": {"type": "object", "additionalProperties": True},
                    }
                )
            ),
            "after": COUNT,
            "head": COUNT,
        }
    ),
    "Alive": thing({"status": one_of(["alive"])}),
    "Ready": thing(
        {
            "status": one_of(["ready", "not ready"]),
            "parts": {"type": "object", "additionalProperties": TEXT, "description": "`ok`, or a code."},
            "works": {"type": "object", "additionalProperties": FLAG},
            "endpoints": {"type": "object", "additionalProperties": TEXT},
        }
    ),
    "Keys": thing({"keys": many({"type": "object", "additionalProperties": True})}, about="RFC 7517."),
    "AppTerms": thing({"local_ttl_seconds": SECONDS, "privacy_contact": TEXT}),
}
