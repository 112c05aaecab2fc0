"""Found rows are put where their entity rows are."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstore.offline.scatter import scatter_rows, scatter_slices

_TYPES = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.timestamp("us", "UTC"), st.integers(-(10**15), 10**15)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(max_size=3)),
    (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=2)),
]


@st.composite
def found_rows(draw: st.DrawFn) -> tuple[pa.Table, list[Any], int]:
    dtype, values = draw(st.sampled_from(_TYPES))
    rows = draw(st.lists(st.tuples(st.booleans(), st.none() | values), max_size=12))
    places = [i for i, (is_found, _) in enumerate(rows) if is_found]
    table = pa.table(
        {
            "at": pa.array(places, pa.int64()),
            "x": pa.array([rows[i][1] for i in places], dtype),
        }
    )
    expected = [value if is_found else None for is_found, value in rows]
    return table, pa.array(expected, dtype).to_pylist(), len(rows)


def in_chunks(table: pa.Table, n: int) -> pa.Table:
    return pa.Table.from_batches(table.to_batches(n), table.schema)


@given(world=found_rows(), seed=st.integers(0, 99), n=st.integers(1, 5))
def test_rows_in_any_order_and_chunks_reach_their_places(
    world: tuple[pa.Table, list[Any], int], seed: int, n: int
) -> None:
    table, expected, n_rows = world
    order = list(range(table.num_rows))
    random.Random(seed).shuffle(order)
    shuffled = in_chunks(table.take(pa.array(order, pa.int64())), n)
    scattered = scatter_rows(shuffled, "at", n_rows=n_rows)
    assert scattered.schema.field("x").type == table.schema.field("x").type
    assert scattered["x"].to_pylist() == expected


@given(world=found_rows(), slice_rows=st.integers(1, 5), n=st.integers(1, 5))
def test_an_ordered_stream_reaches_its_places_slice_by_slice(
    world: tuple[pa.Table, list[Any], int], slice_rows: int, n: int
) -> None:
    table, expected, n_rows = world
    reader = in_chunks(table, n).to_reader()
    slices = list(scatter_slices(reader, "at", n_rows=n_rows, slice_rows=slice_rows))
    assert [part.num_rows for part in slices[:-1]] == [slice_rows] * (len(slices) - 1)
    assert [value for part in slices for value in part["x"].to_pylist()] == expected


def test_a_row_without_place_is_an_error() -> None:
    table = pa.table({"at": pa.array([5], pa.int64()), "x": [1]})
    with pytest.raises(IndexError):
        scatter_rows(table, "at", n_rows=5)
