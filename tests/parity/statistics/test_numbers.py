from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.statistics.numbers import (
    absolute_differences,
    measure_numbers,
    measure_quantiles,
    relative_differences,
    ulp_distances,
)
from tests.support.scale import scaled

INT64 = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def column(*numbers: float, dtype: Any = np.float64) -> Any:
    return np.array(numbers, dtype=dtype)


@settings(max_examples=scaled(30, 2_000), deadline=None)
@given(st.lists(st.tuples(INT64, INT64), min_size=1))
def test_differences_of_integers_are_exact(pairs: list[tuple[int, int]]) -> None:
    offline, online = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    expected = [abs(a - b) for a, b in pairs]
    assert absolute_differences(offline, online).tolist() == expected
    statistics = measure_numbers(offline, online)
    assert statistics.max_absolute == max(expected)
    exact = max(
        (Fraction(abs(a - b), max(abs(a), abs(b))) for a, b in pairs if a != b), default=Fraction(0)
    )
    assert statistics.max_relative == pytest.approx(float(exact), rel=1e-12)
    assert statistics.max_ulp is None


@settings(max_examples=scaled(30, 2_000), deadline=None)
@given(FINITE, st.integers(0, 20), st.booleans())
def test_ulp_distance_counts_the_floats_between(start: float, n_steps: int, up: bool) -> None:
    number, steps = start, 0
    for _ in range(n_steps):
        following = math.nextafter(number, math.inf if up else -math.inf)
        if math.isinf(following):
            break
        number, steps = following, steps + 1
    (distance,) = ulp_distances(column(start), column(number))
    assert distance == steps


def test_ulp_distance_is_of_the_declared_type_and_crosses_zero() -> None:
    tiny = np.nextafter(np.float32(0), np.float32(1))
    offline, online = column(-tiny, dtype=np.float32), column(tiny, dtype=np.float32)
    assert ulp_distances(offline, online).tolist() == [2]
    assert ulp_distances(column(-0.0), column(0.0)).tolist() == [0]
    greatest = np.finfo(np.float64).max
    assert ulp_distances(column(-greatest), column(greatest)).tolist() == [2 * 0x7FEFFFFFFFFFFFFF]


@settings(max_examples=scaled(30, 2_000), deadline=None)
@given(FINITE, FINITE)
def test_relative_difference_is_bounded_and_symmetric(a: float, b: float) -> None:
    (one,) = relative_differences(column(a), column(b))
    (other,) = relative_differences(column(b), column(a))
    assert 0 <= one <= 2
    assert one == other
    assert (one == 0) == (a == b) or abs(a - b) < 1e-300


def test_measures_of_known_numbers() -> None:
    statistics = measure_numbers(column(1.0, 2.0, 0.0, 4.0), column(1.0, 3.0, 0.0, 2.0))
    assert statistics.n_pairs == 4
    assert statistics.smape == pytest.approx((0 + 2 / 5 + 0 + 4 / 6) / 4)
    assert statistics.max_absolute == 2.0
    assert statistics.max_relative == 0.5
    assert statistics.bias == pytest.approx((1 - 2) / 4)
    assert statistics.absolute is not None
    assert statistics.absolute.at(1.0) == 2.0
    assert statistics.offline is not None
    assert statistics.offline.at(0.5) == 1.0


def test_numbers_that_are_not_finite_are_counted_and_left_out() -> None:
    statistics = measure_numbers(column(1.0, math.nan, math.inf), column(1.5, 1.0, math.inf))
    assert (statistics.n_pairs, statistics.n_not_finite) == (1, 2)
    assert statistics.max_absolute == 0.5
    nothing = measure_numbers(column(), column())
    assert (nothing.n_pairs, nothing.max_absolute, nothing.offline) == (0, 0, None)


def test_extremes_do_not_overflow_into_nothing() -> None:
    greatest = np.finfo(np.float64).max
    statistics = measure_numbers(column(-greatest), column(greatest))
    assert (statistics.smape, statistics.max_relative) == (2.0, 2.0)
    assert statistics.max_absolute == math.inf


def test_quantiles_are_numbers_of_the_column() -> None:
    quantiles = measure_quantiles(np.array([2**62 + 1, 2**62 + 3], np.int64))
    assert quantiles is not None
    assert set(quantiles.values) == {2**62 + 1, 2**62 + 3}
    assert measure_quantiles(np.array([])) is None


def test_columns_of_two_types_or_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        measure_numbers(column(1.0, dtype=np.float32), column(1.0))
    with pytest.raises(ValueError, match="online"):
        measure_numbers(column(1.0), column())
