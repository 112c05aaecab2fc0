"""Rows and watermark live and die together, whichever half of a removal is the last to happen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore
from feast.types import Float64, Int64
from feast.value_type import ValueType
from redis import Redis

from evenstore.compute.watermark import read_watermark
from evenstore.errors import CodecError
from evenstore.online.connection import open_redis
from evenstore.online.shared_names import SharedNames
from tests.evenstore.online.rows import marked_view
from tests.support.feast_repo import FeastRepo

_END = datetime(2026, 1, 20, tzinfo=UTC)
_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


@pytest.fixture
def repo(tmp_path: Path, redis_url: str) -> FeastRepo:
    repo = FeastRepo(tmp_path / "repo", redis_url=redis_url)
    at = pa.array([_END - timedelta(days=1)] * 3, pa.timestamp("us", "UTC"))
    columns = {"driver_id": pa.array([1, 2, 3]), "trips": pa.array([10, 20, 30])}
    instants = {"event_timestamp": at, "created": at, "other": pa.array([0.5] * 3)}
    repo.write_rows("stats", pa.table({**columns, **instants}))
    return repo


def _apply(repo: FeastRepo, **more: Any) -> FeatureStore:
    schema = {"driver_id": Int64, "trips": Int64, **more}
    return repo.apply(_DRIVER, repo.view("stats", [_DRIVER], schema, ttl=timedelta(0)))


def _trips(repo: FeastRepo) -> list[int | None]:
    rows = [{"driver_id": k} for k in (1, 2, 3)]
    trips: list[int | None] = (
        repo.store().get_online_features(["stats:trips"], rows).to_dict()["trips"]
    )
    return trips


def _online(store: FeatureStore) -> Any:
    provider: Any = store._get_provider()
    return provider.online_store


def test_teardown_killed_before_the_engines_half_is_loaded_again(
    repo: FeastRepo, client: Redis
) -> None:
    store = _apply(repo)
    store.materialize_incremental(_END)
    _online(store).teardown(store.config, [store.get_feature_view("stats")], [_DRIVER])

    assert read_watermark(client, "tiny", "stats") is None
    repo.store().materialize_incremental(_END)
    assert _trips(repo) == [10, 20, 30]


def test_apply_killed_while_it_deleted_a_view_is_loaded_again(repo: FeastRepo) -> None:
    """The registry still has the view, its rows are gone."""
    store = _apply(repo)
    store.materialize_incremental(_END)
    view = store.get_feature_view("stats")
    _online(store).update(store.config, [view], [], [], [_DRIVER], partial=False)
    assert _trips(repo) == [None, None, None]

    repo.store().materialize_incremental(_END)

    assert _trips(repo) == [10, 20, 30]


def test_late_file_does_not_hide_what_a_later_interval_asks_for(
    tmp_path: Path, redis_url: str
) -> None:
    """An expired row that came late is not loaded at first, and is when an interval names it."""
    repo = FeastRepo(tmp_path / "repo", redis_url=redis_url)

    def write(file: str, driver_id: int, age: timedelta) -> None:
        at = pa.array([_END - age], pa.timestamp("us", "UTC"))
        columns = {"driver_id": pa.array([driver_id]), "trips": pa.array([driver_id * 10])}
        instants = {"event_timestamp": at, "created": at}
        repo.write_rows("stats", pa.table({**columns, **instants}), file=file)

    write("a.parquet", 1, timedelta(days=1))
    schema = {"driver_id": Int64, "trips": Int64}
    tags = {"expired_values": "withhold"}
    view = repo.view("stats", [_DRIVER], schema, ttl=timedelta(days=5), tags=tags)
    store = repo.apply(_DRIVER, view)
    store.materialize(_END - timedelta(days=20), _END)
    write("b.parquet", 2, timedelta(days=15))
    repo.store().materialize_incremental(_END)
    repo.store().materialize(_END - timedelta(days=20), _END)

    answer = repo.store().get_online_features(["stats:trips"], [{"driver_id": 2}]).proto
    assert answer.results[1].event_timestamps[0].ToDatetime(UTC) == _END - timedelta(days=15)


def test_feature_taken_back_after_a_killed_apply_is_loaded_again(repo: FeastRepo) -> None:
    """The rows lost it, the registry did not."""
    store = _apply(repo)
    store.materialize_incremental(_END)
    reduced = repo.view("stats", [_DRIVER], {"driver_id": Int64, "other": Float64})
    _online(store).update(store.config, [], [reduced], [], [_DRIVER], partial=False)
    assert _trips(repo) == [None, None, None]

    repo.store().materialize_incremental(_END)

    assert _trips(repo) == [10, 20, 30]


def test_version_that_has_another_views_name_is_refused() -> None:
    names = SharedNames()
    names.check(marked_view(1, "v_v1"), "v_v1")

    with pytest.raises(CodecError, match="rows of `v_v1` and of `v` would both go by `v_v1`"):
        names.check(marked_view(1, "v_v1"), "v")
