from __future__ import annotations

import math

import pytest

from parity.statistics.intervals import estimate_rate


@pytest.mark.parametrize(
    ("n_hits", "n_cells", "low", "high"),
    [
        # E. B. Wilson's interval, computed by hand from its formula with z = 1.96.
        (0, 1_000, 0.0, 0.003827),
        (10, 100, 0.055229, 0.174366),
        (50, 100, 0.403832, 0.596168),
        (1_000, 1_000, 0.996173, 1.0),
    ],
)
def test_interval_is_wilsons(n_hits: int, n_cells: int, low: float, high: float) -> None:
    rate = estimate_rate(n_hits, n_cells)
    assert rate.low == pytest.approx(low, abs=1e-6)
    assert rate.high == pytest.approx(high, abs=1e-6)
    assert rate.low <= rate.share <= rate.high


def test_ends_solve_the_equation_that_defines_them() -> None:
    rate = estimate_rate(7, 311)
    for end in (rate.low, rate.high):
        z = abs(rate.share - end) / math.sqrt(end * (1 - end) / rate.n_cells)
        assert z == pytest.approx(1.959963984540054)


def test_nothing_compared_promises_nothing() -> None:
    rate = estimate_rate(0, 0)
    assert (rate.share, rate.low, rate.high) == (0.0, 0.0, 1.0)
