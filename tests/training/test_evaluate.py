from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import TrainingError
from evenstore.schema.model import Field
from evenstore.semantics import Status
from training.evaluate import measure, summarise_part


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


def test_part_counts_rows_with_a_feature_not_found_or_too_old() -> None:
    features = (Field("a", Dtype.INT64), Field("b", Dtype.INT64))
    table = pa.table(
        {
            "a__status": pa.array(
                [Status.PRESENT, Status.NOT_FOUND, Status.NULL_VALUE, Status.NOT_FOUND], pa.int8()
            ),
            "b__status": pa.array(
                [Status.OUTSIDE_MAX_AGE, Status.NOT_FOUND, Status.PRESENT, Status.PRESENT],
                pa.int8(),
            ),
        }
    )
    labels = np.array([True, False, True, True])
    part = summarise_part("training", table, features, labels, np.array([0, 1, 2]))
    assert (part.n_rows, part.n_positives, part.n_incomplete) == (3, 2, 2)
    assert part.base_rate == part.incomplete_share == pytest.approx(2 / 3)


@pytest.mark.parametrize("value", [True, False])
def test_part_of_one_class_is_refused(value: bool) -> None:
    labels = np.full(3, value)
    with pytest.raises(TrainingError, match=f"all 3 rows of the test part .*: {value}"):
        summarise_part("test", pa.table({"x": [1, 2, 3]}), (), labels, np.arange(3))
