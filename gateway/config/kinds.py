"""The kinds of values that a configuration may hold: how each is read, shown and explained.

Promises that no error of a kind repeats the value it refuses: it might be a secret in the wrong place.
Must not know which keys there are.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

KIB, MIB, GIB = 1024, 1024**2, 1024**3

_SIZE_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "tib": 1024**4,
}
_DURATION_UNITS = {
    "": 1.0,
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 7 * 86400.0,
    "y": 365 * 86400.0,
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


class Secret(Generic[T_co]):
    """A value that no log, error or print shows. `reveal()` gives it.

    :ivar source: the file that it was read from; None: it wasn't.
    """

    __slots__ = ("__value", "source")

    def __init__(self, value: T_co, source: Path | None = None) -> None:
        self.__value = value
        self.source = source

    def reveal(self) -> T_co:
        """The value itself."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self.__value == other.reveal())

    def __hash__(self) -> int:
        return hash(self.__value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not serialised")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a value may refer to: the environment, and the folder that relative paths start from."""

    environ: Mapping[str, str]
    folder: Path


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of value.

    :param name: what the reference calls it.
    :param parse: TOML value -> the value we use; ValueError says what is taken, never what was given.
    :param show: the value -> TOML, for `effective`.
    :param raw_text: a text of the environment is the value itself, not TOML.
    """

    name: str
    parse: Callable[[object, Surroundings], T]
    show: Callable[[T], str]
    raw_text: bool = False

    def from_text(self, value: str) -> object:
        """The TOML value that a text of the environment stands for."""
        if self.raw_text and not value.lstrip().startswith("{"):
            return value
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return value


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def quoted(value: str) -> str:
    """A TOML basic string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _quantity(value: object, units: Mapping[str, float], says: str) -> float:
    number = _number(value)
    if number is None and isinstance(value, str) and (match := _QUANTITY.fullmatch(value.strip())):
        unit = units.get(match[2].lower())
        number = None if unit is None else float(match[1]) * unit
    if number is None or not 0 <= number < 2**62:
        raise ValueError(says)
    return number


def parse_size(value: object) -> int:
    """Bytes of `4MiB`, `1.5 GB` or a number; ValueError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62:
        return value
    return int(_quantity(value, _SIZE_UNITS, 'takes a size, like "4MiB", or a number of bytes'))


def parse_duration(value: object) -> float:
    """Seconds of `500ms`, `60s`, `15m`, `24h`, `7d`, `2w`, `6y` (years of 365 days) or a number; ValueError otherwise."""
    return _quantity(value, _DURATION_UNITS, 'takes a duration, like "60s", "15m", "24h", "7d" or "6y", or seconds')


def show_size(value: int) -> str:
    """TOML of a size, in the largest unit that leaves it whole."""
    for unit, size in (("TiB", 1024**4), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if value and value % size == 0:
            return f'"{value // size}{unit}"'
    return str(value)


def show_duration(value: float) -> str:
    """TOML of a duration, in the largest unit that leaves it whole."""
    for unit, size in (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("m", 60)):
        if value >= 2 * size and value % size == 0:
            return f'"{value / size:.0f}{unit}"'
    return f'"{value:g}s"' if value < 10**6 else f'"{value:.0f}s"'


def _size(value: object, _: Surroundings) -> int:
    return parse_size(value)


def _duration(value: object, _: Surroundings) -> float:
    return parse_duration(value)


def _positive_duration(value: object, _: Surroundings) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return seconds


def _positive_size(value: object, _: Surroundings) -> int:
    size_bytes = parse_size(value)
    if size_bytes <= 0:
        raise ValueError("must be more than nothing")
    return size_bytes


def _text(value: object, _: Surroundings) -> str:
    if not isinstance(value, str):
        raise ValueError("takes a text in quotes")
    return value


def _flag(value: object, _: Surroundings) -> bool:
    if not isinstance(value, bool):
        raise ValueError("takes true or false")
    return value


def _path(value: object, around: Surroundings) -> Path | None:
    text_ = _text(value, around)
    return around.folder / text_ if text_ else None


def _existing(value: object, around: Surroundings) -> Path | None:
    path = _path(value, around)
    if path is not None and not path.is_file():
        raise ValueError("names a file that isn't there")
    return path


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('takes a list of texts, like ["..."]')
    return list(value)


def _networks(value: object, _: Surroundings) -> tuple[IpNetwork, ...]:
    try:
        return tuple(ipaddress.ip_network(item, strict=False) for item in _texts(value))
    except ValueError:
        raise ValueError('takes a list of addresses or networks, like ["10.0.0.5", "10.1.0.0/16"]') from None


def _origins(value: object, _: Surroundings) -> tuple[str, ...]:
    origins = _texts(value)
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[^/?#@\s]+", origin):
            raise ValueError('takes a list of origins without a path, like ["https://app.example.org"]')
    return tuple(origins)


def _hosts(value: object, _: Surroundings) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in _texts(value))
    if not all(re.fullmatch(r"(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", host) for host in hosts):
        raise ValueError(
            'takes a list of host names, with a port where it matters, like ["relay.lan", "10.0.0.5:8443"]'
        )
    return hosts


def _words(value: object, _: Surroundings) -> tuple[str, ...]:
    words = tuple(_texts(value))
    if not words or not all(words):
        raise ValueError('takes a list of words, like ["at+jwt"]')
    return words


def _share(value: object, _: Surroundings) -> float:
    number = _number(value)
    if number is None or not 0 < number <= 1:
        raise ValueError("takes a number above 0 and up to 1")
    return number


def _web_url(value: object, around: Surroundings) -> str:
    url_ = _text(value, around)
    says = "takes an http or https address without a query"
    try:
        parts = urlsplit(url_)
        port = parts.port
    except ValueError:
        raise ValueError(says) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or port == 0:
        raise ValueError(says)
    if parts.username is not None or parts.password is not None:
        raise ValueError("takes no name or password in the address: an endpoint has `auth` for them")
    return url_.rstrip("/")


def _optional_web_url(value: object, around: Surroundings) -> str:
    return _web_url(value, around) if value != "" else ""


def _secret(value: object, around: Surroundings) -> Secret[str]:
    file: Path | None = None
    if isinstance(value, str):
        found = value
    elif isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), str):
        ((source, name),) = value.items()
        if source == "env":
            found = around.environ.get(name, "")
            if not found:
                raise ValueError(f"is taken from the environment variable {name}, which isn't set: set it")
        elif source == "file":
            file = around.folder / name
            found = _read_secret(file)
        else:
            raise ValueError('takes { env = "NAME" }, { file = "PATH" } or a text')
    else:
        raise ValueError('takes { env = "NAME" }, { file = "PATH" } or a text')
    if not found:
        raise ValueError("must not be empty")
    return Secret(found, file)


def _optional_secret(value: object, around: Surroundings) -> Secret[str] | None:
    return None if value == "" else _secret(value, around)


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"is taken from the file {path}, which can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"is taken from the file {path}, which holds no text") from None


def _show_list(values: tuple[object, ...]) -> str:
    return "[" + ", ".join(quoted(str(value)) for value in values) + "]"


def _mapping(value: object, _: Surroundings) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError('takes a table of texts, like { "theirs" = "ours" }')
    return MappingProxyType(dict(value))


def _show_mapping(values: Mapping[str, str]) -> str:
    inside = ", ".join(f"{quoted(name)} = {quoted(value)}" for name, value in values.items())
    return f"{{ {inside} }}" if inside else "{}"


def _show_path(value: Path | None) -> str:
    return quoted(str(value)) if value else '""'


def integer(low: int, high: int) -> Kind[int]:
    """A whole number from `low` to `high`."""

    def parse(value: object, _: Surroundings) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"takes a whole number from {low} to {high}")
        return value

    return Kind("number", parse, str)


def one_of(*choices: str) -> Kind[str]:
    """One of the words."""
    listed = ", ".join(quoted(choice) for choice in choices)

    def parse(value: object, _: Surroundings) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"takes one of {listed}")
        return value

    return Kind(listed.replace(", ", " or "), parse, quoted, raw_text=True)


def _aet(value: object, around: Surroundings) -> str:
    title = _text(value, around).strip()
    if title and not (len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title):
        raise ValueError("takes an AE title: up to 16 ASCII letters, without backslash")
    return title


text = Kind("text", _text, quoted, raw_text=True)
aet = Kind("AE title", _aet, quoted, raw_text=True)
mapping = Kind("table of texts", _mapping, _show_mapping)
flag = Kind("true or false", _flag, lambda value: "true" if value else "false")
size = Kind("size", _size, show_size)
positive_size = Kind("size", _positive_size, show_size)
duration = Kind("duration", _duration, show_duration)
positive_duration = Kind("duration", _positive_duration, show_duration)
path = Kind("path", _path, _show_path, raw_text=True)
existing_path = Kind("path", _existing, _show_path, raw_text=True)
networks = Kind("list of networks", _networks, _show_list)
origins = Kind("list of origins", _origins, _show_list)
hosts = Kind("list of host names", _hosts, _show_list)
words = Kind("list of texts", _words, _show_list)
share = Kind("number up to 1", _share, lambda value: f"{value:g}")
web_url = Kind("address", _web_url, quoted, raw_text=True)
optional_web_url = Kind("address", _optional_web_url, quoted, raw_text=True)
secret = Kind("secret", _secret, lambda _: '"***"', raw_text=True)
optional_secret = Kind("secret", _optional_secret, lambda value: '"***"' if value else '""', raw_text=True)
