"""Arrow types of the value types, and which source types can be widened to them exactly."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from evenstore.dtypes import Dtype

__all__ = ["arrow_type", "is_exact_widening"]

_ARROW_TYPES: dict[Dtype, pa.DataType] = {
    Dtype.BYTES: pa.binary(),
    Dtype.STRING: pa.string(),
    Dtype.INT32: pa.int32(),
    Dtype.INT64: pa.int64(),
    Dtype.FLOAT32: pa.float32(),
    Dtype.FLOAT64: pa.float64(),
    Dtype.BOOL: pa.bool_(),
    Dtype.UNIX_TIMESTAMP: pa.timestamp("us", tz="UTC"),
}

_NARROW_INTEGERS = frozenset({pa.int8(), pa.int16(), pa.uint8(), pa.uint16()})
_EXACT_SOURCES: dict[Dtype, frozenset[pa.DataType]] = {
    Dtype.INT32: _NARROW_INTEGERS | {pa.int32()},
    Dtype.INT64: _NARROW_INTEGERS | {pa.int32(), pa.uint32(), pa.int64()},
    Dtype.FLOAT32: _NARROW_INTEGERS | {pa.float16(), pa.float32()},
    # int64 is missing on purpose: above 2^53 a float64 cannot hold it.
    Dtype.FLOAT64: _NARROW_INTEGERS
    | {pa.int32(), pa.uint32(), pa.float16(), pa.float32(), pa.float64()},
    Dtype.BOOL: frozenset({pa.bool_()}),
    Dtype.STRING: frozenset({pa.string(), pa.large_string(), pa.string_view()}),
    Dtype.BYTES: frozenset({pa.binary(), pa.large_binary(), pa.binary_view()}),
}


def arrow_type(dtype: Dtype) -> pa.DataType:
    """Return the Arrow type that offline values of a declared type have.

    UNIX_TIMESTAMP is `timestamp[us, UTC]` holding whole seconds.
    """
    element = _ARROW_TYPES[dtype.element]
    return pa.list_(element) if dtype.is_list else element


def is_exact_widening(source: Any, dtype: Dtype) -> bool:
    """Tell whether every value of a source column is kept exactly in the declared type.

    Timestamps of any unit become whole seconds by declaration; an all-null column fits everything.
    """
    if pa.types.is_null(source):
        return True
    if pa.types.is_dictionary(source):
        return is_exact_widening(source.value_type, dtype)
    if dtype.is_list:
        is_list = pa.types.is_list(source) or pa.types.is_large_list(source)
        is_list = is_list or pa.types.is_fixed_size_list(source)
        return is_list and is_exact_widening(source.value_type, dtype.element)
    if dtype is Dtype.UNIX_TIMESTAMP:
        return bool(pa.types.is_timestamp(source) or pa.types.is_date(source))
    return source in _EXACT_SOURCES[dtype]
