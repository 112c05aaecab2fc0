"""A view's answer to a lookup, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from evenstore.errors import EvenstoreError
from evenstore.semantics import Status

__all__ = ["Column", "ViewColumns", "spread_column"]


Column = Sequence[Any] | npt.NDArray[Any]
"""One value per entity."""


# Not frozen: that would cost a lookup of one entity as much as decoding it.
@dataclass(slots=True)
class ViewColumns:
    """What some entities have of one view.

    Columns of a large lookup may be NumPy arrays; others are lists or tuples of Python values.

    Attributes:
        event_us: The stored rows' event timestamps; None where there is no row.
        values: One column per feature asked for; None where null, not found or withheld.
        statuses: One column per feature; None for a column of PRESENT alone.
        errors: Of the entities whose row could not be read, by position; their status is INVALID.
    """

    event_us: Column
    values: Sequence[Column]
    statuses: Sequence[Sequence[Status] | None]
    errors: Mapping[int, EvenstoreError] = field(default_factory=dict)


def spread_column(column: Column, places: Sequence[int], n_entities: int) -> list[Any]:
    """Return a column's values at their places among all entities, None elsewhere."""
    values: list[Any] = column.tolist() if isinstance(column, np.ndarray) else list(column)
    if len(values) == n_entities:
        return values
    spread = [None] * n_entities
    for place, value in zip(places, values, strict=True):
        spread[place] = value
    return spread
