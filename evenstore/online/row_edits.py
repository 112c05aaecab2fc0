"""Takes stored rows away, or puts others in their place, where they are still the ones seen."""

from __future__ import annotations

from collections.abc import Sequence

import redis

from evenstore.codec.cells import Cells, cells_of
from evenstore.codec.feast_row import FeastRowLayout, feature_field
from evenstore.codec.packed_row import view_id
from evenstore.codec.resp import ScriptCalls
from evenstore.online.connection import execute
from evenstore.online.scripts import Script
from evenstore.online.stored_rows import StoredRow
from evenstore.schema.model import FeatureViewSchema, Field, Layout

__all__ = [
    "clear_fields",
    "clear_slots",
    "remove_field",
    "remove_rows",
    "replace_rows",
    "set_expiry",
]

# A script serves nobody else while it runs.
_ROWS_PER_SCRIPT = 200


def remove_rows(
    client: redis.Redis, view: FeatureViewSchema, layout: Layout, rows: Sequence[StoredRow]
) -> int:
    """Remove rows and tombstones of a view that were met in a walk (`scan_rows`).

    Returns:
        How many went: a row that was written meanwhile stays.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    if layout is Layout.PACKED:
        return replace_rows(client, view.name, rows, [b""] * len(rows))
    names = FeastRowLayout(view)
    fields = (names.timestamp_field, names.order_field, *names.feature_fields.values())
    contents = cells_of([row.content for row in rows])
    keys = [row.key for row in rows]
    return _run(client, "remove_feast.lua", (len(fields), *fields), keys, [contents])


def replace_rows(
    client: redis.Redis, view_name: str, rows: Sequence[StoredRow], replacements: Sequence[bytes]
) -> int:
    """Put other rows in the place of packed ones; an empty one removes.

    Returns:
        How many were replaced: a row that was written meanwhile stays.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    columns = [cells_of([row.content for row in rows]), cells_of(list(replacements))]
    keys = [row.key for row in rows]
    return _run(client, "edit_packed.lua", (view_id(view_name),), keys, columns)


def clear_slots(client: redis.Redis, view_name: str, keys: Sequence[bytes]) -> int:
    """Remove a view's packed row of some entities, whatever it is.

    Returns:
        How many there were.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached, or an entity is of a later format.
    """
    nothing = cells_of([b""] * len(keys))
    return _run(client, "edit_packed.lua", (view_id(view_name),), keys, [nothing, nothing])


def clear_fields(client: redis.Redis, keys: Sequence[bytes], fields: Sequence[bytes]) -> int:
    """Remove fields of hashes, whatever they hold.

    Returns:
        How many fields there were.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    if not fields:
        return 0
    replies = execute(client, [(b"HDEL", key, *fields) for key in keys])
    return sum(reply for reply in replies if isinstance(reply, int))


def remove_field(
    client: redis.Redis,
    view_name: str,
    feature: Field,
    keys: Sequence[bytes],
    values: Sequence[bytes],
) -> int:
    """Remove a feature of hashes where it still has the value seen.

    Returns:
        How many went.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    field = feature_field(view_name, feature.name)
    return _run(client, "remove_field.lua", (field,), keys, [cells_of(list(values))])


def set_expiry(
    client: redis.Redis, keys: Sequence[bytes], values: Sequence[bytes], at_ms: Sequence[int]
) -> int:
    """Let entities of the packed layout go at an instant where they have no expiry yet.

    Args:
        client: Redis.
        keys: Their keys.
        values: What was seen of them: one that was written meanwhile stays as it is.
        at_ms: The instants, in milliseconds.

    Returns:
        How many were set.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    columns = [cells_of(list(values)), cells_of([str(instant).encode() for instant in at_ms])]
    return _run(client, "expire_packed.lua", (), keys, columns)


def _run(
    client: redis.Redis,
    script_name: str,
    head: Sequence[bytes | int],
    keys: Sequence[bytes],
    columns: Sequence[Cells],
) -> int:
    if not keys:
        return 0
    script = Script(script_name)
    calls = ScriptCalls(script.sha, head, rows_per_call=_ROWS_PER_SCRIPT)
    outcomes = script.run(client, list(calls.encode(cells_of(list(keys)), columns)))
    return sum(outcome.count(b"1") for outcome in outcomes)
