"""Rows of any view in Redis, written as a run writes them, without a Feast repo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import redis

from evenstore.codec.rows import RowBatch, RowInstants
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.semantics import Origin

__all__ = ["write_rows"]


def write_rows(
    client: redis.Redis,
    project: str,
    view: FeatureViewSchema,
    rows: Sequence[tuple[Sequence[Any], Mapping[str, Any], int]],
    layout: Layout = Layout.PACKED,
) -> None:
    """Write rows: each its entity key, its values by feature (absent is null) and its event time.

    The event times are microseconds.
    """
    event_us = np.array([event for _, _, event in rows], np.int64)
    instants = RowInstants(
        event_us=event_us,
        created_us=np.zeros(len(rows), np.int64),
        is_created_null=np.ones(len(rows), np.bool_),
        sequence_us=event_us,
        origin=Origin.RUN,
    )
    keys = [
        pa.array([key[i] for key, _, _ in rows], arrow_type(field.dtype))
        for i, field in enumerate(view.join_keys)
    ]
    columns = [
        pa.array([values.get(field.name) for _, values, _ in rows], arrow_type(field.dtype))
        for field in view.features
    ]
    encoder = open_encoder(view, project, layout)
    encoded = encoder.encode(RowBatch(keys, columns, frozenset(), instants))
    RowWriter(client, project, view, layout).write(encoded)
