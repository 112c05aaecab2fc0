from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.scale import scaled
from training.value_hash import ValueHasher, hash_table

_COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "integer": (pa.int64(), st.none() | st.integers(-(2**63), 2**63 - 1)),
    "number": (pa.float64(), st.none() | st.floats()),
    "text": (pa.string(), st.none() | st.text(max_size=4)),
    "data": (pa.binary(), st.none() | st.binary(max_size=4)),
    "flag": (pa.bool_(), st.none() | st.booleans()),
    "instant": (pa.timestamp("us", tz="UTC"), st.none() | st.integers(-(2**50), 2**50)),
    "words": (
        pa.list_(pa.string()),
        st.none() | st.lists(st.none() | st.text(max_size=2), max_size=3),
    ),
    "pair": (
        pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]),
        st.none()
        | st.fixed_dictionaries(
            {"a": st.none() | st.integers(0, 9), "b": st.lists(st.text(max_size=1), max_size=2)}
        ),
    ),
    "entries": (
        pa.map_(pa.string(), pa.float64()),
        st.none() | st.lists(st.tuples(st.text(max_size=2), st.none() | st.floats()), max_size=2),
    ),
    "day": (pa.date32(), st.none() | st.integers(-9, 9)),
    "price": (pa.decimal128(9, 2), st.none() | st.decimals(-9, 9, places=2)),
}


def _rows(draw: st.DrawFn, n_rows: int) -> pa.Table:
    columns = {
        name: pa.array(draw(st.lists(values, min_size=n_rows, max_size=n_rows)), kind)
        for name, (kind, values) in _COLUMNS.items()
    }
    return pa.table(columns)


@st.composite
def _tables(draw: st.DrawFn) -> pa.Table:
    return _rows(draw, draw(st.integers(0, 6)))


@settings(max_examples=scaled(60, 2_000), deadline=None)
@given(_tables(), st.integers(0, 6))
def test_hash_stays_when_chunks_and_slices_differ(table: pa.Table, cut: int) -> None:
    padded = pa.concat_tables([table, table, table])
    middle = padded.slice(table.num_rows, table.num_rows)
    parts = pa.concat_tables([table.slice(0, cut), table.slice(min(cut, table.num_rows))])
    assert hash_table(parts) == hash_table(table)
    assert hash_table(middle) == hash_table(table)
    rows = ValueHasher(table.schema)
    for batch in table.to_batches(max_chunksize=1):
        rows.update(batch)
    assert rows.hexdigest() == hash_table(table)


@settings(max_examples=scaled(60, 2_000), deadline=None)
@given(_tables(), _tables())
def test_hash_differs_when_values_differ(one: pa.Table, other: pa.Table) -> None:
    is_same_text = repr(one.to_pylist()) == repr(other.to_pylist())
    if not is_same_text:
        assert hash_table(one) != hash_table(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([None], pa.float64()), pa.array([float("nan")])),
        (pa.array(["ab", "c"]), pa.array(["a", "bc"])),
        (pa.array([""]), pa.array([None], pa.string())),
        (pa.array([1], pa.int32()), pa.array([1], pa.int64())),
        (pa.array([[1], []]), pa.array([[], [1]])),
    ],
)
def test_hash_differs_for_look_alikes(one: pa.Array, other: pa.Array) -> None:
    assert hash_table(pa.table({"x": one})) != hash_table(pa.table({"x": other}))


def test_hash_ignores_nan_payload_and_bits_under_nulls() -> None:
    quiet, payload = (
        np.frombuffer(struct.pack("<Q", bits), np.float64)
        for bits in (0x7FF8000000000000, 0x7FF8000000000123)
    )
    assert hash_table(pa.table({"x": quiet})) == hash_table(pa.table({"x": payload}))
    under = [
        pa.table({"x": pa.array(np.array([value, 2]), mask=np.array([True, False]))})
        for value in (1, 7)
    ]
    assert hash_table(under[0]) == hash_table(under[1])


def test_hash_depends_on_names_and_order() -> None:
    table = pa.table({"a": [1], "b": [2]})
    assert hash_table(table) != hash_table(table.select(["b", "a"]))
    assert hash_table(table) != hash_table(table.rename_columns(["a", "c"]))


def test_hash_stays_when_a_file_renames_the_elements_of_a_list(tmp_path: Path) -> None:
    kind = pa.list_(pa.field("l", pa.string()))
    table = pa.table({"x": pa.array([["a"], None, []], kind)})
    pq.write_table(table, tmp_path / "x.parquet", store_schema=False)
    back = pq.read_table(tmp_path / "x.parquet")
    assert str(back.schema) != str(table.schema)
    assert hash_table(back) == hash_table(table)
