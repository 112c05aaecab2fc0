from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureService, FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, ComplexFeastType, Float64, Int64, PrimitiveFeastType, String
from feast.value_type import ValueType
from redis import Redis

from evenstore.clock import datetime_to_us
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import feature_field
from evenstore.dtypes import Dtype
from evenstore.errors import CorruptRowError, EntityRowsError, FutureRowError
from evenstore.online.column_lookup import ColumnLookup
from evenstore.online.feature_column import FeatureColumn
from evenstore.online.lookup import look_up
from evenstore.schema.compile import compile_store
from evenstore.schema.model import Field, Layout
from evenstore.schema.request import resolve_references, resolve_service
from evenstore.semantics import Status
from tests.support.feast_repo import FeastRepo

_NOW = datetime(2026, 1, 10, tzinfo=UTC)
_NOW_US = datetime_to_us(_NOW)
_TTL = timedelta(days=1)
_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_SHOP = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
_REFERENCES = (
    "stats:trips",
    "visits:n",
    "stats:tags",
    "forever:x",
    "rates:euro",
    "stats:rating",
)


@pytest.fixture
def store(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> FeatureStore:
    """Views of several keys, with rows of every status."""
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", _NOW.isoformat())
    repo = FeastRepo(tmp_path, redis_url=redis_url, layout=layout)
    stats_schema: dict[str, PrimitiveFeastType | ComplexFeastType] = {
        "driver_id": Int64,
        "trips": Int64,
        "rating": Float64,
        "tags": Array(String),
    }
    stats = repo.view("stats", [_DRIVER], stats_schema, ttl=_TTL)
    forever = repo.view("forever", [_DRIVER], {"driver_id": Int64, "x": Float64})
    visits = repo.view("visits", [_SHOP, _DRIVER], {"shop": String, "driver_id": Int64, "n": Int64})
    rates = repo.view("rates", [], {"euro": Float64})
    hero, rival = stats.with_name("hero"), stats.with_name("rival")
    rival = rival.with_join_key_map({"driver_id": "rival_id"})
    duel = FeatureService(name="duel", features=[hero[["trips"]], rival[["trips", "rating"]]])
    opened = repo.apply(_DRIVER, _SHOP, stats, forever, visits, rates, duel)
    _fill(opened)
    return opened


def _fill(store: FeatureStore) -> None:
    for driver_id, age in [(1, timedelta(0)), (2, _TTL), (3, 2 * _TTL)]:
        values: dict[str, Value] = {
            "trips": Value(int64_val=driver_id * 10),
            "rating": Value() if driver_id == 1 else Value(double_val=float("inf")),
            "tags": Value(),
        }
        values["tags"].string_list_val.val.extend(["a", ""][: driver_id % 3])
        key = {"driver_id": Value(int64_val=driver_id)}
        _write(store, "stats", key, values, _NOW - age)
        _write(store, "forever", key, {"x": Value(double_val=float("nan"))}, _NOW - 9 * _TTL)
        visit = key | {"shop": Value(string_val="é")}
        _write(store, "visits", visit, {"n": Value(int64_val=2**53 + 1)}, _NOW)
    _write(
        store, "rates", {"__dummy_id": Value(string_val="")}, {"euro": Value(double_val=1.5)}, _NOW
    )


def _write(
    store: FeatureStore, view: str, key: dict[str, Value], values: dict[str, Value], at: datetime
) -> None:
    provider: Any = store._get_provider()
    row = (EntityKey(join_keys=list(key), entity_values=list(key.values())), values, at, None)
    provider.online_store.online_write_batch(
        store.config, store.get_feature_view(view), [row], None
    )


def _lookup(store: FeatureStore, references: Sequence[str] = _REFERENCES) -> ColumnLookup:
    schema = compile_store(store)
    return ColumnLookup("tiny", resolve_references(schema, tuple(references)), schema.layout)


def _ask(
    client: Redis, lookup: ColumnLookup, columns: dict[str, list[Any]], as_of: datetime = _NOW
) -> tuple[FeatureColumn, ...]:
    return look_up(client, lookup, columns, as_of_us=datetime_to_us(as_of))


def _plain(vectors: Sequence[FeatureColumn]) -> dict[str, list[tuple[str, Status, int | None]]]:
    return {
        f"{answer.column.view_name}__{answer.column.field.name}": [
            (repr(value), status, event_us)
            for value, status, event_us in zip(
                answer.values, answer.statuses, answer.event_us, strict=True
            )
        ]
        for answer in vectors
    }


def _ask_sdk(
    store: FeatureStore, features: Any, **columns: list[Any]
) -> dict[str, list[tuple[str, Status, int | None]]]:
    response = store.get_online_features(features, columns, full_feature_names=True)
    values = response.to_dict()
    return {
        name: [
            (repr(value), Status(status), event.ToMicroseconds() or None)
            for value, status, event in zip(
                values[name], vector.statuses, vector.event_timestamps, strict=True
            )
        ]
        for name, vector in zip(
            response.proto.metadata.feature_names.val, response.proto.results, strict=True
        )
        if name not in columns
    }


_COLUMNS: dict[str, list[Any]] = {
    "driver_id": [3, 1, 9, 2, 1],
    "shop": ["é", "é", "é", "e\u0301", ""],
}


def test_answers_are_those_of_the_sdk(store: FeatureStore, client: Redis) -> None:
    answer = _plain(_ask(client, _lookup(store), _COLUMNS))

    assert answer == _ask_sdk(store, list(_REFERENCES), **_COLUMNS)
    assert {status for column in answer.values() for _, status, _ in column} == {*Status} - {
        Status.INVALID
    }


def test_service_with_aliases_answers_as_the_sdk_does(store: FeatureStore, client: Redis) -> None:
    schema = compile_store(store)
    lookup = ColumnLookup("tiny", resolve_service(schema, "duel"), schema.layout)
    columns: dict[str, list[Any]] = {"driver_id": [1, 2], "rival_id": [2, 9]}

    answer = _plain(_ask(client, lookup, columns))

    assert answer == _ask_sdk(store, store.get_feature_service("duel"), **columns)


def test_features_come_in_the_order_asked_for(store: FeatureStore, client: Redis) -> None:
    vectors = _ask(client, _lookup(store), _COLUMNS)

    assert [f"{a.column.view_name}:{a.column.field.name}" for a in vectors] == list(_REFERENCES)
    assert {len(a.values) for a in vectors} == {5}


def test_entity_is_read_once_for_all_its_views(store: FeatureStore, layout: Layout) -> None:
    columns: dict[str, list[Any]] = {"driver_id": [1, 2]}

    batch = _lookup(store, ["stats:trips", "forever:x", "stats:rating"]).begin(columns)

    assert batch.n_commands == (2 if layout is Layout.FEAST else 1)
    assert batch.payload.count(b"HMGET" if layout is Layout.FEAST else b"MGET") == batch.n_commands


def test_no_entity_rows_are_no_commands(store: FeatureStore, client: Redis) -> None:
    vectors = _ask(client, _lookup(store, ["stats:trips"]), {"driver_id": []})

    assert list(vectors[0].values) == []


def test_earlier_instant_moves_the_age_but_never_hides_a_later_row(
    store: FeatureStore, client: Redis
) -> None:
    lookup = _lookup(store, ["stats:trips"])
    expired = _ask(client, lookup, {"driver_id": [1]}, _NOW + _TTL + timedelta(microseconds=1))

    assert list(expired[0].statuses) == [Status.OUTSIDE_MAX_AGE]
    assert list(expired[0].values) == [None]
    with pytest.raises(FutureRowError, match="stats") as error:
        _ask(client, lookup, {"driver_id": [1]}, _NOW - timedelta(minutes=2))
    assert error.value.hint is not None


def test_row_within_the_allowed_skew_is_no_future_row(store: FeatureStore, client: Redis) -> None:
    lookup = _lookup(store, ["stats:trips"])
    allowed = _NOW - timedelta(seconds=60)

    vectors = _ask(client, lookup, {"driver_id": [1]}, allowed)
    assert list(vectors[0].values) == [10]
    with pytest.raises(FutureRowError):
        _ask(client, lookup, {"driver_id": [1]}, allowed - timedelta(microseconds=1))


@pytest.mark.parametrize("layout", [Layout.FEAST])
@pytest.mark.parametrize(
    ("field", "where"),
    [(feature_field("stats", "rating"), "stats:rating"), (b"_ts:stats", "stats")],
)
def test_corrupt_bytes_are_an_error_that_names_the_feature(
    store: FeatureStore, client: Redis, field: bytes, where: str
) -> None:
    key = EntityKeyEncoder([Field("driver_id", Dtype.INT64)], "tiny").encode([1])
    client.execute_command("HSET", key, field, b"\xff\xff")

    with pytest.raises(CorruptRowError, match=f"^{where}: "):
        _ask(client, _lookup(store, ["stats:trips", "stats:rating"]), {"driver_id": [2, 1]})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"shop": ["a"]}, "missing column: `driver_id`"),
        ({"driver_id": [1], "shop": ["a", "b"]}, "columns differ in length"),
        ({"driver_id": ["1"], "shop": ["a"]}, "`driver_id` is '1' in row 0"),
        ({"driver_id": [1, 1.7], "shop": ["a", "b"]}, "`driver_id` is 1.7 in row 1"),
        ({"driver_id": [None], "shop": ["a"]}, "`driver_id` is null in row 0"),
        ({"driver_id": [2**63], "shop": ["a"]}, "not Int64"),
    ],
)
def test_columns_that_cannot_be_entity_rows_are_refused(
    store: FeatureStore, columns: dict[str, list[Any]], message: str
) -> None:
    with pytest.raises(EntityRowsError, match=message) as error:
        _lookup(store).begin(columns)

    assert error.value.hint is not None


def test_columns_nobody_asked_for_are_ignored(store: FeatureStore, client: Redis) -> None:
    columns: dict[str, list[Any]] = {"driver_id": [1], "colour": ["red", "blue"]}

    vectors = _ask(client, _lookup(store, ["stats:trips"]), columns)

    assert list(vectors[0].values) == [10]
