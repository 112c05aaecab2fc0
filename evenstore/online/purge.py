"""Removes stored rows: of a view that is gone, or of a whole project, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import redis

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import FeastRowLayout, feature_field
from evenstore.codec.packed_row import RowSchema, read_row, split_slots, view_id
from evenstore.errors import CodecError
from evenstore.online.connection import execute
from evenstore.online.key_scan import (
    fetch_values,
    open_key_encoder,
    scan_hashes,
    scan_strings,
    scan_view_keys,
)
from evenstore.online.loads import forget_loads, loads_key
from evenstore.online.row_edits import clear_fields, clear_slots
from evenstore.online.row_schemas import list_schemas_command, read_schemas, schemas_key
from evenstore.progress import NullProgress, Progress
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = [
    "OwnEntities",
    "delete_project",
    "delete_view",
    "fetch_schemas",
    "forget_schemas",
    "row_fields",
    "schema_fingerprint",
]

Schemas = Mapping[str, Mapping[bytes, RowSchema]]


class OwnEntities:
    """Tells a project's packed entities from keys of other programs that look like them.

    An entity is known by the form of its key, where its join keys are those of a known view, or
    by its value: every row of it is of a view and a schema that was written here.

    Args:
        project: The Feast project.
        views: Views that are known.
        schemas: The project's stored schemas (`fetch_schemas`).
    """

    def __init__(self, project: str, views: Sequence[FeatureViewSchema], schemas: Schemas) -> None:
        self._encoders: list[EntityKeyEncoder] = [
            open_key_encoder(view, project, Layout.PACKED) for view in views
        ]
        self._fingerprints = {
            view_id(name): {schema_fingerprint(field) for field in by_field}
            for name, by_field in schemas.items()
        }

    def has_key(self, key: bytes) -> bool:
        """Tell whether a key is one of a known view's."""
        return any(encoder.decode(key) is not None for encoder in self._encoders)

    def has_value(self, value: bytes | None) -> bool:
        """Tell whether a value was written here."""
        if value is None:
            return False
        try:
            slots = split_slots(value)
            return bool(slots) and all(self.has_row(name, row) for name, row in slots.items())
        except CodecError:
            return False

    def has_row(self, view_name: bytes, row: bytes) -> bool:
        """Tell whether the row in a view's slot (`view_id`) was written here.

        Raises:
            CorruptRowError: The bytes are no row.
        """
        fingerprints = self._fingerprints.get(view_name)
        if fingerprints is None:
            return False
        head = read_row(row)
        return head.is_tombstone or head.fingerprint in fingerprints


def fetch_schemas(client: redis.Redis, project: str) -> dict[str, dict[bytes, RowSchema]]:
    """Read the schemas of a project's stored rows, by view and field of their hash.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    (reply,) = execute(client, [list_schemas_command(project)])
    if isinstance(reply, list):  # Redis' own form, where the client makes no mapping of it.
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    return read_schemas(reply) if isinstance(reply, dict) else {}


def schema_fingerprint(field: bytes) -> bytes:
    """Return the fingerprint of rows by the field that holds their schema."""
    return bytes.fromhex(field.rpartition(b":")[2].decode())


def forget_schemas(client: redis.Redis, project: str, fields: Sequence[bytes]) -> None:
    """Remove schemas whose rows are gone.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    if fields:
        execute(client, [(b"HDEL", schemas_key(project), *fields)])


def row_fields(view: FeatureViewSchema, schemas: Sequence[RowSchema] = ()) -> list[bytes]:
    """Name all fields of a view's row in the `feast` layout, older schemas' features too."""
    names = FeastRowLayout(view)
    older = {field.name for schema in schemas for field in schema.features}
    features = {*names.feature_fields.values(), *(feature_field(view.name, n) for n in older)}
    return [names.timestamp_field, names.order_field, *sorted(features)]


def delete_view(
    client: redis.Redis,
    project: str,
    view: FeatureViewSchema,
    *,
    progress: Progress | None = None,
) -> None:
    """Remove one view's rows in both layouts; an entity left empty disappears.

    Rows of an older schema go too; repeating a call that was killed removes the rest.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    shown = progress or NullProgress()
    forget_loads(client, project, [view.name])
    schemas = fetch_schemas(client, project).get(view.name, {})
    fields = row_fields(view, list(schemas.values()))
    for keys in scan_hashes(client, project):
        clear_fields(client, keys, fields)
        shown.advance(len(keys))
    for keys in scan_view_keys(client, project, view, Layout.PACKED):
        clear_slots(client, view.name, keys)
        shown.advance(len(keys))
    forget_schemas(client, project, list(schemas))


def delete_project(
    client: redis.Redis, project: str, views: Sequence[FeatureViewSchema] = ()
) -> int:
    """Remove every entity of a project in both layouts, and its schemas.

    Args:
        client: Redis.
        project: The Feast project.
        views: Its views. Their entities go whatever they hold; others where what they hold was
            written here.

    Returns:
        How many entities there were.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    execute(client, [(b"UNLINK", loads_key(project))])
    n_deleted = 0
    for keys in scan_hashes(client, project):
        n_deleted += _unlink(client, keys)
    own = OwnEntities(project, views, fetch_schemas(client, project))
    for keys in scan_strings(client, project):
        known = [key for key in keys if own.has_key(key)]
        asked = list(set(keys).difference(known))
        values = fetch_values(client, asked)
        known += [k for k, value in zip(asked, values, strict=True) if own.has_value(value)]
        n_deleted += _unlink(client, known)
    # Last: a call that was killed must still know what was written here.
    execute(client, [(b"UNLINK", schemas_key(project))])
    return n_deleted


def _unlink(client: redis.Redis, keys: Sequence[bytes]) -> int:
    if not keys:
        return 0
    (reply,) = execute(client, [(b"UNLINK", *keys)])
    return reply if isinstance(reply, int) else 0
