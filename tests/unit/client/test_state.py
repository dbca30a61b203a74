"""The state file: private, whole, shared."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from gateway.client.errors import Misused
from gateway.client.scan import LocalFile
from gateway.client.state import StateFile, default_path
from gateway.clock import SystemClock


def found(name: str, size: int = 10) -> LocalFile:
    return LocalFile(Path("/data/Doe_Jane") / name, size, 1, "", {"patient_name": "Doe^Jane"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "send.json"


def test_it_remembers_across_runs(path: Path) -> None:
    state = StateFile(path, SystemClock())
    key = state.set_key([found("1"), found("2")], "https://gw", "main")
    entry = state.claim(key)
    entry.upload_id, entry.refresh_token = "u1", "r1"
    state.mark_done(entry, found("1"))
    ids = [state.file_id(entry, found(name)) for name in "12"]
    state.save()
    state.close()

    again = StateFile(path, SystemClock())
    same = again.claim(again.set_key([found("2"), found("1")], "https://gw", "main"))
    assert (same.upload_id, same.refresh_token, same.idempotency_key) == ("u1", "r1", entry.idempotency_key)
    assert same.done == {again.file_key(found("1"))}
    assert [again.file_id(same, found(name)) for name in "12"] == ids
    again.close()


def test_what_was_right_for_a_gateway_is_remembered_without_its_name(path: Path) -> None:
    state = StateFile(path, SystemClock())
    assert state.width("https://gw") is None
    state.keep_width("https://gw", 12)
    state.save()
    state.close()
    again = StateFile(path, SystemClock())
    assert (again.width("https://gw"), again.width("https://other")) == (12, None)
    assert "//gw" not in path.read_text()
    again.close()


def test_another_file_size_gateway_or_endpoint_is_another_set(path: Path) -> None:
    state = StateFile(path, SystemClock())
    keys = {
        state.set_key([found("1")], "https://gw", "main"),
        state.set_key([found("1", 11)], "https://gw", "main"),
        state.set_key([found("2")], "https://gw", "main"),
        state.set_key([found("1")], "https://other", "main"),
        state.set_key([found("1")], "https://gw", "er"),
        state.set_key([found("1")], "https://gwmain", ""),
    }
    assert len(keys) == 6
    state.close()


def test_two_state_files_name_the_same_file_differently(tmp_path: Path) -> None:
    one, other = (StateFile(tmp_path / name, SystemClock()) for name in "ab")
    assert one.file_key(found("1")) != other.file_key(found("1"))
    one.close()
    other.close()


def test_file_ids_fit_the_gateways_rule(path: Path) -> None:
    state = StateFile(path, SystemClock())
    entry = state.claim("k")
    ids = {state.file_id(entry, found(str(number))) for number in range(1000)}
    assert len(ids) == 1000
    assert all(
        len(one) <= 64 and one.isascii() and set(one) <= set("-_") | set(filter(str.isalnum, one)) for one in ids
    )
    state.close()


def test_an_entry_that_is_dropped_is_gone_and_the_next_one_is_new(path: Path) -> None:
    state = StateFile(path, SystemClock())
    first = state.claim("k").idempotency_key
    state.drop("k")
    assert json.loads(path.read_text())["uploads"] == {}
    assert state.claim("k").idempotency_key != first
    state.close()


def test_what_nobody_went_on_with_for_months_is_forgotten(path: Path) -> None:
    class Later(SystemClock):
        def now(self) -> float:
            return super().now() + 100 * 86400

    state = StateFile(path, SystemClock())
    state.claim("k")
    state.close()
    StateFile(path, Later()).close()
    assert json.loads(path.read_text())["uploads"] == {}


def test_a_reader_never_sees_half_a_file(path: Path) -> None:
    state = StateFile(path, SystemClock())
    entry = state.claim("k")
    end = threading.Event()
    broken: list[Exception] = []

    def read() -> None:
        while not end.is_set():
            try:
                json.loads(path.read_text())
            except ValueError as error:
                broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        entry.done.add("x" * 1000 + str(number))
        state.save()
    end.set()
    reader.join()
    assert broken == []
    assert sorted(one.name for one in path.parent.iterdir()) == ["send.json", "send.json.lock"]
    state.close()


def test_a_place_that_can_not_be_written_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misused, match="--state"):
        StateFile(tmp_path / "file" / "send.json", SystemClock())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 2, "salt": "00", "uploads": {}}', "\x00"])
def test_a_file_that_is_not_ours_is_left_alone(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(Misused, match="--state"):
        StateFile(path, SystemClock())
    assert path.read_text() == content


def test_the_default_place_is_the_users_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "relaypacs" / "send.json"
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/void")
    monkeypatch.setenv("HOME", "/home/jane")
    assert default_path() == Path("/home/jane/.local/state/relaypacs/send.json")
