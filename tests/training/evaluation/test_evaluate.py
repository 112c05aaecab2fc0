from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import TrainingError
from evenstore.schema.model import Field
from evenstore.semantics import Status
from training.evaluation.evaluate import incomplete_rows, summarise_part


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
    is_incomplete = incomplete_rows(table, features)
    assert is_incomplete.tolist() == [True, True, False, True]
    labels = np.array([True, False, True, True])
    part = summarise_part("training", labels, is_incomplete, np.array([0, 1, 2]))
    assert (part.n_rows, part.n_positives, part.n_incomplete) == (3, 2, 2)
    assert part.base_rate == part.incomplete_share == pytest.approx(2 / 3)


@pytest.mark.parametrize("value", [True, False])
def test_part_of_one_class_is_refused(value: bool) -> None:
    labels, complete = np.full(3, value), np.zeros(3, dtype=np.bool_)
    with pytest.raises(TrainingError, match=f"^fold 2: all 3 rows of the test part .*: {value}"):
        summarise_part("test", labels, complete, np.arange(3), fold="fold 2: ")
