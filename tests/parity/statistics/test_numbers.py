from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.statistics.number_tally import NumberTally, measure_numbers
from parity.statistics.numbers import (
    absolute_differences,
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


NUMBERS = st.one_of(FINITE, st.sampled_from((0.0, -0.0, 1.0, math.nan, math.inf)))


@settings(max_examples=scaled(30, 2_000), deadline=None)
@given(st.lists(st.lists(st.tuples(NUMBERS, NUMBERS)), max_size=4))
def test_batches_add_up_to_what_all_numbers_have_together(
    batches: list[list[tuple[float, float]]],
) -> None:
    pairs = [pair for batch in batches for pair in batch]
    whole = measure_numbers(column(*(a for a, _ in pairs)), column(*(b for _, b in pairs)))
    tally = NumberTally(np.dtype(np.float64))
    for batch in batches:
        tally.add(column(*(a for a, _ in batch)), column(*(b for _, b in batch)))
    added = tally.measured()
    for field in ("n_pairs", "n_not_finite", "max_absolute", "max_relative", "max_ulp"):
        assert getattr(added, field) == getattr(whole, field), field
    assert (added.offline, added.online) == (whole.offline, whole.online)
    assert added.absolute == whole.absolute
    assert added.smape == pytest.approx(whole.smape)
    if math.isfinite(whole.bias):
        scale = max((abs(b - a) for a, b in pairs if math.isfinite(b - a)), default=0.0)
        assert added.bias == pytest.approx(whole.bias, abs=scale * 1e-12)
    finite = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    differences = absolute_differences(
        column(*(a for a, _ in finite)), column(*(b for _, b in finite))
    )
    for quantiles, numbers in (
        (whole.offline, [a for a, _ in finite]),
        (whole.absolute, differences),
    ):
        assert quantiles == measure_quantiles(np.asarray(numbers))


def test_equal_numbers_need_no_second_column() -> None:
    values = column(3.0, math.nan, -0.0, math.inf, 1.0)
    one, other = (NumberTally(np.dtype(np.float64)) for _ in range(2))
    one.add_equal(values)
    other.add(values, values)
    assert one.measured() == other.measured()
    assert one.measured().n_not_finite == 2


def test_quantiles_of_many_numbers_are_of_a_sample_and_near() -> None:
    n_rows = 50_000
    rng = np.random.default_rng(7)
    offline = rng.permutation(n_rows).astype(np.float64)
    online = offline + np.where(rng.random(n_rows) < 0.02, offline / 10, 0.0)
    tally = NumberTally(np.dtype(np.float64), most_kept=1_000)
    for start in range(0, n_rows, 777):
        tally.add(offline[start : start + 777], online[start : start + 777])
    sampled, exact = tally.measured(), measure_numbers(offline, online)
    assert (sampled.n_pairs, sampled.max_absolute) == (exact.n_pairs, exact.max_absolute)
    assert sampled.bias == pytest.approx(exact.bias)
    assert sampled.offline is not None
    assert sampled.absolute is not None
    assert exact.absolute is not None
    assert sampled.offline.at(1.0) == n_rows - 1
    for share in (0.05, 0.5, 0.95):
        assert sampled.offline.at(share) == pytest.approx(n_rows * share, abs=n_rows * 0.05)
    # Most pairs are equal, and that is counted, not sampled.
    assert sampled.absolute.at(0.95) == 0.0
    assert sampled.absolute.at(0.99) == pytest.approx(exact.absolute.at(0.99), rel=0.2)
    assert sampled.absolute.at(1.0) == exact.absolute.at(1.0)


def test_columns_of_two_types_or_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        measure_numbers(column(1.0, dtype=np.float32), column(1.0))
    with pytest.raises(ValueError, match="online"):
        measure_numbers(column(1.0), column())
