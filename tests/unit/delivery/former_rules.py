"""The rules of November 2026, as a control: whoever brings them back sees the table of pairs fail."""

from __future__ import annotations

import re
import unicodedata


def holds(file_name: str, file_birth: str, pacs_name: str, pacs_birth: str) -> bool:
    """Words in plain letters, one name's among the other's; birth dates by their digits; the absent agrees."""
    births = [re.sub(r"\D", "", birth) for birth in (file_birth, pacs_birth)]
    return not (_same_name(file_name, pacs_name) and (not all(births) or births[0] == births[1]))


def _same_name(one: str, other: str) -> bool:
    groups = [[words for group in name.split("=") if (words := _words(group))] for name in (one, other)]
    if not groups[0] or not groups[1]:
        return True
    return any(mine <= theirs or theirs <= mine for mine in groups[0] for theirs in groups[1])


def _words(name: str) -> set[str]:
    plain = unicodedata.normalize("NFKD", name.casefold())
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return {word for word in re.split(r"[\s^,.\-_']+", letters) if word and "?" not in word and "\ufffd" not in word}
