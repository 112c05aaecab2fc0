"""Encodes rows of one view in the packed layout one by one, from Python values.

An encoder of columns (`evenstore.codec.packed_encoder`) costs half a millisecond however few the
rows are: for pushes of single rows that is nearly all they cost. This makes the same bytes value by
value; a test holds the two equal.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from evenstore.clock import datetime_to_us
from evenstore.codec.feast_value import value_encoder
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_row import (
    FIXED_FORMATS,
    HAS_NULLS,
    INTEGER_FORMATS,
    RowSchema,
    encode_length,
    encode_order,
)
from evenstore.dtypes import INTEGER_DTYPES, Dtype
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import Origin, RowOrder, floor_to_s

__all__ = ["PlainRowEncoder"]

_INTEGERS: Final = [struct.Struct(f"<{letter}").pack for letter in INTEGER_FORMATS]


class PlainRowEncoder:
    """Makes rows of one view that have no instant of physical expiry.

    Args:
        view: The view.
        project: The Feast project.
        origin: Where the rows come from.
    """

    def __init__(self, view: FeatureViewSchema, project: str, origin: Origin) -> None:
        self._view = view
        self._origin = origin
        self._keys = PackedKeyEncoder(view.join_keys, project)
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

    def encode_keys(self, keys: Sequence[Sequence[Any]], n_rows: int) -> list[bytes]:
        """Make the Redis key of each row.

        Args:
            keys: Checked values of each join key; instants are datetimes.
            n_rows: How many rows there are, also where a view has no join keys.
        """
        return [self._keys.encode(values) for values in self._entities(keys, n_rows)]

    def encode_rows(
        self, features: Sequence[Sequence[Any]], orders: Sequence[RowOrder]
    ) -> list[bytes]:
        """Make the bytes of each row.

        Args:
            features: Checked values of each feature, in the view's order; instants are datetimes.
            orders: Each row's place in the total order.

        Raises:
            OverflowError: An instant has no bytes in this layout.
        """
        columns = [features[place] for place in self._places]
        return [
            encode_order(order) + self._row([column[row_idx] for column in columns])
            for row_idx, order in enumerate(orders)
        ]

    def _entities(self, keys: Sequence[Sequence[Any]], n_rows: int) -> Iterable[Sequence[Any]]:
        if not keys:
            return [()] * n_rows
        columns = [
            [floor_to_s(datetime_to_us(value)) for value in column]
            if key.dtype is Dtype.UNIX_TIMESTAMP
            else column
            for column, key in zip(keys, self._view.join_keys, strict=True)
        ]
        return zip(*columns, strict=True)

    def _row(self, values: list[Any]) -> bytes:
        """Make a row of its values, in the order of its schema, but for its place in the order."""
        for i in self._instants:
            if values[i] is not None:
                values[i] = floor_to_s(datetime_to_us(values[i]))
        flags, nulls = self._origin.value, b""
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
