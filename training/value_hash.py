"""A hash of the values of an Arrow table, equal whatever wrote it and however it is chunked.

Column names, types, order, nulls and values count; chunk boundaries, Parquet encodings, buffer
padding, the bits under a null and the payload of a NaN do not. 0.0 and -0.0 differ.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["hash_table"]

_SLICE_ROWS = 65_536


class _Digest(Protocol):
    def update(self, data: Any, /) -> None: ...


def hash_table(table: pa.Table) -> str:
    """Hash all values of a table to 64 hexadecimal digits (SHA-256)."""
    digest = hashlib.sha256(f"evenstore-values-1:{table.num_rows}".encode())
    for field in table.schema:
        label = f"\n{len(field.name)}:{field.name}:{_type_name(field.type)}\n"
        digest.update(label.encode())
        column = table.column(field.name)
        # Slices begin at fixed row numbers, so that the hash does not depend on chunks.
        for start in range(0, table.num_rows, _SLICE_ROWS):
            _update(digest, pa.concat_arrays(column.slice(start, _SLICE_ROWS).chunks))
    return digest.hexdigest()


def _type_name(kind: Any) -> str:
    # What a list calls its elements is the writer's whim: Parquet renames them.
    return f"list<{_type_name(kind.value_type)}>" if pa.types.is_list(kind) else str(kind)


def _update(digest: _Digest, array: Any) -> None:
    digest.update(_little_endian(array.is_valid().cast(pa.uint8())))
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        digest.update(_little_endian(pc.fill_null(pc.binary_length(array), 0)))
        digest.update(_character_data(array.drop_null()))
    elif pa.types.is_list(kind):
        digest.update(_little_endian(pc.fill_null(pc.list_value_length(array), 0)))
        _update(digest, array.drop_null().flatten())
    elif _is_fixed_width(kind):
        digest.update(_fixed_width(array))
    else:
        digest.update(repr(array.to_pylist()).encode())


def _is_fixed_width(kind: Any) -> bool:
    checks = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_timestamp,
        pa.types.is_date,
    )
    return any(check(kind) for check in checks)


def _fixed_width(array: Any) -> bytes:
    if pa.types.is_floating(array.type):
        values = pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False)
        canonical = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
        return _bytes(canonical)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    elif pa.types.is_date32(array.type):
        array = array.cast(pa.int32())
    elif pa.types.is_date64(array.type):
        array = array.cast(pa.int64())
    return _little_endian(pc.fill_null(array, 0))


def _little_endian(array: Any) -> bytes:
    return _bytes(array.to_numpy(zero_copy_only=False))


def _bytes(values: npt.NDArray[Any]) -> bytes:
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _character_data(array: Any) -> bytes:
    """Return the characters of all values one after the other; the array has no nulls."""
    if len(array) == 0:
        return b""
    _, offsets_buffer, data = array.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[array.offset :]
    first, last = int(offsets[0]), int(offsets[len(array)])
    return b"" if data is None else data.slice(first, last - first).to_pybytes()
