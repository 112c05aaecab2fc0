from __future__ import annotations

import functools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from parity.statistics.sequences import edit_distance, measure_lists, measure_maps
from tests.support.scale import scaled

ITEMS = st.lists(st.sampled_from([1, 2, 3, "a", None]), max_size=8).map(tuple)


@functools.cache
def slow_distance(one: tuple[object, ...], other: tuple[object, ...]) -> int:
    if not one or not other:
        return len(one) + len(other)
    return min(
        slow_distance(one[1:], other) + 1,
        slow_distance(one, other[1:]) + 1,
        slow_distance(one[1:], other[1:]) + (one[0] != other[0]),
    )


@settings(max_examples=scaled(50, 2_000), deadline=None)
@given(ITEMS, ITEMS)
def test_edit_distance_is_the_least_number_of_edits(
    one: tuple[object, ...], other: tuple[object, ...]
) -> None:
    assert edit_distance(one, other) == slow_distance(one, other)  # type: ignore[arg-type]


def test_items_are_equal_as_values_are() -> None:
    assert edit_distance((math.nan, 0.0), (math.nan, -0.0)) == 0
    assert edit_distance((1.0,), (1,)) == 1


def test_lists_tell_order_from_content() -> None:
    statistics = measure_lists([(("a", "b", "c"), ("c", "b", "a")), (("a",), ("a", "b"))])
    assert (statistics.n_pairs, statistics.n_same_items, statistics.n_length_differs) == (2, 1, 1)
    assert (statistics.max_edits, statistics.mean_edits) == (2, 1.5)
    assert statistics.max_length_difference == 1


def test_long_lists_with_one_edit_are_exact_and_wholly_different_ones_are_bounded() -> None:
    long = tuple(range(5_000))
    statistics = measure_lists([(long, (*long[:2_500], -1, *long[2_501:]))])
    assert (statistics.max_edits, statistics.n_not_measured) == (1, 0)
    statistics = measure_lists([(long, tuple(-1 - i for i in long))])
    assert (statistics.max_edits, statistics.n_not_measured) == (5_000, 1)


def test_maps_name_the_keys_that_differ() -> None:
    offline = (("a", 1), ("b", 2), ("c", None))
    online = (("a", 1), ("b", 3), ("d", 4))
    statistics = measure_maps([(offline, online), (offline, offline[:2])])
    assert statistics.n_pairs == 2
    assert statistics.missing_keys == (("c", 2),)
    assert statistics.extra_keys == (("d", 1),)
    assert statistics.differing_keys == (("b", 1),)
