"""`feast materialize` from stock Feast's two local stores into SQLite, and with our three parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from feast import Entity
from feast.types import Float64, Int64
from feast.value_type import ValueType

from tests.conformance.stores import DUCKDB, FILE, OURS, STOCK_WARNINGS, STORE_TYPES, Deviations
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BIG = 2**53 + 1
pytestmark = STOCK_WARNINGS

_FLOATS = (AssertionError, "upstream, D10: integers beside a null pass through float64")
DEVIATIONS: Deviations = {
    ("test_view_without_entities_is_materialized", DUCKDB): (
        ValueError,
        "upstream, FEAST.md 0.7: the store has no dummy key",
    ),
    ("test_timestamps_in_nanoseconds_with_a_zone_are_materialized", DUCKDB): (
        duckdb.ConversionException,
        "upstream, FEAST.md 3.1: TIMESTAMPTZ_NS is cast to TIMESTAMP",
    ),
    ("test_integer_beside_a_null_is_materialized_exactly", FILE): _FLOATS,
    ("test_integer_beside_a_null_is_materialized_exactly", DUCKDB): _FLOATS,
}


@pytest.fixture
def repo(kind: str, tmp_path: Path, redis_url: str) -> FeastRepo:
    return FeastRepo(
        tmp_path,
        offline_store=STORE_TYPES[kind],
        redis_url=redis_url if kind == OURS else None,
    )


def load(repo: FeastRepo, feature: str, *, unit: str = "us") -> Any:
    """Materialize a view of the repo, and look one feature of driver 1 up."""
    at = pa.array([NOON - HOUR, NOON, NOON, NOON + 2 * HOUR], pa.timestamp("us", "UTC"))
    rows = pa.table(
        {
            "driver_id": pa.array([1, 1, 2, 1], pa.int64()),
            "trips": pa.array([1, BIG, None, 9], pa.int64()),
            "load": pa.array([0.1, 0.2, 0.2, 0.9]),
            "event_timestamp": at.cast(pa.timestamp(unit, "UTC")),
        }
    )
    source = repo.source("rows", created=None, path=str(repo.write_rows("rows", rows)))
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    schema: dict[str, Any] = {"driver_id": Int64, "trips": Int64, "load": Float64}
    trips = repo.view("trips", [driver], schema, source=source)
    city = repo.view("city", [], {"load": Float64}, source=source)
    store = repo.apply(driver, trips, city)
    view, _, name = feature.partition(":")
    store.materialize(NOON - 2 * HOUR, NOON + HOUR, feature_views=[view])
    return repo.store().get_online_features([feature], [{"driver_id": 1}]).to_dict()[name]


def test_view_without_entities_is_materialized(repo: FeastRepo) -> None:
    assert load(repo, "city:load") == [0.2]


def test_timestamps_in_nanoseconds_with_a_zone_are_materialized(repo: FeastRepo) -> None:
    assert load(repo, "trips:load", unit="ns") == [0.2]


def test_integer_beside_a_null_is_materialized_exactly(repo: FeastRepo) -> None:
    assert load(repo, "trips:trips") == [BIG]
