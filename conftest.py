# SPDX-License-Identifier: Apache-2.0
"""For every suite of tests/ and benchmarks/: their order, what each took, and an end for a run that hangs."""

import faulthandler
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

# Cheap and telling first. A folder that is not named runs after these, top-level files after the folders.
ORDER = ["reference", "core", "unit", "tools", "testing", "path", "mock", "cluster", "stress"]
# pytest-timeout interrupts Python code; this ends a process whose main thread is stuck in C, after showing every stack.
HANG_GRACE_S = 60.0

seconds: dict[str, float] = defaultdict(float)
counts: Counter[str] = Counter()
stderr = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    # Not captured yet.
    config.stash[stderr] = os.dup(2)
    heed_signals()


def heed_signals() -> None:
    """As at a terminal: who runs the suites in the background may ignore or block what tests send to their programs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def suite_of(path: str) -> str:
    """The name under which a test file is timed: tests/core/test_slab.py → tests/core, tests/test_shape.py → tests."""
    return str(Path(*Path(path).parent.parts[:2]))


def rank(item: pytest.Item) -> tuple[int, int]:
    folder = Path(suite_of(item.nodeid.partition("::")[0]))
    top = 0 if folder.parts[0] == "tests" else 1
    if folder == Path("tests"):
        return top, len(ORDER) + 1
    return top, ORDER.index(folder.name) if folder.name in ORDER else len(ORDER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=rank)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    suite = suite_of(report.nodeid.partition("::")[0])
    seconds[suite] += report.duration
    counts[suite] += report.when == "call"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if len(seconds) > 1:
        terminalreporter.section("time of each suite")
        for suite, spent in seconds.items():
            terminalreporter.write_line(f"{suite:<24}{counts[suite]:>6} tests {spent:>8.1f} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    marker = item.get_closest_marker("timeout")
    limit = float(marker.args[0]) if marker and marker.args else float(item.config.getini("timeout") or 0)
    if limit > 0:
        faulthandler.dump_traceback_later(limit + HANG_GRACE_S, exit=True, file=item.config.stash[stderr])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
