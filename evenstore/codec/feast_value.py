"""Feature values as bytes: Feast's `Value` message, encoded and decoded without protobuf or Feast.

A gateway worker must not import Feast (4.5 s, 179 MB), and one value at a time needs no message
object. Each type's bytes are the field's tag followed by the value:

```text
type             field  tag     value
Bytes            1      0A      length, bytes; PdfBytes and ImageBytes too
String           2      12      length, utf-8
Int32            3      18      varint of the 64-bit two's complement
Int64            4      20      varint of the 64-bit two's complement
Float64          5      29      8 bytes, little endian
Float32          6      35      4 bytes, little endian
Bool             7      38      00 or 01
UnixTimestamp    8      40      varint: seconds
lists            11-18  5A-92   length of a message whose field 1 holds the elements:
                                text and bytes one by one, numbers packed
sets             22-29  B2-EA   as lists; elements distinct, ascending
Map              20     A2 01   length of a message whose field 1 holds the entries: a message of
                                the key in field 1 and the value, a whole `Value`, in field 2
Array(Map)       21     AA 01   length of a message whose field 1 holds the maps
Json             32     82 02   length, utf-8; its list 33, 8A 02
Struct           34     92 02   as Map, each field's name an entry; a list of them 35, 9A 02
Uuid             36     A2 02   length, utf-8; list 38, B2 02; set 40, C2 02
TimeUuid         37     AA 02   length, utf-8; list 39, BA 02; set 41, CA 02
Array(Array())   42     D2 02   length of a message whose field 1 holds a `Value` per inner list,
                                an empty `Value` for an empty one; a set of lists 43, DA 02
Decimal          44     E2 02   length, utf-8; list 45, EA 02; set 46, F2 02
ScalarMap        47     FA 02   as Map, in the order given; the key is a message, too
ZonedTimestamp   48     82 03   length of a message of the seconds and the zone's name
null                            no bytes at all
```

Encoding is byte for byte what Feast's own messages serialize to (tested against them); a zero is
still written, because a oneof member has presence. Floats keep every bit, NaN payloads included.
`feast_nested` says which fields stock Feast takes for values inside others.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evenstore.codec.feast_fields import value_tag
from evenstore.codec.feast_message import read_nested
from evenstore.codec.feast_nested import value_payload
from evenstore.codec.feast_scalar import READERS, REFUSALS, Reader, list_reader, read_instant
from evenstore.codec.refusal import show_value
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError, CorruptRowError

__all__ = [
    "ColumnDecoder",
    "ValueDecoder",
    "ValueEncoder",
    "column_decoder",
    "value_decoder",
    "value_encoder",
]

ColumnDecoder = Callable[[Sequence[bytes]], Sequence[Any]]
# Types whose values all have one size, in `struct`'s language, and tags of one byte.
_FIXED_FORMATS = {Dtype.FLOAT64: "d", Dtype.FLOAT32: "f"}
_MAX_SIZES = 512
ValueEncoder = Callable[[Any], bytes]
ValueDecoder = Callable[[bytes], Any]


def value_encoder(dtype: Dtype) -> ValueEncoder:
    """Return the function that encodes one value of a type; null becomes no bytes.

    It takes what Arrow's `to_pylist` gives for the offline type: a map is a dict or a list of
    pairs, a UUID, a decimal or JSON its text. It raises `CodecError` for a value that is not of the
    type, and converts nothing.

    Raises:
        UnsupportedDtypeError: Feast's message has no field for the type.
    """
    tag = value_tag(dtype)
    payload = value_payload(dtype)

    def encode(value: Any) -> bytes:
        if value is None:
            return b""
        try:
            return tag + payload(value)
        except REFUSALS as exc:
            msg = f"{show_value(value)} cannot be stored as {dtype.value}"
            hint = "nulls inside lists cannot be kept: leave them out"
            raise CodecError(msg, hint=hint if _has_null_element(value) else None) from exc

    return encode


def value_decoder(dtype: Dtype) -> ValueDecoder:
    """Return the function that decodes one value of a type; no bytes become None.

    It gives the plain Python values that the offline store has: timestamps are aware datetimes in
    UTC (a zoned one in its zone), maps and structs dicts, sets lists of distinct elements in
    ascending order; a timestamp that stock Feast stored for null is None. The function raises
    `CorruptRowError` for bytes that are not a value of the type: a type change is never misread.

    Raises:
        UnsupportedDtypeError: Feast's message has no field for the type.
    """
    tag = value_tag(dtype)
    read = _reader(dtype)

    def decode(data: bytes) -> Any:
        if not data:
            return None
        if not data.startswith(tag):
            msg = f"stored bytes are not {dtype.value}: {data[:12]!r}"
            raise CorruptRowError(msg, hint="the feature was retyped: materialize it again")
        try:
            value, end = read(data, len(tag))
        except (LookupError, *REFUSALS) as exc:
            msg = f"stored bytes are not {dtype.value}: {data[:12]!r}"
            raise CorruptRowError(msg) from exc
        if end != len(data):
            msg = f"{len(data) - end} bytes behind a stored {dtype.value}"
            raise CorruptRowError(msg)
        return value

    return decode


def column_decoder(dtype: Dtype) -> ColumnDecoder:
    """Return the function that decodes many values of a type; no bytes become None.

    It gives what `value_decoder` gives for each value, and raises as it does.

    Raises:
        UnsupportedDtypeError: Feast's message has no field for the type.
    """
    decode = value_decoder(dtype)
    if dtype not in _FIXED_FORMATS:
        return lambda column: [decode(data) for data in column]
    tag = value_tag(dtype)
    form = _FIXED_FORMATS[dtype]
    size = len(tag) + struct.calcsize("<" + form)

    @functools.lru_cache(maxsize=_MAX_SIZES)
    def unpack(n_values: int) -> Callable[[bytes], tuple[Any, ...]]:
        return struct.Struct("<" + f"{len(tag)}x{form}" * n_values).unpack

    def decode_fixed(column: Sequence[bytes]) -> Sequence[Any]:
        data = b"".join(column)
        n_values = len(column)
        if set(map(len, column)) != {size} or data[::size] != tag * n_values:
            return [decode(each) for each in column]
        return unpack(n_values)(data)

    return decode_fixed


def _reader(dtype: Dtype) -> Reader:
    if not dtype.is_plain:
        return read_nested(dtype)
    if dtype.is_list:
        return list_reader(dtype.element.value)
    return read_instant if dtype is Dtype.UNIX_TIMESTAMP else READERS[dtype.value]


def _has_null_element(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_null_element(item) for item in value.values())
    if isinstance(value, list | tuple):
        # A tuple is a key and a value of a map, which may be null.
        is_list = isinstance(value, list)
        return any(_has_null_element(item) or (is_list and item is None) for item in value)
    return False
