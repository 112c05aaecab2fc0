"""A service's declared defaults and stale values, the same in both stores and in training."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore
from feast import Field as FeastField
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from evenstore.clock import datetime_to_us
from evenstore.online.column_lookup import ColumnLookup
from evenstore.online.connection import open_redis
from evenstore.online.lookup import look_up
from evenstore.schema.compile import compile_store
from evenstore.schema.model import Layout
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.semantics import Knowledge, Status
from tests.support.feast_repo import FeastRepo
from training.dataset import TrainingDataset
from training.manifest import Manifest

NOW = datetime(2026, 1, 10, 12, 0, 0, 500_000, tzinfo=UTC)
TTL, MAX_STALE = timedelta(days=1), timedelta(hours=2)
TICK = timedelta(microseconds=1)
AGES = [timedelta(0), TTL, TTL + TICK, TTL + MAX_STALE, TTL + MAX_STALE + TICK]
SINCE = datetime(2000, 1, 1, tzinfo=UTC)
DEFAULTS = {
    "stats__trips": -1,
    "stats__rate": float("inf"),
    "stats__city": "nowhere",
    "stats__tags": ["none"],
    "stats__since": SINCE,
    "per_trip__fare": 0.5,
}


def open_repo(path: Path, redis_url: str, layout: Layout) -> FeatureStore:
    repo = FeastRepo(path, redis_url=redis_url, layout=layout)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    schema: dict[str, Any] = {
        "driver_id": Int64,
        "trips": Int64,
        "rate": Float64,
        "city": String,
        "tags": Array(String),
        "since": UnixTimestamp,
    }
    stats = repo.view("stats", [driver], schema, ttl=TTL)

    def per_trip(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"fare": [None if trips is None else 1 / trips for trips in inputs["trips"]]}

    fare = on_demand_feature_view(
        sources=[stats], schema=[FeastField(name="fare", dtype=Float64)], mode="python"
    )(per_trip)
    tags = {
        "evenstore.default.stats:trips": "-1",
        "evenstore.default.stats:rate": "Infinity",
        "evenstore.default.stats:city": "nowhere",
        "evenstore.default.stats:tags": '["none"]',
        "evenstore.default.stats:since": SINCE.isoformat(),
        "evenstore.default.per_trip:fare": "0.5",
        "evenstore.max_stale": "2h",
    }
    services = [
        FeatureService(name="declared", features=[stats, fare], tags=tags),
        FeatureService(name="plain", features=[stats, fare]),
    ]
    repo.write_rows("stats", _rows())
    store = repo.apply(driver, stats, fare, *services)
    store.materialize(NOW - timedelta(days=9), NOW)
    return store


def _rows() -> pa.Table:
    n_rows = len(AGES) + 1
    instants = pa.array([*[NOW - age for age in AGES], NOW], pa.timestamp("us", "UTC"))
    columns: dict[str, list[Any]] = {
        "trips": list(range(1, n_rows)),
        "rate": [float("nan")] * len(AGES),
        "city": ["Ulm"] * len(AGES),
        "tags": [[]] * len(AGES),
        "since": [NOW.replace(microsecond=0)] * len(AGES),
    }
    # The last row is fresh and holds nothing.
    nulls: dict[str, Any] = {name: [*values, None] for name, values in columns.items()}
    nulls["since"] = pa.array(nulls["since"], pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "driver_id": range(n_rows),
            "event_timestamp": instants,
            "created": instants,
            **nulls,
        }
    )


def _bits(value: Any) -> str:
    # An instant is the same in every zone.
    return repr(value.astimezone(UTC) if isinstance(value, datetime) else value)


DRIVERS = [*range(len(AGES) + 1), 99]
ENTITY_ROWS = pa.table(
    {
        "driver_id": DRIVERS,
        "event_timestamp": pa.array([NOW] * len(DRIVERS), pa.timestamp("us", "UTC")),
    }
)


def online(store: FeatureStore, request: FeatureRequest, url: str) -> dict[str, list[Any]]:
    layout = Layout(store.config.online_store.layout)
    lookup = ColumnLookup(store.project, request, layout)
    with open_redis(url) as client:
        answers = look_up(client, lookup, {"driver_id": DRIVERS}, as_of_us=datetime_to_us(NOW))
    return {
        answer.column.output_name(full_feature_names=True): [
            *zip(map(_bits, answer.values), answer.statuses, strict=True)
        ]
        for answer in answers
    }


def offline(table: pa.Table, names: list[str]) -> dict[str, list[Any]]:
    return {
        name: [
            (_bits(value), Status(code))
            for value, code in zip(
                table[name].to_pylist(), table[f"{name}__status"].to_pylist(), strict=True
            )
        ]
        for name in names
    }


@pytest.fixture(params=list(Layout), ids=lambda layout: layout.value)
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> FeatureStore:
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", NOW.isoformat())
    return open_repo(tmp_path / "repo", redis_url, request.param)


@pytest.mark.redis
def test_training_and_serving_agree_on_what_a_service_declares(
    store: FeatureStore, redis_url: str, tmp_path: Path
) -> None:
    registry = compile_store(store)
    for service in ("declared", "plain"):
        dataset = TrainingDataset.build(
            service, ENTITY_ROWS, repo=store, knowledge=Knowledge.LATEST_TRUTH
        )
        served = online(store, resolve_service(registry, service), redis_url)
        assert offline(dataset.table, list(served)) == served

    path = tmp_path / "dataset.parquet"
    dataset = TrainingDataset.build(
        "declared", ENTITY_ROWS, repo=store, knowledge=Knowledge.LATEST_TRUTH
    )
    values = [dataset.table[name].to_pylist() for name in DEFAULTS]
    fresh, last_valid, stale, last_stale, gone, nulls, unknown = zip(*values, strict=True)
    assert fresh[0] == 1
    assert (last_valid[0], stale[0], last_stale[0]) == (2, 3, 4)
    assert last_stale[-1] == 0.25, "a function sees what is given"
    assert gone == nulls == unknown == tuple(DEFAULTS.values())
    statuses = dataset.table["stats__trips__status"].to_pylist()
    assert [Status(code) for code in statuses] == [
        Status.PRESENT,
        Status.PRESENT,
        *[Status.OUTSIDE_MAX_AGE] * 3,
        Status.NULL_VALUE,
        Status.NOT_FOUND,
    ]
    dataset.to_parquet(path)
    for manifest in (dataset.manifest, TrainingDataset.from_parquet(path).manifest):
        assert dict(manifest.defaults).keys() == DEFAULTS.keys()
        assert dict(manifest.defaults)["stats__city"] == '"nowhere"'
        assert manifest.max_stale_us == MAX_STALE // TICK
        assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.redis
def test_a_service_that_declares_nothing_has_the_manifest_it_always_had(
    store: FeatureStore,
) -> None:
    dataset = TrainingDataset.build(
        "plain", ENTITY_ROWS, repo=store, knowledge=Knowledge.LATEST_TRUTH
    )
    document = dataset.manifest.to_document()
    assert "defaults" not in document
    assert "max_stale_us" not in document
    assert Manifest.from_json(dataset.manifest.to_json()) == dataset.manifest
