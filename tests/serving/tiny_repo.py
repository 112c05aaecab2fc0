"""A small Feast repo with every type, and rows for it written as stock Feast writes them."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import redis
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RequestSource,
)
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    PrimitiveFeastType,
    String,
    UnixTimestamp,
)
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp

PROJECT = "tiny"
TTL = timedelta(days=1)
SCALARS: dict[str, PrimitiveFeastType] = {
    "f_int32": Int32,
    "f_int64": Int64,
    "f_float32": Float32,
    "f_float64": Float64,
    "f_bool": Bool,
    "f_string": String,
    "f_bytes": Bytes,
    "f_time": UnixTimestamp,
}


def write_repo(folder: Path, redis_port: int) -> Path:
    """Write feature_store.yaml and apply the definitions; returns the repo's folder."""
    folder.mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(
        f"""project: {PROJECT}
provider: local
registry: registry.db
offline_store: {{type: file}}
online_store: {{type: redis, connection_string: "127.0.0.1:{redis_port}"}}
entity_key_serialization_version: 3
"""
    )
    _apply(folder, _definitions(folder))
    return folder


def add_service(folder: Path, name: str, features: list[str]) -> None:
    """Apply one more feature service over `numbers`."""
    numbers = next(d for d in _definitions(folder) if d.name == "numbers")
    _apply(folder, [FeatureService(name=name, features=[numbers[features]])])


def write_row(
    client: redis.Redis,
    view: str,
    keys: dict[str, Value],
    values: dict[str, Value],
    event: datetime,
) -> None:
    """Store one row in Feast's layout, with Feast's own messages."""
    entity_key = EntityKey(join_keys=list(keys), entity_values=list(keys.values()))
    timestamp = Timestamp()
    timestamp.FromDatetime(event)
    key = serialize_entity_key(entity_key, entity_key_serialization_version=3) + PROJECT.encode()
    stored: list[bytes] = [f"_ts:{view}".encode(), timestamp.SerializeToString()]
    for name, value in values.items():
        stored += [_mmh3(f"{view}:{name}"), value.SerializeToString()]
    client.execute_command("HSET", key, *stored)


def customer(customer_id: int) -> dict[str, Value]:
    return {"customer_id": Value(int64_val=customer_id)}


def _apply(folder: Path, definitions: list[Any]) -> None:
    with warnings.catch_warnings():
        # Feast says so of every on-demand view; it is no news to these tests.
        warnings.filterwarnings("ignore", "On demand feature view is an experimental feature")
        FeatureStore(repo_path=str(folder)).apply(definitions)


def _definitions(folder: Path) -> list[Any]:
    source = FileSource(path=str(folder / "rows.parquet"), timestamp_field="event_timestamp")
    customers = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    documents = Entity(name="document", join_keys=["document_id"], value_type=ValueType.BYTES)
    numbers = FeatureView(
        name="numbers",
        entities=[customers],
        ttl=TTL,
        schema=[
            Field(name="customer_id", dtype=Int64),
            *(Field(name=name, dtype=dtype) for name, dtype in SCALARS.items()),
            Field(name="f_floats", dtype=Array(Float64)),
            Field(name="f_blobs", dtype=Array(Bytes)),
        ],
        source=source,
    )
    profile = FeatureView(
        name="profile",
        entities=[customers],
        ttl=timedelta(0),
        schema=[Field(name="customer_id", dtype=Int64), Field(name="f_string", dtype=String)],
        source=source,
    )
    scans = FeatureView(
        name="scans",
        entities=[documents],
        ttl=timedelta(0),
        schema=[Field(name="document_id", dtype=Bytes), Field(name="pages", dtype=Int32)],
        source=source,
    )
    basket = RequestSource(name="basket", schema=[Field(name="amount", dtype=Float64)])

    def spend(inputs: dict[str, Any]) -> dict[str, Any]:
        return {
            "ratio": [
                None if usual is None else amount / usual
                for amount, usual in zip(inputs["amount"], inputs["f_float64"], strict=True)
            ]
        }

    spend_view = on_demand_feature_view(
        sources=[numbers[["f_float64"]], basket],
        schema=[Field(name="ratio", dtype=Float64)],
        mode="python",
    )(spend)
    services = [
        FeatureService(name="all_types", features=[numbers]),
        FeatureService(name="checkout", features=[numbers[["f_float64"]], spend_view]),
    ]
    return [customers, documents, numbers, profile, scans, spend_view, *services]
