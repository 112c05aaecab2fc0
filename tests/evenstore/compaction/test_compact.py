from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FileSource, ValueType
from feast.types import Int64

from evenstore.compaction.compact import CompactionReport
from evenstore.compaction.feast_source import compact_view
from evenstore.errors import OfflineStoreError, SourceUnavailableError
from evenstore.schema.compile import compile_feature_view
from tests.support.feast_repo import FeastRepo

_FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def _rows(numbers: list[int], **columns: pa.Array) -> pa.Table:
    """Rows of seven drivers in no order; `trips` tells them apart."""
    count = len(numbers)
    instants = [_FIRST + timedelta(minutes=number * 37 % 101) for number in numbers]
    return pa.table(
        {
            "driver_id": pa.array([number % 7 for number in numbers], pa.int64()),
            "trips": pa.array(numbers, pa.int64()),
            "event_timestamp": pa.array(instants, pa.timestamp("us", "UTC")),
            "created": pa.array(
                [instants[i] if i % 5 else None for i in range(count)], pa.timestamp("us", "UTC")
            ),
            **columns,
        }
    )


class Repo:
    """A repo with one view over one folder."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.repo = FeastRepo(path)
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        self.view = self.repo.view(
            "stats",
            [driver],
            {"driver_id": Int64, "trips": Int64},
            source=self.repo.source("stats", **options),
        )
        self.folder = self.repo.data / "stats"
        self.definitions = (driver, self.view)

    def write(self, name: str, table: pa.Table, **options: Any) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, **options)
        return path

    def apply(self) -> FeatureStore:
        return self.repo.apply(*self.definitions)

    def compact(self, target_rows: int = 1000, **options: Any) -> CompactionReport:
        schema = compile_feature_view(self.view, is_offline=True)
        return compact_view(
            self.view, schema, self.repo.path, target_rows=target_rows, listing_s=0, **options
        )

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.parquet"))

    def rows(self) -> Counter[str]:
        """All rows of all files, as a multiset."""
        tables = [pq.read_table(file, partitioning=None) for file in self.files()]
        return Counter(repr(row) for table in tables for row in table.to_pylist())


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path)


def _keys(table: pa.Table) -> list[Any]:
    return [
        (row["driver_id"], row["event_timestamp"], row["created"] is None, row["created"] or 0)
        for row in table.to_pylist()
    ]


def test_files_become_one_sorted_file_of_the_same_rows(repo: Repo) -> None:
    for start in range(0, 300, 100):
        repo.write(f"{start}.parquet", _rows(list(range(start, start + 100))))
    before, old = repo.rows(), repo.files()

    report = repo.compact()

    (file,) = repo.files()
    assert repo.rows() == before
    keys = _keys(pq.read_table(file))
    assert keys == sorted(keys)
    assert file not in old
    assert (report.n_files, report.n_files_written, report.n_rows) == (3, 1, 300)
    assert {item.path for item in report.rewritten} == set(map(str, old))
    assert sorted(path.name for path in repo.folder.iterdir()) == [".compaction.lock", file.name]


def test_compacted_files_stay_until_there_is_something_to_join_them_with(repo: Repo) -> None:
    repo.write("a.parquet", _rows(list(range(100))))
    repo.compact(target_rows=100)
    first = repo.files()
    assert repo.compact(target_rows=100).rewritten == ()
    # Small, but alone.
    assert repo.compact(target_rows=1000).rewritten == ()
    assert repo.files() == first

    new = repo.write("b.parquet", _rows(list(range(100, 110))))
    report = repo.compact(target_rows=100)
    assert [(item.path, item.reason) for item in report.rewritten] == [
        (str(new), "not known to be sorted")
    ]
    assert first[0] in repo.files()
    report = repo.compact(target_rows=1000)
    assert [item.reason for item in report.rewritten] == ["small", "small"]
    assert len(repo.files()) == 1


def test_many_rows_become_files_of_the_size_asked_for(repo: Repo) -> None:
    repo.write("a.parquet", _rows(list(range(1000))))
    before = repo.rows()
    report = repo.compact(target_rows=300)
    assert report.n_files_written == 4
    assert [pq.read_metadata(file).num_rows for file in repo.files()] == [250] * 4
    assert repo.rows() == before


def test_every_column_keeps_its_type_and_values(repo: Repo) -> None:
    """Also columns that no view declares, and types that DuckDB does not have."""
    n = 6
    columns = {
        "tag": pa.array(["a", None, "b", "a", "b", "c"]).dictionary_encode(),
        "half": pa.array([1.5, None, float("nan"), -0.0, 2, 3], pa.float16()),
        "wide": pa.array([Decimal("1.20")] * n, pa.decimal256(50, 2)),
        "at": pa.array([1, None, 3, 4, 5, 2**60 + 1], pa.timestamp("ns", "America/New_York")),
        "span": pa.array([1, 2, None, 4, 5, 6], pa.time64("ns")),
        "large": pa.array(["x", "", None, "y", "z", "é"], pa.large_string()),
        "fixed": pa.array([[1, 2]] * 5 + [None], pa.list_(pa.int16(), 2)),
        "map": pa.array([[("k", 1)], None, [], [("k", None)], [], []], pa.map_("string", "int8")),
        "record": pa.array([{"a": 1, "b": [None, 2]}, None] * 3),
        "big": pa.array([2**64 - 1, 0, 1, None, 3, 4], pa.uint64()),
        "nothing": pa.nulls(n),
        "raw": pa.array([b"\0\xff", b"", None, b"a", b"b", b"c"], pa.binary(-1)),
        "flag": pa.array([True, None, False, True, True, False]),
    }
    table = _rows(list(range(n)), **columns)
    table = table.replace_schema_metadata({"owner": "us"})
    repo.write("a.parquet", table.slice(0, 4), compression="zstd")
    repo.write("b.parquet", table.slice(4), compression="zstd")
    types = [pq.read_schema(file) for file in repo.files()]
    assert types[0].equals(types[1])
    before = repo.rows()

    repo.compact()

    (file,) = repo.files()
    assert pq.read_schema(file).equals(types[0])
    assert pq.read_schema(file).metadata[b"owner"] == b"us"
    assert pq.read_metadata(file).row_group(0).column(0).compression == "ZSTD"
    assert repo.rows() == before


def test_files_of_other_columns_and_of_other_partitions_stay_apart(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    for day in ("1", "2"):
        for name in ("a", "b"):
            repo.write(f"day={day}/{name}.parquet", _rows([1, 2, 3]))
        repo.write(f"day={day}/c.parquet", _rows([4, 5], more=pa.array(["x", "y"])))
    before = repo.rows()

    report = repo.compact()

    assert report.n_files_written == 4
    assert Counter(file.parent.name for file in repo.files()) == {"day=1": 2, "day=2": 2}
    assert repo.rows() == before


def test_dry_run_changes_nothing(repo: Repo) -> None:
    path = repo.write("a.parquet", _rows([3, 1, 2]))
    report = repo.compact(is_dry_run=True)
    assert [(item.path, item.n_rows) for item in report.rewritten] == [(str(path), 3)]
    assert report.n_files_written == 0
    assert list(repo.folder.iterdir()) == [path]


def test_sources_that_are_no_local_folder_are_refused(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    path = repo.write("a.parquet", _rows([1]))
    for where in (str(path), f"{repo.folder}/*.parquet", "s3://bucket/folder"):
        repo.view.batch_source = FileSource(name="s", path=where, timestamp_field="event_timestamp")
        with pytest.raises(OfflineStoreError, match="data source `s` is "):
            repo.compact()
    assert repo.files() == [path]


def test_tables_of_transform_are_left_to_it(repo: Repo) -> None:
    table = _rows([1, 2]).replace_schema_metadata({"evenstore.sql_fingerprint": "0"})
    repo.write("2026-01-01-0.parquet", table)
    with pytest.raises(OfflineStoreError, match="evenstore transform"):
        repo.compact()


def test_damaged_file_is_named_and_nothing_is_replaced(repo: Repo) -> None:
    good = repo.write("a.parquet", _rows([1, 2]))
    bad = repo.write("b.parquet", _rows([3]))
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(SourceUnavailableError, match=r"b\.parquet"):
        repo.compact()
    assert repo.files() == [good, bad]


def test_entityless_views_are_sorted_by_time(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.view = repo.repo.view("stats", [], {"trips": Int64}, source=repo.view.batch_source)
    repo.write("a.parquet", _rows(list(range(50))))
    before = repo.rows()
    repo.compact()
    instants = pq.read_table(repo.files()[0])["event_timestamp"].to_pylist()
    assert instants == sorted(instants)
    assert repo.rows() == before
