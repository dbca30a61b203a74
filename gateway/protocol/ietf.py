"""The IETF face (draft-ietf-httpbis-resumable-upload): headers in, commands out; facts in, headers out.

`VERSIONS` says what differs per interop version, and nothing else does. Fields are items of RFC 9651: one that can't be
read is ignored, as the draft wants it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote

from gateway.errors import Malformed, UnsupportedMediaType
from gateway.protocol.headers import Headers

PARTIAL_MEDIA_TYPE = "application/partial-upload"
PROBLEM_TYPES = "https://iana.org/assignments/http-problem-types#"
MAX_NAME = 1024

_MARKS = ("Upload-Complete", "Upload-Incomplete", "Upload-Draft-Interop-Version")
_MARKS_OF_TUS = ("Tus-Resumable", "Upload-Metadata", "Upload-Defer-Length", "Upload-Concat", "Upload-Checksum")
_BOOLEAN = re.compile(r"\?([01]) *(?:;.*)?")
_EXTENDED_NAME = re.compile(r";\s*filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.IGNORECASE)
_PLAIN_NAME = re.compile(r';\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]+))', re.IGNORECASE)
_INTEGER = re.compile(r"([0-9]{1,15}) *(?:;.*)?")


@dataclass(frozen=True, slots=True)
class Version:
    """What differs from one interop version to another.

    :param interim: 104 is sent.
    :param inverse: the field is `Upload-Incomplete`, and says the opposite.
    :param media_type: a PATCH has to be `application/partial-upload`.
    :param bare_look: HEAD may not carry the fields of the state.
    :param age: `Upload-Limit`'s key for the seconds that are left; empty: none.
    :param appended: status of an append that doesn't complete.
    :param completed_type: an append to a complete upload is told by a problem type of its own.
    :param get: GET tells the offset, as HEAD does.
    """

    number: int
    interim: bool = False
    inverse: bool = False
    media_type: bool = True
    bare_look: bool = False
    age: str = "max-age"
    appended: int = 204
    completed_type: bool = False
    get: bool = False


#: 3: draft -01; 4: -02; 5: -03; 6: -04 and -05; 7: -06 to -08; 8: -09 to -11; 9: -12 and later.
VERSIONS: Mapping[int, Version] = {
    version.number: version
    for version in (
        Version(3, inverse=True, media_type=False, bare_look=True, age="", appended=201),
        Version(4, media_type=False, bare_look=True, age="", appended=201),
        Version(5, media_type=False, bare_look=True, age="", appended=201),
        Version(6, interim=True, bare_look=True, age="expires", appended=201, completed_type=True),
        Version(7, completed_type=True),
        Version(8, interim=True, completed_type=True),
        Version(9, interim=True, get=True),
    )
}
#: Who names no version, or one that isn't known, is taken to mean the newest; it hears no 104.
_UNKNOWN = replace(VERSIONS[9], number=0, interim=False)


@dataclass(frozen=True, slots=True)
class UploadCreation:
    """POST to the creation URL. Sizes in bytes."""

    complete: bool  #: the body is all, or the rest
    length: int | None  #: of the whole file, where it is told
    raw_metadata: str | None  #: the name of `Content-Disposition`, in the form of tus' `Upload-Metadata`


@dataclass(frozen=True, slots=True)
class UploadAppend:
    """PATCH of an upload resource. Sizes in bytes."""

    at: int
    complete: bool
    length: int | None


def spoken(headers: Headers) -> bool:
    """Whether a request speaks the draft. :raises Malformed: `mixed_protocols`: and tus as well."""
    ietf = any(headers.getall(name, ()) for name in _MARKS)
    if ietf and any(headers.getall(name, ()) for name in _MARKS_OF_TUS):
        raise Malformed("the request speaks tus and the IETF draft at once", code="mixed_protocols")
    return ietf


def version_of(headers: Headers) -> Version:
    """The version that a request is read and answered by."""
    number = _item(headers, "Upload-Draft-Interop-Version", _INTEGER)
    if number is None and headers.getall("Upload-Incomplete", ()):
        return replace(VERSIONS[3], number=0)
    return VERSIONS.get(int(number or 0), _UNKNOWN)


def read_creation(headers: Headers, version: Version, size: int | None) -> UploadCreation:
    """Headers of a creation.

    :param size: of the body, where it is declared.
    :raises Malformed: it doesn't say whether it is complete, or its lengths differ.
    """
    complete = _complete(headers, version)
    return UploadCreation(complete, _length(headers, complete, 0, size), _name(headers))


def read_patch(headers: Headers, version: Version, content_type: str | None, size: int | None) -> UploadAppend:
    """Headers of an append.

    :param content_type: the media type, None where the header is absent.
    :raises UnsupportedMediaType: not `application/partial-upload`.
    :raises Malformed: no offset, not said whether it completes, or its lengths differ.
    """
    if version.media_type and content_type != PARTIAL_MEDIA_TYPE:
        raise UnsupportedMediaType(f"the body of a PATCH must be {PARTIAL_MEDIA_TYPE}")
    at = _item(headers, "Upload-Offset", _INTEGER)
    if at is None:
        raise Malformed("Upload-Offset is missing, or no integer", code="malformed_header")
    complete = _complete(headers, version)
    return UploadAppend(int(at), complete, _length(headers, complete, int(at), size))


def check_look(headers: Headers, version: Version) -> None:
    """:raises Malformed: a question for the offset carries what only answers carry."""
    if version.bare_look and any(
        headers.getall(name, ()) for name in ("Upload-Offset", "Upload-Complete", "Upload-Incomplete", "Upload-Length")
    ):
        raise Malformed("HEAD takes no Upload-Offset, Upload-Complete or Upload-Length", code="malformed_header")


def inconsistent() -> Malformed:
    """Two lengths that were told of one file differ."""
    return Malformed(
        "the lengths that were told of this file differ",
        code="inconsistent_length",
        type=PROBLEM_TYPES + "inconsistent-upload-length",
    )


def mismatch(expected: int, provided: int) -> dict[str, str | int]:
    """Members of the problem of a wrong offset."""
    kind = PROBLEM_TYPES + "mismatching-upload-offset"
    return {"type": kind, "expected-offset": expected, "provided-offset": provided}


def completeness(version: Version, *, complete: bool) -> dict[str, str]:
    """The field that says whether the file is complete."""
    name = "Upload-Incomplete" if version.inverse else "Upload-Complete"
    return {name: "?1" if complete is not version.inverse else "?0"}


def limits(version: Version, max_size: int, left_s: float | None = None) -> str:
    """Value of `Upload-Limit`. :param left_s: how long an unfinished file is kept if nobody asks for it."""
    found = f"max-size={max_size}, min-size=0"
    return found if left_s is None or not version.age else f"{found}, {version.age}={max(int(left_s), 0)}"


def interim(version: Version, headers: Mapping[str, str]) -> bytes:
    """A whole interim response. :raises Malformed: a value would break the line."""
    lines = {"Upload-Draft-Interop-Version": str(version.number)} | dict(headers)
    if any(character in value for value in lines.values() for character in "\r\n"):
        raise Malformed("a header can't be sent", code="malformed_header")
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 104 Upload Resumption Supported\r\n{told}\r\n".encode("latin-1")


def _item(headers: Headers, name: str, form: re.Pattern[str]) -> str | None:
    """The bare item of a field; None: absent, twice there or of another form."""
    values = headers.getall(name, ())
    match = form.fullmatch(values[0].strip(" ")) if len(values) == 1 else None
    return None if match is None else match[1]


def _complete(headers: Headers, version: Version) -> bool:
    name = "Upload-Incomplete" if version.inverse else "Upload-Complete"
    said = _item(headers, name, _BOOLEAN)
    if said is None:
        raise Malformed(f"{name} is missing, or no boolean", code="malformed_header")
    return (said == "1") is not version.inverse


def _length(headers: Headers, complete: bool, at: int, size: int | None) -> int | None:
    told = _item(headers, "Upload-Length", _INTEGER)
    implied = at + size if complete and size is not None else None
    if told is not None and implied not in (None, int(told)):
        raise inconsistent()
    return implied if told is None else int(told)


def _name(headers: Headers) -> str | None:
    """The name of `Content-Disposition` (RFC 6266 4.3: the extended form counts), as tus would tell it back."""
    values = headers.getall("Content-Disposition", ())
    if len(values) != 1:
        return None
    if match := _EXTENDED_NAME.search(values[0]):
        name = unquote(match[2], encoding=match[1].lower(), errors="replace")
    elif match := _PLAIN_NAME.search(values[0]):
        name = re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
    else:
        return None
    if len(name) > MAX_NAME:
        return None
    return f"filename {base64.b64encode(name.encode('utf-8', 'replace')).decode()}"
