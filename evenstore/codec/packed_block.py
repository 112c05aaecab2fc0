"""Reads many entities of the packed layout at once, column by column.

NumPy finds the parts of all rows together, whatever their sizes: what costs a few microseconds a
row one by one costs little more for a hundred rows than for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evenstore.codec.nullable_array import NullableArray
from evenstore.codec.packed_reader import value_conversion
from evenstore.codec.packed_row import (
    FORMAT_VERSION,
    HAS_NULLS,
    HEAD_BYTES,
    LENGTH_U16,
    TOMBSTONE,
    VIEW_BYTES,
    RowSchema,
    read_length,
)
from evenstore.codec.sortable import FIRST_POSITIVE, SORTABLE_SIZES
from evenstore.codec.view_block import BlockColumn, NoBlockError, ViewBlock, are_all
from evenstore.dtypes import Dtype
from evenstore.errors import CorruptRowError

__all__ = ["BlockReader", "EntityBlock"]

_Array = npt.NDArray[Any]
_Maker = Callable[[_Array, _Array], Any]
_WORD = 8
_BITS = 64
# Of a row's flags and schema: of this one, no tombstone, and without nulls.
_PLAIN_MASK = 0xFFFFFFFF << 8 | TOMBSTONE | HAS_NULLS
_VIEW_MASK = (1 << 8 * VIEW_BYTES) - 1
# Sizes found in damaged bytes lead behind the end, but not behind this.
_PADDING = bytes(512)
_SIZES = {Dtype.FLOAT64: 8, Dtype.FLOAT32: 4, Dtype.BOOL: 1}
_SORTABLE_SIZES = np.array(list(SORTABLE_SIZES), np.int64)
# Sizes of the four integers whose widths are in one byte, by that.
_WIDTHS = 1 << (np.arange(256) >> np.array([[0], [2], [4], [6]]) & 3)
# How an instant is taken out of the eight bytes from its first on, by that.
_SHIFTS = 64 - 8 * _SORTABLE_SIZES
_MASKS = (np.int64(1) << (8 * _SORTABLE_SIZES - 4)) - 1
_BIASES = np.where(np.arange(256) >> 4 >= FIRST_POSITIVE, 0, _MASKS + 1)


class EntityBlock:
    """Entities that are there, as Redis gave them.

    Raises:
        NoBlockError: One is none of this format.
    """

    def __init__(self, entities: Sequence[bytes]) -> None:
        if not entities:
            raise NoBlockError
        self.data = b"".join([*entities, _PADDING])
        self.bytes = np.frombuffer(self.data, np.uint8)
        # The eight bytes from each byte on: far faster to pick from than eight bytes each.
        n_words = len(self.data) - _WORD + 1
        self._words = np.ndarray((n_words,), "<i8", self.data, strides=(1,))
        self.n_entities = len(entities)
        lengths = np.fromiter(map(len, entities), np.int64, self.n_entities)
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths
        # An empty one would have the version of the one behind it.
        if not (lengths.all() and are_all(self.bytes[self._starts] == FORMAT_VERSION)):
            raise NoBlockError
        self._slots = self._find_slots()

    def slots(self, view_id: bytes) -> tuple[_Array, _Array]:
        """Return where each entity's row of a view starts and ends.

        Raises:
            NoBlockError: An entity has none.
        """
        found = self._slots.get(int.from_bytes(view_id, "little"))
        if found is None or not are_all(found[0] > 0):
            raise NoBlockError
        return found

    def bytes_at(self, at: _Array) -> _Array:
        """Return the byte at each offset, as what NumPy takes fastest for an index."""
        found: _Array = self.bytes[at].astype(np.intp)
        return found

    def words(self, at: _Array) -> _Array:
        """Return the eight bytes at each offset as int64, little endian."""
        words: _Array = self._words[at]
        return words

    def _find_slots(self) -> dict[int, tuple[_Array, _Array]]:
        slots: dict[int, tuple[_Array, _Array]] = {}
        at = self._starts + 1
        while True:
            is_open = at < self._ends
            head = self._words[at]
            views = head & _VIEW_MASK
            view = int(views[0])
            if not are_all(is_open) or view in slots or not are_all(views == view):
                break
            at, slots[view] = _slot(at, head)
        if is_open.any():
            at = self._find_more(slots, at)
        if not are_all(at == self._ends):
            raise NoBlockError
        return slots

    def _find_more(self, slots: dict[int, tuple[_Array, _Array]], at: _Array) -> _Array:
        """Note the slots in which entities differ; return where each entity's last one ends."""
        is_open = at < self._ends
        while is_open.any():
            head = self._words[at]
            behind, span = _slot(at, np.where(is_open, head, 0))
            views = head & _VIEW_MASK
            for view in set(views[is_open].tolist()):
                is_view = is_open & (views == view)
                nowhere = np.full(self.n_entities, -1)
                found = slots.setdefault(view, (nowhere, nowhere.copy()))
                for place, stored in zip(found, span, strict=True):
                    place[is_view] = stored[is_view]
            at = np.where(is_open, behind, at)
            is_open = at < self._ends
        return at


def _slot(at: _Array, head: _Array) -> tuple[_Array, tuple[_Array, _Array]]:
    """Return where slots end, and where their rows start and end."""
    length = head >> 8 * VIEW_BYTES & 0xFF
    start = at + (VIEW_BYTES + 1)
    if not are_all(length < LENGTH_U16):
        is_long = length == LENGTH_U16
        if not are_all(is_long | (length < LENGTH_U16)):
            raise NoBlockError
        length = np.where(is_long, head >> 8 * (VIEW_BYTES + 1) & 0xFFFF, length)
        start = start + 2 * is_long
    end = start + length
    return end, (start, end)


class BlockReader:
    """Reads the features asked for from blocks of one view's rows.

    Args:
        view_id: The four bytes that name the view.
        schema: Of its rows today.
        features: Positions in the schema of the features asked for.
    """

    def __init__(self, view_id: bytes, schema: RowSchema, features: Sequence[int]) -> None:
        self._view_id = view_id
        self._schema = schema
        self._features = tuple(features)
        self._plain = int.from_bytes(schema.fingerprint, "little") << 8
        self._sizes = np.array(
            [_SIZES.get(schema.features[i].dtype, 0) for i in schema.fixed], np.int64
        )
        self._fixed = np.array(schema.fixed, np.intp)
        self._width = int(self._sizes.sum())
        self._sizes_before = (np.cumsum(self._sizes) - self._sizes)[:, None]
        # Of each feature its bit among the sixty-four that are read together.
        bits = np.arange(len(schema.features), dtype=np.uint64) % np.uint64(_BITS)
        self._null_bits = (np.uint64(1) << bits).view(np.int64)[:, None]
        self._n_integers = len(schema.integers)
        # Of those that share a byte of widths, their places.
        integers = [schema.fixed.index(i) for i in schema.integers]
        self._integers = [_as_slice(integers[i : i + 4]) for i in range(0, self._n_integers, 4)]
        self._runs = _runs(schema, features)
        places = {i: place for place, i in enumerate(schema.fixed)}
        self._fixed_wanted = np.array(
            [places[features[column]] for run in self._runs for column in run.columns], np.intp
        )
        # What is not asked for is walked over all the same: damage before it shows there.
        self._conversions = {
            i: value_conversion(schema.features[i].dtype) if i in features else None
            for i in schema.variable
        }

    def read(self, block: EntityBlock) -> ViewBlock:
        """Read the view's rows.

        Raises:
            NoBlockError: They must be read one by one.
        """
        start, end = block.slots(self._view_id)
        event_us, flags_at = _read_order(block, start)
        head = block.words(flags_at)
        at = flags_at + HEAD_BYTES
        nulls = None
        if not are_all(head & _PLAIN_MASK == self._plain):
            nulls, at = self._nulls(block, head, at)
        offsets, sizes, at = self._offsets(block, nulls, at)
        if not (self._schema.variable or are_all(at == end)):
            raise NoBlockError
        columns: dict[int, BlockColumn] = {}
        raw = block.words(offsets[self._fixed_wanted])
        sizes = sizes[self._fixed_wanted]
        start_row = 0
        for run in self._runs:
            rows = slice(start_row, start_row + len(run.columns))
            start_row = rows.stop
            columns.update(zip(run.columns, run.make(raw[rows], sizes[rows]), strict=True))
        if self._conversions:
            variable = self._variable(block, nulls, at, end)
            columns.update((self._features.index(i), values) for i, values in variable.items())
        values = [columns[column] for column in range(len(self._features))]
        return ViewBlock(event_us, values if nulls is None else self._with_nulls(values, nulls))

    def _with_nulls(self, columns: list[BlockColumn], nulls: _Array) -> list[BlockColumn]:
        has_nulls = np.logical_or.reduce(nulls, axis=1)
        return [
            _nullable(column, nulls[i]) if has_nulls[i] else column
            for i, column in zip(self._features, columns, strict=True)
        ]

    def _nulls(self, block: EntityBlock, head: _Array, at: _Array) -> tuple[_Array, _Array]:
        """Return which values are null, by feature and row, and where the widths start."""
        if not are_all(head & (_PLAIN_MASK & ~HAS_NULLS) == self._plain):
            raise NoBlockError
        has_nulls = head & HAS_NULLS != 0
        n_features = len(self._schema.features)
        nulls = [
            block.words(at + i // 8) * has_nulls & self._null_bits[i : i + _BITS] != 0
            for i in range(0, n_features, _BITS)
        ]
        behind = at + (n_features + 7) // 8 * has_nulls
        return nulls[0] if len(nulls) == 1 else np.concatenate(nulls), behind

    def _offsets(
        self, block: EntityBlock, nulls: _Array | None, at: _Array
    ) -> tuple[_Array, _Array, _Array]:
        """Return where values of fixed width start, their sizes, and where all of them end."""
        if not self._integers and nulls is None:
            last = at + self._width
            if not are_all(last <= len(block.bytes) - _WORD):
                raise NoBlockError
            return at + self._sizes_before, self._sizes, last
        sizes = np.empty((len(self._sizes), len(at)), np.int64)
        sizes[:] = self._sizes[:, None]
        for i, places in enumerate(self._integers):
            widths = _WIDTHS.take(block.bytes_at(at + i), axis=1)
            sizes[places] = widths[: self._n_integers - 4 * i]
        at = at + len(self._integers)
        if nulls is not None:
            sizes[nulls[self._fixed]] = 0
        ends = at + np.cumsum(sizes, axis=0)
        last = ends[-1] if len(ends) else at
        if not are_all(last <= len(block.bytes) - _WORD):
            raise NoBlockError
        return ends - sizes, sizes, last

    def _variable(
        self, block: EntityBlock, nulls: _Array | None, at: _Array, end: _Array
    ) -> dict[int, list[Any]]:
        """Read the values of variable width, row by row."""
        positions = at.tolist()
        columns: dict[int, list[Any]] = {}
        try:
            for i, convert in self._conversions.items():
                is_null = None if nulls is None else nulls[i].tolist()
                column = _read_part(block.data, positions, is_null, convert)
                if convert is not None:
                    columns[i] = column
        except (IndexError, ValueError, OverflowError, CorruptRowError) as exc:
            raise NoBlockError from exc
        if positions != end.tolist():
            raise NoBlockError
        return columns


def _read_part(
    data: bytes,
    positions: list[int],
    is_null: list[bool] | None,
    convert: Callable[[bytes], Any] | None,
) -> list[Any]:
    """Read the next value of variable width of each row, and move the positions behind it."""
    column: list[Any] = []
    for row, offset in enumerate(positions):
        if is_null is not None and is_null[row]:
            column.append(None)
            continue
        length, start = data[offset], offset + 1
        if length >= LENGTH_U16:
            length, start = read_length(data, offset)
        positions[row] = start + length
        if convert is not None:
            column.append(convert(data[start : start + length]))
    return column


def _read_order(block: EntityBlock, start: _Array) -> tuple[_Array, _Array]:
    """Return the rows' event timestamps and where their flags are."""
    first = block.bytes_at(start)
    if not are_all(first):
        raise NoBlockError
    raw = block.words(start).byteswap()
    event_us = (raw >> _SHIFTS.take(first) & _MASKS.take(first)) - _BIASES.take(first)
    at = start + _SORTABLE_SIZES.take(first)
    at = at + _SORTABLE_SIZES.take(block.bytes_at(at))
    return event_us, at + _SORTABLE_SIZES.take(block.bytes_at(at))


def _nullable(column: BlockColumn, is_null: _Array) -> BlockColumn:
    if isinstance(column, np.ndarray):
        return NullableArray(column, is_null)
    if isinstance(column, NullableArray):
        return column
    for row in np.flatnonzero(is_null).tolist():
        column[row] = None
    return column


def _as_slice(places: list[int]) -> list[int] | slice:
    """Return places that follow each other as a slice, which is far faster to assign to."""
    first, end = places[0], places[-1] + 1
    return slice(first, end) if end - first == len(places) else places


@dataclass(frozen=True, slots=True)
class _Run:
    """Features of one type, which are made together.

    Attributes:
        columns: Their places among the features asked for.
        make: Makes the columns of the eight bytes at each value and its size, one row a feature.
    """

    columns: tuple[int, ...]
    make: _Maker


def _runs(schema: RowSchema, features: Sequence[int]) -> list[_Run]:
    fixed = frozenset(schema.fixed)
    by_maker: dict[_Maker, list[int]] = {}
    for column, i in enumerate(features):
        if i in fixed:
            by_maker.setdefault(_MAKERS.get(schema.features[i].dtype, _integers), []).append(column)
    return [_Run(tuple(columns), make) for make, columns in by_maker.items()]


def _doubles(raw: _Array, _size: _Array) -> _Array:
    doubles: _Array = raw.view(np.float64)
    return doubles


def _floats(raw: _Array, _size: _Array) -> _Array:
    # A float32 is the double that it is, as everywhere else; a damaged one may be a NaN that warns.
    with np.errstate(invalid="ignore"):
        return raw.astype(np.uint32).view(np.float32).astype(np.float64)


def _bools(raw: _Array, _size: _Array) -> _Array:
    bools: _Array = raw & 0xFF != 0
    return bools


def _integers(raw: _Array, size: _Array) -> _Array:
    shift = 64 - 8 * np.maximum(size, 1)
    signed: _Array = raw << shift >> shift
    return signed


def _timestamps(raw: _Array, size: _Array) -> list[list[Any]]:
    convert = value_conversion(Dtype.UNIX_TIMESTAMP)
    return [[convert(second) for second in seconds] for seconds in _integers(raw, size).tolist()]


_MAKERS: dict[Dtype, _Maker] = {
    Dtype.FLOAT64: _doubles,
    Dtype.FLOAT32: _floats,
    Dtype.BOOL: _bools,
    Dtype.UNIX_TIMESTAMP: _timestamps,
}
