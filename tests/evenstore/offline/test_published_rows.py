"""Rows that Feast's API adds to a folder: typed as its files, or refused; queries that are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, ValueType
from feast.types import Float64, Int64

from evenstore.errors import EntityRowsError, EvenstoreError, OfflineStoreError
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
_INSTANT = pa.timestamp("us", "UTC")


def frame(**changes: Any) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "driver_id": [2],
        "event_timestamp": [pd.Timestamp(NOON)],
        "trips": [7],
        "rate": [0.5],
    }
    return pd.DataFrame(columns | changes)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    repo = FeastRepo(tmp_path_factory.mktemp("repo"))
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    fields: dict[str, Any] = {"driver_id": Int64, "trips": Int64, "rate": Float64}
    view = repo.view("stats", [driver], fields, source=repo.source("stats", created=None))
    first = pa.table(
        {
            "driver_id": [1],
            "event_timestamp": pa.array([NOON], _INSTANT),
            "trips": [1],
            "rate": [0.1],
        }
    )
    repo.write_rows("stats", first)
    return repo.apply(driver, view)


def joined(store: FeatureStore, driver_id: int) -> dict[str, Any]:
    rows = pa.table(
        {"driver_id": [driver_id], "event_timestamp": pa.array([NOON + timedelta(1)], _INSTANT)}
    )
    job = store.get_historical_features(rows, ["stats:trips", "stats:rate"])
    (row,) = job.to_arrow().to_pylist()
    return dict(row)


@pytest.mark.parametrize(
    "changes",
    [
        {"driver_id": [10]},
        {"driver_id": pd.array([11], "int32")},
        {"driver_id": [12], "rate": [1]},
        {"driver_id": [13], "trips": [7.0]},
        {"driver_id": [14], "rate": [None]},
    ],
    ids=str,
)
def test_rows_get_the_types_of_the_files_where_nothing_is_lost(
    store: FeatureStore, changes: dict[str, Any]
) -> None:
    given = frame(**changes)
    assert pa.Table.from_pandas(given).schema.field("event_timestamp").type.unit == "ns"
    store.write_to_offline_store("stats", given)
    found = joined(store, int(given["driver_id"][0]))
    assert found["trips"] == 7
    assert type(found["trips"]) is int
    assert found["rate"] in {0.5, 1.0, None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trips": [7.5]}, r"stats_source`, file `.*\.parquet`: column `trips` is double, int64"),
        ({"driver_id": ["x"]}, "column `driver_id` is string, int64"),
        ({"event_timestamp": pd.DatetimeIndex(["NaT"], tz="UTC")}, "is null in 1 rows"),
    ],
    ids=str,
)
def test_rows_that_would_change_or_vanish_are_refused(
    store: FeatureStore, changes: dict[str, Any], message: str
) -> None:
    folder = Path(store.repo_path) / "data" / "stats"
    before = sorted(folder.iterdir())
    with pytest.raises(OfflineStoreError, match=message) as caught:
        store.write_to_offline_store("stats", frame(**changes))
    assert caught.value.hint
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "sql", ["", "selec 1", "copy (select 1) to 'written.csv'", "select 1; select 2"], ids=repr
)
def test_sql_that_is_no_query_is_not_run(
    store: FeatureStore, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EntityRowsError) as caught:
        store.get_historical_features(sql, ["stats:trips"])
    assert "SELECT" in (caught.value.hint or "")
    assert not list(tmp_path.iterdir())


def test_dates_the_wrong_way_round_are_refused(store: FeatureStore) -> None:
    with pytest.raises(EntityRowsError, match="is after"):
        store.get_historical_features(
            features=["stats:trips"], start_date=NOON, end_date=NOON - timedelta(1)
        )


@pytest.mark.parametrize(
    ("instant", "unit", "trips"),
    [(253_402_300_800_000_000, "us", 1), (2**63 - 1, "us", 1), (10**13, "s", None)],
)
def test_instants_beyond_the_calendar_are_joined_or_refused(
    store: FeatureStore, instant: int, unit: str, trips: int | None
) -> None:
    instants = pa.array([instant], pa.timestamp(unit, "UTC"))
    rows = pa.table({"driver_id": [1], "event_timestamp": instants})
    if trips is None:
        with pytest.raises(EvenstoreError, match="beyond what microseconds can say"):
            store.get_historical_features(rows, ["stats:trips"]).to_arrow()
        return
    table = store.get_historical_features(rows, ["stats:trips"]).to_arrow()
    assert table["trips"].to_pylist() == [trips]


def test_the_first_file_decides_the_columns(store: FeatureStore) -> None:
    folder = Path(store.repo_path) / "data" / "stats"
    assert {pq.read_schema(path).names[0] for path in folder.glob("*.parquet")} == {"driver_id"}
