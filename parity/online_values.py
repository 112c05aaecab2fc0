"""Columns of the gateway's JSON decoded at once, where all of their values are plainly right.

`evenstore.client.values.decode_online` looks at each value, and is what decides wherever one is
not of the one JSON type that the declared type has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evenstore.dtypes import Dtype
from evenstore.semantics import Status
from parity.values import PlainValue, decode_online

__all__ = ["decode_column"]

_KINDS: dict[Dtype, type] = {
    Dtype.INT32: int,
    Dtype.INT64: int,
    Dtype.UNIX_TIMESTAMP: int,
    Dtype.FLOAT32: float,
    Dtype.FLOAT64: float,
    Dtype.BOOL: bool,
    Dtype.STRING: str,
}
_BITS = {Dtype.INT32: 31, Dtype.INT64: 63, Dtype.UNIX_TIMESTAMP: 63}


def decode_column(
    dtype: Dtype, values: Sequence[Any], statuses: Sequence[Status]
) -> list[PlainValue | None]:
    """Decode one column of the gateway's JSON to plain values, as `decode_online` does."""
    kinds = set(map(type, values))
    has_nulls = type(None) in kinds
    kinds.discard(type(None))
    if kinds != {_KINDS.get(dtype)}:
        return decode_online(dtype, values, statuses)
    if dtype.is_float:
        return _decode_floats(dtype, values, statuses)
    if dtype in _BITS:
        some = [value for value in values if value is not None] if has_nulls else values
        bound = 2 ** _BITS[dtype]
        if not (-bound <= min(some) and max(some) < bound):
            return decode_online(dtype, values, statuses)
    return list(values)


def _decode_floats(
    dtype: Dtype, values: Sequence[float | None], statuses: Sequence[Status]
) -> list[PlainValue | None]:
    decoded: list[PlainValue | None] = list(values)
    if dtype is Dtype.FLOAT32:
        with np.errstate(over="ignore"):
            narrow = np.array(values, np.float64).astype(np.float32).astype(np.float64)
        if np.isinf(narrow).any():
            return decode_online(dtype, values, statuses)
        decoded = narrow.tolist()
    if None not in values:
        return decoded
    # NaN travels as null beside PRESENT.
    null_when_present = dict.fromkeys(Status) | {Status.PRESENT: math.nan}
    return [
        null_when_present[status] if told is None else value
        for value, told, status in zip(decoded, values, statuses, strict=True)
    ]
