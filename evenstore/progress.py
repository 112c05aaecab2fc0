"""Progress of long work, behind an interface, so that the engine never knows how it is shown.

`open_progress` gives a Rich bar on a terminal where Rich is installed, plain lines on stderr
elsewhere, and is silent for work that ends within a second. Data goes to stdout; progress never
does.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from typing_extensions import override

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, TaskID

__all__ = ["LineProgress", "NullProgress", "Progress", "RichBar", "open_progress"]

_QUIET_S = 1.0
_LINE_INTERVAL_S = 5.0


class Progress(Protocol):
    """What long work reports to.

    `advance` as often as it likes, the display decides what is shown.
    """

    def advance(self, n_done: int = 1) -> None:
        """Count work as done."""
        ...


class NullProgress:
    """Shows nothing."""

    def advance(self, n_done: int = 1) -> None:
        """Count nothing."""


class LineProgress:
    """One plain line every five seconds, the first after one second; for logs and pipes."""

    def __init__(
        self, label: str, total: int | None, unit: str, stream: TextIO, *, shows_rate: bool = True
    ) -> None:
        self._shows_rate = shows_rate
        self._label = label
        self._total = total
        self._unit = unit
        self._stream = stream
        self._n_done = 0
        self._started_s = time.monotonic()
        self._next_line_s = self._started_s + _QUIET_S

    def advance(self, n_done: int = 1) -> None:
        """Count work and print a line when one is due."""
        self._n_done += n_done
        now_s = time.monotonic()
        if now_s >= self._next_line_s:
            self._next_line_s = now_s + _LINE_INTERVAL_S
            total = "" if self._total is None else f" of {self._total:,}"
            print(
                f"{self._label}: {self._n_done:,}{total} {self._unit}{self._pace(now_s)}",
                file=self._stream,
                flush=True,
            )

    def _pace(self, now_s: float) -> str:
        per_s = self._n_done / (now_s - self._started_s)
        said = [f"{per_s:,.0f}/s"] if self._shows_rate else []
        if self._total is not None and 0 < self._n_done < self._total:
            said.append(f"{_duration((self._total - self._n_done) / per_s)} left")
        return f" ({', '.join(said)})" if said else ""


def _duration(duration_s: float) -> str:
    minutes, seconds = divmod(max(1, round(duration_s)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class RichBar:
    """A bar on a terminal."""

    def __init__(self, display: RichProgress, task: TaskID) -> None:
        self._display = display
        self._task = task

    def advance(self, n_done: int = 1) -> None:
        """Move the bar."""
        self._display.advance(self._task, n_done)


@contextmanager
def open_progress(
    label: str,
    *,
    total: int | None = None,
    unit: str = "rows",
    shows_rate: bool = True,
    stream: TextIO | None = None,
) -> Iterator[Progress]:
    """Show progress of one piece of work while the block runs.

    Args:
        label: What is done, such as a view's name.
        total: How much there is, where known.
        unit: What is counted.
        shows_rate: Whether units per second are shown too.
        stream: Where to show it; stderr by default.
    """
    out = sys.stderr if stream is None else stream
    if (
        not out.isatty()
        or importlib.util.find_spec("rich") is None
        or os.environ.get("TERM") == "dumb"
    ):
        yield LineProgress(label, total, unit, out, shows_rate=shows_rate)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        *((_rate_column(),) if shows_rate else ()),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=out), transient=True) as display:
        yield RichBar(display, display.add_task(label, total=total))


def _rate_column() -> ProgressColumn:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Units per second, over the last half minute."""

        @override
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f}/s")

    return RateColumn()
