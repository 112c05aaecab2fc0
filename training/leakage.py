"""The guard that no training row contains its own future.

A correct join cannot leak, so this finds what a join cannot: an entity row whose label was known
before it was asked for, and any fault of the join itself.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.clock import format_us
from evenstore.errors import TrainingError
from evenstore.schema.model import Field
from training.manifest import DatasetSpec, event_timestamp_of

__all__ = ["check_leakage"]


def check_leakage(table: pa.Table, features: tuple[Field, ...], spec: DatasetSpec) -> None:
    """Check that features lie at or before each entity row's instant, and its label after it.

    Args:
        table: A joined dataset, with an event timestamp column per feature.
        features: The features to check.
        spec: Which columns hold the instants; without a label timestamp column the label's time is
            not checked.

    Raises:
        TrainingError: A feature's event timestamp is after its entity row's, or a label timestamp
            is not after it. The message names the feature, the row and both instants.
    """
    as_of = table.column(spec.event_timestamp_column)
    for feature in features:
        event = table.column(event_timestamp_of(feature.name))
        row_idx = _first_true(pc.greater(event, as_of))
        if row_idx is not None:
            msg = (
                f"leak: `{feature.name}` in row {row_idx} is of {_instant(event, row_idx)}, "
                f"after the entity row's instant {_instant(as_of, row_idx)}"
            )
            raise TrainingError(
                msg, hint="the point-in-time join is at fault: please report it with the row"
            )
    if spec.label_timestamp_column is not None:
        _check_label(table.column(spec.label_timestamp_column), as_of, spec)


def _check_label(known_at: Any, as_of: Any, spec: DatasetSpec) -> None:
    row_idx = _first_true(pc.less_equal(known_at, as_of))
    if row_idx is not None:
        msg = (
            f"leak: label `{spec.label}` in row {row_idx} was known at "
            f"{_instant(known_at, row_idx)}, not after the entity row's instant "
            f"{_instant(as_of, row_idx)}"
        )
        raise TrainingError(
            msg, hint="take the label from what happens after the entity row's event timestamp"
        )


def _first_true(mask: Any) -> int | None:
    row_idx: int = pc.index(pc.fill_null(mask, fill_value=False), pa.scalar(value=True)).as_py()
    return None if row_idx < 0 else row_idx


def _instant(column: Any, row_idx: int) -> str:
    return format_us(column[row_idx].cast(pa.int64()).as_py())
