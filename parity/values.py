"""Feature values in one plain form, whichever side they came from.

A plain value is a `bool`, `int`, `float`, `str` or `bytes`, a tuple of those for a list, or None
for null. UNIX_TIMESTAMP is an int of whole seconds; Float32 is the float that equals the float32.
Online values arrive as JSON and offline values as Arrow; past this module nobody sees either.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from evenstore.schema.arrow import arrow_type
from evenstore.semantics import Status

__all__ = [
    "PlainValue",
    "Scalar",
    "Undecodable",
    "decode_offline",
    "decode_online",
    "format_value",
    "to_json",
]

_SHOWN_CHARACTERS = 80
_US_PER_S = 1_000_000
_INT_BOUNDS = {Dtype.INT32: 2**31, Dtype.INT64: 2**63, Dtype.UNIX_TIMESTAMP: 2**63}
_FLOAT_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True, eq=False)
class Undecodable:
    """A value that its declared type does not allow; it equals nothing, not even its like."""

    raw: str


_Kind = TypeVar("_Kind", bool, int, str)
Scalar = bool | int | float | str | bytes
PlainValue = Scalar | tuple[Scalar, ...] | Undecodable


def decode_online(
    dtype: Dtype, values: Sequence[Any], statuses: Sequence[Status]
) -> list[PlainValue | None]:
    """Decode one column of the gateway's JSON to plain values.

    A float NaN travels as null beside PRESENT; inside a list a null is always NaN, because both
    stores refuse nulls inside lists. A value of another JSON type than the declared one becomes
    `Undecodable`, so that it is reported as a difference instead of stopping the comparison.
    """
    if dtype.is_list:
        decode = _list_decoder(dtype)
        return [None if value is None else _decode(decode, value) for value in values]
    decode = _SCALAR_DECODERS[dtype]
    null_when_present = math.nan if dtype.is_float else None
    return [
        (null_when_present if status is Status.PRESENT else None)
        if value is None
        else _decode(decode, value)
        for value, status in zip(values, statuses, strict=True)
    ]


def decode_offline(
    dtype: Dtype, column: pa.ChunkedArray | pa.Array, statuses: Sequence[Status], *, where: str
) -> list[PlainValue | None]:
    """Decode one Arrow column of a point-in-time join to plain values.

    A scalar NaN beside another status than PRESENT becomes null: JSON cannot tell the two apart
    there, and the online side reads as null.

    Args:
        dtype: The declared type of the feature.
        column: Must have exactly the Arrow type of `dtype`.
        statuses: One per row.
        where: The feature, for the message.

    Raises:
        ParityError: The column has another Arrow type, so that nothing exact can be said.
    """
    declared = arrow_type(dtype)
    if column.type != declared:
        msg = f"{where}: the offline store gave {column.type} for {dtype.value}"
        raise ParityError(msg, hint=f"the point-in-time join must give {declared}")
    if dtype.element is Dtype.UNIX_TIMESTAMP:
        column = column.cast(pa.list_(pa.int64()) if dtype.is_list else pa.int64())
    values = column.to_pylist()
    if dtype is Dtype.UNIX_TIMESTAMP:
        return [None if value is None else _whole_seconds(value) for value in values]
    if dtype is Dtype.UNIX_TIMESTAMP_LIST:
        return [None if value is None else _whole_seconds_list(value) for value in values]
    if dtype.is_list:
        return [None if value is None else _offline_list(value) for value in values]
    if dtype.is_float:
        return [
            None if value is None or _is_folded_nan(value, status) else value
            for value, status in zip(values, statuses, strict=True)
        ]
    return list(values)


def to_json(value: PlainValue | None) -> object:
    """Render a plain value for a JSON report, losing nothing but the type's name.

    NaN and the infinities become strings and bytes become base64, as in the gateway's own JSON,
    so that the report is valid JSON for every reader.
    """
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, Undecodable):
        return {"undecodable": value.raw}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def format_value(value: PlainValue | None) -> str:
    """Render a plain value for people on one line, cut where it is very long.

    Floats have all digits that tell them from their neighbours; characters that do not print are
    escaped, so that a value cannot rearrange the line it stands in.
    """
    if value is None:
        return "null"
    if isinstance(value, Undecodable):
        return _shorten(f"undecodable({value.raw})")
    plain = to_json(value)
    if isinstance(value, float) and isinstance(plain, str):
        return plain
    return _shorten(json.dumps(plain, ensure_ascii=False))


def _shorten(text: str) -> str:
    shown = "".join(
        character if character.isprintable() else json.dumps(character)[1:-1] for character in text
    )
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 3] + "..."


def _is_folded_nan(value: float, status: Status) -> bool:
    return math.isnan(value) and status is not Status.PRESENT


def _whole_seconds(instant_us: int) -> int | Undecodable:
    seconds, fraction_us = divmod(instant_us, _US_PER_S)
    return Undecodable(f"{instant_us} us, not whole seconds") if fraction_us else seconds


def _whole_seconds_list(instants_us: list[int | None]) -> PlainValue:
    seconds: list[Scalar] = []
    for instant_us in instants_us:
        second = Undecodable("null in a list") if instant_us is None else _whole_seconds(instant_us)
        if isinstance(second, Undecodable):
            return second
        seconds.append(second)
    return tuple(seconds)


def _offline_list(items: list[Any]) -> PlainValue:
    return Undecodable("null in a list") if None in items else tuple(items)


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
