"""Reads whole rows of some entities from Redis, in either layout: order, origin, schema, values.

Only reading commands, a bounded number of keys in each round trip.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from evenstore.client.values import PlainValue, freeze_json
from evenstore.clock import datetime_to_us
from evenstore.codec.feast_fields import value_tag
from evenstore.codec.feast_row import FeastRowLayout, decode_deletion, decode_order
from evenstore.codec.feast_value import value_decoder
from evenstore.codec.json_value import to_json_value
from evenstore.codec.packed_reader import PackedReader
from evenstore.codec.packed_row import PackedRow, RowSchema, read_row, split_slots, view_id
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError
from evenstore.online.connection import execute
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.semantics import Origin, RowOrder, floor_to_s
from parity.causes.finding import StoredOrder
from parity.causes.rows import StoredRow

__all__ = ["StoredEntity", "read_stored_entities", "to_plain"]


@dataclass(frozen=True, slots=True)
class StoredEntity:
    """What Redis holds of an entity in one view.

    Attributes:
        row: None where there is none, or none that can be read.
        problem: Why what is there cannot be read.
        key_exists: Whether the entity's key is there, with or without a row of the view.
    """

    row: StoredRow | None
    problem: str | None = None
    key_exists: bool = True


def read_stored_entities(
    client: redis.Redis,
    project: str,
    view: FeatureViewSchema,
    layout: Layout,
    keys: Sequence[bytes],
) -> list[StoredEntity]:
    """Read the rows of some Redis keys in one round trip, two where rows have older schemas.

    Args:
        client: Redis.
        project: The Feast project, whose row schemas are asked for.
        view: The view, under the name of its rows.
        layout: How rows lie in Redis.
        keys: Redis keys of entities.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    if not keys:
        return []
    if layout is Layout.PACKED:
        return _PackedRows(client, project, view).read(keys)
    return _FeastRows(client, view).read(keys)


def to_plain(value: Any, dtype: Dtype) -> PlainValue | None:
    """Make a plain value (`evenstore.client.values`) of what a codec decoded."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return floor_to_s(datetime_to_us(value))
    if dtype.is_plain and dtype.is_list:
        return tuple(to_plain(item, dtype.element) for item in value)
    if dtype.is_plain or isinstance(value, bytes):
        plain: PlainValue = value
        return plain
    return freeze_json(to_json_value(value))


class _PackedRows:
    """Reads strings of the packed layout."""

    def __init__(self, client: redis.Redis, project: str, view: FeatureViewSchema) -> None:
        self._client = client
        self._project = project
        self._view = view
        current = RowSchema.of(view.features)
        self._schemas: dict[bytes, RowSchema] = {current.fingerprint: current}
        self._reader = functools.lru_cache(maxsize=None)(PackedReader)

    def read(self, keys: Sequence[bytes]) -> list[StoredEntity]:
        (values,) = execute(self._client, [(b"MGET", *keys)])
        return [self._entity(value) for value in (values if isinstance(values, list) else [])]

    def _entity(self, value: bytes | None) -> StoredEntity:
        if value is None:
            return StoredEntity(None, key_exists=False)
        try:
            row = split_slots(value).get(view_id(self._view.name))
            return StoredEntity(None if row is None else self._row(row))
        except CodecError as exc:
            return StoredEntity(None, problem=exc.message)

    def _row(self, row: bytes) -> StoredRow:
        head = read_row(row)
        if head.is_tombstone:
            return _stored_row(head.order, head.origin, is_tombstone=True)
        schema = self._schema(head)
        values = self._reader(schema).read(row, head.payload_start, head.flags)
        declared = {field.name: field.dtype for field in self._view.features}
        kept: dict[str, PlainValue | None] = {}
        retyped: dict[str, str] = {}
        for field, value in zip(schema.features, values, strict=True):
            if declared.get(field.name, field.dtype) is field.dtype:
                kept[field.name] = to_plain(value, field.dtype)
            else:
                retyped[field.name] = field.dtype.value
        name = head.fingerprint.hex()
        return _stored_row(head.order, head.origin, values=kept, retyped=retyped, schema=name)

    def _schema(self, head: PackedRow) -> RowSchema:
        known = self._schemas.get(head.fingerprint)
        if known is not None:
            return known
        needed = RowSchemaNeeded.of(self._project, self._view.name, head.fingerprint)
        (reply,) = execute(self._client, [needed.command])
        self._schemas[head.fingerprint] = needed.read(reply)
        return self._schemas[head.fingerprint]


class _FeastRows:
    """Reads hashes of stock Feast's layout."""

    def __init__(self, client: redis.Redis, view: FeatureViewSchema) -> None:
        self._client = client
        self._view = view
        self._layout = FeastRowLayout(view)
        self._decoders = {field.name: value_decoder(field.dtype) for field in view.features}

    def read(self, keys: Sequence[bytes]) -> list[StoredEntity]:
        layout = self._layout
        names = (layout.timestamp_field, layout.order_field, *layout.feature_fields.values())
        commands: list[tuple[bytes, ...]] = []
        for key in keys:
            commands += [(b"EXISTS", key), (b"HMGET", key, *names)]
        replies: Iterator[Any] = iter(execute(self._client, commands))
        return [
            self._entity(exists, fields) for exists, fields in zip(replies, replies, strict=True)
        ]

    def _entity(self, exists: object, fields: Sequence[bytes | None]) -> StoredEntity:
        timestamp, order_field, *values = fields
        try:
            if timestamp is None:
                deletion = None if order_field is None else decode_deletion(order_field)
                row = None
                if deletion is not None:
                    row = _stored_row(deletion, Origin.PUSH, is_tombstone=True)
                return StoredEntity(row, key_exists=bool(exists))
            order, origin = decode_order(order_field, timestamp)
        except CodecError as exc:
            return StoredEntity(None, problem=exc.message)
        stored = dict(zip(self._layout.feature_fields, values, strict=True))
        return self._row(order, origin, stored)

    def _row(
        self, order: RowOrder, origin: Origin, stored: Mapping[str, bytes | None]
    ) -> StoredEntity:
        kept: dict[str, PlainValue | None] = {}
        retyped: dict[str, str] = {}
        problem = None
        for field in self._view.features:
            data = stored[field.name]
            if data is None:
                continue
            try:
                kept[field.name] = to_plain(self._decoders[field.name](data), field.dtype)
            except CodecError as exc:
                problem = problem or f"{field.name}: {exc.message}"
                other = _type_of(data, field.dtype)
                if other is not None:
                    retyped[field.name] = other
        return StoredEntity(_stored_row(order, origin, values=kept, retyped=retyped), problem)


def _type_of(data: bytes, declared: Dtype) -> str | None:
    """Name the other type that stored bytes are of; None where they are of none that we know."""
    for dtype in Dtype:
        if dtype is declared or value_tag(dtype) == value_tag(declared):
            continue
        try:
            value_decoder(dtype)(data)
        except CodecError:
            continue
        return dtype.value
    return None


def _stored_row(
    order: RowOrder,
    origin: Origin,
    *,
    values: Mapping[str, PlainValue | None] | None = None,
    retyped: Mapping[str, str] | None = None,
    schema: str | None = None,
    is_tombstone: bool = False,
) -> StoredRow:
    # A row that stock Feast wrote has no sequence, which reads as 0.
    place = StoredOrder(order.event_us, order.created_us, order.sequence_us or None)
    return StoredRow(place, values or {}, origin, is_tombstone, retyped or {}, schema)
