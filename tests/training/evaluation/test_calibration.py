from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.calibration import calibrate


def test_ten_quantile_bins_hold_equally_many_rows_and_their_means() -> None:
    probabilities = np.arange(100) / 100.0
    labels = np.arange(100) % 2 == 0
    calibration = calibrate(labels, probabilities)
    assert len(calibration.bins) == 10
    assert sum(bin_.n_rows for bin_ in calibration.bins) == 100
    assert {bin_.n_rows for bin_ in calibration.bins} <= {9, 10, 11}
    first = calibration.bins[0]
    assert first.mean_predicted == pytest.approx(probabilities[: first.n_rows].mean())
    assert first.observed_rate == pytest.approx(labels[: first.n_rows].mean())


def test_perfect_probabilities_have_no_expected_error_and_wrong_ones_their_distance() -> None:
    labels = np.repeat([True, False, True, False], [2, 8, 8, 2])
    honest = np.repeat([0.2, 0.8], 10)
    assert calibrate(labels, honest).expected_error == pytest.approx(0.0)
    assert calibrate(labels, honest - 0.1).expected_error == pytest.approx(0.1)


def test_rows_with_one_probability_are_never_parted_whatever_their_order() -> None:
    probabilities = np.array([0.3] * 50 + [0.9] * 5)
    labels = np.arange(55) % 3 == 0
    random = np.random.default_rng(0)
    order = random.permutation(55)
    calibration = calibrate(labels, probabilities)
    assert calibrate(labels[order], probabilities[order]).bins[0].n_rows == 50
    assert [bin_.n_rows for bin_ in calibration.bins] == [50, 5]


def test_constant_is_one_bin() -> None:
    calibration = calibrate(np.array([True, False, False, False]), np.full(4, 0.25))
    assert [bin_.n_rows for bin_ in calibration.bins] == [4]
    assert calibration.expected_error == 0.0
