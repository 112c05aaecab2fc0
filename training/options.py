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
        purge_us: The least length of the label's window; training rows whose window reaches into
            the test period are left out.
        baseline_feature: Column `view__feature` that a one-feature baseline uses, or None.
        kind: The classifier.
        seed: Of the classifier, from 0 to 2^32 - 1.
    """

    test_share: float = 0.25
    purge_us: int = 60 * _US_PER_DAY
    baseline_feature: str | None = None
    kind: ModelKind = ModelKind.GRADIENT_BOOSTING
    seed: int = 0
