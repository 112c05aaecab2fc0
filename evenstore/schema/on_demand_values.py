"""Gives values that a function or a caller made their declared types, exactly, or refuses them."""

from __future__ import annotations

import decimal
import json
import math
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.dtypes import Dtype
from evenstore.errors import UnsupportedDtypeError
from evenstore.semantics import floor_to_s

__all__ = ["coerce_value", "coerce_values", "distinct_ascending", "to_plain"]

_INT_BOUNDS = {Dtype.INT32: 2**31, Dtype.INT64: 2**63}


def coerce_values(values: Sequence[Any], dtype: Dtype, *, where: str) -> list[Any]:
    """Give each value of a column its declared type, as `coerce_value` does.

    Raises:
        UnsupportedDtypeError: A value has another type, or does not fit.
    """
    # Most values are of the type already; a call for each would cost ten times as much.
    if dtype in _INT_BOUNDS:
        bound = _INT_BOUNDS[dtype]
        return [
            value
            if value is None or (type(value) is int and -bound <= value < bound)
            else coerce_value(value, dtype, where=where)
            for value in values
        ]
    if dtype is Dtype.STRING:
        return [
            value
            if value is None or (type(value) is str and value.isascii())
            else coerce_value(value, dtype, where=where)
            for value in values
        ]
    exact = _EXACT.get(dtype)
    return [
        value if value is None or type(value) is exact else coerce_value(value, dtype, where=where)
        for value in values
    ]


def coerce_value(value: Any, dtype: Dtype, *, where: str) -> Any:
    """Give a Python value its declared type, exactly, or refuse it.

    An int becomes a float where one is declared and holds it exactly; a Float32 is rounded to the
    nearest float32, which is what every store would keep; a datetime becomes whole seconds,
    floored, in UTC; what NumPy made becomes the plain Python value. UUIDs and decimals become
    text, a set a list of its distinct elements in ascending order, a struct a dict of all its
    fields.

    Raises:
        UnsupportedDtypeError: The value has another type, or does not fit.
    """
    value = to_plain(value)
    if value is None:
        return None
    if dtype.is_list or dtype.is_set:
        return _elements(value, dtype, where)
    if dtype.is_struct:
        return _fields(value, dtype, where)
    coerced = _SCALARS[dtype.value](value, dtype)
    if coerced is _REFUSED:
        _refuse(value, dtype, where)
    return coerced


def _elements(value: Any, dtype: Dtype, where: str) -> list[Any]:
    kinds = (list, tuple, set, frozenset) if dtype.is_set else (list, tuple)
    if not isinstance(value, kinds) or any(item is None for item in value):
        _refuse(value, dtype, where)
    elements = [coerce_value(item, dtype.element, where=where) for item in value]
    if not dtype.is_set:
        return elements
    return distinct_ascending(elements)


def distinct_ascending(elements: Iterable[Any]) -> list[Any]:
    """Return the elements of a set as both stores keep them: distinct, in DuckDB's order."""
    return list({_rank(element): element for element in sorted(elements, key=_rank)}.values())


def _rank(value: Any) -> tuple[Any, ...]:
    """Order values inside a set as DuckDB does: NaN above all numbers, null above NaN."""
    if value is None:
        return (2,)
    if isinstance(value, float) and math.isnan(value):
        return (1,)
    if isinstance(value, Mapping):
        return (0, tuple(_rank(item) for item in value.values()))
    return (0, tuple(_rank(item) for item in value) if isinstance(value, list) else value)


def _fields(value: Any, dtype: Dtype, where: str) -> dict[str, Any]:
    names = dict(dtype.fields)
    if not isinstance(value, Mapping) or not set(value) <= set(names):
        _refuse(value, dtype, where)
    return {
        name: coerce_value(value.get(name), field, where=f"{where}.{name}")
        for name, field in names.items()
    }


_REFUSED = object()
# A value of exactly this type is one already.
_EXACT: Mapping[Dtype, type] = {Dtype.FLOAT64: float, Dtype.BOOL: bool}


def _refuse(value: Any, dtype: Dtype, where: str) -> None:
    msg = f"{where}: {value!r} is not {dtype.value}"
    raise UnsupportedDtypeError(msg, hint="return the declared type, or None for null")


def to_plain(value: Any) -> Any:
    """Return the plain Python value of what NumPy made: a scalar, or the list of an array."""
    # Told by their module, so that no gateway worker must import NumPy.
    return value.tolist() if type(value).__module__ == "numpy" else value


def _integer(value: Any, dtype: Dtype) -> Any:
    # bool is a subclass of int, but True is no count.
    if not isinstance(value, int) or isinstance(value, bool):
        return _REFUSED
    bound = _INT_BOUNDS[dtype]
    return value if -bound <= value < bound else _REFUSED


def _float64(value: Any, _dtype: Dtype) -> Any:
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            widened = float(value)
        except OverflowError:
            return _REFUSED
        return widened if int(widened) == value else _REFUSED
    return _REFUSED


def _float32(value: Any, dtype: Dtype) -> Any:
    widened = _float64(value, dtype)
    if widened is _REFUSED or not math.isfinite(widened):
        return widened
    return _round_to_float32(widened)


def _round_to_float32(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _instance(kind: type) -> Callable[[Any, Dtype], Any]:
    return lambda value, _dtype: value if isinstance(value, kind) else _REFUSED


def _text(value: Any, _dtype: Dtype) -> Any:
    if not isinstance(value, str):
        return _REFUSED
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # A lone surrogate, which neither store can keep.
        return _REFUSED
    return value


def _timestamp(value: Any, _dtype: Dtype) -> Any:
    if not isinstance(value, datetime) or value.tzinfo is None:
        return _REFUSED
    return us_to_datetime(floor_to_s(datetime_to_us(value)) * 1_000_000)


def _uuid(value: Any, _dtype: Dtype) -> Any:
    try:
        return str(value if isinstance(value, uuid.UUID) else uuid.UUID(value))
    except (ValueError, AttributeError, TypeError):
        return _REFUSED


def _decimal(value: Any, _dtype: Dtype) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | decimal.Decimal):
        return _REFUSED
    try:
        decimal.Decimal(value)
    except decimal.InvalidOperation:
        return _REFUSED
    return str(value)


def _json(value: Any, dtype: Dtype) -> Any:
    try:
        json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return _REFUSED
    return _text(value, dtype)


def _map(value: Any, _dtype: Dtype) -> Any:
    # Feast's own map, which is what a column without a source has.
    is_text = isinstance(value, Mapping) and all(
        isinstance(key, str) and isinstance(item, str | None) for key, item in value.items()
    )
    return dict(value) if is_text else _REFUSED


_SCALARS: dict[str, Callable[[Any, Dtype], Any]] = {
    "Int32": _integer,
    "Int64": _integer,
    "Float32": _float32,
    "Float64": _float64,
    "String": _text,
    "Bytes": _instance(bytes),
    "Bool": _instance(bool),
    "UnixTimestamp": _timestamp,
    "ZonedTimestamp": _timestamp,
    "PdfBytes": _instance(bytes),
    "ImageBytes": _instance(bytes),
    "Uuid": _uuid,
    "TimeUuid": _uuid,
    "Decimal": _decimal,
    "Json": _json,
    "Map": _map,
    "ScalarMap": _map,
}
