"""A view's answer to a lookup, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from evenstore.codec.nullable_array import NullableArray
from evenstore.errors import EvenstoreError
from evenstore.semantics import Status

__all__ = ["Column", "ViewColumns", "spread_column", "unless_present"]


Column = Sequence[Any] | npt.NDArray[Any] | NullableArray
"""One value per entity."""


# Not frozen: that would cost a lookup of one entity as much as decoding it.
@dataclass(slots=True)
class ViewColumns:
    """What some entities have of one view.

    Columns of a large lookup may be NumPy arrays, with nulls or without; others are lists or tuples
    of Python values.

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


def spread_column(column: Sequence[Any], places: Sequence[int], n_entities: int) -> list[Any]:
    """Return a column's values at their places among all entities, None elsewhere."""
    spread = [None] * n_entities
    for place, value in zip(places, column, strict=True):
        spread[place] = value
    return spread


def unless_present(statuses: Sequence[Status]) -> Sequence[Status] | None:
    """Return the statuses of a column; None where all of them are PRESENT."""
    return None if statuses.count(Status.PRESENT) == len(statuses) else statuses
