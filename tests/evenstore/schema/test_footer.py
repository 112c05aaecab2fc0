"""Footers: what is known of a file without its rows, read once for each version of it."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FileSource

from evenstore.errors import SourceUnavailableError
from evenstore.schema.footer import (
    ColumnRange,
    Footer,
    fingerprint_files,
    footers_of,
    identify_files,
    read_footer,
)
from tests.evenstore.schema.source_views import ROWS, open_view, write


def footer_of(path: Path, table: pa.Table, *columns: str, **options: Any) -> Footer:
    pq.write_table(table, path, **options)
    (identity,) = identify_files([str(path)], where="stats")
    return read_footer(identity, columns=columns, where="stats")


def test_footer_has_rows_of_each_row_group_and_ranges_of_the_asked_columns(tmp_path: Path) -> None:
    table = pa.table({"k": pa.array([1, 2, 2, 5, 5], pa.int64()), "x": [0.5] * 5})
    footer = footer_of(tmp_path / "a.parquet", table, "k", "nope", row_group_size=2)
    assert footer.row_group_rows == (2, 2, 1)
    assert footer.n_rows == 5
    assert footer.types == {"k": pa.int64(), "x": pa.float64()}
    assert footer.ranges == {
        "k": (ColumnRange(1, 2, 0), ColumnRange(2, 5, 0), ColumnRange(5, 5, 0)),
    }
    assert footer.range_of("k") == ColumnRange(1, 5, 0)
    assert footer.is_ascending("k")
    assert footer.range_of("x") is None
    assert not footer.is_ascending("x")


def test_row_groups_that_overlap_are_not_ascending(tmp_path: Path) -> None:
    table = pa.table({"k": pa.array([1, 4, 3, 5], pa.int64())})
    footer = footer_of(tmp_path / "a.parquet", table, "k", row_group_size=2)
    assert not footer.is_ascending("k")


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/London"])
@pytest.mark.parametrize(
    ("unit", "raw", "us"),
    [
        ("s", [-1, 2], (-1_000_000, 2_000_000)),
        ("ms", [-1, 2], (-1000, 2000)),
        ("us", [-1, 2], (-1, 2)),
        ("ns", [-1, 1999], (-1, 1)),
    ],
)
def test_timestamps_are_microseconds_and_floored(
    tmp_path: Path, unit: str, raw: list[int], us: tuple[int, int], zone: str | None
) -> None:
    table = pa.table({"at": pa.array(raw, pa.timestamp(unit, zone))})
    assert footer_of(tmp_path / "a.parquet", table, "at").range_of("at") == ColumnRange(*us, 0)


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        (pa.array(["b", None, "ü"]), ("b", "ü", 1)),
        (pa.array(["b", "a"]).dictionary_encode(), ("a", "b", 0)),
        (pa.array([b"\xff", b"\x00"]), (b"\x00", b"\xff", 0)),
        (pa.array([4_000_000_000, 1], pa.uint32()), (1, 4_000_000_000, 0)),
        (pa.array([-5, 2**62], pa.int64()), (-5, 2**62, 0)),
        (pa.array([date(1970, 1, 2)]), (86_400_000_000, 86_400_000_000, 0)),
    ],
    ids=["text", "categorical", "bytes", "unsigned", "int64", "date"],
)
def test_bounds_are_values_of_the_column(tmp_path: Path, values: pa.Array, bounds: Any) -> None:
    footer = footer_of(tmp_path / "a.parquet", pa.table({"k": values}), "k")
    assert footer.range_of("k") == ColumnRange(*bounds)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (pa.array([1, 2]), {"write_statistics": False}),
        (pa.array([None, None], pa.int64()), {}),
        (pa.array([0], pa.timestamp("us")), {"use_deprecated_int96_timestamps": True}),
        (pa.array([[1]]), {}),
    ],
    ids=["not written", "all null", "int96", "list"],
)
def test_column_without_statistics_has_no_range(
    tmp_path: Path, values: pa.Array, options: dict[str, Any]
) -> None:
    footer = footer_of(tmp_path / "a.parquet", pa.table({"k": values}), "k", **options)
    assert footer.range_of("k") is None
    assert not footer.is_ascending("k")


def test_row_group_of_nulls_hides_the_range_of_the_file(tmp_path: Path) -> None:
    table = pa.table({"k": pa.array([1, None], pa.int64())})
    footer = footer_of(tmp_path / "a.parquet", table, "k", row_group_size=1)
    assert footer.ranges["k"] == (ColumnRange(1, 1, 0), None)
    assert footer.range_of("k") is None


def test_file_of_another_version_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    assert footer_of(path, pa.table({"k": [1]}), "k").n_rows == 1
    assert footer_of(path, pa.table({"k": [1, 2]}), "k").n_rows == 2


def test_opened_source_gives_its_footers_though_the_files_are_gone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", ROWS.rename_columns(["drv", "trips", "event_timestamp"]))
    source = open_view(
        FileSource(
            name="s",
            path=str(tmp_path),
            timestamp_field="event_timestamp",
            field_mapping={"drv": "driver_id"},
        )
    )
    Path(path).unlink()
    (footer,) = footers_of(source)
    assert footer.ranges == {
        "drv": (ColumnRange(1, 1, 0),),
        "event_timestamp": (ColumnRange(0, 0, 0),),
    }


def test_fingerprint_tells_a_replaced_file(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet")
    path = Path(write(tmp_path / "b.parquet"))
    source = open_view(FileSource(name="s", path=str(tmp_path), timestamp_field="event_timestamp"))
    assert fingerprint_files(source) == source.identities
    stat = path.stat()
    # Of the same length and time, as a copy that keeps times would be.
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.rename(path)
    assert fingerprint_files(source) != source.identities
    path.unlink()
    with pytest.raises(SourceUnavailableError, match=f"stats: cannot read `{path}`: No such file"):
        fingerprint_files(source)
    with pytest.raises(SourceUnavailableError, match=f"stats: cannot read `{path}`: No such file"):
        footers_of(replace(source, identities=()))
