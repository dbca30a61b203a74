"""What all commands have in common: one line for what is wrong, the configuration wherever it is named."""

from __future__ import annotations

import pytest

from gateway.cli import main
from tests.commands.site import relaypacs

WRONG = [[], ["bogus"], ["serve", "--bogus"], ["user"], ["user", "add"], ["jobs", "retry"], ["qr", "--endpoint", "x", "--ttl", "y"],
         ["send", ".", "--token", "a", "--user", "b"], ["demo", "--port", "x"]]  # fmt: skip


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_use_is_one_line_that_says_where_to_look(capsys, words):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("relaypacs")
    assert line.endswith("--help")


@pytest.mark.parametrize("command", ["serve", "demo", "send", "user list", "keys new", "qr", "jobs list", "check"])
def test_every_command_takes_a_configuration(capsys, command):
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert end.value.code == 0
    assert "-c FILE" in capsys.readouterr().out


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_the_configuration_may_be_named_anywhere(gate, place):
    await gate.person("maria")
    words = ["user", "list"]
    words[place:place] = ["-c", str(gate.folder / "relaypacs.toml")]
    said = await relaypacs(gate, *words, RELAYPACS_CONFIG="/not/there.toml")
    assert (said.status, "maria" in said.out) == (0, True), said.err


async def test_a_picture_of_a_code_is_for_its_owners_eyes_only(gate, tmp_path):
    await gate.person("reception", "issuer")
    picture = tmp_path / "code.png"
    said = await relaypacs(gate, "qr", "--endpoint", "main", "--png", str(picture))
    assert said.status == 0, said.err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_mode & 0o077 == 0
