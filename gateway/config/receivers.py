"""Kinds of values that say who is told what. See `kinds`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gateway.config.kinds import Kind, Surroundings, quoted, text


def _show(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(quoted, values)) + "]"


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('takes a list of texts, like ["..."]')
    return tuple(value)


def some_of(*choices: str) -> Kind[tuple[str, ...]]:
    """A list of some of the words."""
    listed = ", ".join(quoted(choice) for choice in choices)

    def parse(value: object, _: Surroundings) -> tuple[str, ...]:
        words = _texts(value)
        if not set(words) <= set(choices):
            raise ValueError(f"takes a list of some of {listed}")
        return words

    return Kind("list of texts", parse, _show)


def _mail_url(value: object, around: Surroundings) -> str:
    url = text.parse(value, around)
    if not url:
        return ""
    says = "takes smtps://user@host:465 or smtp://user@host:587"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(says) from None
    more = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or more or port == 0:
        raise ValueError(says)
    if parts.password is not None:
        raise ValueError("takes no password in the address: set `password`")
    return url


def _syslog_url(value: object, around: Surroundings) -> str:
    url = text.parse(value, around)
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    more = parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None
    if parts.scheme != "syslog-tls" or not parts.hostname or more or port == 0:
        raise ValueError("takes syslog-tls://host:6514")
    return url


def _addresses(value: object, _: Surroundings) -> tuple[str, ...]:
    found = _texts(value)
    if not all(re.fullmatch(r"[^@\s<>,;:\"]+@[A-Za-z0-9.-]+", one) for one in found):
        raise ValueError('takes a list of mail addresses, like ["radiology@example.org"]')
    return found


mail_url = Kind("address", _mail_url, quoted, raw_text=True)
syslog_url = Kind("address", _syslog_url, quoted, raw_text=True)
addresses = Kind("list of mail addresses", _addresses, _show)
