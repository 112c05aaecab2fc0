"""What a run left in Redis, read without regard to ttl."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.online.connection import execute
from evenstore.online.lookup import ViewDecoder
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.request import ViewRead

__all__ = ["StoredRow", "read_stored"]

_LATE_US = 2**61


@dataclass(frozen=True)
class StoredRow:
    """One entity's stored row."""

    event_us: int
    values: Mapping[str, Any]


def read_stored(
    client: redis.Redis, view: FeatureViewSchema, project: str, keys: Iterable[tuple[Any, ...]]
) -> dict[tuple[Any, ...], StoredRow]:
    """Read the rows of some entities; those without one are left out."""
    names = tuple(key.name for key in view.join_keys)
    ageless = replace(view, ttl_us=None)
    decoder = ViewDecoder(ViewRead(ageless, view.name, names, view.features))
    encoder = EntityKeyEncoder(view.join_keys, project)
    wanted = list(keys)
    replies: list[Any] = execute(
        client, [(b"HMGET", encoder.encode(key), *decoder.fields) for key in wanted]
    )
    stored = {}
    for key, reply in zip(wanted, replies, strict=True):
        event_us, values, _ = decoder.decode(reply, _LATE_US)
        if event_us is not None:
            by_name = zip((field.name for field in view.features), values, strict=True)
            stored[key] = StoredRow(event_us, dict(by_name))
    return stored
