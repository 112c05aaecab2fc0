"""What is known of a view's loading, dropped with its rows: both must live and die together.

The compute engine keeps one Redis hash per project (`evenstore.compute.watermark`): its watermarks
and the marks by which a run notices that rows were removed under it. Whoever removes rows of a view
forgets its load before, so that a kill in between costs a second loading and never a row.
"""

from __future__ import annotations

from collections.abc import Iterable

import redis

from evenstore.online.connection import execute

__all__ = ["forget_loads", "loads_key", "view_mark"]


def loads_key(project: str) -> bytes:
    """Return the Redis key of a project's watermarks and marks."""
    return b"evenstore:watermarks:" + project.encode()


def view_mark(view_name: str) -> bytes:
    """Return the field that counts how often rows of a view were removed."""
    return b":mark:" + view_name.encode()  # No feature view's name holds a colon.


def forget_loads(client: redis.Redis, project: str, view_names: Iterable[str]) -> None:
    """Forget how far views are loaded; a run of theirs that is under way records nothing.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    key = loads_key(project)
    commands: list[tuple[bytes | int, ...]] = []
    for name in view_names:
        commands += [(b"HINCRBY", key, view_mark(name), 1), (b"HDEL", key, name.encode())]
    if commands:
        execute(client, commands)
