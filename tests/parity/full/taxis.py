"""Taxis with awkward values, loaded in either layout, and ways to damage what is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import redis
from feast import Entity
from feast.types import (
    Array,
    Bool,
    Bytes,
    ComplexFeastType,
    Float32,
    Float64,
    Int64,
    Map,
    PrimitiveFeastType,
    String,
    UnixTimestamp,
)
from feast.value_type import ValueType

from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.codec.rows import RowBatch, RowInstants
from evenstore.online.key_scan import open_key_encoder
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.schema.arrow import arrow_type
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.semantics import Origin
from parity.full.result import run_full
from parity.full.settings import FullSettings
from parity.report import ParityReport
from tests.support.feast_repo import FeastRepo

__all__ = [
    "EXPIRED",
    "NAN",
    "NOW",
    "NULL",
    "N_TAXIS",
    "UNLOADED",
    "Taxis",
    "open_taxis",
    "taxi_row",
]

NOW = datetime(2025, 3, 10, tzinfo=UTC)
TTL = timedelta(days=7)
HOUR = timedelta(hours=1)
N_TAXIS = 40
FIRST = 100
NULL, NAN, EXPIRED, UNLOADED = range(FIRST, FIRST + 4)
"""Taxis with a null everywhere, with NaN, with an expired row, and one too old to be loaded."""

_SCHEMA: dict[str, PrimitiveFeastType | ComplexFeastType] = {
    "taxi_id": Int64,
    "trips": Int64,
    "score": Float64,
    "share": Float32,
    "active": Bool,
    "since": UnixTimestamp,
    "name": String,
    "token": Bytes,
    "stops": Array(String),
    "vector": Array(Float64),
    "extra": Map,
}
_ROWS = pa.schema(
    {
        "taxi_id": pa.int64(),
        "trips": pa.int64(),
        "score": pa.float64(),
        "share": pa.float32(),
        "active": pa.bool_(),
        "since": pa.timestamp("us", tz="UTC"),
        "name": pa.string(),
        "token": pa.binary(),
        "stops": pa.list_(pa.string()),
        "vector": pa.list_(pa.float64()),
        "extra": pa.map_(pa.string(), pa.string()),
        "event_timestamp": pa.timestamp("us", tz="UTC"),
        "created": pa.timestamp("us", tz="UTC"),
    }
)


@dataclass(frozen=True, slots=True)
class Taxis:
    """A loaded repo.

    Attributes:
        repo: Its definitions and files.
        redis: The online store.
        view: The view that is compared.
        layout: How its rows lie.
    """

    repo: FeastRepo
    redis: redis.Redis
    view: FeatureViewSchema
    layout: Layout

    @property
    def source(self) -> Path:
        """The folder of the view's files."""
        return self.repo.data / "stats"

    def compare(self, **changes: Any) -> ParityReport:
        """Compare both stores at NOW."""
        settings = FullSettings(repo=self.repo.path, view="stats", **changes)
        return run_full(settings, FrozenClock(datetime_to_us(NOW)))

    def commands(self) -> set[str]:
        """Return the commands that Redis was asked since `CONFIG RESETSTAT`."""
        told: Any = self.redis.info("commandstats")
        return {name.removeprefix("cmdstat_") for name in told}

    def damage(self, taxi_id: int) -> None:
        """Make a taxi's row unreadable."""
        if self.layout is Layout.PACKED:
            self.redis.execute_command("SET", self.key(taxi_id), b"\x01\x00")
        else:
            self.redis.execute_command("HSET", self.key(taxi_id), b"_ts:stats", b"\xff")

    def key(self, taxi_id: int) -> bytes:
        """Return the Redis key of a taxi."""
        return open_key_encoder(self.view, "tiny", self.layout).encode((taxi_id,))

    def store(
        self,
        taxi_id: int,
        values: Mapping[str, Any],
        event: datetime,
        *,
        sequence_us: int = 1,
        origin: Origin = Origin.RUN,
        view: FeatureViewSchema | None = None,
    ) -> None:
        """Write a row as a run or a push does: it stays only where it is the greater."""
        view = view or self.view
        row = [values.get(field.name) for field in view.features]
        columns = [
            pa.array([value], arrow_type(field.dtype))
            for field, value in zip(view.features, row, strict=True)
        ]
        instants = RowInstants(
            event_us=np.array([datetime_to_us(event)], np.int64),
            created_us=np.array([datetime_to_us(event + HOUR)], np.int64),
            is_created_null=np.zeros(1, np.bool_),
            sequence_us=np.array([sequence_us], np.int64),
            origin=origin,
        )
        batch = RowBatch([pa.array([taxi_id], pa.int64())], columns, frozenset(), instants)
        encoded = open_encoder(view, "tiny", self.layout).encode(batch)
        RowWriter(self.redis, "tiny", view, self.layout).write(encoded)

    def replace(
        self, taxi_id: int, changes: Mapping[str, Any], event: datetime | None = None
    ) -> None:
        """Put another row in the place of a taxi's, whatever their order."""
        self.redis.execute_command("DEL", self.key(taxi_id))
        row = taxi_row(taxi_id)
        self.store(taxi_id, {**row, **changes}, event or row["event_timestamp"])

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Publish another file of the source."""
        n_files = len(list(self.source.iterdir()))
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=_ROWS)
        self.repo.write_rows("stats", table, file=f"more-{n_files}.parquet")


def taxi_row(taxi_id: int) -> dict[str, Any]:
    """Return the newest row of a taxi."""
    event = NOW - HOUR - timedelta(minutes=taxi_id)
    row: dict[str, Any] = {
        "taxi_id": taxi_id,
        "trips": 2**53 + taxi_id,
        "score": taxi_id / 10,
        "share": float(np.float32(taxi_id / 7)),
        "active": taxi_id % 2 == 0,
        "since": datetime(2020, 1, 1, 0, 0, taxi_id % 60, tzinfo=UTC),
        "name": f"taxi \u00e9 {taxi_id}",
        "token": bytes([taxi_id % 256, 255]),
        "stops": [f"S{taxi_id}", ""],
        "vector": [taxi_id / 3, -0.0, math.inf],
        "extra": [("colour", f"c{taxi_id}")],
        "event_timestamp": event,
        "created": event + HOUR,
    }
    if taxi_id == NULL:
        row |= dict.fromkeys(_feature_names())
    if taxi_id == NAN:
        row |= {"score": math.nan, "share": math.nan, "vector": [math.nan], "stops": []}
    if taxi_id == EXPIRED:
        row["event_timestamp"] = NOW - TTL - timedelta(microseconds=1)
    if taxi_id == UNLOADED:
        row["event_timestamp"] = NOW - 30 * TTL
    return row


def open_taxis(folder: Path, redis_url: str, client: redis.Redis, layout: Layout) -> Taxis:
    """Write the files, apply the definitions, and load everything but one old row."""
    repo = FeastRepo(folder, redis_url=redis_url, layout=layout)
    taxi = Entity(name="taxi", join_keys=["taxi_id"], value_type=ValueType.INT64)
    stats = repo.view("stats", [taxi], _SCHEMA, ttl=TTL)
    other = repo.view("other", [taxi], {"taxi_id": Int64, "rides": Int64})
    old = [taxi_row(i) | {"trips": 0, "event_timestamp": NOW - 2 * TTL} for i in range(FIRST, 120)]
    rows = [taxi_row(taxi_id) for taxi_id in range(FIRST, FIRST + N_TAXIS)]
    repo.write_rows("stats", pa.Table.from_pylist([*old[4:], *rows], schema=_ROWS))
    # On the same join key, more entities than the view that is compared has.
    others = [{**row, "rides": 1} for row in (taxi_row(i) for i in range(90, 150))]
    kept = pa.schema([field for field in _ROWS if field.name.endswith(("_id", "stamp", "created"))])
    repo.write_rows("other", pa.Table.from_pylist(others, schema=kept.append(_RIDES)))
    store = repo.apply(taxi, stats, other)
    store.materialize(NOW - 2 * TTL, NOW)
    view = compile_feature_view(store.get_feature_view("stats"))
    return Taxis(repo, client, view, layout)


_RIDES = pa.field("rides", pa.int64())


def _feature_names() -> list[str]:
    return [name for name in _SCHEMA if name != "taxi_id"]
