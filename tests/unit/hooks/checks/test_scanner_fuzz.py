"""Whatever the bytes are, the scanner gives a verdict with a documented code, and soon."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.checks.scanner import scan
from hooks.contract import Accept, Reject, Skip
from tests.dicom_samples import (
    DEFLATED,
    EXPLICIT_BE,
    HOSTILE,
    IMPLICIT_LE,
    JPEG_BASELINE,
    BytesSource,
    element,
    instance,
    nested,
    sequence,
)
from tests.unit.hooks.checks.test_validation_docs import documented_codes

CODES = documented_codes()
SEEDS = [
    instance(extra=sequence(0x00081140, [element(0x00081155, "UI", "1.2.3")])),
    instance(transfer_syntax_uid=IMPLICIT_LE, extra=nested(4, syntax=IMPLICIT_LE, known_length=True)),
    instance(transfer_syntax_uid=EXPLICIT_BE, extra=nested(4, syntax=EXPLICIT_BE)),
    instance(transfer_syntax_uid=DEFLATED),
    instance(transfer_syntax_uid=JPEG_BASELINE, frames=3),
    HOSTILE["nesting_60_unknown_vr"][0],
    HOSTILE["private_value_like_an_item"][0],
]
#: Numbers that lengths and tags break at.
EDGES = st.sampled_from([0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])


@st.composite
def mutated(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(100, len(data) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                data[at] = draw(st.integers(0, 255))
            case 1:
                data[at : at + 4] = struct.pack("<I", draw(EDGES))
            case 2:
                del data[at : at + draw(st.integers(1, 64))]
            case 3:
                other = draw(st.sampled_from(SEEDS))
                data[at:at] = other[at : at + draw(st.integers(1, 64))]
            case _:
                del data[at:]
        if len(data) <= 101:
            break
    return bytes(data)


def holds(data):
    for level in ("standard", "strict"):
        source = BytesSource(data)
        verdict = scan(source, level)
        assert isinstance(verdict, Accept | Skip | Reject)
        codes = verdict.warnings if isinstance(verdict, Accept) else (verdict.code,)
        assert CODES.keys() >= set(codes)
        assert source.read_bytes <= 2 * len(data) + 2 * 65536, "looked at twice"
        if isinstance(verdict, Accept):
            assert verdict.facts.sop_instance_uid
            assert verdict.facts.study_instance_uid


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_a_damaged_file_gets_a_verdict(data):
    holds(data)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600), st.sampled_from(SEEDS), st.booleans())
def test_noise_behind_a_good_beginning_gets_a_verdict(noise, seed, deep):
    holds(seed[: len(seed) - 300 if deep else 200] + noise)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_noise_alone_gets_a_verdict(noise):
    holds(noise)
    holds(bytes(128) + b"DICM" + noise)


def test_a_file_cut_at_any_byte_is_not_taken_for_a_whole_one():
    for seed in SEEDS:
        # The last byte of a deflated file may be padding.
        verdicts = [scan(BytesSource(seed[:end])) for end in range(len(seed) - 1)]
        fooled = [found for found in verdicts if isinstance(found, Accept) and not found.warnings]
        # Cut in front of everything about pixels, it can't be told from an object that never had any.
        assert len(fooled) <= 2
