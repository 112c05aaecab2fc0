"""A repo with one view over one folder: what a test damages is its file or what is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import Entity, FeatureStore
from feast.types import Int64
from feast.value_type import ValueType

from tests.support.feast_repo import FeastRepo

__all__ = ["HOUR", "NOON", "STAMP", "SmallRepo", "arrow", "drivers", "history"]

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STAMP = pa.timestamp("us", "UTC")


def history(n_rows: int = 3) -> pa.Table:
    """Make rows of two drivers; what a test damages is one column or the file."""
    return pa.table(
        {
            "driver_id": pa.array([1 + i % 2 for i in range(n_rows)], pa.int64()),
            "event_timestamp": pa.array([NOON - i * HOUR for i in range(n_rows)], STAMP),
            "created": pa.array([NOON] * n_rows, STAMP),
            "trips": pa.array(range(n_rows), pa.int64()),
        }
    )


class SmallRepo:
    """One view over one folder."""

    def __init__(self, folder: Path) -> None:
        self.repo = FeastRepo(folder)
        self.repo.write_rows("stats", history())
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        stats = self.repo.view("stats", [driver], {"driver_id": Int64, "trips": Int64})
        self.store: FeatureStore = self.repo.apply(driver, stats)

    def ask(self, entity_df: Any = None) -> pa.Table:
        """Retrieve the view's feature for some entity rows."""
        asked = drivers() if entity_df is None else entity_df
        job = self.store.get_historical_features(entity_df=asked, features=["stats:trips"])
        return job.to_arrow()


def drivers(**columns: Any) -> pd.DataFrame:
    """Make entity rows of both drivers."""
    return pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [NOON, NOON]} | columns)


def arrow(**columns: pa.Array) -> pa.Table:
    """Make an entity row of the first driver."""
    asked = {"driver_id": pa.array([1]), "event_timestamp": pa.array([NOON], STAMP)}
    return pa.table(asked | columns)
