"""Stock Feast's Redis layout and ours: the same bytes, each readable by the other, in one store."""

from __future__ import annotations

import decimal
import json
import math
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import (
    Array,
    Bool,
    Bytes,
    ComplexFeastType,
    Decimal,
    FeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    PrimitiveFeastType,
    Set,
    String,
    Struct,
    UnixTimestamp,
    Uuid,
)
from feast.value_type import ValueType
from redis import Redis

from evenstore.dtypes import Dtype
from evenstore.online.connection import open_redis
from evenstore.online.store import RedisOnlineStore
from evenstore.schema.arrow import arrow_type
from tests.conformance.online_sides import FEAST, STOCK, online_repo
from tests.evenstore.online.stock import StockStore
from tests.support.feast_repo import FeastRepo

_T = datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)
_START, _END = datetime(1900, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_SCALARS: dict[str, tuple[PrimitiveFeastType, list[Any]]] = {
    "Bytes": (Bytes, [b"", b"\x00\xff", b"a" * 300]),
    "String": (String, ["", "a\0b", "Zürich \U0001f600"]),
    "Int32": (Int32, [0, -(2**31), 2**31 - 1]),
    "Int64": (Int64, [2**53 + 1, -(2**63), 2**63 - 1]),
    "Float32": (Float32, [0.5, -0.0, math.inf]),
    "Float64": (Float64, [1e300, -0.0, -math.inf]),
    "Bool": (Bool, [False, True, False]),
    "UnixTimestamp": (UnixTimestamp, [_AT, _AT + timedelta(days=1), _AT - timedelta(days=9)]),
}
_ENTITY = Entity(name="k", join_keys=["k"], value_type=ValueType.INT64)


def _schema() -> dict[str, PrimitiveFeastType | ComplexFeastType]:
    schema: dict[str, PrimitiveFeastType | ComplexFeastType] = {"k": Int64}
    for name, (dtype, _) in _SCALARS.items():
        schema[f"one_{name}"] = dtype
        schema[f"many_{name}"] = Array(dtype)
    return schema


def _columns() -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name, (_, values) in _SCALARS.items():
        columns[f"one_{name}"] = values
        columns[f"many_{name}"] = [values, values[:1], values[1:]]
    return columns


def _table() -> pa.Table:
    columns: dict[str, Any] = {"k": pa.array([1, 2, 3], pa.int64())}
    for name, values in _columns().items():
        kind = name.split("_")[1]
        dtype = Dtype(kind if name.startswith("one_") else f"Array({kind})")
        columns[name] = pa.array(values, arrow_type(dtype))
    instants = [_T, _T - timedelta(days=3), _AT]
    columns["event_timestamp"] = pa.array(instants, pa.timestamp("us", "UTC"))
    columns["created"] = pa.array([_T, _T, _T], pa.timestamp("us", "UTC"))
    return pa.table(columns)


def _proto_rows(
    view: FeatureView,
) -> list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]:
    """Make rows as Feast's own push makes them, one of them all null."""
    protos = {
        field.name: python_values_to_proto_values(
            _columns()[field.name], field.dtype.to_value_type()
        )
        for field in view.features
    }
    rows: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]] = [
        (_key(i + 1), {name: column[i] for name, column in protos.items()}, event, None)
        for i, event in enumerate([_T, _T - timedelta(days=3), datetime(1950, 1, 1, tzinfo=UTC)])
    ]
    return [*rows, (_key(4), {name: Value() for name in protos}, _AT, None)]


def _key(k: int) -> EntityKey:
    return EntityKey(join_keys=["k"], entity_values=[Value(int64_val=k)])


def _our_repo(path: Path, redis_url: str, project: str) -> FeastRepo:
    return online_repo(path, redis_url, FEAST, project=project)


def _stock_repo(path: Path, redis_url: str, project: str) -> FeastRepo:
    return online_repo(path, redis_url, STOCK, project=project)


def _apply(repo: FeastRepo, table: pa.Table | None = None) -> tuple[FeatureStore, FeatureView]:
    view = repo.view("every", [_ENTITY], _schema(), ttl=timedelta(0))
    repo.write_rows("every", _table() if table is None else table)
    store = repo.apply(_ENTITY, view)
    return store, store.get_feature_view("every")


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


def _hashes(client: Redis, project: str) -> dict[bytes, dict[bytes, bytes]]:
    """Read all of one project's rows, without the field that only ours have."""
    suffix = project.encode()
    hashes = {}
    for key in client.scan_iter(match=b"*" + suffix, _type="HASH"):
        if not key.startswith(b"evenstore:"):
            fields: dict[bytes, bytes] = client.execute_command("HGETALL", key)
            hashes[key.removesuffix(suffix)] = {
                name: value for name, value in fields.items() if not name.startswith(b"_order:")
            }
    return hashes


def _online_values(store: FeatureStore) -> dict[str, list[Any]]:
    features = [f"every:{name}" for name in _columns()]
    response = store.get_online_features(features, [{"k": k} for k in (1, 2, 3)])
    return {name: values for name, values in response.to_dict().items() if name != "k"}


def test_pushed_bytes_are_stocks_over_all_types(
    tmp_path: Path, redis_url: str, client: Redis
) -> None:
    store, view = _apply(_our_repo(tmp_path, redis_url, "ours"))
    rows = _proto_rows(view)

    StockStore(redis_url, "stock").write(view, rows)
    RedisOnlineStore().online_write_batch(store.config, view, list(rows), None)

    stocks = _hashes(client, "stock")
    assert len(stocks) == 4
    assert _hashes(client, "ours") == stocks


# With one entry: stock's bytes of maps, structs and sets have no order, and differ by process.
_NESTED: dict[str, tuple[FeastType, list[Any]]] = {
    "map": (Map, [{"a": "1"}, {}]),
    "maps": (Array(Map), [[{"a": 1}, {}], []]),
    "json": (Json, [json.dumps({"b": [1, None]}), "null"]),
    "struct": (Struct({"age": Int64}), [{"age": 2**53 + 1}, {"age": -(2**63)}]),
    "lists": (Array(Array(Int64)), [[[1], []], []]),
    "uuid": (Uuid, [uuid.UUID(int=7), uuid.UUID(int=2**128 - 1)]),
    "uuids": (Array(Uuid), [[uuid.UUID(int=7)], []]),
    "decimal": (Decimal, [decimal.Decimal("1.50"), decimal.Decimal("-1E+5")]),
    "set": (Set(Int64), [{-(2**63)}, {5}]),
}


@pytest.mark.parametrize("name", _NESTED)
def test_pushed_values_that_hold_values_are_stocks(
    tmp_path: Path, redis_url: str, client: Redis, name: str
) -> None:
    dtype, values = _NESTED[name]
    repo = _our_repo(tmp_path, redis_url, "ours")
    repo.write_rows("nested", pa.table({"k": [1], "event_timestamp": [_T], "created": [_T]}))
    view = repo.view("nested", [_ENTITY], {"k": Int64, "value": dtype})
    protos = python_values_to_proto_values(values, dtype.to_value_type())
    rows: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]] = [
        (_key(i), {"value": proto}, _AT, None) for i, proto in enumerate([*protos, Value()])
    ]

    StockStore(redis_url, "stock").write(view, rows)
    RedisOnlineStore().online_write_batch(repo.store().config, view, list(rows), None)

    stocks = _hashes(client, "stock")
    assert len(stocks) == 3
    assert _hashes(client, "ours") == stocks


def test_materialized_bytes_are_stocks_over_all_types(
    tmp_path: Path, redis_url: str, client: Redis
) -> None:
    for make_repo, project in ((_our_repo, "ours"), (_stock_repo, "stock")):
        store, _ = _apply(make_repo(tmp_path / project, redis_url, project))
        store.materialize(_START, _END)

    stocks = _hashes(client, "stock")
    assert len(stocks) == 3
    assert _hashes(client, "ours") == stocks


def test_stock_reads_what_ours_wrote(tmp_path: Path, redis_url: str) -> None:
    store, view = _apply(_our_repo(tmp_path / "ours", redis_url, "shared"))
    rows = _proto_rows(view)
    RedisOnlineStore().online_write_batch(store.config, view, list(rows), None)

    stored = StockStore(redis_url, "shared").read(view, [key for key, *_ in rows], list(_columns()))

    assert [values for _, values in stored] == [values for _, values, *_ in rows]
    assert [event for event, _ in stored[:2]] == [_T, _T - timedelta(days=3)]


def test_ours_reads_what_stock_wrote(tmp_path: Path, redis_url: str) -> None:
    store, view = _apply(_our_repo(tmp_path / "ours", redis_url, "shared"))
    rows = _proto_rows(view)
    StockStore(redis_url, "shared").write(view, rows)

    stored = RedisOnlineStore().online_read(
        store.config, view, [key for key, *_ in rows], list(_columns())
    )

    assert stored == [(event, values) for _, values, event, _ in rows]


def test_both_sdks_give_equal_values_for_one_store(tmp_path: Path, redis_url: str) -> None:
    ours, _ = _apply(_our_repo(tmp_path / "ours", redis_url, "shared"))
    stock, _ = _apply(_stock_repo(tmp_path / "stock", redis_url, "shared"))
    ours.materialize(_START, _END)

    assert _online_values(stock) == _online_values(ours)


def test_store_that_stock_filled_is_taken_over_in_place(
    tmp_path: Path, redis_url: str, client: Redis
) -> None:
    stock, _ = _apply(_stock_repo(tmp_path / "stock", redis_url, "shared"))
    stock.materialize(_START, _END)
    before = _hashes(client, "shared")
    ours, _ = _apply(_our_repo(tmp_path / "ours", redis_url, "shared"))
    values = _online_values(ours)

    ours.materialize_incremental(_END)

    assert _hashes(client, "shared") == before
    assert _online_values(ours) == values
    keys = [key for key in client.scan_iter(match=b"*shared") if not key.startswith(b"evenstore:")]
    assert len(keys) == 3
    assert all(client.hexists(key, "_order:every") for key in keys)


def test_stock_may_go_on_writing_after_the_take_over(tmp_path: Path, redis_url: str) -> None:
    ours, view = _apply(_our_repo(tmp_path / "ours", redis_url, "shared"))
    ours.materialize(_START, _END)
    key, values, *_ = _proto_rows(view)[1]
    later = [(_key(1), values, _T + timedelta(seconds=1), None)]

    StockStore(redis_url, "shared").write(view, later)
    ours.materialize(_START, _END)

    stored = RedisOnlineStore().online_read(ours.config, view, [_key(1), key])
    assert stored[0] == (_T + timedelta(seconds=1), values)
    assert stored[1][0] == _T - timedelta(days=3)
