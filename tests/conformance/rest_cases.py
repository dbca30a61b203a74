"""Requests that the REST facade must refuse, each with the clause that says so (docs/contract.md, 2 and 2.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CHUNK = 1024
OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class InitCase:
    """Fields put over a good init; None takes one out."""

    name: str
    clause: str
    change: dict[str, Any]
    status: int
    code: str
    named: str | None = None  #: `field` of the problem


UNKNOWN = "Unknown top-level JSON fields in requests: 422 naming the field"
FIELDS = "{study_metadata: {...}, total_files, total_size_bytes, endpoint_id?, clinical_notes?, uploader?}"
STRINGS = "study_metadata is an open object of strings"
PRIORITY = "priority (routine, urgent, stat)"
UPLOADER = "uploader: {name, organisation, phone, email}"

INIT = [
    InitCase("no metadata", FIELDS, {"study_metadata": None}, 422, "missing_field", "study_metadata"),
    InitCase("no total_files", FIELDS, {"total_files": None}, 422, "missing_field", "total_files"),
    InitCase("no total_size_bytes", FIELDS, {"total_size_bytes": None}, 422, "missing_field", "total_size_bytes"),
    InitCase("no files", FIELDS, {"total_files": 0}, 422, "invalid_field", "total_files"),
    InitCase("files as text", FIELDS, {"total_files": "1"}, 422, "invalid_field", "total_files"),
    InitCase("too many files", "max_files = 20000", {"total_files": 501}, 422, "invalid_field", "total_files"),
    InitCase("negative size", FIELDS, {"total_size_bytes": -1}, 422, "invalid_field", "total_size_bytes"),
    InitCase("size as a float", FIELDS, {"total_size_bytes": 1.5}, 422, "invalid_field", "total_size_bytes"),
    InitCase("too large", 'max_upload_size = "50GiB"', {"total_size_bytes": 1 << 40}, 413, "upload_too_large"),
    InitCase("a typo", UNKNOWN, {"clinical_note": "x"}, 422, "unknown_field", "clinical_note"),
    InitCase("a number as a name", STRINGS, {"study_metadata": {"patient_name": 5}}, 422, "invalid_field",
             "study_metadata"),
    InitCase("a list as metadata", STRINGS, {"study_metadata": []}, 422, "invalid_field", "study_metadata"),
    InitCase("another priority", PRIORITY, {"study_metadata": {"priority": "soon"}}, 422, "invalid_field",
             "study_metadata.priority"),
    InitCase("an uploader's typo", UPLOADER, {"uploader": {"organization": "x"}}, 422, "unknown_field",
             "uploader.organization"),
    InitCase("an unknown endpoint", FIELDS, {"endpoint_id": "nowhere"}, 422, "unknown_endpoint", "endpoint_id"),
    InitCase("notes where none are taken", "where it says none, init answers 422 notes_not_delivered",
             {"endpoint_id": "deaf", "clinical_notes": "pain"}, 422, "notes_not_delivered"),
]  # fmt: skip


@dataclass(frozen=True)
class ChunkCase:
    """A raw chunk after chunks of `a`: index -> size."""

    name: str
    clause: str
    before: dict[int, int]
    query: dict[str, str]
    size: int
    status: int
    code: str
    headers: dict[str, str] = field(default_factory=dict)


FILE_ID = "file_id in REST is the client's, [A-Za-z0-9_-]{1,64}; else 422"
EXACT = "Every chunk but a file's last has exactly chunk_size bytes; beyond the end, or a second short one: 409"
TABLE = "?file_id=..&chunk_index=..[&total_chunks=..]"
RAW = "raw application/octet-stream body ...; or multipart/form-data"
DIGEST = "A digest that doesn't match: 460 checksum_mismatch"

CHUNKS = [
    ChunkCase("no file_id", FILE_ID, {}, {"chunk_index": "0"}, 5, 422, "invalid_field"),
    ChunkCase("a file_id with a slash", FILE_ID, {}, {"file_id": "a/b", "chunk_index": "0"}, 5, 422, "invalid_field"),
    ChunkCase("a file_id with a dot", FILE_ID, {}, {"file_id": "a.dcm", "chunk_index": "0"}, 5, 422, "invalid_field"),
    ChunkCase("a file_id too long", FILE_ID, {}, {"file_id": "a" * 65, "chunk_index": "0"}, 5, 422, "invalid_field"),
    ChunkCase("no index", TABLE, {}, {"file_id": "a"}, 5, 422, "missing_field"),
    ChunkCase("an index that is none", TABLE, {}, {"file_id": "a", "chunk_index": "one"}, 5, 422, "invalid_field"),
    ChunkCase("a negative index", TABLE, {}, {"file_id": "a", "chunk_index": "-1"}, 5, 422, "invalid_field"),
    ChunkCase("an index without end", TABLE, {}, {"file_id": "a", "chunk_index": "9" * 20}, 5, 422, "invalid_field"),
    ChunkCase("no chunks at all", TABLE, {}, {"file_id": "a", "chunk_index": "0", "total_chunks": "0"}, 5, 422,
              "invalid_field"),
    ChunkCase("beyond the told end", EXACT, {}, {"file_id": "a", "chunk_index": "2", "total_chunks": "2"}, 5, 409,
              "chunk_size_mismatch"),
    ChunkCase("beyond the marked end", EXACT, {1: 7}, {"file_id": "a", "chunk_index": "2"}, CHUNK, 409,
              "chunk_size_mismatch"),
    ChunkCase("short in the middle", EXACT, {}, {"file_id": "a", "chunk_index": "0", "total_chunks": "2"}, 7, 409,
              "chunk_size_mismatch"),
    ChunkCase("short before a later one", EXACT, {2: CHUNK}, {"file_id": "a", "chunk_index": "1"}, 7, 409,
              "chunk_size_mismatch"),
    ChunkCase("a second short one", EXACT, {2: 7}, {"file_id": "a", "chunk_index": "1"}, 7, 409,
              "chunk_size_mismatch"),
    ChunkCase("too long", EXACT, {}, {"file_id": "a", "chunk_index": "0"}, CHUNK + 1, 413, "body_too_large"),
    ChunkCase("another total", EXACT, {0: CHUNK}, {"file_id": "a", "chunk_index": "9", "total_chunks": "9"}, 7, 409,
              "chunk_size_mismatch"),
    ChunkCase("another digest", DIGEST, {}, {"file_id": "a", "chunk_index": "0"}, 5, 460, "checksum_mismatch",
              {"Content-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"}),
    ChunkCase("a digest unheard of", DIGEST, {}, {"file_id": "a", "chunk_index": "0"}, 5, 400,
              "checksum_algorithm_unknown", {"Content-Digest": "crc32c=:AAAA:"}),
    ChunkCase("a digest that is none", DIGEST, {}, {"file_id": "a", "chunk_index": "0"}, 5, 400, "malformed_header",
              {"Content-Digest": "sha-256"}),
    ChunkCase("another media type", RAW, {}, {"file_id": "a", "chunk_index": "0"}, 5, 415, "unsupported_media_type",
              {"Content-Type": "text/plain"}),
    ChunkCase("another kind of multipart", RAW, {}, {"file_id": "a", "chunk_index": "0"}, 5, 415,
              "unsupported_media_type", {"Content-Type": "multipart/mixed; boundary=xx"}),
    ChunkCase("more than was declared", "init reserves the declared space", {0: CHUNK, 1: CHUNK, 2: CHUNK, 3: CHUNK},
              {"file_id": "b", "chunk_index": "0"}, 5, 413, "upload_too_large"),
]  # fmt: skip
