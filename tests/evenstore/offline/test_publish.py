"""Published rows: one new complete file each time, by any number of writers at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Field, FileSource, RequestSource
from feast.types import Int64

from evenstore.errors import OfflineStoreError, SchemaError
from evenstore.offline.publish import publish_rows
from evenstore.schema.source import find_files

ROWS = pa.table({"k": pa.array([1], pa.int64()), "at": pa.array([0], pa.timestamp("us", "UTC"))})


def source_of(path: str) -> FileSource:
    return FileSource(name="trips_source", path=path, timestamp_field="at")


def test_rows_become_a_new_file_and_older_files_stay(tmp_path: Path) -> None:
    first = publish_rows(source_of("data"), tmp_path, ROWS)
    content = first.read_bytes()
    second = publish_rows(source_of("data"), tmp_path, ROWS)
    assert sorted((tmp_path / "data").iterdir()) == sorted([first, second])
    assert first.read_bytes() == content
    assert pq.read_table(second) == ROWS
    assert find_files(source_of("data"), tmp_path) == tuple(sorted(map(str, (first, second))))


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    def publish(number: int) -> Path:
        table = ROWS.set_column(0, "k", pa.array([number], pa.int64()))
        return publish_rows(source_of("data"), tmp_path, table)

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(publish, range(64)))
    assert len(set(paths)) == 64
    assert sorted(pq.read_table(tmp_path / "data")["k"].to_pylist()) == list(range(64))
    assert all(path.suffix == ".parquet" for path in (tmp_path / "data").iterdir())


@pytest.mark.parametrize("path", ["one.parquet", "new.parquet", "data/*.parquet", "dat?"])
def test_source_that_is_no_folder_is_refused(tmp_path: Path, path: str) -> None:
    pq.write_table(ROWS, tmp_path / "one.parquet")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OfflineStoreError, match="`trips_source` is one file or a glob") as caught:
        publish_rows(source_of(path), tmp_path, ROWS)
    assert caught.value.hint == "point the source at a folder"
    assert sorted(tmp_path.rglob("*")) == before


def test_folder_named_like_a_file_or_a_glob_can_be_added_to(tmp_path: Path) -> None:
    for name in ("spark.parquet", "data[1]"):
        (tmp_path / name).mkdir()
        publish_rows(source_of(name), tmp_path, ROWS)
        assert len(list((tmp_path / name).iterdir())) == 1


def test_source_of_another_kind_is_refused(tmp_path: Path) -> None:
    till = RequestSource(name="till", schema=[Field(name="amount", dtype=Int64)])
    with pytest.raises(OfflineStoreError, match="`till` is a RequestSource"):
        publish_rows(till, tmp_path, ROWS)


@pytest.mark.parametrize(
    ("rows", "differing"),
    [
        (ROWS.drop_columns(["k"]), "k"),
        (ROWS.append_column("more", pa.array([1])), "more"),
        (ROWS.rename_columns(["K", "at"]), "K, k"),
    ],
    ids=["missing", "added", "other name"],
)
def test_rows_with_other_columns_are_refused_and_leave_nothing(
    tmp_path: Path, rows: pa.Table, differing: str
) -> None:
    first = publish_rows(source_of("data"), tmp_path, ROWS)
    with pytest.raises(OfflineStoreError) as caught:
        publish_rows(source_of("data"), tmp_path, rows)
    assert caught.value.message.endswith(f": columns differ from its files: {differing}")
    assert list((tmp_path / "data").iterdir()) == [first]


def test_value_that_the_type_of_the_files_cannot_hold_is_refused_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    first = publish_rows(source_of("data"), tmp_path, ROWS)
    with pytest.raises(OfflineStoreError, match="column `k` is double, int64 in the files"):
        publish_rows(source_of("data"), tmp_path, ROWS.set_column(0, "k", pa.array([1.5])))
    assert list((tmp_path / "data").iterdir()) == [first]


def test_files_that_disagree_already_are_refused(tmp_path: Path) -> None:
    publish_rows(source_of("data"), tmp_path, ROWS)
    pq.write_table(ROWS.set_column(0, "k", pa.array([1.5])), tmp_path / "data" / "z.parquet")
    with pytest.raises(SchemaError, match="write all files of a source with one schema"):
        publish_rows(source_of("data"), tmp_path, ROWS)


def test_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    unwritable = pa.table({"k": pa.array([None], pa.null()), "s": pa.array([{}], pa.struct([]))})
    with pytest.raises(pa.ArrowException):
        publish_rows(source_of("data"), tmp_path, unwritable)
    assert list((tmp_path / "data").iterdir()) == []
