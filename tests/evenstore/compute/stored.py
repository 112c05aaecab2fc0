"""What a run left in Redis, read without regard to ttl."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis

from evenstore.online.connection import execute
from evenstore.online.key_group import open_key_group
from evenstore.online.sdk_read import decode_group, rows_of
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.schema.request import ViewRead

__all__ = ["StoredRow", "read_stored"]

_LATE_US = 2**61


@dataclass(frozen=True)
class StoredRow:
    """One entity's stored row."""

    event_us: int
    values: Mapping[str, Any]


def read_stored(
    client: redis.Redis,
    view: FeatureViewSchema,
    project: str,
    keys: Iterable[tuple[Any, ...]],
    layout: Layout = Layout.PACKED,
) -> dict[tuple[Any, ...], StoredRow]:
    """Read the rows of some entities; those without one are left out."""
    names = tuple(key.name for key in view.join_keys)
    ageless = replace(view, ttl_us=None)
    read = ViewRead(ageless, view.name, names, view.features)
    group = open_key_group(layout, project, [read], max_skew_us=_LATE_US)
    wanted = list(keys)
    commands = group.commands([group.encoder.encode(key) for key in wanted])
    (view_columns,) = decode_group(
        group, execute(client, commands), 0, functools.partial(execute, client)
    )
    stored = {}
    for key, (event_us, values, _) in zip(wanted, rows_of(view_columns), strict=True):
        if event_us is not None:
            by_name = zip((field.name for field in view.features), values, strict=True)
            stored[key] = StoredRow(event_us, dict(by_name))
    return stored
