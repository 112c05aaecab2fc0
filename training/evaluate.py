"""Honest metrics: of the test part only, beside baselines fitted on the same training part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from evenstore.errors import TrainingError
from evenstore.schema.model import Field
from evenstore.semantics import Status
from training.frame import Labels
from training.manifest import status_of
from training.model import build_pipeline
from training.options import ModelKind
from training.split import RowIndexes, TimeSplit

__all__ = [
    "Baseline",
    "Evaluation",
    "Metrics",
    "Part",
    "Probabilities",
    "compare_with_baselines",
    "measure",
    "summarise_part",
]

Probabilities: TypeAlias = npt.NDArray[np.float64]

_INCOMPLETE = (int(Status.NOT_FOUND), int(Status.OUTSIDE_MAX_AGE))


@dataclass(frozen=True, slots=True)
class Metrics:
    """How well probabilities match labels.

    Attributes:
        roc_auc: Chance that a positive scores above a negative; 0.5 for a constant.
        average_precision: Area under precision and recall; the base rate for a constant.
        brier: Mean squared error of the probability; smaller is better.
        log_loss: Mean negative log likelihood in nats; smaller is better.
    """

    roc_auc: float
    average_precision: float
    brier: float
    log_loss: float


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
    """A model's test metrics, its baselines and the parts they were taken on."""

    train: Part
    test: Part
    model: Metrics
    baselines: tuple[Baseline, ...]


def measure(labels: Labels, probabilities: Probabilities) -> Metrics:
    """Measure probabilities of the positive class; the labels hold both classes."""
    return Metrics(
        roc_auc=float(roc_auc_score(labels, probabilities)),
        average_precision=float(average_precision_score(labels, probabilities)),
        brier=float(brier_score_loss(labels, probabilities)),
        log_loss=float(log_loss(labels, probabilities, labels=[False, True])),
    )


def summarise_part(
    name: str, table: pa.Table, features: tuple[Field, ...], labels: Labels, rows: RowIndexes
) -> Part:
    """Count one part, and refuse one in which only one class occurs.

    Raises:
        TrainingError: Nothing can be learned from, or measured on, one class.
    """
    n_positives = int(labels[rows].sum())
    if n_positives in {0, len(rows)}:
        msg = f"all {len(rows):,} rows of the {name} part have one label: {n_positives > 0}"
        raise TrainingError(
            msg, hint="give more entity rows, or another test share, so that both classes occur"
        )
    is_incomplete = np.zeros(table.num_rows, dtype=np.bool_)
    for feature in features:
        is_incomplete |= np.isin(table.column(status_of(feature.name)).to_numpy(), _INCOMPLETE)
    return Part(len(rows), n_positives, int(is_incomplete[rows].sum()))


def compare_with_baselines(
    frame: Any,
    labels: Labels,
    split: TimeSplit,
    *,
    baseline_feature: Field | None,
    seed: int,
) -> tuple[Baseline, ...]:
    """Fit the baselines on the training part and measure them on the test part.

    The first is the training part's base rate for everyone; the second, where a feature is named, a
    logistic regression on that feature alone.
    """
    test_labels = labels[split.test]
    base_rate = float(labels[split.train].mean())
    constant = np.full(len(split.test), base_rate)
    baselines = [Baseline("base rate of the training part", measure(test_labels, constant))]
    if baseline_feature is not None:
        pipeline = build_pipeline(
            (baseline_feature,), kind=ModelKind.LOGISTIC_REGRESSION, seed=seed
        )
        column = frame[[baseline_feature.name]]
        pipeline.fit(column.iloc[split.train], labels[split.train])
        scores = pipeline.predict_proba(column.iloc[split.test])[:, 1]
        name = f"logistic regression on `{baseline_feature.name}` alone"
        baselines.append(Baseline(name, measure(test_labels, scores)))
    return tuple(baselines)
