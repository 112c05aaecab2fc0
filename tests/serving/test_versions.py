"""Feature view versions with rows of their own: the gateway beside Feast's SDK on one repo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView
from feast.types import ComplexFeastType, Float64, Int64, PrimitiveFeastType
from feast.value_type import ValueType

from evenstore.schema.document import read_document, write_document
from evenstore.schema.model import Layout
from evenstore.schema.version import compile_served, resolve_request
from serving.plans import Plans
from tests.serving.processes import Running, run_worker
from tests.serving.redis_process import RedisProcess
from tests.support.feast_repo import FeastRepo

pytestmark = [pytest.mark.redis, pytest.mark.slow]

_NOW = datetime.now(tz=UTC).replace(microsecond=0)
_REGISTRY = {"path": "registry.db", "enable_online_feature_view_versioning": True}
_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_FIRST: dict[str, PrimitiveFeastType | ComplexFeastType] = {"driver_id": Int64, "trips": Int64}
_SECOND = {**_FIRST, "rating": Float64}
_THIRD = {**_SECOND, "tips": Float64}


@dataclass(frozen=True, slots=True)
class Versions:
    """A repo with three versions of `stats`, each loaded, and a worker before it."""

    store: FeatureStore
    schema_path: Path
    worker: Running

    def ask(self, **body: Any) -> httpx.Response:
        return self.worker.post({"entities": {"driver_id": [1, 2]}, **body})


@pytest.fixture(scope="module", params=list(Layout), ids=lambda layout: layout.value)
def versions(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Versions]:
    folder = tmp_path_factory.mktemp("versions")
    redis_process = RedisProcess(folder / "redis")
    redis_process.start()
    try:
        repo = FeastRepo(
            folder / "repo",
            redis_url=redis_process.url,
            layout=request.param,
            overrides={"registry": _REGISTRY},
        )
        for number, schema in enumerate((_FIRST, _SECOND, _THIRD)):
            store = _load(repo, number, schema)
        view = store.get_feature_view("stats")
        store.apply([FeatureService(name="now", features=[view[["trips", "tips"]]]), _pinned()])
        schema_path = folder / "schema.json"
        write_document(compile_served(store), schema_path)
        with run_worker(folder, schema_path, redis_process.url) as worker:
            yield Versions(store, schema_path, worker)
    finally:
        redis_process.kill()


def _load(repo: FeastRepo, number: int, schema: dict[str, Any]) -> FeatureStore:
    stamps = pa.array([_NOW - timedelta(hours=9 - number)], pa.timestamp("us", "UTC"))
    values = {name: pa.array([number * 10.0 + 1]) for name in schema if name in {"rating", "tips"}}
    columns = {"driver_id": [1], "trips": [number * 10], **values}
    repo.write_rows("stats", pa.table({**columns, "event_timestamp": stamps, "created": stamps}))
    store = repo.apply(_DRIVER, _view(repo, schema))
    store.materialize(_NOW - timedelta(hours=24), _NOW)
    return store


def _view(repo: FeastRepo, schema: dict[str, Any]) -> FeatureView:
    return repo.view("stats", [_DRIVER], schema, ttl=timedelta(days=1))


def _pinned() -> FeatureService:
    return FeatureService(name="pinned", features=["stats@v1:trips", "stats@v1:rating"])


@pytest.mark.parametrize(
    ("references", "told"),
    [
        (["stats:trips", "stats:tips"], {"version": 2}),
        (["stats@v0:trips"], {}),
        (["stats@v1:rating", "stats@v1:trips"], {"version": 1}),
        (["stats@v2:tips"], {"version": 2}),
        (["stats@v02:tips", "stats@V001:trips"], {"version": 2}),
        (["stats@latest:trips"], {"version": 2}),
        (["stats@V1:trips", "stats@v0:trips", "stats:trips"], {"version": 1}),
    ],
)
def test_versions_are_answered_as_feast_answers(
    versions: Versions, references: list[str], told: dict[str, int]
) -> None:
    answer = versions.ask(
        features=references, full_feature_names=True, include_feature_view_version_metadata=True
    ).json()

    expected = versions.store.get_online_features(
        references,
        [{"driver_id": 1}, {"driver_id": 2}],
        full_feature_names=True,
        include_feature_view_version_metadata=True,
    )
    names = answer["metadata"]["feature_names"]
    values = [result["values"] for result in answer["results"]]
    assert dict(zip(names, values, strict=True)) == expected.to_dict()
    assert answer["results"][-1]["statuses"] == ["PRESENT", "NOT_FOUND"]
    assert answer["metadata"]["feature_view_metadata"] == [{"name": "stats", **told}]
    (metadata,) = expected.proto.metadata.feature_view_metadata
    assert (metadata.name, metadata.version) == ("stats", told.get("version", 0))


def test_a_service_that_pins_versions_is_answered_as_feast_answers(versions: Versions) -> None:
    answer = versions.ask(feature_service="pinned").json()

    service = versions.store.get_feature_service("pinned")
    rows = [{"driver_id": 1}, {"driver_id": 2}]
    expected = versions.store.get_online_features(service, rows).to_dict()
    names = answer["metadata"]["feature_names"]
    values = [result["values"] for result in answer["results"]]
    assert dict(zip(names, values, strict=True)) == expected


def test_a_service_that_pins_none_reads_the_current_version(versions: Versions) -> None:
    """Feast loses the number on the way and reads rows of version 0; training reads the current."""
    answer = versions.ask(feature_service="now").json()

    assert [result["values"] for result in answer["results"][1:]] == [[20, None], [21.0, None]]


def test_what_a_model_learns_has_one_fingerprint_on_both_sides(versions: Versions) -> None:
    plans = Plans(read_document(versions.schema_path))

    for name in ("now", "pinned"):
        offline = resolve_request(versions.store, name)
        assert plans.for_service(name).request.fingerprint == offline.fingerprint


def test_native_routes_serve_versions(versions: Versions) -> None:
    body = {
        "features": ["stats@v1:trips", "stats:trips"],
        "full_feature_names": True,
        "entity_rows": [{"driver_id": 1}],
    }
    answer = httpx.post(f"{versions.worker.url}/v1/feature-vectors", json=body).json()
    assert answer["feature_names"] == ["stats@v1__trips", "stats__trips"]
    assert answer["feature_vectors"][0]["values"] == [10, 20]

    for name, hours in (("stats", 7), ("stats@v0", 9)):
        fresh = versions.worker.get(f"/v1/feature-views/{name}/freshness").json()
        assert (fresh["feature_view"], fresh["is_materialized"]) == (name, True)
        assert datetime.fromisoformat(fresh["watermark"]) >= _NOW - timedelta(hours=hours)


@pytest.mark.parametrize(
    ("references", "status", "says"),
    [
        (["stats@v9:trips"], 404, "stats@v9"),
        (["stats@v0:rating"], 404, "stats@v0:rating"),
        (["nope@v1:x"], 404, "nope@v1"),
        (["stats@two:trips"], 404, "stats@two"),
        (["@v1:trips"], 422, "not a feature reference"),
        (["stats:trips", "stats@latest:trips"], 422, "asked for twice"),
        (["stats@v1:trips", "stats@V01:trips"], 422, "asked for twice"),
        (["stats@v1:trips", "stats@v0:trips"], 422, "one name"),
    ],
)
def test_mistakes_are_told(
    versions: Versions, references: list[str], status: int, says: str
) -> None:
    answer = versions.ask(features=references)
    assert (answer.status_code, says in answer.json()["error"]["message"]) == (status, True)


def test_a_version_that_cannot_be_compiled_is_unknown(tmp_path: Path) -> None:
    """A tag means nothing in one version: the registry is served all the same."""
    repo = FeastRepo(tmp_path / "repo", overrides={"registry": _REGISTRY})
    wrong = _view(repo, _FIRST)
    wrong.tags = {"ttl_enforcement": "perhaps"}
    repo.apply(_DRIVER, wrong)
    store = repo.apply(_DRIVER, _view(repo, _SECOND))

    schema = compile_served(store)

    assert [view.name for view in schema.feature_views] == ["stats", "stats@v1"]
    assert [view.stored_as for view in schema.feature_views] == ["stats_v1", "stats_v1"]
