"""RetryPolicy, pace, meter and the small rules: pure, with a clock of the test's own."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest

from gateway.cli.send import _duration, _size
from gateway.client.errors import GaveUp, Misused, Refused, TryAgain, UserStopped, plain
from gateway.client.grouping import PlannedUpload
from gateway.client.http import GatewayHttp
from gateway.client.link import read_link
from gateway.client.meter import Display, Meter, size_words
from gateway.client.outcome import PlanInProgress, exit_status
from gateway.client.retry import RetryPolicy
from gateway.client.tusfile import Pace
from gateway.client.uploads import UploadStatus

MIB = 1 << 20
#: The app's tests read the same file.
QR_LINKS = Path(__file__).parents[2] / "vectors" / "qr_links.json"


class HandClock:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Pauses(threading.Event):
    """An event whose waiting moves the clock instead of the world."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self.clock = clock
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waited.append(timeout)
        self.clock.at += timeout
        return self.is_set()


def patience(limit_s: float = 100.0, chance: float = 1.0) -> tuple[RetryPolicy, Pauses]:
    clock = HandClock()
    pauses = Pauses(clock)
    return RetryPolicy(limit_s, clock, pauses, lambda: chance), pauses


def test_pauses_grow_and_end_when_patience_does() -> None:
    waiting, pauses = patience()

    def attempt() -> None:
        raise TryAgain("busy")

    with pytest.raises(GaveUp, match="busy"):
        waiting.persist(attempt)
    assert pauses.waited[:6] == [0.5, 1, 2, 4, 8, 16]
    assert max(pauses.waited) == 30
    assert sum(pauses.waited) == pytest.approx(100)


def test_no_two_waiters_wait_alike() -> None:
    early, late = patience(chance=0.0), patience(chance=1.0)
    for waiting, _ in (early, late):
        waiting.pause(TryAgain("busy"), 3)
    assert (early[1].waited, late[1].waited) == ([2.0], [4.0])


def test_a_gateway_that_names_a_time_is_left_alone_for_it() -> None:
    waiting, pauses = patience()
    waiting.pause(TryAgain("busy", 40.0), 0)
    assert pauses.waited == [40.0]


def test_while_something_moves_nobody_gives_up() -> None:
    waiting, pauses = patience(limit_s=10.0)
    for _ in range(50):
        waiting.pause(TryAgain("busy"), 4)
        waiting.moved()
    assert sum(pauses.waited) > 100


def test_the_users_stop_ends_a_pause() -> None:
    waiting, pauses = patience()
    pauses.set()
    with pytest.raises(UserStopped):
        waiting.pause(TryAgain("busy"), 0)
    with pytest.raises(UserStopped):
        waiting.persist(lambda: None)


def test_while_nobody_answers_it_is_tried_every_second_and_after_minutes_less_often() -> None:
    policy, pauses = patience(3600.0)
    for tries in range(400):
        policy.pause(TryAgain("no line", silent=True), tries)
    assert max(pauses.waited[:250]) <= 1.0
    assert pauses.waited[-1] > 10.0


def test_a_request_is_what_one_connection_carries_in_ten_seconds() -> None:
    pace = Pace()
    pace.took(8 * MIB, 80.0)
    assert pace.chunk_bytes == MIB
    pace.took(MIB, 2.0)
    assert pace.chunk_bytes == 4 * MIB  # by four at most: one quick answer may be luck
    pace.took(100 * 1024, 20.0)  # the end of a file, on a line that has become slow
    assert pace.chunk_bytes == 256 * 1024


def test_chunks_grow_on_a_fast_line_and_shrink_on_a_slow_one() -> None:
    pace = Pace()
    assert pace.chunk_bytes == 8 * MIB
    for _ in range(10):
        pace.took(pace.chunk_bytes, 0.1)
    assert pace.chunk_bytes == 64 * MIB
    pace.took(1000, 0.1)  # a file's short end says nothing
    pace.took(pace.chunk_bytes, 5.0)
    assert pace.chunk_bytes == 64 * MIB
    for _ in range(20):
        pace.took(pace.chunk_bytes, 60.0)
    assert pace.chunk_bytes == 256 * 1024
    pace.broke()
    assert pace.chunk_bytes == 256 * 1024


def test_chunks_of_a_size_that_was_asked_for_stay() -> None:
    pace = Pace(MIB)
    pace.took(MIB, 0.01)
    pace.broke()
    assert pace.chunk_bytes == MIB


def test_what_a_proxy_refused_as_too_large_is_halved_for_good_until_it_is_little() -> None:
    pace = Pace(MIB)
    assert pace.halve(MIB)
    assert pace.chunk_bytes == MIB // 2
    assert pace.halve(400_000)  # another thread's last piece
    assert pace.chunk_bytes == 200_000
    while pace.halve(pace.chunk_bytes):
        pass
    assert pace.chunk_bytes == 16 * 1024
    free = Pace()
    free.halve(8 * MIB)
    for _ in range(10):
        free.took(free.chunk_bytes, 0.1)
    assert free.chunk_bytes == 4 * MIB, "a fast line doesn't make the proxy take more"


def test_the_meter_takes_back_what_a_broken_connection_lost() -> None:
    clock = HandClock()
    meter = Meter(100 * MIB, 2, clock)
    meter.at("a", 60 * MIB)
    clock.at += 2
    assert meter.line() == "60 %  60 MiB of 100 MiB  30 MiB/s  0:01 left  0/2 files"
    meter.at("a", 10 * MIB)
    assert meter.line().startswith("10 %  10 MiB of")
    meter.done("a", 50 * MIB)
    assert "50 %" in meter.line()
    assert meter.line().endswith("1/2 files")


def test_what_an_earlier_run_sent_counts_but_makes_no_rate() -> None:
    clock = HandClock()
    meter = Meter(100 * MIB, 2, clock)
    meter.done("a", 90 * MIB, before=True)
    clock.at += 1
    meter.at("b", 1 * MIB)
    assert meter.line() == "91 %  91 MiB of 100 MiB  1 MiB/s  0:09 left  1/2 files"


@pytest.mark.parametrize("width", [20, 80, 132])
def test_the_bar_fits_the_terminal(width: int) -> None:
    meter = Meter(100, 2, HandClock())
    meter.at("a", 50)
    assert len(meter.line(width)) < width


def test_an_empty_run_is_complete() -> None:
    assert Meter(0, 0, HandClock()).line().startswith("100 %")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_bar_is_wiped_when_it_ends() -> None:
    out = Terminal()
    with Display(Meter(1, 1, HandClock()), out, quiet=False) as display:
        display.say("a line")
    assert out.getvalue().endswith("\r\x1b[K")
    assert "a line\n" in out.getvalue()


def test_quiet_is_quiet() -> None:
    out = Terminal()
    with Display(Meter(1, 1, HandClock()), out, quiet=True):
        pass
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (1536, "1.5 KiB"), (5 << 40, "5 TiB")]
)
def test_sizes_in_words(size: int, words: str) -> None:
    assert size_words(size) == words


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["success"], 0),
        (["success", "success"], 0),
        (["partial"], 3),
        (["success", "failed"], 3),
        (["success", Refused("x")], 3),
        (["failed", "failed"], 4),
        ([Refused("x")], 4),
        (["success", "delivering"], 1),
        (["held"], 5),
        (["success", "held"], 5),
        (["partial", "held"], 3),
        (["held", "failed"], 3),
        (["held", "delivering"], 1),
        (["success", GaveUp("x"), None], 1),
        (["success", Misused("x")], 2),
    ],
)
def test_the_exit_status_of_a_run(states: list, status: int) -> None:
    sendings = []
    for state in states:
        sending = PlanInProgress(PlannedUpload((), {}), "")
        if isinstance(state, str):
            sending.standing = UploadStatus(state)
        else:
            sending.fault = state
        sendings.append(sending)
    assert exit_status(sendings) == status


def test_a_gateways_words_can_not_drive_a_terminal() -> None:
    assert plain("a\x1b]0;x\x07\nb\u202ec") == "a ]0;x  b c"
    assert len(plain("x" * 10_000)) < 400


@pytest.mark.parametrize(
    ("url", "path", "there"),
    [
        ("https://gw/files/", "/files/", "https://gw/files/"),
        ("/files/x", "/files/x", "https://gw/files/x"),
        ("https://gw/relay/files/x", "/files/x", "https://gw/relay/files/x"),
        ("https://elsewhere/files/x", "/files/x", "https://gw/base/files/x"),
        ("http://gw/files/x", "/files/x", "https://gw/base/files/x"),
    ],
)
def test_bytes_go_to_the_address_that_the_user_gave(url: str, path: str, there: str) -> None:
    assert GatewayHttp("https://gw/base/", HandClock()).here(url, path) == there


@pytest.mark.parametrize("one", json.loads(QR_LINKS.read_text()), ids=lambda one: one["name"])
def test_a_qr_code_s_link_is_found_in_what_people_hand_on(one: dict) -> None:
    if one["token"] is None:
        with pytest.raises(Misused, match="--qr"):
            read_link(one["text"])
    else:
        found = read_link(one["text"])
        assert (found.upload_token, found.base_url) == (one["token"], one["base_url"])


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("8MiB", 8 * MIB), ("8m", 8 * MIB), ("64 KiB", 65536), ("1G", 1 << 30)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert _size(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("30", 30), ("1.5s", 1.5), ("10m", 600), ("1h", 3600)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert _duration(text) == seconds
