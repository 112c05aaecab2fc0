"""The stored rows of a view, found by walking its keys: what they are, not what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from evenstore.codec.feast_row import FeastRowLayout, decode_deletion, decode_order
from evenstore.codec.packed_row import read_row, split_slots, view_id
from evenstore.errors import CodecError
from evenstore.online.connection import execute
from evenstore.online.key_scan import fetch_values, scan_view_keys
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.semantics import Origin, RowOrder

__all__ = ["StoredBatch", "StoredRow", "read_rows", "scan_rows"]


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row, or what is left of a deleted entity.

    Attributes:
        key: Its Redis key.
        content: What tells it from a later one: the packed row, or the `_order:` field, which is
            empty for a row that stock Feast wrote.
        order: Its place in the total order.
        origin: Who wrote it.
        is_tombstone: Whether it says that the entity was deleted.
        fingerprint: Of its schema; empty in the `feast` layout and for a tombstone.
    """

    key: bytes
    content: bytes
    order: RowOrder
    origin: Origin
    is_tombstone: bool
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """The rows of some keys.

    Attributes:
        n_keys: How many keys.
        rows: Those that have a row of the view.
        n_unreadable: Keys whose bytes are no row that this version knows.
    """

    n_keys: int
    rows: Sequence[StoredRow]
    n_unreadable: int


def scan_rows(
    client: redis.Redis, project: str, view: FeatureViewSchema, layout: Layout
) -> Iterator[StoredBatch]:
    """Walk a view's stored rows in bounded memory.

    A row that is there from the beginning to the end is met at least once, some twice.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    for keys in scan_view_keys(client, project, view, layout):
        if keys:
            yield read_rows(client, view, layout, keys)


def read_rows(
    client: redis.Redis, view: FeatureViewSchema, layout: Layout, keys: Sequence[bytes]
) -> StoredBatch:
    """Read a view's rows of some keys.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    read = _read_packed if layout is Layout.PACKED else _read_feast
    return read(client, view, keys)


def _read_packed(
    client: redis.Redis, view: FeatureViewSchema, keys: Sequence[bytes]
) -> StoredBatch:
    name = view_id(view.name)
    values = fetch_values(client, keys)
    return _read_all(keys, values, lambda key, value: _packed_row(key, value, name))


def _packed_row(key: bytes, value: bytes | None, view_name: bytes) -> StoredRow | None:
    row = None if value is None else split_slots(value).get(view_name)
    if row is None:
        return None
    head = read_row(row)
    return StoredRow(key, row, head.order, head.origin, head.is_tombstone, head.fingerprint)


def _read_feast(client: redis.Redis, view: FeatureViewSchema, keys: Sequence[bytes]) -> StoredBatch:
    layout = FeastRowLayout(view)
    fields = (layout.timestamp_field, layout.order_field)
    return _read_all(keys, execute(client, [(b"HMGET", key, *fields) for key in keys]), _feast_row)


def _feast_row(key: bytes, fields: Sequence[bytes | None]) -> StoredRow | None:
    timestamp, order_field = fields
    if timestamp is not None:
        order, origin = decode_order(order_field, timestamp)
        return StoredRow(key, order_field or b"", order, origin, is_tombstone=False)
    deletion = None if order_field is None else decode_deletion(order_field)
    if deletion is None or order_field is None:
        return None
    return StoredRow(key, order_field, deletion, Origin.PUSH, is_tombstone=True)


def _read_all(
    keys: Sequence[bytes], values: Any, read: Callable[[bytes, Any], StoredRow | None]
) -> StoredBatch:
    rows, n_unreadable = [], 0
    for key, value in zip(keys, values, strict=True):
        try:
            row = read(key, value)
        except CodecError:
            n_unreadable += 1
            continue
        if row is not None:
            rows.append(row)
    return StoredBatch(len(keys), rows, n_unreadable)
