"""Entity keys of Arrow columns as bytes, all rows at once, in either layout."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.codec.cells import (
    Cells,
    byte_matrix,
    cells_of,
    fixed_cells,
    join_cells,
    number_array,
    numbered_cells,
)
from evenstore.codec.entity_key import EntityKeyEncoder, KeyPart
from evenstore.codec.value_cells import whole_seconds
from evenstore.dtypes import TEXT_DTYPES, Dtype

__all__ = ["encode_key_cells"]

_U32 = struct.Struct("<I")


def encode_key_cells(encoder: EntityKeyEncoder, columns: Sequence[pa.Array], n_rows: int) -> Cells:
    """Make the keys of many entities.

    Args:
        encoder: Of either layout.
        columns: One column of values per join key, in its order, without nulls.
        n_rows: How many; an entityless view has no columns, and one key for all.

    Raises:
        CodecError: A timestamp is out of range.
    """
    if not encoder.join_keys:
        return cells_of([encoder.encode(())] * n_rows)
    pieces: list[Cells | bytes] = [encoder.prefix]
    for part in encoder.parts:
        pieces.extend(_part_cells(part, columns[part.position]))
    return join_cells(*_merge_bytes([*pieces, encoder.suffix]))


def _part_cells(part: KeyPart, column: pa.Array) -> list[Cells | bytes]:
    if part.dtype not in TEXT_DTYPES:
        return [part.header, _fixed(column, part.dtype)]
    values = column.cast(pa.binary())
    if not part.has_length:
        return [part.header, values]
    return [part.header, numbered_cells(pc.binary_length(values), _U32.pack), values]


def _merge_bytes(pieces: Sequence[Cells | bytes]) -> list[Cells | bytes]:
    merged: list[Cells | bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += piece
        elif not isinstance(piece, bytes) or piece:
            merged.append(piece)
    return merged


def _fixed(column: pa.Array, dtype: Dtype) -> Cells:
    numbers = whole_seconds(column) if dtype is Dtype.UNIX_TIMESTAMP else number_array(column)
    return fixed_cells(byte_matrix(numbers))
