"""A stranger's Feast repo on stock parts, in which most of what can go wrong has gone wrong."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, PrimitiveFeastType, String
from feast.value_type import ValueType

from tests.support.feast_repo import FeastRepo

__all__ = ["NOW", "SERVICE", "Week", "rows"]

NOW = datetime.fromisoformat("2026-03-08T12:00:00+00:00")
HOUR = timedelta(hours=1)
LOADED = NOW - 10 * HOUR
"""When the last run was."""
N_DRIVERS = 20
SERVICE = "dispatch_v1"

LATE, CORRECTED, DUE, EXPIRED, NAN, BIG, DELETED, NARROW = range(8)
"""Drivers by what befell them."""

_STAMP = pa.timestamp("us", "UTC")
_SCHEMA = pa.schema(
    {
        "driver_id": pa.int64(),
        "trips": pa.int64(),
        "rating": pa.float64(),
        "share": pa.float64(),
        "zone": pa.string(),
        "event_timestamp": _STAMP,
        "created": _STAMP,
    }
)


def rows(data: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(data, schema=_SCHEMA)


def _row(driver_id: int, **changes: Any) -> dict[str, Any]:
    return {
        "driver_id": driver_id,
        "trips": 100 + driver_id,
        "rating": driver_id / 4,
        "share": 0.5,
        "zone": f"zone {driver_id % 3}",
        "event_timestamp": NOW - 30 * HOUR,
        "created": NOW - 29 * HOUR,
    } | changes


class Week:
    """The repo, step by step.

    Args:
        folder: Its folder.
        share: The declared type of a feature whose source has 64 bits.
        overrides: Sections of feature_store.yaml.
    """

    def __init__(
        self, folder: Path, *, share: PrimitiveFeastType = Float32, **overrides: Any
    ) -> None:
        self.share = share
        self.repo = FeastRepo(
            folder,
            project="fleet",
            offline_store="file",
            overrides={"registry": "registry.db"} | overrides,
        )
        self.driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        self.data = [_row(driver_id) for driver_id in range(N_DRIVERS)]

    def clean(self) -> FeatureStore:
        """Apply and load what is there; nothing has gone wrong yet."""
        self._write()
        store = self.repo.apply(*self.definitions())
        store.materialize(NOW - 200 * HOUR, LOADED)
        return store

    def go_wrong(self) -> FeatureStore:
        """Load once, and let the sources go on."""
        self.data[EXPIRED] |= {"event_timestamp": NOW - 90 * HOUR, "created": NOW - 89 * HOUR}
        self.data[NAN]["rating"] = math.nan
        self.data[BIG]["trips"] = 2**53 + 1
        self.data[NARROW]["share"] = 0.1
        self.data.append(_row(N_DRIVERS + 1, trips=None))
        self.clean()
        self.data[CORRECTED] |= {"rating": 99.0, "created": NOW - 5 * HOUR}
        self.data.append(
            _row(LATE, rating=7.5, event_timestamp=NOW - 20 * HOUR, created=NOW - 2 * HOUR)
        )
        self.data.append(_row(DUE, rating=8.5, event_timestamp=NOW - HOUR, created=NOW - HOUR))
        self.data = [row for row in self.data if row["driver_id"] != DELETED]
        self._write()
        return self.repo.store()

    def add_feature(self) -> FeatureStore:
        """Declare a column that was there all along, and load everything once more."""
        store = self.repo.apply(*self.definitions(zone=String))
        store.materialize(NOW - 200 * HOUR, LOADED)
        return store

    def definitions(self, **more: PrimitiveFeastType) -> list[Any]:
        fields = {"driver_id": Int64, "trips": Int64, "rating": Float64, "share": self.share} | more
        stats = self._view("stats", fields)
        request = RequestSource(name="order", schema=[Field(name="distance", dtype=Float64)])

        def rate_order(inputs: dict[str, Any]) -> dict[str, Any]:
            return {
                "rated": [
                    None if rating is None else rating + distance
                    for rating, distance in zip(inputs["rating"], inputs["distance"], strict=True)
                ]
            }

        rated = on_demand_feature_view(
            sources=[stats[["rating"]], request],
            schema=[Field(name="rated", dtype=Float64)],
            mode="python",
        )(rate_order)
        return [self.driver, stats, rated, FeatureService(name=SERVICE, features=[stats, rated])]

    def _view(self, name: str, fields: dict[str, PrimitiveFeastType]) -> FeatureView:
        return self.repo.view(
            name,
            [self.driver],
            fields,
            ttl=timedelta(days=2),
            source=self.repo.source(name, path=f"data/{name}/rows.parquet"),
        )

    def _write(self) -> None:
        self.repo.write_rows("stats", rows(self.data))
