"""A link as a picture, by the qrcode library."""

from __future__ import annotations

import io

import qrcode
from qrcode.image.pil import PilImage
from qrcode.image.svg import SvgPathImage


def _code(link: str) -> qrcode.QRCode[PilImage]:
    code: qrcode.QRCode[PilImage] = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_M, border=4)
    code.add_data(link)
    code.make(fit=True)
    return code


def svg(link: str) -> bytes:
    """An SVG document."""
    out = io.BytesIO()
    _code(link).make_image(image_factory=SvgPathImage).save(out)
    return out.getvalue()


def png(link: str) -> bytes:
    """A PNG file."""
    out = io.BytesIO()
    _code(link).make_image(image_factory=PilImage).save(out, "PNG")
    return out.getvalue()


def text(link: str) -> str:
    """For a terminal, dark on light, two modules a character."""
    out = io.StringIO()
    _code(link).print_ascii(out=out, invert=True)
    return out.getvalue()
