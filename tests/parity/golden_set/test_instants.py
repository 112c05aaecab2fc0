from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from evenstore.schema.request import ViewRead
from parity.golden_set.instants import choose_instants, find_boundaries
from parity.strata import Boundary, ViewEntities, classify_entities
from tests.parity.cases import AS_OF_US, CUSTOMER, DAY_US, PRODUCT, build_view

HOUR_US = DAY_US // 24
ACTIVITY = build_view("activity", [CUSTOMER], [PRODUCT])
ENDLESS = build_view("endless", [CUSTOMER], [PRODUCT], ttl_us=None)

Rows = Sequence[tuple[int, int | None]]


def describe(rows: Rows) -> pa.Table:
    return pa.table(
        {
            "customer_id": pa.array(range(len(rows)), pa.int64()),
            "n_rows": pa.array([1] * len(rows), pa.int64()),
            "event_us": pa.array([event_us for event_us, _ in rows], pa.int64()),
            "has_null": pa.array([False] * len(rows)),
            "is_ambiguous": pa.array([False] * len(rows)),
            "created_us": pa.array([created_us for _, created_us in rows], pa.int64()),
        }
    )


def boundaries(read: ViewRead, rows: Rows, seed: int = 0) -> list[tuple[Boundary, object, int]]:
    table = describe(rows)
    view: ViewEntities = classify_entities(read, table, as_of_us=AS_OF_US)
    found = find_boundaries([read], [view], [table], last_us=AS_OF_US, seed=seed)
    return [(row.boundary, row.key, row.as_of_us - AS_OF_US) for row in found]


def test_both_sides_of_the_last_microsecond_within_ttl_are_asked_for() -> None:
    old = AS_OF_US - DAY_US - HOUR_US
    found = boundaries(ACTIVITY, [(old, None), (AS_OF_US - HOUR_US, None)])
    assert found == [
        (Boundary.TTL_EDGE, (0,), -HOUR_US),
        (Boundary.TTL_EDGE, (0,), -HOUR_US + 1),
    ]


def test_a_view_without_ttl_has_no_edge() -> None:
    assert boundaries(ENDLESS, [(AS_OF_US - 9 * DAY_US, None)]) == []


def test_both_sides_of_the_instant_at_which_a_late_row_became_known_are_asked_for() -> None:
    found = boundaries(ENDLESS, [(AS_OF_US - 2 * HOUR_US, AS_OF_US - HOUR_US)])
    assert found == [
        (Boundary.LATE, (0,), -HOUR_US - 1),
        (Boundary.LATE, (0,), -HOUR_US),
    ]


def test_a_row_that_was_known_when_it_happened_is_not_late() -> None:
    at = AS_OF_US - HOUR_US
    assert boundaries(ENDLESS, [(at, at), (at, at - 5), (at, None)]) == []
    assert len(boundaries(ENDLESS, [(at, at + 1)])) == 2


def test_nothing_after_the_last_instant_is_asked_for() -> None:
    edge_at_the_end = AS_OF_US - DAY_US
    assert boundaries(ACTIVITY, [(edge_at_the_end, None)]) == []
    assert len(boundaries(ACTIVITY, [(edge_at_the_end - 1, None)])) == 2
    assert boundaries(ENDLESS, [(AS_OF_US - 5, AS_OF_US + 1)]) == []


def test_a_row_that_expired_before_it_was_known_is_no_ttl_edge() -> None:
    old = AS_OF_US - 3 * DAY_US
    kinds = {kind for kind, _, _ in boundaries(ACTIVITY, [(old, old + DAY_US + 1)])}
    assert kinds == {Boundary.LATE}


def test_few_entities_are_chosen_and_another_seed_chooses_others() -> None:
    old = AS_OF_US - 2 * DAY_US
    rows = [(old, None)] * 50
    chosen = [{key for _, key, _ in boundaries(ACTIVITY, rows, seed)} for seed in range(3)]
    assert all(len(keys) == 2 for keys in chosen)
    assert len(set(map(frozenset, chosen))) > 1
    assert boundaries(ACTIVITY, rows, 1) == boundaries(ACTIVITY, rows, 1)


def test_instants_end_at_the_newest_row_and_lie_within_the_longest_ttl() -> None:
    table = describe([(AS_OF_US - 30 * DAY_US, None), (AS_OF_US - 5, AS_OF_US - 3)])
    chosen = choose_instants([ACTIVITY], [table], now_us=AS_OF_US, n_instants=3)
    assert chosen[-1] == AS_OF_US - 3
    assert len(chosen) == 3
    assert chosen[0] >= AS_OF_US - DAY_US - 2_000_000
    assert all(instant_us % 1_000_000 == 0 for instant_us in chosen[:-1])


def test_instants_never_lie_ahead_and_one_is_enough() -> None:
    ahead = describe([(AS_OF_US - DAY_US, AS_OF_US + DAY_US)])
    assert choose_instants([ENDLESS], [ahead], now_us=AS_OF_US, n_instants=1) == (AS_OF_US,)
    empty = describe([])
    assert choose_instants([ENDLESS], [empty], now_us=AS_OF_US, n_instants=3) == (AS_OF_US,)
