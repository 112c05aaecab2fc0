"""Values of one feature of many rows, compared together.

Both sides' columns come in one form by declared type: numbers, instants and flags as NumPy arrays;
text, bytes and lists of those as Arrow; what holds further values as plain values, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.clock import datetime_to_us
from evenstore.codec.cells import number_array
from evenstore.codec.json_value import to_json_value
from evenstore.codec.nullable_array import NullableArray
from evenstore.dtypes import Dtype
from evenstore.schema.arrow import arrow_type
from evenstore.semantics import Status, floor_to_s
from parity.compare import are_values_equal
from parity.values import PlainValue, decode_offline, freeze_json

__all__ = ["Mask", "ValueColumn"]

Mask = npt.NDArray[np.bool_]

_US_PER_S = 1_000_000
_NUMPY: dict[Dtype, Any] = {
    Dtype.INT32: np.int64,
    Dtype.INT64: np.int64,
    Dtype.UNIX_TIMESTAMP: np.int64,
    Dtype.FLOAT32: np.float64,
    Dtype.FLOAT64: np.float64,
    Dtype.BOOL: np.bool_,
}


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """One feature's values; make it with `of_offline` or `of_online`.

    Attributes:
        dtype: The declared type.
        values: By type an array, an Arrow array or a list; anything where null.
        is_null: One per row.
    """

    dtype: Dtype
    values: Any
    is_null: Mask

    @staticmethod
    def of_offline(dtype: Dtype, values: pa.Array) -> ValueColumn:
        """Take a column of the type's Arrow type.

        Args:
            dtype: The declared type.
            values: Null where null, not found or withheld.

        Raises:
            ParityError: The column has another Arrow type.
        """
        is_null = _null_mask(values)
        if dtype in _NUMPY:
            return ValueColumn(dtype, _numbers(dtype, values), is_null)
        if dtype.is_plain:
            return ValueColumn(dtype, values, is_null)
        statuses = [Status.PRESENT] * len(values)
        return ValueColumn(
            dtype, decode_offline(dtype, values, statuses, where=dtype.value), is_null
        )

    @staticmethod
    def of_online(dtype: Dtype, values: Any) -> ValueColumn:
        """Take a column as a lookup gives it: an array, one with nulls, or Python values."""
        if dtype in _NUMPY and dtype is not Dtype.UNIX_TIMESTAMP:
            if isinstance(values, NullableArray):
                array = values.values.astype(_NUMPY[dtype], copy=False)
                return ValueColumn(dtype, array, values.is_null)
            if isinstance(values, np.ndarray):
                array = values.astype(_NUMPY[dtype], copy=False)
                return ValueColumn(dtype, array, np.zeros(len(array), np.bool_))
        items = values.tolist() if hasattr(values, "tolist") else list(values)
        if dtype.is_plain:
            # A float32 that was stored wrongly wide would be narrowed here, and look right.
            kind = pa.float64() if dtype is Dtype.FLOAT32 else arrow_type(dtype)
            return ValueColumn.of_offline(dtype, pa.array(items, kind))
        plain = [_plain_value(dtype, item) for item in items]
        return ValueColumn(dtype, plain, np.array([item is None for item in items], np.bool_))

    @staticmethod
    def of_nothing(dtype: Dtype, n_rows: int) -> ValueColumn:
        """Return a column of nulls."""
        return ValueColumn.of_offline(dtype, pa.nulls(n_rows, arrow_type(dtype)))

    def __len__(self) -> int:
        return len(self.is_null)

    def take(self, rows: npt.NDArray[np.intp]) -> ValueColumn:
        """Return some rows."""
        if isinstance(self.values, list):
            taken: Any = [self.values[row] for row in rows.tolist()]
        elif isinstance(self.values, np.ndarray):
            taken = self.values[rows]
        else:
            taken = self.values.take(pa.array(rows))
        return ValueColumn(self.dtype, taken, self.is_null[rows])

    def plain(self, rows: npt.NDArray[np.intp]) -> list[PlainValue | None]:
        """Return the values of some rows as reports have them."""
        some = self.take(rows)
        if isinstance(some.values, list):
            return some.values
        if isinstance(some.values, np.ndarray):
            pairs = zip(some.values.tolist(), some.is_null.tolist(), strict=True)
            return [None if is_null else value for value, is_null in pairs]
        statuses = [Status.PRESENT] * len(rows)
        return decode_offline(self.dtype, some.values, statuses, where=self.dtype.value)

    def equals(self, other: ValueColumn) -> tuple[Mask, Mask]:
        """Compare with the other side's column, row by row, as `are_values_equal` does.

        Returns:
            Which values are equal, and which of them are equal in every bit; two nulls are both.
        """
        if isinstance(self.values, np.ndarray):
            same, same_bits = _equal_numbers(self.values, other.values)
        elif isinstance(self.values, list):
            pairs = zip(self.values, other.values, strict=True)
            same = np.array([are_values_equal(*pair) for pair in pairs], np.bool_)
            same_bits = same
        else:
            same, same_bits = _equal_arrow(self.values, other.values)
        is_null = self.is_null | other.is_null
        if not is_null.any():
            return same, same_bits
        both_null = self.is_null & other.is_null
        if same is same_bits:
            same = same_bits = same & ~is_null | both_null
            return same, same_bits
        return same & ~is_null | both_null, same_bits & ~is_null | both_null


def _null_mask(values: pa.Array) -> Mask:
    if not values.null_count:
        return np.zeros(len(values), np.bool_)
    mask: Mask = values.is_null().to_numpy(zero_copy_only=False)
    return mask


def _numbers(dtype: Dtype, values: pa.Array) -> npt.NDArray[Any]:
    if dtype is Dtype.BOOL:
        flags: Mask = values.fill_null(fill_value=False).to_numpy(zero_copy_only=False)
        return flags
    numbers = number_array(values)
    if dtype is Dtype.UNIX_TIMESTAMP:
        return numbers.view(np.int64) // _US_PER_S
    return numbers.astype(_NUMPY[dtype], copy=False)


def _equal_numbers(offline: npt.NDArray[Any], online: npt.NDArray[Any]) -> tuple[Mask, Mask]:
    if offline.dtype != np.float64:
        same = offline == online
        return same, same
    same_bits = offline.view(np.int64) == online.view(np.int64)
    # Few, mostly what is in the place of nulls.
    places = np.flatnonzero(~same_bits)
    if not len(places):
        return same_bits, same_bits
    one, other = offline[places], online[places]
    # All NaN count as one: no client can tell them apart.
    both_nan = np.isnan(one) & np.isnan(other)
    same = same_bits.copy()
    same[places] = (one == other) | both_nan
    same_bits[places] = both_nan
    return same, same_bits


def _equal_arrow(offline: pa.Array, online: pa.Array) -> tuple[Mask, Mask]:
    if pa.types.is_list(offline.type):
        return _equal_lists(offline, online)
    same = pc.fill_null(pc.equal(offline, online), fill_value=False)
    mask: Mask = same.to_numpy(zero_copy_only=False)
    return mask, mask


def _equal_lists(offline: pa.Array, online: pa.Array) -> tuple[Mask, Mask]:
    """Compare lists of scalars: those of one length element by element, all rows at once."""
    lengths = pc.fill_null(pc.list_value_length(offline), 0).to_numpy(zero_copy_only=False)
    others = pc.fill_null(pc.list_value_length(online), 0).to_numpy(zero_copy_only=False)
    same = lengths == others
    rows = np.flatnonzero(same)
    element = offline.type.value_type
    elements = [column.take(pa.array(rows)).flatten() for column in (offline, online)]
    if pa.types.is_timestamp(element):
        elements = [column.cast(pa.int64()) for column in elements]
    # A null element equals nothing: no store keeps one.
    is_null = _null_mask(elements[0]) | _null_mask(elements[1])
    if pa.types.is_floating(element):
        numbers = [number_array(column).astype(np.float64) for column in elements]
        equal, equal_bits = _equal_numbers(numbers[0], numbers[1])
    else:
        equal, equal_bits = _equal_arrow(elements[0], elements[1])
    owners = np.repeat(rows, lengths[rows])
    same_bits = same.copy()
    same[owners[~equal | is_null]] = False
    same_bits[owners[~equal_bits | is_null]] = False
    return same, same_bits


def _plain_value(dtype: Dtype, value: Any) -> PlainValue | None:
    """Make of a decoded value what `parity.values.decode_offline` makes of the same one."""
    if value is None:
        return None
    if dtype.value == "ZonedTimestamp":
        return floor_to_s(datetime_to_us(value)) if isinstance(value, datetime) else None
    if dtype.value in {"PdfBytes", "ImageBytes"}:
        plain: bytes = value
        return plain
    return freeze_json(to_json_value(value))
