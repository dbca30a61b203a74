"""A PACS that speaks DICOMweb (PS3.18): STOW-RS to store, QIDO-RS to look, WADO-RS to compare, storage commitment.

Promises: the bytes of an instance pass through untouched and are never held whole; an answer counts only for the
instances it names; a request is tried once, retries belong to the caller; no text of the PACS, of requests or of
urllib3 comes out, only codes. Synchronous and safe to use from several threads. Must not know storage or uploads.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from dicomweb_client.api import DICOMwebClient
from dicomweb_client.uri import build_query_string
from dicomweb_client.web import _Transaction

from hooks.contract import (
    Commitment,
    Comparison,
    Instance,
    LookupRefused,
    Outcome,
    PatientRecord,
    TargetDown,
    TargetMisconfigured,
)
from hooks.targets.commitment_requests import CommitmentRequests, Reply
from hooks.targets.comparison import compared
from hooks.targets.data_set_digest import FileDigests, digests_of
from hooks.targets.multipart import NotOnePart, only_part
from hooks.targets.oauth2 import ClientCredentials
from hooks.targets.qido import NotThere, PlainerPlease, Queries
from hooks.targets.stow_body import MIB, StowBody
from hooks.targets.stow_response import (
    BUSY_STATUSES,
    CONFIGURATION_STATUSES,
    MAX_BODY_BYTES,
    outcomes,
    seconds_of,
)
from hooks.targets.transport import Auth, exchange, open_session, pieces_of, read_capped

T = TypeVar("T")

#: Room for a page of 1000 instances with more attributes than asked for.
MAX_PAGE_BYTES = 32 * MIB

UID = re.compile(r"[0-9.]{1,64}")
#: To a query: it can't be asked at all. (A missing password, 401 or 407, is another matter.)
UNASKABLE_STATUSES = frozenset({403, 405, 406, 501})


class DicomWebTarget:
    """Implements `Target` and `Committing`.

    :param url: base of the DICOMweb service, `http(s)://host[:port]/path`, without credentials.
    :param auth: see `hooks.targets.transport.Auth`; None: it is shown nothing.
    :param ca_bundle: path of a PEM file with the CAs to trust; None: certifi's.
    :param answer_timeout_s: least time for an answer once a request is sent; grows by a second per MiB sent.
    :param page_size: `limit` of a QIDO-RS request; smaller by itself where the PACS refuses it.
    :param max_connections: clients kept open between calls.
    :param commitment: it shall commit to what it has: `probe` asks whether it would.
    :raises ValueError: the URL or `auth` can't be used.
    """

    reports = False

    def __init__(
        self,
        url: str,
        *,
        auth: Auth | None = None,
        ca_bundle: str | None = None,
        answer_timeout_s: float = 60.0,
        page_size: int = 200,
        max_connections: int = 4,
        commitment: bool = False,
    ) -> None:
        if "@" in url or not url.startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https:// and hold no credentials")
        self._url = url.rstrip("/")
        self._auth = auth
        self._ca_bundle = ca_bundle
        self._answer_timeout_s = answer_timeout_s
        self._queries = Queries(page_size)
        self._max_connections = max_connections
        self._asks_commitment = commitment
        self._commitments = CommitmentRequests(self._ask_about)
        self._lock = threading.Lock()
        self._idle: list[_Client] = [self._new_client()]
        self._closed = False

    # -- STOW-RS

    def deliver(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
        if len({instance.sop_instance_uid for instance in batch}) != len(batch):
            raise ValueError("a SOPInstanceUID is in the batch twice")
        return self._ask(lambda client: client.store(batch, stop))

    # -- QIDO-RS

    def present(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> dict[str, str]:
        series: list[str | None] = [_uid(uid) for uid in series_instance_uids] or [None]
        study = _uid(study_instance_uid)

        def ask(client: _Client) -> dict[str, str]:
            found: dict[str, str] = {}
            for series_instance_uid in series:
                found |= self._queries.present(client, study, series_instance_uid)
            return found

        return self._ask(ask)

    def present_of(self, study_instance_uid: str, instances: Mapping[str, str]) -> dict[str, str]:
        study, asked = _uid(study_instance_uid), {_uid(uid): _uid(series) for uid, series in instances.items()}
        return self._ask(lambda client: self._queries.present_of(client, study, asked))

    def shows(self, sop_instance_uid: str) -> bool:
        uid = _uid(sop_instance_uid)
        return self._ask(lambda client: self._queries.shows(client, uid))

    def patients(
        self, *, patient_id: str = "", accession_number: str = "", study_instance_uid: str = ""
    ) -> list[PatientRecord]:
        asked = {
            "PatientID": patient_id.strip(),
            "AccessionNumber": accession_number.strip(),
            "StudyInstanceUID": _uid(study_instance_uid) if study_instance_uid else "",
        }
        wanted = {keyword: value for keyword, value in asked.items() if value}
        if not wanted:
            raise ValueError("neither a PatientID nor an accession number nor a study to ask for")
        return self._ask(lambda client: self._queries.patients(client, wanted))

    # -- WADO-RS

    def compare(self, instance: Instance) -> Comparison:
        theirs = self._ask(lambda client: client.digests_of(instance))
        return compared(instance, theirs)

    # -- storage commitment

    def ask_commitment(self, transaction_uid: str, instances: Mapping[str, str]) -> float:
        return self._commitments.ask(transaction_uid, instances)

    def fetch_commitment(self, transaction_uid: str) -> float:
        return self._commitments.fetch(transaction_uid)

    def awaits(self, transaction_uid: str) -> bool:
        return self._commitments.transactions.is_awaited(transaction_uid)

    def commitment(self, transaction_uid: str) -> Commitment | None:
        return self._commitments.transactions.of(transaction_uid)

    def forget(self, transaction_uid: str) -> None:
        self._commitments.transactions.forget(transaction_uid)

    def _ask_about(self, method: str, transaction_uid: str, body: bytes | None) -> Reply:
        return self._ask(lambda client: client.ask_about_commitment(method, transaction_uid, body))

    # --

    def probe(self) -> str:
        # What no archive has; the queries are those of a delivery all the same.
        nothing = f"2.25.{uuid.uuid4().int}"
        asked: tuple[tuple[str, Callable[[], object]], ...] = (
            ("patients by PatientID", lambda: self.patients(patient_id=nothing)),
            ("by accession number", lambda: self.patients(accession_number=nothing[-16:])),
            ("by study", lambda: self.patients(study_instance_uid=nothing)),
            ("instances of a series", lambda: self.present(nothing, [nothing])),
            ("an instance anywhere", lambda: self.shows(nothing)),
        )
        refused = []
        for name, ask in asked:
            try:
                ask()
            except LookupRefused as error:
                refused.append(f"{name} ({error.code})")
        if refused:
            raise LookupRefused(f"refuses queries: {', '.join(refused)}")
        if not self._asks_commitment:
            return "it answers the queries of a delivery (QIDO-RS)"
        self._commitments.probe()
        return "it answers the queries of a delivery (QIDO-RS), and takes requests for storage commitment"

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()

    def _ask(self, act: Callable[[_Client], T]) -> T:
        """`act` with a client; once more with a new token, if the PACS refused the one that it got (RFC 6750 section 3.1).

        Of what is answered with 401 nothing is stored.
        """
        tokens = self._auth if isinstance(self._auth, ClientCredentials) else None
        token = tokens.current() if tokens is not None else ""
        try:
            with self._client() as client:
                return act(client)
        except TargetMisconfigured as error:
            if tokens is None or error.code != "http_401":
                raise
        tokens.refused(token)
        with self._client() as client:
            return act(client)

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

    def digests_of(self, instance: Instance) -> FileDigests | None:
        """WADO-RS RetrieveInstance, hashed as it comes (PS3.18 section 10.4); None: it doesn't give it."""
        uids = (instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)
        url = self._get_instances_url(_Transaction.RETRIEVE, *map(_uid, uids))
        headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
        within_s = max(self._answer_timeout_s, instance.size_bytes / MIB)
        with exchange(self._session, "GET", url, headers=headers, answer_within_s=within_s) as response:
            status = response.status_code
            if (400 <= status < 500 and status not in BUSY_STATUSES | {401, 407}) or status == 501:
                read_capped(response, MAX_BODY_BYTES)
                return None
            _look_at(status, response.headers.get("Retry-After", ""))
            # More than this isn't what we sent, whatever it is.
            pieces = pieces_of(response, 2 * instance.size_bytes + 64 * MIB)
            try:
                found = digests_of(only_part(response.headers.get("Content-Type", ""), pieces))
                for _ in pieces:
                    pass
            except NotOnePart:
                self.reusable = False
                return None
            return found

    def ask_about_commitment(self, method: str, transaction_uid: str, body: bytes | None) -> Reply:
        """A request about a transaction (PS3.18 sections 13.4 and 13.5). :raises TargetMisconfigured: 401, 407."""
        url = f"{self.base_url}/commitment-requests/{_uid(transaction_uid)}"
        headers = {"Accept": "application/dicom+json"}
        if body is not None:
            headers["Content-Type"] = "application/dicom+json"
        within_s = self._answer_timeout_s
        with exchange(self._session, method, url, headers=headers, data=body, answer_within_s=within_s) as response:
            told = response.headers
            content = read_capped(response, MAX_BODY_BYTES)
            if response.status_code in {401, 407}:
                raise TargetMisconfigured(f"http_{response.status_code}")
            return Reply(response.status_code, told.get("Content-Type", ""), content, told.get("Retry-After", ""))

    def studies(
        self, filters: Mapping[str, str], limit: int | None, offset: int | None, fields: Sequence[str]
    ) -> Sequence[Mapping[str, Any]]:
        """See `Asker`."""
        return self.search_for_studies(
            limit=limit, offset=offset, fields=list(fields) or None, search_filters=dict(filters) or None
        )

    def instances(
        self,
        path: tuple[str | None, str | None],
        filters: Mapping[str, str],
        limit: int | None,
        offset: int | None,
        fields: Sequence[str],
    ) -> Sequence[Mapping[str, Any]]:
        """See `Asker`."""
        return self.search_for_instances(
            *path, limit=limit, offset=offset, fields=list(fields) or None, search_filters=dict(filters) or None
        )

    def _http_get_application_json(
        self,
        url: str,
        params: dict[str, Any] | None = None,
        stream: bool = False,  # noqa: ARG002 - the base class's signature
        get_remaining: bool = False,  # noqa: ARG002 - the base class's signature
    ) -> list[dict[str, Any]]:
        """What every search of the base class ends in.

        :raises LookupRefused: 403, 404, 405, 406, 501, or XML: it can't be asked; `PlainerPlease`: any other 4xx.
        """
        headers = {"Accept": "application/dicom+json"}
        # `+` for a space is of HTML forms; `?` and `*` need no escape (RFC 3986 section 3.4): archives differ in decoding.
        url += build_query_string(params).replace("+", "%20").replace("%3F", "?").replace("%2A", "*")
        with exchange(self._session, "GET", url, headers=headers, answer_within_s=self._answer_timeout_s) as response:
            status = response.status_code
            body = read_capped(response, MAX_PAGE_BYTES)
            if status == 404:
                raise NotThere("http_404")
            if status in UNASKABLE_STATUSES:
                raise LookupRefused(f"http_{status}")
            if 400 <= status < 500 and status not in BUSY_STATUSES | {401, 407}:
                raise PlainerPlease(f"http_{status}")
            if "xml" in response.headers.get("Content-Type", "").lower():
                raise LookupRefused("not_dicom_json")
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


def _uid(text: str) -> str:
    """`text`, which goes into a URL. :raises ValueError: it isn't a UID."""
    if not UID.fullmatch(text):
        raise ValueError("not a UID")
    return text
