"""How to fit a model, as plain data; importing it loads no model library."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["FitOptions", "ModelKind"]

_US_PER_DAY = 86_400_000_000


class ModelKind(enum.Enum):
    """Which classifier stands at the end of the pipeline."""

    GRADIENT_BOOSTING = "gradient_boosting"
    LOGISTIC_REGRESSION = "logistic_regression"


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How to fit.

    Attributes:
        test_share: Share of rows to test on: the latest ones.
        n_folds: Consecutive windows that the test period is cut into, each with a model of its own.
        purge_us: The least length of the label's window; training rows whose window reaches into
            the test period are left out.
        baseline_features: Columns `view__feature` that together make a baseline.
        segment_features: String columns `view__feature` by whose values the model is also measured.
        kind: The classifier.
        seed: Of the classifier and of what is drawn by chance, from 0 to 2^32 - 1.
    """

    test_share: float = 0.25
    n_folds: int = 1
    purge_us: int = 60 * _US_PER_DAY
    baseline_features: tuple[str, ...] = ()
    segment_features: tuple[str, ...] = ()
    kind: ModelKind = ModelKind.GRADIENT_BOOSTING
    seed: int = 0
