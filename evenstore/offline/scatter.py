"""Puts fetched rows where their entity rows are: found rows in any order to all rows in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["scatter_rows", "scatter_slices"]

_FIXED_WIDTH = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_timestamp,
)


def scatter_rows(
    found: pa.Table, index_column: str, *, n_rows: int, first_row: int = 0
) -> pa.Table:
    """Give every row its place; rows that were not found are null.

    Args:
        found: Rows in any order, each at most once.
        index_column: Column with the place of each row, int64.
        n_rows: Rows of the result.
        first_row: The place of the first row of the result.

    Shapes:
        out: n_rows x (all columns of `found` but the index).
    """
    places = found[index_column].to_numpy() - first_row
    is_found = np.zeros(n_rows, dtype=bool)
    is_found[places] = True
    taken: Any = None
    columns = {}
    for name in found.column_names:
        if name == index_column:
            continue
        column = found[name]
        if any(is_fixed(column.type) for is_fixed in _FIXED_WIDTH):
            columns[name] = _scatter(column, places, is_found)
            continue
        if taken is None:
            taken = _row_numbers(places, is_found)
        columns[name] = column.combine_chunks().take(taken)
    return pa.table(columns)


def scatter_slices(
    found: pa.RecordBatchReader, index_column: str, *, n_rows: int, slice_rows: int
) -> Iterator[pa.Table]:
    """Give every row of an ordered stream its place, a slice at a time.

    Shapes:
        out: tables of `slice_rows` rows, the last of what is left; `n_rows` in all.
    """
    waiting = found.schema.empty_table()
    for first_row in range(0, n_rows, slice_rows):
        last_row = min(first_row + slice_rows, n_rows) - 1
        parts = [waiting]
        while not (parts[-1].num_rows and parts[-1][index_column][-1].as_py() > last_row):
            batch = next(found, None)
            if batch is None:
                break
            parts.append(pa.Table.from_batches([batch]))
        rows = pa.concat_tables(parts)
        n_inside = int(np.searchsorted(rows[index_column].to_numpy(), last_row, side="right"))
        waiting = rows.slice(n_inside)
        yield scatter_rows(
            rows.slice(0, n_inside),
            index_column,
            n_rows=last_row - first_row + 1,
            first_row=first_row,
        )


def _scatter(
    column: pa.ChunkedArray, places: npt.NDArray[np.int64], is_found: npt.NDArray[np.bool_]
) -> pa.Array:
    integers = pa.int64() if pa.types.is_timestamp(column.type) else column.type
    scattered = np.zeros(len(is_found), dtype=integers.to_pandas_dtype())
    is_valid = is_found if column.null_count == 0 else is_found.copy()
    start = 0
    for chunk in column.chunks:
        at = places[start : start + len(chunk)]
        start += len(chunk)
        values = chunk.cast(integers)
        if chunk.null_count:
            is_valid[at] = chunk.is_valid().to_numpy(zero_copy_only=False)
            values = pc.fill_null(values, 0)
        scattered[at] = values.to_numpy(zero_copy_only=False)
    return pa.array(scattered, integers, mask=~is_valid).cast(column.type)


def _row_numbers(places: npt.NDArray[np.int64], is_found: npt.NDArray[np.bool_]) -> pa.Array:
    numbers = np.zeros(len(is_found), dtype=np.int64)
    numbers[places] = np.arange(len(places))
    return pa.array(numbers, mask=~is_found)
