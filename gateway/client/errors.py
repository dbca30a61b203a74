"""What can go wrong for a sender, and which exit status says so. Every text is one line that says what to do."""

from __future__ import annotations

from typing import ClassVar

EXIT_SUCCESS, EXIT_OTHER, EXIT_USAGE, EXIT_PARTIAL, EXIT_FAILED, EXIT_HELD, EXIT_INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

_LONGEST_QUOTE = 300


class SendFault(Exception):
    """Root of the tree; its text is safe to show."""

    exit_status: ClassVar[int] = EXIT_OTHER


class Misused(SendFault):
    """The command line, or what it points at, can't be used."""

    exit_status = EXIT_USAGE


class NotLetIn(SendFault):
    """The gateway doesn't accept the credentials."""

    exit_status = EXIT_USAGE


class Refused(SendFault):
    """The gateway won't take it, and trying again won't help. `code` is its problem code, or empty."""

    exit_status = EXIT_FAILED

    def __init__(self, text: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class NotAllowed(Refused):
    """The credentials are good, but not for this."""

    exit_status = EXIT_USAGE


class UploadGone(Refused):
    """The upload isn't there any more: cancelled, expired, or of another account."""


class FileChanged(SendFault):
    """A file isn't what it was when it was looked at: sent as it is, it would be a mixture."""


class Unreadable(SendFault):
    """The disk doesn't give a file's bytes. The others of its upload go without it."""

    exit_status = EXIT_FAILED


class GaveUp(SendFault):
    """Nothing moved for as long as patience lasted."""


class UserStopped(SendFault):
    """The user said stop."""

    exit_status = EXIT_INTERRUPTED


class TryAgain(Exception):
    """Trouble that passes: the network, a busy or restarting gateway. Never leaves this package.

    :param why: a few plain words.
    :param after_s: how long the gateway wants to be left alone; None: it didn't say.
    :param silent: nobody answers at all: it is the line, and it may be back any moment.
    """

    def __init__(self, why: str, after_s: float | None = None, *, silent: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.after_s = after_s
        self.silent = silent


class AnotherWay(TryAgain):
    """What stands before the gateway doesn't let it through like this; it goes on in another way, at once."""


def plain(text: object) -> str:
    """A gateway's words, fit for a terminal: one line, no control characters, not endless."""
    line = "".join(char if char.isprintable() else " " for char in str(text))
    return line if len(line) <= _LONGEST_QUOTE else line[:_LONGEST_QUOTE] + "…"
