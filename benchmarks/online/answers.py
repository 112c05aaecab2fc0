"""Whether `get_online_features` gives the right values: those of the newest rows of the source.

Judged by the data that were generated, not by another contender. Stock Feast is excused, and only
stock, for what evenstore corrects (docs/guides and the list of divergences name them): every status
is PRESENT, an absent entity and a NaN are null, and a timestamp is a microsecond off at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from feast import FeatureStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from benchmarks.online.cases import Step
from benchmarks.online.data import OnlineDataset
from benchmarks.online.rows import EVENT

__all__ = ["describe_wrong_answer"]

_STOCK_SLACK_US = 1
_NS_PER_US = 1_000


def describe_wrong_answer(
    store: FeatureStore, dataset: OnlineDataset, step: Step, *, is_stock: bool
) -> str | None:
    """Ask for the sample and say what is wrong first, None where all is right.

    Args:
        store: With the rows of the step.
        dataset: What was loaded.
        step: The last one that ran.
        is_stock: Whether stock Feast's known faults are excused.
    """
    key = dataset.case.key_column
    keys = dataset.sample_keys()
    response = store.get_online_features(
        features=dataset.refs,
        entity_rows=[{key: value} for value in keys],
        full_feature_names=True,
    ).proto
    columns = dict(zip(response.metadata.feature_names.val, response.results, strict=True))
    for view in dataset.case.views:
        right = dataset.right_rows(step, view)
        events = right[EVENT].cast(pa.int64()).to_pylist()
        for feature in dataset.features:
            name = f"{view}__{feature}"
            if name not in columns:
                return f"{name} is not in the answer"
            values = right[feature].to_pylist()
            fault = _first_fault(columns[name], values, events, is_stock=is_stock)
            if fault is not None:
                row, said = fault
                return f"{name} of {key} {keys[row]} {said}"
    return None


def _first_fault(
    column: Any, values: Sequence[Any], events: Sequence[int | None], *, is_stock: bool
) -> tuple[int, str] | None:
    """Return number and description of the first wrong row of a feature."""
    if len(column.values) != len(values):
        return 0, f"and others: {len(column.values)} values for {len(values)} entity rows"
    for row, (value, event_us) in enumerate(zip(values, events, strict=True)):
        found = _plain(column.values[row])
        wanted = None if is_stock and _is_nan(value) else value
        if not _is_equal(found, wanted):
            return row, f"is {found!r}, not {wanted!r}"
        status = FieldStatus.Name(column.statuses[row])
        right_status = "PRESENT" if is_stock else _status(value, event_us)
        if status != right_status:
            return row, f"has status {status}, not {right_status}"
        if event_us is None:
            continue
        stamp = column.event_timestamps[row]
        off_us = abs(stamp.ToNanoseconds() // _NS_PER_US - event_us)
        if off_us > (_STOCK_SLACK_US if is_stock else 0):
            return row, f"has an event timestamp {off_us} us off"
    return None


def _status(value: Any, event_us: int | None) -> str:
    if event_us is None:
        return "NOT_FOUND"
    return "NULL_VALUE" if value is None else "PRESENT"


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("val")
    if kind is None:
        return None
    held = getattr(value, kind)
    return list(held.val) if hasattr(held, "val") else held


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_equal(found: Any, wanted: Any) -> bool:
    if _is_nan(wanted):
        return _is_nan(found)
    return type(found) is type(wanted) and bool(found == wanted)
