from __future__ import annotations

import numpy as np
import pyarrow as pa

from training.evaluation.metrics import measure
from training.evaluation.segments import measure_segments

_VALUES = ["a"] * 8 + ["b"] * 6 + ["c"] * 4 + ["e"] * 2 + ["d"] * 2 + ["f", "g"] + [None] * 4


def _segments() -> tuple[dict[str, int], dict[str, bool], list[str]]:
    labels = np.arange(len(_VALUES)) % 2 == 0
    labels[14:18] = True
    scores = np.linspace(0.1, 0.9, len(_VALUES))
    rows = np.arange(len(_VALUES))
    table = measure_segments("v__c", pa.chunked_array([_VALUES]), labels, scores, rows)
    assert table.feature == "v__c"
    counts = {segment.name: segment.n_rows for segment in table.segments}
    has_metrics = {segment.name: segment.metrics is not None for segment in table.segments}
    first = table.segments[0]
    assert first.metrics == measure(labels[:8], scores[:8])
    assert first.base_rate == labels[:8].mean()
    assert first.mean_predicted == scores[:8].mean()
    return counts, has_metrics, list(counts)


def test_five_most_frequent_values_others_and_null_each_have_a_row() -> None:
    counts, _, order = _segments()
    assert counts == {"a": 8, "b": 6, "c": 4, "d": 2, "e": 2, "(others)": 2, "(null)": 4}
    # Equally frequent values stand in the order of the alphabet, not of the rows.
    assert order == ["a", "b", "c", "d", "e", "(others)", "(null)"]


def test_segment_of_one_class_has_counts_and_no_metrics() -> None:
    _, has_metrics, _ = _segments()
    assert [name for name, has in has_metrics.items() if not has] == ["c"]


def test_only_the_rows_asked_for_count() -> None:
    labels, scores = np.array([True, False, True]), np.array([0.5, np.nan, 0.25])
    column = pa.chunked_array([["x", "x", "y"]])
    table = measure_segments("v__c", column, labels, scores, np.array([0, 2]))
    assert [(segment.name, segment.n_rows) for segment in table.segments] == [("x", 1), ("y", 1)]
    assert table.segments[0].mean_predicted == 0.5
