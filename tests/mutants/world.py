"""The shop as an applied Feast repo with a frozen golden set: built once, by code without a mutant.

A feature of each kind of type, join keys of three types and two composite ones, an on-demand view.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureService, FeatureView, Field, RequestSource
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

from evenstore.clock import SystemClock
from parity.golden_set.build import build_golden_set
from parity.golden_set.golden_file import write_golden_file
from parity.golden_set.settings import BuildSettings
from tests.mutants.rows import INSTANTS, VIEWS, to_us
from tests.support.feast_repo import FeastRepo

__all__ = ["PROJECT", "SERVICE", "write_world"]

PROJECT = "mutants"
SERVICE = "till_v1"

_INSTANT = pa.timestamp("us", tz="UTC")
_N_FILES = 3
# Not in the order of their names, which is another one in many places.
_ACTIVITY: dict[str, tuple[Any, pa.DataType]] = {
    "customer_id": (Int64, pa.int64()),
    "visits": (Int32, pa.int32()),
    "spend": (Float64, pa.float64()),
    "refund": (Float64, pa.float64()),
    "orders": (Int64, pa.int64()),
    "share": (Float32, pa.float32()),
    "is_member": (Bool, pa.bool_()),
    "first_order": (UnixTimestamp, _INSTANT),
    "token": (Bytes, pa.binary()),
    "name": (String, pa.string()),
    "weights": (Array(Float64), pa.list_(pa.float64())),
    "recent": (Array(String), pa.list_(pa.string())),
    "counts": (Array(Int64), pa.list_(pa.int64())),
    "flags": (Array(Bool), pa.list_(pa.bool_())),
}
_COLUMNS: dict[str, dict[str, tuple[Any, pa.DataType]]] = {
    "activity": _ACTIVITY,
    "demand": {"product": (String, pa.string()), "sold": (Int64, pa.int64())},
    "pairs": {
        "product": (String, pa.string()),
        "customer_id": (Int64, pa.int64()),
        "bought": (Int64, pa.int64()),
    },
    "transfers": {
        "from_store": (Int64, pa.int64()),
        "to_store": (Int64, pa.int64()),
        "boxes": (Int64, pa.int64()),
    },
    "aisles": {"aisle": (Int32, pa.int32()), "level": (Int64, pa.int64())},
}
# Without a time zone and finer than needed, as many tools write them.
_EVENT_TYPES = {"demand": pa.timestamp("ns")}


def write_world(folder: Path, redis_url: str, *, n_entity_rows: int = 100) -> tuple[Path, Path]:
    """Write sources and definitions, apply them, and freeze a golden set.

    Args:
        folder: An empty folder.
        redis_url: The online store; nothing is loaded.
        n_entity_rows: Of the golden set, at each main instant.

    Returns:
        The repo and the golden set's file.
    """
    repo = FeastRepo(folder / "repo", redis_url=redis_url, project=PROJECT)
    for name in VIEWS:
        _write_rows(repo, name)
    repo.apply(*_definitions(repo))
    settings = BuildSettings(
        repo=repo.path,
        feature_service=SERVICE,
        out=folder / f"{SERVICE}.jsonl",
        n_entity_rows=n_entity_rows,
        as_of_us=tuple(map(to_us, INSTANTS)),
        is_frozen=True,
    )
    write_golden_file(build_golden_set(settings, SystemClock()), settings.out)
    return repo.path, settings.out


def _write_rows(repo: FeastRepo, name: str) -> None:
    """Write a view's rows to some files; neighbours are in different ones."""
    view = VIEWS[name]
    types = {column: kept for column, (_, kept) in _COLUMNS[name].items()}
    types["event_timestamp"] = _EVENT_TYPES.get(name, _INSTANT)
    if view.has_created:
        types["created"] = _INSTANT
    for i in range(_N_FILES):
        rows = view.rows[i::_N_FILES]
        columns = {
            column: pa.array([_plain(row[column], kept) for row in rows], kept)
            for column, kept in types.items()
        }
        repo.write_rows(name, pa.table(columns), file=f"rows-{i}.parquet")


def _plain(value: Any, kept: pa.DataType) -> Any:
    is_naive = pa.types.is_timestamp(kept) and kept.tz is None
    return value.replace(tzinfo=None) if is_naive else value


def _definitions(repo: FeastRepo) -> list[Any]:
    entities = {
        name: Entity(name=name, join_keys=[name], value_type=value_type)
        for name, value_type in (
            ("customer_id", ValueType.INT64),
            ("product", ValueType.STRING),
            ("from_store", ValueType.INT64),
            ("to_store", ValueType.INT64),
            ("aisle", ValueType.INT32),
        )
    }
    views = {name: _view(repo, name, entities) for name in VIEWS}
    till = RequestSource(name="till", schema=[Field(name="amount", dtype=Float64)])

    def compare_basket(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = [*zip(inputs["amount"], inputs["spend"], strict=True)]
        return {
            "above_usual": [None if usual is None else amount - usual for amount, usual in pairs],
            # Null by itself, too, where its input is none.
            "is_dearer": [
                None if usual is None or usual > 1 else amount > usual for amount, usual in pairs
            ],
        }

    basket = on_demand_feature_view(
        sources=[views["activity"][["spend"]], till],
        schema=[Field(name="above_usual", dtype=Float64), Field(name="is_dearer", dtype=Bool)],
        mode="python",
    )(compare_basket)
    service = FeatureService(name=SERVICE, features=[*views.values(), basket])
    return [*entities.values(), *views.values(), basket, service]


def _view(repo: FeastRepo, name: str, entities: dict[str, Entity]) -> FeatureView:
    view = VIEWS[name]
    return repo.view(
        name,
        [entities[key] for key in view.keys],
        {column: dtype for column, (dtype, _) in _COLUMNS[name].items()},
        ttl=view.ttl or timedelta(0),
        source=repo.source(name, created="created" if view.has_created else None),
    )
