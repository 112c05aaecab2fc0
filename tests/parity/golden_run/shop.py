"""A small shop whose rows became known late, tie, expire and were corrected, each at a known time.

One view has created timestamps and a ttl, one has neither, one has a composite key; an on-demand
view reads the first. Roles are customers.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureService, FeatureStore, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bytes, Float32, Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from tests.support.feast_repo import FeastRepo

__all__ = [
    "CORRECTED",
    "EXPIRED",
    "INSTANTS",
    "LATE",
    "LATE_UNTIL",
    "NULL",
    "PROJECT",
    "SERVICE",
    "TIED",
    "TTL",
    "TTL_EDGE",
    "UNDATED",
    "write_activity",
    "write_golden_shop",
]

PROJECT = "golden_shop"
SERVICE = "till_v1"
TTL = timedelta(days=1)
INSTANTS = tuple(datetime(2011, 12, day, tzinfo=UTC) for day in (8, 9, 10))
N_CUSTOMERS = 24
EXPIRED, NULL, NAN, TIED, LATE, CORRECTED, UNDATED = range(100, 107)
_HOUR = timedelta(hours=1)
TTL_EDGE = INSTANTS[1] - 2 * _HOUR
"""The last instant at which the last row of EXPIRED is within ttl."""
LATE_UNTIL = INSTANTS[1] + 7 * _HOUR
"""When the row that LATE got before the second instant became known."""

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


def write_golden_shop(folder: Path, redis_url: str) -> FeatureStore:
    """Write sources and definitions, and apply them; nothing is loaded."""
    repo = FeastRepo(folder, redis_url=redis_url, project=PROJECT)
    write_activity(repo, _activity_rows())
    repo.write_rows("demand", _demand_table())
    repo.write_rows("pairs", _pair_table())
    return repo.apply(*_definitions(repo))


def write_activity(repo: FeastRepo, rows: list[dict[str, Any]]) -> None:
    """Publish the activity's rows, in place of those that are there."""
    repo.write_rows("activity", pa.Table.from_pylist(rows, schema=_ACTIVITY))


def _row(customer_id: int, orders: int, event: datetime, **more: Any) -> dict[str, Any]:
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
    } | more


def _activity_rows() -> list[dict[str, Any]]:
    rows = []
    for customer_id in range(100, 100 + N_CUSTOMERS):
        rows += [_row(customer_id, i + 1, at - 2 * _HOUR) for i, at in enumerate(INSTANTS)]
    kept = [row for row in rows if row["customer_id"] != EXPIRED or row["orders"] == 2**53 + 1]
    newest = {row["customer_id"]: row for row in kept}
    newest[NULL] |= {"orders": None, "spend": None, "recent": None}
    newest[NAN] |= {"spend": math.nan, "share": math.inf}
    kept.append(newest[TIED] | {"orders": 7, "recent": []})
    kept.append(_row(LATE, 40, INSTANTS[1] - _HOUR, created=LATE_UNTIL))
    kept.append(newest[CORRECTED] | _corrected(newest[CORRECTED]))
    kept.append(_row(UNDATED, 50, INSTANTS[1] - _HOUR, created=None))
    return kept


def _corrected(row: dict[str, Any]) -> dict[str, Any]:
    return {"spend": 99.5, "created": row["created"] + timedelta(minutes=1)}


def _demand_table() -> pa.Table:
    products = [f"P{i}" for i in range(12)] + ["\u00e9", "e\u0301"]
    events = [at - _HOUR for at in INSTANTS for _ in products]
    return pa.table(
        {
            "product": products * len(INSTANTS),
            "sold": pa.array(range(len(events)), pa.int64()),
            "event_timestamp": pa.array(events, pa.timestamp("ns")),
        }
    )


def _pair_table() -> pa.Table:
    customers = range(100, 100 + N_CUSTOMERS)
    events = [INSTANTS[1] - timedelta(microseconds=i) for i in range(N_CUSTOMERS)]
    return pa.table(
        {
            "customer_id": pa.array(customers, pa.int64()),
            "product": [f"P{i % 12}" for i in customers],
            "bought": pa.array(customers, pa.int64()),
            "event_timestamp": pa.array(events, pa.timestamp("us", tz="UTC")),
        }
    )


def _definitions(repo: FeastRepo) -> list[Any]:
    customers = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    products = Entity(name="product", join_keys=["product"], value_type=ValueType.STRING)
    activity = repo.view(
        "activity",
        [customers],
        {
            "customer_id": Int64,
            "orders": Int64,
            "spend": Float64,
            "share": Float32,
            "first_order": UnixTimestamp,
            "recent": Array(String),
            "token": Bytes,
        },
        ttl=TTL,
    )
    demand = repo.view(
        "demand",
        [products],
        {"product": String, "sold": Int64},
        source=repo.source("demand", created=None),
    )
    pairs = repo.view(
        "pairs",
        [customers, products],
        {"customer_id": Int64, "product": String, "bought": Int64},
        source=repo.source("pairs", created=None),
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
    service = FeatureService(name=SERVICE, features=[activity, demand, pairs, basket])
    return [customers, products, activity, demand, pairs, basket, service]
