from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from evenstore.schema.model import Field
from parity.golden import GoldenSet, draw_golden_set
from parity.strata import Boundary, Stratum, ViewEntities
from tests.parity.cases import CUSTOMER, PRODUCT, build_request, build_view, describe
from tests.support.scale import scaled

ORDERS = Field("orders", Dtype.INT64)
ACTIVITY = build_view("activity", [CUSTOMER], [ORDERS])
DEMAND = build_view("demand", [PRODUCT], [ORDERS])
HISTORY = build_view("history", [CUSTOMER, PRODUCT], [ORDERS])
DRAWN_STRATA = set(Stratum)


def customers(n_entities: int) -> ViewEntities:
    """One hot, some cold, and two each of expired, null and tied."""
    n_rows = [50, 1, *[5] * (n_entities - 2)]
    return describe(
        ACTIVITY,
        [(100 + i,) for i in range(n_entities)],
        n_rows=n_rows,
        expired=[2, 3],
        null=[4, 5],
        tied=[6, 7],
    )


def products(n_entities: int) -> ViewEntities:
    return describe(
        DEMAND,
        [(f"P{i}",) for i in range(n_entities)],
        n_rows=[9, 1, *[5] * (n_entities - 2)],
        expired=[2],
        null=[3],
        tied=[4],
    )


def rows_of(golden: GoldenSet) -> list[tuple[object, ...]]:
    return list(zip(*golden.columns.values(), strict=True))


def covered(golden: GoldenSet, view_name: str) -> set[Stratum | Boundary]:
    return {c.stratum for c in golden.strata if c.view_name == view_name and c.n_rows}


def test_every_stratum_is_drawn_even_in_a_small_set() -> None:
    golden = draw_golden_set(build_request(ACTIVITY), [customers(200)], n_rows=7, seed=0)
    assert golden.n_rows == 7
    assert covered(golden, "activity") == DRAWN_STRATA


def test_every_stratum_of_every_view_is_drawn_for_several_entities() -> None:
    history = describe(
        HISTORY,
        [(100 + i, f"P{i}") for i in range(40)],
        n_rows=[9, 1, *[5] * 38],
        expired=[2],
        null=[3],
        tied=[4],
    )
    request = build_request(ACTIVITY, DEMAND, HISTORY)
    views = [customers(50), products(40), history]
    golden = draw_golden_set(request, views, n_rows=120, seed=0)
    for name in ("activity", "demand", "history"):
        assert covered(golden, name) == DRAWN_STRATA


def test_draw_depends_on_the_seed_and_not_on_the_order_of_entities() -> None:
    keys = [(i,) for i in range(300)]
    shuffled = random.Random(5).sample(keys, len(keys))
    request = build_request(ACTIVITY)
    first = draw_golden_set(request, [describe(ACTIVITY, keys)], n_rows=30, seed=0)
    again = draw_golden_set(request, [describe(ACTIVITY, shuffled)], n_rows=30, seed=0)
    other = draw_golden_set(request, [describe(ACTIVITY, keys)], n_rows=30, seed=1)
    assert rows_of(first) == rows_of(again)
    assert rows_of(first) != rows_of(other)


def test_entities_are_not_repeated_and_a_small_store_gives_fewer_rows() -> None:
    entities = customers(20)
    golden = draw_golden_set(build_request(ACTIVITY), [entities], n_rows=1_000, seed=0)
    drawn = golden.columns["customer_id"]
    assert len(set(drawn)) == golden.n_rows
    assert {(value,) for value in drawn} >= set(entities.keys)
    assert golden.n_rows == 20 + 1 + 20 // 4


def test_unknown_keys_are_a_small_part_and_never_known() -> None:
    keys = [(i,) for i in (2**63 - 1, -1, 0, *range(5, 600))]
    entities = describe(ACTIVITY, keys)
    golden = draw_golden_set(build_request(ACTIVITY), [entities], n_rows=240, seed=0)
    unknown = [value for value in golden.columns["customer_id"] if (value,) not in set(keys)]
    assert 0 < len(unknown) <= 240 // 12 + 1
    assert -(2**63) in unknown


def test_empty_stratum_is_counted_as_empty() -> None:
    golden = draw_golden_set(
        build_request(ACTIVITY), [describe(ACTIVITY, [(1,), (2,)])], n_rows=10, seed=0
    )
    counts = {c.stratum: (c.n_entities, c.n_rows) for c in golden.strata}
    assert counts[Stratum.TIE] == (0, 0)
    assert counts[Stratum.ORDINARY] == (2, 2)
    assert counts[Stratum.UNKNOWN] == (0, 1)


def test_empty_store_gives_unknown_keys_only() -> None:
    golden = draw_golden_set(build_request(ACTIVITY), [describe(ACTIVITY, [])], n_rows=10, seed=0)
    assert covered(golden, "activity") == {Stratum.UNKNOWN}


def test_hot_entities_do_not_meet_only_each_other() -> None:
    request = build_request(ACTIVITY, DEMAND)
    golden = draw_golden_set(request, [customers(60), products(60)], n_rows=60, seed=0)
    hot_customer = golden.columns["customer_id"].index(100)
    assert golden.columns["product"][hot_customer] != "P0"


def test_composite_keys_are_drawn_whole() -> None:
    keys = [(100 + i, f"P{i}") for i in range(30)]
    request = build_request(ACTIVITY, DEMAND, HISTORY)
    views = [customers(30), products(30), describe(HISTORY, keys)]
    golden = draw_golden_set(request, views, n_rows=60, seed=0)
    whole = [row for row in rows_of(golden) if row in set(keys)]
    assert len(whole) >= 60 // 3 - 3


def test_overlapping_keys_fill_what_the_leader_leaves_open() -> None:
    basket = build_view("basket", [PRODUCT, Field("shop", Dtype.INT64)], [ORDERS])
    views = [
        describe(HISTORY, [(1, "A"), (2, "B")]),
        describe(basket, [("C", 7), ("D", 8)]),
    ]
    golden = draw_golden_set(build_request(HISTORY, basket), views, n_rows=6, seed=0)
    assert all(None not in row for row in rows_of(golden))
    assert covered(golden, "history") >= {Stratum.ORDINARY}
    assert covered(golden, "basket") >= {Stratum.ORDINARY}


def test_ambiguous_rows_are_marked_per_view() -> None:
    golden = draw_golden_set(build_request(ACTIVITY), [customers(20)], n_rows=50, seed=0)
    drawn = golden.columns["customer_id"]
    marked = {
        value for value, tied in zip(drawn, golden.ambiguous["activity"], strict=True) if tied
    }
    assert marked == {106, 107}


def test_request_data_has_one_value_per_row() -> None:
    amount = Field("amount", Dtype.FLOAT64)
    request = build_request(ACTIVITY, request_fields=[amount])
    golden = draw_golden_set(request, [customers(20)], n_rows=12, seed=0)
    assert len(golden.columns["amount"]) == golden.n_rows == 12


def test_entityless_view_is_counted_beside_one_with_entities() -> None:
    world = build_view("world", [], [ORDERS])
    request = build_request(ACTIVITY, world)
    golden = draw_golden_set(request, [customers(20), describe_world()], n_rows=5, seed=0)
    assert covered(golden, "world") == {Stratum.ORDINARY}


def test_service_without_an_entity_is_refused() -> None:
    world = build_view("world", [], [ORDERS])
    with pytest.raises(ParityError, match="no view with an entity"):
        draw_golden_set(build_request(world), [describe_world()], n_rows=5, seed=0)


def describe_world() -> ViewEntities:
    masks: dict[Stratum, Any] = {
        s: np.array([s is Stratum.ORDINARY]) for s in Stratum if s is not Stratum.UNKNOWN
    }
    return ViewEntities("world", (), [()], masks)


@settings(max_examples=scaled(40, 1_000), deadline=None)
@given(
    st.sets(st.integers(-(2**63), 2**63 - 1), max_size=60),
    st.integers(1, 80),
    st.integers(),
)
def test_draw_is_repeatable_and_bounded_for_any_entities(
    ids: set[int], n_rows: int, seed: int
) -> None:
    entities = describe(ACTIVITY, [(value,) for value in ids])
    request = build_request(ACTIVITY)
    golden = draw_golden_set(request, [entities], n_rows=n_rows, seed=seed)
    again = draw_golden_set(request, [entities], n_rows=n_rows, seed=seed)
    assert rows_of(golden) == rows_of(again)
    assert 1 <= golden.n_rows <= n_rows
    assert len(set(golden.columns["customer_id"])) == golden.n_rows
