from __future__ import annotations

import threading

import pytest

from parity.live.pace import Pace


class Time:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self._lock = threading.Lock()

    def now_s(self) -> float:
        return self.now

    def sleep(self, pause_s: float) -> None:
        with self._lock:
            self.now += pause_s


def test_rows_of_a_run_take_as_long_as_the_rate_says() -> None:
    time = Time()
    pace = Pace(100, now_s=time.now_s, sleep=time.sleep)
    for _ in range(11):
        pace.wait(25)
    assert time.now == pytest.approx(102.5)


def test_time_that_was_not_used_is_not_made_up_for_in_a_burst() -> None:
    time = Time()
    pace = Pace(100, now_s=time.now_s, sleep=time.sleep)
    pace.wait(25)
    time.now += 60
    before = time.now
    for _ in range(5):
        pace.wait(25)
    assert time.now - before == pytest.approx(1.0)


@pytest.mark.parametrize(("rate", "rows"), [(None, 100), (1_000, 100), (40, 10), (1, 1)])
def test_batches_are_small_at_a_low_rate(rate: int | None, rows: int) -> None:
    assert Pace(rate).rows_per_batch(100) == rows
