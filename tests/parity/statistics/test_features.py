from __future__ import annotations

import math

from evenstore.dtypes import Dtype
from parity.statistics.features import FeatureStatistics, count_bit_equal
from parity.statistics.instants import measure_instants
from parity.values import Undecodable
from tests.parity.reports import compare_values


def statistics_of(dtype: Dtype, offline: list[object], online: list[object]) -> FeatureStatistics:
    compared = compare_values("x", dtype, offline, online)  # type: ignore[arg-type]
    assert compared.statistics is not None
    return compared.statistics


def test_numbers_are_measured_over_cells_with_a_number_on_both_sides() -> None:
    offline: list[object] = [1, None, 3, 2**53 + 1]
    online: list[object] = [1, 5, Undecodable('"3"'), 2**53]
    numbers = statistics_of(Dtype.INT64, offline, online).numbers
    assert numbers is not None
    assert (numbers.n_pairs, numbers.max_absolute) == (2, 1)


def test_float32_is_measured_in_float32() -> None:
    numbers = statistics_of(Dtype.FLOAT32, [0.5], [0.5 + 2.0**-24]).numbers
    assert numbers is not None
    assert numbers.max_ulp == 1


def test_texts_name_the_most_frequent_confusions() -> None:
    statistics = statistics_of(Dtype.STRING, ["a", "a", "b", "c"], ["b", "b", "a", "c"])
    assert statistics.numbers is None
    pairs = [(c.offline, c.online, c.n_cells) for c in statistics.confusions]
    assert pairs == [("a", "b", 2), ("b", "a", 1)]


def test_flags_and_their_confusions_do_not_mix_with_null() -> None:
    pairs = statistics_of(Dtype.BOOL, [True, None], [None, False]).confusions
    assert {(c.offline, c.online) for c in pairs} == {(True, None), (None, False)}


def test_lists_and_maps_are_measured_where_they_differ() -> None:
    lists = statistics_of(Dtype.INT64_LIST, [(1, 2), (3,)], [(1, 2), (4,)]).lists
    assert lists is not None
    assert (lists.n_pairs, lists.max_edits) == (1, 1)
    maps = statistics_of(Dtype("Map"), [(("a", 1),)], [(("b", 1),)]).maps
    assert maps is not None
    assert (maps.missing_keys, maps.extra_keys) == ((("a", 1),), (("b", 1),))


def test_equal_bits_are_more_than_equal_values() -> None:
    offline = [0.0, math.nan, 1.0, None, (0.0,), "a", 1]
    online = [-0.0, math.nan, 1.0, None, (-0.0,), "a", True]
    assert count_bit_equal(offline, online) == 4


def test_instants_tell_older_newer_absent_and_future() -> None:
    statistics = measure_instants(
        [10, 20, None, 30, None, 101],
        [10, 15, 40, None, None, 102],
        [100] * 6,
        promise_us=80,
    )
    assert (statistics.n_equal, statistics.n_online_older, statistics.n_online_newer) == (1, 1, 1)
    assert (statistics.n_offline_only, statistics.n_online_only, statistics.n_neither) == (1, 1, 1)
    assert (statistics.n_future, statistics.max_online_behind_us) == (1, 5)
    assert statistics.n_older_than_promise == 2
    assert statistics.age_us is not None
    assert statistics.age_us.at(1.0) == 90
