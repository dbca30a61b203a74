"""The calls at `/files/`, over tus and over the IETF draft: what they take, what they may be answered with."""

from __future__ import annotations

from gateway.protocol import rest
from gateway.protocol.headers import OFFSET_MEDIA_TYPE
from gateway.protocol.ietf import PARTIAL_MEDIA_TYPE
from gateway.web.api.operation import BytesBody, Operation, bare_answer, json_answer

_STATE_HEADERS = (
    "Upload-Offset",
    "Upload-Length",
    "Upload-Expires",
    "Upload-Complete",
    "Upload-Incomplete",
    "Upload-Limit",
    "Tus-Resumable",
)
_LOOKED_HEADERS = (*_STATE_HEADERS, "Upload-Concat", "Upload-Defer-Length", "Upload-Metadata", "Cache-Control")
_VERSIONS = ("Tus-Resumable", "Upload-Draft-Interop-Version")
_BODY_HEADERS = ("Upload-Complete", "Upload-Incomplete", "Upload-Length", "Upload-Checksum", "Content-Digest")
_THERE = frozenset({"not_found", "file_gone", "upload_gone", "data_lost", "unsupported_tus_version", "mixed_protocols"})
#: Of whatever brings bytes.
_BYTES = frozenset(
    {
        "checksum_algorithm_unknown",
        "checksum_mismatch",
        "inconsistent_length",
        "length_too_short",
        "body_interrupted",
        "conflict",
        "incomplete",
        "length_mismatch",
        "offset_mismatch",
        "other_dialect",
        "taken_over",
        "upload_completed",
        "file_too_large",
        "upload_too_large",
        "locked",
        "quota_exceeded",
        "not_built",
        "final_upload",
    }
)
_WHOLE = json_answer(
    "WholeFile",
    "Over the draft: the file is whole. It doesn't wait for the PACS.",
    headers=("Location", *_STATE_HEADERS),
)
_NO_OTHER_METHOD = frozenset({"method_not_allowed"})

OPTIONS_ANSWER = bare_answer(
    "What is spoken here.",
    headers=("Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm", "Tus-Resumable", "Upload-Limit"),
)


def options(name: str) -> Operation:
    """OPTIONS of a path."""
    return Operation(
        name, "Which protocols are spoken, and what they take.", [OPTIONS_ANSWER], frozenset({"mixed_protocols"})
    )


def create(name: str) -> Operation:
    """POST of the path where files are made."""
    made = bare_answer(
        "Made; with its first bytes, if they came along.", status=201, headers=("Location", *_STATE_HEADERS)
    )
    return Operation(
        name,
        "Make a file, with all of its bytes, some or none, over tus 1.0.0 or the IETF draft; or of parts, over tus.",
        [made, _WHOLE, OPTIONS_ANSWER],
        _THERE
        | _BYTES
        | _NO_OTHER_METHOD
        | {
            "metadata_too_large",
            "too_many_files",
            "not_a_part",
            "unknown_endpoint",
            "endpoint_not_allowed",
            "invalid_field",
            "unknown_field",
        },
        query=rest.DESTINATION,
        headers=(
            *_VERSIONS,
            "Upload-Defer-Length",
            "Upload-Metadata",
            "Upload-Concat",
            "Content-Disposition",
            "X-HTTP-Method-Override",
            *_BODY_HEADERS,
        ),
        body=BytesBody({OFFSET_MEDIA_TYPE: {}, "application/octet-stream": {}}, optional=True),
        more="`Upload-Complete` (or `Upload-Incomplete`) makes it a request of the draft, else it is one of tus. The query "
        "is the draft's; over tus `Upload-Metadata` may name `file_id`, `endpoint_id` and `upload_id`.",
    )


OPTIONS_ROOT, OPTIONS_BARE, OPTIONS_FILE = (
    options("files_options"),
    options("files_options_bare"),
    options("file_options"),
)
CREATE, CREATE_BARE = create("create_file"), create("create_file_bare")
_LOOKED = [
    bare_answer("Over tus: where to go on.", status=200, headers=_LOOKED_HEADERS),
    bare_answer("Over the draft: where to go on.", headers=_LOOKED_HEADERS),
]
HEAD = Operation(
    "file_offset",
    "Where to go on. A request that writes to the file is ended.",
    _LOOKED,
    _THERE | _BYTES,
    headers=_VERSIONS,
)
PATCH = Operation(
    "append",
    "Bytes at the end of what is there.",
    [
        bare_answer("Taken.", headers=_STATE_HEADERS),
        bare_answer("Taken (versions of the draft up to 6).", status=201, headers=_STATE_HEADERS),
        _WHOLE,
    ],
    _THERE | _BYTES,
    headers=(*_VERSIONS, "Upload-Offset", *_BODY_HEADERS),
    body=BytesBody({OFFSET_MEDIA_TYPE: {}, PARTIAL_MEDIA_TYPE: {}}),
    more="A request at the right offset takes over from one that has been silent for 1 s, else 423.",
)
DELETE = Operation(
    "terminate",
    "The file goes; with it its upload, if that was made for it.",
    [bare_answer("It is gone.")],
    _THERE | {"conflict", "upload_completed", "file_busy", "locked"},
    headers=_VERSIONS,
)
POST = Operation(
    "file_by_override",
    "Another method, for a line that lets none through but POST: `X-HTTP-Method-Override` names it.",
    [*_LOOKED, *PATCH.answers[1:]],
    PATCH.codes | DELETE.codes | _NO_OTHER_METHOD,
    headers=("X-HTTP-Method-Override", *PATCH.headers),
    body=BytesBody({OFFSET_MEDIA_TYPE: {}, PARTIAL_MEDIA_TYPE: {}}, optional=True),
)
GET = Operation(
    "file_offset_by_get",
    "Where to go on, over the draft from version 9 on; the gateway only takes in.",
    [bare_answer("Where to go on.", headers=_LOOKED_HEADERS)],
    HEAD.codes | _NO_OTHER_METHOD,
    headers=_VERSIONS,
)
