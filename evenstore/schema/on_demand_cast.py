"""Arrow columns in their declared types, exactly, by the rules of `on_demand_values`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.schema.arrow import arrow_type, is_exact_widening
from evenstore.schema.on_demand_values import coerce_values

__all__ = ["cast_exactly", "to_values"]

_FLOATS = frozenset({Dtype.FLOAT32, Dtype.FLOAT64})


def cast_exactly(
    array: pa.Array, dtype: Dtype, *, where: str, naive_is_utc: bool = False
) -> pa.Array:
    """Give an Arrow column its declared type, as `coerce_values` gives it to Python values.

    Columns that differ only in width are converted by Arrow, others value by value.

    Args:
        array: Any Arrow column.
        dtype: The declared type.
        where: The column, for messages.
        naive_is_utc: Read timestamps without a zone as UTC instead of refusing them.

    Raises:
        UnsupportedDtypeError: A value has another type, or does not fit.
    """
    if naive_is_utc and pa.types.is_timestamp(array.type) and array.type.tz is None:
        array = array.cast(pa.timestamp(array.type.unit, tz="UTC"))
    widened = _widen(array, dtype)
    if widened is not None:
        return widened
    return pa.array(coerce_values(to_values(array), dtype, where=where), arrow_type(dtype))


def to_values(array: pa.Array) -> list[Any]:
    """Return the plain Python values of a column, a map as a dict."""
    # Ten times as fast without the argument.
    options = {"maps_as_pydicts": "strict"} if pa.types.is_nested(array.type) else {}
    values: list[Any] = array.to_pylist(**options)
    return values


def _widen(array: pa.Array, dtype: Dtype) -> pa.Array | None:
    """Convert a column that Arrow converts exactly; None for any other."""
    target = arrow_type(dtype)
    source = array.type
    if pa.types.is_null(source):
        return pa.nulls(len(array), target)
    if dtype is Dtype.UNIX_TIMESTAMP:
        is_instant = pa.types.is_timestamp(source) and source.tz is not None
        return _floor_to_s(array) if is_instant else None
    if dtype in _FLOATS and (pa.types.is_floating(source) or pa.types.is_integer(source)):
        # Arrow refuses the integers that a float64 does not hold; a float32 is rounded.
        exact = _try_cast(array, pa.float64())
        return None if exact is None else exact.cast(target, safe=False)
    is_scalar = dtype.is_plain and not dtype.is_list
    return _try_cast(array, target) if is_scalar and is_exact_widening(source, dtype) else None


def _try_cast(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    try:
        return array.cast(target)
    except pa.ArrowException:
        return None


def _floor_to_s(array: pa.Array) -> pa.Array | None:
    in_utc = array.cast(pa.timestamp(array.type.unit, tz="UTC"))
    return _try_cast(pc.floor_temporal(in_utc, unit="second"), arrow_type(Dtype.UNIX_TIMESTAMP))
