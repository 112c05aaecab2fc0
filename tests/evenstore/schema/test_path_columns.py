"""Columns that live in the paths: read strictly as declared, or refused with the path."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import FileSource
from feast.types import (
    Array,
    Bool,
    Bytes,
    FeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)

from evenstore.errors import SchemaError, UnsupportedDtypeError
from tests.evenstore.schema.source_views import ROWS, open_view, read_rows, write

BEFORE_1970 = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)


def source_of(path: Path | str, **options: Any) -> FileSource:
    settings: dict[str, Any] = {"name": "s", "timestamp_field": "event_timestamp"}
    return FileSource(**(settings | {"path": str(path)} | options))


def values_of(tmp_path: Path, folder: str, dtype: FeastType) -> Any:
    write(tmp_path / folder / "a.parquet")
    (row,) = read_rows(source_of(tmp_path), x=dtype)
    return row["x"]


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        ("GB", String, "GB"),
        ("007", String, "007"),
        ("null", String, "null"),
        ("", String, ""),
        ("G%20B%2FN%3D1%25", String, "G B/N=1%"),
        ("it's \"x\"", String, "it's \"x\""),
        ("Zürich", String, "Zürich"),
        ("01", Int64, 1),
        ("-5", Int32, -5),
        ("9007199254740993", Int64, 9007199254740993),
        ("1.5", Float64, 1.5),
        ("-inf", Float64, -math.inf),
        ("0.5", Float32, 0.5),
        ("TRUE", Bool, True),
        ("2024-01-31", UnixTimestamp, datetime(2024, 1, 31, tzinfo=UTC)),
        ("2024-01-31 12%3A00%3A01.9", UnixTimestamp, datetime(2024, 1, 31, 12, 0, 1, tzinfo=UTC)),
        ("1970-01-01T00:59:59.5+01:00", UnixTimestamp, BEFORE_1970),
        ("__HIVE_DEFAULT_PARTITION__", Int64, None),
        ("__HIVE_DEFAULT_PARTITION__", String, None),
    ],
)  # fmt: skip
def test_value_is_read_as_declared(
    tmp_path: Path, text: str, dtype: FeastType, value: object
) -> None:
    assert values_of(tmp_path, f"x={text}", dtype) == value


def test_nan_in_a_path_is_nan(tmp_path: Path) -> None:
    assert math.isnan(values_of(tmp_path, "x=NaN", Float64))


@pytest.mark.parametrize(
    ("text", "dtype", "name"),
    [
        ("GB", Int64, "Int64"),
        ("1.0", Int64, "Int64"),
        ("", Int64, "Int64"),
        ("1_000", Int64, "Int64"),
        ("2147483648", Int32, "Int32"),
        ("9223372036854775808", Int64, "Int64"),
        ("1e999", Float64, "Float64"),
        ("1", Bool, "Bool"),
        ("2024-02-30", UnixTimestamp, "UnixTimestamp"),
        ("20240101", UnixTimestamp, "UnixTimestamp"),
    ],
)
def test_value_of_another_type_is_refused_with_its_path(
    tmp_path: Path, text: str, dtype: FeastType, name: str
) -> None:
    path = write(tmp_path / f"x={text}" / "a.parquet")
    with pytest.raises(SchemaError) as caught:
        open_view(source_of(tmp_path), x=dtype)
    assert caught.value.message == f"stats:x: `x` is {text!r} in `{path}`, declared {name}"


@pytest.mark.parametrize("dtype", [Bytes, Array(Int64)], ids=str)
def test_type_that_no_path_can_hold_is_refused(tmp_path: Path, dtype: FeastType) -> None:
    write(tmp_path / "x=1" / "a.parquet")
    with pytest.raises(UnsupportedDtypeError, match="stats:x: column `x` is in the paths"):
        open_view(source_of(tmp_path), x=dtype)


def test_join_key_and_timestamps_can_live_in_the_path(tmp_path: Path) -> None:
    table = ROWS.select(["trips"])
    for driver in (1, 2):
        folder = tmp_path / f"driver_id={driver}" / "day=2024-01-01" / "written=2024-01-02"
        write(folder / "a.parquet", table)
    rows = read_rows(source_of(tmp_path, timestamp_field="day", created_timestamp_column="written"))
    day_us = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    assert [(row["driver_id"], row["_event_us"], row["_created_us"]) for row in rows] == [
        (1, day_us, day_us + 86_400_000_000),
        (2, day_us, day_us + 86_400_000_000),
    ]


def test_timestamp_of_the_path_keeps_its_microseconds(tmp_path: Path) -> None:
    folder = tmp_path / "at=1969-12-31T23:59:59.999999"
    write(folder / "a.parquet", ROWS.drop_columns(["event_timestamp"]))
    (row,) = read_rows(source_of(tmp_path, timestamp_field="at"))
    assert row["_event_us"] == -1


def test_each_row_gets_the_value_of_its_own_file(tmp_path: Path) -> None:
    keys = pa.array(range(3000), pa.int64())
    for number in range(7):
        table = pa.table(
            {
                "driver_id": keys,
                "n": pa.array([number] * 3000, pa.int64()),
                "event_timestamp": pa.array([0] * 3000, pa.timestamp("us", "UTC")),
            }
        )
        write(tmp_path / f"shop=s{number}" / "a.parquet", table)
    rows = read_rows(source_of(tmp_path), n=Int64, shop=String)
    assert len(rows) == 21_000
    assert all(row["shop"] == f"s{row['n']}" and row["_file"] == row["n"] for row in rows)


def test_field_mapping_renames_a_column_of_the_path(tmp_path: Path) -> None:
    write(tmp_path / "land=GB" / "a.parquet")
    (row,) = read_rows(source_of(tmp_path, field_mapping={"land": "country"}), country=String)
    assert row["country"] == "GB"


def test_undeclared_names_of_paths_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path / "a=1" / "x.parquet")
    write(tmp_path / "b=z" / "a=one" / "x.parquet")
    write(tmp_path / "x.parquet")
    assert open_view(source_of(tmp_path)).path_columns == ()
    assert len(read_rows(source_of(tmp_path))) == 3


def test_glob_and_single_file_have_the_columns_of_their_paths(tmp_path: Path) -> None:
    path = write(tmp_path / "x=1" / "y=2" / "a.parquet")
    for place in (path, tmp_path / "x=*" / "y=2" / "*.parquet", tmp_path / "x=1"):
        (row,) = read_rows(source_of(place), x=Int64, y=Int64)
        assert (row["x"], row["y"]) == (1, 2)


def test_underscore_hides_a_folder_but_not_a_partition(tmp_path: Path) -> None:
    write(tmp_path / "_x=1" / "a.parquet")
    write(tmp_path / "_staging" / "_x=2" / "a.parquet")
    (row,) = read_rows(source_of(tmp_path), _x=Int64)
    assert row["_x"] == 1


def test_column_of_the_files_wins_over_the_path(tmp_path: Path) -> None:
    """The file says what its rows are; a path may only say on which day they were written."""
    write(tmp_path / "trips=7" / "event_timestamp=2024-01-01" / "a.parquet")
    (row,) = read_rows(source_of(tmp_path))
    assert (row["trips"], row["_event_us"]) == (5, 0)
    assert open_view(source_of(tmp_path)).path_columns == ()


def test_column_of_some_files_and_some_paths_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "trips=7" / "a.parquet")
    bare = write(tmp_path / "trips=8" / "a.parquet", ROWS.drop_columns(["trips"]))
    with pytest.raises(SchemaError, match="column `trips` is in some files and in") as caught:
        open_view(source_of(tmp_path))
    assert bare in str(caught.value.hint)


def test_file_whose_path_lacks_the_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "x=1" / "a.parquet")
    path = write(tmp_path / "y=1" / "a.parquet")
    with pytest.raises(SchemaError) as caught:
        open_view(source_of(tmp_path), x=Int64)
    assert caught.value.message == f"stats:x: `{path}` has no column `x`, not in its path either"


def test_name_twice_in_one_path_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x=1" / "x=2" / "a.parquet")
    with pytest.raises(SchemaError, match=f"`{path}` has `x` twice"):
        open_view(source_of(tmp_path))


def test_path_names_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "x=1" / "X=2" / "a.parquet")
    with pytest.raises(SchemaError, match="`X` and `x` differ only in case"):
        open_view(source_of(tmp_path), x=Int64)


def test_files_with_a_column_called_as_duckdb_calls_the_file_are_refused(tmp_path: Path) -> None:
    """Every row would get the value of the file that the column names."""
    write(tmp_path / "x=1" / "a.parquet", ROWS.append_column("file_index", pa.array([9])))
    with pytest.raises(SchemaError, match="`file_index`"):
        open_view(source_of(tmp_path), x=Int64)


@pytest.mark.parametrize(
    "name", ["rows[1]*.parquet", "a?.parquet", "it's.parquet", "{a,b}.parquet"]
)
def test_names_that_look_like_patterns_are_names(tmp_path: Path, name: str) -> None:
    """DuckDB would read `rows1.parquet` for `rows[1]*.parquet`, though both are there."""
    write(tmp_path / "x[1]=*" / name)
    for decoy in ("x1=*", "x[1]=y"):
        for other in ("rows1.parquet", "ab.parquet", "a.parquet"):
            write(tmp_path / decoy / other, ROWS.set_column(1, "trips", pa.array([9])))
    rows = read_rows(source_of(tmp_path / "x[1]=*"), **{"trips": Int64, "x[1]": String})
    assert [(row["trips"], row["x[1]"]) for row in rows] == [(5, "*")]
