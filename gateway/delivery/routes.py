"""Where an upload goes, by the rules of the configuration. Pure: `relaypacs route` asks the same.

The first rule that fits is the one. What a rule says of files has to be true of every file: an upload isn't taken apart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a rule may ask of a file. Values as in the file; empty: absent."""

    modality: str  #: (0008,0060)
    sop_class_uid: str  #: (0008,0016)
    station_name: str  #: (0008,1010)


@dataclass(frozen=True, slots=True)
class Submission:
    """What a rule may ask of an upload.

    :param files: a kind each, of those that may be sent; the same kind once is enough.
    :param account: name of the account that opened it.
    :param declared: `study_metadata`.
    """

    files: Sequence[FileKind]
    account: str
    declared: Mapping[str, str]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RouteConditions:
    """What has to be true; what is left empty is true of everything. Of several values one is enough."""

    modality: tuple[str, ...] = ()
    sop_class: tuple[str, ...] = ()
    station: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    declared: Mapping[str, str] = field(default_factory=dict)
    min_size_bytes: int = 0
    max_size_bytes: int | None = None

    def fit(self, upload: Submission) -> bool:
        """Whether all of it is true of the upload."""
        return (
            _each(self.modality, [one.modality for one in upload.files])
            and _each(self.sop_class, [one.sop_class_uid for one in upload.files])
            and _each(self.station, [one.station_name for one in upload.files])
            and self.fit_sender(upload.account, upload.declared)
            and self.min_size_bytes <= upload.size_bytes
            and (self.max_size_bytes is None or upload.size_bytes <= self.max_size_bytes)
        )

    @property
    def asks_files(self) -> bool:
        """Something of it isn't known before all files are there."""
        return bool(self.modality or self.sop_class or self.station or self.min_size_bytes) or (
            self.max_size_bytes is not None
        )

    def fit_sender(self, account: str, declared: Mapping[str, str]) -> bool:
        """Whether what it asks of the sender is true."""
        return (not self.account or account in self.account) and all(
            _same(value, declared.get(name, "")) for name, value in self.declared.items()
        )


@dataclass(frozen=True, slots=True)
class DeliveryRoute:
    """A rule.

    :param number: its place in the configuration, from 1.
    :param to: endpoint ids, in order.
    :param required: those of `to` without which the upload is no success.
    :param fallback: those that stand in for a required one that has failed for good, one after the other.
    """

    number: int
    when: RouteConditions
    to: tuple[str, ...]
    required: tuple[str, ...]
    fallback: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """It leads to one endpoint, and to no other: the upload's own rows say it all."""
        return len(self.to) == 1 and not self.fallback

    @property
    def reach(self) -> frozenset[str]:
        """Every endpoint that may get something by it."""
        return frozenset((*self.to, *self.fallback))


def choose(
    routes: Sequence[DeliveryRoute], upload: Submission, allowed: Collection[str] | None
) -> DeliveryRoute | None:
    """The first route that fits; None: none does.

    :param allowed: endpoints that the sender may send to; a route that leads elsewhere doesn't fit. None: all.
    """
    for route in routes:
        if (allowed is None or route.reach <= set(allowed)) and route.when.fit(upload):
            return route
    return None


def is_decided(
    routes: Sequence[DeliveryRoute], account: str, declared: Mapping[str, str], allowed: Collection[str] | None
) -> tuple[bool, DeliveryRoute | None]:
    """Whether `choose` will say the same whatever the files are; and what it will say."""
    for route in routes:
        if (allowed is None or route.reach <= set(allowed)) and route.when.fit_sender(account, declared):
            return (False, None) if route.when.asks_files else (True, route)
    return True, None


def _each(wanted: Sequence[str], there: Sequence[str]) -> bool:
    """Every value that is there is wanted. Of no file nothing can be said."""
    if not wanted:
        return True
    folded = {_folded(one) for one in wanted}
    return bool(there) and all(_folded(one) in folded for one in there)


def _same(wanted: str, said: str) -> bool:
    return _folded(wanted) == _folded(said)


def _folded(text: str) -> str:
    return text.strip().casefold()
