"""One file over tus 1.0, with tuspy's uploader and this package's HTTP.

Promises: it ends with the gateway holding the whole file, or with a fault; what the gateway has is never sent again
knowingly: its `Upload-Offset` decides. tuspy builds the headers and keeps the offset; requests go through `GatewayHttp`, for
its kept connections, its bearer and its faults. Knows nothing of uploads as a whole.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, cast

from tusclient.client import TusClient
from tusclient.uploader.uploader import Uploader

from gateway.client.access import UploadAccess
from gateway.client.errors import AnotherWay, FileChanged, Refused, TryAgain, Unreadable
from gateway.client.http import NO_PATCH_STATUSES, Answer, GatewayHttp, SizedBody
from gateway.client.parts import Span
from gateway.client.retry import RetryPolicy
from gateway.client.scan import LocalFile
from gateway.client.uploads import with_renewal
from gateway.clock import Clock

_OFFSET_TYPE = "application/offset+octet-stream"
_SMALLEST_CHUNK_BYTES = 256 * 1024
#: For what stands before a gateway and takes little at once.
_LEAST_CHUNK_BYTES = 16 * 1024
_FIRST_CHUNK_BYTES = 8 * 1024 * 1024
_LARGEST_CHUNK_BYTES = 64 * 1024 * 1024
#: What one connection carries in so long goes into one request: a cut costs little, and so do the requests.
_REQUEST_S = 10.0
_MOST_GROWTH = 4


class Pace:
    """How much goes into one request: as much as one connection carries in about ten seconds. For all threads.

    :param fixed_bytes: what the user wants; None: find out.
    """

    def __init__(self, fixed_bytes: int | None = None) -> None:
        self._fixed = fixed_bytes is not None
        self._lock = threading.Lock()
        self._most_bytes = _LARGEST_CHUNK_BYTES
        self.chunk_bytes = fixed_bytes or _FIRST_CHUNK_BYTES
        self.posts = False  #: what stands before the gateway knows no PATCH: it goes as a POST that says so

    def took(self, sent_bytes: int, seconds: float) -> None:
        """A request with this much took this long."""
        with self._lock:
            if self._fixed or (sent_bytes < self.chunk_bytes and seconds < _REQUEST_S):
                return
            fitting = int(sent_bytes / max(seconds, 0.001) * _REQUEST_S)
            most = min(self._most_bytes, self.chunk_bytes * _MOST_GROWTH)
            self.chunk_bytes = max(min(_SMALLEST_CHUNK_BYTES, self.chunk_bytes), min(most, fitting))

    def broke(self) -> None:
        """A request was cut off."""
        with self._lock:
            if not self._fixed:
                self.chunk_bytes = max(min(_SMALLEST_CHUNK_BYTES, self.chunk_bytes), self.chunk_bytes // 2)

    def halve(self, refused_bytes: int) -> bool:
        """What stands before the gateway takes less than this at once, whatever the user wants; from now on.

        Returns whether less can be tried.
        """
        with self._lock:
            if refused_bytes <= _LEAST_CHUNK_BYTES:
                return False
            self._most_bytes = max(_LEAST_CHUNK_BYTES, min(self._most_bytes, refused_bytes // 2))
            self.chunk_bytes = min(self.chunk_bytes, self._most_bytes)
            return True


class Slice:
    """A stretch of a file as a request body, read as it leaves.

    :param on_read: is told the position after each read, and may raise to end the request.
    """

    def __init__(self, file: BinaryIO, offset: int, size: int, on_read: Callable[[int], None]) -> None:
        self._file = file
        self._at = offset
        self._end = offset + size
        self._size = size
        self._on_read = on_read

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._at
        wanted = left if size < 0 else min(size, left)
        data = self._some(wanted, self._at)
        while len(data) < wanted:  # before a place that can't be read there is less, and then an error
            if not (more := self._some(wanted - len(data), self._at + len(data))):
                raise changed()
            data += more
        self._at += len(data)
        self._on_read(self._at)
        return data

    def _some(self, size: int, at: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), size, at)
        except OSError as error:  # else it would be taken for the line's
            raise unreadable(error) from None


class TusFile(Uploader):
    """One file on its way, or a part of one.

    :param file_id: its name towards the gateway; creation is idempotent by it.
    :param on_offset: is told how far the file has come, and goes back when bytes were lost.
    :param span: the part that it is (tus Concatenation); offsets are the part's own then. None: it is the whole file.
    """

    def __init__(
        self,
        found: LocalFile,
        stream: BinaryIO,
        *,
        http: GatewayHttp,
        access: UploadAccess,
        retry: RetryPolicy,
        clock: Clock,
        pace: Pace,
        tus_url: str,
        file_id: str,
        on_offset: Callable[[int], None],
        span: Span | None = None,
    ) -> None:
        metadata = {"file_id": file_id} | ({"filetype": "application/dicom"} if span is None else {})
        super().__init__(file_stream=stream, client=TusClient(tus_url), metadata=metadata)
        self._found = found
        self._span = span or Span(0, found.size_bytes)
        self._is_part = span is not None
        self.stop_at = self._span.size_bytes
        self.location = ""  #: where the gateway has it, in the gateway's own words
        self._tus_url = tus_url
        self._file_url = ""
        self._http = http
        self._access = access
        self._retry = retry
        self._clock = clock
        self._pace = pace
        self._on_offset = on_offset
        self._unsure = False
        self._created_in_vain = False

    def upload(self, stop_at: int | None = None) -> None:
        """Send what is missing.

        :raises SendFault: it can't be sent.
        """
        del stop_at  # tuspy's parameter: a file is sent whole
        self._require_unchanged()
        tries = 0
        while not self._file_url or self._unsure or self.offset < self._span.size_bytes:
            self._retry.check()
            before, asking = self.offset, self._unsure
            try:
                self._step()
            except AnotherWay:  # each is found out once, for all files
                self._unsure = self._file_url != ""
                self._created_in_vain = True
            except TryAgain as trouble:
                self._unsure = self._file_url != ""
                self._created_in_vain = True
                self._pace.broke()
                if asking or trouble.after_s is not None or tries:  # else ask at once where it stands, once
                    self._retry.pause(trouble, tries)
                tries += 1
            else:
                if self.offset > before:
                    self._retry.moved()
                    tries = 0
                self._on_offset(self.offset)
        self._require_unchanged()

    def join(self, parts: Sequence[str]) -> None:
        """Make the file of its parts, which are all there. :param parts: where the gateway has them, in order.

        :raises SendFault: the gateway doesn't.
        """
        self._require_unchanged()
        metadata = ",".join(self.encode_metadata())  # type: ignore[no-untyped-call]  # tuspy's
        told = {"Upload-Metadata": metadata, "Upload-Concat": f"final;{' '.join(parts)}"}
        self._retry.persist(lambda: self._ask("POST", self._tus_url, self._headers() | told, 0))

    def _step(self) -> None:
        if not self._file_url:
            self._create()
        elif self._unsure:
            self.offset = self.get_offset()
            self._unsure = False
        else:
            self.upload_chunk()

    def _create(self) -> None:
        """POST; a file that fits into one request goes with it (creation-with-upload), at the first attempt."""
        size = self._span.size_bytes
        whole = 0 < size <= self._pace.chunk_bytes and not self._created_in_vain
        headers = dict(self.get_url_creation_headers())  # type: ignore[no-untyped-call]  # tuspy's
        if self._is_part:
            headers |= {"upload-length": str(size), "Upload-Concat": "partial"}
        if whole:
            headers["Content-Type"] = _OFFSET_TYPE
        answer = self._ask("POST", self._tus_url, headers, size if whole else 0)
        location = answer.headers.get("Location", "")
        if not location:
            raise Refused("what answers there is no tus server: check --to", status=answer.status)
        self.location = location
        self._file_url = self._http.here(location, "/files/" + location.rstrip("/").rpartition("/")[2])
        if "Upload-Offset" in answer.headers:
            self.offset = self._offset_of(answer)
        else:  # a server that doesn't say has taken nothing, or has to be asked
            self._unsure = True

    def upload_chunk(self) -> None:
        """PATCH from where it stands.

        :raises TryAgain: it stands elsewhere, the line broke, or what is between wants it otherwise.
        """
        self.chunk_size = self._pace.chunk_bytes
        size = int(self.get_request_length())  # type: ignore[no-untyped-call]  # tuspy's
        headers = {**self._headers(), "Upload-Offset": str(self.offset), "Content-Type": _OFFSET_TYPE}
        method, began = "PATCH", self._clock.monotonic()
        if self._pace.posts:
            method, headers["X-HTTP-Method-Override"] = "POST", "PATCH"
        try:
            answer = self._ask(method, self._file_url, headers, size)
        except Refused as refusal:
            if method == "PATCH" and not refusal.code and refusal.status in NO_PATCH_STATUSES:
                self._pace.posts = True
                raise AnotherWay("what stands before the gateway knows no PATCH") from None
            if refusal.status == 409 and refusal.code in {"", "offset_mismatch"}:
                raise TryAgain("the gateway is at another offset") from None
            raise
        self.offset = self._offset_of(answer)
        self._pace.took(size, self._clock.monotonic() - began)

    def get_offset(self) -> int:
        """HEAD."""
        return self._offset_of(self._ask("HEAD", self._file_url, self._headers(), 0))

    def _headers(self) -> dict[str, str]:
        return dict(self.get_headers())  # type: ignore[no-untyped-call]  # tuspy's

    def _ask(self, method: str, url: str, headers: dict[str, Any], size: int) -> Answer:
        def once(bearer: str) -> Answer:
            body: SizedBody | None = None
            if size:
                body = Slice(cast("BinaryIO", self.file_stream), self._span.start + self.offset, size, self._leaving)
            return self._http.request(method, url, bearer=bearer, headers=headers, body=body)

        try:
            return with_renewal(self._access, once)
        except Refused as refusal:
            if refusal.status == 413 and not refusal.code and self._pace.halve(size):
                raise AnotherWay("what stands before the gateway takes less at once") from None
            raise

    def _leaving(self, position: int) -> None:
        self._retry.check()
        self._on_offset(position - self._span.start)

    def _offset_of(self, answer: Answer) -> int:
        value = answer.headers.get("Upload-Offset", "")
        if not (value.isascii() and value.isdigit() and len(value) < 19 and int(value) <= self._span.size_bytes):
            raise Refused("what answers there is no tus server: check --to", status=answer.status)
        return int(value)

    def _require_unchanged(self) -> None:
        try:
            facts = os.fstat(cast("BinaryIO", self.file_stream).fileno())
        except OSError as error:
            raise unreadable(error) from None
        if (facts.st_size, facts.st_mtime_ns) != (self._found.size_bytes, self._found.mtime_ns):
            raise changed()


def open_file(found: LocalFile) -> BinaryIO:
    """The file, unbuffered.

    :raises FileChanged: it isn't there any more.
    :raises Unreadable: it can't be read.
    """
    try:
        return found.path.open("rb", buffering=0)
    except OSError as error:
        raise unreadable(error) from None


def unreadable(error: OSError) -> FileChanged | Unreadable:
    """What to say of a file that the system doesn't give."""
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}:
        return changed()
    return Unreadable("a file can't be read: copy it from the medium again")


def changed() -> FileChanged:
    """What to say of a file that isn't what it was."""
    return FileChanged("a file changed while it was being sent: run it again when the files are at rest")
