"""Whether probabilities mean what they say: predicted beside observed rates, in quantile bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.metrics import Probabilities
from training.frame import Labels

__all__ = ["Calibration", "CalibrationBin", "calibrate"]

_N_BINS = 10


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Rows with neighbouring probabilities.

    Attributes:
        n_rows: Rows.
        mean_predicted: Their mean probability.
        observed_rate: Share of them whose label is true.
    """

    n_rows: int
    mean_predicted: float
    observed_rate: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration table.

    Attributes:
        bins: From low to high probabilities; ten with equally many rows, or fewer where many rows
            share one probability, as such rows are never parted.
        expected_error: Mean distance of predicted from observed rate, weighted by rows (expected
            calibration error); 0 is perfect.
    """

    bins: tuple[CalibrationBin, ...]
    expected_error: float


def calibrate(labels: Labels, probabilities: Probabilities) -> Calibration:
    """Compare predicted with observed rates; there is at least one row."""
    # A bin reaches up to its edge and includes it, so that equal probabilities share a bin.
    edges = np.unique(np.quantile(probabilities, np.linspace(0.0, 1.0, _N_BINS + 1)[1:]))
    bin_idx = np.searchsorted(edges[:-1], probabilities, side="left")
    bins = []
    for i in np.unique(bin_idx):
        is_in = bin_idx == i
        bins.append(
            CalibrationBin(
                n_rows=int(is_in.sum()),
                mean_predicted=float(probabilities[is_in].mean()),
                observed_rate=float(labels[is_in].mean()),
            )
        )
    distance = sum(bin_.n_rows * abs(bin_.mean_predicted - bin_.observed_rate) for bin_ in bins)
    return Calibration(tuple(bins), distance / len(labels))
