"""Online reads for Feast's SDK: what is asked of a store, prepared once, as Feast's response."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feast import FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.utils import _get_entity_key_protos, _get_unique_entities

from evenstore.codec.entity_key import check_key_value
from evenstore.codec.feast_row import encode_timestamp
from evenstore.codec.feast_value import ValueEncoder, value_encoder
from evenstore.codec.wire import encode_varint, to_unsigned
from evenstore.dtypes import Dtype
from evenstore.errors import UnknownFeatureError
from evenstore.online.column_lookup import plain_column
from evenstore.online.connection import Command
from evenstore.online.key_group import KeyGroup, open_key_group
from evenstore.online.push import read_key_values
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.online.view_columns import ViewColumns
from evenstore.online.view_decoder import RowAnswer
from evenstore.schema.model import FeatureViewSchema, Field, Layout
from evenstore.schema.request import ViewRead
from evenstore.semantics import Status

__all__ = ["AskedView", "SdkRead", "decode_group", "open_view_read", "rows_of"]

# Fields of FeatureVector (values, statuses, event timestamps) and of the response (results), each
# of them length delimited.
_VALUE = b"\x0a"
_STATUSES = b"\x12"
_TIMESTAMP = b"\x1a"
_RESULT = b"\x12"
_NULL = b"\x0a\x00"
_F64 = struct.Struct("<d")
_INTEGERS = frozenset({Dtype.INT32, Dtype.INT64})

Execute = Callable[[Sequence[Command]], list[Any]]


@dataclass(frozen=True, slots=True)
class AskedView:
    """One view of a request: as Feast has it, as it is stored, and the features asked for."""

    table: FeatureView
    view: FeatureViewSchema
    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The request's column of each join key."""
        renamed = self.table.projection.join_key_map or {}
        return tuple(renamed.get(key.name, key.name) for key in self.view.join_keys)


class SdkRead:
    """The reading of some views; build once per list of views, use from any thread.

    Args:
        layout: How rows lie in Redis.
        project: The Feast project.
        asked: The views, in the response's order.
    """

    def __init__(self, layout: Layout, project: str, asked: Sequence[AskedView]) -> None:
        self._asked = tuple(asked)
        shared: dict[tuple[object, ...], list[int]] = {}
        for position, each in enumerate(asked):
            shared.setdefault((each.columns, each.view.join_keys), []).append(position)
        self._groups = [
            (
                open_key_group(
                    layout, project, [open_view_read(asked[i].view, asked[i].names) for i in places]
                ),
                places,
            )
            for places in shared.values()
        ]
        self._encoders = [
            [_piece_encoder(field.dtype) for field in _fields(each.view, each.names)]
            for each in asked
        ]

    def read(
        self,
        key_values: Mapping[str, Sequence[ValueProto]],
        name_to_join_key: dict[str, str],
        execute: Execute,
        as_of_us: int,
    ) -> list[bytes]:
        """Read the views and return one serialised part of a response per view.

        Args:
            key_values: The request's key columns.
            name_to_join_key: Feast's join keys by entity name.
            execute: Sends commands in one round trip.
            as_of_us: The instant of the request.

        Raises:
            EntityRowsError: A key is null or of another type.
            CorruptRowError: Stored bytes are not of the declared type.
            FutureRowError: A stored row is later than the instant by more than the allowed skew.
            OnlineStoreError: Redis refused or cannot be reached.
        """
        commands: list[Command] = []
        entity_idx: list[list[int]] = []
        slices: list[slice] = []
        for group, places in self._groups:
            rows = _key_rows(self._asked[places[0]], key_values, name_to_join_key)
            positions: dict[bytes, int] = {}
            encode = group.encoder.encode
            entity_idx.append([positions.setdefault(encode(row), len(positions)) for row in rows])
            start = len(commands)
            commands += group.commands(list(positions))
            slices.append(slice(start, len(commands)))
        replies = execute(commands) if commands else []
        parts = [b""] * len(self._asked)
        for (group, places), idx, where in zip(self._groups, entity_idx, slices, strict=True):
            decoded = decode_group(group, replies[where], as_of_us, execute)
            for place, view in zip(places, decoded, strict=True):
                parts[place] = _vectors(view, idx, self._encoders[place])
        return parts


def decode_group(
    group: KeyGroup, replies: Sequence[Any], as_of_us: int, execute: Execute
) -> list[ViewColumns]:
    """Decode a group's replies, asking for the schemas of older rows where they are needed.

    Raises:
        EvenstoreError: A row cannot be read.
    """
    while True:
        try:
            views = group.decode_columns(replies, as_of_us)
        except RowSchemaNeeded as needed:
            (reply,) = execute([needed.command])
            group.learn(needed, reply)
            continue
        for view in views:
            if view.errors:
                raise view.errors[min(view.errors)]
        return views


def rows_of(view: ViewColumns) -> Iterator[RowAnswer]:
    """Yield a view's answer row by row."""
    event_us = plain_column(view.event_us)
    present = [Status.PRESENT] * len(event_us)
    statuses = [present if column is None else column for column in view.statuses]
    values = map(plain_column, view.values)
    return zip(event_us, zip(*values, strict=True), zip(*statuses, strict=True), strict=True)


def open_view_read(view: FeatureViewSchema, names: Sequence[str]) -> ViewRead:
    """Prepare the reading of some features of a view.

    Raises:
        UnknownFeatureError: A feature is not of the view.
    """
    return ViewRead(
        view=view,
        output_name=view.name,
        key_columns=tuple(key.name for key in view.join_keys),
        features=_fields(view, names),
    )


def _fields(view: FeatureViewSchema, names: Sequence[str]) -> tuple[Field, ...]:
    features = {field.name: field for field in view.features}
    missing = [name for name in names if name not in features]
    if missing:
        raise UnknownFeatureError(
            [f"{view.name}:{name}" for name in missing],
            [f"{view.name}:{name}" for name in features],
        )
    return tuple(features[name] for name in names)


def _key_rows(
    asked: AskedView,
    key_values: Mapping[str, Sequence[ValueProto]],
    name_to_join_key: dict[str, str],
) -> Sequence[Sequence[Any]]:
    """Return the key of each entity row by the columns that the view's projection names.

    Feast itself mixes the columns up where a view is read under its own join key and under an
    alias. Where a column goes by another name, such as an entity's, Feast's own look-up decides.
    """
    if not asked.view.join_keys:
        n_rows = max((len(values) for values in key_values.values()), default=0)
        return [()] * n_rows
    if any(column not in key_values for column in asked.columns):
        return _key_rows_of_feast(asked, key_values, name_to_join_key)
    columns = [
        [
            check_key_value(_content(value), key, row_idx=row_idx)
            for row_idx, value in enumerate(key_values[column])
        ]
        for key, column in zip(asked.view.join_keys, asked.columns, strict=True)
    ]
    return list(zip(*columns, strict=True))


def _key_rows_of_feast(
    asked: AskedView,
    key_values: Mapping[str, Sequence[ValueProto]],
    name_to_join_key: dict[str, str],
) -> Sequence[Sequence[Any]]:
    entities, positions, n_rows = _get_unique_entities(
        asked.table, {name: list(values) for name, values in key_values.items()}, name_to_join_key
    )
    keys: list[EntityKeyProto] = _get_entity_key_protos(entities)
    rows: list[Sequence[Any]] = [()] * n_rows
    for key, targets in zip(keys, positions, strict=True):
        for row_idx in targets:
            rows[row_idx] = read_key_values(key, asked.view, row_idx=row_idx)
    return rows


def _content(value: ValueProto) -> Any:
    kind = value.WhichOneof("val")
    return None if kind is None else getattr(value, kind)


def _vectors(
    view: ViewColumns, entity_idx: Sequence[int], encoders: Sequence[ValueEncoder]
) -> bytes:
    """Serialise a view's features as `results` of Feast's response."""
    event_us = plain_column(view.event_us)
    timestamps = [_timestamp_piece(event) for event in event_us]
    # Mostly each row names an entity of its own, in order.
    is_one_each = len(event_us) == len(entity_idx)
    after_statuses = b"".join(timestamps if is_one_each else [timestamps[i] for i in entity_idx])
    after_values = _delimited(_STATUSES, bytes([Status.PRESENT]) * len(entity_idx)) + after_statuses
    parts = []
    for encode, column, statuses in zip(encoders, view.values, view.statuses, strict=True):
        plain = column if type(column) is tuple else plain_column(column)
        pieces = [encode(value) for value in plain]
        if not is_one_each:
            pieces = [pieces[i] for i in entity_idx]
        if statuses is None:
            pieces.append(after_values)
        else:
            told = statuses if is_one_each else [statuses[i] for i in entity_idx]
            pieces.append(_delimited(_STATUSES, bytes(told)) + after_statuses)
        parts.append(_delimited(_RESULT, b"".join(pieces)))
    return b"".join(parts)


@functools.lru_cache(maxsize=1024)
def _timestamp_piece(event_us: int | None) -> bytes:
    return _delimited(_TIMESTAMP, b"" if event_us is None else encode_timestamp(event_us))


def _piece_encoder(dtype: Dtype) -> ValueEncoder:
    """Return what serialises one value as an element of `values`."""
    encode = value_encoder(dtype)
    if dtype is Dtype.FLOAT64:
        head, pack = _delimited(_VALUE, encode(0.0))[:-8], _F64.pack
        return lambda value: _NULL if value is None else head + pack(value)
    if dtype in _INTEGERS:
        tag = encode(0)[:-1]
        heads = [_VALUE + encode_varint(len(tag) + size) + tag for size in range(11)]
        return functools.partial(_integer_piece, heads)
    return lambda value: _delimited(_VALUE, encode(value))


def _integer_piece(heads: Sequence[bytes], value: int | None) -> bytes:
    # Stored values are of their type: what `value_encoder` checks has been checked.
    if value is None:
        return _NULL
    digits = encode_varint(to_unsigned(value))
    return heads[len(digits)] + digits


def _delimited(tag: bytes, data: bytes) -> bytes:
    return tag + encode_varint(len(data)) + data
