"""Honest metrics: of the test part only, beside baselines fitted on the same training part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenstore.errors import TrainingError
from evenstore.schema.model import Field
from evenstore.semantics import Status
from training.evaluation.calibration import Calibration
from training.evaluation.metrics import Metrics, measure
from training.frame import Labels
from training.manifest import status_of
from training.model import build_pipeline
from training.options import ModelKind
from training.splits.row_indexes import RowIndexes
from training.splits.time_split import TimeSplit

__all__ = [
    "Baseline",
    "Evaluation",
    "Part",
    "compare_with_baselines",
    "incomplete_rows",
    "summarise_part",
]

_INCOMPLETE = (int(Status.NOT_FOUND), int(Status.OUTSIDE_MAX_AGE))


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a much simpler model reaches on the same test part."""

    name: str
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Part:
    """Counts of one part of a split.

    Attributes:
        n_rows: Rows.
        n_positives: Rows whose label is true.
        n_incomplete: Rows in which a feature is NOT_FOUND or OUTSIDE_MAX_AGE.
    """

    n_rows: int
    n_positives: int
    n_incomplete: int

    @property
    def base_rate(self) -> float:
        """Share of positives."""
        return self.n_positives / self.n_rows

    @property
    def incomplete_share(self) -> float:
        """Share of rows in which a feature is NOT_FOUND or OUTSIDE_MAX_AGE."""
        return self.n_incomplete / self.n_rows


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model's test metrics, its calibration and baselines, and the parts they were taken on."""

    train: Part
    test: Part
    model: Metrics
    calibration: Calibration
    baselines: tuple[Baseline, ...]


def incomplete_rows(table: pa.Table, features: tuple[Field, ...]) -> npt.NDArray[np.bool_]:
    """Tell for each row of a dataset whether a feature is NOT_FOUND or OUTSIDE_MAX_AGE."""
    is_incomplete = np.zeros(table.num_rows, dtype=np.bool_)
    for feature in features:
        is_incomplete |= np.isin(table.column(status_of(feature.name)).to_numpy(), _INCOMPLETE)
    return is_incomplete


def summarise_part(
    name: str,
    labels: Labels,
    is_incomplete: npt.NDArray[np.bool_],
    rows: RowIndexes,
    *,
    fold: str = "",
) -> Part:
    """Count one part, and refuse one in which only one class occurs.

    Args:
        name: What the part is called in a message.
        labels: One per row of the dataset.
        is_incomplete: As `incomplete_rows` gives it.
        rows: The part's rows.
        fold: Stands before a message: `fold 2 of 4, ...: `.

    Raises:
        TrainingError: Nothing can be learned from, or measured on, one class.
    """
    n_positives = int(labels[rows].sum())
    if n_positives in {0, len(rows)}:
        msg = f"{fold}all {len(rows):,} rows of the {name} part have one label: {n_positives > 0}"
        raise TrainingError(
            msg,
            hint="give more entity rows, another test share or fewer folds, so that both classes "
            "occur",
        )
    return Part(len(rows), n_positives, int(is_incomplete[rows].sum()))


def compare_with_baselines(
    frame: Any,
    labels: Labels,
    split: TimeSplit,
    *,
    baseline_features: tuple[Field, ...],
    seed: int,
) -> tuple[Baseline, ...]:
    """Fit the baselines on the training part and measure them on the test part.

    The first is the training part's base rate for everyone; the second, where features are named,
    one logistic regression on those features alone: recency and frequency, say, are what a rule of
    thumb would use, and a model must beat that.
    """
    test_labels = labels[split.test]
    constant = np.full(len(split.test), float(labels[split.train].mean()))
    baselines = [Baseline("base rate of the training part", measure(test_labels, constant))]
    if baseline_features:
        pipeline = build_pipeline(baseline_features, kind=ModelKind.LOGISTIC_REGRESSION, seed=seed)
        columns = frame[[field.name for field in baseline_features]]
        pipeline.fit(columns.iloc[split.train], labels[split.train])
        scores = pipeline.predict_proba(columns.iloc[split.test])[:, 1]
        baselines.append(Baseline(_name(baseline_features), measure(test_labels, scores)))
    return tuple(baselines)


def _name(baseline_features: tuple[Field, ...]) -> str:
    if len(baseline_features) == 1:
        return f"logistic regression on `{baseline_features[0].name}` alone"
    return f"logistic regression on {len(baseline_features)} features alone"
