"""What a STOW-RS answer says of each instance (PS3.18 section 10.5, PS3.4 annex GG.4). Pure: no I/O, no HTTP library.

The HTTP status proves nothing: archives answer 200 and store nothing when their disk is full, and 400 for a batch of
which all but one part is stored. An instance is stored when the answer names it, and only then. No text of the PACS
is kept: it may echo a patient's name.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hooks.contract import BatchTooLarge, Instance, Outcome, OutcomeKind, TargetDown, TargetMisconfigured
from hooks.targets.native_xml import from_xml
from hooks.targets.reasons import kind_of

#: An answer about a batch needs about 300 bytes per instance; what is longer isn't an answer.
MAX_BODY_BYTES = 8 * 2**20

JSON_TYPES = frozenset({"", "application/dicom+json", "application/json"})
XML_TYPES = frozenset({"application/dicom+xml", "application/xml", "text/xml"})
DICOM_JSON_TAG = re.compile(r"[0-9A-Fa-f]{8}")

REFERENCED_SOP_SEQUENCE = "00081199"
FAILED_SOP_SEQUENCE = "00081198"
OTHER_FAILURES_SEQUENCE = "0008119A"
REFERENCED_SOP_INSTANCE_UID = "00081155"
WARNING_REASON = "00081196"
FAILURE_REASON = "00081197"

#: Answers that no waiting will mend: the configuration of one side is wrong. A redirect is one: a body isn't sent
#: to where somebody points.
CONFIGURATION_STATUSES = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405, 406, 407, 411, 415, 501, 505})
BUSY_STATUSES = frozenset({408, 425, 429})
MAX_RETRY_AFTER_S = 3600.0


def outcomes(
    status: int, content_type: str, body: bytes, sent: Sequence[Instance], retry_after: str = ""
) -> dict[str, Outcome]:
    """Outcome of each sent instance by its `instance_id`.

    :param content_type: header value, may be empty (Orthanc 1.10 sends none with 400; 1.12 sends two).
    :param body: at most `MAX_BODY_BYTES`.
    :param retry_after: header value, may be empty.
    :raises TargetDown: an answer that speaks of nothing (5xx, 429, a proxy's page).
    :raises TargetMisconfigured: 401, 403, 404, 405, 415 and the like, redirects.
    :raises BatchTooLarge: 413.
    """
    if status == 413:
        raise BatchTooLarge("http_413")
    if status in CONFIGURATION_STATUSES or 300 <= status < 400:
        raise TargetMisconfigured(f"http_{status}")
    dataset = parse(content_type, body)
    if status in BUSY_STATUSES or (status >= 500 and not (status == 500 and _names_any(dataset, sent))):
        raise TargetDown(f"http_{status}", seconds_of(retry_after))
    if dataset is None:
        if 200 <= status < 300:
            raise TargetDown("not_dicom_json")
        # 400 without an account of it: one part may be at fault, so the target isn't.
        return {instance.instance_id: Outcome(OutcomeKind.UNKNOWN) for instance in sent}
    named = _named(dataset)
    if len(sent) == 1 and not named:
        # Of a part that it couldn't read an archive has no UID to tell: a failure without one is the only one's.
        found = _nameless(dataset)
        return {sent[0].instance_id: found or _UNNAMED}
    return {instance.instance_id: named.get(instance.sop_instance_uid, _UNNAMED) for instance in sent}


def _nameless(dataset: Mapping[str, Any]) -> Outcome | None:
    """What the first failure says that names nobody (PS3.18 section 10.5.3.2)."""
    items = [*values(dataset, FAILED_SOP_SEQUENCE), *values(dataset, OTHER_FAILURES_SEQUENCE)]
    told = (number(item, FAILURE_REASON) for item in items if isinstance(item, dict))
    reason = next((one for one in told if one is not None), None)
    return None if reason is None else _failure(reason)


_UNNAMED = Outcome(OutcomeKind.UNKNOWN)


def parse(content_type: str, body: bytes) -> dict[str, Any] | None:
    """The one data set of a DICOM JSON body (PS3.18 annex F), or of one in XML; None if it isn't one."""
    # Several fields of one name arrive joined by commas (RFC 9110 5.3): the first is the answer's own.
    media_type = re.split("[;,]", content_type, maxsplit=1)[0].strip().lower()
    if media_type in XML_TYPES and len(body) <= MAX_BODY_BYTES:
        return from_xml(body) or None
    if media_type not in JSON_TYPES or len(body) > MAX_BODY_BYTES:
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict) or not value:
        return None
    return value if all(DICOM_JSON_TAG.fullmatch(key) for key in value) else None


def seconds_of(retry_after: str) -> float | None:
    """`Retry-After` as seconds, at most an hour (RFC 9110 10.2.3); None if it says nothing usable."""
    text = retry_after.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), MAX_RETRY_AFTER_S))
    try:
        at = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(at - time.time(), 0.0), MAX_RETRY_AFTER_S)


def _names_any(dataset: Mapping[str, Any] | None, sent: Sequence[Instance]) -> bool:
    if dataset is None:
        return False
    named = _named(dataset)
    return any(instance.sop_instance_uid in named for instance in sent)


def _named(dataset: Mapping[str, Any]) -> dict[str, Outcome]:
    """SOPInstanceUID -> what the answer says; one that is called both stored and failed is unknown."""
    stored = {
        uid: Outcome(OutcomeKind.STORED, warning=number(item, WARNING_REASON))
        for uid, item in _items(dataset, REFERENCED_SOP_SEQUENCE)
    }
    failed = {uid: _failure(number(item, FAILURE_REASON)) for uid, item in _items(dataset, FAILED_SOP_SEQUENCE)}
    contradictory = dict.fromkeys(stored.keys() & failed.keys(), _UNNAMED)
    return stored | failed | contradictory


def _failure(reason: int | None) -> Outcome:
    return Outcome(kind_of(reason), reason=reason)


def _items(dataset: Mapping[str, Any], tag: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in values(dataset, tag):
        if isinstance(item, dict):
            uid = next(iter(values(item, REFERENCED_SOP_INSTANCE_UID)), None)
            if isinstance(uid, str):
                yield uid.strip("\0 "), item


def number(item: Mapping[str, Any], tag: str) -> int | None:
    """The US value of an attribute; None if there is none."""
    value = next(iter(values(item, tag)), None)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
        value = int(value)  # some archives write every value as a string
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFF else None


def values(dataset: Mapping[str, Any], tag: str) -> list[Any]:
    """The `Value` array of an attribute in DICOM JSON; empty if there is none."""
    element = dataset.get(tag)
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []
