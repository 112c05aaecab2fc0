from __future__ import annotations

import math

import numpy as np
import pytest

from training.evaluation.metrics import Metrics, measure, spread_of


def test_metrics_of_a_known_case() -> None:
    labels = np.array([True, False, True, False])
    metrics = measure(labels, np.array([0.9, 0.8, 0.7, 0.1]))
    assert metrics.roc_auc == pytest.approx(0.75)
    assert metrics.average_precision == pytest.approx((1.0 + 2.0 / 3.0) / 2.0)
    assert metrics.brier == pytest.approx((0.01 + 0.64 + 0.09 + 0.01) / 4.0)
    expected = -(math.log(0.9) + math.log(0.2) + math.log(0.7) + math.log(0.9)) / 4.0
    assert metrics.log_loss == pytest.approx(expected)


def test_constant_has_auc_of_half_and_precision_of_the_base_rate() -> None:
    metrics = measure(np.array([True, False, False, False]), np.full(4, 0.25))
    assert metrics.roc_auc == 0.5
    assert metrics.average_precision == 0.25


def test_spread_is_the_mean_and_the_extremes_of_each_metric() -> None:
    spreads = spread_of([Metrics(0.6, 0.5, 0.2, 0.7), Metrics(0.8, 0.5, 0.1, 0.4)])
    assert spreads["roc_auc"].mean == pytest.approx(0.7)
    assert (spreads["roc_auc"].least, spreads["roc_auc"].greatest) == (0.6, 0.8)
    assert (spreads["log_loss"].least, spreads["log_loss"].greatest) == (0.4, 0.7)
