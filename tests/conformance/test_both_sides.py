"""Both sides asked the same thing, where they once answered differently."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float64, Int64, UnixTimestamp
from feast.value_type import ValueType
from redis import Redis

from evenstore.clock import Clock, SystemClock
from evenstore.compute.run import ViewRun
from evenstore.compute.watermark import read_watermark
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import CodecError, MaterializationError, OnlineStoreError, SchemaError
from evenstore.offline.history import read_history
from evenstore.online.column_lookup import ColumnLookup
from evenstore.online.connection import open_redis
from evenstore.online.lookup import look_up
from evenstore.online.store import RedisOnlineStore
from evenstore.redis_server import start_redis, stop_redis
from evenstore.schema.compile import compile_feature_view, compile_store
from evenstore.schema.model import Layout
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.schema.source import open_source
from evenstore.semantics import Knowledge
from tests.conformance.online_sides import FEAST, online_repo
from tests.support.feast_repo import FeastRepo

_NOW = datetime.now(UTC).replace(microsecond=0)
_HOUR = timedelta(hours=1)
_PERSON = Entity(name="person", join_keys=["id"], value_type=ValueType.INT64)


@pytest.fixture
def repo(tmp_path: Path, redis_url: str) -> FeastRepo:
    return FeastRepo(tmp_path / "repo", redis_url=redis_url)


def _rows(instants: list[datetime], **columns: Any) -> pa.Table:
    stamps = pa.array(instants, pa.timestamp("us", "UTC"))
    return pa.table({"event_timestamp": stamps, "created": stamps, **columns})


def _request(store: FeatureStore, service: str) -> FeatureRequest:
    return resolve_service(compile_store(store), service)


def _online(store: FeatureStore, service: str, url: str, **columns: list[Any]) -> list[list[Any]]:
    layout = Layout(store.config.online_store.layout)
    lookup = ColumnLookup(store.project, _request(store, service), layout)
    with open_redis(url) as client:
        answers = look_up(client, lookup, columns, as_of_us=SystemClock().now_us())
    return [list(column.values) for column in answers]


def _offline(store: FeatureStore, service: str, **columns: list[Any]) -> list[list[Any]]:
    request = _request(store, service)
    n_rows = len(next(iter(columns.values())))
    instants = pa.array([datetime.now(UTC)] * n_rows, pa.timestamp("us", "UTC"))
    table = pa.table({**columns, "event_timestamp": instants})
    joined = read_history(store, request, table, knowledge=Knowledge.LATEST_TRUTH)
    names = [column.output_name(full_feature_names=True) for column in request.columns]
    return [joined[name].to_pylist() for name in names]


def test_view_under_its_own_key_and_an_alias_reads_both_entities(
    repo: FeastRepo, redis_url: str
) -> None:
    view = repo.view("stats", [_PERSON], {"id": Int64, "x": Int64})
    repo.write_rows("stats", _rows([_NOW - _HOUR] * 2, id=[1, 2], x=[10, 20]))
    own = view.with_name("own")
    friend = view.with_name("friend").with_join_key_map({"id": "friend_id"})
    store = repo.apply(_PERSON, view, FeatureService(name="both", features=[own, friend]))
    store.materialize_incremental(datetime.now(UTC))

    for columns in ({"friend_id": [2], "id": [1]}, {"id": [1], "friend_id": [2]}):
        assert _offline(store, "both", **columns) == [[10], [20]]
        assert _online(store, "both", redis_url, **columns) == [[10], [20]]
        answer = store.get_online_features(
            features=store.get_feature_service("both"), entity_rows=columns, full_feature_names=True
        ).to_dict()
        assert (answer["own__x"], answer["friend__x"]) == ([10], [20])


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_timestamps_in_lists_are_floored_to_seconds(
    repo: FeastRepo, redis_url: str, unit: str
) -> None:
    view = repo.view("stats", [_PERSON], {"id": Int64, "at": Array(UnixTimestamp)})
    second = {"us": 10**6, "ns": 10**9}[unit]
    raw = pa.array([[-1, second - 1, second]], pa.list_(pa.int64()))
    listed = raw.cast(pa.list_(pa.timestamp(unit, "UTC")))
    repo.write_rows("stats", _rows([_NOW - _HOUR], id=[1], at=listed))
    store = repo.apply(_PERSON, view, FeatureService(name="all", features=[view]))
    store.materialize_incremental(datetime.now(UTC))

    floored = [datetime.fromtimestamp(seconds, UTC) for seconds in (-1, 0, 1)]
    assert _offline(store, "all", id=[1]) == [[floored]]
    assert _online(store, "all", redis_url, id=[1]) == [[floored]]


def test_large_integer_beside_a_null_is_exact_in_pandas(repo: FeastRepo) -> None:
    view = repo.view("stats", [_PERSON], {"id": Int64, "x": Int64})
    repo.write_rows("stats", _rows([_NOW - _HOUR], id=[1], x=[2**53 + 1]))
    store = repo.apply(_PERSON, view)
    entities = pd.DataFrame({"id": [1, 9], "event_timestamp": [_NOW, _NOW]})
    frame = store.get_historical_features(entities, features=["stats:x"]).to_df()
    assert frame["x"][0] == 2**53 + 1
    assert frame["x"].isna().tolist() == [False, True]


def test_row_of_the_near_future_is_loaded_when_its_instant_has_come(
    repo: FeastRepo, redis_url: str
) -> None:
    view = repo.view("stats", [_PERSON], {"id": Int64, "x": Int64})
    soon = datetime.now(UTC) + timedelta(seconds=50)
    repo.write_rows("stats", _rows([_NOW - _HOUR, soon], id=[1, 1], x=[1, 2]))
    store = repo.apply(_PERSON, view, FeatureService(name="all", features=[view]))
    store.materialize_incremental(datetime.now(UTC) + timedelta(days=1))
    assert _online(store, "all", redis_url, id=[1]) == _offline(store, "all", id=[1]) == [[1]]


def test_change_of_the_source_column_is_loaded_again(repo: FeastRepo, redis_url: str) -> None:
    repo.write_rows("stats", _rows([_NOW - _HOUR], id=[1], a=[10], b=[20]))

    def declare(column: str) -> FeatureView:
        source = repo.source("stats", field_mapping={column: "x"})
        return repo.view("stats", [_PERSON], {"id": Int64, "x": Int64}, source=source)

    for column, value in (("a", 10), ("b", 20)):
        view = declare(column)
        store = repo.apply(_PERSON, view, FeatureService(name="all", features=[view]))
        store.materialize_incremental(datetime.now(UTC))
        assert _offline(store, "all", id=[1]) == [[value]]
        assert _online(store, "all", redis_url, id=[1]) == [[value]]


def test_features_of_two_views_that_share_a_field_are_refused(
    tmp_path: Path, redis_url: str
) -> None:
    """`va:f49248` and `vb:f101626` have one murmur3 hash, and their views one Redis hash."""
    repo = online_repo(tmp_path, redis_url, FEAST)
    views = [
        repo.view("va", [_PERSON], {"id": Int64, "f49248": Int64}),
        repo.view("vb", [_PERSON], {"id": Int64, "f101626": Int64}),
    ]
    with pytest.raises(CodecError, match=r"va:f49248.*vb:f101626|vb:f101626.*va:f49248"):
        repo.apply(_PERSON, *views)


def test_expired_value_of_a_retyped_feature_harms_nobody(repo: FeastRepo, redis_url: str) -> None:
    for dtype, values in ((Int64, [1]), (Float64, [1.5])):
        view = repo.view("stats", [_PERSON], {"id": Int64, "x": dtype}, ttl=_HOUR)
        repo.write_rows("stats", _rows([_NOW - 3 * _HOUR], id=[1], x=values))
        store = repo.apply(_PERSON, view, FeatureService(name="all", features=[view]))
        if dtype is Int64:
            store.materialize(_NOW - 9 * _HOUR, datetime.now(UTC))
        else:
            store.materialize_incremental(datetime.now(UTC))
    assert _online(store, "all", redis_url, id=[1]) == [[None]]


def _twice(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"twice": [None if x is None else 2.0 * x for x in inputs["x"]]}


def _fails(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"twice": [1 / (x - 4) for x in inputs["x"]]}


def _on_demand(view: FeatureView, function: Any) -> Any:
    request = RequestSource(name="asked", schema=[Field(name="asked", dtype=Float64)])
    schema = [Field(name="twice", dtype=Float64)]
    return on_demand_feature_view(sources=[view, request], schema=schema, mode="python")(function)


def test_on_demand_view_can_have_an_alias(repo: FeastRepo, redis_url: str) -> None:
    view = repo.view("stats", [_PERSON], {"id": Int64, "x": Int64})
    repo.write_rows("stats", _rows([_NOW - _HOUR], id=[1], x=[4]))
    computed = _on_demand(view, _twice)
    service = FeatureService(name="all", features=[computed.with_name("other")])
    store = repo.apply(_PERSON, view, computed, service)
    store.materialize_incremental(datetime.now(UTC))
    columns: dict[str, list[Any]] = {"id": [1], "asked": [1.0]}
    assert _offline(store, "all", **columns) == [[8.0]]
    assert _online(store, "all", redis_url, **columns) == [[8.0]]


def test_error_in_an_on_demand_function_names_its_view(repo: FeastRepo) -> None:
    view = repo.view("stats", [_PERSON], {"id": Int64, "x": Int64})
    repo.write_rows("stats", _rows([_NOW - _HOUR], id=[1], x=[4]))
    computed = _on_demand(view, _fails)
    store = repo.apply(_PERSON, view, computed, FeatureService(name="all", features=[computed]))
    with pytest.raises(SchemaError, match="`_fails`: the function raised ZeroDivisionError"):
        _offline(store, "all", id=[1], asked=[1.0])


def test_pushed_row_without_created_is_the_lowest(repo: FeastRepo, redis_url: str) -> None:
    view = repo.view("stats", [_PERSON], {"id": Int64, "x": Int64})
    repo.write_rows("stats", _rows([_NOW - _HOUR], id=[1], x=[1]))
    store = repo.apply(_PERSON, view, FeatureService(name="all", features=[view]))
    created = [pd.NaT, pd.Timestamp(_NOW)]
    pushed = {"id": [1, 2], "event_timestamp": [_NOW, _NOW], "created": created, "x": [5, 6]}
    store.write_to_online_store("stats", pd.DataFrame(pushed))
    assert _online(store, "all", redis_url, id=[1, 2]) == [[5, 6]]
    with pytest.raises(OnlineStoreError, match="stats: row 0 has no event timestamp"):
        store.write_to_online_store(
            "stats", pd.DataFrame(pushed | {"event_timestamp": [pd.NaT, pd.Timestamp(_NOW)]})
        )


def _run(
    repo: FeastRepo, view: FeatureView, client: Redis, clock: Clock, sequence_us: int
) -> ViewRun:
    """Make a run as the engine makes one, with a clock and a sequence of its own."""
    config, schema, online = repo.store().config, compile_feature_view(view), RedisOnlineStore()
    return ViewRun(
        client=client,
        encoder=online.encoder(config, schema),
        writer=online.writer(config, schema),
        project=config.project,
        view=schema,
        source=open_source(view, schema, repo.path),
        clock=clock,
        sequence_us=sequence_us,
        limits=SessionLimits(),
    )


class _RestartingClock(SystemClock):
    """Asked by a run when it has begun: restarts its Redis at that moment."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def now_us(self) -> int:
        stop_redis(self._home)
        start_redis(self._home, environ={"PATH": os.environ.get("PATH", "")})
        return super().now_us()


def test_run_across_a_restart_of_redis_moves_no_watermark(tmp_path: Path) -> None:
    """A crash can lose the run's first rows and keep the store's mark."""
    home = tmp_path / "home"
    server = start_redis(home, environ={"PATH": os.environ.get("PATH", "")})
    repo = FeastRepo(tmp_path / "repo", redis_url=server.url)
    view = repo.view("stats", [_PERSON], {"id": Int64, "x": Int64})
    repo.write_rows("stats", _rows([_NOW - _HOUR], id=[1], x=[1]))
    store = repo.apply(_PERSON, view)
    try:
        with open_redis(server.url) as client:
            run = _run(repo, view, client, _RestartingClock(home), SystemClock().now_us())
            with pytest.raises(MaterializationError, match="Redis was restarted"):
                run.execute(start_us=0, end_us=SystemClock().now_us())
            assert read_watermark(client, store.project, "stats") is None
    finally:
        stop_redis(home)


def test_correction_wins_though_the_machines_clock_was_set_back(
    repo: FeastRepo, redis_url: str
) -> None:
    view = repo.view("stats", [_PERSON], {"id": Int64, "x": Int64})
    store = repo.apply(_PERSON, view, FeatureService(name="all", features=[view]))
    with open_redis(redis_url) as client:
        for value, sequence_us in ((1, 2_000), (2, 1_000)):
            repo.write_rows("stats", _rows([_NOW - _HOUR], id=[1], x=[value]))
            run = _run(repo, view, client, SystemClock(), sequence_us)
            run.execute(start_us=0, end_us=SystemClock().now_us())
    assert _online(store, "all", redis_url, id=[1]) == [[2]]
