from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import ConfigurationError, SourceUnavailableError
from evenstore.index.build import IndexSummary, build_index, remove_index
from evenstore.index.catalogue import index_folder
from evenstore.index.view_index import StaleIndex, ViewIndex, open_index
from evenstore.progress import LineProgress
from evenstore.schema.model import Field
from tests.repo.sources import ROOT
from tests.support.plain_source import PLAIN_VIEW, open_plain_source, plain_rows
from tests.support.scale import scaled

_LATE_US = 10**15


class Rows:
    """A folder of files, and the index of it."""

    def __init__(self, path: Path) -> None:
        self.folder = path / "rows"
        self.folder.mkdir()
        self.index = path / "index"

    def write(self, name: str, first: int, n_rows: int = 100) -> Path:
        pq.write_table(plain_rows(first, n_rows), self.folder / name)
        return self.folder / name

    def build(self, **options: str) -> IndexSummary:
        source = open_plain_source(self.folder)
        return build_index(self.index, source, PLAIN_VIEW, **options)  # type: ignore[arg-type]

    def open(self) -> ViewIndex:
        index = open_index(self.index, open_plain_source(self.folder), PLAIN_VIEW)
        assert isinstance(index, ViewIndex), index
        return index

    def why_stale(self) -> str:
        index = open_index(self.index, open_plain_source(self.folder), PLAIN_VIEW)
        assert isinstance(index, StaleIndex)
        return index.reason

    def segments(self) -> set[str]:
        return {path.name for path in (self.index / "segments").iterdir()}


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows(tmp_path)


def _newest_trips(index: ViewIndex) -> list[int | None]:
    """What each of the 50 drivers, and one that there is not, has at the end of time."""
    keys = pa.table({"driver_id": pa.array(range(51), pa.int64())})
    found = index.find(keys, np.full(51, _LATE_US), is_as_known=False)
    return list(index.take(found, PLAIN_VIEW.features)["trips"].to_pylist())


def _expected(folder: Path) -> list[int | None]:
    files = [pq.read_table(path) for path in open_plain_source(folder).paths]
    newest: dict[int, tuple[object, int]] = {}
    for row in pa.concat_tables(files).to_pylist():
        place = (row["event_timestamp"], row["trips"])
        if place > newest.get(row["driver_id"], (row["event_timestamp"], -1)):
            newest[row["driver_id"]] = place
    return [newest[driver][1] if driver in newest else None for driver in range(51)]


def test_only_new_files_are_read(rows: Rows) -> None:
    rows.write("a.parquet", 0)
    rows.write("b.parquet", 100)
    first = rows.build()
    assert (first.n_files, first.n_files_added, first.n_segments) == (2, 2, 1)
    before = rows.segments()

    rows.write("c.parquet", 200)
    assert rows.why_stale() == "1 file is not covered: run `evenstore index`"
    second = rows.build()

    assert (second.n_files, second.n_files_added, second.n_segments) == (3, 1, 2)
    assert (second.n_rows, second.kind) == (300, "table")
    assert before < rows.segments()
    assert _newest_trips(rows.open()) == _expected(rows.folder)
    third = rows.build()
    assert (third.n_files_added, third.n_segments) == (0, 2)
    assert second.n_bytes == third.n_bytes


def test_many_segments_become_one(rows: Rows) -> None:
    for number in range(9):
        rows.write(f"{number}.parquet", number * 10, 10)
        summary = rows.build()
    assert (summary.n_segments, summary.n_files_added, summary.n_rows) == (1, 9, 90)
    assert len(rows.segments()) == 1
    assert _newest_trips(rows.open()) == _expected(rows.folder)


def test_segment_of_a_changed_or_removed_file_is_dropped(rows: Rows) -> None:
    rows.write("a.parquet", 0)
    rows.build()
    gone, changed = rows.write("b.parquet", 100), rows.write("c.parquet", 200)
    rows.build()
    gone.unlink()
    assert rows.why_stale() == "1 file is changed or gone: run `evenstore index`"
    rows.write(changed.name, 300)
    assert rows.why_stale().startswith("1 file is not covered")

    summary = rows.build()

    assert (summary.n_files, summary.n_files_added, summary.n_segments) == (2, 1, 2)
    assert len(rows.segments()) == 2
    assert _newest_trips(rows.open()) == _expected(rows.folder)


def test_changed_view_makes_an_index_stale_but_a_ttl_does_not(rows: Rows) -> None:
    rows.write("a.parquet", 0)
    rows.build()
    source = open_plain_source(rows.folder)
    other_ttl = dataclasses.replace(PLAIN_VIEW, ttl_us=1)
    assert isinstance(open_index(rows.index, source, other_ttl), ViewIndex)
    features = (*PLAIN_VIEW.features, Field("created", Dtype.UNIX_TIMESTAMP))
    more = dataclasses.replace(PLAIN_VIEW, features=features)
    source = dataclasses.replace(source, columns=(*source.columns, ("created", "created")))
    stale = open_index(rows.index, source, more)
    assert isinstance(stale, StaleIndex)
    assert stale.reason.startswith("the view or its columns changed")
    assert build_index(rows.index, source, more).n_files_added == 1
    assert isinstance(open_index(rows.index, source, more), ViewIndex)


def test_other_kind_builds_all_anew(rows: Rows) -> None:
    path = rows.write("a.parquet", 0)
    rows.build()
    summary = rows.build(kind="positions")
    assert (summary.n_files_added, summary.n_segments, summary.kind) == (1, 1, "positions")
    index = rows.open()
    keys = pa.table({"driver_id": pa.array(range(50), pa.int64())})
    found = index.find(keys, np.full(50, _LATE_US), is_as_known=False)
    files, positions = index.positions(found)
    assert set(files.tolist()) == {0}
    trips = pq.read_table(path)["trips"].take(pa.array(positions)).to_pylist()
    assert trips == _expected(rows.folder)[:50]


def test_histories_longer_than_a_batch_are_whole(rows: Rows) -> None:
    """DuckDB's result comes in batches, which end inside of an entity's rows."""
    rows.write("a.parquet", 0, 140_000)
    rows.build()
    index = rows.open()
    assert [segment.entry.n_entities for segment in index.segments] == [50]
    assert _newest_trips(index) == _expected(rows.folder)


def test_no_index_is_said(rows: Rows) -> None:
    rows.write("a.parquet", 0)
    assert rows.why_stale() == "there is no index: run `evenstore index`"
    assert remove_index(rows.index) is False


@pytest.mark.parametrize("damage", ["catalogue", "version", "hash", "cut", "gone", "garbage"])
def test_damaged_index_is_left_aside_and_mended(rows: Rows, damage: str) -> None:
    rows.write("a.parquet", 0)
    rows.build()
    catalogue = rows.index / "catalogue.json"
    (segment,) = (rows.index / "segments").iterdir()
    order = segment / "order.arrow"
    document = json.loads(catalogue.read_text())
    if damage == "catalogue":
        catalogue.write_text('{"version": 1, ')
    elif damage == "version":
        catalogue.write_text(json.dumps(document | {"version": 99}))
    elif damage == "hash":
        document["index"]["segments"][0]["n_rows"] = 99
        catalogue.write_text(json.dumps(document))
    elif damage == "cut":
        order.write_bytes(order.read_bytes()[:-100])
    elif damage == "gone":
        order.unlink()
    else:
        order.write_bytes(bytes(order.stat().st_size))

    assert rows.why_stale().startswith("the index cannot be read (")
    assert rows.build().n_segments == 1
    assert _newest_trips(rows.open()) == _expected(rows.folder)


def test_open_index_is_not_disturbed_by_a_build_or_removal(rows: Rows) -> None:
    path = rows.write("a.parquet", 0)
    rows.build()
    index, expected = rows.open(), _expected(rows.folder)
    path.unlink()
    rows.write("b.parquet", 1000)
    rows.build()
    assert _newest_trips(index) == expected
    assert remove_index(rows.index) is True
    assert _newest_trips(index) == expected
    assert rows.why_stale().startswith("there is no index")


def test_two_builds_at_once_give_one_index(rows: Rows) -> None:
    rows.write("a.parquet", 0)
    summaries: list[IndexSummary] = []
    threads = [threading.Thread(target=lambda: summaries.append(rows.build())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(summary.n_files_added for summary in summaries) == [0, 0, 1]
    assert len(rows.segments()) == 1
    assert _newest_trips(rows.open()) == _expected(rows.folder)


@pytest.mark.slow
def test_killed_build_leaves_the_index_as_it_was(rows: Rows) -> None:
    for number in range(3):
        rows.write(f"{number}.parquet", number * 10_000, 10_000)
    rows.build()
    expected = _expected(rows.folder)
    module = f"{__package__}.building_process"
    command = [sys.executable, "-m", module, str(rows.folder), str(rows.index)]
    for _ in range(scaled(2, 40)):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"started\n"
            until = time.monotonic() + random.uniform(0.05, 0.6)
            while time.monotonic() < until:
                # Readers meet every state, and there is an index in each.
                assert rows.open().n_rows == 30_000
            process.kill()
        assert rows.open().n_rows == 30_000
    rows.build(kind="table")
    assert _newest_trips(rows.open()) == expected
    assert len(rows.segments()) == 1


def test_files_without_a_column_of_the_view_have_nulls(rows: Rows) -> None:
    """A feature that came later; each segment is built from its own files alone."""
    view = dataclasses.replace(
        PLAIN_VIEW,
        features=(*PLAIN_VIEW.features, Field("later", Dtype.STRING), Field("tags", Dtype("Map"))),
    )
    old = plain_rows(0, 50).drop_columns(["created"])
    pq.write_table(old, rows.folder / "a.parquet")
    source = open_plain_source(rows.folder)
    named = (*source.columns, ("later", "later"), ("tags", "tags"))
    # As it is when the folder holds both files.
    build_index(rows.index, dataclasses.replace(source, columns=named), view)
    new = plain_rows(50, 10)
    new = new.append_column("later", pa.array([f"v{number}" for number in range(10)]))
    tags = pa.array([[("k", number)] for number in range(10)], pa.map_("string", "int64"))
    pq.write_table(new.append_column("tags", tags), rows.folder / "b.parquet")
    source = dataclasses.replace(open_plain_source(rows.folder), columns=named)
    assert build_index(rows.index, source, view).n_segments == 2

    index = open_index(rows.index, source, view)
    assert isinstance(index, ViewIndex)
    keys = pa.table({"driver_id": pa.array(range(50), pa.int64())})
    for is_as_known in (False, True):
        found = index.find(keys, np.full(50, _LATE_US), is_as_known=is_as_known)
        values = index.take(found, view.features)
        has_later = [text is not None for text in values["later"].to_pylist()]
        assert 0 < sum(has_later) <= 10
        assert values["tags"].type == pa.map_("string", "int64")
        assert [tag is not None for tag in values["tags"].to_pylist()] == has_later
        created = index.created_us(found).to_pylist()
        # Rows of the old file never say when they were known.
        assert [us is not None for us in created] == has_later
        assert ((found >= 0) == np.array(has_later)).all() == is_as_known


def test_build_reports_rows_and_refuses_what_it_cannot_read(
    rows: Rows,
) -> None:
    rows.write("a.parquet", 0)
    source = open_plain_source(rows.folder)
    progress = LineProgress("stats", None, "rows", sys.stderr)
    build_index(rows.index, source, PLAIN_VIEW, progress=progress)
    assert progress._n_done == 100
    path = rows.write("b.parquet", 100)
    path.write_bytes(b"no Parquet")
    with pytest.raises(SourceUnavailableError, match=r"b\.parquet"):
        rows.build()
    assert len(rows.segments()) == 1
    (rows.folder.parent / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write the index"):
        build_index(rows.folder.parent / "file", source, PLAIN_VIEW)


def test_folder_of_an_index_is_one_name_whatever_the_view_is_called() -> None:
    repo = Path("/repo")
    assert index_folder(repo, "stats") == Path("/repo/.evenstore/index/stats")
    for name in ("..", "a/b", "stats@v2", "é", "."):
        folder = index_folder(repo, name)
        assert folder.parent == Path("/repo/.evenstore/index")
        assert folder.name not in {"", ".", ".."}
