"""A Feast repo whose views are fed by pushes, in front of a Redis."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
from feast import Entity, FeatureView, Field, PushSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bytes, Float32, Float64, Int64, Json, Map, String, UnixTimestamp
from feast.value_type import ValueType

from evenstore.schema.model import Layout
from serving.writes.orders import WriteOrders
from serving.writes.settings import WriterSettings
from serving.writes.wire import WriteAnswer, WriteOrder
from tests.support.feast_repo import FeastRepo

NOW = datetime.now(tz=UTC)
EVENT = (NOW - timedelta(hours=1)).replace(microsecond=123_456)
DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
TRIPS: dict[str, Any] = {"driver_id": Int64, "trips": Int64, "rating": Float32}


def write_live_repo(
    folder: Path, redis_url: str, *, layout: Layout = Layout.PACKED, **options: Any
) -> FeastRepo:
    """Apply `stats` and `extra` of push source `live`, `typed` without one, a stored `score`."""
    repo = FeastRepo(folder, redis_url=redis_url, layout=layout, overrides=options)
    live = PushSource(name="live", batch_source=repo.source("stats"))
    stats = repo.view("stats", [DRIVER], TRIPS, ttl=timedelta(days=1), source=live)
    extra = repo.view("extra", [DRIVER], {"driver_id": Int64, "trips": Int64}, source=live)
    typed = repo.view(
        "typed",
        [DRIVER],
        {
            "driver_id": Int64,
            "name": String,
            "photo": Bytes,
            "seen": UnixTimestamp,
            "marks": Array(Float64),
            "about": Map,
            "note": Json,
        },
    )
    amount = RequestSource(name="asked", schema=[Field(name="amount", dtype=Float64)])
    repo.apply(DRIVER, live, stats, extra, typed, amount, _score(stats, amount))
    return repo


def _score(stats: FeatureView, amount: RequestSource) -> Any:
    def score(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"score": inputs["rating"] * inputs["amount"]})

    return on_demand_feature_view(
        sources=[stats, amount],
        entities=[DRIVER],
        schema=[Field(name="driver_id", dtype=Int64), Field(name="score", dtype=Float64)],
        mode="pandas",
        write_to_online_store=True,
    )(score)


def frame(*trips: int | None, event: datetime = EVENT, driver_id: int = 1) -> dict[str, list[Any]]:
    """Return one row per number of trips: of one driver, with one rating and event timestamp."""
    n_rows = len(trips)
    return {
        "driver_id": [driver_id] * n_rows,
        "trips": list(trips),
        "rating": [0.5] * n_rows,
        "event_timestamp": [event.isoformat()] * n_rows,
        "created": [NOW.isoformat()] * n_rows,
    }


def push(df: dict[str, Any], **fields: Any) -> WriteOrder:
    body = {"push_source_name": "live", "df": df, **fields}
    return WriteOrder("/push", orjson.dumps(body), patience_s=20.0)


def write(view: str, df: dict[str, Any], **fields: Any) -> WriteOrder:
    body = {"feature_view_name": view, "df": df, **fields}
    return WriteOrder("/write-to-online-store", orjson.dumps(body), patience_s=20.0)


def source_rows(trips: int, *, driver_id: int, event: datetime = EVENT) -> pa.Table:
    """Return a row as it lies in the files of `stats`."""
    instant = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "driver_id": [driver_id],
            "trips": [trips],
            "rating": pa.array([0.5], pa.float32()),
            "event_timestamp": pa.array([event], instant),
            "created": pa.array([NOW], instant),
        }
    )


def settings(repo: FeastRepo, *, listen_fd: int = -1) -> WriterSettings:
    return WriterSettings(
        listen_fd=listen_fd,
        repo_path=str(repo.path),
        registry_poll_s=0.2,
        max_body_bytes=2**20,
        max_rows=100,
        drain_s=5,
        log_format="plain",
    )


def lookup(repo: FeastRepo, *features: str, driver_id: int = 1) -> list[Any]:
    """Return one entity's values, read by a store that knows nothing of the writer."""
    answer = repo.store().get_online_features(
        features=list(features), entity_rows=[{"driver_id": driver_id}]
    )
    values = answer.to_dict()
    return [values[feature.partition(":")[2]][0] for feature in features]


def carry_out(runner: asyncio.Runner, repo: FeastRepo, *orders: WriteOrder) -> list[WriteAnswer]:
    """Carry out requests at once, as one writer does."""

    async def all_of_them() -> list[WriteAnswer]:
        writer = WriteOrders(settings(repo))
        return await asyncio.gather(*(writer.carry_out(order) for order in orders))

    return runner.run(all_of_them())


def carry_out_one(
    runner: asyncio.Runner, repo: FeastRepo, order: WriteOrder
) -> tuple[int, dict[str, Any]]:
    (answer,) = carry_out(runner, repo, order)
    return answer.status, orjson.loads(answer.body)["error"] if answer.status >= 400 else {}
