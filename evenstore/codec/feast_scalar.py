"""Payloads of Feast's scalar values and of lists of them: what stands behind a field's tag.

`feast_value` has the format. Payloads convert nothing: what is not of the type is refused by an
error of `REFUSALS`.
"""

from __future__ import annotations

import decimal
import functools
import json
import struct
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.codec.wire import (
    encode_varint,
    read_length_delimited,
    read_varint,
    to_signed,
    to_unsigned,
)
from evenstore.errors import ConfigurationError, CorruptRowError
from evenstore.semantics import floor_to_s

__all__ = [
    "DOUBLE",
    "ELEMENT_TAG",
    "NULL_SECONDS",
    "PACKED",
    "PAYLOADS",
    "READERS",
    "REFUSALS",
    "Payload",
    "Read",
    "Reader",
    "length_delimited",
    "list_payload",
    "list_reader",
    "read_instant",
    "require_list",
]

Payload = Callable[[Any], bytes]
Read = tuple[Any, int]
Reader = Callable[[bytes, int], Read]

ELEMENT_TAG = b"\x0a"
"""Tag of field 1, length-delimited: elements of lists, entries and keys of maps."""

NULL_SECONDS = -(1 << 63)
"""What stock Feast stores for a null UNIX_TIMESTAMP that a run reads: NumPy's NaT."""

# A datetime without a zone is a ConfigurationError of the clock.
REFUSALS = (
    struct.error,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    ConfigurationError,
)
"""Errors by which a payload refuses a value."""

_F64 = struct.Struct("<d")
_F32 = struct.Struct("<f")
_US_PER_S = 1_000_000
_INT32_BOUND = 1 << 31


def length_delimited(payload: bytes) -> bytes:
    """Put the length before a payload."""
    return encode_varint(len(payload)) + payload


def _integer_payload(bits: int) -> Payload:
    bound = 1 << (bits - 1)

    def encode(value: Any) -> bytes:
        if isinstance(value, bool) or not -bound <= value < bound:
            raise TypeError
        return encode_varint(to_unsigned(value.__index__()))

    return encode


def _float_payload(packing: struct.Struct) -> Payload:
    def encode(value: Any) -> bytes:
        # An int is refused, as struct would round those that a float cannot hold.
        if not isinstance(value, float):
            raise TypeError
        return packing.pack(value)

    return encode


def _bool_payload(value: Any) -> bytes:
    if value is not True and value is not False:
        raise TypeError
    return b"\x01" if value else b"\x00"


def _timestamp_payload(value: datetime) -> bytes:
    return encode_varint(to_unsigned(floor_to_s(datetime_to_us(value))))


def _text_payload(value: str) -> bytes:
    return length_delimited(value.encode("utf-8"))


def _bytes_payload(value: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return length_delimited(value)


def _json_payload(value: str) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    json.loads(value)
    return _text_payload(value)


def _uuid_payload(value: str) -> bytes:
    # One UUID has one text, or sets and comparisons would take its spellings for different ones.
    if str(uuid.UUID(value)) != value:
        raise ValueError
    return _text_payload(value)


def _decimal_payload(value: str) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    decimal.Decimal(value)
    return _text_payload(value)


DOUBLE: Payload = _float_payload(_F64)

PAYLOADS: dict[str, Payload] = {
    "Bytes": _bytes_payload,
    "String": _text_payload,
    "Int32": _integer_payload(32),
    "Int64": _integer_payload(64),
    "Float64": DOUBLE,
    "Float32": _float_payload(_F32),
    "Bool": _bool_payload,
    "UnixTimestamp": _timestamp_payload,
    "PdfBytes": _bytes_payload,
    "ImageBytes": _bytes_payload,
    "Json": _json_payload,
    "Uuid": _uuid_payload,
    "TimeUuid": _uuid_payload,
    "Decimal": _decimal_payload,
}
"""The payload of each scalar that is one number or text, by the type's name."""

PACKED = frozenset({"Int32", "Int64", "Float64", "Float32", "Bool", "UnixTimestamp"})
"""Names of the types whose lists are packed: all numbers behind one tag."""


def list_payload(element: str) -> Payload:
    """Return the payload of a list of scalars: a message whose field 1 holds the elements."""
    payload = PAYLOADS[element]

    def encode_each(values: Sequence[Any]) -> bytes:
        require_list(values)
        return length_delimited(b"".join(ELEMENT_TAG + payload(value) for value in values))

    def encode_packed(values: Sequence[Any]) -> bytes:
        require_list(values)
        if not values:
            return b"\x00"
        packed = b"".join(payload(value) for value in values)
        return length_delimited(ELEMENT_TAG + length_delimited(packed))

    return encode_packed if element in PACKED else encode_each


def require_list(values: object) -> None:
    """Refuse what can be walked but is no list of values: a text, bytes, a set.

    Raises:
        TypeError: It is one of those.
    """
    if not isinstance(values, list | tuple):
        raise TypeError


def _read_integer(data: bytes, offset: int) -> Read:
    value, end = read_varint(data, offset)
    return to_signed(value), end


def _read_int32(data: bytes, offset: int) -> Read:
    value, end = _read_integer(data, offset)
    if not -_INT32_BOUND <= value < _INT32_BOUND:
        raise OverflowError
    return value, end


def _read_bool(data: bytes, offset: int) -> Read:
    value, end = read_varint(data, offset)
    return value != 0, end


def _read_timestamp(data: bytes, offset: int) -> Read:
    seconds, end = _read_integer(data, offset)
    return us_to_datetime(seconds * _US_PER_S), end


def read_instant(data: bytes, offset: int) -> Read:
    """Read a UNIX_TIMESTAMP that may be stock Feast's null: outside a list."""
    seconds, end = _read_integer(data, offset)
    return None if seconds == NULL_SECONDS else us_to_datetime(seconds * _US_PER_S), end


def _read_text(data: bytes, offset: int) -> Read:
    payload, end = read_length_delimited(data, offset)
    return payload.decode("utf-8"), end


def _read_float64(data: bytes, offset: int) -> Read:
    return _F64.unpack_from(data, offset)[0], offset + 8


def _read_float32(data: bytes, offset: int) -> Read:
    return _F32.unpack_from(data, offset)[0], offset + 4


READERS: dict[str, Reader] = {
    "Bytes": read_length_delimited,
    "String": _read_text,
    "Int32": _read_int32,
    "Int64": _read_integer,
    "Float64": _read_float64,
    "Float32": _read_float32,
    "Bool": _read_bool,
    "UnixTimestamp": _read_timestamp,
}
"""The readers of the scalars that have a wire form of their own."""


def list_reader(element: str) -> Reader:
    """Return the reader of a list of scalars."""
    read = READERS[element]
    is_packed = element in PACKED
    read_all = _READ_ALL.get(element) or functools.partial(_read_all, read)

    def read_list(data: bytes, offset: int) -> Read:
        message, end = read_length_delimited(data, offset)
        values: list[Any] = []
        position = 0
        while position < len(message):
            if message[position : position + 1] != ELEMENT_TAG:
                msg = f"stored bytes are not a list of {element}: {message[:12]!r}"
                raise CorruptRowError(msg)
            if is_packed:
                packed, position = read_length_delimited(message, position + 1)
                values.extend(read_all(packed))
            else:
                value, position = read(message, position + 1)
                values.append(value)
        return values, end

    return read_list


def _read_doubles(packed: bytes) -> tuple[Any, ...]:
    return struct.unpack(f"<{len(packed) // 8}d", packed)


def _read_singles(packed: bytes) -> tuple[Any, ...]:
    return struct.unpack(f"<{len(packed) // 4}f", packed)


_READ_ALL: dict[str, Callable[[bytes], Sequence[Any]]] = {
    "Float64": _read_doubles,
    "Float32": _read_singles,
}
"""Numbers of fixed width are read in one call, which refuses a rest."""


def _read_all(read: Reader, packed: bytes) -> list[Any]:
    values = []
    offset = 0
    while offset < len(packed):
        value, offset = read(packed, offset)
        values.append(value)
    return values
