"""Reads the values of packed rows of one schema."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evenstore.clock import us_to_datetime
from evenstore.codec.feast_value import value_decoder
from evenstore.codec.packed_row import (
    FIXED_FORMATS,
    HAS_NULLS,
    INTEGER_FORMATS,
    RowSchema,
    read_length,
)
from evenstore.dtypes import Dtype
from evenstore.errors import CorruptRowError

__all__ = ["PackedReader", "value_conversion"]

_US_PER_S = 1_000_000
# Rows of a view have few shapes in practice, and at most this many are kept.
_MAX_SHAPES = 4096


@dataclass(frozen=True, slots=True)
class _Shape:
    """What rows with the same nulls and widths have in common.

    Attributes:
        values: Reads all values of fixed width at once.
        fixed: Positions of the features they belong to.
        variable: Positions of the features that follow.
    """

    values: struct.Struct
    fixed: tuple[int, ...]
    variable: tuple[int, ...]


class PackedReader:
    """Reads rows of one stored schema; thread-safe.

    Args:
        schema: The stored rows' features.
    """

    def __init__(self, schema: RowSchema) -> None:
        self.schema = schema
        n_features = len(schema.features)
        self._n_null_bytes = (n_features + 7) // 8
        self._n_width_bytes = (2 * len(schema.integers) + 7) // 8
        self._shape = functools.lru_cache(maxsize=_MAX_SHAPES)(self._make_shape)
        plain_integers = frozenset(
            i for i in schema.integers if schema.features[i].dtype is not Dtype.UNIX_TIMESTAMP
        )
        self._conversions = {
            i: value_conversion(schema.features[i].dtype)
            for i in (*schema.integers, *schema.variable)
            if i not in plain_integers
        }

    def read(self, row: bytes, start: int, flags: int) -> list[Any]:
        """Return the values of a row in the schema's order; None where null.

        Args:
            row: The row.
            start: Where its values start.
            flags: Its flags.

        Raises:
            CorruptRowError: The bytes are not of the schema.
        """
        values_at = start + self._n_width_bytes
        if flags & HAS_NULLS:
            values_at += self._n_null_bytes
        values: list[Any] = [None] * len(self.schema.features)
        try:
            shape = self._shape(row[start:values_at], flags & HAS_NULLS)
            for i, value in zip(shape.fixed, shape.values.unpack_from(row, values_at), strict=True):
                values[i] = value
            at = values_at + shape.values.size
            for i in shape.variable:
                length, at = read_length(row, at)
                values[i] = row[at : at + length]
                at += length
            for i, convert in self._conversions.items():
                if values[i] is not None:
                    values[i] = convert(values[i])
        except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as exc:
            msg = f"a stored row is not of its schema: {row[:24]!r}"
            raise CorruptRowError(msg) from exc
        if at != len(row):
            msg = f"a stored row has {len(row)} bytes, {at} of them its values"
            raise CorruptRowError(msg)
        return values

    def _make_shape(self, head: bytes, has_nulls: int) -> _Shape:
        n_null_bytes = self._n_null_bytes if has_nulls else 0
        nulls = int.from_bytes(head[:n_null_bytes], "little")
        widths = int.from_bytes(head[n_null_bytes:], "little")
        formats = []
        fixed = []
        integer = 0
        for i in self.schema.fixed:
            dtype = self.schema.features[i].dtype
            form = FIXED_FORMATS.get(dtype)
            if form is None:
                form = INTEGER_FORMATS[widths >> 2 * integer & 3]
                integer += 1
            if not nulls >> i & 1:
                formats.append(form)
                fixed.append(i)
        variable = tuple(i for i in self.schema.variable if not nulls >> i & 1)
        return _Shape(struct.Struct("<" + "".join(formats)), tuple(fixed), variable)


def value_conversion(dtype: Dtype) -> Callable[[Any], Any]:
    """Return what makes a value of what is stored of it: seconds, or bytes."""
    if dtype is Dtype.UNIX_TIMESTAMP:
        return lambda seconds: us_to_datetime(seconds * _US_PER_S)
    if dtype is Dtype.STRING:
        return bytes.decode
    if dtype is Dtype.BYTES:
        return bytes
    return value_decoder(dtype)
