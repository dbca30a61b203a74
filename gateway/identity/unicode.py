"""Unicode normal forms (UAX #15) of what strangers wrote, in time that grows with its length and no faster.

Normalising sorts each run of combining marks, which costs the square of the run's length: marks beyond the thirtieth of
a run are left out first, as the stream-safe text format breaks runs there (UAX #15, section 13). No language writes so.
"""

from __future__ import annotations

import re
import unicodedata

#: Combining marks that may follow each other.
MAX_MARKS = 30
#: Characters that a name may have before it is composed, for each that it may have afterwards.
_DECOMPOSED = 4

# Every mark is beyond Latin-1 and its neighbours: most names are left alone by one look.
_MAY_HAVE_MARKS = re.compile(r"[^\x00-\u02ff]")


def composed(text: str) -> str:
    """`text` in form NFC, without the marks that are too many."""
    return unicodedata.normalize("NFC", _with_few_marks(text))


def too_long_for(text: str, chars: int) -> bool:
    """Whether no normal form of `text` is one of up to `chars` characters: then it isn't looked at."""
    return len(text) > chars * _DECOMPOSED


def without_marks(text: str) -> str:
    """`text` in form NFKD without its combining marks: letter by letter, for no order of marks is left to sort."""
    if text.isascii():
        return text
    plain = (part for letter in text for part in unicodedata.normalize("NFKD", letter))
    return "".join(part for part in plain if not unicodedata.combining(part))


def _with_few_marks(text: str) -> str:
    if not _MAY_HAVE_MARKS.search(text):
        return text
    kept: list[str] = []
    run = 0
    for letter in text:
        run = run + 1 if unicodedata.combining(letter) else 0
        if run <= MAX_MARKS:
            kept.append(letter)
    return "".join(kept)
