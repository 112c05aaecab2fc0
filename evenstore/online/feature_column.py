"""A lookup's answer as plain columns, for whoever renders no bytes from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.online.column_lookup import ColumnAnswer, plain_column
from evenstore.schema.request import Column, FeatureRequest
from evenstore.semantics import Status

__all__ = ["FeatureColumn", "feature_columns"]


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One feature of the answer for every entity row.

    Attributes:
        column: Which feature.
        values: Python values; where null, not found or withheld, the service's declared default,
            else None.
        statuses: One per row; a default changes none.
        event_us: The stored row's event timestamp; None where there is no row, and for on-demand
            outputs.
    """

    column: Column
    values: Sequence[Any]
    statuses: Sequence[Status]
    event_us: Sequence[int | None]


def feature_columns(
    request: FeatureRequest, answer: ColumnAnswer, n_rows: int
) -> tuple[FeatureColumn, ...]:
    """Return an answer's features, in the order asked for.

    Args:
        request: What was asked for.
        answer: The answer.
        n_rows: Length of every column.
    """
    present = [Status.PRESENT] * n_rows
    no_event = [None] * n_rows
    return tuple(
        FeatureColumn(
            column,
            plain_column(values),
            present if statuses is None else statuses,
            no_event if event_us is None else plain_column(event_us),
        )
        for column, values, statuses, event_us in zip(
            request.columns, answer.values, answer.statuses, answer.event_us, strict=True
        )
    )
