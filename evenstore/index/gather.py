"""Takes rows of memory-mapped columns: sorted first, so that every page is touched once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.index.bisection import Bools, Int64s, sort_with_places

__all__ = ["RowGather"]

_FIXED_WIDTH = (pa.types.is_integer, pa.types.is_floating, pa.types.is_timestamp)


class RowGather:
    """Row numbers, sorted once for all columns. Thread safe.

    Args:
        rows: Row numbers in the order of the result, -1 where the result is null.
    """

    def __init__(self, rows: Int64s) -> None:
        self._is_found: Bools = rows >= 0
        self._has_all = bool(self._is_found.all())
        found = np.arange(len(rows)) if self._has_all else np.flatnonzero(self._is_found)
        places, self._sorted = sort_with_places(rows if self._has_all else rows[found])
        self._places = found[places]
        self._divided: tuple[tuple[int, ...], list[pa.Array]] | None = None

    def take(self, column: pa.ChunkedArray) -> pa.Array:
        """Take the rows of one column; as many rows as there are row numbers, in their order."""
        parts = self._parts(column)
        if any(is_fixed(column.type) for is_fixed in _FIXED_WIDTH):
            return self._scatter(parts, column.type)
        taken = pa.concat_arrays(parts) if parts else pa.array([], column.type)
        numbers = np.zeros(len(self._is_found), dtype=np.int64)
        numbers[self._places] = np.arange(len(self._places))
        return taken.take(pa.array(numbers, mask=None if self._has_all else ~self._is_found))

    def divide(self, column: pa.ChunkedArray) -> None:
        """Find out which rows lie in which chunk of this column, and of all that are cut alike."""
        lengths = tuple(map(len, column.chunks))
        if self._divided is None or self._divided[0] != lengths:
            self._divided = lengths, self._divide(lengths)

    def _parts(self, column: pa.ChunkedArray) -> list[pa.Array]:
        lengths, divided = tuple(map(len, column.chunks)), self._divided
        of_chunks = divided[1] if divided and divided[0] == lengths else self._divide(lengths)
        return [
            chunk.take(rows)
            for chunk, rows in zip(column.chunks, of_chunks, strict=True)
            if len(rows)
        ]

    def _divide(self, lengths: tuple[int, ...]) -> list[pa.Array]:
        """Return the rows that lie in each chunk, counted from its first."""
        firsts = np.cumsum([0, *lengths])
        bounds = np.searchsorted(self._sorted, firsts).tolist()
        return [
            pa.array(self._sorted[bounds[i] : bounds[i + 1]] - firsts[i])
            for i in range(len(lengths))
        ]

    def _scatter(self, parts: list[pa.Array], dtype: pa.DataType) -> pa.Array:
        integers = pa.int64() if pa.types.is_timestamp(dtype) else dtype
        values = np.zeros(len(self._is_found), dtype=integers.to_pandas_dtype())
        is_valid, owns_valid = self._is_found, False
        start = 0
        for part in parts:
            places = self._places[start : start + len(part)]
            start += len(part)
            plain = part.view(integers)
            if part.null_count:
                if not owns_valid:
                    is_valid, owns_valid = is_valid.copy(), True
                is_valid[places] = part.is_valid().to_numpy(zero_copy_only=False)
                plain = pc.fill_null(plain, 0)
            values[places] = plain.to_numpy()
        mask = None if self._has_all and not owns_valid else ~is_valid
        return pa.array(values, integers, mask=mask).view(dtype)
