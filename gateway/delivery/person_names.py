"""Are two person names one person's? Pure; docs/identity.md has the rules.

A name says least about who somebody is where its family part differs (marriage), and most where its given part does:
twins share everything else. So family names are compared leniently, given names are not.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from gateway.delivery.name_forms import GENERATIONS, GIVEN_FORMS, PARTICLES, PLACEHOLDERS, TITLES
from gateway.delivery.name_letters import LOST, fold, romanised, survives

#: A component group of PN has 64 characters (PS3.5 table 6.2-1), and three groups; nothing longer is looked at.
MAX_GROUP = 64
MAX_NAME = 3 * MAX_GROUP + 2
#: Marks on one letter that are looked at: normalising longer runs takes time that grows with their square.
MAX_MARKS = 4
#: Widths to which systems cut names: fields of HL7 2.1 and of older databases.
CUT_WIDTHS = frozenset({16, 20, 24, 25, 30, 32, 35, 40, 48, 50, 60, 64})
MIN_CUT = 16

_SEPARATORS = re.compile(r"[\s^.,;/()]+")
_IN_WORDS = re.compile(r"['’ʼ`´ʻ\"\-\u2010-\u2015]+")
_MARKS = re.compile(rf"([\u0300-\u036f]{{{MAX_MARKS}}})[\u0300-\u036f]+")


class Likeness(IntEnum):
    """How alike two names are; the more, the higher."""

    DIFFERENT = 0  #: another given name
    FAMILY_DIFFERS = 1  #: the same given names, another family name
    SIMILAR = 2  #: another spelling, or one group of characters agrees and another doesn't
    COMPATIBLE = 3  #: one is less of the other: initials, cut off, letters that its character set hasn't
    SAME = 4


@lru_cache(maxsize=4096)
def compare_names(one: str, other: str) -> Likeness | None:
    """How alike two values of VR PN are. None: that can't be told, one is absent, a placeholder, or in other letters."""
    ours, theirs = (_groups(name) for name in (one, other))
    found = [
        likeness
        for script, group in ours.items()
        if script in theirs and (likeness := _compare_groups(group, theirs[script], script)) is not None
    ]
    if not found:
        return None
    if max(found) == min(found):
        return found[0]
    # Two characters with one reading, or two readings of one: written otherwise, or somebody else's.
    return min(Likeness.SIMILAR, max(found))


def _groups(name: str) -> dict[str, str]:
    """The groups of a name by the letters they are written in (PS3.5 section 6.2.1)."""
    found: dict[str, str] = {}
    for group in _mended(_bounded(name)).split("="):
        text = group.strip("^ ")
        if not text or _is_placeholder(text):
            continue
        found.setdefault(_script(text), text)
    return found


def _bounded(name: str) -> str:
    return _MARKS.sub(r"\1", name[:MAX_NAME])


def _mended(name: str) -> str:
    """UTF-8 that was read as Latin-1 as what it was."""
    try:
        return name.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return name


def _is_placeholder(text: str) -> bool:
    words = [word for word in _plain_words(text.replace("^", " ")) if word not in TITLES]
    return not "".join(words).strip(LOST) or "".join(words) in PLACEHOLDERS or PLACEHOLDERS.issuperset(words)


def _script(text: str) -> str:
    """What most of a group's letters are: `latin` (with Cyrillic and Greek, which fold into it), `han` or another."""
    counts = Counter(_script_of(letter) for letter in text if letter.isalpha())
    return counts.most_common(1)[0][0] if counts else "latin"


def _script_of(letter: str) -> str:
    name = unicodedata.name(letter, "").split(" ", 1)[0].split("-", 1)[0]
    if name in {"LATIN", "CYRILLIC", "GREEK", "FULLWIDTH", "MODIFIER"}:
        return "latin"
    if name in {"HIRAGANA", "KATAKANA", "HALFWIDTH"}:
        return "kana"
    return {"CJK": "han"}.get(name, name.lower())


# -- words


@dataclass(frozen=True, slots=True)
class _Name:
    """A group in words that can be compared."""

    raw: str
    family: tuple[str, ...]
    given: tuple[str, ...]
    structured: bool  #: it says which part is the family name
    generation: str
    core: tuple[str, ...]  #: all words but the particles of the family name

    @property
    def words(self) -> tuple[str, ...]:
        return self.family + self.given


@lru_cache(maxsize=4096)
def _parsed(group: str) -> _Name:
    components = [component.strip() for component in group.split("^")]
    if len(components) == 1 and "," in group:
        components = [component.strip() for component in group.split(",", 1)]
    structured = len(components) > 1
    family = _plain_words(components[0])
    affixes = _SEPARATORS.split(" ".join(components[3:]).casefold())
    names = _SEPARATORS.split(" ".join(components[1:3]))
    generations = [number for word in affixes + names[1:] if (number := _generation(word))]
    given = [
        word for place, name in enumerate(names) if place == 0 or not _generation(name) for word in _plain_words(name)
    ]
    family, given = _without(family, TITLES), _without(given, TITLES)
    bare = _without(family, PARTICLES) + given[:1] + [word for word in given[1:] if word not in PARTICLES]
    return _Name(
        group,
        tuple(family),
        tuple(given),
        structured and bool(family) and bool(given),
        generations[0] if generations else "",
        tuple(bare),
    )


def _generation(word: str) -> str:
    """A single letter is an initial."""
    return GENERATIONS.get(fold(word) if not word.isascii() else word.casefold(), "") if len(word) > 1 else ""


def _without(words: list[str], unwanted: frozenset[str]) -> list[str]:
    return [word for word in words if word not in unwanted] or words


def _plain_words(text: str) -> list[str]:
    joined = _IN_WORDS.sub("", text) if _apostrophe(text) else _IN_WORDS.sub(" ", text)
    return [word for part in _SEPARATORS.split(joined) if (word := fold(part))]


def _apostrophe(text: str) -> bool:
    """Whether what joins its words is an apostrophe only: O'Brien is one word, Anna-Maria two."""
    return not re.search(r"[\-\u2010-\u2015]", text)


_FORMS: dict[str, frozenset[int]] = {}
for _number, _group in enumerate(GIVEN_FORMS):
    for _word in _group.split():
        _FORMS[fold(_word)] = _FORMS.get(fold(_word), frozenset()) | {_number}


# -- comparison


def _compare_groups(one: str, other: str, script: str) -> Likeness | None:
    mine, theirs = _parsed(one), _parsed(other)
    if not mine.words or not theirs.words:
        return None
    if mine.generation and theirs.generation and mine.generation != theirs.generation:
        return Likeness.DIFFERENT
    likeness = _compare_words(mine, theirs)
    if script != "latin":
        return likeness
    if likeness < Likeness.COMPATIBLE and (_is_cut(mine, theirs) or _is_lossy(mine, theirs)):
        return Likeness.COMPATIBLE
    if likeness < Likeness.SIMILAR and _are_forms(mine, theirs):
        return Likeness.SIMILAR
    return likeness


def _compare_words(mine: _Name, theirs: _Name) -> Likeness:
    if _equal(mine, theirs):
        return Likeness.SAME
    shared = _shared(mine, theirs)
    if shared is not None:
        return shared
    if mine.structured and theirs.structured and _given_agree(mine.given, theirs.given):
        return Likeness.FAMILY_DIFFERS
    return Likeness.DIFFERENT


def _equal(mine: _Name, theirs: _Name) -> bool:
    """Without separators, and whatever is called the family name."""
    if mine.structured and theirs.structured and "".join(mine.family) == "".join(theirs.family):
        return "".join(mine.given) == "".join(theirs.given)
    return sorted(mine.words) == sorted(theirs.words) or bool(_joinings(mine) & _joinings(theirs))


def _joinings(name: _Name) -> set[str]:
    family = tuple(word for word in name.core if word in name.family)
    given = tuple(word for word in name.core if word not in name.family)
    orders = ((name.family, name.given), (name.given, name.family), (family, given), (given, family))
    return {"".join(first + second) for first, second in orders}


def _shared(mine: _Name, theirs: _Name) -> Likeness | None:
    """All words of one name are words of the other, an initial standing for its word. None: they aren't."""
    few, many = sorted((list(mine.core), list(theirs.core)), key=len)
    left, initials, whole = list(many), 0, 0
    for word in sorted(few, key=len, reverse=True):
        match = next((one for one in left if one == word), None)
        if match is None:
            match = next((one for one in left if len(one) > 1 and word == one[0]), None)
            match = match or next((one for one in left if len(one) == 1 and word[0] == one), None)
            if match is None:
                return None
            initials += 1
        else:
            whole += len(word) > 1
        left.remove(match)
    if not whole:
        return None
    given = mine.structured and theirs.structured and not _first_given_agree(mine, theirs)
    if given and not initials and len(few) == len(many):
        return None
    return Likeness.SAME if not initials and whole >= 2 else Likeness.COMPATIBLE


def _first_given_agree(mine: _Name, theirs: _Name) -> bool:
    return bool(set(mine.given) & set(theirs.words)) or bool(set(theirs.given) & set(mine.words))


def _given_agree(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """The given names of one are those of the other, or some of them; initials don't suffice."""
    if "".join(mine) == "".join(theirs):
        return any(len(word) > 1 for word in mine)
    few, many = sorted((set(mine), set(theirs)), key=len)
    return few <= many and any(len(word) > 1 for word in few)


def _given_fit(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """As `_given_agree`, or one has an initial for the other's."""
    if _given_agree(mine, theirs):
        return True
    return min(len(mine[0]), len(theirs[0])) == 1 and mine[0][0] == theirs[0][0]


def _is_cut(mine: _Name, theirs: _Name) -> bool:
    """One is the beginning of the other, cut off where systems cut; or its family name is."""
    short, long = sorted((mine, theirs), key=lambda name: len(name.raw))
    if mine.structured and theirs.structured and _given_fit(mine.given, theirs.given):
        family, whole = ("".join(name.family) for name in sorted((mine, theirs), key=lambda n: len("".join(n.family))))
        if len(family) >= 4 and whole.startswith(family) and family != whole:
            return True
    begin, whole = "".join(short.words), "".join(long.words)
    missing = len(whole) - len(begin)
    if not whole.startswith(begin) or not missing:
        return False
    width = len(short.raw)
    return width in CUT_WIDTHS or (width >= MIN_CUT and missing > 2)


def _are_forms(mine: _Name, theirs: _Name) -> bool:
    """The same words as far as romanisations, short forms or a slip of two letters go; the given names one by one."""
    loose = [
        _Name(
            name.raw,
            tuple(romanised(word) for word in name.family),
            tuple(romanised(word) for word in name.given),
            name.structured,
            name.generation,
            tuple(romanised(word) for word in name.core),
        )
        for name in (mine, theirs)
    ]
    if _compare_words(*loose) >= Likeness.COMPATIBLE:
        return True
    if not (mine.structured and theirs.structured):
        return len(mine.words) == len(theirs.words) and _pairwise(sorted(mine.words), sorted(theirs.words))
    family = "".join(loose[0].family) == "".join(loose[1].family) or _compare_family(loose[0], loose[1])
    return family and _pairwise(mine.given, theirs.given)


def _compare_family(mine: _Name, theirs: _Name) -> bool:
    few, many = sorted((set(mine.family) - PARTICLES, set(theirs.family) - PARTICLES), key=len)
    return bool(few) and few <= many


def _pairwise(mine: tuple[str, ...] | list[str], theirs: tuple[str, ...] | list[str]) -> bool:
    return all(_same_form(one, other) for one, other in zip(mine, theirs, strict=False))


def _same_form(one: str, other: str) -> bool:
    if one == other or romanised(one) == romanised(other):
        return True
    if _FORMS.get(one, frozenset()) & _FORMS.get(other, frozenset()):
        return True
    return _is_swapped(one, other)


def _is_swapped(one: str, other: str) -> bool:
    """Two neighbouring letters changed places, neither of them the first or the last."""
    if len(one) != len(other) or len(one) < 5:
        return False
    differ = [place for place, (mine, theirs) in enumerate(zip(one, other, strict=True)) if mine != theirs]
    if len(differ) != 2 or differ[1] != differ[0] + 1 or differ[0] == 0 or differ[1] == len(one) - 1:
        return False
    return one[differ[0]] == other[differ[1]] and one[differ[1]] == other[differ[0]]


def _is_lossy(mine: _Name, theirs: _Name) -> bool:
    """They are equal but for letters that one side can't have written, or has written as `?`."""
    return survives(mine.raw, theirs.raw) or survives(theirs.raw, mine.raw)
