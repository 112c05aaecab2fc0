"""What an apply takes out of the store, and what it must leave there."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureStore, FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Float64, Int64, PrimitiveFeastType, String
from feast.value_type import ValueType
from redis import Redis

from evenstore.codec.packed_row import view_id
from evenstore.errors import CodecError, OnlineStoreUnavailableError
from evenstore.online.connection import execute_raw, open_redis
from evenstore.online.feature_removal import find_stale_schemas, remove_features
from evenstore.online.key_group import open_key_group
from evenstore.online.purge import fetch_schemas
from evenstore.online.sdk_read import decode_group, rows_of
from evenstore.progress import NullProgress, Progress
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.schema.request import ViewRead
from evenstore.semantics import RowOrder, Status
from tests.evenstore.online.rows import MarkedRow, MarkedStore, marked_view
from tests.support.feast_repo import FeastRepo

_NOW = datetime(2026, 1, 10, tzinfo=UTC)
_T_US = 1_767_268_800_000_000
_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_KEY: Mapping[str, Any] = {"driver_id": Int64}


@pytest.fixture(autouse=True)
def _frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", _NOW.isoformat())


@pytest.fixture
def repo(tmp_path: Path, redis_url: str, layout: Layout) -> FeastRepo:
    return FeastRepo(tmp_path / "repo", redis_url=redis_url, layout=layout)


@pytest.fixture
def store(client: Redis, layout: Layout) -> MarkedStore:
    return MarkedStore(client, marked_view(3), "p", layout)


def _view(repo: FeastRepo, name: str = "stats", **features: Any) -> FeatureView:
    return repo.view(name, [_DRIVER], {**_KEY, **features}, ttl=timedelta(0))


def _write(store: FeatureStore, view: str = "stats", **values: Value) -> None:
    provider: Any = store._get_provider()
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=1)])
    rows = [(key, values, _NOW, None)]
    provider.online_store.online_write_batch(store.config, store.get_feature_view(view), rows, None)


def _ask(store: FeatureStore, *names: str, view: str = "stats") -> dict[str, tuple[Any, Status]]:
    response = store.get_online_features([f"{view}:{name}" for name in names], [{"driver_id": 1}])
    values = response.to_dict()
    pairs = zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True)
    return {
        name: (values[name][0], Status(vector.statuses[0]))
        for name, vector in pairs
        if name != "driver_id"
    }


_INT, _FLOAT = Value(int64_val=7), Value(double_val=0.5)
_MISSING = (None, Status.NOT_FOUND)


def test_feature_that_is_added_again_starts_empty(repo: FeastRepo) -> None:
    """D28: stock Feast serves the old bytes."""
    store = repo.apply(_DRIVER, _view(repo, trips=Int64, rating=Float64))
    _write(store, trips=_INT, rating=_FLOAT)

    repo.apply(_DRIVER, _view(repo, trips=Int64))
    store = repo.apply(_DRIVER, _view(repo, trips=Int64, rating=Float64))

    assert _ask(store, "trips", "rating") == {"trips": (7, Status.PRESENT), "rating": _MISSING}
    _write(store, trips=_INT, rating=Value(double_val=0.75))
    assert _ask(store, "rating") == {"rating": (0.75, Status.PRESENT)}


@pytest.mark.parametrize(
    ("old", "new"), [(Float64, String), (Float64, Int64), (String, Array(String))]
)
def test_feature_of_another_type_starts_empty(
    repo: FeastRepo, old: PrimitiveFeastType, new: PrimitiveFeastType
) -> None:
    store = repo.apply(_DRIVER, _view(repo, trips=Int64, rating=old))
    _write(store, trips=_INT, rating=_FLOAT if old is Float64 else Value(string_val="x"))

    store = repo.apply(_DRIVER, _view(repo, trips=Int64, rating=new))
    assert _ask(store, "trips", "rating") == {"trips": (7, Status.PRESENT), "rating": _MISSING}

    store = repo.apply(_DRIVER, _view(repo, trips=Int64, rating=old))
    assert _ask(store, "trips", "rating") == {"trips": (7, Status.PRESENT), "rating": _MISSING}


def test_apply_of_the_same_or_more_features_touches_no_row(repo: FeastRepo, client: Redis) -> None:
    store = repo.apply(_DRIVER, _view(repo, trips=Int64))
    _write(store, trips=_INT)
    before = {key: client.dump(key) for key in client.scan_iter()}

    repo.apply(_DRIVER, _view(repo, trips=Int64))
    repo.apply(_DRIVER, _view(repo, trips=Int64, rating=Float64))

    assert {key: client.dump(key) for key in client.scan_iter()} == before


def test_view_that_is_added_again_starts_empty(repo: FeastRepo) -> None:
    stats, other = _view(repo, trips=Int64), _view(repo, "other", trips=Int64)
    store = repo.apply(_DRIVER, stats, other)
    for view in ("stats", "other"):
        _write(store, view, trips=_INT)

    repo.store().apply([_DRIVER, other], objects_to_delete=[stats], partial=False)
    store = repo.apply(_DRIVER, stats, other)

    assert _ask(store, "trips") == {"trips": _MISSING}
    assert _ask(store, "trips", view="other") == {"trips": (7, Status.PRESENT)}


def test_deleted_entity_is_not_found(repo: FeastRepo) -> None:
    store = repo.apply(_DRIVER, _view(repo, trips=Int64))
    _write(store, trips=_INT)
    provider: Any = store._get_provider()
    table = store.get_feature_view("stats")

    n_deleted = provider.online_store.delete_entity(store.config, table, [{"driver_id": 1}])

    assert n_deleted == 1
    assert _ask(store, "trips") == {"trips": _MISSING}


def test_views_that_no_entity_could_tell_apart_are_refused(repo: FeastRepo) -> None:
    by_id: dict[bytes, str] = {}
    for name in (f"view_{i}" for i in range(100_000)):
        first, second = by_id.setdefault(view_id(name), name), name
        if first != second:
            break

    with pytest.raises(CodecError, match="share the four bytes"):
        repo.apply(_DRIVER, _view(repo, first, a=Int64), _view(repo, second, b=Int64))
    other = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
    shops = repo.view(second, [other], {"shop_id": Int64, "b": Int64}, ttl=timedelta(0))
    repo.apply(_DRIVER, other, _view(repo, first, a=Int64), shops)


def test_teardown_keeps_a_project_of_a_longer_name(
    tmp_path: Path, redis_url: str, layout: Layout
) -> None:
    repos = {
        name: FeastRepo(tmp_path / name, redis_url=redis_url, project=name, layout=layout)
        for name in ("exp", "my_exp")
    }
    for repo in repos.values():
        store = repo.apply(_DRIVER, _view(repo, trips=Int64))
        _write(store, trips=_INT)

    repos["exp"].store().teardown()

    kept = repos["my_exp"].store()
    assert _ask(kept, "trips") == {"trips": (7, Status.PRESENT)}
    with open_redis(redis_url) as client:
        assert not [key for key in client.scan_iter() if b"my_exp" not in key]


def test_apply_goes_on_without_redis_unless_a_view_is_gone(
    tmp_path: Path, redis_url: str, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    live = FeastRepo(tmp_path / "repo", redis_url=redis_url, layout=layout)
    stats = _view(live, trips=Int64, rating=Float64)
    _write(live.apply(_DRIVER, stats), trips=_INT, rating=_FLOAT)
    dead = FeastRepo(tmp_path / "repo", redis_url="unix:///nowhere/redis.sock", layout=layout)

    dead.apply(_DRIVER, _view(dead, trips=Int64))

    assert "stay stored until the next apply" in capsys.readouterr().err
    with pytest.raises(OnlineStoreUnavailableError):
        dead.store().apply([_DRIVER], objects_to_delete=[stats], partial=False)
    live = FeastRepo(tmp_path / "repo", redis_url=redis_url, layout=layout)
    live.apply(_DRIVER, _view(live, trips=Int64))
    store = live.apply(_DRIVER, stats)
    assert _ask(store, "trips", "rating") == {"trips": (7, Status.PRESENT), "rating": _MISSING}


class _Hook(NullProgress):
    """Calls something as soon as the first entities were looked at."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._calls = [call]

    def advance(self, n_done: int = 1) -> None:
        if self._calls and n_done:
            self._calls.pop()()


def _remove(store: MarkedStore, view: FeatureViewSchema, progress: Progress | None = None) -> int:
    (stale,) = find_stale_schemas([view], fetch_schemas(store.client, store.project))
    return remove_features(store.client, store.project, stale, store.layout, progress=progress)


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_removal_that_is_killed_is_done_again(store: MarkedStore) -> None:
    rows = [MarkedRow(k, RowOrder(_T_US, None, 1), 5) for k in range(3000)]
    store.write(*rows)
    fewer = dataclasses.replace(store, view=marked_view(1))

    with pytest.raises(KeyboardInterrupt):
        _remove(store, fewer.view, _Hook(_interrupt))
    assert 0 < _remove(store, fewer.view) < 2 * len(rows)

    assert [fewer.read(k) for k in range(3000)] == rows
    assert not find_stale_schemas([fewer.view], fetch_schemas(store.client, "p"))
    again = dataclasses.replace(store, view=marked_view(2))
    assert find_stale_schemas([again.view], fetch_schemas(store.client, "p")) == []


@pytest.mark.parametrize("n_features", [2, 3, 4])
def test_writer_that_still_has_the_old_definition_stays_readable(
    client: Redis, n_features: int
) -> None:
    """Its rows come without the feature, also after features were added again."""
    store = MarkedStore(client, marked_view(3), "p", Layout.PACKED)
    store.write(MarkedRow(1, RowOrder(_T_US, None, 1), 5))
    fewer = dataclasses.replace(store, view=marked_view(2))
    late = MarkedRow(2, RowOrder(_T_US + 1, None, 2), 6)

    _remove(store, fewer.view, _Hook(lambda: store.write(late)))
    assert _stored_features(fewer, 2) == {"f0": 6, "f1": 6}
    assert find_stale_schemas([fewer.view], fetch_schemas(client, "p")) == []

    again = dataclasses.replace(store, view=marked_view(n_features))
    for stale in find_stale_schemas([again.view], fetch_schemas(client, "p")):
        remove_features(client, "p", stale, Layout.PACKED)
    assert _stored_features(again, 2) == {"f0": 6, "f1": 6}
    again.write(MarkedRow(2, RowOrder(_T_US + 2, None, 3), 7))
    assert again.read(2) == MarkedRow(2, RowOrder(_T_US + 2, None, 3), 7)
    wider = dataclasses.replace(store, view=marked_view(5))
    assert _stored_features(wider, 2) == {f"f{i}": 7 for i in range(n_features)}


def _stored_features(store: MarkedStore, k: int) -> dict[str, Any]:
    read = ViewRead(store.view, store.view.name, ("k",), store.view.features)
    group = open_key_group(store.layout, store.project, [read], max_skew_us=2**60)
    replies = execute_raw(store.client, group.commands([store.key(k)]))
    send = functools.partial(execute_raw, store.client)
    (view,) = decode_group(group, replies, 0, send)
    ((_, values, statuses),) = rows_of(view)
    return {
        field.name: value
        for field, value, status in zip(store.view.features, values, statuses, strict=True)
        if status is not Status.NOT_FOUND
    }


def test_removal_keeps_expiry_order_and_other_views(client: Redis) -> None:
    store = MarkedStore(client, marked_view(3), "p", Layout.PACKED)
    other = dataclasses.replace(store, view=marked_view(3, "other"))
    row = MarkedRow(1, RowOrder(_T_US, _T_US - 3, 1), 300)
    store.write(row)
    other.write(row)
    client.pexpire(store.key(1), 5_000_000)
    fewer = dataclasses.replace(store, view=marked_view(2))

    assert _remove(store, fewer.view) == 1

    assert fewer.read() == other.read() == row
    assert client.execute_command("PTTL", store.key(1)) > 4_000_000
