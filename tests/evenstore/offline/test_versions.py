"""Feature view versions pinned by `@vN`: the version's own source and schema, or an error."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, Field, ValueType
from feast.errors import FeatureViewVersionNotFound
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

from evenstore.errors import SchemaError, UnknownFeatureError, UnknownFeatureServiceError
from evenstore.offline.history import read_history
from evenstore.schema.compile import compile_store
from evenstore.schema.request import resolve_service
from evenstore.schema.version import find_pinned_view, resolve_request
from evenstore.semantics import Knowledge
from tests.support.feast_repo import FeastRepo

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def registry_of(kind: str, folder: Path) -> dict[str, Any]:
    place = (
        {"path": "registry.db"}
        if kind == "file"
        else {"registry_type": "sql", "path": f"sqlite:///{folder / 'registry.sqlite'}"}
    )
    return {**place, "enable_online_feature_view_versioning": True}


def write(repo: FeastRepo, name: str, **columns: pa.Array) -> None:
    stamps = {
        stamp: pa.array([NOON] * 2, pa.timestamp("us", "UTC"))
        for stamp in ("event_timestamp", "created")
    }
    repo.write_rows(name, pa.table({"driver_id": pa.array([1, 2]), **columns, **stamps}))


@pytest.fixture(scope="module", params=["file", "sql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Version 0 has `trips` (Int64, ttl an hour); version 1 `trips` (Float64) and `rate`."""
    folder = tmp_path_factory.mktemp(request.param)
    repo = FeastRepo(folder, overrides={"registry": registry_of(request.param, folder)})
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    write(repo, "old", trips=pa.array([10, 20]))
    write(repo, "new", trips=pa.array([0.5, 1.5]), rate=pa.array([7.0, 8.0]))
    old = repo.view(
        "stats",
        [driver],
        {"driver_id": Int64, "trips": Int64},
        source=repo.source("old"),
        ttl=dt.timedelta(hours=1),
    )
    new = repo.view(
        "stats",
        [driver],
        {"driver_id": Int64, "trips": Float64, "rate": Float64},
        source=repo.source("new"),
    )

    def on_demand(factor: int) -> Any:
        def ratio(columns: dict[str, Any]) -> dict[str, Any]:
            return {"y": [None if x is None else x + 100.0 for x in columns["trips"]]}

        def doubled(columns: dict[str, Any]) -> dict[str, Any]:
            return {"y": [None if x is None else x + 200.0 for x in columns["trips"]]}

        function = {1: ratio, 2: doubled}[factor]
        return on_demand_feature_view(
            name="ratio",
            sources=[new],
            schema=[Field(name="y", dtype=Float64)],
            mode="python",
        )(function)

    repo.apply(driver, old)
    repo.apply(driver, new, on_demand(1))
    repo.apply(driver, new, on_demand(2))
    return repo.apply(
        FeatureService(name="pinned", features=["stats@v0:trips"]),
        FeatureService(name="both", features=["stats@v0", "stats@v1:rate", new[["trips"]]]),
    )


def joined(store: FeatureStore, features: Any, **options: Any) -> dict[str, Any]:
    rows = pd.DataFrame(
        {
            "driver_id": [1, 2],
            "event_timestamp": pd.to_datetime([NOON, NOON + DAY], utc=True),
        }
    )
    table = store.get_historical_features(rows, features, **options).to_arrow()
    return {
        name: table[name].to_pylist()
        for name in table.column_names
        if name not in {"driver_id", "event_timestamp"}
    }


@pytest.mark.parametrize("reference", ["stats@v0:trips", "stats@V0:trips"])
def test_pinned_version_has_its_own_source_type_and_ttl(
    store: FeatureStore, reference: str
) -> None:
    answer = joined(store, [reference], full_feature_names=True)
    assert answer == {"stats@v0__trips": [10, None]}
    assert joined(store, [reference]) == {"trips": [10, None]}


def test_latest_is_the_promoted_version(store: FeatureStore) -> None:
    assert joined(store, ["stats@latest:trips"]) == {"trips": [0.5, 1.5]}
    assert joined(store, ["stats:trips"]) == {"trips": [0.5, 1.5]}


def test_two_versions_are_told_apart_by_full_names(store: FeatureStore) -> None:
    references = ["stats@v0:trips", "stats@v1:trips", "stats:trips"]
    assert joined(store, references, full_feature_names=True) == {
        "stats@v0__trips": [10, None],
        "stats@v1__trips": [0.5, 1.5],
        "stats__trips": [0.5, 1.5],
    }


def test_service_that_pins_versions_is_honoured(store: FeatureStore) -> None:
    assert joined(store, store.get_feature_service("pinned")) == {"trips": [10, None]}
    answer = joined(store, store.get_feature_service("both"), full_feature_names=True)
    assert answer == {
        "stats@v0__trips": [10, None],
        "stats@v1__rate": [7.0, 8.0],
        "stats__trips": [0.5, 1.5],
    }


def test_pinned_on_demand_view_runs_its_own_function(store: FeatureStore) -> None:
    answer = joined(store, ["ratio@v0:y", "ratio:y"], full_feature_names=True)
    assert answer["ratio@v0__y"] == [100.5, 101.5]
    assert answer["ratio__y"] == [200.5, 201.5]


def test_version_that_is_not_there_is_refused(store: FeatureStore) -> None:
    with pytest.raises(FeatureViewVersionNotFound, match="v9 of feature view stats"):
        joined(store, ["stats@v9:trips"])
    with pytest.raises(UnknownFeatureError, match="`stats@v9`") as caught:
        resolve_request(store, ["stats@v9:trips"])
    assert caught.value.available == ["stats@v0", "stats@v1"]
    with pytest.raises(UnknownFeatureError, match="`nobody@v1`"):
        resolve_request(store, ["nobody@v1:trips"])
    with pytest.raises(SchemaError, match="`stats` pins no version"):
        find_pinned_view(store.registry, store.project, "stats")


ENTITY_ROWS = pa.table(
    {
        "driver_id": pa.array([1, 2]),
        "event_timestamp": pa.array([NOON, NOON + DAY], pa.timestamp("us", "UTC")),
    }
)


@pytest.mark.parametrize("features", ["both", ["stats@v0:trips", "stats@v1:rate", "stats:trips"]])
def test_history_honours_versions_with_their_statuses(
    store: FeatureStore, features: str | list[str]
) -> None:
    request = resolve_request(store, features)
    table = read_history(store, request, ENTITY_ROWS, knowledge=Knowledge.LATEST_TRUTH)
    assert table["stats@v0__trips"].type == pa.int64()
    assert table["stats@v0__trips"].to_pylist() == [10, None]
    assert table["stats@v0__trips__status"].to_pylist() == [1, 4]
    assert table["stats@v1__rate"].to_pylist() == [7.0, 8.0]
    assert table["stats__trips"].to_pylist() == [0.5, 1.5]


def test_history_runs_the_function_of_a_pinned_on_demand_view(store: FeatureStore) -> None:
    request = resolve_request(store, ["ratio@v0:y", "ratio:y"])
    table = read_history(store, request, ENTITY_ROWS, knowledge=Knowledge.LATEST_TRUTH)
    assert table["ratio@v0__y"].to_pylist() == [100.5, 101.5]
    assert table["ratio__y"].to_pylist() == [200.5, 201.5]


def test_versions_are_part_of_the_fingerprint(store: FeatureStore) -> None:
    one, other = (resolve_request(store, [f"stats@v{n}:trips"]) for n in (0, 1))
    assert one.fingerprint != other.fingerprint
    assert [field.dtype.value for field in (one.columns[0].field, other.columns[0].field)] == [
        "Int64",
        "Float64",
    ]


def test_schema_without_versions_refuses_a_pinned_service(store: FeatureStore) -> None:
    """Online there is one row per view, the newest version's, where the registry does not say."""
    with pytest.raises(SchemaError, match="`stats@v0` pins is not served here") as caught:
        resolve_service(compile_store(store), "pinned")
    assert "enable_online_feature_view_versioning" in str(caught.value.hint)
    with pytest.raises(UnknownFeatureServiceError):
        resolve_request(store, "nobody")


@pytest.mark.redis
def test_online_read_of_a_pinned_version_is_refused_where_none_are_kept(
    tmp_path: Path, redis_url: str
) -> None:
    """Without the registry's setting a row is the newest version's, whatever was asked for."""
    repo = FeastRepo(tmp_path, redis_url=redis_url)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    store = repo.apply(driver, repo.view("stats", [driver], {"driver_id": Int64, "trips": Int64}))
    with pytest.raises(ValueError, match="online versioning is disabled"):
        store.get_online_features(["stats@v0:trips"], [{"driver_id": 1}])
