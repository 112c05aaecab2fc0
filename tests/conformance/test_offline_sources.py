"""Kinds of sources, columns and references, over stock Feast's two local stores and ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore
from feast.errors import FeatureNameCollisionError, FeatureViewNotFoundException
from feast.types import Float64, Int64
from feast.value_type import ValueType

from evenstore.errors import EvenstoreError
from tests.conformance.stores import DUCKDB, FILE, OURS, STOCK_WARNINGS, STORE_TYPES, Deviations
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD = datetime(1933, 5, 1, tzinfo=UTC)
pytestmark = STOCK_WARNINGS

_ENTITYLESS = (
    AssertionError,
    "upstream, D31 / FEAST.md 3.2: rows of one instant collapse where there are no keys",
)
DEVIATIONS: Deviations = {
    ("test_timestamps_in_nanoseconds_with_a_zone_are_pulled", DUCKDB): (
        duckdb.ConversionException,
        "upstream, FEAST.md 3.1: TIMESTAMPTZ_NS is cast to TIMESTAMP",
    ),
    ("test_folder_of_files_is_a_source", DUCKDB): (
        AttributeError,
        "upstream: a folder is no table to the store",
    ),
    ("test_view_without_entities_is_joined_to_every_entity_row", FILE): _ENTITYLESS,
    ("test_view_without_entities_is_joined_beside_others", FILE): _ENTITYLESS,
}
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)


def rows(unit: str = "us", zone: str | None = "UTC") -> pa.Table:
    """Make three rows of two drivers; the oldest is from before 1970."""
    at = pa.array([OLD, NOON - HOUR, NOON], pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "driver_id": pa.array([2, 1, 1], pa.int64()),
            "trips": pa.array([7, 1, 2], pa.int64()),
            "load": pa.array([0.7, 0.1, 0.2]),
            "event_timestamp": at.cast(pa.timestamp(unit, zone)),
        }
    )


class Sources:
    """Views over files of many kinds, on one store."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.kind = kind
        self.repo = FeastRepo(folder, offline_store=STORE_TYPES[kind])
        schema: dict[str, Any] = {"driver_id": Int64, "trips": Int64}
        zones = {"ns": ("ns", "UTC"), "naive": ("us", None), "ms": ("ms", "America/New_York")}
        views = [self._view(name, schema, rows(unit, zone)) for name, (unit, zone) in zones.items()]
        parts = rows()
        for i in range(3):
            self.repo.write_rows("parts", parts.slice(i, 1), file=f"{2 - i}.parquet")
        views.append(
            self.repo.view(
                "parts", [driver], schema, source=self.repo.source("parts", created=None)
            )
        )
        renamed = rows().rename_columns(["Driver", "n_trips", "load", "event_timestamp"])
        views.append(
            self._view(
                "renamed",
                schema,
                renamed,
                field_mapping={"Driver": "driver_id", "n_trips": "trips"},
            )
        )
        views.append(self._view("plain", schema | {"load": Float64}, rows()))
        path = str(self.repo.data / "plain" / "rows.parquet")
        source = self.repo.source("city", created=None, path=path)
        city = self.repo.view("city", [], {"load": Float64}, ttl=HOUR, source=source)
        service = FeatureService(
            name="both", features=[views[0][["trips"]], views[-1][["load"]], city[["load"]]]
        )
        one = FeatureService(name="one", features=[views[0][["trips"]], views[-1][["load"]]])
        self.store: FeatureStore = self.repo.apply(driver, *views, city, service, one)

    def _view(self, name: str, schema: Any, table: pa.Table, **options: Any) -> Any:
        path = str(self.repo.write_rows(name, table))
        source = self.repo.source(name, created=None, path=path, **options)
        return self.repo.view(name, [driver], schema, source=source)

    def ask(self, features: Any, **options: Any) -> pa.Table:
        """Ask for both drivers, each with history."""
        asked = pd.DataFrame({"driver_id": [1, 1, 2], "event_timestamp": [NOON - HOUR, NOON, NOON]})
        job = self.store.get_historical_features(entity_df=asked, features=features, **options)
        order = [("driver_id", "ascending"), ("event_timestamp", "ascending")]
        return job.to_arrow().sort_by(order)

    def pull(self, view: str, *, is_latest: bool) -> list[int]:
        """Select all or the latest rows of a view of one hour, as a materialization does."""
        offline = self.store._get_provider().offline_store
        pull = "pull_latest_from_table_or_query" if is_latest else "pull_all_from_table_or_query"
        job = getattr(offline, pull)(
            config=self.store.config,
            data_source=self.store.get_feature_view(view).batch_source,
            join_key_columns=["driver_id"],
            feature_name_columns=["trips"],
            timestamp_field="event_timestamp",
            created_timestamp_column=None,
            start_date=NOON - HOUR,
            end_date=NOON,
        )
        return sorted(job.to_arrow()["trips"].to_pylist())


@pytest.fixture(scope="module")
def sources(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp(kind), kind)


def test_timestamps_in_nanoseconds_with_a_zone_are_joined(sources: Sources) -> None:
    assert sources.ask(["ns:trips"])["trips"].to_pylist() == [1, 2, 7]


def test_timestamps_in_nanoseconds_with_a_zone_are_pulled(sources: Sources) -> None:
    """What pandas writes, and what every materialization begins with."""
    assert sources.pull("ns", is_latest=True) == [2]
    assert sources.pull("ns", is_latest=False) == [1, 2]


def test_naive_timestamps_are_utc(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    assert sources.ask(["naive:trips"])["trips"].to_pylist() == [1, 2, 7]


def test_timestamps_in_a_zone_are_instants(sources: Sources) -> None:
    assert sources.ask(["ms:trips"])["trips"].to_pylist() == [1, 2, 7]


def test_folder_of_files_is_a_source(sources: Sources) -> None:
    assert sources.ask(["parts:trips"])["trips"].to_pylist() == [1, 2, 7]


def test_field_mapping_renames_keys_and_features(sources: Sources) -> None:
    assert sources.ask(["renamed:trips"])["trips"].to_pylist() == [1, 2, 7]


def test_view_without_entities_is_joined_to_every_entity_row(sources: Sources) -> None:
    assert sources.ask(["city:load"])["load"].to_pylist() == [0.1, 0.2, 0.2]


def test_view_without_entities_is_joined_beside_others(sources: Sources) -> None:
    table = sources.ask(["city:load", "plain:trips"])
    assert table.select(["load", "trips"]).to_pydict() == {
        "load": [0.1, 0.2, 0.2],
        "trips": [1, 2, 7],
    }


def test_feature_service_reads_several_views(sources: Sources) -> None:
    table = sources.ask(sources.store.get_feature_service("one"))
    assert table["trips"].to_pylist() == [1, 2, 7]
    assert table["load"].to_pylist() == [0.1, 0.2, 0.7]


def test_features_of_one_name_need_full_names(sources: Sources) -> None:
    with pytest.raises(FeatureNameCollisionError, match="load"):
        sources.ask(["plain:load", "city:load"])
    table = sources.ask(["plain:load", "city:load"], full_feature_names=True)
    assert table["plain__load"].to_pylist() == [0.1, 0.2, 0.7]
    assert table["city__load"].to_pylist() == [0.1, 0.2, 0.2]


def test_features_of_one_name_in_a_service_need_full_names(sources: Sources) -> None:
    service = sources.store.get_feature_service("both")
    with pytest.raises(FeatureNameCollisionError, match="load"):
        sources.ask(service)
    table = sources.ask(service, full_feature_names=True)
    assert table["ns__trips"].to_pylist() == [1, 2, 7]
    assert table["city__load"].to_pylist() == [0.1, 0.2, 0.2]


def test_unknown_view_is_named(sources: Sources) -> None:
    with pytest.raises(FeatureViewNotFoundException, match="nowhere"):
        sources.ask(["nowhere:trips"])


def test_unknown_feature_is_named(sources: Sources) -> None:
    with pytest.raises(Exception, match="nothing") as caught:
        sources.ask(["plain:nothing"])
    assert not isinstance(caught.value, AssertionError)


def test_entity_rows_without_a_join_key_are_refused(sources: Sources) -> None:
    asked = pd.DataFrame({"event_timestamp": [NOON]})
    with pytest.raises(Exception, match="driver_id") as caught:
        sources.store.get_historical_features(entity_df=asked, features=["ns:trips"]).to_arrow()
    if sources.kind == OURS:
        assert isinstance(caught.value, EvenstoreError)
