"""Made-up values by declared type: entity keys that no store has, and request data.

The same type, seed and position give the same value on every machine.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence

from evenstore.dtypes import Dtype
from evenstore.schema.model import Field
from parity.values import PlainValue, Scalar

__all__ = ["fresh_keys", "request_column", "stable_hash"]

_EDGE_EVERY_ROWS = 4
_INT_EDGES = {
    Dtype.INT32: (2**31 - 1, -(2**31), -1, 0),
    Dtype.INT64: (2**63 - 1, -(2**63), -1, 0, 2**53 + 1),
    # Beyond year 9999 a datetime ends, and with it what Arrow can show to Python.
    Dtype.UNIX_TIMESTAMP: (-1, 0, 2**31, 253_402_300_799),
}
_TEXT_EDGES = (
    "\u00e9t\u00e9",
    "e\u0301te\u0301",  # The same to the eye, another key: NFD instead of NFC.
    "\u5ba2\U0001f6d2",
    "\u202eabc",
    'it\'s "quoted"; --',
    "nul\x00inside",
    " padded ",
    "",
)
_KEY_EDGES: dict[Dtype, tuple[Scalar, ...]] = {
    **_INT_EDGES,
    Dtype.STRING: _TEXT_EDGES,
    Dtype.BYTES: (b"\x00", b"\xff\xfe", b""),
}
# Milder than the key edges: request data goes through people's functions, which may overflow.
_REQUEST_EDGES: dict[Dtype, tuple[Scalar, ...]] = {
    Dtype.INT32: (0, -1, 2**31 - 1),
    Dtype.INT64: (0, -1, 2**53 + 1),
    Dtype.UNIX_TIMESTAMP: (0, -1, 2**31),
    Dtype.FLOAT32: (0.0, -0.0, -1.5, 2.0**-126),
    Dtype.FLOAT64: (0.0, -0.0, -1.5, 0.1, 1e-300, 1e15),
    Dtype.STRING: _TEXT_EDGES,
    Dtype.BYTES: _KEY_EDGES[Dtype.BYTES],
    Dtype.BOOL: (True, False),
}


def stable_hash(*parts: object) -> int:
    """Hash plain values to 64 bits, equal on every machine and in every process."""
    text = repr(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def fresh_keys(fields: Sequence[Field], seed: int) -> Iterator[tuple[Scalar, ...]]:
    """Make entity keys without end: first the edges of each type, then ordinary-looking ones.

    The caller leaves out those that a store happens to have.
    """
    row_idx = 0
    while True:
        yield tuple(_fresh_value(field, seed, row_idx) for field in fields)
        row_idx += 1


def request_column(field: Field, n_rows: int, seed: int) -> list[PlainValue]:
    """Make one request field's values, a quarter of them edges of the type."""
    return [_request_value(field, seed, row_idx) for row_idx in range(n_rows)]


def _fresh_value(field: Field, seed: int, row_idx: int) -> Scalar:
    edges = _KEY_EDGES[field.dtype]
    if row_idx < len(edges):
        return edges[row_idx]
    return _PLAIN[field.dtype](stable_hash("key", field.name, seed, row_idx))


def _request_value(field: Field, seed: int, row_idx: int) -> PlainValue:
    number = stable_hash("request", field.name, seed, row_idx)
    if not field.dtype.is_list:
        return _request_scalar(field.dtype, number, row_idx)
    return tuple(
        _request_scalar(field.dtype.element, number + i, row_idx) for i in range(number % 4)
    )


def _request_scalar(dtype: Dtype, number: int, row_idx: int) -> Scalar:
    edges = _REQUEST_EDGES[dtype]
    if row_idx % _EDGE_EVERY_ROWS == 0:
        return edges[number % len(edges)]
    return _PLAIN[dtype](number)


def _plain_float32(number: int) -> float:
    nearest: float = struct.unpack("<f", struct.pack("<f", _plain_float64(number)))[0]
    return nearest


def _plain_float64(number: int) -> float:
    return number % 100_000 / 100


_PLAIN: dict[Dtype, Callable[[int], Scalar]] = {
    Dtype.BYTES: lambda number: b"parity-" + number.to_bytes(9, "little"),
    Dtype.STRING: lambda number: f"parity-{number:x}",
    Dtype.INT32: lambda number: number % 2**31,
    Dtype.INT64: lambda number: number % 2**62,
    Dtype.UNIX_TIMESTAMP: lambda number: number % 2**32,
    Dtype.FLOAT32: _plain_float32,
    Dtype.FLOAT64: _plain_float64,
    Dtype.BOOL: lambda number: number % 2 == 0,
}
