"""A hash of the values of an Arrow table, equal whatever wrote it and however it comes in pieces.

Column names, types, order, nulls and values count; batch boundaries, Parquet encodings, buffer
padding, the bits under a null and the payload of a NaN do not. 0.0 and -0.0 differ.

Every column is hashed as two streams: the positions of its nulls, and its other values one after
the other; text also by the length of each value, a list by its length and its elements, a struct by
its fields. None of them knows where a batch ended, so a result can be hashed while it is written.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

__all__ = ["ValueHasher", "hash_table"]

_FORMAT = b"evenstore-values-2"


class ValueHasher:
    """Hashes a table that comes in batches.

    Args:
        schema: Of all batches; columns are told apart by their position.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._columns = [_column_hash(field.type) for field in schema]
        self._n_rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the next rows."""
        self._n_rows += batch.num_rows
        for column, array in zip(self._columns, batch.columns, strict=True):
            column.update(array)

    def hexdigest(self) -> str:
        """Return the hash of all rows so far: 64 hexadecimal digits (SHA-256)."""
        digest = hashlib.sha256(_FORMAT + f":{self._n_rows}".encode())
        for field, column in zip(self._schema, self._columns, strict=True):
            digest.update(f"\n{len(field.name)}:{field.name}:{_type_name(field.type)}\n".encode())
            digest.update(column.digest())
        return digest.hexdigest()


def hash_table(table: pa.Table) -> str:
    """Hash all values of a table to 64 hexadecimal digits (SHA-256)."""
    hasher = ValueHasher(table.schema)
    for batch in table.to_batches():
        hasher.update(batch)
    return hasher.hexdigest()


def _type_name(kind: Any) -> str:
    # What a list calls its elements is the writer's whim: Parquet renames them.
    if pa.types.is_list(kind):
        return f"list<{_type_name(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{_type_name(kind.key_type)},{_type_name(kind.item_type)}>"
    if pa.types.is_struct(kind):
        fields = (f"{len(field.name)}:{field.name}:{_type_name(field.type)}" for field in kind)
        return f"struct<{','.join(fields)}>"
    return str(kind)


class _ColumnHash:
    """Hashes the nulls of a column, and each of its other values as text."""

    def __init__(self) -> None:
        self._n_rows = 0
        self._nulls = hashlib.sha256()
        self._values = hashlib.sha256()

    def update(self, array: Any) -> None:
        if array.null_count:
            positions = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
            self._nulls.update(_little_endian(positions.astype(np.int64) + self._n_rows))
        self._n_rows += len(array)
        if array.null_count:
            array = array.drop_null()
        if len(array):
            self._update_values(array)

    def digest(self) -> bytes:
        return hashlib.sha256(self._nulls.digest() + self._digest_values()).digest()

    def _update_values(self, array: Any) -> None:
        for value in array.to_pylist():
            text = repr(value).encode()
            self._values.update(f"{len(text)}:".encode() + text)

    def _digest_values(self) -> bytes:
        return self._values.digest()


class _FixedWidthHash(_ColumnHash):
    """Hashes numbers, flags and instants as little-endian values of their own width."""

    @override
    def _update_values(self, array: Any) -> None:
        kind = array.type
        if pa.types.is_boolean(kind):
            array = array.cast(pa.uint8())
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            array = array.view(pa.int64() if kind.bit_width == _WIDE_BITS else pa.int32())
        values = array.to_numpy(zero_copy_only=False)
        if pa.types.is_floating(kind):
            is_nan = np.isnan(values)
            if is_nan.any():
                values = np.where(is_nan, np.array(np.nan, values.dtype), values)
        self._values.update(_little_endian(values))


class _TextHash(_ColumnHash):
    """Hashes strings and bytes: all lengths, and all characters."""

    def __init__(self) -> None:
        super().__init__()
        self._lengths = hashlib.sha256()

    @override
    def _update_values(self, array: Any) -> None:
        lengths = pc.binary_length(array).cast(pa.int64())
        self._lengths.update(_little_endian(lengths.to_numpy()))
        _, offsets_buffer, data = array.buffers()
        offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[array.offset :]
        first, last = int(offsets[0]), int(offsets[len(array)])
        if data is not None and last > first:
            self._values.update(memoryview(data)[first:last])

    @override
    def _digest_values(self) -> bytes:
        return self._lengths.digest() + self._values.digest()


class _ListHash(_ColumnHash):
    """Hashes lists: all lengths, and all elements as a column of their own."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self._elements = _column_hash(kind.value_type)

    @override
    def _update_values(self, array: Any) -> None:
        lengths = pc.list_value_length(array).cast(pa.int64())
        self._values.update(_little_endian(lengths.to_numpy()))
        self._elements.update(array.flatten())

    @override
    def _digest_values(self) -> bytes:
        return self._values.digest() + self._elements.digest()


class _MapHash(_ListHash):
    """Hashes maps as lists of entries, in the order they have."""

    def __init__(self, kind: Any) -> None:
        entry = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        self._entries = pa.list_(entry)
        super().__init__(self._entries)

    @override
    def _update_values(self, array: Any) -> None:
        super()._update_values(array.cast(self._entries))


class _StructHash(_ColumnHash):
    """Hashes structs: each field as a column of its own."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self._fields = [_column_hash(field.type) for field in kind]

    @override
    def _update_values(self, array: Any) -> None:
        for field, values in zip(self._fields, array.flatten(), strict=True):
            field.update(values)

    @override
    def _digest_values(self) -> bytes:
        return b"".join(field.digest() for field in self._fields)


_WIDE_BITS = 64
_FIXED_WIDTH = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_timestamp,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_duration,
)


def _column_hash(kind: Any) -> _ColumnHash:
    if any(check(kind) for check in _FIXED_WIDTH):
        return _FixedWidthHash()
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _TextHash()
    if pa.types.is_list(kind):
        return _ListHash(kind)
    if pa.types.is_map(kind):
        return _MapHash(kind)
    if pa.types.is_struct(kind):
        return _StructHash(kind)
    return _ColumnHash()


def _little_endian(values: npt.NDArray[Any]) -> Any:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data
