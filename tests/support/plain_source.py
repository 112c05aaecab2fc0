"""A folder of feature rows as a source, without Feast: quick to open in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from evenstore.dtypes import Dtype
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.footer import identify_files
from evenstore.schema.model import FeatureViewSchema, Field

__all__ = ["PLAIN_VIEW", "open_plain_source", "plain_rows"]

PLAIN_VIEW = FeatureViewSchema(
    "stats", (Field("driver_id", Dtype.INT64),), (Field("trips", Dtype.INT64),), None
)


def open_plain_source(folder: Path) -> SourceFiles:
    """Open the published files of a folder."""
    paths = tuple(
        str(path) for path in sorted(folder.glob("*.parquet")) if not path.name.startswith(".")
    )
    return SourceFiles(
        paths=paths,
        event=TimestampColumn("event_timestamp"),
        created=TimestampColumn("created"),
        columns=(("driver_id", "driver_id"), ("trips", "trips")),
        name="stats",
        identities=identify_files(paths, where="stats"),
    )


def plain_rows(first: int, n_rows: int) -> pa.Table:
    """Make rows of 50 drivers in no order of time; `trips` tells them apart."""
    numbers = np.arange(first, first + n_rows)
    instants = pa.array(numbers * 7919 % 10_007 * 1_000_000).cast(pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "driver_id": numbers * 31 % 50,
            "trips": numbers,
            "event_timestamp": instants,
            "created": instants,
        }
    )
