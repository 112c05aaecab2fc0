"""Removes stored rows: of a view that is gone, or of a whole project, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from evenstore.codec.entity_key import split_project
from evenstore.codec.feast_row import FeastRowLayout
from evenstore.online.connection import DRIVER_ERRORS, execute, translate_redis_error
from evenstore.schema.model import FeatureViewSchema

__all__ = ["delete_project", "delete_view"]

_KEYS_PER_SCAN = 1000
_GLOB_SPECIAL = b"\\*?["


def delete_view(client: redis.Redis, project: str, view: FeatureViewSchema) -> None:
    """Remove one view's fields from every entity of a project; a hash left empty disappears.

    Raises:
        OnlineStoreUnavailableError: Redis cannot be reached.
    """
    layout = FeastRowLayout(view)
    fields = (layout.timestamp_field, layout.order_field, *layout.feature_fields.values())
    for keys in _scan(client, project):
        execute(client, [(b"HDEL", key, *fields) for key in keys])


def delete_project(client: redis.Redis, project: str) -> int:
    """Remove every entity of a project and return how many there were.

    Raises:
        OnlineStoreUnavailableError: Redis cannot be reached.
    """
    n_deleted = 0
    for keys in _scan(client, project):
        execute(client, [(b"UNLINK", *keys)])
        n_deleted += len(keys)
    return n_deleted


def _scan(client: redis.Redis, project: str) -> Iterator[list[bytes]]:
    """Walk a project's entity keys in bounded memory.

    Other projects' and foreign keys are left out.
    """
    suffix = project.encode("utf-8")
    pattern = b"*" + b"".join(
        b"\\" + bytes([byte]) if byte in _GLOB_SPECIAL else bytes([byte]) for byte in suffix
    )
    cursor = 0
    while True:
        try:
            reply: Any = client.scan(cursor, match=pattern, count=_KEYS_PER_SCAN, _type="HASH")
        except DRIVER_ERRORS as exc:
            raise translate_redis_error(exc) from exc
        cursor, found = reply
        keys = [key for key in found if split_project(key) == suffix]
        if keys:
            yield keys
        if cursor == 0:
            return
