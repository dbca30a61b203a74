"""Every command and every flag of `relaypacs` is on its page. What there is comes from the parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import parser

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
EVERYWHERE = {"--help", "--config"}


def subparsers(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


COMMANDS = subparsers(parser())


def flags(of: argparse.ArgumentParser) -> Iterator[str]:
    for action in of._actions:
        if action.help != argparse.SUPPRESS:
            yield from (flag for flag in action.option_strings if flag.startswith("--"))


def section(title: str) -> str:
    found = re.search(rf"^## {title}.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/commands.md has no section on {title}"
    return found[0]


def test_the_command_has_the_promised_subcommands():
    assert {"serve", "demo", "send", "user", "keys", "purge", "check"} <= COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_documented_with_its_flags(command):
    text = section(f"`relaypacs {command}\\b")
    inner = subparsers(COMMANDS[command])
    for word, of in {"": COMMANDS[command], **inner}.items():
        assert re.search(rf"\b{command} {word}\b" if word else command, text), f"{command} {word} is not on its page"
        for flag in set(flags(of)) - EVERYWHERE:
            assert flag in text, f"{command} {word} {flag} is not in docs/commands.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_flag_on_the_page_exists(command):
    there = {flag for of in [COMMANDS[command], *subparsers(COMMANDS[command]).values()] for flag in flags(of)}
    assert set(re.findall(r"--[a-z][a-z-]+", section(f"`relaypacs {command}\\b"))) <= there
