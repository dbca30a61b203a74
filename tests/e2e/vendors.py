"""Archives of several makes as scripted PACS, each by what its maker says in public of how it answers.

`VENDORS` has them by name; each is a `Parrot` with habits of its own. What they keep is what they were sent, so that a
test can count what arrived; how they show it is theirs.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.sax.saxutils import escape

import pydicom

from tests.e2e.parrot import DICOM_JSON, Exchange, Held, Parrot, told

Query = dict[str, str]
Answer = tuple[int, bytes, str]

SHOWN_AT_ONCE = 0.0  #: `Held.shown_from` of what nobody has to wait for


@dataclass
class Vendor(Parrot):
    """A parrot with habits.

    :param most: largest `limit` of a query; more is refused with 400.
    :param overlooks: so many queries that would find an instance don't; counted, for a time would make tests wait.
    :param duplicate: the reason with which an instance is refused that is there; None: it is taken as if new.
    """

    name: str = ""
    source: str = ""
    most: int = 10_000
    duplicate: int | None = None
    refused_parameters: frozenset[str] = frozenset()
    none_is_404: bool = False
    busy: int = 0xA700
    refusal: int = 0xC000
    rewrites: Callable[[bytes], bytes] = field(default=lambda content: content)  #: what it gives back for what it got
    shows: Callable[[str], str] = field(default=lambda text: text)  #: its character set
    shown_id: Callable[[str], str] = field(default=lambda text: text)
    as_xml: bool = False
    coerces: bool = False
    overlooks: int = 0
    looked_for: Counter[str] = field(default_factory=Counter)  #: by SOPInstanceUID, since it was stored

    def query(self, words: list[str], query: Query) -> Answer:
        """A QIDO-RS answer."""
        if self.refused_parameters & query.keys() or int(query.get("limit", 1)) > self.most:
            return 400, b"", "text/plain"
        named = dict(zip(words[::2], words[1::2], strict=False))
        found = [one for one in self.shown() if self._matches(one, named, query) and self._indexed(one)]
        if words[-1] == "studies":
            found = list({one.study: one for one in found}.values())
        if not found and self.none_is_404 and (named or query.keys() - {"limit", "offset", "includefield"}):
            return 404, b"", "text/plain"
        start, limit = int(query.get("offset", 0)), min(int(query.get("limit", self.most)), self.most)
        records = [self.record(one) for one in found[start : start + limit]]
        if self.as_xml:
            return 200, b"<NativeDicomModel/>", "application/dicom+xml"
        return 200, json.dumps(records).encode(), DICOM_JSON

    def _indexed(self, one: Held) -> bool:
        """Asked for often enough; always, what came by another route."""
        with self.lock:
            self.looked_for[one.uid] += 1
            return one.shown_from == SHOWN_AT_ONCE or self.looked_for[one.uid] > self.overlooks

    def _matches(self, one: Held, named: Query, query: Query) -> bool:
        record = {tag: element["Value"][0] for tag, element in self.record(one).items() if element["vr"] != "PN"}
        return (
            named.get("studies", one.study) == one.study
            and named.get("series", one.series) == one.series
            and query.get("SOPInstanceUID", one.uid) == one.uid
            and query.get("StudyInstanceUID", one.study) == one.study
            and query.get("PatientID", record.get("00100020", "")) == record.get("00100020", "")
            and query.get("AccessionNumber", record.get("00080050", "")) == record.get("00080050", "")
        )

    def writes(self, content: bytes) -> bytes:
        """See `rewrites`."""
        return self.rewrites(content)

    def record(self, one: Held) -> dict[str, Any]:
        """As it shows an instance."""
        dataset = pydicom.dcmread(io.BytesIO(one.content), stop_before_pixels=True)
        shown = one.record()
        name = self.shows(str(dataset.get("PatientName", "")))
        more = {
            "00100010": ("PN", {"Alphabetic": name}),
            "00100020": ("LO", self.shown_id(self.shows(one.patient_id))),
            "00100030": ("DA", str(dataset.get("PatientBirthDate", ""))),
            "00080050": ("SH", str(dataset.get("AccessionNumber", ""))),
        }
        return shown | {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in more.items() if value}

    def stored(self, exchange: Exchange) -> None:
        """The usual answer to a request to store."""
        parts = exchange.parts()
        there = [one for one in parts if one.uid in self.held and self.duplicate is not None]
        new = [one for one in parts if one not in there]
        exchange.store(new)
        self.answers(exchange, new, [(one, self.duplicate or 0) for one in there])

    def answers(self, exchange: Exchange, stored: Sequence[Held], failed: Sequence[tuple[Held, int]] = ()) -> None:
        """In its own way."""
        answer = json.loads(told(stored, failed))
        if self.coerces:
            for item in answer["00081199"]["Value"]:
                item["00081196"] = {"vr": "US", "Value": [0xB000]}
        status = 200 if not failed else 202 if stored else 409
        if self.as_xml:
            exchange.answer(status, _xml(answer), "application/dicom+xml")
        else:
            exchange.answer(status, json.dumps(answer).encode())


def _xml(data_set: dict[str, Any]) -> bytes:
    return f'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">{_attributes(data_set)}</NativeDicomModel>'.encode()


def _attributes(data_set: dict[str, Any]) -> str:
    return "".join(
        f'<DicomAttribute tag="{tag}" vr="{element["vr"]}">'
        + "".join(
            f'<Item number="{number}">{_attributes(value)}</Item>'
            if isinstance(value, dict)
            else f'<Value number="{number}">{escape(str(value))}</Value>'
            for number, value in enumerate(element["Value"], 1)
        )
        + "</DicomAttribute>"
        for tag, element in data_set.items()
    )


# -- what they do to a file


def without_preamble(content: bytes) -> bytes:
    """The preamble becomes zeros."""
    return bytes(128) + content[128:]


def other_group_2(content: bytes) -> bytes:
    """Its own implementation in the file meta, the data set as it came."""
    dataset = pydicom.dcmread(io.BytesIO(content), defer_size=None)
    rest = content[_behind_meta(content) :]
    meta = dataset.file_meta
    meta.ImplementationClassUID = pydicom.uid.UID("1.2.3.4.5")
    meta.ImplementationVersionName = "ARCHIVE_9"
    out = pydicom.filebase.DicomBytesIO()
    out.write(bytes(128) + b"DICM")
    pydicom.filewriter.write_file_meta_info(out, meta, enforce_standard=False)
    return out.getvalue() + rest


def _behind_meta(content: bytes) -> int:
    return 144 + int.from_bytes(content[140:144], "little")


def in_big_endian(content: bytes) -> bytes:
    """The same data set in another uncompressed transfer syntax."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    out = io.BytesIO()
    if "PixelData" in dataset and dataset.BitsAllocated == 16:
        pixels = bytearray(dataset.PixelData)
        pixels[0::2], pixels[1::2] = pixels[1::2], pixels[0::2]
        dataset.PixelData = bytes(pixels)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    pydicom.dcmwrite(out, dataset, little_endian=False, implicit_vr=False)
    return out.getvalue()


def latin_1(text: str) -> str:
    """What a database in ISO 8859-1 keeps of it."""
    return text.encode("latin-1", "replace").decode("latin-1")


VENDORS: dict[str, Callable[[], Vendor]] = {
    "Azure": lambda: Vendor(
        name="Azure", source="DICOM service, conformance statement: limit 1 to 200, 45070, 45071, preamble of zeros",
        most=200, duplicate=45070, busy=45071, refusal=43264, rewrites=without_preamble,
    ),
    "Google": lambda: Vendor(
        name="Google", source="Cloud Healthcare API, conformance statement: 409 for what is there, 0110 for every failure",
        duplicate=0x0110, refusal=0x0110,
    ),
    "dcm4chee": lambda: Vendor(
        name="dcm4chee", source="dcm4chee-arc-light, StoreService: A700 busy, A778 another PatientID in the study",
        refusal=0xA778, rewrites=other_group_2,
    ),
    "Latin-1": lambda: Vendor(
        name="Latin-1", source="Orthanc with DefaultEncoding Latin1 (Orthanc Book, character encodings)", shows=latin_1,
    ),
    "rewrites group 2": lambda: Vendor(
        name="rewrites group 2", source="PS3.10 section 7.1: file meta is the writer's", rewrites=other_group_2,
        duplicate=0x0111, none_is_404=True,
    ),
    "another syntax": lambda: Vendor(
        name="another syntax", source="PS3.18 section 8.7.3.5: the origin server may convert", rewrites=in_big_endian,
        duplicate=0x0111,
    ),
    "coerces": lambda: Vendor(
        name="coerces", source="IHE IRWF, PS3.4 table B.2-1: B000 and a PatientID of its own", coerces=True,
        shown_id=lambda text: f"LOCAL-{text}",
    ),
    "files elsewhere": lambda: Vendor(
        name="files elsewhere", source="as above, without a word of it", shown_id=lambda text: f"LOCAL-{text}",
    ),
    "late": lambda: Vendor(name="late", source="archives that index by a job (DCMTK dcmqrscp, dcm4chee on load)", overlooks=3),
    "plain": lambda: Vendor(
        name="plain", source="archives that refuse limit, offset and includefield",
        refused_parameters=frozenset({"limit", "offset", "includefield"}),
    ),
    "XML": lambda: Vendor(name="XML", source="PS3.18 section 8.7.3.2: application/dicom+xml", as_xml=True),
}  # fmt: skip


def as_if_new(vendor: Vendor) -> None:
    """Forget everything that was kept and asked."""
    with vendor.lock:
        vendor.acts.clear()
        vendor.held.clear()
        vendor.looked_for.clear()
    vendor.requests.clear()
    vendor.taken.clear()


def by_another_route(vendor: Vendor, contents: Sequence[bytes]) -> None:
    """Somebody else stored them; the archive shows them at once and gives them back in its own writing."""
    vendor.keep([replace(vendor.parsed(content), shown_from=SHOWN_AT_ONCE) for content in contents])
