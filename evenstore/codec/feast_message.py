"""Reads Feast's `Value` messages that hold values, and gives them their declared types.

What is read is what any writer may have stored: Feast's SDK, which stores a pushed struct by its
Python values, as well as our own runs. So a value inside another one is first read by the field it
is in, then given its declared type where that is exact; else it is refused, never misread.
"""

from __future__ import annotations

import decimal
import re
import uuid
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from evenstore.clock import us_to_datetime
from evenstore.codec.feast_fields import (
    LIST_FIELDS,
    NESTED_LIST,
    NESTED_SET,
    SCALAR_FIELDS,
    SET_FIELDS,
    STRUCT,
    STRUCT_LIST,
    field_tag,
    value_tag,
)
from evenstore.codec.feast_nested import round_to_float32
from evenstore.codec.feast_scalar import (
    NULL_SECONDS,
    READERS,
    Read,
    Reader,
    list_reader,
    read_instant,
)
from evenstore.codec.wire import read_length_delimited, read_varint, to_signed
from evenstore.dtypes import Dtype
from evenstore.schema.on_demand_values import distinct_ascending

__all__ = ["read_nested"]

_US_PER_S = 1_000_000
_EXACT_FLOAT = 1 << 53
_INT_BOUNDS = {"Int32": 1 << 31, "Int64": 1 << 63}
_FIRST, _SECOND = 1, 2
_LENGTH_DELIMITED = 2
_SECONDS_TAG, _ZONE_TAG = 0x08, 0x12
_NULL_TAG = 19 << 3
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d\d):?(\d\d)")


class _DecimalText(str):
    """A text that Feast stored as a decimal: a map gives a number back, a declared one its text."""

    __slots__ = ()


def read_nested(dtype: Dtype) -> Reader:
    """Return the reader of the bytes behind the tag of a value of any type.

    The reader raises an error of `feast_scalar.REFUSALS`, or a `CorruptRowError`, for bytes that
    are not of the type.
    """
    conform = _conformer(dtype)
    read = _READERS[read_varint(value_tag(dtype), 0)[0]]

    def read_declared(data: bytes, offset: int) -> Read:
        value, end = read(data, offset)
        return (None if value is None else conform(value)), end

    return read_declared


def _read_value(data: bytes) -> Any:
    value = None
    position = 0
    while position < len(data):
        tag, position = read_varint(data, position)
        value, position = _READERS[tag](data, position)
    return value


def _message(read: Callable[[bytes], Any]) -> Reader:
    def read_message(data: bytes, offset: int) -> Read:
        message, end = read_length_delimited(data, offset)
        return read(message), end

    return read_message


def _parts(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Read a message of length-delimited fields: their numbers and contents."""
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        if tag & 7 != _LENGTH_DELIMITED:
            raise ValueError
        content, position = read_length_delimited(message, position)
        yield tag >> 3, content


def _elements(message: bytes) -> Iterator[bytes]:
    for number, content in _parts(message):
        if number != _FIRST:
            raise ValueError
        yield content


def _read_entries(message: bytes) -> Iterator[tuple[bytes, Any]]:
    for entry in _elements(message):
        # Of a map's entry protobuf's writers may leave out what is empty.
        parts = {_FIRST: b"", _SECOND: b"", **dict(_parts(entry))}
        if len(parts) > _SECOND:
            raise ValueError
        yield parts[_FIRST], _read_value(parts[_SECOND])


def _read_map(message: bytes) -> dict[str, Any]:
    return {key.decode("utf-8"): value for key, value in _read_entries(message)}


def _read_scalar_map(message: bytes) -> dict[Any, Any]:
    return {_read_key(key): value for key, value in _read_entries(message)}


def _read_key(data: bytes) -> Any:
    tag, position = read_varint(data, 0)
    key, end = _KEY_READERS[tag](data, position)
    if end != len(data):
        raise ValueError
    return _free(key)


def _read_maps(message: bytes) -> list[Any]:
    return [_read_map(element) for element in _elements(message)]


def _read_values(message: bytes) -> list[Any]:
    # Stock stores an empty list inside a list as a value without content; nulls are refused there.
    values = (_read_value(element) for element in _elements(message))
    return [[] if value is None else value for value in values]


def _read_zoned(message: bytes) -> datetime | None:
    seconds, zone, position = 0, "", 0
    while position < len(message):
        tag, position = read_varint(message, position)
        if tag == _SECONDS_TAG:
            unsigned, position = read_varint(message, position)
            seconds = to_signed(unsigned)
        elif tag == _ZONE_TAG:
            text, position = read_length_delimited(message, position)
            zone = text.decode("utf-8")
        else:
            raise ValueError
    if seconds == NULL_SECONDS:
        return None
    instant = us_to_datetime(seconds * _US_PER_S)
    return instant if zone in {"", "UTC"} else instant.astimezone(_find_zone(zone))


def _find_zone(name: str) -> tzinfo:
    """Find a zone as stock does: by its IANA name or offset, UTC where it is neither."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        offset = _OFFSET.fullmatch(name)
    if offset is None:
        return UTC
    sign, hours, minutes = offset.groups()
    distance = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-distance if sign == "-" else distance)


def _read_null(data: bytes, offset: int) -> Read:
    return None, read_varint(data, offset)[1]


def _read_uuid(data: bytes, offset: int) -> Read:
    text, end = READERS["String"](data, offset)
    # Stock stores any spelling.
    return str(uuid.UUID(text)), end


def _read_decimal(data: bytes, offset: int) -> Read:
    text, end = READERS["String"](data, offset)
    return _DecimalText(text), end


def _read_decimals(data: bytes, offset: int) -> Read:
    texts, end = list_reader("String")(data, offset)
    return [_DecimalText(text) for text in texts], end


def _reader(name: str) -> Reader:
    nested = {
        "Map": _message(_read_map),
        "ScalarMap": _message(_read_scalar_map),
        "ZonedTimestamp": _message(_read_zoned),
        "UnixTimestamp": read_instant,
        "Uuid": _read_uuid,
        "TimeUuid": _read_uuid,
        "Decimal": _read_decimal,
    }
    return nested.get(name) or READERS.get(name, READERS["String"])


def _many_reader(name: str) -> Reader:
    if name == "Decimal":
        return _read_decimals
    if name == "Map":
        return _message(_read_maps)
    return list_reader(name if name in READERS else "String")


_SCALAR_READERS = {
    number: _reader(name)
    for name, number in SCALAR_FIELDS.items()
    if name not in {"PdfBytes", "ImageBytes"}
}
_MANY_READERS = {
    number: _many_reader(name)
    for fields in (LIST_FIELDS, SET_FIELDS)
    for name, number in fields.items()
}
_READERS: dict[int, Reader] = {
    read_varint(field_tag(number), 0)[0]: read
    for number, read in {
        **_SCALAR_READERS,
        **_MANY_READERS,
        STRUCT: _message(_read_map),
        STRUCT_LIST: _message(_read_maps),
        NESTED_LIST: _message(_read_values),
        NESTED_SET: _message(_read_values),
    }.items()
} | {_NULL_TAG: _read_null}
_KEY_READERS: dict[int, Reader] = {
    0x08: READERS["Int32"],
    0x10: READERS["Int64"],
    0x1D: READERS["Float32"],
    0x21: READERS["Float64"],
    0x28: READERS["Bool"],
    0x30: READERS["UnixTimestamp"],
    0x3A: READERS["Bytes"],
    0x42: _read_uuid,
    0x4A: _read_uuid,
    0x52: _read_decimal,
}


_Conform = Callable[[Any], Any]


def _conformer(dtype: Dtype) -> _Conform:
    if dtype.is_list:
        return _list_conformer(_conformer(dtype.element))
    if dtype.is_set:
        conform_list = _list_conformer(_conformer(dtype.element))
        return lambda values: distinct_ascending(conform_list(values))
    if dtype.is_struct:
        return _struct_conformer({name: _conformer(field) for name, field in dtype.fields})
    return _CONFORMERS[dtype.value]


def _list_conformer(conform: _Conform) -> _Conform:
    return lambda values: [conform(value) for value in _exactly(list)(values)]


def _struct_conformer(fields: Mapping[str, _Conform]) -> _Conform:
    def conform(value: Any) -> dict[str, Any]:
        stored = _exactly(dict)(value)
        return {
            name: None if stored.get(name) is None else conform_field(stored[name])
            for name, conform_field in fields.items()
        }

    return conform


def _exactly(*kinds: type) -> _Conform:
    def conform(value: Any) -> Any:
        # bool is a subclass of int, but True is no count.
        if type(value) not in kinds:
            raise TypeError
        return value

    return conform


def _integer(name: str) -> _Conform:
    bound = _INT_BOUNDS[name]

    def conform(value: Any) -> int:
        integer = int(_exactly(int, float)(value))
        # Stock makes an integer a float where another struct of a list has a null.
        is_kept = type(value) is int or (integer == value and abs(integer) <= _EXACT_FLOAT)
        if not is_kept or not -bound <= integer < bound:
            raise OverflowError
        return integer

    return conform


def _float64(value: Any) -> float:
    widened = float(_exactly(float, int)(value))
    if type(value) is int and int(widened) != value:
        raise OverflowError
    return widened


def _float32(value: Any) -> float:
    widened = _float64(value)
    return widened if widened != widened else round_to_float32(widened)  # noqa: PLR0124 - NaN.


def _uuid(value: Any) -> str:
    return str(uuid.UUID(_exactly(str)(value)))


def _decimal(value: Any) -> str:
    decimal.Decimal(_exactly(str, _DecimalText)(value))
    return str(value)


def _map(value: Any) -> Any:
    return _free(_exactly(dict)(value))


def _free(value: Any) -> Any:
    """Give the values of a map, whose types are not declared, the types they are stored with."""
    if isinstance(value, _DecimalText):
        return decimal.Decimal(value)
    if isinstance(value, list):
        return [_free(item) for item in value]
    if isinstance(value, dict):
        return {key: _free(item) for key, item in value.items()}
    return value


_CONFORMERS: dict[str, _Conform] = {
    "Bytes": _exactly(bytes),
    "PdfBytes": _exactly(bytes),
    "ImageBytes": _exactly(bytes),
    "String": _exactly(str),
    "Json": _exactly(str),
    "Uuid": _uuid,
    "TimeUuid": _uuid,
    "Decimal": _decimal,
    "Int32": _integer("Int32"),
    "Int64": _integer("Int64"),
    "Float64": _float64,
    "Float32": _float32,
    "Bool": _exactly(bool),
    "UnixTimestamp": _exactly(datetime),
    "ZonedTimestamp": _exactly(datetime),
    "Map": _map,
    "ScalarMap": _map,
}
