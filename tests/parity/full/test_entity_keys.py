"""Views of several join keys, and of none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore
from feast.types import Int64, String, UnixTimestamp
from feast.value_type import ValueType
from redis import Redis

from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.redis_server import RedisServer
from evenstore.schema.model import Layout
from parity.compare import Outcome
from parity.full.result import run_full
from parity.full.settings import FullSettings
from parity.report import ParityReport, Verdict
from tests.support.feast_repo import FeastRepo
from tests.support.scale import scaled

NOW = datetime(2025, 3, 10, tzinfo=UTC)
STAMPS = {"event_timestamp": NOW - timedelta(hours=1), "created": NOW}
TRIPS = [
    {"city": "Z\u00fcrich", "day": NOW - timedelta(days=1), "line": 7, "riders": 1, **STAMPS},
    {"city": "", "day": NOW - timedelta(days=2), "line": -1, "riders": 2, **STAMPS},
]
_STAMP = pa.timestamp("us", tz="UTC")
_TIMES = [("event_timestamp", _STAMP), ("created", _STAMP)]


@dataclass(frozen=True, slots=True)
class Lines:
    """A repo with a view of three join keys and one of none."""

    path: Path
    store: FeatureStore
    redis: Redis

    def compare(self, view: str) -> ParityReport:
        return run_full(FullSettings(self.path, view), FrozenClock(datetime_to_us(NOW)))


@pytest.fixture(
    scope="module",
    params=list(Layout)[: scaled(1, 2)],
    ids=lambda layout: layout.value,
)
def lines(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lines]:
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        repo = FeastRepo(
            tmp_path_factory.mktemp("lines"), redis_url=redis_server.url, layout=request.param
        )
        keys: dict[str, Any] = {"city": String, "day": UnixTimestamp, "line": Int64}
        types = {"city": ValueType.STRING, "day": ValueType.UNIX_TIMESTAMP, "line": ValueType.INT64}
        entities = [
            Entity(name=f"{name}_entity", join_keys=[name], value_type=types[name]) for name in keys
        ]
        trips = repo.view("trips", entities, {**keys, "riders": Int64})
        total = repo.view("total", [], {"riders": Int64})
        columns = [("city", pa.string()), ("day", _STAMP), ("line", pa.int64())]
        schema = pa.schema([*columns, ("riders", pa.int64()), *_TIMES])
        repo.write_rows("trips", pa.Table.from_pylist(TRIPS, schema=schema))
        schema = pa.schema([("riders", pa.int64()), *_TIMES])
        repo.write_rows("total", pa.Table.from_pylist([{"riders": 3, **STAMPS}], schema=schema))
        store = repo.apply(*entities, trips, total)
        store.materialize(NOW - timedelta(days=9), NOW)
        yield Lines(repo.path, store, client)


def test_several_join_keys(lines: Lines) -> None:
    assert lines.compare("trips").verdict is Verdict.PASSED
    orphan = replace_key(TRIPS[0], "B\u00e2le")
    lines.store.write_to_online_store("trips", orphan)
    report = lines.compare("trips")
    (difference,) = report.differences
    assert difference.outcome is Outcome.EXTRA
    day_s = datetime_to_us(NOW - timedelta(days=1)) // 1_000_000
    assert dict(difference.entity_key) == {"city": "B\u00e2le", "day": day_s, "line": 7}


def test_view_without_join_keys(lines: Lines) -> None:
    report = lines.compare("total")
    assert report.verdict is Verdict.PASSED
    assert report.n_rows == 1
    assert report.view_facts[0].instants is not None
    assert report.view_facts[0].instants.n_equal == 1


def replace_key(row: dict[str, Any], city: str) -> Any:
    import pandas as pd

    return pd.DataFrame([{**row, "city": city}])
