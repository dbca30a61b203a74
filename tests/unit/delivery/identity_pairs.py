"""Pairs of a file's patient and a PACS's, with what is right. Shares no code with what is tested.

`tests/vectors/identity_pairs.tsv` is written by hand. `made` are the same people written as systems write them: each
rule below is one that is known from the field, done to everybody it can be done to.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

TABLE = Path(__file__).parents[2] / "vectors" / "identity_pairs.tsv"


@dataclass(frozen=True)
class Side:
    patient_id: str
    name: str
    birth_date: str
    sex: str


@dataclass(frozen=True)
class Pair:
    outcome: str  #: go, warn, unsure, hold
    file: Side
    pacs: Side
    source: str

    def __str__(self) -> str:
        return f"{self.outcome}: {self.file} | {self.pacs} ({self.source})"


def by_hand() -> list[Pair]:
    """The table."""
    with TABLE.open(encoding="utf-8") as table:
        lines = [line for line in table if not line.startswith("#")]
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [Pair(row[0], Side(*map(_unescaped, row[1:5])), Side(*map(_unescaped, row[5:9])), row[9]) for row in rows]


def _unescaped(text: str) -> str:
    return text.replace("\\u0301", "\u0301").replace("\\u0308", "\u0308")


PEOPLE = [
    Side("A-4711", "Björnsson^Günther", "19580612", "M"),
    Side("A-4712", "Ćwiklińska^Łucja", "19900523", "F"),
    Side("A-4713", "Grünwald^Käthe", "19311224", "F"),
    Side("A-4714", "Sørensen^Bjørn", "19770809", "M"),
    Side("A-4715", "Fernández^Íñigo", "19820615", "M"),
    Side("A-4716", "Lefèvre^Benoît", "19690302", "M"),
    Side("A-4717", "Novák^Tomáš", "19850917", "M"),
    Side("A-4718", "Szabó^Erzsébet", "19480511", "F"),
    Side("A-4719", "Popović^Željko", "19730130", "M"),
    Side("A-4720", "Öztürk^Çağla", "19951019", "F"),
    Side("A-4721", "Mäkinen^Päivi", "19620227", "F"),
    Side("A-4722", "Trần^Quốc Tuấn", "19880404", "M"),
]


def _ascii(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.translate(str.maketrans("łŁøØđĐıß", "lLoOdDis")))
    return folded.encode("ascii", "ignore").decode()


def _renamed(change: Callable[[str], str]) -> Callable[[Side], Side]:
    return lambda side: replace(side, name=change(side.name))


def _initial(name: str) -> str:
    family, given = name.split("^")
    return f"{family}^{given[0]}"


def _given(other: str) -> Callable[[str], str]:
    return lambda name: f"{name.split('^')[0]}^{other}"


#: What a system makes of a patient, and what has to come of it.
RULES: dict[str, tuple[str, Callable[[Side], Side]]] = {
    "in capitals": ("go", _renamed(str.upper)),
    "in ASCII": ("go", _renamed(_ascii)),
    "question marks for what isn't ASCII": ("go", _renamed(lambda name: name.encode("ascii", "replace").decode())),
    "question marks for what isn't Latin-1": ("go", _renamed(lambda name: name.encode("latin-1", "replace").decode("latin-1"))),
    "decomposed": ("go", _renamed(lambda name: unicodedata.normalize("NFD", name))),
    "with an initial": ("go", _renamed(_initial)),
    "with a space for the caret": ("go", _renamed(lambda name: name.replace("^", " "))),
    "without a birth date": ("go", lambda side: replace(side, birth_date="")),
    "with a year for a birth date": ("go", lambda side: replace(side, birth_date=side.birth_date[:4])),
    "after a marriage": ("warn", _renamed(lambda name: f"Featherstone^{name.split('^')[1]}")),
    "a twin": ("hold", _renamed(_given("Xaver"))),
    "a twin, in ASCII": ("hold", _renamed(lambda name: _ascii(_given("Xaver")(name)))),
    "a parent of one name": ("hold", lambda side: replace(side, birth_date=f"{int(side.birth_date[:4]) - 27}0105")),
}  # fmt: skip


def made() -> Iterator[Pair]:
    """Everybody, by each rule."""
    for rule, (outcome, change) in RULES.items():
        for side in PEOPLE:
            yield Pair(outcome, side, change(side), rule)
