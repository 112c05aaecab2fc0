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
from training.manifest import DatasetSpec, created_timestamp_of, event_timestamp_of

__all__ = ["check_created_times", "check_feature_times", "check_label_times"]


def check_label_times(entity_table: pa.Table, spec: DatasetSpec) -> None:
    """Check that each label was known only after its entity row's instant.

    Without a label timestamp column there is nothing to check. Features are not needed for it, so
    this can go before the join.

    Raises:
        TrainingError: A label timestamp is not after its row's instant. The message names the row
            and both instants.
    """
    if spec.label_timestamp_column is None:
        return
    as_of = entity_table.column(spec.event_timestamp_column)
    known_at = entity_table.column(spec.label_timestamp_column)
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


def check_feature_times(
    batch: pa.RecordBatch, features: tuple[Field, ...], spec: DatasetSpec, *, first_row_idx: int = 0
) -> None:
    """Check that all features lie at or before each entity row's instant.

    Args:
        batch: Joined rows, with an event timestamp column per feature.
        features: The features to check.
        spec: Which column holds the rows' instants.
        first_row_idx: Where the batch begins in the dataset, for the message.

    Raises:
        TrainingError: A feature's event timestamp is after its entity row's. The message names the
            feature, the row and both instants.
    """
    for feature in features:
        event = batch.column(event_timestamp_of(feature.name))
        what = (f"`{feature.name}`", "is of")
        _refuse_later(event, batch, spec, first_row_idx=first_row_idx, what=what)


def check_created_times(
    batch: pa.RecordBatch, views: tuple[str, ...], spec: DatasetSpec, *, first_row_idx: int = 0
) -> None:
    """Check that all feature rows were created at or before each entity row's instant.

    Args:
        batch: Joined rows, with a created timestamp column per view.
        views: The views to check, by the names that they were asked for.
        spec: As in `check_feature_times`.
        first_row_idx: As in `check_feature_times`.

    Raises:
        TrainingError: A feature row was created after its entity row's instant. The message names
            the view, the row and both instants.
    """
    for view in views:
        created = batch.column(created_timestamp_of(view))
        what = (f"the row of `{view}`", "was created at")
        _refuse_later(created, batch, spec, first_row_idx=first_row_idx, what=what)


def _refuse_later(
    instants: Any,
    batch: pa.RecordBatch,
    spec: DatasetSpec,
    *,
    first_row_idx: int,
    what: tuple[str, str],
) -> None:
    as_of = batch.column(spec.event_timestamp_column)
    row_idx = _first_true(pc.greater(instants, as_of))
    if row_idx is not None:
        subject, verb = what
        msg = (
            f"leak: {subject} in row {first_row_idx + row_idx} {verb} "
            f"{_instant(instants, row_idx)}, after the entity row's instant "
            f"{_instant(as_of, row_idx)}"
        )
        raise TrainingError(
            msg, hint="the point-in-time join is at fault: please report it with the row"
        )


def _first_true(mask: Any) -> int | None:
    row_idx: int = pc.index(pc.fill_null(mask, fill_value=False), pa.scalar(value=True)).as_py()
    return None if row_idx < 0 else row_idx


def _instant(column: Any, row_idx: int) -> str:
    return format_us(column[row_idx].cast(pa.int64()).as_py())
