"""A shop whose features are served: Parquet, Redis, a gateway, and values of every awkward kind."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, ValueType
from feast import Field as FeastField
from feast.data_source import RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float32, Float64, Int64, String, UnixTimestamp
from redis import Redis

from evenstore.clock import datetime_to_us, format_us
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import FeastRowLayout
from evenstore.codec.feast_value import value_encoder
from evenstore.schema.compile import compile_store
from evenstore.schema.document import write_document
from evenstore.schema.model import FeatureViewSchema, Layout
from tests.serving.processes import run_worker
from tests.support.feast_repo import FeastRepo

__all__ = ["NOW", "N_CUSTOMERS", "SERVICE", "ServedShop", "open_served_shop"]

NOW = dt.datetime(2011, 12, 10, tzinfo=dt.UTC)
SERVICE = "checkout_v1"
N_CUSTOMERS = 40
_PROJECT = "tiny"
_N_DAYS = 90
_NULL, _NAN, _EXPIRED = 3, 4, 5

_ROWS = pa.schema(
    {
        "customer_id": pa.int64(),
        "orders": pa.int64(),
        "spend": pa.float64(),
        "share": pa.float32(),
        "country": pa.string(),
        "is_member": pa.bool_(),
        "first_order": pa.timestamp("us", tz="UTC"),
        "favourites": pa.list_(pa.string()),
        "event_timestamp": pa.timestamp("us", tz="UTC"),
        "created": pa.timestamp("us", tz="UTC"),
    }
)


@dataclass(frozen=True, slots=True)
class ServedShop:
    """A loaded shop and a gateway in front of it, whose clock stands at NOW."""

    repo: Path
    entity_rows: Path
    gateway_url: str
    redis: Redis
    view: FeatureViewSchema

    def plant_value(self, feature: str, customer_id: int, value: object) -> bytes:
        """Overwrite one stored value behind the store's back; returns what was there."""
        field = self.view.feature(feature)
        assert field is not None
        key = EntityKeyEncoder(self.view.join_keys, _PROJECT).encode((customer_id,))
        stored = FeastRowLayout(self.view).feature_fields[feature]
        before: bytes = self.redis.execute_command("HGET", key, stored)
        self.redis.execute_command("HSET", key, stored, value_encoder(field.dtype)(value))
        return before

    def put_back(self, feature: str, customer_id: int, before: bytes) -> None:
        """Undo `plant_value`."""
        key = EntityKeyEncoder(self.view.join_keys, _PROJECT).encode((customer_id,))
        self.redis.execute_command(
            "HSET", key, FeastRowLayout(self.view).feature_fields[feature], before
        )


@contextmanager
def open_served_shop(folder: Path, redis_url: str) -> Iterator[ServedShop]:
    """Write, apply, load and serve."""
    repo = FeastRepo(folder / "repo", redis_url=redis_url, project=_PROJECT, layout=Layout.FEAST)
    repo.write_rows("activity", pa.Table.from_pylist(_activity(), schema=_ROWS))
    store = repo.apply(*_definitions(repo))
    store.materialize(start_date=NOW - dt.timedelta(days=_N_DAYS + 10), end_date=NOW)
    pq.write_table(_labelled_rows(), folder / "entity_rows.parquet")
    schema = compile_store(FeatureStore(repo_path=str(repo.path)))
    write_document(schema, folder / "schema.json")
    frozen = {
        "EVENSTORE_TEST_MODE": "1",
        "EVENSTORE_FROZEN_TIME": format_us(datetime_to_us(NOW)),
    }
    with (
        Redis.from_url(redis_url) as client,
        run_worker(folder / "gw", folder / "schema.json", redis_url, environ=frozen) as worker,
    ):
        (view,) = schema.feature_views
        yield ServedShop(repo.path, folder / "entity_rows.parquet", worker.url, client, view)


def _activity() -> list[dict[str, Any]]:
    rows = []
    for customer_id in range(N_CUSTOMERS):
        for day in range(_N_DAYS):
            age = dt.timedelta(days=_N_DAYS - 1 - day, hours=1)
            event = NOW - age - dt.timedelta(days=20 if customer_id == _EXPIRED else 0)
            spend = float((customer_id * 7 + day * 3) % 50) / 3.0
            row: dict[str, Any] = {
                "customer_id": customer_id,
                "orders": 2**53 + customer_id,
                "spend": spend,
                "share": spend / 10.0,
                "country": ("France", "Spain", "\u00c5land")[customer_id % 3],
                "is_member": customer_id % 2 == 0,
                "first_order": event.replace(microsecond=0) - dt.timedelta(days=30, seconds=day),
                "favourites": ["a"] * (customer_id % 4),
                "event_timestamp": event,
                "created": event,
            }
            if customer_id == _NULL:
                row |= dict.fromkeys(("orders", "spend", "share", "country", "favourites"))
            if customer_id == _NAN:
                row |= {"spend": math.nan, "share": math.nan}
            rows.append(row)
    return rows


def _definitions(repo: FeastRepo) -> list[Any]:
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    activity = repo.view(
        "activity",
        [customer],
        {
            "customer_id": Int64,
            "orders": Int64,
            "spend": Float64,
            "share": Float32,
            "country": String,
            "is_member": Bool,
            "first_order": UnixTimestamp,
            "favourites": Array(String),
        },
        ttl=dt.timedelta(days=5),
    )
    fields = [FeastField(name="basket_value", dtype=Float64)]
    fields.append(FeastField(name="placed_at", dtype=UnixTimestamp))
    till = RequestSource(name="till", schema=fields)

    def basket(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(inputs["basket_value"], inputs["spend"], strict=True)
        return {"basket_to_spend": [b / s if b is not None and s else None for b, s in pairs]}

    on_demand = on_demand_feature_view(
        sources=[activity[["spend"]], till],
        schema=[FeastField(name="basket_to_spend", dtype=Float64)],
        mode="python",
    )(basket)
    service = FeatureService(name=SERVICE, features=[activity, on_demand])
    return [customer, activity, on_demand, service]


def _labelled_rows() -> pa.Table:
    """Three rows a day, so that two customers in a row have no rows at all: keys 40 and 41."""
    n_rows = 3 * (_N_DAYS - 12)
    times = [NOW - dt.timedelta(days=_N_DAYS - 2 - i // 3, minutes=i % 3) for i in range(n_rows)]
    keys = [(i * 5) % (N_CUSTOMERS + 2) for i in range(n_rows)]
    instant = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "customer_id": keys,
            "event_timestamp": pa.array(times, instant),
            "basket_value": [0.1 * (i % 17) for i in range(n_rows)],
            "placed_at": pa.array([time.replace(second=7) for time in times], instant),
            "buys_again": [(key * 7 + 3 * (i // 3)) % 50 > 25 for i, key in enumerate(keys)],
            "label_timestamp": pa.array([time + dt.timedelta(days=2) for time in times], instant),
        }
    )
