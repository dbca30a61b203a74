"""UIDs of PS3.6 that the scanner must tell apart. Values as bytes, as they are in a file."""

from __future__ import annotations

MEDIA_STORAGE_DIRECTORY = b"1.2.840.10008.1.3.10"

IMPLICIT_LITTLE_ENDIAN = b"1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = b"1.2.840.10008.1.2.1"
EXPLICIT_BIG_ENDIAN = b"1.2.840.10008.1.2.2"
#: GE's own: implicit little endian with the pixel data's bytes swapped (GE's conformance statements).
GE_PRIVATE_IMPLICIT = b"1.2.840.113619.5.2"
DEFLATED_EXPLICIT = b"1.2.840.10008.1.2.1.99"

#: The whole data set is deflated: the syntax itself, and JPIP Referenced Deflate, HTJ2K too.
DEFLATED = frozenset({DEFLATED_EXPLICIT, b"1.2.840.10008.1.2.4.95", b"1.2.840.10008.1.2.4.205"})
#: Pixel data stands as it is, its length follows from Rows, Columns and the like.
NATIVE = frozenset({IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, DEFLATED_EXPLICIT})

#: The pixel data is somewhere else: JPIP and its kin.
PIXELS_ELSEWHERE = frozenset(b"1.2.840.10008.1.2.4." + last for last in (b"94", b"95", b"204", b"205"))
#: One stream may hold all frames in one fragment (PS3.5 annexes A.4.5 to A.4.9): MPEG-2, MPEG-4, HEVC.
VIDEO = frozenset(
    b"1.2.840.10008.1.2.4." + number + part
    for number in (b"100", b"101", b"102", b"103", b"104", b"105", b"106", b"107", b"108")
    for part in (b"", b".1")
)
#: SOP classes with Rows and Columns whose data isn't PixelData.
WITHOUT_PIXEL_DATA = frozenset({b"1.2.840.10008.5.1.4.1.1.4.2"})  # MR Spectroscopy

_OTHER_SYNTAXES = frozenset({
    b"1.2.840.10008.1.2.1.98",  # encapsulated uncompressed
    b"1.2.840.10008.1.2.5",  # RLE
    b"1.2.840.10008.1.2.8.1",  # deflated image frame
})  # fmt: skip
_ENCAPSULATED_PREFIX = b"1.2.840.10008.1.2.4."  # JPEG, JPEG-LS, JPEG 2000, MPEG, HEVC, HTJ2K, JPEG XL

#: Roots of the storage SOP classes (PS3.4 table B.5-1 and GG.3-1). New ones get the same roots.
_STORAGE_PREFIXES = tuple(
    b"1.2.840.10008.5.1.4." + root for root in (b"1.1.", b"34.", b"38.", b"39.", b"43.", b"44.", b"45.")
)


def is_known_transfer_syntax(uid: bytes) -> bool:
    """Whether the standard has it, as far as files go."""
    return uid in NATIVE | DEFLATED | _OTHER_SYNTAXES or uid.startswith(_ENCAPSULATED_PREFIX)


def is_known_sop_class(uid: bytes) -> bool:
    """Whether it is a storage SOP class of the standard."""
    return uid.startswith(_STORAGE_PREFIXES)
