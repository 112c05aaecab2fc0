"""Few rows of the packed layout, encoded one by one.

An encoder of columns (`evenstore.codec.packed_encoder`) costs half a millisecond however few the
rows are, and as much again to make Redis' commands of them: for pushes of single rows that is
nearly all they cost. This makes the same bytes value by value; a test holds the two equal.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import redis

from evenstore.clock import datetime_to_us
from evenstore.codec.command import encode_bulk, encode_command
from evenstore.codec.feast_value import value_encoder
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_row import (
    FIXED_FORMATS,
    HAS_NULLS,
    INTEGER_FORMATS,
    RowSchema,
    encode_length,
    encode_order,
    view_id,
)
from evenstore.dtypes import INTEGER_DTYPES, Dtype
from evenstore.online.row_schemas import register_schema_command
from evenstore.online.scripts import Script
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import Origin, RowOrder, floor_to_s
from serving.writes.rows import PushedRows

__all__ = ["FewRowsWriter", "is_few"]

_MAX_VALUES = 400
# As `Origin.PUSH` rows of the packed layout are written: one column, the row.
_N_COLUMNS = 1
_INTEGERS: Final = [struct.Struct(f"<{letter}").pack for letter in INTEGER_FORMATS]


def is_few(rows: PushedRows) -> bool:
    """Tell whether rows are few enough to be encoded one by one."""
    return len(rows) * (len(rows.view.features) + 2) <= _MAX_VALUES


class FewRowsWriter:
    """Encodes and writes rows of one view in the packed layout; not thread-safe.

    Args:
        client: Redis.
        project: The Feast project.
        view: The view; none of its rows has an instant of physical expiry.
    """

    def __init__(self, client: redis.Redis, project: str, view: FeatureViewSchema) -> None:
        self._client = client
        self._keys = PackedKeyEncoder(view.join_keys, project)
        self._script = Script("write_packed.lua")
        self._register = encode_command(register_schema_command(project, view))
        self._begin = encode_bulk("EVALSHA") + encode_bulk(self._script.sha)
        self._head = encode_bulk(view_id(view.name)) + encode_bulk(_N_COLUMNS)
        schema = RowSchema.of(view.features)
        positions = {field.name: i for i, field in enumerate(view.features)}
        self._places = [positions[field.name] for field in schema.features]
        self._schema = schema
        self._fixed = [
            (i, None if dtype in INTEGER_DTYPES else struct.Struct(f"<{FIXED_FORMATS[dtype]}").pack)
            for i in schema.fixed
            for dtype in (schema.features[i].dtype,)
        ]
        self._variable = [(i, _maker(schema.features[i].dtype)) for i in schema.variable]
        self._instants = [
            i for i in schema.integers if schema.features[i].dtype is Dtype.UNIX_TIMESTAMP
        ]

    def write(self, rows: PushedRows, sequence_us: int) -> None:
        """Write rows, each where it is greater than the stored one.

        Args:
            rows: At most one of each entity.
            sequence_us: Their ingest sequence.

        Raises:
            OnlineStoreError: Redis refused, or cannot be reached.
            OverflowError: An instant has no bytes in this layout; nothing is written.
        """
        self._script.run(self._client, [[self.encode(rows, sequence_us)]], before=self._register)

    def encode(self, rows: PushedRows, sequence_us: int) -> bytes:
        """Make the call of the write script for rows; `write` has its arguments."""
        n_rows = len(rows)
        keys = [encode_bulk(self._keys.encode(values)) for values in self._entities(rows)]
        columns = [rows.features[place] for place in self._places]
        stored = []
        for row_idx in range(n_rows):
            order = RowOrder(rows.event_us[row_idx], rows.created_us[row_idx], sequence_us)
            row = self._row([column[row_idx] for column in columns])
            stored.append(encode_bulk(encode_order(order) + row))
        n_arguments = 3 + n_rows + 2 + n_rows * _N_COLUMNS
        return b"".join(
            [b"*%d\r\n" % n_arguments, self._begin, encode_bulk(n_rows), *keys, self._head, *stored]
        )

    def _entities(self, rows: PushedRows) -> Iterable[Sequence[Any]]:
        if not rows.keys:
            return [()] * len(rows)
        columns = [
            [floor_to_s(datetime_to_us(value)) for value in column]
            if key.dtype is Dtype.UNIX_TIMESTAMP
            else column
            for column, key in zip(rows.keys, rows.view.join_keys, strict=True)
        ]
        return zip(*columns, strict=True)

    def _row(self, values: list[Any]) -> bytes:
        """Make a row of its values, in the order of its schema, but for its place in the order."""
        for i in self._instants:
            if values[i] is not None:
                values[i] = floor_to_s(datetime_to_us(values[i]))
        flags, nulls = Origin.PUSH.value, b""
        if None in values:
            flags |= HAS_NULLS
            nulls = _bits(values)
        parts = [bytes([flags]), self._schema.fingerprint, nulls, *self._fixed_part(values)]
        for i, make in self._variable:
            if values[i] is not None:
                made = make(values[i])
                parts += (encode_length(len(made)), made)
        return b"".join(parts)

    def _fixed_part(self, values: Sequence[Any]) -> list[bytes]:
        """Make the widths of integers, and all values of fixed width."""
        widths = 0
        shift = 0
        parts = [b""]
        for i, pack in self._fixed:
            value = values[i]
            code = 0 if pack is not None or value is None else _width_code(value)
            if pack is None:
                widths |= code << shift
                shift += 2
            if value is not None:
                parts.append((pack or _INTEGERS[code])(value))
        parts[0] = widths.to_bytes((shift + 7) // 8, "little")
        return parts


def _width_code(number: int) -> int:
    magnitude = number if number >= 0 else ~number
    n_bits = magnitude.bit_length()
    return (n_bits > 7) + (n_bits > 15) + (n_bits > 31)  # noqa: PLR2004 - bits of 1, 2, 4 bytes


def _bits(values: Sequence[Any]) -> bytes:
    bits = sum(1 << i for i, value in enumerate(values) if value is None)
    return bits.to_bytes((len(values) + 7) // 8, "little")


def _maker(dtype: Dtype) -> Callable[[Any], bytes]:
    if dtype is Dtype.STRING:
        return str.encode
    return bytes if dtype is Dtype.BYTES else value_encoder(dtype)
