"""What a stranger sends costs work that grows with its size, and no faster: sizes n, 2n, 4n through each parser and each
normaliser.

Work is counted where it can be: calls and lines of Python by a trace; what runs in C (expressions, codecs, Unicode) by
the processor time of the best of several runs, with room for noise that a square would not fit into.
"""

from __future__ import annotations

import base64
import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.delivery import identity
from gateway.delivery.person import MAX_ID, Person, compare_ids, share_an_id
from gateway.delivery.person_names import compare_names
from gateway.errors import GatewayError
from gateway.identity import unicode
from gateway.identity.account_rules import checked_name
from gateway.identity.passwords import _as_bytes, acceptable
from gateway.protocol import headers, rest, tus, values
from gateway.protocol.fields import Digits
from gateway.web import json_body
from hooks.checks import charset
from hooks.contract import Facts, PatientRecord

MARK = "\u0301"
#: n, for what is counted, and for what is timed: 4n is more than a header or a name may have.
N, N_IN_C = 400, 6000


def name_of(patient_name: str) -> Facts:
    known = dict.fromkeys(Facts.__annotations__, "")
    return Facts(**{**known, "patient_id": "1", "patient_name": patient_name})


def quietly(act: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A refusal is work, too."""

    def run(value: Any) -> None:
        with contextlib.suppress(GatewayError, ValueError):
            act(value)

    return run


SHAPES: dict[str, Callable[[int], str]] = {
    "letters": lambda n: "a" * n,
    "marks": lambda n: "e" + MARK * n,
    "marks of two classes": lambda n: "e" + (MARK + "\u0323") * (n // 2),
    "letters with marks": lambda n: ("e" + MARK) * (n // 2),
    "ligatures": lambda n: "\ufdfa" * n,
    "quotes": lambda n: '"' * n,
    "escaped quotes": lambda n: '"\\' * (n // 2),
    "commas": lambda n: "," * n,
    "commas and blanks": lambda n: ", " * (n // 2),
    "pairs": lambda n: "a YQ==," * (n // 7),
    "equals": lambda n: "=" * n,
    "digits": lambda n: "1" * n,
    "carets": lambda n: "A^" * (n // 2),
    "semicolons": lambda n: "a;q=1," * (n // 6),
}

READERS: dict[str, Callable[[str], Any]] = {
    "a name that is looked up": unicode.composed,
    "a name that is set": checked_name,
    "a password that is set": acceptable,
    "a password that is hashed": _as_bytes,
    "a name without its marks": unicode.without_marks,
    "two names of a patient": lambda text: compare_names(text, text[::-1]),
    "what was declared": lambda text: identity.declared_mismatches(
        {"patient_name": text, "patient_birth_date": text, "study_date": text}, [name_of(text)]
    ),
    "Prefer": lambda text: rest.prefer_wait([text]),
    "a digest": lambda text: values.read_digest("Content-Digest", text),
    "Upload-Metadata": lambda text: tus.read_creation(
        CIMultiDict({"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": text}), None
    ),
    "Accept": lambda text: headers.preferred([text], ("application/json", "image/png")),
    "a file_id": values.check_file_id,
    "a number": lambda text: Digits(1, 1000).read("limit", text),
    "study_metadata": lambda text: rest.INIT.read(
        {"study_metadata": {text: text}, "total_files": 1, "total_size_bytes": 1}
    ),
    "an unknown field": lambda text: rest.INIT.read({text: 1}),
    "JSON of a text": lambda text: json_body._parsed(
        b'["' + text.encode().replace(b'"', b"x").replace(b"\\", b"x") + b'"]', None
    ),
    "characters of a file": lambda text: charset.decode(text.encode("utf-8"), b"ISO 2022 IR 6\\ISO 2022 IR 87"),
    "characters of a file in UTF-8": lambda text: charset.decode(text.encode("utf-8"), b"ISO_IR 192"),
}


def lines_of(act: Callable[[Any], Any], value: Any) -> int:
    """Lines of Python that it runs."""
    count = 0

    def trace(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act(value)
    finally:
        sys.settrace(before)
    return count


def seconds_of(act: Callable[[Any], Any], value: Any) -> float:
    """Processor time, of the best of some runs."""

    def once() -> float:
        begun = time.process_time()
        act(value)
        return time.process_time() - begun

    return min(once() for _ in range(3))


@pytest.mark.parametrize("reader", READERS)
def test_work_grows_no_faster_than_what_came(reader: str) -> None:
    read = quietly(READERS[reader])
    for shape, make in SHAPES.items():
        lines = [lines_of(read, make(N * times)) for times in (1, 2, 4)]
        assert lines[2] <= 4.5 * lines[0] + 100, f"{shape}: {lines} lines"
        quick, slow = (seconds_of(read, make(N_IN_C * times)) for times in (1, 4))
        assert slow <= 9 * quick + 0.004, f"{shape}: {quick * 1000:.1f} ms, then {slow * 1000:.1f} ms"


@pytest.mark.parametrize(
    "body",
    [
        lambda n: b"[" * n,
        lambda n: b"[" + b"{}," * n + b"{}]",
        lambda n: b"{" + b",".join(b'"k%d":1' % i for i in range(n)) + b"}",
        lambda n: b'"' + b"\\u0301" * n + b'"',
        lambda n: b"1" * n,
        lambda n: b"[" + b"1e9," * n + b"1]",
    ],
)
def test_a_json_bodys_work_grows_no_faster_than_the_body(body: Callable[[int], bytes]) -> None:
    read = quietly(lambda raw: json_body._parsed(raw, None))
    quick, slow = (seconds_of(read, body(N_IN_C * times)) for times in (1, 4))
    assert slow <= 9 * quick + 0.004


def test_many_patients_in_one_upload_are_not_compared_each_with_each() -> None:
    def work(count: int) -> int:
        facts = [name_of("A^B" + "x" * number) for number in range(count)]
        return lines_of(lambda instances: identity.reasons_within(instances=instances), facts)

    assert work(400) <= 4.5 * work(100) + 100


@pytest.mark.parametrize("number", ["n{}".format, lambda _: ""], ids=["numbered", "without numbers"])
def test_many_studies_are_compared_with_the_pacs_records_of_their_own(number: Callable[[int], str]) -> None:
    """By PatientID the PACS answers with all studies of a patient, and by number and study with one record each."""

    def work(count: int) -> int:
        facts = [replace(name_of("A^B"), accession_number=f"n{i}", study_instance_uid=f"1.{i}") for i in range(count)]
        records = tuple(PatientRecord("1", "A^B", "", "", f"n{i}", study_instance_uid=f"1.{i}") for i in range(count))
        known = identity.Known(records, records, records)
        assert identity.compare_with(known, facts).holds == ()
        return lines_of(lambda instances: identity.compare_with(known, instances), facts)

    assert work(400) <= 4.5 * work(100) + 100


def test_many_identifiers_of_two_persons_are_not_compared_each_with_each() -> None:
    def work(count: int) -> int:
        one, other = (Person(other_patient_ids="\\".join(f"{side}{i}" for i in range(count))) for side in "ab")
        return lines_of(lambda mine: share_an_id(mine, other), one)

    assert work(400) <= 4.5 * work(100) + 100


@pytest.mark.parametrize("poor", ["?" * 62 + "zz", "zz" + "?" * 62, "?z" * 32])
def test_identifiers_with_letters_lost_are_compared_without_trying_each_way(poor: str) -> None:
    work = lines_of(lambda full: compare_ids(full, poor), "\u0141" * 63 + "q")
    assert work <= 6 * MAX_ID**2


def test_skipped_and_checksums_are_read_once_each() -> None:
    digest = "sha-256=:" + base64.b64encode(bytes(32)).decode() + ":"

    def work(count: int) -> int:
        body = {
            "checksums": {f"f{number}": digest for number in range(count)},
            "skipped": [{"file_id": f"s{number}", "reason": "r"} for number in range(count)],
        }
        return lines_of(rest.COMPLETE.read, body)

    assert work(400) <= 4.5 * work(100) + 100
