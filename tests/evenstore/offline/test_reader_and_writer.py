"""Joins while another process adds and replaces files: every answer is a state that existed.

Each version of the source gives every driver the version's number. Drivers are spread over files,
which a writer replaces one after the other: an answer with drivers of one file in two versions is
torn, and so is one whose files changed in another order than they were replaced in.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.types import Int64
from feast.value_type import ValueType

from evenstore.errors import SourceChangedError
from evenstore.offline.history import read_history
from evenstore.schema.compile import compile_store
from evenstore.schema.request import resolve_references
from evenstore.schema.source import batch_source
from evenstore.semantics import Knowledge
from tests.evenstore.offline.file_writers import (
    DRIVERS_OF_A_FILE,
    EVENTS,
    N_FILES,
    NOON,
    SECOND,
    STAMP,
    Pace,
    append,
    replace_in_place,
    replace_with_new_names,
    rows_of,
)
from tests.support.feast_repo import FeastRepo
from tests.support.scale import scaled

Writer = Callable[[Path, Pace], None]


class Versions:
    """A source of which a writer makes ever new versions, and the ways to read it."""

    def __init__(self, folder: Path) -> None:
        self.repo = FeastRepo(folder)
        for file in range(N_FILES):
            self.repo.write_rows("stats", rows_of(file, 0), file=f"{file}-0.parquet")
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        stats = self.repo.view("stats", [driver], {"driver_id": Int64, "version": Int64})
        self.store: FeatureStore = self.repo.apply(driver, stats)
        self.request = resolve_references(compile_store(self.store), ("stats:version",))
        n_drivers = N_FILES * DRIVERS_OF_A_FILE
        instants = [NOON + SECOND * (EVENTS - 1 - i % EVENTS) for i in range(n_drivers)]
        self.asked = pa.table(
            {
                "driver_id": pa.array(range(n_drivers), pa.int64()),
                "event_timestamp": pa.array(instants, STAMP),
            }
        )

    def join(self) -> pa.Table:
        job = self.store.get_historical_features(self.asked.to_pandas(), ["stats:version"])
        return job.to_arrow()

    def stream(self) -> pa.Table:
        job: Any = self.store.get_historical_features(self.asked.to_pandas(), ["stats:version"])
        return job.to_arrow_reader(7).read_all()

    def history(self) -> pa.Table:
        knowledge = Knowledge.LATEST_TRUTH
        table = read_history(self.store, self.request, self.asked, knowledge=knowledge)
        return table.rename_columns({"stats__version": "version"})

    def dates(self) -> pa.Table:
        return self.dates_job().to_arrow()

    def dates_job(self) -> RetrievalJob:
        end = NOON + SECOND * EVENTS
        return self.store.get_historical_features(
            features=["stats:version"], start_date=NOON, end_date=end
        )

    def pull(self) -> pa.Table:
        return self.pull_job().to_arrow()

    def pull_job(self) -> RetrievalJob:
        offline = self.store._get_provider().offline_store
        return offline.pull_latest_from_table_or_query(
            self.store.config,
            batch_source(self.store.get_feature_view("stats")),
            ["driver_id"],
            ["version"],
            "event_timestamp",
            "created",
            NOON,
            NOON + SECOND * EVENTS,
        )


@contextmanager
def running(writer: Writer, folder: Path) -> Iterator[Pace]:
    """Run a writer in a process of its own for the block."""
    context = multiprocessing.get_context("spawn")
    pace = Pace(context)
    process = context.Process(target=writer, args=(folder, pace))
    process.start()
    try:
        yield pace
    finally:
        pace.end()
        process.join(300)
    assert process.exitcode == 0


def versions_of_files(table: pa.Table) -> tuple[int, ...]:
    """Return the version of each file's drivers, of which there is one."""
    assert table.num_rows == N_FILES * DRIVERS_OF_A_FILE
    versions = dict(zip(table["driver_id"].to_pylist(), table["version"].to_pylist(), strict=True))
    found: list[int] = []
    for file in range(N_FILES):
        first = file * DRIVERS_OF_A_FILE
        of_file = {versions[driver] for driver in range(first, first + DRIVERS_OF_A_FILE)}
        assert len(of_file) == 1, f"file {file} is torn: {of_file}"
        found += of_file
    return tuple(found)


def read_beside(
    writer: Writer, versions: Versions, ways: Sequence[Callable[[], pa.Table]], n_states: int
) -> None:
    """Read in turn in some ways until so many states were seen."""
    seen = [versions_of_files(ways[0]())]
    with running(writer, versions.repo.data / "stats") as pace:
        for read in itertools.cycle(ways):
            if len(set(seen)) >= n_states:
                return
            try:
                found = versions_of_files(read())
            except SourceChangedError:
                pace.slow_down()
                continue  # Each of its attempts met another replacement: it may give up.
            # Replaced in the order of their numbers, and never taken back.
            assert list(found) == sorted(found, reverse=True)
            assert found[0] - found[-1] <= 1
            assert found >= seen[-1]
            seen.append(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "writer", [append, replace_with_new_names, replace_in_place], ids=lambda f: f.__name__
)
def test_answer_beside_a_writer_is_a_state_that_existed(tmp_path: Path, writer: Writer) -> None:
    versions = Versions(tmp_path)
    ways = [versions.join, versions.stream, versions.history]
    if writer is append:
        ways += [versions.dates, versions.pull]
    read_beside(writer, versions, ways, scaled(4, 200))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["dates", "pull"])
def test_dates_and_pulls_beside_a_writer_are_states_that_existed(tmp_path: Path, way: str) -> None:
    versions = Versions(tmp_path)
    read_beside(replace_with_new_names, versions, [getattr(versions, way)], scaled(4, 200))


@pytest.mark.parametrize("name", ["0-1.parquet", "0-0.parquet"], ids=["removed", "in place"])
def test_job_of_entity_rows_reads_the_files_of_its_own_time(tmp_path: Path, name: str) -> None:
    """Not those of the call that made it: it may be asked much later."""
    versions = Versions(tmp_path)
    job = versions.store.get_historical_features(versions.asked.to_pandas(), ["stats:version"])
    replace_first_file(versions, name)
    assert versions_of_files(job.to_arrow()) == (1, 0, 0)
    assert versions_of_files(job.to_arrow_reader().read_all()) == (1, 0, 0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["0-1.parquet", "0-0.parquet"], ids=["removed", "in place"])
@pytest.mark.parametrize("way", ["pull", "dates"])
def test_job_without_entity_rows_reads_the_files_of_its_own_time(
    tmp_path: Path, way: str, name: str
) -> None:
    versions = Versions(tmp_path)
    job = versions.pull_job() if way == "pull" else versions.dates_job()
    replace_first_file(versions, name)
    assert versions_of_files(job.to_arrow()) == (1, 0, 0)


@pytest.mark.parametrize("name", ["0-1.parquet", "0-0.parquet"], ids=["removed", "in place"])
def test_stream_whose_files_change_under_way_ends_in_an_error(tmp_path: Path, name: str) -> None:
    """Its batches came from files that are no more: the rest cannot be told to fit them."""
    versions = Versions(tmp_path)
    job: Any = versions.store.get_historical_features(versions.asked.to_pandas(), ["stats:version"])
    reader = job.to_arrow_reader(7)
    assert reader.read_next_batch().num_rows == 7
    replace_first_file(versions, name)
    with pytest.raises(SourceChangedError, match="stats: a file was replaced or removed"):
        reader.read_all()


def replace_first_file(versions: Versions, name: str) -> None:
    """Publish the next version of the first file, under its own or a new name."""
    folder = versions.repo.data / "stats"
    versions.repo.write_rows("stats", rows_of(0, 1), file=name)
    if name != "0-0.parquet":
        (folder / "0-0.parquet").unlink()


@pytest.mark.slow
def test_pushes_beside_joins_are_seen_whole(tmp_path: Path) -> None:
    """The store's own writes: each is one file, and so one more state."""
    versions = Versions(tmp_path)
    view = versions.store.get_feature_view("stats")
    offline = versions.store._get_provider().offline_store
    for version in range(1, scaled(6, 60)):
        table = pa.concat_tables([rows_of(file, version) for file in range(N_FILES)])
        offline.offline_write_batch(versions.store.config, view, table, None)
        assert versions_of_files(versions.join()) == (version,) * N_FILES
