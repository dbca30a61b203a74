"""The Native DICOM Model (PS3.19 annex A.1) as DICOM JSON, for archives that answer in XML whatever was asked. Pure."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

#: Neither belongs into an answer; both are ways to make a small one large.
_FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")


def from_xml(body: bytes) -> dict[str, Any] | None:
    """The one data set of a body; None if it isn't one. Values are texts, numbers too."""
    if any(word in body.upper() for word in _FORBIDDEN) or b"\0" in body:
        return None
    try:
        root = ET.fromstring(body)  # noqa: S314 # no entities: see above
    except ET.ParseError:
        return None
    return _data_set(root) if _name(root) == "NativeDicomModel" else None


def _data_set(parent: ET.Element) -> dict[str, Any]:
    return {
        element.get("tag", "").upper(): {"vr": element.get("vr", ""), "Value": _values(element)}
        for element in parent
        if _name(element) == "DicomAttribute"
    }


def _values(element: ET.Element) -> list[Any]:
    items: list[Any] = [_data_set(child) for child in element if _name(child) == "Item"]
    return items or [(child.text or "").strip() for child in element if _name(child) == "Value"]


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
