"""Retrieval by dates: the entities that were seen between them, as they were at the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from evenstore.errors import EntityRowsError, SchemaError, SourceUnavailableError
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
STAMP = pa.timestamp("us", "UTC")


class Rides:
    """Views of drivers, of the city's one entity, and of drivers in a place."""

    def __init__(self, folder: Path) -> None:
        self.repo = FeastRepo(folder)
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        place = Entity(name="place", join_keys=["place"], value_type=ValueType.STRING)
        stats = self.repo.view("stats", [driver], {"driver_id": Int64, "trips": Int64})
        late = self.repo.view("late", [driver], {"driver_id": Int64, "delay": Int64}, ttl=HOUR)
        city = self.repo.view("city", [], {"load": Float64})
        visits = self.repo.view(
            "visits", [driver, place], {"driver_id": Int64, "place": String, "n": Int64}
        )
        service = FeatureService(
            name="pair",
            features=[stats[["trips"]].with_join_key_map({"driver_id": "first"})],
        )
        self.write("stats", [(2, -2), (1, -1), (1, 0), (None, 0), (3, 5)], trips=[2, 1, 11, 7, 3])
        self.write("late", [(1, -3), (4, -1)], delay=[10, 40])
        self.write("city", [(0, -9)], load=[0.5])
        self.write("visits", [(1, 0), (1, 0), (2, 0)], place=["a", None, "b"], n=[5, 6, 7])
        self.store: FeatureStore = self.repo.apply(
            driver, place, stats, late, city, visits, service
        )

    def write(self, view: str, seen: list[tuple[int | None, int]], **columns: list[Any]) -> None:
        """Write rows of `(driver, hours after noon)`."""
        instants = pa.array([NOON + hours * HOUR for _, hours in seen], STAMP)
        drivers = pa.array([driver for driver, _ in seen], pa.int64())
        table = {"driver_id": drivers, "event_timestamp": instants, "created": instants}
        self.repo.write_rows(view, pa.table(table | columns))

    def ask(self, features: Any, start: datetime, end: datetime, **options: Any) -> pa.Table:
        job = self.store.get_historical_features(
            features=features, start_date=start, end_date=end, **options
        )
        return job.to_arrow()


@pytest.fixture(scope="module")
def rides(tmp_path_factory: pytest.TempPathFactory) -> Rides:
    return Rides(tmp_path_factory.mktemp("rides"))


def test_entities_come_in_order_each_once_at_the_end(rides: Rides) -> None:
    table = rides.ask(["stats:trips"], NOON - 2 * HOUR, NOON)
    assert table.column_names == ["driver_id", "event_timestamp", "trips"]
    assert table["driver_id"].to_pylist() == [1, 2]
    assert table["event_timestamp"].to_pylist() == [NOON] * 2
    assert table["trips"].to_pylist() == [11, 2]


def test_both_ends_are_inclusive_to_the_microsecond(rides: Rides) -> None:
    def drivers(start: datetime, end: datetime) -> list[int]:
        return list(rides.ask(["stats:trips"], start, end)["driver_id"].to_pylist())

    edge = NOON - 2 * HOUR
    assert drivers(edge, edge) == [2]
    assert drivers(edge - HOUR, edge - MICROSECOND) == []
    assert drivers(edge + MICROSECOND, edge + MICROSECOND) == []


def test_key_that_is_null_is_no_entity(rides: Rides) -> None:
    assert None not in rides.ask(["stats:trips"], NOON, NOON)["driver_id"].to_pylist()
    table = rides.ask(["visits:n"], NOON, NOON)
    assert table.select(["driver_id", "place", "n"]).to_pylist() == [
        {"driver_id": 1, "place": "a", "n": 5},
        {"driver_id": 2, "place": "b", "n": 7},
    ]


def test_entities_of_any_view_are_returned_with_the_features_of_all(rides: Rides) -> None:
    table = rides.ask(["stats:trips", "late:delay"], NOON - 3 * HOUR, NOON)
    assert table.select(["driver_id", "trips", "delay"]).to_pylist() == [
        # Seen by `late` three hours before: its value is too old, yet the driver is there.
        {"driver_id": 1, "trips": 11, "delay": None},
        {"driver_id": 2, "trips": 2, "delay": None},
        {"driver_id": 4, "trips": None, "delay": 40},
    ]


def test_views_of_other_keys_give_rows_of_their_own(rides: Rides) -> None:
    table = rides.ask(["stats:trips", "visits:n"], NOON, NOON)
    found = {(row["driver_id"], row["place"], row["trips"], row["n"]) for row in table.to_pylist()}
    assert found == {(1, None, 11, None), (1, "a", 11, 5), (2, "b", 2, 7)}


def test_view_without_entities_is_asked_beside_every_entity(rides: Rides) -> None:
    table = rides.ask(["stats:trips", "city:load"], NOON - 2 * HOUR, NOON)
    assert table.select(["trips", "load"]).to_pylist() == [
        {"trips": 11, "load": 0.5},
        {"trips": 2, "load": 0.5},
    ]


def test_view_without_entities_alone_is_one_row(rides: Rides) -> None:
    table = rides.ask(["city:load"], NOON - HOUR, NOON)
    assert table.to_pylist() == [{"event_timestamp": NOON, "load": 0.5}]


def test_join_key_map_names_the_key_column(rides: Rides) -> None:
    table = rides.ask(rides.store.get_feature_service("pair"), NOON, NOON)
    assert table.select(["first", "trips"]).to_pylist() == [{"first": 1, "trips": 11}]


def test_nobody_seen_is_no_rows_with_all_columns(rides: Rides) -> None:
    table = rides.ask(["stats:trips", "late:delay"], NOON + 9 * HOUR, NOON + 10 * HOUR)
    assert table.num_rows == 0
    assert table.schema.field("driver_id").type == pa.int64()
    assert table.schema.field("trips").type == pa.int64()
    assert table.schema.field("delay").type == pa.int64()


def test_dates_in_the_wrong_order_are_refused(rides: Rides) -> None:
    with pytest.raises(EntityRowsError, match=r"retrieval by dates: .* is after ") as caught:
        rides.ask(["stats:trips"], NOON, NOON - MICROSECOND)
    assert caught.value.hint == "start_date comes first"


def test_dates_of_several_zones_are_instants(rides: Rides) -> None:
    zone = datetime.fromisoformat("2024-01-01T17:30:00+05:30")
    assert zone == NOON
    table = rides.ask(["stats:trips"], zone - 2 * HOUR, zone)
    assert table["trips"].to_pylist() == [11, 2]


def test_only_what_was_known_at_the_end_is_returned_where_asked(tmp_path: Path) -> None:
    rides = Rides(tmp_path)
    at = pa.array([NOON, NOON], STAMP)
    known = pa.array([NOON, NOON + MICROSECOND], STAMP)
    rides.repo.write_rows(
        "stats",
        pa.table(
            {
                "driver_id": pa.array([1, 2], pa.int64()),
                "event_timestamp": at,
                "created": known,
                "trips": pa.array([1, 2], pa.int64()),
            }
        ),
    )
    table = rides.ask(["stats:trips"], NOON, NOON, filter_by_created_timestamp=True)
    assert dict(zip(table["driver_id"].to_pylist(), table["trips"].to_pylist(), strict=True)) == {
        1: 1,
        2: None,
    }


def test_source_that_cannot_be_read_is_named_at_once(tmp_path: Path) -> None:
    """The entities are looked up by the call itself, as SQL entity rows are run by it."""
    rides = Rides(tmp_path)
    path = rides.repo.data / "stats" / "rows.parquet"
    path.write_bytes(b"garbage")
    with pytest.raises(SourceUnavailableError, match=r"^stats: `.*rows\.parquet`"):
        rides.ask(["stats:trips"], NOON, NOON)
    rides.write("stats", [(1, 0)], other=[1])
    with pytest.raises(SchemaError, match="stats: the source has no column `trips`"):
        rides.ask(["stats:trips"], NOON, NOON)
