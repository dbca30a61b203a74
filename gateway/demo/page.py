"""The archive's one page: what has arrived. Pure apart from the response."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from aiohttp import web

from gateway.demo.catalogue import HeldStudy
from gateway.demo.dicom_json import Attributes
from gateway.demo.plain_html import document

SHOWN_STUDIES = 200


def page(latest: Sequence[HeldStudy], totals: tuple[int, int]) -> web.Response:
    """The studies, latest arrival first.

    :param totals: studies and instances that there are.
    """
    studies, instances = totals
    rows = "".join(map(_row, latest))
    if not studies:
        said = "<p>Nothing has arrived yet. What the gateway delivers appears here; reload the page to see it.</p>"
    else:
        more = f" The latest {SHOWN_STUDIES} are shown." if studies > len(latest) else ""
        said = f"<p>{_count(studies, 'study', 'studies')}, {_count(instances, 'instance', 'instances')}.{more}</p>"
        said += (
            '<div class="wide"><table><thead><tr><th>Patient</th><th>Born</th><th>Study</th><th>Date</th>'
            f"<th>Modality</th><th>Instances</th><th>Arrived (UTC)</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    return document("Demo archive", f"<h1>Demo archive</h1>{said}")


def _row(study: HeldStudy) -> str:
    def shown(tag: str) -> str:
        return escape(_first(study.attributes, tag))

    arrived = datetime.fromtimestamp(study.arrived_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"<tr><td>{shown('00100010').replace('^', ' ').strip()}<br><small>{shown('00100020')}</small></td>"
        f"<td>{_date(shown('00100030'))}</td>"
        f"<td>{shown('00081030')}<br><code>{escape(study.uid)}</code></td>"
        f"<td>{_date(shown('00080020'))}</td><td>{escape(', '.join(study.modalities))}</td>"
        f'<td class="n">{study.instances}</td><td>{arrived}</td></tr>'
    )


def _first(attributes: Attributes, tag: str) -> str:
    value = next(iter(attributes.get(tag, {}).get("Value", ())), "")
    return str(value.get("Alphabetic", "") if isinstance(value, dict) else value or "")


def _date(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isdigit() else value


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
