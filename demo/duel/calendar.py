"""The instants of the duel's week; nothing in it is of today, so that its numbers stay."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

__all__ = ["DATA_END", "FIRST_DAY", "MONDAY", "at", "day_of_week"]

FIRST_DAY = date(2025, 2, 9)
"""First day of the shop's data."""

MONDAY = date(2026, 3, 2)
"""The week's first day."""

DATA_END = datetime(2026, 3, 9, tzinfo=UTC)
"""No invoice line is at or after this instant."""


def day_of_week(n_days: int) -> date:
    """Return a day by how many days it comes after the week's Monday."""
    return MONDAY + timedelta(days=n_days)


def at(n_days: int, hour: int) -> datetime:
    """Return an hour of a day of the week, in UTC."""
    return datetime.combine(day_of_week(n_days), time(hour), UTC)
