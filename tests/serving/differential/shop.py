"""A shop's feature views over one set of Parquet files, for stock Feast and for us."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RequestSource,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import (
    Array,
    Bool,
    Bytes,
    ComplexFeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    PrimitiveFeastType,
    String,
    UnixTimestamp,
)
from feast.value_type import ValueType

CUSTOMERS = range(1, 41)
EXPIRED = {5, 15, 25, 35}
STORES = [f"store-{number}" for number in range(10)] + ["Zürich", "a b", ""]
START = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2026, 1, 1, tzinfo=UTC)
# Long enough for all rows but those of the expired customers, in any year this test will run in.
TTL = timedelta(days=20 * 365)
LONG_AGO = datetime(1990, 6, 1, tzinfo=UTC)

SCALARS: dict[str, PrimitiveFeastType] = {
    "n_int32": Int32,
    "n_int64": Int64,
    "n_float32": Float32,
    "n_float64": Float64,
    "is_active": Bool,
    "city": String,
    "digest": Bytes,
    "joined": UnixTimestamp,
}
LISTS: dict[str, ComplexFeastType] = {
    "counts": Array(Int64),
    "weights": Array(Float64),
    "tags": Array(String),
}
SCORES: dict[str, PrimitiveFeastType] = {"score": Float64, "rank": Int64}
STOCK: dict[str, PrimitiveFeastType] = {"items": Int64, "label": String}
VISITS: dict[str, PrimitiveFeastType] = {"visits": Int64, "spent": Float64}


def write_sources(folder: Path) -> None:
    """Write a file per view."""
    folder.mkdir(parents=True, exist_ok=True)
    customers = list(CUSTOMERS)
    events = [LONG_AGO if key in EXPIRED else _event(key) for key in customers]
    keys = {"customer_id": pa.array(customers, pa.int64())}
    _write(folder / "profile.parquet", keys, events, _profile(customers))
    _write(folder / "lists.parquet", keys, events, _lists(customers))
    scored = [key for key in customers if key % 3]
    _write(
        folder / "scores.parquet",
        {"customer_id": pa.array(scored, pa.int64())},
        [_event(key + 100) for key in scored],
        {
            "score": pa.array([key / 7 for key in scored]),
            "rank": pa.array([None if key % 5 == 0 else key for key in scored], pa.int64()),
        },
    )
    _write(
        folder / "stock.parquet",
        {"store": pa.array(STORES)},
        [_event(number) for number in range(len(STORES))],
        {
            "items": pa.array([number - 3 for number in range(len(STORES))], pa.int64()),
            "label": pa.array([None if store == "a b" else f"l {store}" for store in STORES]),
        },
    )
    pairs = [(key, STORES[key % len(STORES)]) for key in customers]
    _write(
        folder / "visits.parquet",
        {
            "customer_id": pa.array([key for key, _ in pairs], pa.int64()),
            "store": pa.array([store for _, store in pairs]),
        },
        events,
        {
            "visits": pa.array([key * 2 for key, _ in pairs], pa.int64()),
            "spent": pa.array([key * 0.1 for key, _ in pairs]),
        },
    )


def definitions(folder: Path) -> list[Any]:
    """Declare everything over the files that `write_sources` made."""
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    store = Entity(name="shop", join_keys=["store"], value_type=ValueType.STRING)
    both = {"customer_id": Int64, "store": String}
    key = {"customer_id": Int64}
    profile = _view(folder, "profile", [customer], {**key, **SCALARS}, ttl=TTL)
    lists = _view(folder, "lists", [customer], {**key, **LISTS}, ttl=timedelta(0))
    scores = _view(
        folder, "scores", [customer], {**key, **SCORES}, ttl=timedelta(0), is_pushed=True
    )
    stock = _view(folder, "stock", [store], {"store": String, **STOCK}, ttl=TTL)
    visits = _view(folder, "visits", [customer, store], {**both, **VISITS}, ttl=TTL)
    ratio, spend = _on_demand_views(profile, scores)
    services = [
        FeatureService(name="all_types", features=[profile, lists]),
        FeatureService(name="mixed", features=[scores, stock[["label"]], visits]),
        FeatureService(name="checkout", features=[profile[["n_float64"]], spend]),
        FeatureService(
            name="transfers",
            features=[
                stock.with_name("origin").with_join_key_map({"store": "origin_store"}),
                stock.with_name("target").with_join_key_map({"store": "target_store"}),
            ],
        ),
    ]
    return [customer, store, profile, lists, scores, stock, visits, ratio, spend, *services]


def _view(
    folder: Path,
    name: str,
    entities: list[Entity],
    schema: Mapping[str, PrimitiveFeastType | ComplexFeastType],
    *,
    ttl: timedelta,
    is_pushed: bool = False,
) -> FeatureView:
    rows = FileSource(
        name=f"{name}_source",
        path=str(folder / f"{name}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    source = PushSource(name=f"{name}_push", batch_source=rows) if is_pushed else rows
    fields = [Field(name=column, dtype=dtype) for column, dtype in schema.items()]
    return FeatureView(name=name, entities=entities, schema=fields, ttl=ttl, source=source)


def _on_demand_views(profile: FeatureView, scores: FeatureView) -> tuple[Any, Any]:
    basket = RequestSource(
        name="basket", schema=[Field(name="amount", dtype=Float64), Field(name="n", dtype=Int64)]
    )

    def spend(inputs: dict[str, Any]) -> dict[str, Any]:
        usual, amounts = inputs["n_float64"], inputs["amount"]
        return {
            "ratio_to_usual": [
                None if one is None else amount / (one + 1000.5)
                for one, amount in zip(usual, amounts, strict=True)
            ],
            "not_a_number": [float("nan")] * len(amounts),
        }

    def ratio(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"double_score": frame["score"] * 2.0})

    spend_view = on_demand_feature_view(
        sources=[profile[["n_float64"]], basket],
        schema=[
            Field(name="ratio_to_usual", dtype=Float64),
            Field(name="not_a_number", dtype=Float64),
        ],
        mode="python",
    )(spend)
    ratio_view = on_demand_feature_view(
        sources=[scores[["score"]]],
        schema=[Field(name="double_score", dtype=Float64)],
        mode="pandas",
    )(ratio)
    return ratio_view, spend_view


def _write(
    path: Path, keys: Mapping[str, pa.Array], events: list[datetime], features: Mapping[str, Any]
) -> None:
    stamps = pa.array(events, pa.timestamp("us", "UTC"))
    columns = {**keys, "event_timestamp": stamps, "created": stamps, **features}
    pq.write_table(pa.table(columns), path)


def _event(number: int) -> datetime:
    # Whole seconds, milliseconds and microseconds: each is written with other digits.
    fraction_us = (0, 250_000, 123_456)[number % 3]
    return START + timedelta(days=30 * (number % 60), seconds=number, microseconds=fraction_us)


def _profile(keys: list[int]) -> dict[str, pa.Array]:
    def column(dtype: pa.DataType, values: list[Any]) -> pa.Array:
        # Every seventh customer has no value anywhere; others miss some.
        return pa.array(
            [None if key % 7 == 0 else value for key, value in zip(keys, values, strict=True)],
            dtype,
        )

    return {
        "n_int32": column(pa.int32(), [key - 20 for key in keys]),
        "n_int64": column(pa.int64(), [key * 10**12 for key in keys]),
        "n_float32": column(pa.float32(), [key / 3 for key in keys]),
        "n_float64": column(pa.float64(), [-(10.0 ** (key - 20)) for key in keys]),
        "is_active": column(pa.bool_(), [key % 2 == 0 for key in keys]),
        "city": column(pa.string(), ["Zürich \U0001f409\n" if key % 4 else "" for key in keys]),
        "digest": column(pa.binary(), [bytes([key, 0, 255]) for key in keys]),
        "joined": column(
            pa.timestamp("us", "UTC"), [START + timedelta(seconds=key) for key in keys]
        ),
    }


def _lists(keys: list[int]) -> dict[str, pa.Array]:
    return {
        "counts": pa.array([list(range(key % 4 + 1)) for key in keys], pa.list_(pa.int64())),
        "weights": pa.array([[key / 2, -0.0] for key in keys], pa.list_(pa.float64())),
        "tags": pa.array([["é", ""][: key % 2 + 1] for key in keys], pa.list_(pa.string())),
    }
