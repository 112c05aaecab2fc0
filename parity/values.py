"""Feature values in one plain form, whichever side they came from.

The form is that of `evenstore.client.values`, which reads the online side's JSON; offline values
arrive as Arrow. Past this module nobody sees either.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from evenstore.client.values import (
    PlainValue,
    Scalar,
    Undecodable,
    decode_online,
    freeze_json,
)
from evenstore.codec.json_value import to_json_value
from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from evenstore.schema.arrow import arrow_type, is_exact_widening
from evenstore.semantics import Status

__all__ = [
    "PlainValue",
    "Scalar",
    "Undecodable",
    "decode_offline",
    "decode_online",
    "format_value",
    "freeze_json",
    "to_json",
]

_SHOWN_CHARACTERS = 80
_US_PER_S = 1_000_000


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
    is_map = dtype.holds_map and is_exact_widening(column.type, dtype)
    declared = arrow_type(dtype, column.type if is_map else None)
    if column.type != declared:
        msg = f"{where}: the offline store gave {column.type} for {dtype.value}"
        raise ParityError(msg, hint=f"the point-in-time join must give {declared}")
    if not dtype.is_plain:
        return _decode_further(dtype, column)
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


def _decode_further(dtype: Dtype, column: pa.ChunkedArray | pa.Array) -> list[PlainValue | None]:
    """Decode values that hold values, and further scalars, to what the gateway's JSON becomes."""
    if dtype.value == "ZonedTimestamp":
        instants = column.cast(pa.int64()).to_pylist()
        return [None if value is None else _whole_seconds(value) for value in instants]
    values = column.to_pylist(maps_as_pydicts="strict")
    if dtype.value in {"PdfBytes", "ImageBytes"}:
        return list(values)
    return [freeze_json(to_json_value(value)) for value in values]


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
