"""Stock Feast's Redis store and engine, and ours, behind one kind of repo."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64
from feast.value_type import ValueType

from evenstore.online.store import RedisOnlineStoreConfig
from tests.evenstore.online.stock import stock_connection
from tests.support.feast_repo import OUR_ONLINE_STORE, FeastRepo
from tests.support.online_answers import Cell, ask
from tests.support.stranger_repo import FEAST_LAYOUT

__all__ = [
    "BIG",
    "DRIVER",
    "FEAST",
    "HOUR",
    "KINDS",
    "NOW",
    "OURS_KINDS",
    "SCHEMA",
    "STAMP",
    "STOCK",
    "OnlineDeviations",
    "cell",
    "load",
    "load_stats",
    "online_repo",
    "push_row",
    "rows",
    "write_row",
]

STOCK, FEAST, PACKED = "stock", "feast", "packed"
OURS_KINDS = (FEAST, PACKED) if "layout" in RedisOnlineStoreConfig.model_fields else (FEAST,)
"""Our online store in each of its layouts."""

KINDS = (STOCK, *OURS_KINDS)

OnlineDeviations = Mapping[tuple[str, str], tuple[type[BaseException], str]]
"""By `(test function, kind)`: what it raises, and why."""

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
BIG = 2**53 + 1
STAMP = pa.timestamp("us", "UTC")
DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
SCHEMA: Mapping[str, Any] = {"driver_id": Int64, "trips": Int64}


def online_repo(
    folder: Path, redis_url: str, kind: str, *, project: str = "tiny", **overrides: Any
) -> FeastRepo:
    """Make a repo on stock's parts or on ours; `overrides` are sections of its settings."""
    if kind != STOCK:
        layout = FEAST_LAYOUT if kind == FEAST else {"layout": kind}
        store = {"type": OUR_ONLINE_STORE, "connection_string": redis_url, **layout}
        return FeastRepo(
            folder,
            redis_url=redis_url,
            project=project,
            overrides={"online_store": store} | overrides,
        )
    stock = {
        "online_store": {"type": "redis", "connection_string": stock_connection(redis_url)},
        "batch_engine": {"type": "local"},
    }
    return FeastRepo(
        folder,
        redis_url=redis_url,
        project=project,
        offline_store="file",
        overrides=stock | overrides,
    )


def rows(instants: list[datetime], *, created: datetime | None = None, **columns: Any) -> pa.Table:
    """Make rows of a feature table, created at their event timestamps if not told otherwise."""
    return pa.table(
        {
            "event_timestamp": pa.array(instants, STAMP),
            "created": pa.array([created or instant for instant in instants], STAMP),
            **columns,
        }
    )


def load(store: FeatureStore, *, end: datetime | None = None) -> None:
    """Run `materialize-incremental` up to now."""
    store.materialize_incremental(end or datetime.now(UTC))


def cell(store: FeatureStore, feature: str, **key: Any) -> Cell:
    """Look one feature of one entity up; driver 1 if not told otherwise."""
    answer = ask(store, [feature], [key or {"driver_id": 1}])
    return answer[feature.partition(":")[2], 0]


def load_stats(repo: FeastRepo, **options: Any) -> FeatureStore:
    """Apply one view with rows of two drivers, and load them."""
    repo.write_rows("stats", rows([NOW - 2 * HOUR, NOW - HOUR], driver_id=[1, 2], trips=[10, 20]))
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], SCHEMA, **options))
    load(store)
    return store


def push_row(
    store: FeatureStore, event: datetime, trips: int | None, *, driver_id: int = 1
) -> None:
    """Write a row, created now, as Feast's own push does, but for its pandas frame."""
    write_row(
        store, driver_id, {"trips": Value() if trips is None else Value(int64_val=trips)}, event
    )


def write_row(
    store: FeatureStore, driver_id: int, values: dict[str, Value], event: datetime
) -> None:
    """Write a row with these values, created now."""
    online: Any = store._get_provider()
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=driver_id)])
    view = store.get_feature_view("stats")
    online.online_store.online_write_batch(store.config, view, [(key, values, event, NOW)], None)
