"""From a joined table to what a model sees: one column per feature, as numbers or strings.

Training and scoring both come through here, so that a vector from the offline store and one from
the gateway give the same input to the last bit.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.errors import TrainingError
from evenstore.schema.model import Field
from training.splits.row_indexes import Instants

__all__ = ["Labels", "feature_frame", "instants_of", "labels_of", "refuse_unusable"]

Labels: TypeAlias = npt.NDArray[np.bool_]

_US_PER_DAY = 86_400_000_000.0
_USABLE = frozenset(
    {
        Dtype.STRING,
        Dtype.INT32,
        Dtype.INT64,
        Dtype.FLOAT32,
        Dtype.FLOAT64,
        Dtype.BOOL,
        Dtype.UNIX_TIMESTAMP,
    }
)


def feature_frame(table: pa.Table, features: tuple[Field, ...], *, as_of_us: Instants) -> Any:
    """Build the model's input frame; columns are named and ordered as the features.

    Numbers and flags become float64 (an int64 above 2^53 is rounded, which no model minds), a
    timestamp becomes its age in days at the entity row's instant, a list its length, null becomes
    NaN (a null list too: it is not an empty one); strings stay objects with None for null.

    Args:
        table: Holds at least the features' columns, in their declared Arrow types.
        features: The features to take.
        as_of_us: The instant of each row.

    Raises:
        TrainingError: A column is missing or infinite, or a type has no place in a model yet.
    """
    refuse_unusable(features)
    missing = [field.name for field in features if field.name not in table.column_names]
    if missing:
        msg = f"the table has no column `{missing[0]}`, which the model needs"
        raise TrainingError(msg, hint="join the features of the model's feature service")
    columns = {field.name: _column(table.column(field.name), field, as_of_us) for field in features}
    return pd.DataFrame(columns)


def refuse_unusable(features: tuple[Field, ...]) -> None:
    """Refuse features that a model cannot take yet: bytes, structs, maps, texts of other types.

    Raises:
        TrainingError: Names the first such feature; or there are no features at all.
    """
    if not features:
        msg = "the feature service has no features"
        raise TrainingError(msg, hint="add feature views to it and run `feast apply`")
    for field in features:
        if not (field.dtype.is_list or field.dtype in _USABLE):
            msg = f"feature `{field.name}` is {field.dtype.value}: a model cannot take it yet"
            raise TrainingError(
                msg,
                hint="leave it out of the model's feature service, or derive a number from it "
                "in an on-demand view",
            )


def labels_of(table: pa.Table, label: str) -> Labels:
    """Return the labels of a two-class problem.

    Raises:
        TrainingError: The column is neither boolean nor of integers 0 and 1.
    """
    column = table.column(label)
    if pa.types.is_boolean(column.type):
        flags: Labels = column.to_numpy()
        return flags.astype(np.bool_)
    values = column.to_numpy() if pa.types.is_integer(column.type) else None
    if values is None or not np.isin(values, (0, 1)).all():
        msg = f"label `{label}` ({column.type}) is not a yes or no"
        raise TrainingError(msg, hint="make it boolean, or 0 and 1")
    ones: Labels = values == 1
    return ones


def instants_of(table: pa.Table, column: str) -> Instants:
    """Return a timestamp column as microseconds since the epoch; it has no nulls."""
    instants_us: Instants = table.column(column).cast(pa.int64()).to_numpy()
    return instants_us


def _column(column: Any, field: Field, as_of_us: Instants) -> Any:
    if field.dtype is Dtype.STRING:
        return pd.Series(column.to_pylist(), dtype=object)
    if field.dtype is Dtype.UNIX_TIMESTAMP:
        is_null = column.is_null().to_numpy()
        event_us = column.cast(pa.int64()).fill_null(0).to_numpy()
        return np.where(is_null, np.nan, (as_of_us - event_us) / _US_PER_DAY)
    if field.dtype.is_list:
        column = pc.list_value_length(column)
    values = column.cast(pa.float64(), safe=False).to_numpy()
    if np.isinf(values).any():
        row_idx = int(np.argmax(np.isinf(values)))
        msg = f"feature `{field.name}` is infinite in row {row_idx}"
        raise TrainingError(msg, hint="clip it, or make it null, where the feature is computed")
    return values
