"""The packed layout against plain Python: bytes sort as rows do, and values come back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.codec.packed_encoder import PackedRowEncoder
from evenstore.codec.packed_reader import PackedReader
from evenstore.codec.packed_row import RowSchema, encode_order, read_row, split_slots
from evenstore.codec.rows import RowBatch, RowInstants
from evenstore.codec.sortable import decode_sortable, encode_sortable
from evenstore.codec.sortable_cells import sortable_matrix
from evenstore.dtypes import Dtype
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import Origin, RowOrder
from tests.support.packed_entity import join_slots
from tests.support.scale import scaled

_SORTABLE = st.integers(-(2**59), 2**59 - 1) | st.integers(-300, 300)
_INSTANTS_US = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
_VALUES: dict[Dtype, st.SearchStrategy[Any]] = {
    Dtype.INT64: st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200),
    Dtype.INT32: st.integers(-(2**31), 2**31 - 1),
    Dtype.FLOAT64: st.floats(),
    Dtype.FLOAT32: st.floats(width=32),
    Dtype.BOOL: st.booleans(),
    Dtype.STRING: st.text(max_size=300),
    Dtype.BYTES: st.binary(max_size=300),
    Dtype.INT64_LIST: st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    Dtype.STRING_LIST: st.lists(st.text(max_size=5), max_size=4),
    Dtype.FLOAT32_LIST: st.lists(st.floats(width=32), max_size=4),
    Dtype.BOOL_LIST: st.lists(st.booleans(), max_size=4),
}


@settings(max_examples=scaled(150, 20_000))
@given(st.lists(_SORTABLE, min_size=1, max_size=20))
def test_sortable_bytes_sort_as_the_integers_do(numbers: list[int]) -> None:
    encoded = [encode_sortable(number) for number in numbers]
    matrix, mask = sortable_matrix(np.array(numbers, np.int64))

    assert [bytes(row[counts]) for row, counts in zip(matrix, mask, strict=True)] == encoded
    assert [decode_sortable(data, 0) for data in encoded] == [
        (number, len(data)) for number, data in zip(numbers, encoded, strict=True)
    ]
    assert sorted(encoded) == [encode_sortable(number) for number in sorted(numbers)]
    assert min(encoded) > encode_sortable(None)
    # No integer's bytes begin with another's, so that what follows never decides.
    assert not any(a != b and a.startswith(b) for a in encoded for b in encoded)


@st.composite
def _orders(draw: st.DrawFn) -> RowOrder:
    event_us = draw(_INSTANTS_US)
    near = st.integers(-10, 10).map(lambda step_us: event_us + step_us)
    return RowOrder(
        event_us, draw(st.none() | near | _INSTANTS_US), draw(near | st.integers(0, 2**52))
    )


@settings(max_examples=scaled(150, 20_000))
@given(_orders(), _orders(), st.booleans())
def test_orders_as_bytes_compare_as_rows_do(one: RowOrder, other: RowOrder, same: bool) -> None:
    if same:
        other = RowOrder(one.event_us, other.created_us, other.sequence_us)

    assert (encode_order(one) < encode_order(other)) == (one < other)
    assert (encode_order(one) == encode_order(other)) == (one == other)


@st.composite
def _tables(draw: st.DrawFn) -> tuple[tuple[Field, ...], list[list[Any]]]:
    dtypes = draw(st.lists(st.sampled_from(list(_VALUES)), min_size=1, max_size=12))
    fields = tuple(Field(f"f{i}", dtype) for i, dtype in enumerate(dtypes))
    rows = st.lists(
        st.tuples(*(st.none() | _VALUES[dtype] for dtype in dtypes)).map(list),
        min_size=1,
        max_size=5,
    )
    return fields, draw(rows)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@settings(max_examples=scaled(100, 10_000))
@given(_tables(), _orders())
def test_values_of_any_row_come_back(
    table: tuple[tuple[Field, ...], list[list[Any]]], order: RowOrder
) -> None:
    fields, rows = table
    n_rows = len(rows)
    instants = RowInstants(
        event_us=np.full(n_rows, order.event_us, np.int64),
        created_us=np.full(n_rows, order.created_us or 0, np.int64),
        is_created_null=np.full(n_rows, order.created_us is None, np.bool_),
        sequence_us=np.full(n_rows, order.sequence_us, np.int64),
        origin=Origin.PUSH,
    )
    columns = [
        pa.array([row[i] for row in rows], arrow_type(field.dtype))
        for i, field in enumerate(fields)
    ]
    view = FeatureViewSchema("stats", (), fields, None)

    encoded = PackedRowEncoder(view, "p").encode(RowBatch([], columns, frozenset(), instants))

    schema = RowSchema.of(fields)
    cells = encoded.columns[0].to_pylist()
    for row, cell in zip(rows, cells, strict=True):
        head = read_row(cell)
        assert (head.order, head.origin) == (order, Origin.PUSH)
        read = PackedReader(schema).read(cell, head.payload_start, head.flags)
        stored = {field.name: value for field, value in zip(schema.features, read, strict=True)}
        assert _same([stored[field.name] for field in fields], row)
    slots = {bytes([i, 0, 0, 0]): cell for i, cell in enumerate(cells)}
    assert split_slots(join_slots(slots)) == slots
