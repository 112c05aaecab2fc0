"""How well probabilities match labels, and how far that moves from fold to fold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from training.frame import Labels

__all__ = [
    "METRICS",
    "SMALLER_IS_BETTER",
    "Metrics",
    "Probabilities",
    "Spread",
    "measure",
    "spread_of",
]

Probabilities: TypeAlias = npt.NDArray[np.float64]


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


METRICS = {
    "roc_auc": "ROC AUC",
    "average_precision": "avg. precision",
    "brier": "Brier",
    "log_loss": "log loss",
}
"""The metrics' titles by their names, in the order in which they are shown."""

SMALLER_IS_BETTER = {"roc_auc": -1, "average_precision": -1, "brier": 1, "log_loss": 1}
"""1 for an error, which is better when smaller; -1 for what is better when greater."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One metric over all folds: its unweighted mean and its extremes."""

    mean: float
    least: float
    greatest: float


def measure(labels: Labels, probabilities: Probabilities) -> Metrics:
    """Measure probabilities of the positive class; the labels hold both classes."""
    return Metrics(
        roc_auc=float(roc_auc_score(labels, probabilities)),
        average_precision=float(average_precision_score(labels, probabilities)),
        brier=float(brier_score_loss(labels, probabilities)),
        log_loss=float(log_loss(labels, probabilities, labels=[False, True])),
    )


def spread_of(folds: Sequence[Metrics]) -> dict[str, Spread]:
    """Summarise each metric over folds, by its name; there is at least one fold."""
    spreads = {}
    for field in dataclasses.fields(Metrics):
        values = [getattr(metrics, field.name) for metrics in folds]
        spreads[field.name] = Spread(sum(values) / len(values), min(values), max(values))
    return spreads
