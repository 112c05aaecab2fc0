"""When the shop sells: season, weekdays, opening hours, as one increasing function of time.

A position on the calendar is the expected trade since its start, in average days: orders spread
evenly over positions fall into busy hours and leave closed ones empty, and a delay measured in
positions never ends outside opening hours.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

__all__ = ["ShopCalendar", "months_before"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Minutes = np.ndarray[Any, np.dtype[np.int64]]

# Shares of the real set: invoices for each open day, by weekday from Monday, and by hour from
# 06:00.
_WEEKDAYS = (0.96, 0.99, 0.99, 1.16, 0.91, 0.0, 0.52)
_FIRST_HOUR = 6
_HOURS = (22, 31, 624, 1824, 2961, 3165, 3962, 3369, 3137, 3069, 1952, 1205, 333, 219, 28)
_MONTHS = (0.75, 0.75, 0.88, 0.85, 1.0, 0.95, 0.9, 0.82, 1.1, 1.25, 1.6, 1.15)
_MINUTES_PER_HOUR = 60


class ShopCalendar:
    """Trade over whole days from midnight of `first_day` up to an instant.

    Attributes:
        n_days: Length in average days: the greatest position.
    """

    def __init__(self, first_day: date, *, end_minute: int) -> None:
        self._start_minute = _minute_of(first_day)
        self._end_minute = end_minute
        n_hours = -(-(end_minute - self._start_minute) // _MINUTES_PER_HOUR)
        trade = _hourly_trade(first_day, -(-n_hours // 24))[:n_hours]
        rest = (end_minute - self._start_minute) % _MINUTES_PER_HOUR
        if rest:
            trade[-1] *= rest / _MINUTES_PER_HOUR
        self.n_days = n_hours / 24
        # A closed hour gains next to nothing instead of nothing, so that the function is
        # invertible.
        steps = np.maximum(trade, 1e-12)
        self._hour_positions: Floats = np.concatenate(([0.0], np.cumsum(steps)))
        self._hour_positions *= self.n_days / self._hour_positions[-1]

    def minutes_at(self, positions: Floats) -> Minutes:
        """Return the minute since the epoch at each position, always before the end."""
        hours = np.arange(len(self._hour_positions))
        offset = np.interp(positions, self._hour_positions, hours) * _MINUTES_PER_HOUR
        minutes = self._start_minute + offset.astype(np.int64)
        # Two minutes are kept free: an invoice may go on for a second minute.
        return np.asarray(np.minimum(minutes, self._end_minute - 2), dtype=np.int64)


def months_before(day: date, n_months: int) -> date:
    """Return the same day of an earlier month, or that month's last day when it is shorter."""
    month_idx = day.year * 12 + day.month - 1 - n_months
    year, month = month_idx // 12, month_idx % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _hourly_trade(first_day: date, n_days: int) -> Floats:
    hours = np.zeros(24)
    hours[_FIRST_HOUR : _FIRST_HOUR + len(_HOURS)] = np.array(_HOURS) / sum(_HOURS)
    days = [first_day + timedelta(days=i) for i in range(n_days)]
    weights = np.array([_day_weight(day) for day in days])
    return np.outer(weights, hours).ravel()


def _day_weight(day: date) -> float:
    is_holiday = (day.month, day.day) >= (12, 24) or (day.month, day.day) <= (1, 3)
    return 0.0 if is_holiday else _MONTHS[day.month - 1] * _WEEKDAYS[day.weekday()]


def _minute_of(day: date) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return int(midnight.timestamp()) // 60
