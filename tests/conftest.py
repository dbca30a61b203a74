"""A full run has run, and passed, every test that docs/compliance.md names."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.compliance import missing, named

# A shell ignores SIGINT and SIGQUIT for what it starts in the background, and every child inherits that: tests that
# interrupt or quit a command would do nothing to it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

_ROOT = Path(__file__).parents[1]
_passed: set[str] = set()
_not_passed: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what passed; with several processes this is called in the one that leads."""
    test = report.nodeid.partition("[")[0].removeprefix("tests/")
    if report.when == "call" and report.passed:
        _passed.add(test)
    elif report.failed or report.skipped:
        _not_passed.add(test)


def _is_full(config: pytest.Config) -> bool:
    """Everything but those that run by themselves was asked for."""
    return (
        not hasattr(config, "workerinput")
        and config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and not config.option.keyword
        and not config.option.collectonly
        and not getattr(config.option, "lf", False)
        and config.option.markexpr in {"", "not browser and not heavy and not timing"}
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a full run that leaves a control without its proof."""
    if _is_full(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.config.stash[_UNPROVEN] = missing(named(_ROOT / "docs" / "compliance.md"), _passed - _not_passed)
        if session.config.stash[_UNPROVEN]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


_UNPROVEN: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which."""
    for test in terminalreporter.config.stash.get(_UNPROVEN, []):
        terminalreporter.write_line(f"docs/compliance.md names {test}, which did not run and pass", red=True)
