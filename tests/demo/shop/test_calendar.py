from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from demo.shop.calendar import ShopCalendar, months_before


def _minute(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) // 60


@pytest.mark.parametrize(
    ("day", "n_months", "expected"),
    [
        (date(2026, 5, 20), 13, date(2025, 4, 20)),
        (date(2026, 3, 31), 13, date(2025, 2, 28)),
        (date(2025, 3, 29), 13, date(2024, 2, 29)),
        (date(2026, 12, 1), 12, date(2025, 12, 1)),
    ],
)
def test_months_before_ends_in_a_day_that_exists(day: date, n_months: int, expected: date) -> None:
    assert months_before(day, n_months) == expected


def test_positions_keep_their_order_and_stay_in_opening_hours() -> None:
    end = _minute(2026, 2, 1)
    shop_calendar = ShopCalendar(date(2026, 1, 1), end_minute=end)
    minutes = shop_calendar.minutes_at(np.linspace(0.0, shop_calendar.n_days, 5_000)[1:-1])
    assert bool((np.diff(minutes) >= 0).all())
    assert _minute(2026, 1, 4) <= minutes[0]
    assert minutes[-1] < end
    hours = minutes // 60 % 24
    assert (hours.min(), hours.max()) == (6, 20)
    is_saturday = (minutes // 1440 + 3) % 7 == 5
    assert not bool(is_saturday.any())


def test_an_end_within_an_hour_is_not_passed() -> None:
    end = _minute(2026, 1, 15, 12, 30)
    shop_calendar = ShopCalendar(date(2026, 1, 1), end_minute=end)
    minutes = shop_calendar.minutes_at(np.array([shop_calendar.n_days]))
    assert minutes[0] == end - 2
