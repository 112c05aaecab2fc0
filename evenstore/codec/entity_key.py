"""Entity keys as bytes: Feast's entity key format, version 3, followed by the project name.

All integers are little endian; join keys are sorted by name; the value type numbers are Feast's.

```text
size  type   field             note
4     u32    number of keys
      per join key, in name order:
4     u32    type of the name  always 2 (STRING)
4     u32    length
n     utf-8  join key name
      per join key, in the same order:
4     u32    value type        STRING 2, BYTES 1, INT32 3, INT64 4, UNIX_TIMESTAMP 8
4     u32    length
n     bytes  value             utf-8, raw, <i, <q, <q
      then, for a Redis key:
n     utf-8  project           no length, no separator
```

The declared type of the join key decides the bytes, never the Python type of a value: `1` for an
int32 key and `1` for an int64 key are different keys. An entityless view has the one key that Feast
gives it: join key `__dummy_id`, the empty string.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evenstore.clock import datetime_to_us
from evenstore.codec.refusal import show_value
from evenstore.dtypes import Dtype
from evenstore.errors import EntityRowsError, UnsupportedDtypeError
from evenstore.schema.model import Field
from evenstore.semantics import floor_to_s

__all__ = ["DUMMY_JOIN_KEY", "EntityKeyEncoder", "KeyPart", "check_key_value", "split_project"]

DUMMY_JOIN_KEY = Field("__dummy_id", Dtype.STRING)

_U32 = struct.Struct("<I")
_PART_HEADER = struct.Struct("<II")
_I32 = struct.Struct("<i")
_I64 = struct.Struct("<q")
_VALUE_TYPES = {
    Dtype.BYTES: 1,
    Dtype.STRING: 2,
    Dtype.INT32: 3,
    Dtype.INT64: 4,
    Dtype.UNIX_TIMESTAMP: 8,
}
_NAME_TYPES = frozenset({_VALUE_TYPES[Dtype.STRING]})
_KNOWN_TYPES = frozenset(_VALUE_TYPES.values())
_ENCODERS: dict[Dtype, Callable[[Any], bytes]] = {
    Dtype.BYTES: bytes,
    Dtype.STRING: lambda value: value.encode("utf-8"),
    Dtype.INT32: _I32.pack,
    Dtype.INT64: _I64.pack,
    Dtype.UNIX_TIMESTAMP: _I64.pack,
}
_WIDTHS = {Dtype.INT32: 4, Dtype.INT64: 8, Dtype.UNIX_TIMESTAMP: 8}
_DECODERS: dict[Dtype, Callable[[bytes], Any]] = {
    Dtype.BYTES: bytes,
    Dtype.STRING: bytes.decode,
    Dtype.INT32: lambda data: _I32.unpack(data)[0],
    Dtype.INT64: lambda data: _I64.unpack(data)[0],
    Dtype.UNIX_TIMESTAMP: lambda data: _I64.unpack(data)[0],
}


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One join key within a Redis key.

    Attributes:
        position: Which of the view's join keys.
        dtype: Its type.
        header: What is before the value, or before its length.
        has_length: Whether four bytes of length are before the value.
    """

    position: int
    dtype: Dtype
    header: bytes
    has_length: bool

    def bare(self, *, has_length: bool) -> KeyPart:
        """Return the same part without a header."""
        return KeyPart(self.position, self.dtype, b"", has_length)

    def encode(self, value: Any) -> bytes:
        """Encode a checked value."""
        encoded = _ENCODERS[self.dtype](value)
        length = _U32.pack(len(encoded)) if self.has_length else b""
        return self.header + length + encoded

    def decode(self, key: bytes, at: int, end: int) -> tuple[Any, int]:
        """Decode the value at an offset and return it with the offset behind it.

        Args:
            key: The Redis key.
            at: Where the part starts.
            end: Where the key's values end.

        Raises:
            ValueError: The bytes there are no such part.
        """
        start = at + len(self.header)
        length = _WIDTHS.get(self.dtype, end - start)
        if self.has_length:
            length = int.from_bytes(key[start : start + _U32.size], "little")
            start += _U32.size
        stop = start + length
        if not key.startswith(self.header, at) or not start <= stop <= end:
            msg = "the key has another form"
            raise ValueError(msg)
        return _DECODERS[self.dtype](key[start:stop]), stop


class EntityKeyEncoder:
    """Makes Redis keys for the entities of one view.

    Build once per view; `encode` touches only the values. This is Feast's format;
    `packed_key_encoder` makes one for the packed layout.

    Args:
        join_keys: The view's join keys in any order; none for an entityless view.
        project: The Feast project, which ends every key.

    Raises:
        UnsupportedDtypeError: A join key's type has no bytes in the format.
    """

    def __init__(self, join_keys: Sequence[Field], project: str) -> None:
        self.join_keys = tuple(join_keys)
        stored = _stored_keys(self.join_keys)
        names = [key.name.encode("utf-8") for _, key in stored]
        self.prefix = _U32.pack(len(names)) + b"".join(
            _U32.pack(2) + _U32.pack(len(name)) + name for name in names
        )
        self.parts = tuple(_feast_part(position, key.dtype) for position, key in stored)
        self.suffix = project.encode("utf-8")

    def encode(self, values: Sequence[Any]) -> bytes:
        """Make the key of one entity.

        Args:
            values: Checked values (`check_key_value`), in the order of `join_keys`.
        """
        if not self.join_keys:
            values = ("",)
        encoded = [part.encode(values[part.position]) for part in self.parts]
        return b"".join([self.prefix, *encoded, self.suffix])

    def decode(self, key: bytes) -> tuple[Any, ...] | None:
        """Undo `encode`; None for a key that is not one of these entities'."""
        end = len(key) - len(self.suffix)
        at = len(self.prefix)
        if at > end or not (key.startswith(self.prefix) and key.endswith(self.suffix)):
            return None
        values: list[Any] = [None] * len(self.parts)
        try:
            for part in self.parts:
                values[part.position], at = part.decode(key, at, end)
        except ValueError:
            return None
        if at != end:
            return None
        if not self.join_keys:
            return () if values == [""] else None
        return tuple(values)


def _stored_keys(join_keys: Sequence[Field]) -> list[tuple[int, Field]]:
    """Return join keys with their positions in the order of their names."""
    stored = list(enumerate(join_keys)) or [(0, DUMMY_JOIN_KEY)]
    for _, key in stored:
        if key.dtype not in _VALUE_TYPES:
            msg = f"join key `{key.name}` has type {key.dtype.value}, which cannot be a key"
            raise UnsupportedDtypeError(msg)
    return sorted(stored, key=lambda item: item[1].name)


def _feast_part(position: int, dtype: Dtype) -> KeyPart:
    header = _U32.pack(_VALUE_TYPES[dtype])
    if dtype in _WIDTHS:
        return KeyPart(position, dtype, header + _U32.pack(_WIDTHS[dtype]), has_length=False)
    return KeyPart(position, dtype, header, has_length=True)


def split_project(key: bytes) -> bytes | None:
    """Return the project at the end of a Redis key, or None when it is no entity key.

    The lengths in the key say where the project starts; its text alone would not (`exp` also ends a
    key of `my_exp`).
    """
    try:
        (n_keys,) = _U32.unpack_from(key, 0)
        offset = _U32.size
        # Names come first, then values; a false count ends at the first part that is not there.
        for part in range(2 * n_keys):
            value_type, length = _PART_HEADER.unpack_from(key, offset)
            if value_type not in (_NAME_TYPES if part < n_keys else _KNOWN_TYPES):
                return None
            offset += _PART_HEADER.size + length
    except struct.error:
        return None
    return key[offset:] if n_keys and offset <= len(key) else None


def check_key_value(value: Any, key: Field, *, row_idx: int) -> Any:
    """Check that a value can be this join key as it is, and normalise timestamps to seconds.

    Nothing is converted: `"1"` and `1.7` are no int64 keys, and `True` is no number.

    Raises:
        EntityRowsError: The value is null, of another type, out of range, or no valid text.
    """
    if value is None:
        msg = f"join key `{key.name}` is null in row {row_idx}"
        raise EntityRowsError(msg, hint="leave the row out: a null key names no entity")
    checked = _CHECKS[key.dtype](value)
    if checked is None:
        msg = (
            f"join key `{key.name}` is {show_value(value)} in row {row_idx}, not {key.dtype.value}"
        )
        raise EntityRowsError(msg, hint=f"send {_EXAMPLES[key.dtype]}")
    return checked


_EXAMPLES = {
    Dtype.BYTES: "bytes",
    Dtype.STRING: 'text, such as "85123A"',
    Dtype.INT32: "a whole number from -2^31 to 2^31-1, without quotes",
    Dtype.INT64: "a whole number from -2^63 to 2^63-1, without quotes",
    Dtype.UNIX_TIMESTAMP: "whole seconds since 1970, or a datetime with a zone",
}


def _check_integer(bits: int) -> Callable[[Any], int | None]:
    bound = 2 ** (bits - 1)

    def check(value: Any) -> int | None:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return value if is_integer and -bound <= value < bound else None

    return check


def _check_text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # A lone surrogate.
        return None
    return value


def _check_timestamp(value: Any) -> int | None:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return floor_to_s(datetime_to_us(value))
    return _check_integer(64)(value)


_CHECKS: dict[Dtype, Callable[[Any], Any]] = {
    Dtype.BYTES: lambda value: value if isinstance(value, bytes) else None,
    Dtype.STRING: _check_text,
    Dtype.INT32: _check_integer(32),
    Dtype.INT64: _check_integer(64),
    Dtype.UNIX_TIMESTAMP: _check_timestamp,
}
