"""Buyers by e-mail address, and buyers with the sellers they bought from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)
from feast.value_type import ValueType

buyer = Entity(name="buyer", join_keys=["email"], value_type=ValueType.STRING)
seller = Entity(name="seller", join_keys=["seller_id"], value_type=ValueType.INT64)
shelf = Entity(name="shelf", join_keys=["shelf_no"], value_type=ValueType.INT32)

profiles_source = FileSource(
    name="profiles_source",
    path="data/profiles",
    timestamp_field="at",
    created_timestamp_column="written",
    field_mapping={"full_name": "name"},
)
dealings_source = FileSource(
    name="dealings_source", path="data/dealings", timestamp_field="event_timestamp"
)
market_source = FileSource(
    name="market_source", path="data/market", timestamp_field="event_timestamp"
)
dealings_push = PushSource(name="dealings_push", batch_source=dealings_source)

profiles = FeatureView(
    name="profiles",
    entities=[buyer],
    ttl=timedelta(days=30),
    schema=[
        Field(name="email", dtype=String),
        Field(name="name", dtype=String),
        Field(name="points", dtype=Int64),
        Field(name="score", dtype=Float64),
        Field(name="likes", dtype=Array(String)),
        Field(name="seen", dtype=UnixTimestamp),
        Field(name="is_kept", dtype=Bool),
        Field(name="photo", dtype=Bytes),
    ],
    source=profiles_source,
    tags={"owner": "somebody else"},
)
dealings = FeatureView(
    name="dealings",
    entities=[seller, buyer],
    schema=[
        Field(name="email", dtype=String),
        Field(name="seller_id", dtype=Int64),
        Field(name="n_orders", dtype=Int32),
        Field(name="spend", dtype=Float32),
    ],
    source=dealings_push,
)
shelves = FeatureView(
    name="shelves",
    entities=[seller, shelf],
    ttl=timedelta(0),
    schema=[
        Field(name="seller_id", dtype=Int64),
        Field(name="shelf_no", dtype=Int32),
        Field(name="n_orders", dtype=Int32),
    ],
    source=FileSource(name="shelves_source", path="data/shelves", timestamp_field="at"),
)
market = FeatureView(
    name="market",
    entities=[],
    schema=[Field(name="n_buyers", dtype=Int64)],
    source=market_source,
)


@on_demand_feature_view(  # type: ignore[untyped-decorator]
    sources=[dealings],
    schema=[Field(name="spend_per_order", dtype=Float64)],
    mode="python",
)
def per_order(inputs: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(inputs["spend"], inputs["n_orders"], strict=True)
    return {"spend_per_order": [None if spend is None else spend / n for spend, n in pairs]}


offers = FeatureService(
    name="offers",
    features=[
        # Both renamed: Feast cannot compare a service that reads a view under its own name too.
        profiles.with_name("me")[["name", "score"]],
        profiles.with_name("friend").with_join_key_map({"email": "friend_email"})[["points"]],
        dealings,
        per_order,
        market,
    ],
)
