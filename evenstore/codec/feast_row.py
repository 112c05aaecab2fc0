"""The `feast` layout: one Redis hash per entity key, shared by all views on those join keys.

| field | value |
|---|---|
| `_ts:<view>` | Feast's `Timestamp`: field 1 seconds, 2 nanoseconds, varints, zeros left out |
| 4 bytes | murmur3-32 of `<view>:<feature>`, little endian: the feature's value (`feast_value`) |
| `_order:<view>` | ours: what the row's place in the total order is, beyond the event timestamp |

Everything but `_order:` is byte for byte what stock Feast writes and reads. Stock readers never ask
for `_order:`; a row that stock wrote has none, or one that is out of step with `_ts:`, and then
counts as created null, sequence 0.

The order field, version 1, big endian, so that a newer row's bytes 2 to 25 are the greater:

```text
offset size type  field             note
0      1    u8    format version    1; unknown: FormatVersionError
1      1    u8    origin            0 unknown, 1 run, 2 push, 3 deleted
2      8    u64   event timestamp   microseconds, plus 2^63
10     8    u64   created timestamp microseconds, plus 2^63; 0 is null
18     8    u64   ingest sequence   microseconds
26     n    bytes `_ts:` value      the event timestamp it belongs to, as stored beside it
```

A deleted entity keeps the order field alone, with origin 3 and the instant of deletion as event
timestamp, so that no older row brings it back. Stock writers do not know it: a row that one writes
later counts as written by stock.

Evolution: a field is only ever appended with a new version; a reader refuses a version it does not
know.
"""

from __future__ import annotations

import functools
import struct

import mmh3

from evenstore.codec.wire import encode_varint, read_varint, to_signed, to_unsigned
from evenstore.errors import CodecError, CorruptRowError, FormatVersionError
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import Origin, RowOrder

__all__ = [
    "DELETED",
    "ORDER_BIAS",
    "ORDER_VERSION",
    "FeastRowLayout",
    "decode_deletion",
    "decode_order",
    "decode_timestamp",
    "encode_deletion",
    "encode_order",
    "encode_timestamp",
    "feature_field",
]

_ORDER = struct.Struct(">BBQQQ")
ORDER_VERSION = 1
"""The order field's format version."""

DELETED = 3
"""The origin in a deleted entity's order field."""

_ORIGINS = frozenset(Origin)
ORDER_BIAS = 1 << 63
"""Makes instants unsigned, so that bytes sort as instants do."""

_US_PER_S = 1_000_000
_NS_PER_US = 1_000
_SECONDS_TAG = 0x08
_NANOS_TAG = 0x10
# What a Timestamp may hold by its own definition: 0001-01-01 to the last nanosecond of 9999.
_EARLIEST_S = -62_135_596_800
_LATEST_S = 253_402_300_799
_NS_PER_S = 1_000_000_000


class FeastRowLayout:
    """Field names of one view, made once.

    Raises:
        CodecError: Two features share a 32-bit field name, so that one would overwrite the other.
    """

    def __init__(self, view: FeatureViewSchema) -> None:
        name = view.name.encode("utf-8")
        self.timestamp_field = b"_ts:" + name
        self.order_field = b"_order:" + name
        self.feature_fields = {
            field.name: feature_field(view.name, field.name) for field in view.features
        }
        taken: dict[bytes, str] = {}
        for feature, stored in self.feature_fields.items():
            other = taken.setdefault(stored, feature)
            if other != feature:
                names = f"`{other}` and `{feature}`"
                msg = f"{view.name}: features {names} share the field {stored.hex()}"
                raise CodecError(msg, hint="rename one of them: Feast's field names have 32 bits")


def feature_field(view_name: str, feature: str) -> bytes:
    """Return the hash field that holds a feature."""
    return struct.pack("<I", mmh3.hash(f"{view_name}:{feature}", signed=False))


@functools.lru_cache(maxsize=1024)
def encode_timestamp(instant_us: int) -> bytes:
    """Encode an instant as Feast's `Timestamp`; before 1970 the seconds are floored.

    Raises:
        CodecError: The instant is not in the years 1 to 9999, which is all that a `Timestamp`
            holds.
    """
    seconds, rest_us = divmod(instant_us, _US_PER_S)
    if not _EARLIEST_S <= seconds <= _LATEST_S:
        msg = f"event timestamp {instant_us} us is not in the years 1 to 9999"
        raise CodecError(msg)
    encoded = b""
    if seconds:
        encoded += bytes([_SECONDS_TAG]) + encode_varint(to_unsigned(seconds))
    if rest_us:
        encoded += bytes([_NANOS_TAG]) + encode_varint(rest_us * _NS_PER_US)
    return encoded


def decode_timestamp(data: bytes) -> int:
    """Decode Feast's `Timestamp` to microseconds, without passing through float.

    Raises:
        CorruptRowError: The bytes are no `Timestamp`.
    """
    parts = {_SECONDS_TAG: 0, _NANOS_TAG: 0}
    offset = 0
    while offset < len(data):
        tag = data[offset]
        if tag not in parts:
            msg = f"stored bytes are no timestamp: {data[:16]!r}"
            raise CorruptRowError(msg)
        value, offset = read_varint(data, offset + 1)
        parts[tag] = to_signed(value)
    seconds, nanos = parts[_SECONDS_TAG], parts[_NANOS_TAG]
    if not (_EARLIEST_S <= seconds <= _LATEST_S and 0 <= nanos < _NS_PER_S):
        msg = f"a stored timestamp is out of range: {seconds} s, {nanos} ns"
        raise CorruptRowError(msg)
    return seconds * _US_PER_S + nanos // _NS_PER_US


def encode_order(order: RowOrder, origin: Origin) -> bytes:
    """Encode a row's order field."""
    return _encode_order(order, origin)


def encode_deletion(order: RowOrder) -> bytes:
    """Encode the order field of a deleted entity, whose event timestamp is when it was deleted."""
    return _encode_order(order, DELETED)


def _encode_order(order: RowOrder, origin: int) -> bytes:
    created = 0 if order.created_us is None else order.created_us + ORDER_BIAS
    event = order.event_us + ORDER_BIAS
    fixed = _ORDER.pack(ORDER_VERSION, origin, event, created, order.sequence_us)
    return fixed + encode_timestamp(order.event_us)


def decode_order(order_field: bytes | None, timestamp_field: bytes) -> tuple[RowOrder, Origin]:
    """Decode a row's place in the total order.

    Args:
        order_field: The stored `_order:` value, None where there is none.
        timestamp_field: The stored `_ts:` value.

    Returns:
        The order and who wrote the row; created null, sequence 0 and unknown for a row that stock
        Feast wrote.

    Raises:
        FormatVersionError: A later version wrote the order field.
        CorruptRowError: The bytes are no order field.
    """
    foreign = RowOrder(decode_timestamp(timestamp_field), None, 0), Origin.UNKNOWN
    if order_field is None:
        return foreign
    _check_order(order_field)
    if order_field[_ORDER.size :] != timestamp_field or order_field[1] == DELETED:
        return foreign
    _, origin, event, created, sequence_us = _ORDER.unpack_from(order_field)
    if event - ORDER_BIAS != foreign[0].event_us or origin not in _ORIGINS:
        msg = f"order field contradicts itself: {order_field!r}"
        raise CorruptRowError(msg)
    created_us = None if created == 0 else created - ORDER_BIAS
    return RowOrder(event - ORDER_BIAS, created_us, sequence_us), Origin(origin)


def decode_deletion(order_field: bytes) -> RowOrder | None:
    """Decode the order field of an entity without a row; None where it was not deleted.

    Raises:
        FormatVersionError: A later version wrote the order field.
        CorruptRowError: The bytes are no order field.
    """
    _check_order(order_field)
    _, origin, event, _, sequence_us = _ORDER.unpack_from(order_field)
    return RowOrder(event - ORDER_BIAS, None, sequence_us) if origin == DELETED else None


def _check_order(order_field: bytes) -> None:
    if not order_field or order_field[0] != ORDER_VERSION:
        msg = f"order field has format version {order_field[:1].hex() or 'none'}"
        raise FormatVersionError(msg, hint="a newer evenstore wrote this store: upgrade this one")
    if len(order_field) < _ORDER.size:
        msg = f"order field has {len(order_field)} bytes"
        raise CorruptRowError(msg)
