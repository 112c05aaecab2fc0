"""What is written to sources and saved datasets, over stock Feast's two local stores and ours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Int64
from feast.value_type import ValueType

from tests.conformance.stores import DUCKDB, FILE, OURS, STOCK_WARNINGS, STORE_TYPES, Deviations
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
pytestmark = STOCK_WARNINGS

_ORDER = (ValueError, "upstream, FEAST.md 3.3: columns must be in the file's order")
_REWRITE = (AssertionError, "upstream, FEAST.md 3.3: the whole file is rewritten in place")
DEVIATIONS: Deviations = {
    ("test_columns_in_another_order_are_written", FILE): _ORDER,
    ("test_columns_in_another_order_are_written", DUCKDB): _ORDER,
    ("test_history_is_never_rewritten", FILE): _REWRITE,
    ("test_history_is_never_rewritten", DUCKDB): _REWRITE,
    ("test_saved_dataset_has_every_entity_row", FILE): (
        AssertionError,
        "upstream, D31 / FEAST.md 3.2: dask collapses entity rows",
    ),
}


def rows(*values: tuple[int, datetime, int | None]) -> pa.Table:
    return pa.table(
        {
            "driver_id": pa.array([key for key, _, _ in values], pa.int64()),
            "event_timestamp": pa.array([at for _, at, _ in values], pa.timestamp("us", "UTC")),
            "trips": pa.array([trips for _, _, trips in values], pa.int64()),
        }
    )


class Writes:
    """One view whose source can be added to: one file for stock, a folder for ours."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.kind = kind
        self.repo = FeastRepo(folder, offline_store=STORE_TYPES[kind])
        self.first = self.repo.write_rows("stats", rows((1, NOON, 1), (2, NOON, None)))
        path = str(self.first.parent if kind == OURS else self.first)
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        stats = self.repo.view(
            "stats",
            [driver],
            {"driver_id": Int64, "trips": Int64},
            source=self.repo.source("stats", created=None, path=path),
        )
        self.store: FeatureStore = self.repo.apply(driver, stats)

    def write(self, table: pa.Table) -> None:
        self.store.write_to_offline_store("stats", table.to_pandas(), reorder_columns=False)

    def publish(self, table: pa.Table) -> None:
        """Write through the store itself, as a stream's consumer does."""
        view = self.store.get_feature_view("stats")
        offline = self.store._get_provider().offline_store
        offline.offline_write_batch(self.store.config, view, table, None)

    def retrieve(self, *keys: int) -> Any:
        asked = pd.DataFrame({"driver_id": keys, "event_timestamp": NOON + 9 * HOUR})
        return self.store.get_historical_features(entity_df=asked, features=["stats:trips"])

    def trips(self, *keys: int) -> dict[int, int | None]:
        table = self.retrieve(*keys).to_arrow()
        return dict(zip(table["driver_id"].to_pylist(), table["trips"].to_pylist(), strict=True))


@pytest.fixture
def writes(kind: str, tmp_path: Path) -> Writes:
    return Writes(tmp_path, kind)


def test_written_rows_are_joined(writes: Writes) -> None:
    writes.write(rows((1, NOON + HOUR, 9), (3, NOON, 3)))
    assert writes.trips(1, 3) == {1: 9, 3: 3}


def test_columns_in_another_order_are_written(writes: Writes) -> None:
    writes.publish(rows((3, NOON, 3)).select(["trips", "event_timestamp", "driver_id"]))
    assert writes.trips(3) == {3: 3}


def test_history_is_never_rewritten(writes: Writes) -> None:
    content = writes.first.read_bytes()
    writes.publish(rows((3, NOON, 3)))
    assert writes.first.read_bytes() == content


def test_concurrent_writers_lose_nothing(writes: Writes) -> None:
    if writes.kind != OURS:
        # Not run: to read a file that another thread rewrites can end the whole process.
        pytest.xfail("upstream, FEAST.md 3.3: writers rewrite one file and lose each other's rows")
    keys = list(range(10, 22))
    at_once = Barrier(4)

    def publish(key: int) -> None:
        at_once.wait(300)
        writes.publish(rows((key, NOON, key)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(publish, keys))
    assert writes.trips(*keys) == {key: key for key in keys}


def test_rows_with_another_column_are_refused(writes: Writes) -> None:
    before = writes.first.read_bytes()
    more = rows((3, NOON, 3)).append_column("more", pa.array([1]))
    with pytest.raises(Exception, match="more"):
        writes.publish(more)
    assert writes.first.read_bytes() == before


def test_result_is_persisted_as_one_file(writes: Writes, tmp_path: Path) -> None:
    path = tmp_path / "result.parquet"
    writes.retrieve(1, 2).persist(SavedDatasetFileStorage(path=str(path)))
    table = pq.read_table(path)
    assert dict(zip(table["driver_id"].to_pylist(), table["trips"].to_pylist(), strict=True)) == {
        1: 1,
        2: None,
    }


def test_persisted_result_is_overwritten_only_where_asked(writes: Writes, tmp_path: Path) -> None:
    storage = SavedDatasetFileStorage(path=str(tmp_path / "result.parquet"))
    writes.retrieve(1).persist(storage)
    with pytest.raises(Exception, match="exists"):
        writes.retrieve(1, 2).persist(storage)
    assert pq.read_table(tmp_path / "result.parquet").num_rows == 1
    writes.retrieve(1, 2).persist(storage, allow_overwrite=True)
    assert pq.read_table(tmp_path / "result.parquet").num_rows == 2


def test_saved_dataset_has_every_entity_row(writes: Writes, tmp_path: Path) -> None:
    """Those that were asked for twice, and those of no entity too."""
    storage = SavedDatasetFileStorage(path=str(tmp_path / "saved.parquet"))
    writes.store.create_saved_dataset(writes.retrieve(1, 1, 9), "saved", storage)
    again = writes.store.get_saved_dataset("saved").to_df()
    assert sorted(again["driver_id"]) == [1, 1, 9]
