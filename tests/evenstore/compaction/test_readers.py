"""Joins, runs and writers beside a compaction."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, ValueType
from feast.types import Int64

from evenstore.compaction.compact import compact_folder
from evenstore.compute.watermark import read_watermark
from evenstore.online.connection import open_redis
from evenstore.schema.compile import compile_feature_view
from tests.evenstore.compute.stored import read_stored
from tests.support.feast_repo import FeastRepo
from tests.support.plain_source import PLAIN_VIEW, open_plain_source, plain_rows
from tests.support.scale import scaled

_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_SCHEMA = {"driver_id": Int64, "trips": Int64}
_END = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=10_007)
_N_FILES, _FILE_ROWS = 12, 200


def _compact(folder: Path, *, listing_s: float = 0.0) -> int:
    report = compact_folder(
        folder,
        partial(open_plain_source, folder),
        PLAIN_VIEW,
        target_rows=3_000,
        listing_s=listing_s,
    )
    return report.n_files_written


def _apply(repo: FeastRepo) -> FeatureStore:
    for number in range(_N_FILES):
        rows = plain_rows(number * _FILE_ROWS, _FILE_ROWS)
        repo.write_rows("stats", rows, file=f"{number}.parquet")
    return repo.apply(_DRIVER, repo.view("stats", [_DRIVER], _SCHEMA))


def _asked() -> pa.Table:
    drivers = [number % 52 for number in range(520)]
    instants = [_END - timedelta(seconds=number * 19) for number in range(520)]
    return pa.table(
        {
            "driver_id": pa.array(drivers, pa.int64()),
            "event_timestamp": pa.array(instants, pa.timestamp("us", "UTC")),
        }
    )


class _Churn(threading.Thread):
    """Publishes rows that nobody asks for, and compacts: a round for each join.

    A join starts again where a file was removed under it, but not for ever.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._is_over = threading.Event()
        self._rounds = threading.Semaphore(0)
        self.n_compactions = 0

    def run(self) -> None:
        # What it raises fails the test: pytest reports exceptions of threads.
        number = 0
        while self._rounds.acquire() and not self._is_over.is_set():
            self._round(number)
            number += 1

    def _round(self, number: int) -> None:
        later = plain_rows(10**6 + number * 50, 50)
        after = pa.array([_END + timedelta(days=1)] * 50, pa.timestamp("us", "UTC"))
        later = later.set_column(2, "event_timestamp", after)
        pq.write_table(later, self._folder / f".{number}.tmp")
        (self._folder / f".{number}.tmp").rename(self._folder / f"new-{number}.parquet")
        self.n_compactions += _compact(self._folder, listing_s=0.1) > 0

    def begin_round(self) -> None:
        self._rounds.release()

    def end(self) -> None:
        self._is_over.set()
        self._rounds.release()
        self.join()


@pytest.mark.slow
def test_joins_beside_compactions_and_appends_give_the_same_answer(tmp_path: Path) -> None:
    repo = FeastRepo(tmp_path)
    store = _apply(repo)
    asked, folder = _asked(), repo.data / "stats"

    def join() -> pa.Table:
        rows = asked.to_pandas()
        return store.get_historical_features(rows, ["stats:trips"]).to_arrow()

    expected = join()
    assert expected["trips"].null_count < 100
    churn = _Churn(folder)
    churn.start()
    try:
        for _ in range(scaled(15, 300)):
            churn.begin_round()
            assert join().equals(expected)
    finally:
        churn.end()
    assert churn.n_compactions > 1


def test_run_after_a_compaction_changes_nothing_and_still_finds_late_rows(
    tmp_path: Path, redis_url: str
) -> None:
    """Compacted files are new ones to the watermark: they are read again, and newest wins."""
    repo = FeastRepo(tmp_path, redis_url=redis_url)
    store = _apply(repo)
    store.materialize_incremental(_END)
    view = compile_feature_view(store.get_feature_view("stats"))
    keys = [(driver,) for driver in range(60)]
    with open_redis(redis_url) as client:
        loaded = read_stored(client, view, "tiny", keys)
        assert len(loaded) == 50

        assert _compact(repo.data / "stats") == 1
        repo.store().materialize_incremental(_END + timedelta(days=1))

        assert read_stored(client, view, "tiny", keys) == loaded
        late = plain_rows(5_000, 1).set_column(0, "driver_id", pa.array([55], pa.int64()))
        repo.write_rows("stats", late, file="late.parquet")
        _compact(repo.data / "stats")
        repo.store().materialize_incremental(_END + timedelta(days=2))

        found = read_stored(client, view, "tiny", keys)
        assert found.pop((55,)).values == {"trips": 5_000}
        assert found == loaded
        watermark = read_watermark(client, "tiny", "stats")
    assert watermark is not None
    assert set(watermark.files) == set(open_plain_source(repo.data / "stats").paths)
