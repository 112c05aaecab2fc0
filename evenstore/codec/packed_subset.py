"""Takes packed rows down to some of their features, byte for byte: no value is decoded."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from evenstore.codec.packed_row import (
    FIXED_FORMATS,
    HAS_NULLS,
    HEAD_BYTES,
    INTEGER_WIDTHS,
    RowSchema,
    encode_length,
    read_length,
    read_row,
)
from evenstore.errors import CorruptRowError
from evenstore.schema.model import Field

__all__ = ["PackedSubset"]

_FIXED_SIZES = {dtype: struct.calcsize(form) for dtype, form in FIXED_FORMATS.items()}


class PackedSubset:
    """Takes rows of one schema down to the features that another list has too.

    Args:
        stored: The rows' schema.
        features: What stays: features of the same name and type.
    """

    def __init__(self, stored: RowSchema, features: Sequence[Field]) -> None:
        wanted = frozenset(features)
        self._stored = stored
        self._kept = tuple(i for i, field in enumerate(stored.features) if field in wanted)
        self.schema = RowSchema(tuple(stored.features[i] for i in self._kept))

    def take(self, row: bytes) -> bytes:
        """Return the row without the other features; its order, origin and expiry stay.

        Raises:
            CorruptRowError: The bytes are no row of the schema.
        """
        head = read_row(row)
        flags_at = head.payload_start - HEAD_BYTES
        try:
            nulls, codes, pieces = self._split(row, head.payload_start, head.flags & HAS_NULLS)
        except IndexError as exc:
            msg = f"a stored row is not of its schema: {row[:24]!r}"
            raise CorruptRowError(msg) from exc
        schema = self.schema
        new_nulls = [nulls[i] for i in self._kept]
        flags = head.flags & ~HAS_NULLS | (HAS_NULLS if any(new_nulls) else 0)
        parts = [row[:flags_at], bytes([flags]), schema.fingerprint]
        if any(new_nulls):
            parts.append(_pack_bits([int(is_null) for is_null in new_nulls], 1))
        kept = self._kept
        parts.append(_pack_bits([codes[kept[i]] for i in schema.integers], 2))
        parts += [pieces[kept[i]] for i in (*schema.fixed, *schema.variable)]
        return b"".join(parts)

    def _split(
        self, row: bytes, at: int, has_nulls: int
    ) -> tuple[list[bool], dict[int, int], dict[int, bytes]]:
        """Return which features are null, the integers' width codes, and the values' bytes."""
        schema = self._stored
        n_features = len(schema.features)
        bits = 0
        if has_nulls:
            end = at + (n_features + 7) // 8
            bits, at = int.from_bytes(row[at:end], "little"), end
        nulls = [bool(bits >> i & 1) for i in range(n_features)]
        end = at + (2 * len(schema.integers) + 7) // 8
        widths, at = int.from_bytes(row[at:end], "little"), end
        codes = {i: widths >> 2 * n & 3 for n, i in enumerate(schema.integers)}
        pieces = dict.fromkeys(range(n_features), b"")
        for i in (*schema.fixed, *schema.variable):
            if nulls[i]:
                continue
            if i in codes:
                end = at + INTEGER_WIDTHS[codes[i]]
            elif schema.features[i].dtype in _FIXED_SIZES:
                end = at + _FIXED_SIZES[schema.features[i].dtype]
            else:
                length, start = read_length(row, at)
                end = start + length
                pieces[i] = encode_length(length) + row[start:end]
                at = end
                continue
            pieces[i], at = row[at:end], end
        if at != len(row):
            msg = f"a stored row has {len(row)} bytes, {at} of them its values"
            raise CorruptRowError(msg)
        return nulls, codes, pieces


def _pack_bits(numbers: Sequence[int], n_bits: int) -> bytes:
    packed = sum(number << n_bits * i for i, number in enumerate(numbers))
    return packed.to_bytes((n_bits * len(numbers) + 7) // 8, "little")
