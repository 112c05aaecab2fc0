"""Reads whole entities of the packed layout at once, where many have the same structure.

Of most stored entities only the instants and the values differ: they have the same slots, and rows
of the same schema, sizes, nulls and widths. A shape is what they share. One comparison tells
whether an entity has it, and one call of `struct` reads the rest; for a block of entities NumPy
does both for all of them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.codec.packed_row import (
    FIXED_FORMATS,
    FORMAT_VERSION,
    HAS_NULLS,
    HEAD_BYTES,
    INTEGER_FORMATS,
    TOMBSTONE,
    VIEW_BYTES,
    RowSchema,
    read_length,
)
from evenstore.codec.sortable import FIRST_POSITIVE, decode_sortable, skip_sortable
from evenstore.errors import CorruptRowError

__all__ = ["EntityShape", "WantedView", "read_instant"]

_ORIGIN_FREE = 0xFC
_SIZE_ONLY = 0xF0
_EVERY_BIT = 0xFF
_NULL_PART = -1


@dataclass(frozen=True, slots=True)
class WantedView:
    """What is asked of one view.

    Attributes:
        view_id: The four bytes that name it.
        schema: Of its rows today.
        features: Positions in the schema of the features asked for.
    """

    view_id: bytes
    schema: RowSchema
    features: tuple[int, ...]


class _Structure:
    """The parts of an entity's string that a shape fixes, and those that it reads."""

    def __init__(self, length: int) -> None:
        self.mask = bytearray(length)
        self.parts: list[tuple[int, str]] = []

    def fix(self, start: int, end: int, bits: int = _EVERY_BIT) -> None:
        """Fix bits of some bytes."""
        self.mask[start:end] = bytes([bits]) * (end - start)

    def read(self, at: int, form: str) -> int:
        """Read what is at an offset, in `struct`'s language; return the part's number."""
        self.parts.append((at, form))
        return len(self.parts) - 1

    def sort(self) -> list[int]:
        """Bring the parts into the order of their offsets; return their new numbers by old."""
        order = sorted(range(len(self.parts)), key=self.parts.__getitem__)
        self.parts = [self.parts[old] for old in order]
        return [order.index(old) for old in range(len(order))]

    def format(self) -> str:
        """Return all parts, with what is between them, in `struct`'s language."""
        pieces = ["<"]
        end = 0
        for at, form in self.parts:
            pieces.append(f"{at - end}x{form}")
            end = at + struct.calcsize("<" + form)
        return "".join([*pieces, f"{len(self.mask) - end}x"])


class EntityShape:
    """Entities that differ from a sample in instants and values of fixed width alone.

    Attributes:
        length: Bytes of each.
        has_gaps: Whether a view has no row, or a feature asked for is null.
    """

    def __init__(self, sample: bytes, wanted: Sequence[WantedView]) -> None:
        """Take the shape of a sample.

        Raises:
            CorruptRowError: The sample has no shape: a row of another schema or with a value of
                variable width, or bytes that are no entity. Another reader tells which.
        """
        self.length = len(sample)
        structure = _Structure(self.length)
        slots = _fix_slots(sample, structure)
        views = [_fix_view(sample, slots.get(view.view_id), view, structure) for view in wanted]
        numbers = structure.sort()
        numbers.append(len(numbers))  # Behind all parts stands the one null.
        self._places = [numbers[part] for parts in views for part in parts]
        self.has_gaps = len(numbers) - 1 in self._places
        self._is_plain = self._places == list(range(len(numbers) - 1))
        self._mask = int.from_bytes(structure.mask, "little")
        self._fixed = int.from_bytes(sample, "little") & self._mask
        self._struct = struct.Struct(structure.format())

    def read(self, entity: bytes) -> tuple[Any, ...] | None:
        """Read one entity, or return None when it has another shape.

        Returns:
            For each view its event timestamp, as stored bytes, and the values asked for; None where
            there is no row, and for null.
        """
        if len(entity) != self.length or int.from_bytes(entity, "little") & self._mask != (
            self._fixed
        ):
            return None
        parts = self._struct.unpack(entity)
        if self._is_plain:
            return parts
        parts += (None,)
        return tuple([parts[place] for place in self._places])


def read_instant(stored: bytes) -> int:
    """Read an event timestamp, in microseconds, as a shape gives it."""
    bits = 8 * len(stored) - 4
    number = int.from_bytes(stored, "big")
    rest = number & ((1 << bits) - 1)
    return rest if number >> bits >= FIRST_POSITIVE else rest - (1 << bits)


def _fix_slots(sample: bytes, structure: _Structure) -> dict[bytes, tuple[int, int]]:
    """Fix which slots there are; return where each one's row starts and ends."""
    if sample[:1] != bytes([FORMAT_VERSION]):
        raise CorruptRowError(_NO_SHAPE)
    structure.fix(0, 1)
    slots = {}
    at = 1
    try:
        while at < len(sample):
            length, start = read_length(sample, at + VIEW_BYTES)
            structure.fix(at, start)
            slots[sample[at : at + VIEW_BYTES]] = start, start + length
            at = start + length
    except IndexError as exc:
        raise CorruptRowError(_NO_SHAPE) from exc
    if at != len(sample):
        raise CorruptRowError(_NO_SHAPE)
    return slots


def _fix_view(
    sample: bytes, slot: tuple[int, int] | None, view: WantedView, structure: _Structure
) -> list[int]:
    """Fix a view's row; return the parts with its instant and the values asked for."""
    nothing = [_NULL_PART] * (1 + len(view.features))
    if slot is None:
        return nothing
    start, end = slot
    flags_at = _fix_order(sample, start, end, structure)
    flags = sample[flags_at]
    structure.fix(flags_at, flags_at + 1, _ORIGIN_FREE)
    if flags & TOMBSTONE:
        return nothing
    nulls_at = flags_at + HEAD_BYTES
    if sample[flags_at + 1 : nulls_at] != view.schema.fingerprint:
        raise CorruptRowError(_NO_SHAPE)
    n_null_bytes = (len(view.schema.features) + 7) // 8 if flags & HAS_NULLS else 0
    widths_at = nulls_at + n_null_bytes
    values_at = widths_at + (2 * len(view.schema.integers) + 7) // 8
    structure.fix(flags_at + 1, values_at)
    nulls = int.from_bytes(sample[nulls_at:widths_at], "little")
    widths = int.from_bytes(sample[widths_at:values_at], "little")
    event = structure.read(start, f"{skip_sortable(sample, start) - start}s")
    parts = _read_values(view, nulls, widths, (values_at, end), structure)
    return [event, *(parts.get(i, _NULL_PART) for i in view.features)]


def _fix_order(sample: bytes, start: int, end: int, structure: _Structure) -> int:
    """Fix the sizes of a row's three instants; return where its flags are."""
    at = start
    for _ in range(3):
        value, behind = decode_sortable(sample, at)
        if value is not None and sample[at] >> 4 == 0:
            # A null has the same four bits.
            raise CorruptRowError(_NO_SHAPE)
        structure.fix(at, at + 1, _EVERY_BIT if value is None else _SIZE_ONLY)
        at = behind
    if at >= end or sample[start] == 0:
        raise CorruptRowError(_NO_SHAPE)
    return at


def _read_values(
    view: WantedView, nulls: int, widths: int, span: tuple[int, int], structure: _Structure
) -> dict[int, int]:
    """Add the values asked for; return their parts by their positions in the schema."""
    schema = view.schema
    wanted = frozenset(view.features)
    parts: dict[int, int] = {}
    at, end = span
    integer = 0
    for i in schema.fixed:
        form = FIXED_FORMATS.get(schema.features[i].dtype)
        if form is None:
            form = INTEGER_FORMATS[widths >> 2 * integer & 3]
            integer += 1
        if nulls >> i & 1:
            continue
        if i in wanted:
            parts[i] = structure.read(at, form)
        at += struct.calcsize("<" + form)
    if at != end or any(not nulls >> i & 1 for i in schema.variable):
        raise CorruptRowError(_NO_SHAPE)
    return parts


_NO_SHAPE = "an entity without a shape"
