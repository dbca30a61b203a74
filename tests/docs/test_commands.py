"""Every command and every flag of `relaypacs` is on its page. What there is comes from `--help`."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


@cache
def help_of(*command: str) -> str:
    code = "import sys; from gateway.cli import main; sys.argv[0] = 'relaypacs'; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=PAGE.parents[1],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def subcommands(*command: str) -> list[str]:
    """The words that may come next: argparse lists them as {a,b,c}."""
    listed = re.search(r"^ +\{([a-z,-]+)\}|usage:[^{]*?[^=A-Z] \{([a-z,-]+)\} \.\.\.", help_of(*command), re.MULTILINE)
    return (listed[1] or listed[2]).split(",") if listed else []


def test_the_command_has_the_promised_subcommands():
    assert {"serve", "demo", "send", "user", "keys", "purge", "check"} <= set(subcommands())


@pytest.mark.parametrize("command", ["serve", "demo", "send", "user", "keys", "purge", "check"])
def test_a_command_is_documented_with_its_flags(command):
    section = re.search(rf"^## `relaypacs {command}\b.*?(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"docs/commands.md has no section on {command}"
    everywhere = {"--help", "--config"}
    for words in [[command], *([command, word] for word in subcommands(command))]:
        for flag in set(re.findall(r"--[a-z][a-z-]+", help_of(*words))) - everywhere:
            assert flag in section[0], f"{' '.join(words)} {flag} is not in docs/commands.md"


def test_every_other_command_is_named():
    page = PAGE.read_text()
    for command in subcommands():
        assert re.search(rf"`(?:relaypacs )?{command}\b", page), command
