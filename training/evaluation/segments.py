"""How good a model is for whom: metrics of test rows by the value of a string feature.

A mean over all rows hides a country for which the model is no better than chance. The rows are the
test rows of all folds together, each scored by its own fold's model.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from training.evaluation.metrics import Metrics, Probabilities, measure
from training.frame import Labels
from training.splits.row_indexes import RowIndexes

__all__ = ["Segment", "SegmentTable", "measure_segments"]

_MOST_VALUES = 5
_OTHERS = "(others)"
_NULL = "(null)"


@dataclass(frozen=True, slots=True)
class Segment:
    """Test rows that share a value.

    Attributes:
        name: The value; `(others)` for all less frequent ones, `(null)` where there is none.
        n_rows: Rows.
        base_rate: Share of positives.
        mean_predicted: Mean probability.
        metrics: None where all rows have one label.
    """

    name: str
    n_rows: int
    base_rate: float
    mean_predicted: float
    metrics: Metrics | None


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """All segments of one feature: the most frequent values first, then others, then null."""

    feature: str
    segments: tuple[Segment, ...]


def measure_segments(
    feature: str,
    column: pa.ChunkedArray,
    labels: Labels,
    probabilities: Probabilities,
    rows: RowIndexes,
) -> SegmentTable:
    """Measure the five most frequent values of a string feature, the others, and null.

    Args:
        feature: Its name.
        column: Its values, one per row of the dataset.
        labels: One per row of the dataset.
        probabilities: One per row of the dataset; read at `rows` only.
        rows: The test rows, each once.
    """
    values = column.take(pa.array(rows)).to_pylist()
    counts = Counter(value for value in values if value is not None)
    # Equally frequent values in the order of the alphabet, so that the table is always the same.
    frequent = sorted(counts, key=lambda value: (-counts[value], value))[:_MOST_VALUES]
    names = dict(zip(frequent, frequent, strict=True))
    of_row = np.array(
        [_NULL if value is None else names.get(value, _OTHERS) for value in values], dtype=object
    )
    segments = []
    for name in dict.fromkeys([*frequent, _OTHERS, _NULL]):
        in_segment = rows[of_row == name]
        if len(in_segment):
            segments.append(_segment(name, labels[in_segment], probabilities[in_segment]))
    return SegmentTable(feature, tuple(segments))


def _segment(name: str, labels: Labels, probabilities: Probabilities) -> Segment:
    has_both = bool(labels.any()) and not bool(labels.all())
    return Segment(
        name=name,
        n_rows=len(labels),
        base_rate=float(labels.mean()),
        mean_predicted=float(probabilities.mean()),
        metrics=measure(labels, probabilities) if has_both else None,
    )
