"""The arrays that splits take and give."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from evenstore.errors import TrainingError

__all__ = ["Instants", "RowIndexes", "check_row_indexes", "rows_where"]

Instants: TypeAlias = npt.NDArray[np.int64]
"""Microseconds since the epoch, one per row."""

RowIndexes: TypeAlias = npt.NDArray[np.int64]
"""Positions of rows, ascending."""


def check_row_indexes(rows: npt.ArrayLike, *, n_rows: int) -> RowIndexes:
    """Return a caller's indexes as an array.

    Raises:
        TrainingError: Something else than indexes, or an index that no row has.
    """
    indexes = np.asarray(rows)
    if indexes.ndim != 1 or (indexes.size and indexes.dtype.kind not in "iu"):
        msg = f"rows are chosen by their indexes, not by {indexes.dtype}"
        raise TrainingError(msg, hint="of a mask they are numpy.flatnonzero(mask)")
    is_row = (indexes >= 0) & (indexes < n_rows)
    if not is_row.all():
        msg = f"there is no row {indexes[~is_row][0]}: the dataset has {n_rows:,} rows"
        raise TrainingError(msg, hint="indexes begin at 0; a part of a dataset has its own")
    return indexes.astype(np.int64, copy=False)


def rows_where(is_chosen: npt.NDArray[np.bool_]) -> RowIndexes:
    """Return the positions of the rows that are marked."""
    return np.flatnonzero(is_chosen).astype(np.int64, copy=False)
