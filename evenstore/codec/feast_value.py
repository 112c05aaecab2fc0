"""Feature values as bytes: Feast's `Value` message, encoded and decoded without protobuf or Feast.

A gateway worker must not import Feast (4.5 s, 179 MB), and one value at a time needs no message
object. Each type's bytes are the field's tag followed by the value:

```text
type             field  tag     value
Bytes            1      0A      length, bytes
String           2      12      length, utf-8
Int32            3      18      varint of the 64-bit two's complement
Int64            4      20      varint of the 64-bit two's complement
Float64          5      29      8 bytes, little endian
Float32          6      35      4 bytes, little endian
Bool             7      38      00 or 01
UnixTimestamp    8      40      varint: seconds
lists            11-18  5A-92   length of a message whose field 1 holds the elements:
                                text and bytes one by one, numbers packed
null                            no bytes at all
```

Encoding is byte for byte what Feast's own messages serialize to (tested against them); a zero is
still written, because a oneof member has presence. Floats keep every bit, NaN payloads included.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.codec.refusal import show_value
from evenstore.codec.wire import (
    encode_varint,
    read_length_delimited,
    read_varint,
    to_signed,
    to_unsigned,
)
from evenstore.dtypes import Dtype
from evenstore.errors import (
    CodecError,
    ConfigurationError,
    CorruptRowError,
    UnsupportedDtypeError,
)
from evenstore.semantics import floor_to_s

__all__ = ["ValueDecoder", "ValueEncoder", "value_decoder", "value_encoder"]

ValueEncoder = Callable[[Any], bytes]
ValueDecoder = Callable[[bytes], Any]

_F64 = struct.Struct("<d")
_F32 = struct.Struct("<f")
_US_PER_S = 1_000_000
_INT32_BOUND = 1 << 31

_FIELD_NUMBERS = {
    Dtype.BYTES: 1,
    Dtype.STRING: 2,
    Dtype.INT32: 3,
    Dtype.INT64: 4,
    Dtype.FLOAT64: 5,
    Dtype.FLOAT32: 6,
    Dtype.BOOL: 7,
    Dtype.UNIX_TIMESTAMP: 8,
    Dtype.BYTES_LIST: 11,
    Dtype.STRING_LIST: 12,
    Dtype.INT32_LIST: 13,
    Dtype.INT64_LIST: 14,
    Dtype.FLOAT64_LIST: 15,
    Dtype.FLOAT32_LIST: 16,
    Dtype.BOOL_LIST: 17,
    Dtype.UNIX_TIMESTAMP_LIST: 18,
}
_LENGTH_DELIMITED = 2
_ELEMENT_TAG = b"\x0a"
_WIRE_TYPES = {Dtype.FLOAT64: 1, Dtype.FLOAT32: 5, Dtype.BYTES: 2, Dtype.STRING: 2}
_UNPACKED = frozenset({Dtype.BYTES, Dtype.STRING})


def value_encoder(dtype: Dtype) -> ValueEncoder:
    """Return the function that encodes one value of a type; null becomes no bytes.

    The function raises `CodecError` for a value that is not of the type; it converts nothing.

    Raises:
        UnsupportedDtypeError: The type is kept offline only.
    """
    tag = _tag(dtype)
    payload = _list_payload(dtype.element) if dtype.is_list else _PAYLOADS[dtype]

    def encode(value: Any) -> bytes:
        if value is None:
            return b""
        try:
            return tag + payload(value)
        except _REFUSALS as exc:
            msg = f"{show_value(value)} cannot be stored as {dtype.value}"
            raise CodecError(msg) from exc

    return encode


# A datetime without a zone is a ConfigurationError of the clock.
_REFUSALS = (
    struct.error,
    TypeError,
    AttributeError,
    OverflowError,
    UnicodeError,
    ConfigurationError,
)


def value_decoder(dtype: Dtype) -> ValueDecoder:
    """Return the function that decodes one value of a type; no bytes become None.

    Timestamps become aware datetimes in UTC. The function raises `CorruptRowError` for bytes that
    are not a value of the type: a type change is never misread.

    Raises:
        UnsupportedDtypeError: The type is kept offline only.
    """
    tag = _tag(dtype)
    read = _list_reader(dtype.element) if dtype.is_list else _READERS[dtype]

    def decode(data: bytes) -> Any:
        if not data:
            return None
        if not data.startswith(tag):
            msg = f"stored bytes are not {dtype.value}: {data[:12]!r}"
            raise CorruptRowError(msg, hint="the feature was retyped: materialize it again")
        try:
            value, end = read(data, len(tag))
        except (struct.error, UnicodeDecodeError, OverflowError) as exc:
            msg = f"stored bytes are not {dtype.value}: {data[:12]!r}"
            raise CorruptRowError(msg) from exc
        if end != len(data):
            msg = f"{len(data) - end} bytes behind a stored {dtype.value}"
            raise CorruptRowError(msg)
        return value

    return decode


def _tag(dtype: Dtype) -> bytes:
    if not dtype.is_kept_online:
        msg = f"type `{dtype.value}` is kept offline only: it has no online value"
        raise UnsupportedDtypeError(msg, hint="leave the feature out of what is read online")
    wire_type = _LENGTH_DELIMITED if dtype.is_list else _WIRE_TYPES.get(dtype, 0)
    return encode_varint(_FIELD_NUMBERS[dtype] << 3 | wire_type)


def _length_delimited(payload: bytes) -> bytes:
    return encode_varint(len(payload)) + payload


def _integer_payload(bits: int) -> Callable[[Any], bytes]:
    bound = 1 << (bits - 1)

    def encode(value: Any) -> bytes:
        if isinstance(value, bool) or not -bound <= value < bound:
            raise TypeError
        return encode_varint(to_unsigned(value.__index__()))

    return encode


def _float_payload(packing: struct.Struct) -> Callable[[Any], bytes]:
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
    return _length_delimited(value.encode("utf-8"))


def _bytes_payload(value: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return _length_delimited(value)


_PAYLOADS: dict[Dtype, Callable[[Any], bytes]] = {
    Dtype.BYTES: _bytes_payload,
    Dtype.STRING: _text_payload,
    Dtype.INT32: _integer_payload(32),
    Dtype.INT64: _integer_payload(64),
    Dtype.FLOAT64: _float_payload(_F64),
    Dtype.FLOAT32: _float_payload(_F32),
    Dtype.BOOL: _bool_payload,
    Dtype.UNIX_TIMESTAMP: _timestamp_payload,
}


def _list_payload(element: Dtype) -> Callable[[Sequence[Any]], bytes]:
    payload = _PAYLOADS[element]

    def encode_each(values: Sequence[Any]) -> bytes:
        _require_list(values)
        return _length_delimited(b"".join(_ELEMENT_TAG + payload(value) for value in values))

    def encode_packed(values: Sequence[Any]) -> bytes:
        _require_list(values)
        if not values:
            return b"\x00"
        packed = b"".join(payload(value) for value in values)
        return _length_delimited(_ELEMENT_TAG + _length_delimited(packed))

    return encode_each if element in _UNPACKED else encode_packed


def _require_list(values: object) -> None:
    # A text, bytes or a set can be walked too, but is no list of values.
    if not isinstance(values, list | tuple):
        raise TypeError


_Read = tuple[Any, int]


def _read_integer(data: bytes, offset: int) -> _Read:
    value, end = read_varint(data, offset)
    return to_signed(value), end


def _read_int32(data: bytes, offset: int) -> _Read:
    value, end = _read_integer(data, offset)
    if not -_INT32_BOUND <= value < _INT32_BOUND:
        raise OverflowError
    return value, end


def _read_bool(data: bytes, offset: int) -> _Read:
    value, end = read_varint(data, offset)
    return value != 0, end


def _read_timestamp(data: bytes, offset: int) -> _Read:
    seconds, end = _read_integer(data, offset)
    return us_to_datetime(seconds * _US_PER_S), end


def _read_text(data: bytes, offset: int) -> _Read:
    payload, end = read_length_delimited(data, offset)
    return payload.decode("utf-8"), end


def _read_float64(data: bytes, offset: int) -> _Read:
    return _F64.unpack_from(data, offset)[0], offset + 8


def _read_float32(data: bytes, offset: int) -> _Read:
    return _F32.unpack_from(data, offset)[0], offset + 4


_READERS: dict[Dtype, Callable[[bytes, int], _Read]] = {
    Dtype.BYTES: read_length_delimited,
    Dtype.STRING: _read_text,
    Dtype.INT32: _read_int32,
    Dtype.INT64: _read_integer,
    Dtype.FLOAT64: _read_float64,
    Dtype.FLOAT32: _read_float32,
    Dtype.BOOL: _read_bool,
    Dtype.UNIX_TIMESTAMP: _read_timestamp,
}


def _list_reader(element: Dtype) -> Callable[[bytes, int], _Read]:
    read = _READERS[element]
    is_packed = element not in _UNPACKED

    def read_list(data: bytes, offset: int) -> _Read:
        message, end = read_length_delimited(data, offset)
        values: list[Any] = []
        position = 0
        while position < len(message):
            if message[position : position + 1] != _ELEMENT_TAG:
                msg = f"stored bytes are not a list of {element.value}: {message[:12]!r}"
                raise CorruptRowError(msg)
            if is_packed:
                packed, position = read_length_delimited(message, position + 1)
                values.extend(_read_all(read, packed))
            else:
                value, position = read(message, position + 1)
                values.append(value)
        return values, end

    return read_list


def _read_all(read: Callable[[bytes, int], _Read], packed: bytes) -> list[Any]:
    values = []
    offset = 0
    while offset < len(packed):
        value, offset = read(packed, offset)
        values.append(value)
    return values
