from __future__ import annotations

from datetime import date, timedelta

import pytest

from evenstore.transform.window import (
    US_PER_DAY,
    WindowGrain,
    consecutive_runs,
    day_of_window_end,
    day_start_us,
    days_between,
    newest_usable_end_us,
)

HOUR_US = US_PER_DAY // 24
MONDAY = date(2011, 3, 7)
MIDNIGHT_US = day_start_us(MONDAY)


def test_a_day_starts_at_midnight_utc_also_before_1970() -> None:
    assert day_start_us(date(1970, 1, 1)) == 0
    assert day_start_us(date(1969, 12, 31)) == -US_PER_DAY


def test_a_window_that_ends_at_midnight_belongs_to_the_day_before() -> None:
    assert day_of_window_end(MIDNIGHT_US) == MONDAY - timedelta(days=1)
    assert day_of_window_end(MIDNIGHT_US + 1) == MONDAY


@pytest.mark.parametrize(
    ("grain", "now_us", "expected_us"),
    [
        (WindowGrain.DAY, 2 * HOUR_US, 0),
        (WindowGrain.DAY, 2 * HOUR_US - 1, -US_PER_DAY),
        (WindowGrain.HOUR, 5 * HOUR_US + 7, 3 * HOUR_US),
    ],
)
def test_a_window_is_usable_when_its_delay_is_over(
    grain: WindowGrain, now_us: int, expected_us: int
) -> None:
    newest_us = newest_usable_end_us(grain, delay_us=2 * HOUR_US, now_us=MIDNIGHT_US + now_us)
    assert newest_us == MIDNIGHT_US + expected_us


def test_days_between_include_both_ends_and_are_none_when_swapped() -> None:
    next_day = MONDAY + timedelta(days=1)
    assert days_between(MONDAY, next_day) == [MONDAY, next_day]
    assert days_between(next_day, MONDAY) == []


def test_runs_break_at_gaps_and_at_the_longest_length() -> None:
    days = [MONDAY + timedelta(days=i) for i in (0, 1, 2, 5, 6)]
    assert [len(run) for run in consecutive_runs(days, longest=2)] == [2, 1, 2]
    assert [len(run) for run in consecutive_runs(days, longest=9)] == [3, 2]
    assert list(consecutive_runs([], longest=2)) == []
