"""Walks a project's entity keys in bounded memory, and no other's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import redis

from evenstore.codec.entity_key import EntityKeyEncoder, split_project
from evenstore.codec.packed_key import PackedKeyEncoder, project_prefix
from evenstore.online.connection import DRIVER_ERRORS, execute, translate_redis_error
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = [
    "fetch_values",
    "open_key_encoder",
    "scan_hashes",
    "scan_likely_keys",
    "scan_strings",
    "scan_view_keys",
]

_KEYS_PER_SCAN = 1000
_GLOB_SPECIAL = b"\\*?["


def open_key_encoder(view: FeatureViewSchema, project: str, layout: Layout) -> EntityKeyEncoder:
    """Return what makes, and takes apart, the Redis keys of a view's entities."""
    encoder = PackedKeyEncoder if layout is Layout.PACKED else EntityKeyEncoder
    return encoder(view.join_keys, project)


def scan_hashes(client: redis.Redis, project: str) -> Iterator[list[bytes]]:
    """Walk the keys of a project's entities in the `feast` layout; a key may come twice.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    suffix = project.encode("utf-8")
    for keys in _scan(client, b"*" + _escape_glob(suffix), "HASH"):
        yield [key for key in keys if split_project(key) == suffix]


def scan_strings(client: redis.Redis, project: str) -> Iterator[list[bytes]]:
    """Walk the keys that look like a project's in the packed layout; a key may come twice.

    Another program's key may look like it too: its form or its value must say that it is ours.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    return _scan(client, _escape_glob(project_prefix(project)) + b"*", "STRING")


def scan_view_keys(
    client: redis.Redis, project: str, view: FeatureViewSchema, layout: Layout
) -> Iterator[list[bytes]]:
    """Walk the keys of the entities that a view can have rows of; a key may come twice.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    encoder = open_key_encoder(view, project, layout)
    for keys in scan_likely_keys(client, encoder, layout):
        yield [key for key in keys if encoder.decode(key) is not None]


def scan_likely_keys(
    client: redis.Redis, encoder: EntityKeyEncoder, layout: Layout
) -> Iterator[list[bytes]]:
    """Walk the keys that begin and end as an entity's of some join keys; a key may come twice.

    Another project's key may look like it: `encoder.decode` tells, at the price of a microsecond
    each.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    pattern = _escape_glob(encoder.prefix) + b"*" + _escape_glob(encoder.suffix)
    return _scan(client, pattern, "STRING" if layout is Layout.PACKED else "HASH")


def fetch_values(client: redis.Redis, keys: Sequence[bytes]) -> list[bytes | None]:
    """Read strings; None for a key that is gone or holds none.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    if not keys:
        return []
    (values,) = execute(client, [(b"MGET", *keys)])
    return values if isinstance(values, list) else []


def _scan(client: redis.Redis, pattern: bytes, kind: str) -> Iterator[list[bytes]]:
    cursor = 0
    while True:
        try:
            reply: Any = client.scan(cursor, match=pattern, count=_KEYS_PER_SCAN, _type=kind)
        except DRIVER_ERRORS as exc:
            raise translate_redis_error(exc) from exc
        cursor, keys = reply
        if keys:
            yield keys
        if cursor == 0:
            return


def _escape_glob(text: bytes) -> bytes:
    return b"".join(
        b"\\" + bytes([byte]) if byte in _GLOB_SPECIAL else bytes([byte]) for byte in text
    )
