"""Retrieval by dates, without entity rows, over stock Feast's two local stores and ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore
from feast.types import Float64, Int64
from feast.value_type import ValueType

from tests.conformance.stores import DUCKDB, FILE, STOCK_WARNINGS, STORE_TYPES, Deviations
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
pytestmark = STOCK_WARNINGS

_NO_START = (AssertionError, "upstream, FEAST.md 3.2: the start date filters no rows")
_NO_DATES = (TypeError, "upstream, FEAST.md 3.1: retrieval by dates fails")
DEVIATIONS: Deviations = {
    ("test_entities_seen_between_the_dates_are_returned", FILE): _NO_START,
    ("test_both_dates_are_inclusive", FILE): _NO_START,
    ("test_values_are_those_of_the_end_date", FILE): _NO_START,
    ("test_end_without_a_date_is_now", FILE): _NO_START,
    ("test_naive_dates_are_utc", FILE): _NO_START,
    ("test_dates_that_saw_nobody_give_no_rows", FILE): _NO_START,
    ("test_value_that_is_too_old_at_the_end_date_is_null", FILE): (
        AssertionError,
        "upstream, D31 / FEAST.md 3.2: dask drops rows beyond the ttl",
    ),
    ("test_entities_seen_between_the_dates_are_returned", DUCKDB): _NO_DATES,
    ("test_both_dates_are_inclusive", DUCKDB): _NO_DATES,
    ("test_values_are_those_of_the_end_date", DUCKDB): _NO_DATES,
    ("test_value_that_is_too_old_at_the_end_date_is_null", DUCKDB): _NO_DATES,
    ("test_start_without_a_date_is_the_ttl_before_the_end", DUCKDB): _NO_DATES,
    ("test_start_without_a_date_and_a_ttl_is_thirty_days_before_the_end", DUCKDB): _NO_DATES,
    ("test_end_without_a_date_is_now", DUCKDB): _NO_DATES,
    ("test_naive_dates_are_utc", DUCKDB): _NO_DATES,
    ("test_dates_that_saw_nobody_give_no_rows", DUCKDB): _NO_DATES,
    ("test_view_without_entities_is_one_row", DUCKDB): _NO_DATES,
}


class Dated:
    """Three drivers seen at different hours, and a view without entities, on one store."""

    def __init__(self, folder: Path, kind: str) -> None:
        repo = FeastRepo(folder, offline_store=STORE_TYPES[kind])
        hours = [-30, -3, -2, -1, 0, 2]
        instants = pa.array([NOON + hour * HOUR for hour in hours], pa.timestamp("us", "UTC"))
        rows = pa.table(
            {
                "driver_id": pa.array([3, 1, 1, 2, 1, 2], pa.int64()),
                "trips": pa.array([30, 10, 11, 20, 12, 21], pa.int64()),
                "load": pa.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
                "event_timestamp": instants,
            }
        )
        source = repo.source("rows", created=None, path=str(repo.write_rows("rows", rows)))
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        schema: dict[str, Any] = {"driver_id": Int64, "trips": Int64}
        trips = repo.view("trips", [driver], schema, ttl=2 * HOUR, source=source)
        lasting = repo.view("lasting", [driver], schema, source=source)
        city = repo.view("city", [], {"load": Float64}, source=source)
        self.store: FeatureStore = repo.apply(driver, trips, lasting, city)

    def ask(self, feature: str, **dates: Any) -> pd.DataFrame:
        """Retrieve one feature, ordered by driver where there are drivers."""
        frame = self.store.get_historical_features(features=[feature], **dates).to_df()
        keys = [name for name in ("driver_id",) if name in frame]
        return frame.sort_values(keys, ignore_index=True) if keys else frame

    def trips(self, view: str, **dates: Any) -> dict[int, int | None]:
        frame = self.ask(f"{view}:trips", **dates)
        values = [None if pd.isna(value) else int(value) for value in frame["trips"]]
        return dict(zip(frame["driver_id"], values, strict=True))


@pytest.fixture(scope="module")
def dated(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Dated:
    return Dated(tmp_path_factory.mktemp(kind), kind)


def test_entities_seen_between_the_dates_are_returned(dated: Dated) -> None:
    found = dated.trips("lasting", start_date=NOON - 2 * HOUR, end_date=NOON)
    assert found == {1: 12, 2: 20}


def test_both_dates_are_inclusive(dated: Dated) -> None:
    assert dated.trips("lasting", start_date=NOON - 3 * HOUR, end_date=NOON - 3 * HOUR) == {1: 10}


def test_values_are_those_of_the_end_date(dated: Dated) -> None:
    """A snapshot: one row for an entity, at the end date."""
    dates = {"start_date": NOON - 3 * HOUR, "end_date": NOON - HOUR}
    frame = dated.ask("lasting:trips", **dates)
    assert frame["trips"].tolist() == [11, 20]
    assert set(pd.to_datetime(frame["event_timestamp"], utc=True)) == {NOON - HOUR}


def test_value_that_is_too_old_at_the_end_date_is_null(dated: Dated) -> None:
    """Driver 1 was seen between the dates, but more than the ttl before the last of them."""
    dates = {"start_date": NOON - 3 * HOUR, "end_date": NOON + 2 * HOUR + timedelta(microseconds=1)}
    assert dated.trips("trips", **dates) == {1: None, 2: 21}


def test_start_without_a_date_is_the_ttl_before_the_end(dated: Dated) -> None:
    assert dated.trips("trips", end_date=NOON) == {1: 12, 2: 20}


def test_start_without_a_date_and_a_ttl_is_thirty_days_before_the_end(dated: Dated) -> None:
    assert dated.trips("lasting", end_date=NOON) == {1: 12, 2: 20, 3: 30}


def test_end_without_a_date_is_now(dated: Dated) -> None:
    assert dated.trips("lasting", start_date=NOON - HOUR) == {1: 12, 2: 21}


def test_naive_dates_are_utc(dated: Dated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    naive = NOON.replace(tzinfo=None)
    assert dated.trips("lasting", start_date=naive - HOUR, end_date=naive) == {1: 12, 2: 20}


def test_dates_that_saw_nobody_give_no_rows(dated: Dated) -> None:
    assert dated.trips("lasting", start_date=NOON + 3 * HOUR, end_date=NOON + 4 * HOUR) == {}


def test_view_without_entities_is_one_row(dated: Dated) -> None:
    frame = dated.ask("city:load", start_date=NOON - 2 * HOUR, end_date=NOON)
    assert frame["load"].tolist() == [4.0]


def test_dates_beside_entity_rows_are_refused(dated: Dated) -> None:
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON]})
    with pytest.raises(ValueError, match="Cannot specify both"):
        dated.store.get_historical_features(
            entity_df=asked, features=["trips:trips"], end_date=NOON
        )
