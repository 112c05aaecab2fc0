"""Values of the gateway's JSON in one plain form, exactly as their declared types say.

A plain value is a `bool`, `int`, `float`, `str` or `bytes`, a tuple of those for a list, or None
for null. UNIX_TIMESTAMP is an int of whole seconds; Float32 is the float that equals the float32.
A value that holds values is its own JSON, arrays as tuples and an object as the tuple of its names
and values in ascending order: `evenstore.codec.json_value` makes the same JSON of offline values.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import pyarrow as pa

from evenstore.clock import datetime_to_us
from evenstore.dtypes import Dtype
from evenstore.errors import UnsupportedDtypeError
from evenstore.schema.arrow import arrow_type
from evenstore.semantics import Status

__all__ = ["PlainValue", "Scalar", "Undecodable", "decode_online", "freeze_json", "to_arrow"]

_US_PER_S = 1_000_000
_INT_BOUNDS = {Dtype.INT32: 2**31, Dtype.INT64: 2**63, Dtype.UNIX_TIMESTAMP: 2**63}
_BLOBS = frozenset({"PdfBytes", "ImageBytes"})
_TEXTS = frozenset({"Json", "Uuid", "TimeUuid", "Decimal"})
_ZONED = "ZonedTimestamp"
_FLOAT_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True, eq=False)
class Undecodable:
    """A value that its declared type does not allow; it equals nothing, not even its like."""

    raw: str


_Kind = TypeVar("_Kind", bool, int, str)
Scalar = bool | int | float | str | bytes
PlainValue = Scalar | tuple["PlainValue | None", ...] | Undecodable


def decode_online(
    dtype: Dtype, values: Sequence[Any], statuses: Sequence[Status]
) -> list[PlainValue | None]:
    """Decode one column of the gateway's JSON to plain values.

    A float NaN travels as null beside PRESENT; inside a list a null is always NaN, because both
    stores refuse nulls inside lists. A value of another JSON type than the declared one becomes
    `Undecodable`, so that it is reported as a difference instead of stopping the comparison.
    """
    if dtype.is_list or not dtype.is_plain:
        decode = _list_decoder(dtype) if dtype.is_plain else _further_decoder(dtype)
        return [None if value is None else _decode(decode, value) for value in values]
    decode = _SCALAR_DECODERS[dtype]
    null_when_present = math.nan if dtype.is_float else None
    return [
        (null_when_present if status is Status.PRESENT else None)
        if value is None
        else _decode(decode, value)
        for value, status in zip(values, statuses, strict=True)
    ]


def freeze_json(value: Any) -> PlainValue | None:
    """Make a plain value of what a JSON text was parsed to."""
    if isinstance(value, dict):
        return tuple((name, freeze_json(value[name])) for name in sorted(value))
    if isinstance(value, list):
        return tuple(freeze_json(item) for item in value)
    plain: Scalar | None = value
    return plain


def to_arrow(dtype: Dtype, values: Sequence[PlainValue | None]) -> pa.Array:
    """Make the Arrow column that the offline store has for the same values.

    Args:
        dtype: The declared type.
        values: Plain values, none of them `Undecodable`.

    Raises:
        UnsupportedDtypeError: The type's values hold values, whose own types JSON has not.
    """
    instants: Sequence[Any] = values
    if not (dtype.is_plain or dtype.value in {*_BLOBS, *_TEXTS, _ZONED}):
        msg = f"no Arrow column can be made of the JSON of `{dtype.value}` values"
        raise UnsupportedDtypeError(msg, hint="read the feature from the offline store")
    if dtype is Dtype.UNIX_TIMESTAMP or dtype.value == _ZONED:
        instants = [None if second is None else second * _US_PER_S for second in instants]
    elif dtype is Dtype.UNIX_TIMESTAMP_LIST:
        instants = [
            None if seconds is None else [second * _US_PER_S for second in seconds]
            for seconds in instants
        ]
    return pa.array(instants, arrow_type(dtype))


class _OtherTypeError(ValueError):
    """A JSON value that is not of the declared type."""


_Decoder = Callable[[Any], PlainValue]
_ScalarDecoder = Callable[[Any], Scalar]


def _decode(decode: _Decoder, value: Any) -> PlainValue:
    try:
        return decode(value)
    except ValueError:
        return Undecodable(json.dumps(value, ensure_ascii=False))


def _list_decoder(dtype: Dtype) -> _Decoder:
    decode = _SCALAR_DECODERS[dtype.element]
    null_item = math.nan if dtype.is_float else None

    def decode_list(value: Any) -> PlainValue:
        if not isinstance(value, list):
            raise _OtherTypeError
        return tuple(decode(null_item if item is None else item) for item in value)

    return decode_list


def _further_decoder(dtype: Dtype) -> _Decoder:
    if dtype.value == _ZONED:
        return _decode_zoned
    if dtype.value in _BLOBS:
        return _decode_bytes
    if dtype.value in _TEXTS:
        return _exactly(str)
    kind = list if dtype.is_list or dtype.is_set else dict

    def decode(value: Any) -> PlainValue:
        frozen = freeze_json(value) if type(value) is kind else None
        if frozen is None:
            raise _OtherTypeError
        return frozen

    return decode


def _decode_zoned(value: Any) -> int:
    instant = datetime.fromisoformat(_exactly(str)(value))
    if instant.tzinfo is None:
        raise _OtherTypeError
    return datetime_to_us(instant) // _US_PER_S


def _exactly(kind: type[_Kind]) -> Callable[[Any], _Kind]:
    def decode(value: Any) -> _Kind:
        # bool is a subclass of int, but true is no number.
        if type(value) is not kind:
            raise _OtherTypeError
        return value

    return decode


def _integer_decoder(dtype: Dtype) -> _ScalarDecoder:
    bound = _INT_BOUNDS[dtype]
    decode_integer = _exactly(int)

    def decode(value: Any) -> Scalar:
        integer = decode_integer(value)
        if not -bound <= integer < bound:
            raise _OtherTypeError
        return integer

    return decode


def _decode_float64(value: Any) -> float:
    if type(value) is str and value in _FLOAT_NAMES:
        return _FLOAT_NAMES[value]
    # JSON has one kind of number: 12 is a float where a float is declared.
    if type(value) not in {float, int}:
        raise _OtherTypeError
    try:
        return float(value)
    except OverflowError as exc:
        raise _OtherTypeError from exc


def _decode_float32(value: Any) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", _decode_float64(value)))[0])
    except OverflowError as exc:
        raise _OtherTypeError from exc


def _decode_bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise _OtherTypeError
    return base64.b64decode(value, validate=True)


_SCALAR_DECODERS: dict[Dtype, _ScalarDecoder] = {
    Dtype.BYTES: _decode_bytes,
    Dtype.STRING: _exactly(str),
    Dtype.INT32: _integer_decoder(Dtype.INT32),
    Dtype.INT64: _integer_decoder(Dtype.INT64),
    Dtype.FLOAT32: _decode_float32,
    Dtype.FLOAT64: _decode_float64,
    Dtype.BOOL: _exactly(bool),
    Dtype.UNIX_TIMESTAMP: _integer_decoder(Dtype.UNIX_TIMESTAMP),
}
