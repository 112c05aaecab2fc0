"""Typed columns in DuckDB: values inside values, the order of content, names of every kind."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenstore.dtypes import FURTHER_SCALARS, Dtype
from evenstore.duckdb_session import open_session
from evenstore.schema.arrow import arrow_type
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import Field
from evenstore.schema.values import to_declared_array
from evenstore.sql.types import build_typed_column, sql_type

NAMES = [
    *sorted(FURTHER_SCALARS),
    "Set(Float32)",
    "Array(Array(UnixTimestamp))",
    'Struct({"a, \\"b": Array(Uuid), "c": Struct({"d": Set(ZonedTimestamp)})})',
]


def read(
    tmp_path: Path, source: pa.Array, name: str, *, order: str = "", column: str = "x"
) -> list[Any]:
    """Read a column of a real file as a declared type, as an ORDER BY's `order` has it."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({column: source}), path)
    files = SourceFiles(
        paths=(str(path),),
        event=TimestampColumn("event_timestamp"),
        created=None,
        columns=(("f", column),),
    )
    typed = build_typed_column(column, Field("f", Dtype(name)), files)
    with open_session() as session:
        rows = session.read_parquet(str(path)).project(f"{typed} as typed")
        table = (rows.order(f"typed {order}") if order else rows).to_arrow_table()
    values: list[Any] = to_declared_array(table["typed"].combine_chunks(), Dtype(name)).to_pylist()
    return values


@pytest.mark.parametrize("name", NAMES)
def test_sql_type_names_the_arrow_type(name: str) -> None:
    dtype = Dtype(name)
    with duckdb.connect() as session:
        session.execute("set timezone = 'UTC'")
        table = session.sql(f"select cast(null as {sql_type(dtype)}) as x").to_arrow_table()
    # Arrow names the elements of lists in its own way, and types are equal whatever the name.
    assert table["x"].type.equals(arrow_type(dtype)) or table["x"].cast(arrow_type(dtype))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_instants_inside_values_are_floored_in_every_unit_and_zone(
    tmp_path: Path, unit: str, zone: str | None
) -> None:
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    seconds = [-2_208_988_800, -1, 0, 1_710_054_000, 4_102_444_800]
    raw = [second * ticks + ticks - 1 for second in seconds]
    stamps = pa.array(raw, pa.int64()).cast(pa.timestamp(unit, zone))
    structs = pa.StructArray.from_arrays([stamps], ["at"])
    nested = pa.ListArray.from_arrays(pa.array([0, 2, 2, 5], pa.int32()), structs)
    got = read(tmp_path, nested, 'Array(Struct({"at": UnixTimestamp}))')
    at = [{"at": datetime.fromtimestamp(second, UTC)} for second in seconds]
    assert got == [at[:2], [], at[2:]]


def test_dates_inside_values_are_their_midnights(tmp_path: Path) -> None:
    days = pa.array([[-1, 0]], pa.list_(pa.int32())).cast(pa.list_(pa.date32()))
    got = read(tmp_path, days, "Set(UnixTimestamp)")
    assert got == [[datetime(1969, 12, 31, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)]]


def test_instants_beyond_what_nanoseconds_hold_are_kept_in_coarser_units(tmp_path: Path) -> None:
    far = pa.array([[253_402_300_799_999]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("ms")))
    got = read(tmp_path, far, "Set(UnixTimestamp)")
    assert got == [[datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)]]


@pytest.mark.parametrize("column", ["x0", "x1", 'a "quoted" name', "lambda", "é"])
def test_any_column_name_can_hold_nested_values(tmp_path: Path, column: str) -> None:
    name = 'Struct({"x0": Array(Array(Uuid)), "it\'s \\"x\\"": Set(Int64)})'
    rows = [{"x0": [["0" * 32]], 'it\'s "x"': [2, 1]}, None]
    got = read(tmp_path, pa.array(rows), name, column=column)
    zero = "00000000-0000-0000-0000-000000000000"
    assert got == [{"x0": [[zero]], 'it\'s "x"': [1, 2]}, None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[math.nan, 1.0, math.nan]], [[1.0, math.nan]]),
        ([[math.inf, -math.inf, 0.5]], [[-math.inf, 0.5, math.inf]]),
        ([[0.0, -0.0]], [[0.0]]),
        ([[2.0, None, 2.0]], [[2.0, None, 2.0]]),
    ],
)
def test_set_is_distinct_and_ascending_and_a_null_in_it_stays_to_be_refused(
    tmp_path: Path, values: list[Any], expected: list[Any]
) -> None:
    got = read(tmp_path, pa.array(values), "Set(Float64)")
    assert repr(got).replace("-0.0", "0.0") == repr(expected)


def _place(value: Any) -> tuple[Any, ...]:
    """Place a value as the module says: null lowest by itself, inside a value right above NaN."""
    return (0,) if value is None else (1, _inner_place(value))


def _inner_place(value: Any) -> tuple[Any, ...]:
    if value is None:
        return (2,)
    if isinstance(value, float):
        return (1,) if math.isnan(value) else (0, value)
    if isinstance(value, dict):
        return (0, [_inner_place(item) for item in value.values()])
    if isinstance(value, list | tuple):
        return (0, [_inner_place(item) for item in value])
    return (0, value)


FLOATS = [None, -math.inf, -1.5, 0.0, 1.5, math.inf, math.nan]
NUMBERS = [None, -(2**63), -1, 0, 2**53, 2**53 + 1]
TEXTS = [None, "", "A", "a", "é", "\uffff", "\U0001f600"]
ORDERED: list[tuple[str, pa.DataType, list[Any]]] = [
    (
        'Struct({"x": Float64, "n": Int64})',
        pa.struct([("x", pa.float64()), ("n", pa.int64())]),
        [None, *({"x": x, "n": n} for x in FLOATS for n in NUMBERS)],
    ),
    (
        "Map",
        pa.map_(pa.string(), pa.float64()),
        [None, [], *([(text, x)] for text in TEXTS[1:] for x in FLOATS), [("", 1.5), ("a", None)]],
    ),
    (
        "Map",
        pa.struct([("t", pa.string()), ("deep", pa.list_(pa.int64()))]),
        [None, *({"t": t, "deep": deep} for t in TEXTS for deep in (None, [], [0], [0, -1], [1]))],
    ),
    (
        "ScalarMap",
        pa.map_(pa.int64(), pa.string()),
        [None, [], *([(n, text)] for n in NUMBERS[1:] for text in TEXTS)],
    ),
    (
        "Array(Array(Float64))",
        pa.list_(pa.list_(pa.float64())),
        [None, [], [[]], *([[x, y]] for x in FLOATS[1:] for y in FLOATS[1:]), [[1.5], []]],
    ),
    (
        'Array(Struct({"t": String}))',
        pa.list_(pa.struct([("t", pa.string())])),
        [None, [], *([{"t": a}, {"t": b}] for a in TEXTS for b in TEXTS)],
    ),
]


@pytest.mark.parametrize(("name", "kind", "values"), ORDERED)
def test_content_of_every_type_has_one_order(
    tmp_path: Path, name: str, kind: pa.DataType, values: list[Any]
) -> None:
    shuffled = pa.array(random.Random(0).sample(values, len(values)), kind)
    ascending = sorted(pa.array(values, kind).to_pylist(), key=_place)
    assert repr(read(tmp_path, shuffled, name, order="asc nulls first")) == repr(ascending)
    assert repr(read(tmp_path, shuffled, name, order="desc nulls last")) == repr(ascending[::-1])
