"""Reads many rows of the `feast` layout at once, column by column.

Numbers of all features of a type are taken from the bytes of all their cells together; what has no
fixed form, such as text and lists, is read cell by cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from evenstore.codec.feast_fields import value_tag
from evenstore.codec.feast_value import column_decoder
from evenstore.codec.nullable_array import NullableArray
from evenstore.codec.view_block import BlockColumn, NoBlockError, ViewBlock, are_all
from evenstore.dtypes import Dtype
from evenstore.errors import CorruptRowError

__all__ = ["FeastBlockReader"]

_Array = npt.NDArray[Any]
_Columns = Sequence[Sequence[bytes]]

_US_PER_S = 1_000_000
_NS_PER_S = 1_000_000_000
_LATEST_S = 253_402_300_799
_SECONDS_TAG = 0x08
_NANOS_TAG = 0x10
_INT32_BOUND = 1 << 31
_WORD = 8
_SEVEN_BITS = 0x7F
_LONGEST_VARINT = 10
# Bytes that one value may lead behind the end.
_PADDING = bytes(32)
_CONTINUES = np.int64(-0x7F7F7F7F7F7F7F80)  # The highest bit of each byte.
# By how many of a word's eight bytes count: these, and which of them continue.
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD)] + [-1], np.int64)
_HEADS = np.array(
    [0, *(0x8080808080808080 & (1 << 8 * (n - 1)) - 1 for n in range(1, _WORD + 1))],
    np.int64,
)
_FIRST_ENDS = np.array([1 << 8 * n + 7 for n in range(_WORD)], np.uint64)
# Seven bits of each byte are moved together, in three steps.
_STEPS = tuple(
    (np.int64(low), np.int64(low << width), np.int64(shift))
    for low, width, shift in (
        (0x007F007F007F007F, 8, 1),
        (0x00003FFF00003FFF, 16, 2),
        (0x000000000FFFFFFF, 32, 4),
    )
)


class _Cells:
    """Cells laid end to end."""

    def __init__(self, cells: Sequence[bytes]) -> None:
        data = b"".join([*cells, _PADDING])
        self.lengths = np.fromiter(map(len, cells), np.int64, len(cells))
        self.ends = np.cumsum(self.lengths)
        self.starts = self.ends - self.lengths
        self.bytes = np.frombuffer(data, np.uint8)
        self.words = np.ndarray((len(data) - _WORD + 1,), "<i8", data, strides=(1,))


class FeastBlockReader:
    """Reads the features asked for from many rows.

    Args:
        dtypes: Of the features.
    """

    def __init__(self, dtypes: Sequence[Dtype]) -> None:
        by_dtype: dict[Dtype, list[int]] = {}
        for i, dtype in enumerate(dtypes):
            by_dtype.setdefault(dtype, []).append(i)
        self._together = [
            (places, value_tag(dtype)[0], _READERS[dtype])
            for dtype, places in by_dtype.items()
            if dtype in _READERS
        ]
        self._one_by_one = [
            (place, column_decoder(dtype))
            for dtype, places in by_dtype.items()
            if dtype not in _READERS
            for place in places
        ]

    def read(self, timestamps: Sequence[bytes], columns: _Columns) -> ViewBlock:
        """Read rows.

        Args:
            timestamps: Their event timestamps.
            columns: The cells of each feature; no bytes where null.

        Raises:
            NoBlockError: They must be read one by one.
        """
        values: list[BlockColumn] = [[]] * len(columns)
        for places, tag, read in self._together:
            made = _read_together([columns[place] for place in places], tag, read)
            for place, column in zip(places, made, strict=True):
                values[place] = column
        try:
            for place, decode in self._one_by_one:
                values[place] = list(decode(columns[place]))
        except CorruptRowError as exc:
            raise NoBlockError from exc
        return ViewBlock(_read_timestamps(_Cells(timestamps)), values)


def _read_together(
    columns: _Columns, tag: int, read: Callable[[_Cells, _Array], _Array]
) -> list[BlockColumn]:
    """Read features of one type."""
    cells = _Cells(list(chain.from_iterable(columns)))
    is_null = cells.lengths == 0
    if not are_all((cells.bytes[cells.starts] == tag) | is_null):
        raise NoBlockError
    shape = len(columns), len(columns[0])
    values = read(cells, is_null).reshape(shape)
    nulls = is_null.reshape(shape)
    has_nulls = np.logical_or.reduce(nulls, axis=1).tolist()
    return [
        NullableArray(values[i], nulls[i]) if has_nulls[i] else values[i] for i in range(shape[0])
    ]


def _read_doubles(cells: _Cells, is_null: _Array) -> _Array:
    if not are_all((cells.lengths == 1 + 8) | is_null):
        raise NoBlockError
    doubles: _Array = cells.words[cells.starts + 1].view(np.float64)
    return doubles


def _read_floats(cells: _Cells, is_null: _Array) -> _Array:
    if not are_all((cells.lengths == 1 + 4) | is_null):
        raise NoBlockError
    raw = cells.words[cells.starts + 1].astype(np.uint32)
    # A damaged one may be a NaN that warns.
    with np.errstate(invalid="ignore"):
        floats: _Array = raw.view(np.float32).astype(np.float64)
    return floats


def _read_bools(cells: _Cells, is_null: _Array) -> _Array:
    bools = cells.bytes[cells.starts + 1]
    if not are_all((cells.lengths == 1 + 1) & (bools <= 1) | is_null):
        raise NoBlockError
    ones: _Array = bools == 1
    return ones


def _read_integers(cells: _Cells, is_null: _Array) -> _Array:
    n_bytes = np.where(is_null, 1, cells.lengths - 1)
    longest = int(n_bytes.max())
    if longest > _LONGEST_VARINT or int(n_bytes.min()) < 1:
        raise NoBlockError
    words = np.where(is_null, 0, cells.words[cells.starts + 1])
    is_long = n_bytes > _WORD
    if not are_all(((words < 0) & (n_bytes >= _WORD)) == is_long):
        raise NoBlockError
    integers = _join_sevens(words, np.minimum(n_bytes, _WORD))
    if longest > _WORD:
        integers |= _behind_word(cells, is_long, n_bytes == _LONGEST_VARINT)
    return integers


def _behind_word(cells: _Cells, is_long: _Array, is_longest: _Array) -> _Array:
    """Return the bits of the ninth and tenth byte of integers that have them."""
    ninth = np.where(is_long, cells.bytes[cells.starts + 1 + _WORD], 0).astype(np.int64)
    tenth = np.where(is_longest, cells.bytes[cells.starts + 2 + _WORD], 0).astype(np.int64)
    if not are_all(((ninth > _SEVEN_BITS) == is_longest) & (tenth <= 1)):
        raise NoBlockError
    bits: _Array = (ninth & _SEVEN_BITS) << 56 | tenth << 63
    return bits


def _join_sevens(words: _Array, n_bytes: _Array) -> _Array:
    """Return the integers whose varints are the first bytes of some words.

    Raises:
        NoBlockError: One ends before or behind its bytes; the eighth of eight may go on.
    """
    words = words & _MASKS.take(n_bytes)
    heads = words & _CONTINUES
    is_whole = n_bytes == _WORD
    if not are_all(heads & np.where(is_whole, np.int64((1 << 63) - 1), -1) == _HEADS.take(n_bytes)):
        raise NoBlockError
    joined = words & ~_CONTINUES
    for low, high, shift in _STEPS:
        joined = joined & low | (joined & high) >> shift
    return joined


def _read_int32s(cells: _Cells, is_null: _Array) -> _Array:
    integers = _read_integers(cells, is_null)
    if not are_all((integers >= -_INT32_BOUND) & (integers < _INT32_BOUND)):
        raise NoBlockError
    return integers


def _read_timestamps(cells: _Cells) -> _Array:
    """Read event timestamps of 1970 and later, as microseconds."""
    seconds, at = _next_varint(cells, cells.starts, _SECONDS_TAG)
    has_nanos = at < cells.ends
    nanos = np.zeros_like(seconds)
    if has_nanos.any():
        # Where there are none, any timestamp's nanoseconds will do.
        filled = np.where(has_nanos, at, at[int(np.argmax(has_nanos))])
        nanos, behind = _next_varint(cells, filled, _NANOS_TAG)
        nanos, at = np.where(has_nanos, nanos, 0), np.where(has_nanos, behind, at)
    if not are_all((at == cells.ends) & (seconds <= _LATEST_S) & (nanos < _NS_PER_S)):
        raise NoBlockError
    microseconds: _Array = seconds * _US_PER_S + nanos // 1_000
    return microseconds


def _next_varint(cells: _Cells, at: _Array, tag: int) -> tuple[_Array, _Array]:
    """Return the integers behind a tag, of at most seven bytes, and where they end."""
    if not are_all(cells.bytes[at] == tag):
        raise NoBlockError
    words = cells.words[at + 1]
    ends = (~words & _CONTINUES).view(np.uint64)
    # The lowest bit that is set: of the first byte that does not go on.
    n_bytes = np.searchsorted(_FIRST_ENDS, ends & (~ends + np.uint64(1))) + 1
    if int(n_bytes.max()) >= _WORD:
        raise NoBlockError
    return _join_sevens(words, n_bytes), at + 1 + n_bytes


_READERS: dict[Dtype, Callable[[_Cells, _Array], _Array]] = {
    Dtype.FLOAT64: _read_doubles,
    Dtype.FLOAT32: _read_floats,
    Dtype.INT64: _read_integers,
    Dtype.INT32: _read_int32s,
    Dtype.BOOL: _read_bools,
}
