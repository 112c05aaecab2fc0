"""A source column in its declared type, where that says the same.

Training sees what the source holds and serving what the declared type can hold. Where the two
differ, the truth keeps the source's own type, so that the difference is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.schema.arrow import arrow_type, is_exact_widening

__all__ = ["Conformed", "conform", "to_instants"]

_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Conformed:
    """A column to compare by.

    Attributes:
        column: In the declared type, or in the source's.
        kept_type: The source's type, where the declared one changes values; None otherwise.
        problem: Why the column cannot be compared; None where it can.
    """

    column: Any
    kept_type: Dtype | None = None
    problem: str | None = None


def conform(column: Any, dtype: Dtype, *, where: str) -> Conformed:
    """Give a source column its declared type, unless a value would change.

    Args:
        column: Of the source.
        dtype: As declared.
        where: The feature, for the reason why it cannot be compared.
    """
    if not dtype.is_plain or dtype is Dtype.UNIX_TIMESTAMP_LIST:
        return Conformed(_nothing(column, dtype), problem=f"{where}: {dtype.value} is not compared")
    if is_exact_widening(column.type, dtype):
        if dtype.is_list and _holds_null_item(column):
            problem = f"{where}: lists hold nulls, which Feast stores as 0, 0.0 or empty text"
            return Conformed(_nothing(column, dtype), problem=problem)
        return Conformed(_widen(column, dtype))
    declared = arrow_type(dtype)
    try:
        cast = column.cast(declared)
        if _are_equal(cast.cast(column.type, safe=False), column):
            return Conformed(cast)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    kept = _own_type(column.type)
    if kept is None:
        problem = f"{where}: {column.type} in the source, {dtype.value} declared"
        return Conformed(_nothing(column, dtype), problem=problem)
    return Conformed(column.cast(arrow_type(kept), safe=False), kept_type=kept)


def _widen(column: Any, dtype: Dtype) -> Any:
    declared = arrow_type(dtype)
    if dtype is not Dtype.UNIX_TIMESTAMP:
        return column.cast(declared)
    # Whole seconds on both sides, as Feast's own type has them.
    return pc.floor_temporal(to_instants(column), unit="second")


def to_instants(column: Any) -> Any:
    """Give timestamps and dates microseconds and UTC; Feast reads one without a zone as UTC."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return column.cast(_INSTANT, safe=False)
    return pc.assume_timezone(column.cast(pa.timestamp("us"), safe=False), "UTC")


def _nothing(column: Any, dtype: Dtype) -> Any:
    return pa.nulls(len(column), arrow_type(dtype))


def _holds_null_item(column: Any) -> bool:
    return bool(pc.list_flatten(column).null_count)


def _are_equal(left: Any, right: Any) -> bool:
    if left.null_count != right.null_count:
        return False
    differs = pc.not_equal(left, right)
    if pa.types.is_floating(right.type):
        differs = pc.and_(differs, pc.invert(pc.and_(pc.is_nan(left), pc.is_nan(right))))
    return not pc.any(differs).as_py()


def _own_type(source: Any) -> Dtype | None:
    """Return the Feast type that holds every value of a source column."""
    if pa.types.is_integer(source):
        return Dtype.INT64
    if pa.types.is_floating(source) or pa.types.is_decimal(source):
        return Dtype.FLOAT64
    if pa.types.is_string(source) or pa.types.is_large_string(source):
        return Dtype.STRING
    if pa.types.is_boolean(source):
        return Dtype.BOOL
    return Dtype.UNIX_TIMESTAMP if pa.types.is_timestamp(source) else None
