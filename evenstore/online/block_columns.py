"""A view's answer made of a block of rows: what is null, missing or expired, as masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evenstore.codec.nullable_array import NullableArray
from evenstore.codec.view_block import ViewBlock
from evenstore.online.view_columns import Column, ViewColumns, spread_column
from evenstore.online.view_decoder import ViewDecoder
from evenstore.semantics import Status

__all__ = ["block_columns"]

_Array = npt.NDArray[Any]
_Mask = npt.NDArray[np.bool_]


def block_columns(
    decoder: ViewDecoder[Any], block: ViewBlock, missing: _Mask | None, as_of_us: int
) -> ViewColumns:
    """Decide the statuses of rows that were read together.

    Args:
        decoder: Knows the view's ttl.
        block: The rows that are there.
        missing: Which of all rows are not; None where all are.
        as_of_us: The instant of the request's receipt.

    Raises:
        FutureRowError: A row is later than the instant by more than the allowed skew.
    """
    event_us: Column = block.event_us
    values: Sequence[Column] = block.values
    is_expired, is_withheld = decoder.find_expired(block.event_us, as_of_us)
    if is_withheld is not None:
        values = [_hide(column, is_withheld) for column in values]
    if missing is not None:
        found = np.flatnonzero(~missing)
        places = np.zeros(len(missing), np.intp)
        places[found] = np.arange(len(found))
        event_us = NullableArray(block.event_us[places], missing)
        values = [_spread(column, places, missing) for column in values]
        is_expired = None if is_expired is None else is_expired[places] & ~missing
    row_statuses = _row_statuses(len(event_us), missing, is_expired)
    return ViewColumns(
        event_us, values, [_column_statuses(column, row_statuses) for column in values]
    )


def _hide(column: Column, hidden: _Mask) -> Column:
    if isinstance(column, NullableArray):
        return NullableArray(column.values, column.is_null | hidden)
    if isinstance(column, np.ndarray):
        return NullableArray(column, hidden)
    return [
        None if is_hidden else value
        for value, is_hidden in zip(column, hidden.tolist(), strict=True)
    ]


def _spread(column: Column, places: _Array, missing: _Mask) -> Column:
    """Bring a column of the rows that are there to the length of all rows."""
    if isinstance(column, NullableArray):
        return NullableArray(column.values[places], column.is_null[places] | missing)
    if isinstance(column, np.ndarray):
        return NullableArray(column[places], missing)
    return spread_column(column, np.flatnonzero(~missing).tolist(), len(missing))


def _row_statuses(
    n_rows: int, missing: _Mask | None, is_expired: _Mask | None
) -> list[Status] | None:
    """Return the status of each row's values that are not null; None for PRESENT alone."""
    if missing is None and is_expired is None:
        return None
    statuses = [Status.PRESENT] * n_rows
    for mask, status in ((missing, Status.NOT_FOUND), (is_expired, Status.OUTSIDE_MAX_AGE)):
        if mask is not None:
            for row in np.flatnonzero(mask).tolist():
                statuses[row] = status
    return statuses


def _column_statuses(column: Column, row_statuses: list[Status] | None) -> list[Status] | None:
    if isinstance(column, NullableArray):
        nulls = np.flatnonzero(column.is_null).tolist()
    elif isinstance(column, np.ndarray) or None not in column:
        return row_statuses
    else:
        nulls = [row for row, value in enumerate(column) if value is None]
    if row_statuses is None:
        statuses = [Status.PRESENT] * len(column)
    elif all(row_statuses[row] is not Status.PRESENT for row in nulls):
        return row_statuses
    else:
        statuses = row_statuses.copy()
    for row in nulls:
        if statuses[row] is Status.PRESENT:
            statuses[row] = Status.NULL_VALUE
    return statuses
