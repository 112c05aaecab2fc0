"""Feature values of an Arrow column as Feast's `Value` bytes, all rows at once.

The bytes are those of `feast_value`, which has the format; a null is an empty cell. Scalars and
lists of scalars never become Python objects; the few other types go value by value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.codec.cells import (
    Cells,
    blank_where,
    byte_matrix,
    cells_of,
    fixed_cells,
    join_cells,
    number_array,
    numbered_cells,
    regroup_cells,
    varint_cells,
)
from evenstore.codec.feast_fields import value_tag
from evenstore.codec.feast_value import value_encoder
from evenstore.codec.wire import encode_varint
from evenstore.dtypes import INTEGER_DTYPES, TEXT_DTYPES, Dtype
from evenstore.errors import CodecError

__all__ = ["encode_value_cells", "raw_numbers", "text_cells", "whole_seconds"]

_US_PER_S = 1_000_000
_ELEMENT_TAG = b"\x0a"
_SCALARS = INTEGER_DTYPES | TEXT_DTYPES | {Dtype.FLOAT32, Dtype.FLOAT64, Dtype.BOOL}
# 0001-01-01 to the end of 9999, which is all that a datetime can hold.
_EARLIEST_US = -62_135_596_800 * _US_PER_S
_END_US = 253_402_300_800 * _US_PER_S


def encode_value_cells(column: pa.Array, dtype: Dtype) -> Cells:
    """Encode a column of declared type.

    Args:
        column: Values of the type's Arrow type.
        dtype: The declared type.

    Raises:
        CodecError: A list holds a null, or a value is not of the type.
    """
    if dtype.element not in _SCALARS or dtype.is_set:
        return _encode_one_by_one(column, dtype)
    if dtype.is_list:
        cells = _list_cells(column, dtype)
    elif dtype in TEXT_DTYPES:
        cells = join_cells(value_tag(dtype), _length_delimited(text_cells(column)))
    elif dtype in INTEGER_DTYPES:
        cells = varint_cells(value_tag(dtype), _unsigned(column, dtype))
    else:
        cells = _fixed_width_cells(column, value_tag(dtype))
    return blank_where(column.is_null(), cells) if column.null_count else cells


def whole_seconds(column: pa.Array) -> npt.NDArray[np.int64]:
    """Return the whole seconds of timestamps in microseconds, floored also before 1970.

    Raises:
        CodecError: One is not in the years 1 to 9999.
    """
    instants_us = number_array(column).astype(np.int64, copy=False)
    if column.null_count:
        instants_us = np.where(column.is_null().to_numpy(zero_copy_only=False), 0, instants_us)
    if len(instants_us) and not (instants_us.min() >= _EARLIEST_US and instants_us.max() < _END_US):
        msg = "a timestamp is not in the years 1 to 9999"
        raise CodecError(msg, hint="timestamps go from the year 1 to 9999")
    return instants_us // _US_PER_S


def _encode_one_by_one(column: pa.Array, dtype: Dtype) -> Cells:
    encode = value_encoder(dtype)
    try:
        values = column.to_pylist(maps_as_pydicts="strict")
    except KeyError as exc:
        msg = f"a map has the key {exc} twice"
        raise CodecError(msg, hint="keep one of its values") from exc
    return cells_of([encode(value) for value in values])


def _unsigned(column: pa.Array, dtype: Dtype) -> npt.NDArray[np.uint64]:
    if dtype is Dtype.UNIX_TIMESTAMP:
        return whole_seconds(column).view(np.uint64)
    return number_array(column).astype(np.int64, copy=False).view(np.uint64)


def raw_numbers(column: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of floats or flags, a row each: Arrow and the format store them alike.

    A Python float in between would quieten a signalling NaN.
    """
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return byte_matrix(number_array(column))


def _fixed_width_cells(column: pa.Array, tag: bytes) -> Cells:
    raw = raw_numbers(column)
    matrix = np.empty((len(raw), len(tag) + raw.shape[1]), np.uint8)
    matrix[:, : len(tag)] = np.frombuffer(tag, np.uint8)
    matrix[:, len(tag) :] = raw
    return fixed_cells(matrix)


def text_cells(column: pa.Array) -> Cells:
    """Return the bytes of a column of texts or bytes; a null is empty."""
    cells = column.cast(pa.binary())
    return pc.fill_null(cells, b"") if cells.null_count else cells


def _length_delimited(cells: Cells) -> Cells:
    return join_cells(numbered_cells(pc.binary_length(cells), encode_varint), cells)


def _list_cells(column: pa.Array, dtype: Dtype) -> Cells:
    elements = column.flatten()  # Without what lies in the place of null lists.
    if elements.null_count:
        msg = "a list holds a null"
        raise CodecError(msg, hint="nulls inside lists cannot be kept: leave them out")
    offsets = np.zeros(len(column) + 1, np.int64)
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    np.cumsum(lengths.to_numpy(zero_copy_only=False), out=offsets[1:])
    element = dtype.element
    if element in TEXT_DTYPES:
        each = join_cells(_ELEMENT_TAG, _length_delimited(text_cells(elements)))
        message = regroup_cells(each, offsets)
    else:
        packed = regroup_cells(_packed_element_cells(elements, element), offsets)
        message = join_cells(_ELEMENT_TAG, _length_delimited(packed))
        message = blank_where(pc.equal(pc.binary_length(packed), 0), message)
    return join_cells(value_tag(dtype), _length_delimited(message))


def _packed_element_cells(elements: pa.Array, element: Dtype) -> Cells:
    if element in INTEGER_DTYPES:
        return varint_cells(b"", _unsigned(elements, element))
    return fixed_cells(raw_numbers(elements))
