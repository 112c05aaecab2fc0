"""The generated repo: its configuration and its definitions, before an edit and after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import feast
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Bytes, Float32, Float64, Int64, String, UnixTimestamp

from evenstore.schema.model import Layout
from parity.selftest.rows import TTL

__all__ = ["LAYOUT", "PROJECT", "SERVICE", "define", "write_configuration"]

PROJECT = "selftest"
SERVICE = "checkout_v1"
LAYOUT = Layout.PACKED

# Feast's own constructors say little of their types.
_feast: Any = feast
_on_demand: Any = on_demand_feature_view

_STATS = {
    "customer_id": Int64,
    "orders": Int64,
    "spend": Float64,
    "refund": Float64,
    "share": Float32,
    "active": Bool,
    "since": UnixTimestamp,
    "name": String,
    "token": Bytes,
    "recent": Array(String),
    "vector": Array(Float64),
}


def write_configuration(folder: Path, redis_url: str) -> None:
    """Write `feature_store.yaml`."""
    config = {
        "project": PROJECT,
        "provider": "local",
        "registry": "registry.db",
        # A hundred rows are no work to share.
        "offline_store": {"type": "evenstore.offline.store.DuckDBOfflineStore", "threads": 1},
        "online_store": {
            "type": "evenstore.online.store.RedisOnlineStore",
            "connection_string": redis_url,
            "layout": LAYOUT.value,
        },
        "batch_engine": {"type": "evenstore.compute.engine.DuckDBComputeEngine"},
        "entity_key_serialization_version": 3,
    }
    # JSON is YAML.
    text = json.dumps(config, indent=1)
    (folder / "feature_store.yaml").write_text(text, encoding="utf-8")


def define(data: Path, *, is_edited: bool) -> list[Any]:
    """Return everything that is to be applied.

    Args:
        data: The folder of the sources.
        is_edited: After the edit `offers` has another source, and with it a second version, and
            `above_usual` is another function.
    """
    customer = _feast.Entity(
        name="customer", join_keys=["customer_id"], value_type=_feast.ValueType.INT64
    )
    product = _feast.Entity(
        name="product", join_keys=["product"], value_type=_feast.ValueType.STRING
    )
    stats = _view("stats", customer, _STATS, _source(data / "stats", created="created"), ttl=TTL)
    products = _view(
        "products", product, {"product": String, "sold": Int64}, _source(data / "products")
    )
    offers = _view(
        "offers",
        customer,
        # A feature more makes another version; another source alone would not.
        {"customer_id": Int64, "price": Float64} | ({"rebate": Float64} if is_edited else {}),
        _source(data / ("offers" if is_edited else "first_offers")),
    )
    till = _feast.RequestSource(name="till", schema=[_feast.Field(name="amount", dtype=Float64)])
    above_usual = _on_demand(
        sources=[stats[["spend"]], till],
        schema=[_feast.Field(name="above", dtype=Float64)],
        mode="python",
    )(_edited() if is_edited else _unedited())
    service = _feast.FeatureService(name=SERVICE, features=[stats, above_usual])
    return [customer, product, stats, products, offers, above_usual, service]


def _source(path: Path, created: str = "") -> Any:
    return _feast.FileSource(
        name=f"{path.name}_source",
        path=str(path),
        timestamp_field="event_timestamp",
        created_timestamp_column=created,
    )


def _view(
    name: str,
    entity: Any,
    schema: dict[str, Any],
    source: Any,
    *,
    ttl: timedelta = timedelta(0),
) -> Any:
    return _feast.FeatureView(
        name=name,
        entities=[entity],
        schema=[_feast.Field(name=column, dtype=dtype) for column, dtype in schema.items()],
        source=source,
        ttl=ttl,
    )


def _unedited() -> Callable[..., Any]:
    def above_usual(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(inputs["amount"], inputs["spend"], strict=True)
        return {"above": [None if usual is None else amount - usual for amount, usual in pairs]}

    return above_usual


def _edited() -> Callable[..., Any]:
    def above_usual(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(inputs["amount"], inputs["spend"], strict=True)
        return {"above": [None if usual is None else usual - amount for amount, usual in pairs]}

    return above_usual
