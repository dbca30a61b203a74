"""Questions to a PACS (QIDO-RS, PS3.18 section 10.6), asked so that archives of many makes answer them.

Promises: a query that is refused is asked again, smaller and plainer, before it counts as refused, and what was taken
is remembered; what a page leaves out is fetched; "nothing there" is told from "nobody there". Knows no transport.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hooks.contract import LookupRefused, PatientRecord, TargetDown
from hooks.targets.stow_response import values

SOP_INSTANCE_UID = "00080018"
ACCESSION_NUMBER = "00080050"
ISSUER_OF_ACCESSION_NUMBER = "00080051"
PATIENT_NAME = "00100010"
PATIENT_ID = "00100020"
ISSUER_OF_PATIENT_ID = "00100021"
PATIENT_BIRTH_DATE = "00100030"
PATIENT_SEX = "00100040"
OTHER_PATIENT_IDS = "00101000"
OTHER_PATIENT_IDS_SEQUENCE = "00101002"
STUDY_INSTANCE_UID = "0020000D"
SERIES_INSTANCE_UID = "0020000E"
LOCAL_NAMESPACE_ENTITY_ID = "00400031"
UNIVERSAL_ENTITY_ID = "00400032"

TAGS = {"PatientID": PATIENT_ID, "AccessionNumber": ACCESSION_NUMBER, "StudyInstanceUID": STUDY_INSTANCE_UID}
#: Asked for beyond what an archive gives anyway (PS3.18 table 10.6.3-3), in two steps: the first some refuse.
FIELDS = (
    (),
    ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber"),
    ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "PatientSex", "IssuerOfPatientID",
     "OtherPatientIDs", "OtherPatientIDsSequence", "IssuerOfAccessionNumberSequence"),
)  # fmt: skip

#: 1000 pages of 1000 are more than any study has; an archive that never ends is one that doesn't answer sensibly.
MAX_PAGES = 1000
#: Pages of studies looked at to learn whose a PatientID is.
MAX_PATIENT_PAGES = 5
#: A limit that every archive takes.
SMALL_PAGE = 50

#: Letters that don't stand for themselves in a query (RFC 3986 section 2.3), or not to an archive.
NEEDS_ESCAPE = re.compile(r"[^A-Za-z0-9._~-]")
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")

Record = Mapping[str, Any]


class PlainerPlease(LookupRefused):
    """400, 413, 414, 422 and the like: this query, as it was written, isn't taken."""


class NotThere(LookupRefused):
    """404: nothing matches, or nobody answers queries at this address."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a query is written.

    :param limit: most records of a page; None: not told, and no `offset` either.
    :param fields: how much is asked for, an index of `FIELDS`.
    """

    limit: int | None
    fields: int


def styles(page_size: int) -> tuple[Style, ...]:
    """From the best to the plainest."""
    small = min(page_size, SMALL_PAGE)
    limits = (page_size,) if small == page_size else (page_size, small)
    sized = [Style(limit, fields) for fields in (2, 1, 0) for limit in limits]
    return (*sized, Style(None, 1), Style(None, 0))


class Asker(Protocol):
    """Sends one query."""

    def studies(
        self, filters: Mapping[str, str], limit: int | None, offset: int | None, fields: Sequence[str]
    ) -> Sequence[Record]:
        """:raises PlainerPlease, NotThere, LookupRefused: see there."""

    def instances(
        self,
        path: tuple[str | None, str | None],
        filters: Mapping[str, str],
        limit: int | None,
        offset: int | None,
        fields: Sequence[str],
    ) -> Sequence[Record]:
        """:param path: study and series, None: of all. :raises: as `studies`."""


Page = Callable[[int | None, int | None, int], Sequence[Record]]


class Queries:
    """Asks one PACS. For several threads; what it remembers is a hint.

    :param page_size: `limit` of a query, until the PACS takes less only.
    """

    def __init__(self, page_size: int) -> None:
        self._styles = styles(page_size)
        self._first = 0

    # -- what is there of a study

    def present(self, asker: Asker, study: str, series: str | None) -> dict[str, str]:
        """SOPInstanceUID -> PatientID of what is there of a series, or of a study.

        :raises LookupRefused: it can't be asked.
        """

        def page(limit: int | None, offset: int | None, fields: int) -> Sequence[Record]:
            return asker.instances((study, series), {}, limit, offset, ["PatientID"] if fields else [])

        def page_of_study(limit: int | None, offset: int | None, fields: int) -> Sequence[Record]:
            return asker.instances((study, None), {}, limit, offset, ["PatientID"] if fields else [])

        try:
            records = list(self._all(page, SOP_INSTANCE_UID, MAX_PAGES))
        except NotThere:
            self._somebody_answers(asker)
            return {}
        except PlainerPlease:
            if series is None:
                raise
            found = list(self._all(page_of_study, SOP_INSTANCE_UID, MAX_PAGES))
            records = [record for record in found if text(record, SERIES_INSTANCE_UID) in {"", series}]
        shown = {text(record, SOP_INSTANCE_UID): text(record, PATIENT_ID) for record in records}
        shown.pop("", None)
        return shown

    def present_of(self, asker: Asker, study: str, instances: Mapping[str, str]) -> dict[str, str]:
        """The same of a few of them. :param instances: SOPInstanceUID -> SeriesInstanceUID."""
        shown: dict[str, str] = {}
        for uid, series in instances.items():

            def page(
                limit: int | None, offset: int | None, fields: int, uid: str = uid, series: str = series
            ) -> Sequence[Record]:
                wanted = {"SOPInstanceUID": uid}
                return asker.instances((study, series), wanted, limit and 1, offset, ["PatientID"] if fields else [])

            try:
                records = self._first_page(page)
            except NotThere:
                self._somebody_answers(asker)
                continue
            shown |= {text(one, SOP_INSTANCE_UID): text(one, PATIENT_ID) for one in records}
        return {uid: patient_id for uid, patient_id in shown.items() if uid in instances}

    def shows(self, asker: Asker, sop_instance_uid: str) -> bool:
        """Whether it has an instance of that UID anywhere. :raises LookupRefused: it can't be asked."""

        def page(limit: int | None, offset: int | None, _: int) -> Sequence[Record]:
            return asker.instances((None, None), {"SOPInstanceUID": sop_instance_uid}, limit and 1, offset, FIELDS[0])

        try:
            records = self._first_page(page)
        except NotThere:
            self._somebody_answers(asker)
            return False
        return any(text(record, SOP_INSTANCE_UID) == sop_instance_uid for record in records)

    # -- whose a number is

    def patients(self, asker: Asker, wanted: Mapping[str, str]) -> list[PatientRecord]:
        """Patients of the studies that have these values, as far as the archive can write them.

        :param wanted: keyword -> value, see `TAGS`.
        :raises LookupRefused: it can't be asked, or not for these.
        """
        found = self._matching(asker, wanted, wanted)
        if found:
            return found
        # Some archives don't decode what is escaped, and find nothing: then each such letter is asked for as `?`, any
        # one letter (PS3.4 section C.2.2.2.4).
        lenient = {keyword: NEEDS_ESCAPE.sub("?", value) for keyword, value in wanted.items()}
        if lenient != wanted:
            found = self._matching(asker, lenient, wanted)
        if found or not any(BEYOND_ASCII.search(value) for value in wanted.values()):
            return found
        # Of letters beyond ASCII an archive may have kept one, none, or several: `*` is any number of them.
        return self._by_star(
            asker, {keyword: BEYOND_ASCII.sub("*", value) for keyword, value in wanted.items()}, wanted
        )

    def _by_star(self, asker: Asker, query: Mapping[str, str], wanted: Mapping[str, str]) -> list[PatientRecord]:
        """:raises LookupRefused: the archive knows no `*`, or it finds too many: nobody can tell."""
        records = list(self._studies(asker, query))
        if len(records) >= MAX_PATIENT_PAGES * SMALL_PAGE:
            raise LookupRefused("too_many_matches")
        if not records and not self._some(asker, dict.fromkeys(query, "*")) and self._some(asker, {}):
            raise LookupRefused("no_wildcards")
        return distinct(records, wanted)

    def _matching(self, asker: Asker, query: Mapping[str, str], wanted: Mapping[str, str]) -> list[PatientRecord]:
        return distinct(self._studies(asker, query), wanted)

    def _studies(self, asker: Asker, filters: Mapping[str, str]) -> list[Record]:
        def page(limit: int | None, offset: int | None, fields: int) -> Sequence[Record]:
            return asker.studies(filters, limit, offset, FIELDS[fields])

        try:
            return list(self._all(page, STUDY_INSTANCE_UID, MAX_PATIENT_PAGES))
        except NotThere:
            self._somebody_answers(asker)
            return []
        except PlainerPlease:
            if not filters:
                raise
        return self._unfiltered(asker)

    def _unfiltered(self, asker: Asker) -> list[Record]:
        """All studies of a small archive that takes no filter. :raises LookupRefused: it isn't small."""

        def page(limit: int | None, offset: int | None, fields: int) -> Sequence[Record]:
            return asker.studies({}, limit, offset, FIELDS[fields])

        most = MAX_PATIENT_PAGES * SMALL_PAGE
        records = list(self._all(page, STUDY_INSTANCE_UID, MAX_PATIENT_PAGES))
        if len(records) >= most:
            raise LookupRefused("filters_refused")
        return records

    def _some(self, asker: Asker, filters: Mapping[str, str]) -> bool:
        """Whether anything matches."""
        try:
            return bool(
                self._first_page(lambda limit, offset, _: asker.studies(filters, limit and 1, offset, FIELDS[0]))
            )
        except NotThere:
            return False

    def _somebody_answers(self, asker: Asker) -> None:
        """404 means "none" where a query without a filter is answered. :raises NotThere: it isn't."""
        self._first_page(lambda limit, offset, _: asker.studies({}, limit and 1, offset, FIELDS[0]))

    # -- pages

    def _first_page(self, page: Page) -> Sequence[Record]:
        """In the best style that is taken. :raises PlainerPlease: none is."""
        first = self._first
        for place in range(first, len(self._styles)):
            style = self._styles[place]
            try:
                records = page(style.limit, None, style.fields)
            except PlainerPlease:
                if place + 1 == len(self._styles):
                    raise
            else:
                self._first = max(self._first, place)
                return records
        raise PlainerPlease("refused")

    def _all(self, page: Page, key: str, most_pages: int) -> Iterator[Record]:
        """Records of a query, each once by `key`; an archive that ignores `offset` can't repeat itself for ever."""
        seen: set[str] = set()
        records = self._first_page(page)
        style = self._styles[self._first]
        for number in range(most_pages):
            new = [record for record in records if text(record, key) not in seen or not text(record, key)]
            yield from new
            if style.limit is None or not records:
                return
            if not [record for record in new if text(record, key)]:
                # Nothing new. A full page of what we know: `offset` is ignored. Without a limit it may tell all.
                if len(records) >= style.limit:
                    yield from (record for record in _without_limit(page, style) if text(record, key) not in seen)
                return
            seen.update(text(record, key) for record in new)
            if number + 1 == most_pages:
                break
            try:
                records = page(style.limit, len(seen), style.fields)
            except PlainerPlease:
                yield from (record for record in _without_limit(page, style) if text(record, key) not in seen)
                return
        if most_pages == MAX_PAGES:
            raise TargetDown("query_never_ends")


def _without_limit(page: Page, style: Style) -> Sequence[Record]:
    return page(None, None, style.fields)


def distinct(records: Sequence[Record], wanted: Mapping[str, str]) -> list[PatientRecord]:
    """Patients of the records that have what is wanted. `*` and `?` are wildcards to the archive; to us, letters."""
    found = [
        patient_of(record)
        for record in records
        if all(_may_be(text(record, TAGS[keyword]), value.strip()) for keyword, value in wanted.items())
    ]
    return list(dict.fromkeys(found))


def _may_be(shown: str, wanted: str) -> bool:
    """The same but for case, leading zeros, and letters beyond ASCII, of which an archive keeps what it can."""
    if shown in {"", wanted} or shown.casefold().lstrip("0") == wanted.casefold().lstrip("0"):
        return True
    if wanted.isascii():
        return False
    pattern = "".join(re.escape(letter) if letter.isascii() else ".{0,3}" for letter in wanted)
    return re.fullmatch(pattern, shown, re.IGNORECASE | re.DOTALL) is not None


def patient_of(record: Record) -> PatientRecord:
    """The patient, and the study's numbers, of a study-level record."""
    name = next(iter(values(record, PATIENT_NAME)), "")
    if isinstance(name, dict):
        groups = [name.get(group) or "" for group in ("Alphabetic", "Ideographic", "Phonetic")]
        name = "=".join(group for group in groups if isinstance(group, str)).rstrip("=")
    nested = [text(item, PATIENT_ID) for item in values(record, OTHER_PATIENT_IDS_SEQUENCE) if isinstance(item, dict)]
    others = [*text(record, OTHER_PATIENT_IDS).split("\\"), *nested]
    issuers = [item for item in values(record, ISSUER_OF_ACCESSION_NUMBER) if isinstance(item, dict)]
    return PatientRecord(
        patient_id=text(record, PATIENT_ID),
        patient_name=name if isinstance(name, str) else "",
        patient_birth_date=text(record, PATIENT_BIRTH_DATE),
        patient_sex=text(record, PATIENT_SEX),
        issuer_of_patient_id=text(record, ISSUER_OF_PATIENT_ID),
        other_patient_ids="\\".join(other for other in others if other),
        accession_number=text(record, ACCESSION_NUMBER),
        issuer_of_accession_number=next(
            (
                text(item, tag)
                for item in issuers
                for tag in (LOCAL_NAMESPACE_ENTITY_ID, UNIVERSAL_ENTITY_ID)
                if text(item, tag)
            ),
            "",
        ),
        study_instance_uid=text(record, STUDY_INSTANCE_UID),
    )


def text(record: Record, tag: str) -> str:
    """The values of an attribute, joined by backslashes as in a file; empty: none."""
    found = [value.strip("\0 ") for value in values(record, tag) if isinstance(value, str)]
    return "\\".join(found)
