"""Many byte strings at once: the pieces of which encoded rows are joined, one Arrow array a column.

A cell is one row's piece of bytes. Numbers become cells through a matrix of bytes, one row each;
Arrow then joins the columns' cells. No Python object is made per row or value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "Bytes",
    "Cells",
    "blank_where",
    "byte_matrix",
    "cells_of",
    "fixed_cells",
    "join_cells",
    "masked_cells",
    "number_array",
    "numbered_cells",
    "regroup_cells",
    "varint_cells",
    "varint_matrix",
]

Cells: TypeAlias = pa.Array
"""A `binary` array without nulls."""

Bytes: TypeAlias = npt.NDArray[np.uint8]
"""A matrix of bytes: one row per cell."""

_NOTHING = pa.scalar(b"", pa.binary())
_SEVEN_BITS = np.uint64(0x7F)
_CONTINUES = np.uint8(0x80)
_VARINT_BOUNDS = [np.uint64(1) << np.uint64(7 * groups) for groups in range(1, 10)]


def cells_of(values: list[bytes]) -> Cells:
    """Make cells of Python bytes: for the few types that have no vectorised form, and for tests."""
    return pa.array(values, pa.binary())


def fixed_cells(matrix: Bytes) -> Cells:
    """Make cells of equal width: each row of a matrix."""
    n_rows, width = matrix.shape
    offsets = np.arange(n_rows + 1, dtype=np.int32) * np.int32(width)
    return _binary(offsets, np.ascontiguousarray(matrix))


def masked_cells(matrix: Bytes, mask: npt.NDArray[np.bool_]) -> Cells:
    """Make cells of the bytes of each row where the mask is true."""
    offsets = np.zeros(len(matrix) + 1, dtype=np.int32)
    np.cumsum(mask.sum(axis=1), out=offsets[1:])
    return _binary(offsets, matrix[mask])


def regroup_cells(cells: Cells, offsets: npt.NDArray[np.int64]) -> Cells:
    """Join neighbours: cell i of the result holds cells `offsets[i]` to `offsets[i + 1]`."""
    starts = np.frombuffer(cells.buffers()[1], np.int32, len(cells) + 1, cells.offset * 4)
    return _binary(np.ascontiguousarray(starts[offsets]), cells.buffers()[2])


def join_cells(*parts: Cells | bytes) -> Cells:
    """Join each row's cells; bytes are the same in every row."""
    joined = [pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*joined, _NOTHING)


def blank_where(is_null: pa.Array, cells: Cells) -> Cells:
    """Empty the cells of rows that are null."""
    return pc.if_else(is_null, _NOTHING, cells)


def numbered_cells(numbers: pa.Array, make: Callable[[int], bytes]) -> Cells:
    """Make a cell for each number; numbers repeat, so each distinct one is made once."""
    distinct = numbers.dictionary_encode()
    made = cells_of([make(number) for number in distinct.dictionary.to_pylist()])
    return made.take(distinct.indices)


def number_array(column: pa.Array) -> npt.NDArray[np.generic]:
    """Return a column's numbers without a copy; what is in a null's place is undefined.

    Args:
        column: Integers, floats or timestamps (as int64).
    """
    dtype = np.dtype(f"{'f' if pa.types.is_floating(column.type) else 'i'}{column.type.byte_width}")
    data = column.buffers()[1]
    if data is None:  # Nothing but nulls, or nothing at all.
        return np.zeros(len(column), dtype)
    return np.frombuffer(data, dtype, len(column), column.offset * dtype.itemsize)


def byte_matrix(numbers: npt.NDArray[np.generic]) -> Bytes:
    """Return the bytes of numbers of one width, a row each."""
    raw = np.ascontiguousarray(numbers).view(np.uint8)
    return raw.reshape(len(numbers), numbers.dtype.itemsize)


def varint_matrix(
    numbers: npt.NDArray[np.uint64],
) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """Encode unsigned integers as protobuf's varints: a matrix, and which of its bytes count."""
    width = 1
    if len(numbers):
        largest = numbers.max()
        width += sum(largest >= bound for bound in _VARINT_BOUNDS)
    matrix = np.empty((len(numbers), width), np.uint8)
    mask = np.empty((len(numbers), width), np.bool_)
    for group in range(width):
        rest = numbers >> np.uint64(7 * group)
        matrix[:, group] = rest & _SEVEN_BITS
        mask[:, group] = rest != 0
    mask[:, 0] = True
    # A byte is followed by another where that one counts.
    matrix[:, :-1] |= mask[:, 1:] * _CONTINUES
    return matrix, mask


def varint_cells(tag: bytes, numbers: npt.NDArray[np.uint64]) -> Cells:
    """Make cells of a tag and a varint."""
    digits, digit_mask = varint_matrix(numbers)
    matrix = np.empty((len(numbers), len(tag) + digits.shape[1]), np.uint8)
    mask = np.ones(matrix.shape, np.bool_)
    matrix[:, : len(tag)] = np.frombuffer(tag, np.uint8)
    matrix[:, len(tag) :] = digits
    mask[:, len(tag) :] = digit_mask
    return masked_cells(matrix, mask)


def _binary(offsets: npt.NDArray[np.int32], data: object) -> Cells:
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)
