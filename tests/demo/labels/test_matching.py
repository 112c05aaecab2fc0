from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.labels.matching import match_cancellations
from tests.demo.labels.oracle import match_units
from tests.support.scale import scaled

QUANTITIES = st.lists(st.integers(-6, 6).filter(bool), max_size=14)


def _matches(*quantities: int) -> list[tuple[int, int, int]]:
    matching = match_cancellations([7] * len(quantities), quantities)
    columns = (matching.cancellation_idx, matching.sale_idx, matching.quantity)
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize(
    ("quantities", "matches"),
    [
        ([3, 2, -1], [(2, 1, 1)]),  # the nearest, not the first
        ([3, 2, -4], [(2, 1, 2), (2, 0, 2)]),  # goes on to the next nearest
        ([3, 2, -2, -1], [(2, 1, 2), (3, 0, 1)]),  # a used-up sale is passed over
        ([3, -1, 2, -1, -3], [(1, 0, 1), (3, 2, 1), (4, 2, 1), (4, 0, 2)]),
        ([-2, 5], []),  # never a later sale
        ([2, -5, 4, -1], [(1, 0, 2), (3, 2, 1)]),  # what is unmatched does not wait
        ([], []),
    ],
)
def test_a_cancellation_takes_from_the_nearest_earlier_sale_with_quantity_left(
    quantities: list[int], matches: list[tuple[int, int, int]]
) -> None:
    assert _matches(*quantities) == matches


def test_pairs_are_matched_on_their_own() -> None:
    matching = match_cancellations([1, 1, 2, 2, 3], [5, -1, -1, 4, -2])
    assert (matching.cancellation_idx, matching.sale_idx) == ([1], [0])
    assert matching.n_open_sales == [0, 1, 0, 0, 0]


def test_unequal_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        match_cancellations([1, 1], [5])


@settings(max_examples=scaled(150, 5000))
@given(groups=st.lists(QUANTITIES, max_size=4))
def test_matches_equal_those_found_unit_by_unit(groups: list[list[int]]) -> None:
    pairs = [pair for pair, group in enumerate(groups) for _ in group]
    quantities = [quantity for group in groups for quantity in group]
    matching = match_cancellations(pairs, quantities)
    keys = zip(matching.cancellation_idx, matching.sale_idx, strict=True)
    units, n_open = match_units(pairs, quantities)
    assert dict(zip(keys, matching.quantity, strict=True)) == units
    assert len(matching.quantity) == len(units)
    assert matching.n_open_sales == n_open
    assert matching.cancellation_idx == sorted(matching.cancellation_idx)


@settings(max_examples=scaled(100, 3000))
@given(before=QUANTITIES, other=QUANTITIES, after=QUANTITIES)
def test_what_a_sale_loses_does_not_depend_on_what_came_before(
    before: list[int], other: list[int], after: list[int]
) -> None:
    def losses(start: list[int]) -> dict[tuple[int, int], int]:
        n = len(start)
        return {
            (cancellation - n, sale - n): quantity
            for cancellation, sale, quantity in _matches(*start, *after)
            if sale >= n
        }

    assert losses(before) == losses(other)
