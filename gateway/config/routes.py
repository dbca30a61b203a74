"""The keys of routes: which uploads go where. See `model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config import kinds
from gateway.config.keys import REQUIRED, key
from gateway.config.kinds import Kind, Surroundings, quoted


def _show(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(quoted, values)) + "]"


def _some(value: object, _: Surroundings) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
        raise ValueError('takes a text or a list of texts, like ["CT", "MR"]')
    return tuple(found)


def _names(value: object, around: Surroundings) -> tuple[str, ...]:
    found = _some(value, around)
    if len(set(found)) < len(found):
        raise ValueError("names one twice")
    return found


some = Kind("text or list of texts", _some, _show)
names = Kind("list of endpoint ids", _names, _show)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTerms:
    """What has to be true of an upload; without the table: nothing. What is said of files has to be true of each."""

    modality: tuple[str, ...] = key(some, [], "(0008,0060), one of these.")
    sop_class: tuple[str, ...] = key(some, [], "(0008,0016), one of these UIDs.")
    station: tuple[str, ...] = key(some, [], "(0008,1010) StationName, one of these.")
    account: tuple[str, ...] = key(some, [], "Name of the account that sends, one of these.")
    declared: Mapping[str, str] = key(
        kinds.mapping, {}, 'Fields of `study_metadata` and what they must be, like `{ priority = "stat" }`.'
    )
    min_size_bytes: int = key(kinds.size, 0, "All files together have at least so much.", name="min_size")
    max_size_bytes: int = key(kinds.size, 0, "And at most so much. 0: no limit.", name="max_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSection:
    """Where the uploads go that fit. The first route that fits is the one; else it's the upload's endpoint (routing.md)."""

    to: tuple[str, ...] = key(names, REQUIRED, "Endpoints that get it, each with an outcome and a receipt of its own.")
    required: tuple[str, ...] = key(
        names, [], "Those of `to` without which the upload is no success. Empty: all of them."
    )
    fallback: tuple[str, ...] = key(
        names, [], "Endpoints that stand in for a required one that has failed for good, one after the other."
    )
    when: RouteTerms = RouteTerms()
