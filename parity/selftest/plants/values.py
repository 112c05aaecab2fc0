"""Faults in one value of the right row: narrowed, shifted, swapped, null for something else."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any

import numpy as np

from evenstore.semantics import Origin
from parity.causes.finding import Cause
from parity.selftest.plant import Damage, Entity, Plant
from parity.selftest.rows import EMPTY, HOUR, NAN, PLAIN
from parity.selftest.world import World

__all__ = ["PLANTS"]

_INT32_SPAN = 2**32

Row = Mapping[str, Any]


def _changed(
    change: Callable[[Row], dict[str, Any]], customer: int = PLAIN, origin: Origin = Origin.RUN
) -> Damage:
    """Return what changes some values of a customer's stored row."""

    def damage(world: World) -> AbstractSet[Entity]:
        world.replace(customer, change(world.newest(customer)), origin=origin)
        return {customer}

    return damage


def _to_float32(row: Row) -> dict[str, Any]:
    return {"spend": float(np.float32(row["spend"]))}


def _through_float(row: Row) -> dict[str, Any]:
    return {"orders": int(float(row["orders"]))}


def _to_32_bits(row: Row) -> dict[str, Any]:
    half = _INT32_SPAN // 2
    return {"orders": (row["orders"] + half) % _INT32_SPAN - half}


def _without_fraction(row: Row) -> dict[str, Any]:
    return {"spend": float(math.trunc(row["spend"]))}


def _last_digit(row: Row) -> dict[str, Any]:
    return {"spend": math.nextafter(row["spend"], math.inf)}


def _next_second(row: Row) -> dict[str, Any]:
    return {"since": row["since"] + timedelta(milliseconds=400)}


def _event_in_seconds(row: Row) -> dict[str, Any]:
    return {"event_timestamp": row["event_timestamp"].replace(microsecond=0)}


def _event_in_local_time(row: Row) -> dict[str, Any]:
    return {"event_timestamp": row["event_timestamp"] - 5 * HOUR}


def _since_in_local_time(row: Row) -> dict[str, Any]:
    return {"since": row["since"] + 2 * HOUR}


def _swapped(row: Row) -> dict[str, Any]:
    return {"spend": row["refund"], "refund": row["spend"]}


def _other_form(row: Row) -> dict[str, Any]:
    return {"name": unicodedata.normalize("NFD", row["name"])}


def _null_in_list(row: Row) -> dict[str, Any]:
    return {"vector": [0.0 if math.isnan(item) else item for item in row["vector"]]}


_VALUES: tuple[tuple[str, str, Callable[[Row], dict[str, Any]], Cause], ...] = (
    ("float32-narrowing", "D11", _to_float32, Cause.DTYPE_PRECISION),
    ("int64-through-float", "D10", _through_float, Cause.DTYPE_PRECISION),
    ("int64-cut-to-32-bits", "D12", _to_32_bits, Cause.DTYPE_PRECISION),
    ("fraction-cut-off", "D11", _without_fraction, Cause.DTYPE_PRECISION),
    ("last-digit", "D11", _last_digit, Cause.DTYPE_PRECISION),
    ("instant-rounded-to-a-second", "D9", _next_second, Cause.DTYPE_PRECISION),
    ("event-timestamp-in-seconds", "D9", _event_in_seconds, Cause.DTYPE_PRECISION),
    ("event-timestamp-in-local-time", "D27", _event_in_local_time, Cause.TIMEZONE),
    ("instant-in-local-time", "D27", _since_in_local_time, Cause.TIMEZONE),
    ("swapped-columns", "D35", _swapped, Cause.SCHEMA_DRIFT),
    ("text-in-another-unicode-form", "D26", _other_form, Cause.DTYPE_PRECISION),
    ("list-element-null", "D14", _null_in_list, Cause.NAN_OR_NULL),
)

PLANTS = (
    *(Plant(name, (which,), _changed(change), cause) for name, which, change, cause in _VALUES),
    Plant(
        "int64-through-float-by-a-push",
        ("D10",),
        _changed(_through_float, origin=Origin.PUSH),
        Cause.SDK_CONVERSION,
    ),
    Plant(
        "nan-for-null",
        ("D13",),
        _changed(lambda _row: {"spend": math.nan}, EMPTY),
        Cause.NAN_OR_NULL,
    ),
    Plant("null-for-nan", ("D13",), _changed(lambda _row: {"spend": None}, NAN), Cause.NAN_OR_NULL),
    Plant(
        "zero-for-null", ("D33",), _changed(lambda _row: {"orders": 0}, EMPTY), Cause.NAN_OR_NULL
    ),
    Plant(
        "empty-list-for-null",
        ("D33",),
        _changed(lambda _row: {"recent": []}, EMPTY),
        Cause.NAN_OR_NULL,
    ),
)
"""The faults of this family."""
