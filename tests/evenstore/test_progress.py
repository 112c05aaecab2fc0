from __future__ import annotations

import io
import os
import pty
import re
import select
import time
from collections.abc import Iterator

import pytest

from evenstore.progress import LineProgress, NullProgress, RichBar, open_progress

_QUIET_S = 1.05


@pytest.fixture
def terminal_fds() -> Iterator[tuple[int, int]]:
    fds = pty.openpty()
    yield fds
    for fd in fds:
        os.close(fd)


def test_null_progress_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    NullProgress().advance(10)
    assert capfd.readouterr() == ("", "")


def test_work_that_ends_at_once_prints_nothing() -> None:
    stream = io.StringIO()
    with open_progress("customer", total=3, stream=stream) as progress:
        assert isinstance(progress, LineProgress)
        for _ in range(3):
            progress.advance()
    assert stream.getvalue() == ""


def test_longer_work_prints_one_line_and_then_waits() -> None:
    stream = io.StringIO()
    with open_progress("customer", total=9000, unit="keys", stream=stream) as progress:
        progress.advance(1000)
        time.sleep(_QUIET_S)
        progress.advance(500)
        progress.advance(500)
    line = r"customer: 1,500 of 9,000 keys \([\d,]+/s, 0:\d\d left\)\n"
    assert re.fullmatch(line, stream.getvalue())


@pytest.mark.parametrize(
    ("n_done", "total", "left"),
    [(1, 60_000, r"\d\d:\d\d:\d\d"), (1, 200, r"\d:\d\d"), (10**6, 10**6 + 1, "0:01")],
)
def test_line_says_how_long_the_rest_will_take(n_done: int, total: int, left: str) -> None:
    stream = io.StringIO()
    with open_progress("customer", total=total, shows_rate=False, stream=stream) as progress:
        time.sleep(_QUIET_S)
        progress.advance(n_done)
    assert re.search(rf" rows \({left} left\)\n$", stream.getvalue())


def test_line_of_work_that_is_done_says_nothing_of_a_rest() -> None:
    stream = io.StringIO()
    with open_progress("customer", total=7, shows_rate=False, stream=stream) as progress:
        time.sleep(_QUIET_S)
        progress.advance(7)
    assert stream.getvalue() == "customer: 7 of 7 rows\n"


def test_line_without_a_total_says_what_is_done() -> None:
    stream = io.StringIO()
    with open_progress("customer", stream=stream) as progress:
        time.sleep(_QUIET_S)
        progress.advance(7)
    assert re.fullmatch(r"customer: 7 rows \(\d+/s\)\n", stream.getvalue())


def test_progress_goes_to_stderr_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    with open_progress("customer") as progress:
        time.sleep(_QUIET_S)
        progress.advance(7)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("customer: 7 rows")


@pytest.mark.parametrize(("term", "kind"), [("xterm", RichBar), ("dumb", LineProgress)])
def test_terminal_gets_a_bar_unless_it_is_dumb(
    term: str, kind: type, terminal_fds: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    with (
        os.fdopen(terminal_fds[1], "w", closefd=False) as terminal,
        open_progress("customer", total=4, stream=terminal) as progress,
    ):
        assert isinstance(progress, kind)


def test_bar_shows_what_is_done(
    terminal_fds: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    reader_fd, terminal_fd = terminal_fds
    with (
        os.fdopen(terminal_fd, "w", closefd=False) as terminal,
        open_progress("customer", total=4, stream=terminal) as progress,
    ):
        progress.advance(2)
        time.sleep(0.15)  # A rate needs two instants.
        progress.advance(1)
        time.sleep(0.15)
    shown = ""
    # A terminal hands its output on in pieces, and not at once.
    while "/s" not in shown and select.select([reader_fd], [], [], 5.0)[0]:
        shown += os.read(reader_fd, 4096).decode(errors="replace")
    assert "customer" in shown
    assert "3/4" in shown
    assert re.search(r"\d/s", shown)
