"""The parts that an index is searched with, against plain Python."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.dtypes import Dtype
from evenstore.index.bisection import count_at_most, sort_with_places
from evenstore.index.entity_keys import number_keys
from evenstore.index.gather import RowGather
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import Field
from tests.support.scale import scaled

_INT64 = st.integers(-(2**63), 2**63 - 1)
_ANY_INT = st.integers(-3, 12) | st.integers(0, 60) | _INT64
_VALUES: dict[Dtype, st.SearchStrategy[Any]] = {
    Dtype.INT64: _ANY_INT,
    Dtype.INT32: st.integers(-5, 5) | st.integers(-(2**31), 2**31 - 1),
    Dtype.STRING: st.sampled_from(["", "a", "aa", "ab", "b", "é", "\U0001f600"])
    | st.text(max_size=3),
    Dtype.BYTES: st.sampled_from([b"", b"\0", b"\0\0", b"\xff"]) | st.binary(max_size=2),
    Dtype.UNIX_TIMESTAMP: st.integers(-3, 3).map(lambda second: second * 1_000_000),
}


@settings(max_examples=scaled(60, 5_000))
@given(
    slices=st.lists(st.lists(_INT64 | st.integers(0, 5), max_size=9), max_size=8),
    limits=st.lists(st.tuples(st.integers(0, 7), _INT64 | st.integers(0, 5)), max_size=30),
)
def test_count_at_most_is_a_bisection_of_each_slice(
    slices: list[list[int]], limits: list[tuple[int, int]]
) -> None:
    ascending = [sorted(values) for values in slices]
    starts = np.cumsum([0, *map(len, ascending)])
    values = np.array([value for part in ascending for value in part], dtype=np.int64)
    asked = [(part, limit) for part, limit in limits if part < len(ascending)]
    parts = np.array([part for part, _ in asked], dtype=np.int64)
    limit = np.array([limit for _, limit in asked], dtype=np.int64)

    found = count_at_most(values, starts[parts], starts[parts + 1], limit)

    expected = [starts[part] + bisect_right(ascending[part], limit) for part, limit in asked]
    assert found.tolist() == expected


def test_more_searches_than_a_block_holds() -> None:
    rng = np.random.default_rng(7)
    values = np.sort(rng.integers(0, 1000, 50_000))
    limits = rng.integers(-5, 1005, 40_000)
    start = np.zeros(40_000, dtype=np.int64)
    found = count_at_most(values, start, start + 50_000, limits)
    assert np.array_equal(found, np.searchsorted(values, limits, side="right"))


@pytest.mark.parametrize("greatest", [3, 2**40, 2**63 - 1])
def test_numbers_are_sorted_with_their_places(greatest: int) -> None:
    numbers = np.random.default_rng(7).integers(0, greatest, 1000)
    places, ascending = sort_with_places(numbers)
    assert np.array_equal(numbers[places], ascending)
    assert np.array_equal(np.sort(numbers), ascending)


@st.composite
def _keys(draw: st.DrawFn) -> tuple[tuple[Field, ...], list[Any], list[Any]]:
    dtypes = draw(st.lists(st.sampled_from(list(_VALUES)), min_size=1, max_size=3))
    join_keys = tuple(Field(f"k{i}", dtype) for i, dtype in enumerate(dtypes))
    key = st.tuples(*(_VALUES[dtype] for dtype in dtypes))
    entities = sorted(draw(st.sets(key, max_size=40)))
    with_null = st.tuples(*(_VALUES[dtype] | st.none() for dtype in dtypes))
    some = key if not entities else key | st.sampled_from(entities)
    return join_keys, entities, draw(st.lists(some | with_null, max_size=40))


def _table(join_keys: tuple[Field, ...], keys: list[Any]) -> pa.Table:
    columns = {}
    for i, field in enumerate(join_keys):
        values = [key[i] for key in keys]
        if field.dtype is Dtype.UNIX_TIMESTAMP:
            columns[field.name] = pa.array(values, pa.int64()).cast(arrow_type(field.dtype))
            continue
        columns[field.name] = pa.array(values, arrow_type(field.dtype))
    return pa.table(columns)


@settings(max_examples=scaled(100, 10_000))
@given(drawn=_keys())
def test_entities_are_numbered_in_the_order_of_their_keys(
    drawn: tuple[tuple[Field, ...], list[Any], list[Any]],
) -> None:
    join_keys, entities, asked = drawn
    # As DuckDB and Arrow order text: by its bytes.
    entities.sort(key=lambda key: [v.encode() if isinstance(v, str) else v for v in key])
    lookup = number_keys(join_keys, _table(join_keys, entities))
    expected = {key: number for number, key in enumerate(entities)}
    found = lookup.number(_table(join_keys, asked))
    assert found.tolist() == [expected.get(key, -1) for key in asked]


@pytest.mark.parametrize("dtype", [Dtype.STRING, Dtype.INT64])
def test_few_keys_among_very_many_entities_are_found_by_bisection(dtype: Dtype) -> None:
    numbers = np.unique(np.random.default_rng(7).integers(-(2**62), 2**62, 5_000))
    entities = pa.array(numbers).cast(arrow_type(dtype))
    entities = entities.take(pa.compute.sort_indices(entities))
    join_keys = (Field("k", dtype),)
    lookup = number_keys(join_keys, pa.table({"k": entities}))
    unknown = pa.array([None, 5]).cast(arrow_type(dtype))
    for at in (0, 1, 2500, 4998, 4999):
        asked = pa.concat_arrays([entities.slice(at, 1), unknown])
        assert lookup.number(pa.table({"k": asked})).tolist() == [at, -1, -1]


def test_entities_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        number_keys((Field("k", Dtype.INT64),), pa.table({"k": [2, 1]}))


_COLUMNS = {
    "int": pa.array([1, None, 2**62, -5, 0, None], pa.int64()),
    "small": pa.array([1, 2, 3, 4, 5, 6], pa.uint8()),
    "half": pa.array([1.5, None, float("inf"), 0, -1, 2], pa.float16()),
    "flag": pa.array([True, None, False, True, False, True]),
    "at": pa.array([1, None, 3, 4, 5, 6], pa.timestamp("us", "UTC")),
    "text": pa.array(["a", None, "", "é", "b", "c"]),
    "list": pa.array([[1, None], None, [], [2], [3], [4, 5]]),
    "map": pa.array([[("a", 1)], None, [], [("b", None)], [], []], pa.map_("string", "int64")),
    "record": pa.array([{"a": 1}, None, {"a": None}, {"a": 2}, {"a": 3}, {"a": 4}]),
    "nothing": pa.nulls(6),
    "decimal": pa.array(["1.5", None, "2", "3", "4", "5"]).cast(pa.decimal128(5, 1)),
}


@pytest.mark.parametrize("name", list(_COLUMNS))
@pytest.mark.parametrize("n_chunks", [1, 2, 6])
def test_rows_of_any_type_are_taken_in_any_order(name: str, n_chunks: int) -> None:
    column = _COLUMNS[name]
    size = 6 // n_chunks
    chunks = pa.chunked_array([column.slice(i, size) for i in range(0, 6, size)])
    values = column.to_pylist()
    for rows in ([], [0], [5, 0, -1, 1, 1, 3, 2, 4], [4, 3, 2, 0], [-1], [-1, -1, 3]):
        taken = RowGather(np.array(rows, dtype=np.int64)).take(chunks)
        assert taken.type == column.type
        assert taken.to_pylist() == [None if row < 0 else values[row] for row in rows]


def test_rows_of_no_chunk_are_none() -> None:
    empty = pa.chunked_array([], pa.string())
    taken = RowGather(np.array([-1, -1])).take(empty)
    assert taken.to_pylist() == [None, None]
    assert RowGather(np.array([], dtype=np.int64)).take(empty).to_pylist() == []
