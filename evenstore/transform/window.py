"""Windows and the days they belong to.

A window is half-open, `[start, end)`. It belongs to the day that holds its last microsecond: the
daily window of 9 March and the 24 hourly windows that end after midnight of 9 March, up to and
including midnight of the 10th, are the windows of 9 March. All instants are microseconds UTC.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

__all__ = [
    "US_PER_DAY",
    "WindowGrain",
    "consecutive_runs",
    "day_of_window_end",
    "day_start_us",
    "days_between",
    "newest_usable_end_us",
]

US_PER_DAY = 86_400_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class WindowGrain(enum.Enum):
    """What windows end on."""

    DAY = "day"
    HOUR = "hour"

    @property
    def length_us(self) -> int:
        """The distance between two window ends."""
        return US_PER_DAY if self is WindowGrain.DAY else 3_600_000_000


def day_start_us(day: date) -> int:
    """Return midnight, UTC, at which a day begins."""
    return (day.toordinal() - _EPOCH_ORDINAL) * US_PER_DAY


def day_of_window_end(end_us: int) -> date:
    """Return the day that the window with this exclusive end belongs to."""
    return date.fromordinal((end_us - 1) // US_PER_DAY + _EPOCH_ORDINAL)


def newest_usable_end_us(grain: WindowGrain, *, delay_us: int, now_us: int) -> int:
    """Return the latest window end whose rows may already be used: its delay is over too."""
    return (now_us - delay_us) // grain.length_us * grain.length_us


def days_between(first_day: date, last_day: date) -> list[date]:
    """List the days from the first to the last, both inclusive; none when they are swapped."""
    return [first_day + timedelta(days=i) for i in range((last_day - first_day).days + 1)]


def consecutive_runs(days: Sequence[date], *, longest: int) -> Iterator[Sequence[date]]:
    """Cut ascending days into runs without a gap, none longer than `longest`."""
    start = 0
    for i in range(1, len(days) + 1):
        is_cut = i == len(days) or days[i] - days[i - 1] != timedelta(days=1)
        if is_cut or i - start == longest:
            yield days[start:i]
            start = i
