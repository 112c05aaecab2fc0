from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from training.evaluation.importance import permutation_importance


class _FirstColumn:
    """Scores by one column alone, so that the others cannot matter."""

    def __init__(self) -> None:
        self.n_rows: list[int] = []

    def predict_proba(self, frame: Any) -> Any:
        self.n_rows.append(len(frame))
        scores = frame["signal"].to_numpy()
        return np.column_stack([1.0 - scores, scores])


def _frame(n_rows: int) -> tuple[Any, Any]:
    random = np.random.default_rng(1)
    labels = random.random(n_rows) < 0.4
    signal = np.clip(0.5 * labels + 0.5 * random.random(n_rows), 0.0, 1.0)
    country = np.array(["x", None] * n_rows, dtype=object)[:n_rows]
    frame = pd.DataFrame({"noise": random.random(n_rows), "country": country, "signal": signal})
    return frame, labels


def test_only_the_feature_that_decides_the_score_is_important() -> None:
    frame, labels = _frame(400)
    found = permutation_importance(_FirstColumn(), frame, labels, np.arange(400), seed=0)
    assert [item.feature for item in found] == ["signal", "country", "noise"]
    assert {(item.n_rows, item.n_positives) for item in found} == {(400, int(labels.sum()))}
    assert found[0].mean > 0.3
    assert found[0].least <= found[0].mean <= found[0].greatest
    assert {(item.mean, item.least, item.greatest) for item in found[1:]} == {(0.0, 0.0, 0.0)}


def test_at_most_5000_rows_are_drawn_by_the_seed() -> None:
    frame, labels = _frame(6_000)
    model = _FirstColumn()
    one, again, other = (
        permutation_importance(model, frame, labels, np.arange(6_000), seed=seed)
        for seed in (3, 3, 4)
    )
    assert set(model.n_rows) == {5_000, 15_000}
    assert {item.n_rows for item in one} == {5_000}
    assert one[0].n_positives == pytest.approx(0.4 * 5_000, abs=200)
    assert one == again
    assert one != other
    assert one[0].mean == pytest.approx(other[0].mean, abs=0.05)


def test_rows_of_one_label_have_no_importance() -> None:
    frame, labels = _frame(50)
    drawn = np.flatnonzero(labels)
    assert permutation_importance(_FirstColumn(), frame, labels, drawn, seed=0) == ()
