"""Every Feast value type, materialized, served over HTTP, and compared with the offline store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureService
from redis import Redis

from evenstore.client.http import FeatureClient
from evenstore.clock import datetime_to_us, format_us
from evenstore.redis_server import RedisServer
from evenstore.schema.compile import compile_store
from evenstore.schema.document import write_document
from parity.check import run_check
from parity.settings import CheckSettings
from parity.text import format_difference
from tests.evenstore.offline.value_cases import CASES, ID, NOON, thing, view_of, write
from tests.serving.processes import run_worker
from tests.support.feast_repo import FeastRepo

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.e2e]

_SERVICE = "everything_v1"
_RENDERED: dict[str, Any] = {
    "pdf": "JVBERg==",
    "json": '{"a":  1}',
    "uuid_text": ID,
    "decimal": "1.50",
    "zoned": "1969-12-31T23:59:59+00:00",
    "map": {"b": 2**53 + 1, "a": None},
    "map_of_struct": {"a": 2**53 + 1, "b": [1.5]},
    "scalar_map": {"2": "x", "1": None},
    "maps": [{"b": 1}],
    "lists": [[1, 2**53 + 1], []],
    "instants": [[-1, 1]],
    "set": ["a", "b"],
    "set_of_bytes": ["", "Yg=="],
    "struct": {
        "visits": 2**53 + 1,
        "seen": -2,
        "deep": {"ids": [ID]},
        'we, "ird}': [1.0, 2.0],
    },
}


@dataclass(frozen=True, slots=True)
class _Served:
    repo: Path
    gateway_url: str


@pytest.fixture(scope="module")
def served(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Served]:
    """A view with every type, loaded, and a gateway whose clock stands behind it."""
    folder = tmp_path_factory.mktemp("types")
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    repo = FeastRepo(folder / "repo", redis_url=redis_server.url)
    write(repo, "all", **{name: case.source for name, case in CASES.items()})
    declared = {name: case.declared for name, case in CASES.items()}
    view = view_of(repo, "all", declared, online=True)
    store = repo.apply(thing, view, FeatureService(name=_SERVICE, features=[view]))
    store.materialize(NOON - timedelta(days=1), NOON + timedelta(hours=1))
    write_document(compile_store(store), folder / "schema.json")
    later = format_us(datetime_to_us(NOON + timedelta(hours=2)))
    frozen = {"EVENSTORE_TEST_MODE": "1", "EVENSTORE_FROZEN_TIME": later}
    with run_worker(
        folder / "gateway", folder / "schema.json", redis_server.url, environ=frozen
    ) as worker:
        yield _Served(repo.path, worker.url)


def test_both_sides_agree_on_every_value_of_every_type(served: _Served) -> None:
    report = run_check(
        CheckSettings(repo=served.repo, gateway=served.gateway_url, feature_service=_SERVICE)
    )

    assert {feature.feature for feature in report.features} == CASES.keys()
    assert [format_difference(difference) for difference in report.differences] == []
    assert report.violations == []
    assert report.refusals == ()


def test_gateway_renders_values_as_feast_does(served: _Served) -> None:
    with FeatureClient(served.gateway_url) as client:
        answer = client.get_online_features(entities={"k": [0, 1]}, feature_service=_SERVICE)

    assert {name: answer.values[name][0] for name in _RENDERED} == _RENDERED
    assert [answer.values[name][1] for name in CASES] == [None] * len(CASES)
