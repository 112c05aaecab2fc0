"""The few pieces of protobuf's wire format that Feast's values need: varints and field tags."""

from __future__ import annotations

from evenstore.errors import CorruptRowError

__all__ = ["encode_varint", "read_length_delimited", "read_varint", "to_signed", "to_unsigned"]

_MASK_64 = (1 << 64) - 1
_MAX_VARINT_BYTES = 10
_SEVEN_BITS = 0x7F
_CONTINUES = 0x80
_TWO_BYTES = 1 << 14
_THREE_BYTES = 1 << 21
_ONE_BYTE = tuple(bytes([value]) for value in range(_SEVEN_BITS + 1))


def to_unsigned(value: int) -> int:
    """Map a signed integer to the unsigned one that protobuf's int32 and int64 put on the wire."""
    return value & _MASK_64


def to_signed(value: int) -> int:
    """Undo `to_unsigned`: read 64 bits as two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


def encode_varint(value: int) -> bytes:
    """Encode an unsigned integer below 2^64, seven bits a byte, least significant first."""
    # Most numbers are short; without these two lines a run spends a fifth of its time below them.
    if value <= _SEVEN_BITS:
        return _ONE_BYTE[value]
    if value < _THREE_BYTES:
        low = value & _SEVEN_BITS | _CONTINUES
        if value < _TWO_BYTES:
            return bytes((low, value >> 7))
        return bytes((low, value >> 7 & _SEVEN_BITS | _CONTINUES, value >> 14))
    encoded = bytearray()
    while value > _SEVEN_BITS:
        encoded.append(value & _SEVEN_BITS | _CONTINUES)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Read an unsigned integer and return it with the offset behind it.

    Raises:
        CorruptRowError: The bytes end within the number, or it is longer than ten bytes.
    """
    value = 0
    for position in range(_MAX_VARINT_BYTES):
        if offset + position >= len(data):
            break
        byte = data[offset + position]
        value |= (byte & _SEVEN_BITS) << (7 * position)
        if byte & _CONTINUES == 0:
            return value & _MASK_64, offset + position + 1
    msg = f"a stored number does not end: {data[offset : offset + 12]!r}"
    raise CorruptRowError(msg)


def read_length_delimited(data: bytes, offset: int) -> tuple[bytes, int]:
    """Read a length and that many bytes; return them with the offset behind them.

    Raises:
        CorruptRowError: The bytes end early.
    """
    length, start = read_varint(data, offset)
    if start + length > len(data):
        msg = f"a stored value claims {length} bytes, {len(data) - start} are there"
        raise CorruptRowError(msg)
    return data[start : start + length], start + length
