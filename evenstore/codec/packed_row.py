"""The packed layout: one Redis string per entity, with a slot for every view on its join keys.

```text
size type   field              note
1    u8     format version     1; unknown: FormatVersionError
            per view, in the order of first writing:
4    bytes  view               of a hash of the view's name (`view_id`)
1+   length of the row         one byte below 254; 254 and u16, or 255 and u32, little endian
n    row
```

A row, which compares by its first three fields as rows do in the total order (see `sortable`):

```text
1-8  sortable event timestamp    microseconds
1-8  sortable created            less the event timestamp; null is 00
1-8  sortable ingest sequence    less the event timestamp
1    u8       flags              bits 0-1 origin (0 unknown, 1 run, 2 push), 2 tombstone,
                                 3 has nulls, 4 has an instant of physical expiry
4    bytes    schema             of a hash of the features' names and types (`RowSchema`);
                                 a tombstone ends before it
     bits     nulls              one per feature, lowest bit first, only where the flag says so
     bits     widths             two per integer, lowest bits first: 1, 2, 4 or 8 bytes;
                                 0 for a null
     values of fixed width       little endian: integers and timestamps (whole seconds) in their
                                 width, Float64 in 8, Float32 in 4 bytes, Bool in 1
     values of variable width    each with its length as above: text as utf-8, bytes as they are,
                                 all else as Feast's `Value` (`feast_value`)
```

Features are in the order of their names within each part; a null has no bytes in either. Floats
keep every bit.

Evolution: anything that changes what bytes mean has a new format version, and a reader refuses one
that it does not know. A change of a view's features changes the row's schema: readers find what a
stored row has by that (the store keeps all schemas it has rows of), so that a feature is absent or
right, and never read from another's bytes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from evenstore.codec.sortable import (
    SORTABLE_SIZES,
    decode_sortable,
    encode_sortable,
    read_sortable,
)
from evenstore.dtypes import INTEGER_DTYPES, Dtype
from evenstore.errors import CorruptRowError, FormatVersionError
from evenstore.schema.model import Field
from evenstore.semantics import Origin, RowOrder

__all__ = [
    "EXPIRES",
    "FIXED_FORMATS",
    "FORMAT_VERSION",
    "HAS_NULLS",
    "HEAD_BYTES",
    "INTEGER_FORMATS",
    "INTEGER_WIDTHS",
    "LENGTH_U16",
    "TOMBSTONE",
    "VIEW_BYTES",
    "PackedRow",
    "RowSchema",
    "encode_length",
    "encode_order",
    "encode_tombstone",
    "read_head",
    "read_length",
    "read_row",
    "split_slots",
    "view_id",
]

FORMAT_VERSION = 1
HEAD_BYTES = 5
"""Flags and schema, which are between a row's order and its values."""

TOMBSTONE = 4
HAS_NULLS = 8
EXPIRES = 16
_ORIGIN = 3
_ORIGINS = {origin.value: origin for origin in Origin}

INTEGER_WIDTHS = (1, 2, 4, 8)
"""Bytes of an integer by its two bits."""

INTEGER_FORMATS = "bhiq"
"""Their letters in `struct`'s language."""

FIXED_FORMATS = {Dtype.FLOAT64: "d", Dtype.FLOAT32: "f", Dtype.BOOL: "?"}
"""The other types of fixed width, likewise."""

VIEW_BYTES = 4
"""Size of `view_id`."""

_UNREADABLE = "delete the entity's key, then `feast materialize --disable-event-timestamp`"
LENGTH_U16 = 254
"""Shorter lengths have one byte."""

_LENGTH_U32 = 255
# Where the row of an entity with one short row starts.
_ONE_SLOT = 1 + VIEW_BYTES + 1


@dataclass(frozen=True)
class RowSchema:
    """The features of a stored row, in the order of their names.

    Attributes:
        features: Names and types.
    """

    features: tuple[Field, ...]

    @staticmethod
    def of(features: Sequence[Field]) -> RowSchema:
        """Return the schema of a view's features, whatever order they are declared in."""
        return RowSchema(tuple(sorted(features, key=lambda field: field.name)))

    @staticmethod
    def from_json(text: str | bytes) -> RowSchema:
        """Undo `to_json`.

        Raises:
            CorruptRowError: The text is no schema.
        """
        try:
            pairs = json.loads(text)
            return RowSchema(tuple(Field(str(name), Dtype(dtype)) for name, dtype in pairs))
        except (ValueError, TypeError) as exc:
            msg = f"a stored row schema cannot be read: {text!r:.80}"
            raise CorruptRowError(msg) from exc

    def to_json(self) -> str:
        """Return the schema as text: what readers of old rows look up."""
        pairs = [[field.name, field.dtype.value] for field in self.features]
        return json.dumps(pairs, separators=(",", ":"))

    @functools.cached_property
    def fingerprint(self) -> bytes:
        """Four bytes of a hash of names and types."""
        return hashlib.sha256(self.to_json().encode()).digest()[:4]

    @functools.cached_property
    def integers(self) -> tuple[int, ...]:
        """Positions of the features whose width varies."""
        return tuple(i for i, f in enumerate(self.features) if f.dtype in INTEGER_DTYPES)

    @functools.cached_property
    def fixed(self) -> tuple[int, ...]:
        """Positions of the features in the part of fixed width."""
        return tuple(
            i
            for i, field in enumerate(self.features)
            if field.dtype in INTEGER_DTYPES or field.dtype in FIXED_FORMATS
        )

    @functools.cached_property
    def variable(self) -> tuple[int, ...]:
        """Positions of the features in the part of variable width."""
        fixed = frozenset(self.fixed)
        return tuple(i for i in range(len(self.features)) if i not in fixed)


@dataclass(frozen=True, slots=True)
class PackedRow:
    """The head of a stored row.

    Attributes:
        order: Its place in the total order.
        origin: Who wrote it.
        is_tombstone: Whether it says that the entity was deleted.
        flags: All flags.
        fingerprint: Of its schema; empty for a tombstone.
        payload_start: Where its values start.
    """

    order: RowOrder
    origin: Origin
    is_tombstone: bool
    flags: int
    fingerprint: bytes
    payload_start: int


@functools.lru_cache(maxsize=4096)
def view_id(view_name: str) -> bytes:
    """Return the four bytes that name a view within an entity's string."""
    return hashlib.sha256(view_name.encode()).digest()[:VIEW_BYTES]


def encode_length(length: int) -> bytes:
    """Encode the length of a row or value."""
    if length < LENGTH_U16:
        return bytes([length])
    if length < 1 << 16:
        return bytes([LENGTH_U16]) + length.to_bytes(2, "little")
    return bytes([_LENGTH_U32]) + length.to_bytes(4, "little")


def read_length(data: bytes, offset: int) -> tuple[int, int]:
    """Read a length and return it with the offset behind it."""
    length = data[offset]
    if length < LENGTH_U16:
        return length, offset + 1
    size = 2 if length == LENGTH_U16 else 4
    end = offset + 1 + size
    return int.from_bytes(data[offset + 1 : end], "little"), end


def split_slots(value: bytes) -> dict[bytes, bytes]:
    """Split an entity's string into its rows by view.

    Raises:
        FormatVersionError: A later version wrote it.
        CorruptRowError: It ends early.
    """
    if not value or value[0] != FORMAT_VERSION:
        msg = f"a stored entity has format version {value[:1].hex() or 'none'}"
        raise FormatVersionError(msg, hint="a newer evenstore wrote this store: upgrade this one")
    at, end = 1, len(value)
    if end > _ONE_SLOT and value[VIEW_BYTES + 1] == end - _ONE_SLOT < LENGTH_U16:
        return {value[1 : VIEW_BYTES + 1]: value[_ONE_SLOT:]}
    slots = {}
    try:
        while at < end:
            row_at = at + VIEW_BYTES
            length, start = value[row_at], row_at + 1
            if length >= LENGTH_U16:
                length, start = read_length(value, row_at)
            slots[value[at:row_at]] = value[start : start + length]
            at = start + length
    except IndexError:
        at = -1
    if at != end:
        msg = f"a stored entity of {end} bytes ends within a row"
        raise CorruptRowError(msg, hint=_UNREADABLE)
    return slots


def encode_order(order: RowOrder) -> bytes:
    """Encode a row's place in the total order."""
    created_us = order.created_us
    since_created = None if created_us is None else created_us - order.event_us
    return (
        encode_sortable(order.event_us)
        + encode_sortable(since_created)
        + encode_sortable(order.sequence_us - order.event_us)
    )


def encode_tombstone(order: RowOrder) -> bytes:
    """Encode the row of a deleted entity, whose event timestamp is when it was deleted."""
    return encode_order(order) + bytes([TOMBSTONE | EXPIRES | Origin.PUSH])


def read_head(row: bytes) -> tuple[int, int, bytes, int]:
    """Read of a row's head what a lookup needs: `read_row` without created and sequence.

    Returns:
        The event timestamp, the flags, the schema's fingerprint, and where the values start.

    Raises:
        CorruptRowError: The bytes are no row.
    """
    try:
        created_at = SORTABLE_SIZES[row[0]]
        sequence_at = created_at + SORTABLE_SIZES[row[created_at]]
        at = sequence_at + SORTABLE_SIZES[row[sequence_at]]
        flags = row[at]
    except IndexError as exc:
        raise CorruptRowError(_no_row(row)) from exc
    if row[0] == 0:
        raise CorruptRowError(_no_row(row))
    event_us = read_sortable(row[:created_at])
    start = at + 1 if flags & TOMBSTONE else at + HEAD_BYTES
    return event_us, flags, row[at + 1 : start], start


def read_row(row: bytes) -> PackedRow:
    """Read the head of a row.

    Raises:
        CorruptRowError: The bytes are no row.
    """
    event_us, at = decode_sortable(row, 0)
    since_created, at = decode_sortable(row, at)
    since_event, at = decode_sortable(row, at)
    if event_us is None or since_event is None or at >= len(row):
        raise CorruptRowError(_no_row(row))
    flags = row[at]
    is_tombstone = bool(flags & TOMBSTONE)
    start = at + 1 if is_tombstone else at + HEAD_BYTES
    created_us = None if since_created is None else event_us + since_created
    return PackedRow(
        order=RowOrder(event_us, created_us, event_us + since_event),
        origin=_ORIGINS.get(flags & _ORIGIN, Origin.UNKNOWN),
        is_tombstone=is_tombstone,
        flags=flags,
        fingerprint=row[at + 1 : start],
        payload_start=start,
    )


def _no_row(stored: bytes) -> str:
    return f"stored bytes are no row: {stored[:16]!r}"
