"""A PACS that speaks DICOMweb (PS3.18): STOW-RS to store, QIDO-RS to look, WADO-RS to compare.

Promises: the bytes of an instance pass through untouched and are never held whole; an answer counts only for the
instances it names; a request is tried once, retries belong to the caller; no text of the PACS, of requests or of
urllib3 comes out, only codes. Synchronous and safe to use from several threads. Must not know storage or uploads.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dicomweb_client.api import DICOMwebClient
from dicomweb_client.uri import build_query_string
from dicomweb_client.web import _Transaction

from hooks.contract import (
    Instance,
    LookupRefused,
    Outcome,
    PatientRecord,
    TargetDown,
    TargetMisconfigured,
)
from hooks.targets.multipart import DigestOfOnlyPart, NotOnePart
from hooks.targets.stow_body import MIB, StowBody
from hooks.targets.stow_response import (
    BUSY_STATUSES,
    CONFIGURATION_STATUSES,
    MAX_BODY_BYTES,
    outcomes,
    seconds_of,
    values,
)
from hooks.targets.transport import Auth, exchange, open_session, read_all, read_capped

SOP_INSTANCE_UID = "00080018"
ACCESSION_NUMBER = "00080050"
PATIENT_NAME = "00100010"
PATIENT_ID = "00100020"
PATIENT_BIRTH_DATE = "00100030"

#: Room for a page of 1000 instances with more attributes than asked for.
MAX_PAGE_BYTES = 32 * MIB
#: 1000 pages of 1000 are more than any study has; an archive that never ends is one that doesn't answer sensibly.
MAX_PAGES = 1000
#: Pages of studies looked at to learn whose a PatientID is.
MAX_PATIENT_PAGES = 5

UID = re.compile(r"[0-9.]{1,64}")
#: Letters that don't stand for themselves in a query (RFC 3986 section 2.3), or not to an archive.
NEEDS_ESCAPE = re.compile(r"[^A-Za-z0-9._~-]")


class DicomWebTarget:
    """Implements `Target`.

    :param url: base of the DICOMweb service, `http(s)://host[:port]/path`, without credentials.
    :param auth: ("basic", user, password), ("bearer", token) or None.
    :param ca_bundle: path of a PEM file with the CAs to trust; None: certifi's.
    :param answer_timeout_s: least time for an answer once a request is sent; grows by a second per MiB sent.
    :param page_size: `limit` of a QIDO-RS request.
    :param max_connections: clients kept open between calls.
    :raises ValueError: the URL or `auth` can't be used.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: Auth | None = None,
        ca_bundle: str | None = None,
        answer_timeout_s: float = 60.0,
        page_size: int = 1000,
        max_connections: int = 4,
    ) -> None:
        if "@" in url or not url.startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https:// and hold no credentials")
        self._url = url.rstrip("/")
        self._auth = auth
        self._ca_bundle = ca_bundle
        self._answer_timeout_s = answer_timeout_s
        self._page_size = page_size
        self._max_connections = max_connections
        self._lock = threading.Lock()
        self._idle: list[_Client] = [self._new_client()]
        self._closed = False

    # -- STOW-RS

    def deliver(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
        if len({instance.sop_instance_uid for instance in batch}) != len(batch):
            raise ValueError("a SOPInstanceUID is in the batch twice")
        with self._client() as client:
            return client.store(batch, stop)

    # -- QIDO-RS

    def present(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> dict[str, str]:
        series: list[str | None] = [_uid(uid) for uid in series_instance_uids] or [None]
        found: dict[str, str] = {}
        with self._client() as client:
            for series_instance_uid in series:
                for record in self._pages(client, _uid(study_instance_uid), series_instance_uid):
                    found[_text(record, SOP_INSTANCE_UID)] = _text(record, PATIENT_ID)
        found.pop("", None)
        return found

    def _pages(self, client: _Client, study: str, series: str | None) -> Iterator[Mapping[str, Any]]:
        """Instances of a series, each once; a server that ignores `offset` gets no second chance to repeat itself."""

        def page(limit: int | None, offset: int | None) -> Sequence[Mapping[str, Any]]:
            try:
                return client.search_for_instances(study, series, limit=limit, offset=offset, fields=["PatientID"])
            except _NotThere:
                # For some archives an unknown study is a resource that isn't there; a wrong URL is that too.
                client.search_for_studies(limit=1, search_filters={"StudyInstanceUID": study})
                return []

        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            records = page(self._page_size, len(seen) or None)
            new = [record for record in records if _text(record, SOP_INSTANCE_UID) not in seen]
            if not new:
                if len(records) < self._page_size:
                    return
                # A full page of what we know: `offset` is ignored. Without a limit it may tell all.
                new = [record for record in page(None, None) if _text(record, SOP_INSTANCE_UID) not in seen]
                yield from new
                return
            seen.update(_text(record, SOP_INSTANCE_UID) for record in new)
            yield from new
        raise TargetDown("query_never_ends")

    def shows(self, sop_instance_uid: str) -> bool:
        asked = {"SOPInstanceUID": _uid(sop_instance_uid)}
        with self._client() as client:
            records = client.search_for_instances(limit=1, search_filters=asked)
        return any(_text(record, SOP_INSTANCE_UID) == sop_instance_uid for record in records)

    def patients(self, *, patient_id: str = "", accession_number: str = "") -> list[PatientRecord]:
        filters = {"PatientID": patient_id, "AccessionNumber": accession_number}
        asked = {keyword: value for keyword, value in filters.items() if value}
        if not asked:
            raise ValueError("neither a PatientID nor an accession number to ask for")
        # Some archives don't decode what is escaped, and find nothing: then each such letter is asked for as `?`, any
        # one letter (PS3.4 section C.2.2.2.4).
        lenient = {keyword: NEEDS_ESCAPE.sub("?", value) for keyword, value in asked.items()}
        with self._client() as client:
            found = self._matches(client, asked, asked)
            return found or (self._matches(client, lenient, asked) if lenient != asked else [])

    def _matches(self, client: _Client, query: Mapping[str, str], wanted: Mapping[str, str]) -> list[PatientRecord]:
        """Patients of the studies that `query` finds and that have exactly what is `wanted`."""
        tags = {"PatientID": PATIENT_ID, "AccessionNumber": ACCESSION_NUMBER}
        found: dict[PatientRecord, None] = {}
        for record in client.studies(query, self._page_size):
            # `*` and `?` in a value are wildcards to the archive; to us they are letters.
            if all(_text(record, tags[keyword]) in {"", value.strip()} for keyword, value in wanted.items()):
                found[_patient(record)] = None
        return list(found)

    # -- WADO-RS

    def sha256(self, instance: Instance) -> str | None:
        with self._client() as client:
            return client.digest_of(instance)

    # --

    def probe(self) -> str:
        with self._client() as client:
            client.search_for_studies(limit=1)
        return "it answers queries (QIDO-RS)"

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()

    @contextmanager
    def _client(self) -> Iterator[_Client]:
        """A client of this thread's own; one that saw an error isn't used again."""
        with self._lock:
            client = self._idle.pop() if self._idle else None
        client = client or self._new_client()
        try:
            yield client
        except BaseException:
            client.close()
            raise
        with self._lock:
            keep = client.reusable and not self._closed and len(self._idle) < self._max_connections
            if keep:
                self._idle.append(client)
        if not keep:
            client.close()

    def _new_client(self) -> _Client:
        return _Client(self._url, self._auth, self._ca_bundle, self._answer_timeout_s)


class _NotThere(LookupRefused):
    """404 to a look-up."""


class _Client(DICOMwebClient):
    """dicomweb_client's URLs and queries over our transport, with a STOW-RS that streams.

    Its own `store_instances` isn't used: it re-encodes, holds the payload three times, sends a spent body on a retry
    and has one fixed boundary.
    """

    def __init__(self, url: str, auth: Auth | None, ca_bundle: str | None, answer_timeout_s: float) -> None:
        # UIDs are looked at before; the client's own check would put a bad one into its message.
        super().__init__(url, session=open_session(auth, ca_bundle), permissive_uid=True)
        self.set_http_retry_params(retry=False)
        self._answer_timeout_s = answer_timeout_s
        self.reusable = True

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def store(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
        """STOW-RS of one batch. :raises: as `Target.deliver`."""
        body = StowBody(batch, stop)
        headers = {"Content-Type": body.content_type, "Accept": "application/dicom+json"}
        url = self._get_studies_url(_Transaction.STORE)
        within_s = max(self._answer_timeout_s, len(body) / MIB)
        try:
            with exchange(self._session, "POST", url, headers=headers, data=body, answer_within_s=within_s) as response:
                if not body.finished:
                    # Refused before the end of the body (413, 401): the rest of it must not meet the next request.
                    self.reusable = False
                    if response.ok:
                        raise TargetDown("answered_too_early")
                answer = read_capped(response, MAX_BODY_BYTES)
                return outcomes(
                    response.status_code,
                    response.headers.get("Content-Type", ""),
                    answer,
                    batch,
                    response.headers.get("Retry-After", ""),
                )
        except TargetDown:
            if body.failure is not None:
                raise body.failure from None
            raise
        finally:
            body.close()

    def digest_of(self, instance: Instance) -> str | None:
        """WADO-RS RetrieveInstance, hashed as it comes (PS3.18 section 10.4)."""
        uids = (instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)
        url = self._get_instances_url(_Transaction.RETRIEVE, *map(_uid, uids))
        headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
        within_s = max(self._answer_timeout_s, instance.size_bytes / MIB)
        with exchange(self._session, "GET", url, headers=headers, answer_within_s=within_s) as response:
            status = response.status_code
            if status in {400, 403, 404, 406, 410, 501}:
                read_capped(response, MAX_BODY_BYTES)
                return None
            _look_at(status, response.headers.get("Retry-After", ""))
            try:
                only_part = DigestOfOnlyPart(response.headers.get("Content-Type", ""), hashlib.sha256())
                # More than this isn't what we sent, whatever it is.
                read_all(response, only_part.take, 2 * instance.size_bytes + 64 * MIB)
                return only_part.hexdigest()
            except NotOnePart:
                self.reusable = False
                return None

    def studies(self, filters: Mapping[str, str], limit: int) -> Iterator[Mapping[str, Any]]:
        """Study-level records that match, of the first pages."""
        fields = ["PatientName", "PatientID", "PatientBirthDate", "AccessionNumber"]
        seen: list[Any] = []
        for page in range(MAX_PATIENT_PAGES):
            records = self.search_for_studies(
                limit=limit, offset=page * limit or None, fields=fields, search_filters=dict(filters)
            )
            if records == seen:
                return
            yield from records
            if len(records) < limit:
                return
            seen = records

    def _http_get_application_json(
        self,
        url: str,
        params: dict[str, Any] | None = None,
        stream: bool = False,  # noqa: ARG002 - the base class's signature
        get_remaining: bool = False,  # noqa: ARG002 - the base class's signature
    ) -> list[dict[str, Any]]:
        """What every search of the base class ends in.

        :raises LookupRefused: 400, 403, 404, 405, 406, 501.
        """
        headers = {"Accept": "application/dicom+json"}
        # `+` for a space is of HTML forms, and `?` needs no escape (RFC 3986 section 3.4): archives differ in decoding.
        url += build_query_string(params).replace("+", "%20").replace("%3F", "?")
        with exchange(self._session, "GET", url, headers=headers, answer_within_s=self._answer_timeout_s) as response:
            status = response.status_code
            body = read_capped(response, MAX_PAGE_BYTES)
            if status == 404:
                raise _NotThere("http_404")
            if status in {400, 403, 405, 406, 501}:
                raise LookupRefused(f"http_{status}")
            _look_at(status, response.headers.get("Retry-After", ""))
            if not body and status != 204 and not {"Content-Length", "Transfer-Encoding"} & response.headers.keys():
                # A connection that broke off in the headers looks like this: it must not mean "nothing there".
                raise TargetDown("connection_lost")
        return _records(body)


def _look_at(status: int, retry_after: str) -> None:
    if 200 <= status < 300:
        return
    if status not in BUSY_STATUSES and (status in CONFIGURATION_STATUSES or 300 <= status < 500):
        raise TargetMisconfigured(f"http_{status}")
    raise TargetDown(f"http_{status}", seconds_of(retry_after))


def _records(body: bytes) -> list[dict[str, Any]]:
    """A QIDO-RS answer: an array of data sets; nothing at all (204) is an empty one."""
    if not body.strip():
        return []
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise TargetDown("not_dicom_json") from None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise TargetDown("not_dicom_json")
    return found


def _patient(record: Mapping[str, Any]) -> PatientRecord:
    name = next(iter(values(record, PATIENT_NAME)), "")
    if isinstance(name, dict):
        groups = [name.get(group) or "" for group in ("Alphabetic", "Ideographic", "Phonetic")]
        name = "=".join(group for group in groups if isinstance(group, str)).rstrip("=")
    return PatientRecord(
        patient_id=_text(record, PATIENT_ID),
        patient_name=name if isinstance(name, str) else "",
        patient_birth_date=_text(record, PATIENT_BIRTH_DATE),
    )


def _text(record: Mapping[str, Any], tag: str) -> str:
    value = next(iter(values(record, tag)), "")
    return value.strip("\0 ") if isinstance(value, str) else ""


def _uid(text: str) -> str:
    """`text`, which goes into a URL. :raises ValueError: it isn't a UID."""
    if not UID.fullmatch(text):
        raise ValueError("not a UID")
    return text
