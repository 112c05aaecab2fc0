"""Rows of views that the registry no longer has: found by the schemas that their writers left."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import redis

from evenstore.codec.packed_row import RowSchema, read_row, split_slots, view_id
from evenstore.errors import CodecError
from evenstore.online.connection import execute
from evenstore.online.key_scan import fetch_values, scan_hashes, scan_strings
from evenstore.online.loads import forget_loads
from evenstore.online.purge import OwnEntities, forget_schemas, row_fields
from evenstore.online.removal import is_version_name
from evenstore.online.row_edits import clear_fields, replace_rows
from evenstore.online.stored_rows import StoredRow
from evenstore.schema.model import FeatureViewSchema

__all__ = ["GoneView", "sweep_gone_views"]


Schemas = Mapping[str, Mapping[bytes, RowSchema]]


@dataclass(slots=True)
class GoneView:
    """A view that rows are stored of and that the registry does not have.

    Attributes:
        view: Its name.
        n_rows: Its rows and tombstones, in both layouts.
        n_removed: Those that were removed.
    """

    view: str
    n_rows: int = 0
    n_removed: int = 0


def sweep_gone_views(
    client: redis.Redis,
    project: str,
    registered: Collection[str],
    schemas: Schemas,
    *,
    is_versioned: bool,
    is_dry_run: bool,
) -> list[GoneView]:
    """Find the rows of views that are gone, and remove them.

    Args:
        client: Redis.
        project: The Feast project.
        registered: Names of all views of the registry, of whatever kind.
        schemas: The stored schemas, read before the registry was.
        is_versioned: Whether rows of a view's versions go by names of their own.
        is_dry_run: Whether nothing is removed.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    # Rows of another version belong to the view.
    is_kept = _has_version if is_versioned else _has_name
    names = [name for name in schemas if not is_kept(name, registered)]
    gone = {name: GoneView(name) for name in sorted(names)}
    if not gone:
        return []
    if not is_dry_run:
        forget_loads(client, project, gone)
    _sweep_strings(client, project, registered, schemas, gone, is_dry_run=is_dry_run)
    _sweep_hashes(client, project, schemas, gone, is_dry_run=is_dry_run)
    if not is_dry_run:
        forget_schemas(client, project, [field for name in gone for field in schemas[name]])
    return list(gone.values())


def _sweep_strings(
    client: redis.Redis,
    project: str,
    registered: Collection[str],
    schemas: Schemas,
    gone: Mapping[str, GoneView],
    *,
    is_dry_run: bool,
) -> None:
    taken = {view_id(name) for name in (*registered, *schemas) if name not in gone}
    # Two views may share an id: then its slots cannot be told apart, and stay.
    by_id = {view_id(name): name for name in gone if view_id(name) not in taken}
    own = OwnEntities(project, (), schemas)
    for keys in scan_strings(client, project):
        for name, rows in _own_rows(client, keys, by_id, own).items():
            gone[name].n_rows += len(rows)
            if not is_dry_run:
                gone[name].n_removed += replace_rows(client, name, rows, [b""] * len(rows))


def _sweep_hashes(
    client: redis.Redis,
    project: str,
    schemas: Schemas,
    gone: Mapping[str, GoneView],
    *,
    is_dry_run: bool,
) -> None:
    for keys in scan_hashes(client, project):
        for name, report in gone.items():
            fields = row_fields(_named(name), list(schemas[name].values()))
            found = _hashes_with(client, keys, fields[:2])
            report.n_rows += len(found)
            if found and not is_dry_run:
                clear_fields(client, found, fields)
                report.n_removed += len(found)


def _has_name(name: str, registered: Collection[str]) -> bool:
    return name in registered


def _has_version(name: str, registered: Collection[str]) -> bool:
    return any(is_version_name(name, view_name) for view_name in registered)


def _named(view_name: str) -> FeatureViewSchema:
    return FeatureViewSchema(view_name, (), (), ttl_us=None)


def _own_rows(
    client: redis.Redis, keys: Sequence[bytes], by_id: Mapping[bytes, str], own: OwnEntities
) -> dict[str, list[StoredRow]]:
    found: dict[str, list[StoredRow]] = {}
    for key, value in zip(keys, fetch_values(client, keys), strict=True):
        try:
            slots = {} if value is None else split_slots(value)
            for slot, row in slots.items():
                if slot in by_id and own.has_row(slot, row):
                    head = read_row(row)
                    stored = StoredRow(key, row, head.order, head.origin, head.is_tombstone)
                    found.setdefault(by_id[slot], []).append(stored)
        except CodecError:
            continue  # Another program's, or of a later version.
    return found


def _hashes_with(
    client: redis.Redis, keys: Sequence[bytes], fields: Sequence[bytes]
) -> list[bytes]:
    replies = execute(client, [(b"HMGET", key, *fields) for key in keys])
    return [
        key
        for key, reply in zip(keys, replies, strict=True)
        if isinstance(reply, list) and any(value is not None for value in reply)
    ]
