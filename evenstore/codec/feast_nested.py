"""Payloads of values that hold values: maps, structs, sets, lists of them, zoned timestamps.

What a value inside another one becomes is what stock Feast makes of the Arrow column: a scalar
loses its declared type (`Int32` becomes an int64, a UUID a string), a list of numbers keeps its
width, a struct becomes a map and a set a list. Map entries are in ascending order of their keys'
bytes, as protobuf's deterministic form has them; stock's own order differs from run to run. Where
stock refuses a value (an empty list in a struct, lists in a map, Arrow's maps) it becomes what
stock's readers take for the same value.
"""

from __future__ import annotations

import decimal
import math
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from evenstore.clock import datetime_to_us
from evenstore.codec.feast_fields import (
    LIST_FIELDS,
    MAP,
    MAP_LIST,
    NESTED_LIST,
    SCALAR_FIELDS,
    SCALAR_MAP,
    field_tag,
    inner_tag,
)
from evenstore.codec.feast_scalar import (
    DOUBLE,
    ELEMENT_TAG,
    PAYLOADS,
    Payload,
    length_delimited,
    list_payload,
    require_list,
)
from evenstore.codec.wire import encode_varint, to_unsigned
from evenstore.dtypes import Dtype
from evenstore.schema.on_demand_values import distinct_ascending
from evenstore.semantics import floor_to_s

__all__ = ["round_to_float32", "value_payload"]

_VALUE_TAG = b"\x12"
_SECONDS_TAG = b"\x08"
_F32 = struct.Struct("<f")


def value_payload(dtype: Dtype) -> Payload:
    """Return what makes the bytes behind the tag of a value of any type."""
    if dtype.is_set:
        return _set_payload(_elements_payload(dtype.element))
    if dtype.is_list:
        return _elements_payload(dtype.element)
    if dtype.is_struct:
        message = _struct_message(dtype)
        return lambda value: length_delimited(message(value))
    if dtype.value == "Map":
        return lambda value: length_delimited(_map_message(value))
    if dtype.value == "ScalarMap":
        return lambda value: length_delimited(_scalar_map_message(value))
    return _zoned_payload if dtype.value == "ZonedTimestamp" else PAYLOADS[dtype.value]


def _inner_value(dtype: Dtype) -> Payload:
    """Return what makes a whole `Value` of a value inside another one; null becomes no bytes."""
    tag = inner_tag(dtype)
    payload = _INNER_PAYLOADS.get(dtype.value) or value_payload(dtype)
    return lambda value: b"" if value is None else tag + payload(value)


def round_to_float32(value: float) -> float:
    """Round to the nearest float32, beyond the greatest one to infinity."""
    try:
        return float(_F32.unpack(_F32.pack(value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _float32_payload(value: float) -> bytes:
    if not isinstance(value, float):
        raise TypeError
    # A NaN keeps its bits, which a float32 in between would change.
    return DOUBLE(value if math.isnan(value) else round_to_float32(value))


_INNER_PAYLOADS: dict[str, Payload] = {
    "Float32": _float32_payload,
    "ZonedTimestamp": PAYLOADS["UnixTimestamp"],
}


def _elements_payload(element: Dtype) -> Payload:
    if element.value in PAYLOADS:
        return list_payload(element.value)
    if element.value == "ZonedTimestamp":
        return list_payload("UnixTimestamp")
    if element.value == "Map":
        return _repeated(_map_message)
    if element.is_struct:
        return _repeated(_struct_message(element))
    inner = _inner_value(element)
    if not (element.is_list or element.is_set):
        return _repeated(inner)
    # Stock stores an empty list inside a list as a value without content.
    return _repeated(lambda values: inner(values) if len(values) else b"")


def _repeated(message: Payload) -> Payload:
    def encode(values: Sequence[Any]) -> bytes:
        require_list(values)
        if any(value is None for value in values):
            raise TypeError
        return length_delimited(
            b"".join(ELEMENT_TAG + length_delimited(message(value)) for value in values)
        )

    return encode


def _set_payload(payload: Payload) -> Payload:
    def encode(values: Any) -> bytes:
        if not isinstance(values, list | tuple | set | frozenset):
            raise TypeError
        return payload(distinct_ascending(values))

    return encode


def _zoned_payload(value: datetime) -> bytes:
    seconds = floor_to_s(datetime_to_us(value))
    # Fields of this message have no presence: a zero and an empty text are left out.
    instant = _SECONDS_TAG + encode_varint(to_unsigned(seconds)) if seconds else b""
    zone = (getattr(value.tzinfo, "key", None) or str(value.tzinfo)).encode("utf-8")
    return length_delimited(instant + (_VALUE_TAG + length_delimited(zone) if zone else b""))


def _struct_message(dtype: Dtype) -> Payload:
    encoders = {name: _inner_value(field) for name, field in dtype.fields}

    def encode(value: Any) -> bytes:
        if not isinstance(value, Mapping) or not value.keys() <= encoders.keys():
            raise TypeError
        return _entries({name: inner(value.get(name)) for name, inner in encoders.items()})

    return encode


def _map_message(value: Any) -> bytes:
    return _entries({key: _free_value(item) for key, item in _pairs(value)})


def _entries(values: Mapping[str, bytes]) -> bytes:
    by_key = sorted((key.encode("utf-8"), value) for key, value in values.items())
    return b"".join(_entry(length_delimited(key), value) for key, value in by_key)


def _entry(key: bytes, value: bytes) -> bytes:
    return ELEMENT_TAG + length_delimited(ELEMENT_TAG + key + _VALUE_TAG + length_delimited(value))


def _scalar_map_message(value: Any) -> bytes:
    return b"".join(
        _entry(length_delimited(_map_key(key)), _free_value(item)) for key, item in _pairs(value)
    )


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    """Return keys and values of a dict, or of the list of pairs that Arrow makes of a map."""
    if isinstance(value, Mapping):
        return list(value.items())
    require_list(value)
    pairs = [(key, item) for key, item in value]
    if len({key for key, _ in pairs}) < len(pairs):
        msg = "a key stands twice"
        raise ValueError(msg)
    return pairs


# Of a map only the source knows the types: what follows tells them by the values, as stock does.


def _instant(value: date) -> datetime:
    # A map's source says no more of its instants; those without a zone are in UTC.
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _same(value: Any) -> Any:
    return value


_FREE_KINDS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    # bool comes before int, which it is too.
    (bool, "Bool", _same),
    (int, "Int64", _same),
    (float, "Float64", _same),
    (str, "String", _same),
    (bytes, "Bytes", _same),
    (date, "UnixTimestamp", _instant),
    (decimal.Decimal, "Decimal", str),
    (uuid.UUID, "Uuid", str),
)
_KEY_TAGS = {
    "Int64": b"\x10",
    "Float64": b"\x21",
    "Bool": b"\x28",
    "UnixTimestamp": b"\x30",
    "Bytes": b"\x3a",
    "Uuid": b"\x42",
    "Decimal": b"\x52",
}


def _kind(value: Any) -> tuple[str, Callable[[Any], Any]]:
    for kind, name, convert in _FREE_KINDS:
        if isinstance(value, kind):
            return name, convert
    raise TypeError


def _map_key(key: Any) -> bytes:
    name, convert = _kind(key)
    # No other text is a key of such a map: Arrow's UUIDs are texts.
    name = "Uuid" if name == "String" else name
    return _KEY_TAGS[name] + PAYLOADS[name](convert(key))


def _free_value(value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return field_tag(MAP) + length_delimited(_map_message(value))
        return field_tag(SCALAR_MAP) + length_delimited(_scalar_map_message(value))
    if isinstance(value, list | tuple):
        return _free_list(value)
    name, convert = _kind(value)
    return field_tag(SCALAR_FIELDS[name]) + PAYLOADS[name](convert(value))


def _free_list(values: Sequence[Any]) -> bytes:
    first = values[0] if values else []
    if isinstance(first, tuple):
        # No list of Arrow's holds tuples, but a map is a list of them.
        return _free_value(dict(_pairs(values)))
    if isinstance(first, Mapping) and all(isinstance(key, str) for item in values for key in item):
        return field_tag(MAP_LIST) + _repeated(_map_message)(values)
    if isinstance(first, list | Mapping):
        return field_tag(NESTED_LIST) + _repeated(_free_element)(values)
    name, convert = _kind(first)
    if any(_kind(item)[0] != name for item in values):
        raise TypeError
    return field_tag(LIST_FIELDS[name]) + list_payload(name)([convert(item) for item in values])


def _free_element(value: Any) -> bytes:
    if not isinstance(value, list | Mapping):
        raise TypeError
    # As in a list of declared type.
    return b"" if value == [] else _free_value(value)
