"""Values of a JSON column as values of a declared type: checked, and never cast.

`"1"` and 1.0 are no Int64, `true` is no number; 1 is a Float64, because JSON writes 1.0 so. What a
lookup renders can be pushed again: base64 for bytes, whole seconds for timestamps, the texts NaN,
Infinity and -Infinity.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.codec.feast_nested import round_to_float32
from evenstore.codec.feast_scalar import REFUSALS
from evenstore.codec.feast_value import value_encoder
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError
from evenstore.semantics import floor_to_s

__all__ = ["BadValueError", "is_cells", "read_instants", "read_values", "to_array"]

_US_PER_S = 1_000_000
_NUMBER_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NONE = type(None)
# From here on a number would be rounded to an infinite float32.
_FLOAT32_END = 2.0**128 - 2.0**103
# For fewer values numpy is slower than Python.
_FEW = 16
_BOUNDS = {Dtype.INT32: 2**31, Dtype.INT64: 2**63}
_ARROW_TYPES = {
    Dtype.INT32: pa.int32(),
    Dtype.INT64: pa.int64(),
    Dtype.FLOAT32: pa.float32(),
    Dtype.FLOAT64: pa.float64(),
    Dtype.BOOL: pa.bool_(),
    Dtype.STRING: pa.string(),
    Dtype.BYTES: pa.binary(),
}

_Reader = Callable[[Any], Any]


class BadValueError(ValueError):
    """A value that is not of its column's type, and its row."""

    def __init__(self, row_idx: int, problem: str) -> None:
        self.row_idx = row_idx
        self.problem = problem
        super().__init__(problem)


def read_values(values: Sequence[Any], dtype: Dtype) -> list[Any]:
    """Check a column and return its values as the offline store has them; null stays null.

    UNIX_TIMESTAMP values are datetimes of whole seconds.

    Raises:
        BadValueError: A value is not of the type; the first one in the column.
    """
    if _is_exact(values, dtype):
        return list(values)
    read = _reader(dtype)
    checked: list[Any] = []
    for row_idx, value in enumerate(values):
        try:
            checked.append(None if value is None else read(value))
        except (*REFUSALS, LookupError, CodecError) as exc:
            raise BadValueError(row_idx, f"not {dtype.value}: {_example(dtype)}") from exc
    return checked


def read_instants(values: Sequence[Any], *, is_nullable: bool) -> list[int | None]:
    """Check a column of event or created timestamps and return microseconds since 1970.

    Raises:
        BadValueError: A value is no ISO 8601 text, null where it must not be, or outside the years
            1 to 9999 in UTC.
    """
    instants: list[int | None] = []
    for row_idx, value in enumerate(values):
        if value is None and is_nullable:
            instants.append(None)
            continue
        try:
            instants.append(datetime_to_us(_read_iso(value)))
        except REFUSALS as exc:
            problem = "null" if value is None else "not a timestamp: write ISO 8601 text"
            raise BadValueError(row_idx, problem) from exc
    return instants


def is_cells(dtype: Dtype) -> bool:
    """Tell whether `to_array` makes cells of a type: all but numbers, flags, texts, instants."""
    return dtype not in _ARROW_TYPES and dtype is not Dtype.UNIX_TIMESTAMP


def to_array(values: Sequence[Any], dtype: Dtype) -> pa.Array:
    """Make the column that a row encoder takes of checked values."""
    if dtype is Dtype.UNIX_TIMESTAMP:
        instants = [None if value is None else datetime_to_us(value) for value in values]
        return pa.array(instants, pa.int64())
    if dtype in _ARROW_TYPES:
        return pa.array(values, _ARROW_TYPES[dtype])
    encode = value_encoder(dtype)
    return pa.array([None if value is None else encode(value) for value in values], pa.binary())


def _is_exact(values: Sequence[Any], dtype: Dtype) -> bool:
    """Tell whether a column is right as it stands, without a look at each value where possible."""
    kinds = set(map(type, values)) - {_NONE}
    if not kinds:
        return True
    if dtype in _BOUNDS and kinds == {int}:
        numbers = [value for value in values if value is not None]
        return bool(-_BOUNDS[dtype] <= min(numbers) and max(numbers) < _BOUNDS[dtype])
    if dtype is Dtype.FLOAT32 and kinds == {float} and len(values) > _FEW:
        sizes = np.abs(np.array(values, np.float64))
        return not bool(np.any((sizes >= _FLOAT32_END) & np.isfinite(sizes)))
    return (dtype is Dtype.FLOAT64 and kinds == {float}) or (
        dtype is Dtype.BOOL and kinds == {bool}
    )


def _reader(dtype: Dtype) -> _Reader:
    if dtype.is_list or dtype.is_set:
        return _list_reader(dtype)
    if dtype.is_struct:
        fields = {name: _reader(field) for name, field in dtype.fields}
        return lambda value: _read_struct(value, fields)
    reader = _READERS.get(dtype.value)
    if reader is None:
        # A type without a form in JSON: no value of it can be right.
        return _refuse
    return reader


def _list_reader(dtype: Dtype) -> _Reader:
    read = _reader(dtype.element)

    def read_list(value: Any) -> list[Any]:
        if type(value) is not list:
            raise TypeError
        elements = [read(element) for element in value]
        value_encoder(dtype)(elements)
        return elements

    return read_list


def _read_struct(value: Any, fields: dict[str, _Reader]) -> dict[str, Any]:
    given = _read_map(value)
    if not given.keys() <= fields.keys():
        raise ValueError
    return {
        name: None if given.get(name) is None else read(given[name])
        for name, read in fields.items()
    }


def _read_map(value: Any) -> dict[str, Any]:
    # Feast's remote online store sends maps and structs as texts.
    content = orjson.loads(value) if type(value) is str else value
    if type(content) is not dict:
        raise TypeError
    value_encoder(Dtype("Map"))(content)
    return content


def _read_integer(bound: int) -> _Reader:
    def read(value: Any) -> int:
        if type(value) is not int or not -bound <= value < bound:
            raise TypeError
        return value

    return read


def _read_float(value: Any) -> float:
    if type(value) is str:
        return _NUMBER_NAMES[value]
    if type(value) is int and int(float(value)) == value:
        return float(value)
    if type(value) is not float:
        raise TypeError
    return value


def _read_float32(value: Any) -> float:
    number = _read_float(value)
    rounded = round_to_float32(number)
    if math.isinf(rounded) and not math.isinf(number):
        raise OverflowError
    return rounded


def _read_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _read_text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    value.encode("utf-8")  # Refuses a lone surrogate.
    return value


def _read_bytes(value: Any) -> bytes:
    return base64.b64decode(_read_text(value), validate=True)


def _read_instant(value: Any) -> datetime:
    if type(value) is int:
        return us_to_datetime(value * _US_PER_S)
    return us_to_datetime(floor_to_s(datetime_to_us(_read_iso(value))) * _US_PER_S)


def _read_zoned(value: Any) -> datetime:
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError
    instant.astimezone(UTC)  # Refuses what lies outside the years 1 to 9999 in UTC.
    return instant


def _read_iso(value: Any) -> datetime:
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    # Refuses what lies outside the years 1 to 9999 in UTC.
    return instant.astimezone(UTC)


def _refuse(_value: Any) -> None:
    raise TypeError


def _encodable(name: str) -> _Reader:
    """Return a reader of a type whose JSON form is its stored text."""

    def read(value: Any) -> str:
        text = _read_text(value)
        value_encoder(Dtype(name))(text)
        return text

    return read


_READERS: dict[str, _Reader] = {
    "Int32": _read_integer(2**31),
    "Int64": _read_integer(2**63),
    "Float32": _read_float32,
    "Float64": _read_float,
    "Bool": _read_flag,
    "String": _read_text,
    "Bytes": _read_bytes,
    "PdfBytes": _read_bytes,
    "ImageBytes": _read_bytes,
    "UnixTimestamp": _read_instant,
    "ZonedTimestamp": _read_zoned,
    "Map": _read_map,
    **{name: _encodable(name) for name in ("Json", "Uuid", "TimeUuid", "Decimal")},
}

_EXAMPLES = {
    "Int32": "a whole number from -2^31 to 2^31-1, without quotes",
    "Int64": "a whole number from -2^63 to 2^63-1, without quotes",
    "Float32": "a number within the range of a float32",
    "Float64": "a number",
    "Bool": "true or false",
    "String": "text",
    "Bytes": "base64 text",
    "UnixTimestamp": "whole seconds since 1970, or ISO 8601 text",
    "ZonedTimestamp": "ISO 8601 text with a zone",
    "Uuid": "8-4-4-4-12 hexadecimal digits",
    "Decimal": "the number as text",
    "ScalarMap": "it cannot be sent as JSON",
}


def _example(dtype: Dtype) -> str:
    if dtype.is_list or dtype.is_set:
        return f"a list without nulls, each {_example(dtype.element)}"
    return _EXAMPLES.get(dtype.value, "see the reference of the gateway")
