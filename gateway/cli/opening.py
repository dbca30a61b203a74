"""What every command that works on a gateway's own data does first."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from gateway.owners import name_of

if TYPE_CHECKING:
    from gateway.config import Config


#: Who acts, as the audit trail names it: the command line, and whose.
ACTOR = f"cli:{name_of(os.getuid())}"


def configured(args: argparse.Namespace) -> Config:
    """The configuration that the command line names. :raises ConfigError: it can't be used."""
    from gateway.config import find_config_path, load

    return load(find_config_path(args.config, os.environ), os.environ)


def seconds(text: str) -> float:
    """A duration of the command line, like those of the configuration. :raises ArgumentTypeError: it is none."""
    from gateway.config.kinds import parse_duration

    try:
        found = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if found <= 0:
        raise argparse.ArgumentTypeError("must be longer than nothing")
    return found


def printable(text: str) -> str:
    """What others wrote, fit for a terminal: no control characters, no line of its own."""
    return "".join(char if char.isprintable() else "?" for char in text)
