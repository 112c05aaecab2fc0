"""Entity rows: numbered, typed as declared, or refused with what to do."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import EntityRowsError, SchemaError
from evenstore.offline.entity_rows import number_entity_rows, to_instants_us
from evenstore.schema.model import Field

INT_KEY = Field("driver_id", Dtype.INT64)


def number(table: pa.Table, *fields: Field) -> pa.Table:
    instants = pa.array(range(table.num_rows), pa.int64())
    return number_entity_rows(table, fields, as_of_us=instants)


def test_rows_are_numbered_and_only_key_columns_are_taken() -> None:
    table = pa.table({"label": ["a", "b"], "driver_id": [7, 7]})
    assert number(table, INT_KEY).to_pydict() == {
        "_row_idx": [0, 1],
        "driver_id": [7, 7],
        "_since_us": [-(2**63), -(2**63)],
        "_as_of_us": [0, 1],
    }


@pytest.mark.parametrize(
    ("values", "dtype", "kept"),
    [
        (pa.array([1, None], pa.int8()), Dtype.INT64, [1, None]),
        (pa.array([None, None]), Dtype.INT64, [None, None]),
        (pa.array(["a", None]).dictionary_encode(), Dtype.STRING, ["a", None]),
        (pa.array(["a"], pa.large_string()), Dtype.STRING, ["a"]),
        (pa.array([b"a"], pa.large_binary()), Dtype.BYTES, [b"a"]),
        (pa.array([2**32 - 1], pa.uint32()), Dtype.INT64, [2**32 - 1]),
    ],
    ids=str,
)
def test_key_that_widens_exactly_is_cast(values: pa.Array, dtype: Dtype, kept: list[Any]) -> None:
    numbered = number(pa.table({"k": values}), Field("k", dtype))
    assert numbered["k"].to_pylist() == kept


@pytest.mark.parametrize(
    ("values", "dtype", "hint"),
    [
        (pa.array([1.0, None]), Dtype.INT64, "a pandas column with gaps becomes float: use the "),
        (pa.array(["1"]), Dtype.INT64, "convert the column to Int64 first"),
        (pa.array([1]), Dtype.STRING, "convert the column to String first"),
        (pa.array([1]), Dtype.INT32, "convert the column to Int32 first"),
        (pa.array([True]), Dtype.INT64, "convert the column to Int64 first"),
        (pa.array([1], pa.uint64()), Dtype.INT64, "convert the column to Int64 first"),
        (pa.array([b"a"]), Dtype.STRING, "convert the column to String first"),
    ],
    ids=str,
)
def test_key_of_another_type_is_refused(values: pa.Array, dtype: Dtype, hint: str) -> None:
    with pytest.raises(EntityRowsError) as caught:
        number(pa.table({"k": values}), Field("k", dtype))
    assert caught.value.message == (
        f"entity rows: join key `k` is {values.type}, declared {dtype.value}"
    )
    assert str(caught.value.hint).startswith(hint)


@pytest.mark.parametrize("names", [("a", "A"), ("_as_of_us",), ("_ROW_IDX",)], ids=str)
def test_key_columns_that_one_relation_cannot_hold_are_refused(names: tuple[str, ...]) -> None:
    """They come from join key maps, so the views themselves may be sound."""
    table = pa.table([pa.array([1])] * len(names), names=list(names))
    with pytest.raises(SchemaError, match="entity rows: "):
        number(table, *(Field(name, Dtype.INT64) for name in names))


@pytest.mark.parametrize(
    ("unit", "raw", "instant_us"),
    [
        ("s", -1, -1_000_000),
        ("ms", -1, -1000),
        ("us", -1, -1),
        ("ns", -1, -1),
        ("ns", -1000, -1),
        ("ns", -1001, -2),
        ("ns", 999, 0),
        ("ns", 1000, 1),
        ("ns", 2**63 - 1, 9_223_372_036_854_775),
        ("ns", -(2**63), -9_223_372_036_854_776),
    ],
)
def test_instant_is_floored_to_microseconds(unit: str, raw: int, instant_us: int) -> None:
    for zone in ("UTC", "America/New_York"):
        column = pa.chunked_array([pa.array([raw], pa.int64()).cast(pa.timestamp(unit, zone))])
        assert to_instants_us(column, "at").to_pylist() == [instant_us]


def test_instant_without_a_zone_is_utc_only_where_feast_demands_it() -> None:
    column = pa.chunked_array([pa.array([5], pa.timestamp("us"))])
    assert to_instants_us(column, "at", naive_is_utc=True).to_pylist() == [5]
    with pytest.raises(EntityRowsError, match="column `at` has no time zone") as caught:
        to_instants_us(column, "at")
    assert caught.value.hint == "say which: column.dt.tz_localize('UTC')"


def test_null_instant_is_refused_with_its_row_across_chunks() -> None:
    kind = pa.timestamp("us", "UTC")
    column = pa.chunked_array([pa.array([1, 2], kind), pa.array([3, None], kind)])
    with pytest.raises(EntityRowsError, match="`at` is null in row 3"):
        to_instants_us(column, "at")


@pytest.mark.parametrize(
    "values", [pa.array([1]), pa.array(["2024-01-01"]), pa.array([1.5])], ids=str
)
def test_column_that_holds_no_instants_is_refused(values: pa.Array) -> None:
    with pytest.raises(EntityRowsError, match="not a timestamp"):
        to_instants_us(pa.chunked_array([values]), "at")


def test_no_rows_are_no_instants() -> None:
    column = pa.chunked_array([], pa.timestamp("ns", "UTC"))
    assert to_instants_us(column, "at").to_pylist() == []


@pytest.mark.parametrize(
    ("ttl_us", "since_us"),
    [(1, [-1, 0]), (0, [0, 1]), (2**63 - 1, [-(2**63) + 1, -(2**63) + 2]), (2**70, [-(2**63)] * 2)],
)
def test_rows_older_than_the_ttl_are_out_of_sight(ttl_us: int, since_us: list[int]) -> None:
    instants = pa.array([0, 1], pa.int64())
    rows = number_entity_rows(
        pa.table({"driver_id": [7, 7]}), (INT_KEY,), as_of_us=instants, ttl_us=ttl_us
    )
    assert rows["_since_us"].to_pylist() == since_us


def test_an_instant_near_the_beginning_of_time_has_no_earlier_one() -> None:
    instants = pa.array([-(2**63) + 5], pa.int64())
    rows = number_entity_rows(pa.table({"driver_id": [7]}), (INT_KEY,), as_of_us=instants, ttl_us=9)
    assert rows["_since_us"].to_pylist() == [-(2**63)]
