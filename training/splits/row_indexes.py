"""The arrays that splits take and give."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Instants", "RowIndexes", "rows_where"]

Instants: TypeAlias = npt.NDArray[np.int64]
"""Microseconds since the epoch, one per row."""

RowIndexes: TypeAlias = npt.NDArray[np.int64]
"""Positions of rows, ascending."""


def rows_where(is_chosen: npt.NDArray[np.bool_]) -> RowIndexes:
    """Return the positions of the rows that are marked."""
    return np.flatnonzero(is_chosen).astype(np.int64, copy=False)
