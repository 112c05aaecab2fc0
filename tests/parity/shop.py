"""A small shop with dirt in it.

Two entities, three views, every awkward value and every stratum.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RequestSource,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bytes, Float32, Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType

PROJECT = "parity_shop"
SERVICE = "checkout_v1"
FORGIVING = "forgiving_v1"
"""The same features, with defaults and stale values."""
NOW = datetime(2011, 12, 10, tzinfo=UTC)
TTL = timedelta(days=7)
N_CUSTOMERS = 60
FIRST_CUSTOMER = 12_346
HOT, COLD, EXPIRED, NULL, NAN, TIED = range(FIRST_CUSTOMER, FIRST_CUSTOMER + 6)

SOURCES = ("activity.parquet", "demand.parquet")

_YAML = """project: {project}
provider: local
registry: registry.db
offline_store: {{type: evenstore.offline.store.DuckDBOfflineStore}}
online_store:
  type: evenstore.online.store.RedisOnlineStore
  connection_string: "{redis_url}"
  layout: feast
batch_engine: {{type: evenstore.compute.engine.DuckDBComputeEngine}}
entity_key_serialization_version: 3
"""


def write_shop(folder: Path, redis_url: str) -> FeatureStore:
    """Write Parquet files and definitions, apply, and load everything into Redis."""
    folder.mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(_YAML.format(project=PROJECT, redis_url=redis_url))
    pq.write_table(_activity_table(), folder / "activity.parquet")
    pq.write_table(_demand_table(), folder / "demand.parquet")
    store = FeatureStore(repo_path=str(folder))
    store.apply(_definitions(folder))
    store.materialize(start_date=NOW - timedelta(days=60), end_date=NOW)
    return store


def add_late_row(folder: Path, customer_id: int) -> None:
    """Publish a newer row of one customer, which nobody has loaded."""
    row = _activity_row(customer_id, 99, NOW - timedelta(minutes=1))
    path = folder / "activity.parquet"
    table = pa.Table.from_pylist([*pq.read_table(path).to_pylist(), row], schema=_ACTIVITY)
    pq.write_table(table, path)


_ACTIVITY = pa.schema(
    {
        "customer_id": pa.int64(),
        "orders": pa.int64(),
        "spend": pa.float64(),
        "share": pa.float32(),
        "first_order": pa.timestamp("us", tz="UTC"),
        "recent": pa.list_(pa.string()),
        "token": pa.binary(),
        "event_timestamp": pa.timestamp("us", tz="UTC"),
        "created": pa.timestamp("us", tz="UTC"),
    }
)


def _activity_row(customer_id: int, orders: int, event: datetime) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "orders": 2**53 + orders,
        "spend": orders / 10,
        "share": 0.1 * orders,
        "first_order": datetime(2010, 12, 1, 8, 26, orders % 60, tzinfo=UTC),
        "recent": [f"P{orders}", "\u00e9"],
        "token": bytes([orders % 256, 255]),
        "event_timestamp": event,
        "created": event + timedelta(minutes=30),
    }


def _activity_table() -> pa.Table:
    hour = timedelta(hours=1)
    rows = []
    for customer_id in range(FIRST_CUSTOMER, FIRST_CUSTOMER + N_CUSTOMERS):
        n_rows = {HOT: 30, COLD: 1}.get(customer_id, 4)
        age = TTL + hour if customer_id == EXPIRED else hour
        events = [NOW - age - i * hour for i in range(n_rows)]
        rows += [_activity_row(customer_id, i + 1, event) for i, event in enumerate(events)]
    newest = {row["customer_id"]: row for row in reversed(rows)}
    newest[NULL] |= {"orders": None, "spend": None, "first_order": None, "recent": None}
    newest[NAN] |= {"spend": math.nan, "share": math.inf}
    rows.append(newest[TIED] | {"orders": 7, "recent": []})
    return pa.Table.from_pylist(rows, schema=_ACTIVITY)


def _demand_table() -> pa.Table:
    products = [f"P{i}" for i in range(40)] + ["\u00e9", "e\u0301"]
    return pa.table(
        {
            "product": products,
            # Narrower than declared, as files often are.
            "sold": pa.array(range(len(products)), pa.int32()),
            "event_timestamp": pa.array(
                [NOW - timedelta(minutes=30)] * len(products), pa.timestamp("us", tz="UTC")
            ),
        }
    )


def _definitions(folder: Path) -> list[Any]:
    customers = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    products = Entity(name="product", join_keys=["product"], value_type=ValueType.STRING)
    activity = FeatureView(
        name="customer_activity",
        entities=[customers],
        ttl=TTL,
        tags={"freshness_promise": "1h"},
        schema=[
            Field(name="customer_id", dtype=Int64),
            Field(name="orders", dtype=Int64),
            Field(name="spend", dtype=Float64),
            Field(name="share", dtype=Float32),
            Field(name="first_order", dtype=UnixTimestamp),
            Field(name="recent", dtype=Array(String)),
            Field(name="token", dtype=Bytes),
        ],
        source=FileSource(
            path=str(folder / "activity.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
    )
    demand = FeatureView(
        name="product_demand",
        entities=[products],
        ttl=timedelta(0),
        schema=[Field(name="product", dtype=String), Field(name="sold", dtype=Int64)],
        source=FileSource(path=str(folder / "demand.parquet"), timestamp_field="event_timestamp"),
    )
    till = RequestSource(name="till", schema=[Field(name="amount", dtype=Float64)])

    def compare_basket(inputs: dict[str, Any]) -> dict[str, Any]:
        return {
            "above_usual": [
                None if usual is None else amount - usual
                for amount, usual in zip(inputs["amount"], inputs["spend"], strict=True)
            ]
        }

    basket = on_demand_feature_view(
        sources=[activity[["spend"]], till],
        schema=[Field(name="above_usual", dtype=Float64)],
        mode="python",
    )(compare_basket)
    service = FeatureService(name=SERVICE, features=[activity, demand, basket])
    forgiving = FeatureService(
        name=FORGIVING,
        features=[activity, demand, basket],
        tags={
            "evenstore.default.customer_activity:orders": "0",
            "evenstore.default.customer_activity:recent": '["none"]',
            "evenstore.default.customer_activity:first_order": "2000-01-01T00:00:00Z",
            "evenstore.default.product_demand:sold": "-1",
            "evenstore.default.compare_basket:above_usual": "0",
            "evenstore.max_stale": "2h",
        },
    )
    return [customers, products, activity, demand, basket, service, forgiving]
