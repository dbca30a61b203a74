"""Every call but those at `/files/`: what it does, what it takes, what it may be answered with."""

from __future__ import annotations

from gateway.protocol import rest
from gateway.protocol.fields import Record, Schema
from gateway.protocol.values import FileId
from gateway.uploads.search import FILTERS, PLAIN
from gateway.web.api.operation import BytesBody, GoodAnswer, JsonBody, Operation, bare_answer, json_answer

#: Names and passwords are short, and whoever sends them isn't known yet.
MAX_CREDENTIALS_BYTES = 16 * 1024
#: A query that has to be empty.
NOTHING = Record(dict[str, str])
SEARCH = rest.found_in(PLAIN, query=True)
FIND = rest.found_in(FILTERS)

_SEEN = frozenset({"not_found", "upload_gone"})
_REASON = JsonBody(rest.REASON, optional=True)
_REASON_CODES = frozenset({"reason_required", "not_found"})


def _text(media_type: str, about: str, *, headers: tuple[str, ...] = ()) -> GoodAnswer:
    return GoodAnswer(200, about, {media_type: {"type": "string"}}, headers)


# --- accounts ---------------------------------------------------------------------------------------------------------

LOGIN = Operation(
    "login",
    "Log in with a name and a password.",
    [json_answer("Tokens", "An access token, and a refresh token of a new session.")],
    frozenset({"bad_credentials", "password_change_required", "too_many_requests"}),
    body=JsonBody(rest.CREDENTIALS, most_bytes=MAX_CREDENTIALS_BYTES),
)
REFRESH = Operation(
    "refresh",
    "A new pair of tokens for a refresh token.",
    [json_answer("Tokens", "Another pair; the former refresh token may be repeated until this one is used.")],
    frozenset({"token_reused"}),
)
LOGOUT = Operation("logout", "End this session, and no other of the account.", [bare_answer("It is over.")])
PASSWORD = Operation(
    "change_password",
    "Set another password; the account's other sessions end.",
    [bare_answer("It is changed.")],
    frozenset({"bad_credentials"}),
    body=JsonBody(rest.PASSWORDS, most_bytes=MAX_CREDENTIALS_BYTES),
)
ENDPOINTS = Operation("list_endpoints", "Where the caller may send to.", [json_answer("Endpoints", "Those.")])
APP_CONFIG = Operation(
    "app_terms",
    "What the app must know before anybody has signed in.",
    [json_answer("AppTerms", "Nothing about anybody.")],
)

# --- uploads over REST ------------------------------------------------------------------------------------------------

INIT = Operation(
    "init_upload",
    "Open an upload: 1 to n studies of one patient, to one PACS.",
    [json_answer("Opened", "Its id, and the tokens that go with it.", status=201)],
    frozenset(
        {
            "unknown_endpoint",
            "endpoint_not_allowed",
            "notes_not_delivered",
            "idempotency_key_reused",
            "idempotency_in_progress",
            "upload_too_large",
            "quota_exceeded",
            "not_found",
            "upload_gone",
            "upload_completed",
            "conflict",
        }
    ),
    headers=["Idempotency-Key"],
    body=JsonBody(rest.INIT),
)
_PAYLOAD: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
_MULTIPART: Schema = rest.CHUNK.schema()
CHUNK = Operation(
    "put_chunk",
    "Send one chunk of a file, in any order, in parallel, and again if it got lost.",
    [json_answer("ChunkTaken", "It is kept.")],
    frozenset(
        {
            *_SEEN,
            "file_gone",
            "data_lost",
            "checksum_algorithm_unknown",
            "checksum_mismatch",
            "chunk_conflict",
            "chunk_size_mismatch",
            "other_dialect",
            "upload_completed",
            "length_mismatch",
            "too_many_files",
            "conflict",
            "taken_over",
            "locked",
            "file_too_large",
            "upload_too_large",
            "body_too_large",
            "body_interrupted",
            "quota_exceeded",
            "missing_field",
            "invalid_field",
        }
    ),
    query=rest.CHUNK,
    headers=["Content-Digest"],
    body=BytesBody(
        {
            "application/octet-stream": {},
            "multipart/form-data": _MULTIPART
            | {
                "properties": _MULTIPART["properties"] | {"binary_payload": _PAYLOAD},
                "required": [*_MULTIPART["required"], "binary_payload"],
            },
        }
    ),
    more="In a `multipart/form-data` body the fields of the query are parts, in any order, and the query is ignored.",
)
COMPLETE = Operation(
    "complete_upload",
    "Say that everything was sent. It is idempotent.",
    [
        json_answer("Result", "The PACS has answered.", headers=["Preference-Applied"]),
        json_answer("Status", "Still running.", status=202, headers=["Location", "Retry-After", "Preference-Applied"]),
    ],
    _SEEN | {"incomplete", "upload_completed", "checksum_mismatch", "locked", "conflict", "data_lost", "file_gone"},
    headers=["Prefer"],
    body=JsonBody(rest.COMPLETE, optional=True),
)
STATUS = Operation("upload_status", "How an upload fares.", [json_answer("Status", "As it is now.")], _SEEN)
FILES = Operation(
    "list_files",
    "The files of an upload, by pages.",
    [json_answer("Files", "A page; `cursor` leads to the next, null: this was the last.")],
    _SEEN,
    query=rest.PAGE,
)
EVENTS = Operation(
    "upload_events",
    "The status as it changes, as Server-Sent Events.",
    [_text("text/event-stream", "Events `status` with the status as JSON, `gone` with what became of it; comments.")],
    _SEEN,
    more="It ends at the token's `exp`, after the final status, and when the gateway stops.",
)
RENEW = Operation(
    "renew_tokens",
    "A new upload token and a new refresh token.",
    [json_answer("Opened", "The upload, and its new tokens.")],
    _SEEN | {"token_reused", "upload_completed", "conflict"},
)
RECEIPT = Operation(
    "receipt",
    "The signed receipt, a compact JWS; it stays when the upload is dead.",
    [_text("application/jose", "The JWS; `GET /.well-known/jwks.json` has the keys.")],
    frozenset({"not_found", "no_receipt_yet", "invalid_field"}),
    query=rest.RECEIPT,
)
REMOVE_FILE = Operation(
    "remove_file",
    "Take a bad file out, by the client's own name; the totals go down.",
    [bare_answer("It is out.")],
    _SEEN | {"file_gone", "data_lost", "upload_completed", "conflict", "file_busy", "locked", "invalid_field"},
)
CANCEL = Operation(
    "cancel_upload",
    "End an upload; its bytes are unreadable at once.",
    [bare_answer("It is ended.")],
    _SEEN | {"reason_required", "conflict", "upload_completed", "locked"},
    body=JsonBody(rest.CANCEL, optional=True),
)

# --- QR codes ---------------------------------------------------------------------------------------------------------

_QR_MADE = GoodAnswer(
    201,
    "The code, as JSON or as a picture, as `Accept` asks.",
    {"application/json": "QrMade", "image/png": {"type": "string"}, "image/svg+xml": {"type": "string"}},
    ["X-QR-Id"],
)
QR_CREATE = Operation(
    "create_qr",
    "Make a code that opens one upload to one endpoint.",
    [_QR_MADE],
    frozenset({"unknown_endpoint", "endpoint_not_allowed", "quota_exceeded"}),
    headers=["Accept"],
    body=JsonBody(rest.QR),
)
QR_LIST = Operation(
    "list_qr", "The caller's codes; an admin's: everybody's.", [json_answer("QrCodes", "A page.")], query=rest.PAGE
)
QR_INSPECT = Operation(
    "inspect_qr",
    "What the holder of a code is about to do; it uses up nothing.",
    [json_answer("QrInfo", "Where to, and how much.")],
)
QR_REVOKE = Operation(
    "revoke_qr",
    "End a code; what it opened gets no more tokens.",
    [bare_answer("It is ended.")],
    frozenset({"not_found", "conflict", "locked"}),
    query=rest.REVOKE,
)
QR_REOPEN = Operation(
    "reopen_by_qr",
    "A code that opens an unfinished upload again, for a device that lost everything.",
    [_QR_MADE],
    _SEEN | {"upload_completed", "quota_exceeded", "conflict", "unknown_endpoint"},
    headers=["Accept"],
    body=JsonBody(rest.REOPEN, optional=True),
)

# --- those who run it -------------------------------------------------------------------------------------------------

HEALTHZ = Operation("alive", "The process answers.", [json_answer("Alive", "It is alive.")])
READYZ = Operation(
    "ready",
    "Database, spool and keys work; where one doesn't, what still works without it.",
    [json_answer("Ready", "Ready."), json_answer("Ready", "Not ready.", status=503)],
)
METRICS = Operation(
    "metrics",
    "Numbers for Prometheus.",
    [
        GoodAnswer(
            200,
            "In the format that `Accept` asks for.",
            {"text/plain": {"type": "string"}, "application/openmetrics-text": {"type": "string"}},
        )
    ],
    headers=["Accept"],
)
JWKS = Operation(
    "signing_keys",
    "The keys that receipts are signed with.",
    [json_answer("Keys", "The newest first.", headers=["Cache-Control"])],
)
OPENAPI = Operation(
    "openapi", "This description.", [GoodAnswer(200, "OpenAPI 3.1.", {"application/json": {"type": "object"}})]
)
DOCS = Operation("docs", "This description as a page.", [_text("text/html", "HTML.")])
ADMIN_UPLOADS = Operation(
    "admin_uploads",
    "Uploads, without names.",
    [json_answer("AdminUploads", "A page; it may be short or empty before the last.")],
    query=SEARCH,
)
ADMIN_FIND = Operation(
    "admin_find",
    "The same by what is in no URL, too; audited.",
    [json_answer("AdminUploads", "A page; it may be short or empty before the last.")],
    query=NOTHING,
    body=JsonBody(FIND, optional=True),
)
ADMIN_UPLOAD = Operation(
    "admin_upload",
    "One upload, without names.",
    [json_answer("AdminUpload", "That one.")],
    _REASON_CODES,
    query=rest.REVEAL,
)
ADMIN_ENDPOINTS = Operation(
    "admin_endpoints", "How each endpoint fares.", [json_answer("AdminEndpoints", "All of them.")], query=NOTHING
)
ADMIN_AUDIT = Operation(
    "admin_audit",
    "Events of the audit trail, by number.",
    [json_answer("Trail", "A page; `after` leads to the next.")],
    query=rest.TRAIL,
)
REVEAL = Operation(
    "reveal",
    "The patient's data; audited with its reason.",
    [json_answer("Revealed", "What was declared, and what the files say.")],
    _REASON_CODES | {"upload_gone"},
    body=_REASON,
)
RELEASE = Operation(
    "release",
    "A held upload goes on.",
    [bare_answer("It goes on.")],
    _REASON_CODES | {"upload_gone", "not_held", "conflict", "upload_completed"},
    body=_REASON,
)
RETRY = Operation(
    "retry",
    "What failed is tried again.",
    [bare_answer("It is tried again.")],
    _REASON_CODES | {"upload_gone", "conflict", "upload_completed"},
    body=_REASON,
)
DROP = Operation(
    "drop",
    "End an upload; its uploader sees the reason.",
    [bare_answer("It is ended.")],
    _REASON_CODES | {"upload_gone", "conflict", "upload_completed", "locked"},
    body=JsonBody(rest.DROP, optional=True),
)

# --- the app ----------------------------------------------------------------------------------------------------------

_UNCHANGED = bare_answer("The client has it already.", status=304, headers=["ETag"])
SHELL = Operation(
    "app", "The app's page.", [_text("text/html", "HTML.", headers=("ETag",)), _UNCHANGED], frozenset({"not_built"})
)


ASSETS = ("text/javascript", "text/css", "image/svg+xml", "image/png", "application/wasm")


def asset(name: str, *media_types: str) -> Operation:
    """A file of the app."""
    kinds: dict[str, Schema | str] = {kind: {} for kind in media_types}
    return Operation(
        name,
        "A file of the app.",
        [GoodAnswer(200, "The file.", kinds, ["ETag"]), _UNCHANGED],
        frozenset({"not_built", "not_found"}),
    )


#: Parameters of paths.
PATH_FIELDS = {"file_id": FileId().schema()}
