"""The definitions that stock's store and ours read: what a user would write."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Float64, Int64, String

from benchmarks.data import Dataset
from benchmarks.rows import FEATURES, FLOAT_FEATURES

__all__ = ["definitions"]

_KEYS = {
    "driver_id": (ValueType.INT64, Int64),
    "driver_name": (ValueType.STRING, String),
    "region": (ValueType.STRING, String),
}


def definitions(dataset: Dataset) -> list[Any]:
    """Return what to apply: an entity per join key, and the views."""
    keys = dataset.key_columns
    entities = [Entity(name=key, join_keys=[key], value_type=_KEYS[key][0]) for key in keys]
    schema = [Field(name=key, dtype=_KEYS[key][1]) for key in keys]
    schema += [
        Field(name=feature, dtype=Float64 if feature in FLOAT_FEATURES else Int64)
        for feature in FEATURES
    ]
    ttl_us = dataset.case.ttl_us
    views = [
        FeatureView(
            name=view,
            entities=entities,
            schema=schema,
            ttl=None if ttl_us is None else timedelta(microseconds=ttl_us),
            source=FileSource(
                name=f"{view}_source",
                path=str(dataset.view_path(view)),
                # Stock's store takes a folder only where the format is named.
                file_format=ParquetFormat(),
                timestamp_field="event_timestamp",
                created_timestamp_column="created",
            ),
        )
        for view in dataset.case.views
    ]
    return [*entities, *views]
