"""The vocabulary of everything that can go wrong.

GatewayError
├── Refusal                   the request can't be done as asked: the caller can mend it
│   ├── Unauthorized          no token, a bad one, an expired one
│   ├── Forbidden             a good token of the wrong kind, or for something else
│   ├── NotFound              not there, or not the caller's: one answer for both
│   ├── Gone                  it was there; cancelled, expired or damaged
│   ├── Malformed             headers, query or JSON that can't be read
│   ├── UnsupportedVersion    a version of tus that isn't spoken here
│   ├── UnsupportedMediaType  a body of another Content-Type than this call takes
│   ├── MethodNotAllowed      the path is there, the method isn't
│   ├── ChecksumMismatch      the bytes don't have the digest that was declared
│   ├── Unprocessable         readable, but not acceptable
│   ├── Conflict              does not fit the present state
│   ├── Interrupted           the body broke off; what came is kept
│   ├── TooLarge              over a limit
│   ├── HeadTooLarge          the request line or its header fields are too long
│   ├── Locked                somebody else is writing just now
│   ├── TooMany               over a rate or a quota
│   └── NotBuilt              named in the contract, not built yet
├── SpoolFull                 no room: nothing was taken
├── Damaged                   acknowledged bytes can't be read back
├── Unavailable               a part we need doesn't answer; trying again may help
└── ConfigError               the operator can mend it

Every error has a stable `code` and a `detail` that is safe to show: no patient's data, no file name, no value
that a client sent. `web/errors.py` alone knows which HTTP status a class has.
"""

from __future__ import annotations

from typing import Any, ClassVar


class GatewayError(Exception):
    """Root of the tree.

    :param detail: a sentence safe to show to anyone; lower case, no full stop.
    :param code: a stable code of this class's `codes`; the first of them if left out.
    :param extra: further members of the problem body (RFC 9457 section 3.2), safe to show.
    """

    codes: ClassVar[tuple[str, ...]] = ("internal_error",)
    title: ClassVar[str] = "Something went wrong in the gateway"

    def __init__(self, detail: str, *, code: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        if code is not None and code not in self.codes:
            raise ValueError(f"{type(self).__name__} has no code {code}")
        self.code = code or self.codes[0]
        self.detail = detail
        self.extra = extra


class Refusal(GatewayError):
    """The caller can mend it."""

    codes: ClassVar[tuple[str, ...]] = ("bad_request",)
    title = "The request can't be done as asked"


class Unauthorized(Refusal):
    """No token, a bad one or an expired one (RFC 9110 15.5.2)."""

    codes = ("unauthorized", "bad_credentials", "token_expired", "token_reused", "device_wipe")
    title = "A valid token is needed"


class Forbidden(Refusal):
    """A good token of the wrong kind, or for something else."""

    codes = ("forbidden", "wrong_token_kind", "endpoint_not_allowed", "password_change_required", "final_upload")
    title = "This token doesn't open that"


class NotFound(Refusal):
    """Not there, or not the caller's."""

    codes = ("not_found", "no_receipt_yet")
    title = "There is no such thing"


class Gone(Refusal):
    """It was there. `extra` has `state`, `pacs_receipt_id` and `warnings`."""

    codes = ("upload_gone", "file_gone", "data_lost")
    title = "It is no longer there"


class Malformed(Refusal):
    """Headers, query or JSON that can't be read."""

    codes = (
        "malformed",
        "malformed_header",
        "malformed_json",
        "checksum_algorithm_unknown",
        "mixed_protocols",
        "length_too_short",
        "inconsistent_length",
    )
    title = "The request can't be read"


class UnsupportedVersion(Refusal):
    """`Tus-Resumable` is missing or names a version we don't speak (tus: 412)."""

    codes = ("unsupported_tus_version",)
    title = "This version of tus isn't spoken here"


class UnsupportedMediaType(Refusal):
    """The body's Content-Type is not the one this call takes."""

    codes = ("unsupported_media_type",)
    title = "This media type isn't taken here"


class MethodNotAllowed(Refusal):
    """The path is there, the method isn't."""

    codes = ("method_not_allowed",)
    title = "This method isn't offered here"


class ChecksumMismatch(Refusal):
    """The bytes that came don't have the digest that was declared (tus: 460)."""

    codes = ("checksum_mismatch",)
    title = "The bytes don't match their digest"


class Unprocessable(Refusal):
    """Readable, but not acceptable."""

    codes = (
        "invalid_field",
        "unknown_field",
        "missing_field",
        "notes_not_delivered",
        "unknown_endpoint",
        "idempotency_key_reused",
        "study_mismatch",
        "reason_required",
    )
    title = "The request is readable but not acceptable"


class Conflict(Refusal):
    """It doesn't fit the present state."""

    codes = (
        "conflict",
        "offset_mismatch",
        "chunk_conflict",
        "chunk_size_mismatch",
        "other_dialect",
        "incomplete",
        "upload_completed",
        "length_mismatch",
        "file_busy",
        "idempotency_in_progress",
        "not_held",
        "too_many_files",
        "taken_over",
        "not_a_part",
    )
    title = "It doesn't fit the present state"


class Interrupted(Refusal):
    """The body stopped coming; what came is kept."""

    codes = ("body_interrupted",)
    title = "The body broke off"


class TooLarge(Refusal):
    """Over a limit of size."""

    codes = ("file_too_large", "upload_too_large", "body_too_large", "metadata_too_large")
    title = "It is too large"


class HeadTooLarge(Refusal):
    """The request's head is over a limit (RFC 6585 5)."""

    codes = ("head_too_large",)
    title = "The request's head is too large"


class Locked(Refusal):
    """Somebody else is writing just now; `extra` has `retry_after_s`."""

    codes = ("locked",)
    title = "Somebody else is writing just now"


class TooMany(Refusal):
    """Over a rate, or over a quota of `[limits]`; `extra` has `retry_after_s`, and `limit` the quota's key."""

    codes = ("too_many_requests", "quota_exceeded")
    title = "Too many requests"


class NotBuilt(Refusal):
    """Named in the contract or in a standard, not built."""

    codes = ("not_built", "transfer_coding_unknown")
    title = "This isn't built yet"


class SpoolFull(GatewayError):
    """No room in the spool: nothing of the request was taken. The web edge says when to come back (`Retry-After`)."""

    codes = ("spool_full",)
    title = "The gateway's spool is full"


class Damaged(GatewayError):
    """Acknowledged bytes can't be read back."""

    codes = ("damaged",)
    title = "Stored bytes are damaged"


class Unavailable(GatewayError):
    """A part we need doesn't answer; trying again may help. `extra` may have `retry_after_s`."""

    codes = ("unavailable", "storage_error", "draining")
    title = "The gateway can't do this just now"


class ConfigError(GatewayError):
    """The operator can mend it; `detail` names the key and what to do."""

    codes = ("config_error",)
    title = "The configuration can't be used"
