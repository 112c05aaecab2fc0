from __future__ import annotations

from collections.abc import Callable

import pytest

from evenstore.compute.pace import Pace, PaceLimits


class _Time:
    """A clock that only sleeping and asking Redis move."""

    def __init__(self, latencies_s: list[float] | None = None) -> None:
        self.now_s = 100.0
        self.slept_s: list[float] = []
        self.n_pings = 0
        self._latencies_s = latencies_s or []

    def sleep(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        self.now_s += duration_s

    def ping(self) -> None:
        latency_s = self._latencies_s[min(self.n_pings, len(self._latencies_s) - 1)]
        self.now_s += latency_s
        self.n_pings += 1

    def pace(self, limits: PaceLimits, ping: Callable[[], object] | None = None) -> Pace:
        return Pace(limits, ping or self.ping, now_s=lambda: self.now_s, sleep=self.sleep)


def test_run_without_limits_neither_rests_nor_asks() -> None:
    time = _Time()
    pace = time.pace(PaceLimits())

    pace.rest(10_000)

    assert time.slept_s == []
    assert time.n_pings == 0


def test_run_keeps_its_rate_whatever_writing_takes() -> None:
    time = _Time()
    pace = time.pace(PaceLimits(max_rows_per_s=1000))
    started_s = time.now_s

    for writing_s in (0.0, 0.05, 0.02, 0.1):
        time.now_s += writing_s
        pace.rest(100)

    assert time.now_s - started_s == pytest.approx(0.4)


def test_time_lost_in_a_stall_is_no_reason_for_a_burst() -> None:
    time = _Time()
    pace = time.pace(PaceLimits(max_rows_per_s=1000))
    time.now_s += 60
    started_s = time.now_s

    for _ in range(5):
        pace.rest(100)

    assert time.now_s - started_s == pytest.approx(0.4)


def test_run_backs_off_until_redis_answers_in_time() -> None:
    time = _Time([0.02, 0.02, 0.02, 0.004])
    pace = time.pace(PaceLimits(max_redis_latency_ms=5))

    pace.rest(100)
    assert time.slept_s == [0.01, 0.02, 0.04]
    pace.rest(100)

    assert time.slept_s == [0.01, 0.02, 0.04]
    assert time.n_pings == 5


def test_run_goes_on_where_redis_stays_slow() -> None:
    time = _Time([0.02])
    pace = time.pace(PaceLimits(max_redis_latency_ms=5))
    started_s = time.now_s

    pace.rest(100)

    assert 30 <= time.now_s - started_s < 32
    assert max(time.slept_s) == 1


@pytest.mark.parametrize(
    ("max_rows_per_s", "n_rows"),
    [(None, 10_000), (1_000_000, 10_000), (50_000, 5_000), (500, 100), (10, 100)],
)
def test_slow_run_writes_small_chunks(max_rows_per_s: int | None, n_rows: int) -> None:
    assert PaceLimits(max_rows_per_s).rows_per_chunk(10_000) == n_rows
