"""One small view over any source, and its rows as the joins see them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureView, Field, ValueType
from feast.data_source import DataSource
from feast.types import FeastType, Int64

from evenstore.duckdb_session import open_session
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.files import SourceFiles
from evenstore.schema.source import open_source
from evenstore.sql.relation import build_feature_rows_sql

__all__ = ["ROWS", "open_view", "read_rows", "view_of", "write"]

ROWS = pa.table(
    {
        "driver_id": pa.array([1], pa.int64()),
        "trips": pa.array([5], pa.int64()),
        "event_timestamp": pa.array([0], pa.timestamp("us", "UTC")),
    }
)


def write(path: Path, table: pa.Table = ROWS) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return str(path)


def view_of(source: DataSource, **features: FeastType) -> FeatureView:
    """Make a view `stats` of drivers, with `trips` unless other features are given."""
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    declared = features or {"trips": Int64}
    fields = [Field(name=name, dtype=dtype) for name, dtype in declared.items()]
    key = Field(name="driver_id", dtype=Int64)
    view = FeatureView(
        name="stats",
        entities=[driver],
        schema=[key, *fields],
        ttl=timedelta(days=1),
        source=source,
    )
    view.entity_columns = [key]
    view.features = fields
    return view


def open_view(
    source: DataSource, repo_path: Path | None = None, **features: FeastType
) -> SourceFiles:
    view = view_of(source, **features)
    return open_source(view, compile_feature_view(view), repo_path)


def read_rows(source: DataSource, **features: FeastType) -> list[dict[str, Any]]:
    """Read a view's normalised rows through a session, sorted by all they hold."""
    view = view_of(source, **features)
    schema = compile_feature_view(view)
    files = open_source(view, schema, None)
    with open_session(sources=[files]) as session:
        sql = build_feature_rows_sql(files, schema, with_position=True)
        rows: list[dict[str, Any]] = session.sql(sql).to_arrow_table().to_pylist()
    return sorted(rows, key=lambda row: (row["_file"], row["_file_row"]))
