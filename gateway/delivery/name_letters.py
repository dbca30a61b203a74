"""Letters of names: what transliterations fold, and what smaller character sets lose. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from gateway.delivery.name_forms import CONTRACTIONS, HAN_VARIANTS, LETTERS, ROMANISATIONS

#: Letters that stand for one that couldn't be written.
LOST = "?\ufffd_*\xbf"


@lru_cache(maxsize=8192)
def fold(word: str) -> str:
    """A word in plain small letters; what transliterations write in two ways becomes one."""
    text = unicodedata.normalize("NFKC", word).casefold()
    text = unicodedata.normalize("NFC", text).replace("ου", "ou").replace("ού", "ou")
    text = "".join(LETTERS.get(letter, letter) for letter in text)
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    text = "".join(LETTERS.get(letter, letter) for letter in bare)
    text = "".join(_HAN.get(letter, _hiragana(letter)) for letter in text)
    if len(text) > 3:  # Doe stays Doe
        for double, single in CONTRACTIONS:
            text = text.replace(double, single)
    if text.isascii():
        text = re.sub(r"([a-z])\1+", r"\1", text)
    return "".join(letter for letter in text if letter.isalnum() or letter in LOST)


def _hiragana(letter: str) -> str:
    """Katakana as hiragana."""
    return chr(ord(letter) - 0x60) if "\u30a1" <= letter <= "\u30f6" else letter


_HAN = {letter: group[0] for group in HAN_VARIANTS for letter in group[1:]}


@lru_cache(maxsize=8192)
def romanised(word: str) -> str:
    """A folded word without what romanisations write in several ways."""
    short = len(word) < 5  # Jon is another than Jun
    for written, plain in ROMANISATIONS:
        if not (short and written == "o"):
            word = word.replace(written, plain)
    word = re.sub(r"([a-z])\1+", r"\1", word)
    return word.removesuffix("h") if len(word) > 2 else word


def survives(full: str, poor: str) -> bool:
    """Whether `poor` is `full` in a smaller character set: each letter beyond it as it folds, as `?`, or left out."""
    # Lower, not folded: ß is one letter where it gets lost.
    written = [letter for letter in unicodedata.normalize("NFC", poor).lower() if _counts(letter)]
    has = frozenset(written)
    cells = [_cell(letter, has) for letter in unicodedata.normalize("NFC", full).lower() if _counts(letter)]
    lost = sum(len(cell) > 1 for cell in cells)
    if not cells or (not lost and not any(letter in LOST for letter in written)):
        return False
    kept = sum(letter not in LOST for letter in written)
    if kept < 2 or kept * 2 < len(cells):
        return False
    return _matches(cells, "".join(letter if letter in LOST else fold(letter) or letter for letter in written))


def _counts(letter: str) -> bool:
    return letter.isalnum() or letter in LOST


def _cell(letter: str, has: frozenset[str]) -> tuple[str, ...]:
    """What may stand for a letter: itself, folded; for one that the other side nowhere has nothing, too."""
    if letter in LOST:
        return ("?",)
    folded = fold(letter)
    return (folded,) if letter.isascii() or letter in has else (folded, folded[:1], "")


def _matches(cells: list[tuple[str, ...]], text: str) -> bool:
    """Whether the letters can be read as the cells; a lost letter stands for any cell that could get lost."""
    reached = {0}
    for cell in cells:
        beyond: set[int] = set()
        lossy = len(cell) > 1
        for at in reached:
            if lossy:
                beyond.add(at)
            if at < len(text) and (text[at] in LOST or cell == ("?",)):
                beyond.add(at + 1)
                if lossy and at + 1 < len(text) and text[at + 1] in LOST:
                    beyond.add(at + 2)  # two bytes of UTF-8, each of them a question mark
            for form in cell:
                if form and text.startswith(form, at):
                    beyond.add(at + len(form))
        reached = beyond
    return len(text) in reached
