"""Signed integers as bytes that sort as the integers do, small ones short.

The first four bits tell sign and length, so that no integer's bytes begin with another's:

```text
first byte  bytes k  integer                      rest of the bits
00          1        null, lowest of all
0k..7k      8 to 1   negative, down to -2^(8k-4)  2^(8k-4) + integer, big endian
8k..Fk      1 to 8   0 and more, below 2^(8k-4)   the integer, big endian
```

Integers are between -2^59 and 2^59, which in microseconds is 18,000 years either way.
"""

from __future__ import annotations

from evenstore.errors import CorruptRowError

__all__ = [
    "FIRST_POSITIVE",
    "MAX_SORTABLE_BYTES",
    "SORTABLE_BOUND",
    "SORTABLE_SIZES",
    "decode_sortable",
    "encode_sortable",
    "read_sortable",
    "skip_sortable",
]

MAX_SORTABLE_BYTES = 8

SORTABLE_BOUND = 1 << 59
"""Integers are from its negative to below it."""

FIRST_POSITIVE = 8
"""The first four bits of the shortest integer that is not negative."""

SORTABLE_SIZES = bytes([1, *(abs(first // 16 * 2 - 15) // 2 + 1 for first in range(1, 256))])
"""Bytes of an integer by its first byte."""

# What is to be taken from all of an integer's bytes, by the first one.
_BIASES = tuple(
    ((first >> 4) + (first >> 4 < FIRST_POSITIVE)) << 8 * size - 4
    for first, size in enumerate(SORTABLE_SIZES)
)


def encode_sortable(value: int | None) -> bytes:
    """Encode one integer, or null.

    Raises:
        OverflowError: It is out of range.
    """
    if value is None:
        return b"\x00"
    if not -SORTABLE_BOUND <= value < SORTABLE_BOUND:
        msg = f"{value} is no instant or difference of instants in microseconds"
        raise OverflowError(msg)
    magnitude = value if value >= 0 else ~value
    size = (magnitude.bit_length() + 4 + 7) // 8
    size = max(size, 1)
    bits = 8 * size - 4
    if value >= 0:
        return ((FIRST_POSITIVE + size - 1) << bits | value).to_bytes(size, "big")
    return ((FIRST_POSITIVE - size) << bits | (1 << bits) + value).to_bytes(size, "big")


def skip_sortable(data: bytes, offset: int) -> int:
    """Return the offset behind one integer, which may be behind the end.

    Raises:
        CorruptRowError: The bytes end before it.
    """
    if offset >= len(data):
        msg = "a stored row ends within its order"
        raise CorruptRowError(msg)
    return offset + SORTABLE_SIZES[data[offset]]


def decode_sortable(data: bytes, offset: int) -> tuple[int | None, int]:
    """Decode one integer and return it with the offset behind it.

    Raises:
        CorruptRowError: The bytes end early.
    """
    end = skip_sortable(data, offset)
    if end > len(data):
        msg = "a stored row ends within its order"
        raise CorruptRowError(msg)
    return (read_sortable(data[offset:end]) if data[offset] else None), end


def read_sortable(stored: bytes) -> int:
    """Decode the bytes of one integer that is not null."""
    return int.from_bytes(stored, "big") - _BIASES[stored[0]]
