from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import TrainingError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import Field
from tests.training.samples import DAY_US
from training.frame import feature_frame, labels_of

_AS_OF_US = np.array([10 * DAY_US, 10 * DAY_US])


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (Dtype.INT64, [2**53 + 1, None], [float(2**53), np.nan]),
        (Dtype.INT32, [1, None], [1.0, np.nan]),
        (Dtype.FLOAT32, [0.1, None], [float(np.float32(0.1)), np.nan]),
        (Dtype.FLOAT64, [float("nan"), -0.5], [np.nan, -0.5]),
        (Dtype.BOOL, [True, None], [1.0, np.nan]),
        (Dtype.UNIX_TIMESTAMP, [DAY_US, None], [9.0, np.nan]),
        (Dtype.STRING_LIST, [["a", "b"], None], [2.0, np.nan]),
        (Dtype.BYTES_LIST, [[b"a"], []], [1.0, 0.0]),
        (Dtype.FLOAT64_LIST, [[float("nan"), float("inf")], []], [2.0, 0.0]),
    ],
)
def test_values_become_float64_with_nan_for_null(
    dtype: Dtype, values: list[Any], expected: list[float]
) -> None:
    table = pa.table({"x": pa.array(values, arrow_type(dtype))})
    frame = feature_frame(table, (Field("x", dtype),), as_of_us=_AS_OF_US)
    assert frame["x"].dtype == np.float64
    np.testing.assert_array_equal(frame["x"], expected)


def test_strings_stay_strings_and_null_is_none() -> None:
    table = pa.table({"x": pa.array(["é", None])})
    frame = feature_frame(table, (Field("x", Dtype.STRING),), as_of_us=_AS_OF_US)
    assert frame["x"].tolist() == ["é", None]


@pytest.mark.parametrize("name", ["Bytes", "Json", 'Struct({"a": Int64})', "Map", "Decimal"])
def test_types_without_a_number_are_refused(name: str) -> None:
    table = pa.table({"x": pa.array([None, None], pa.binary())})
    with pytest.raises(TrainingError, match=r"`x` is .*: a model cannot take it yet"):
        feature_frame(table, (Field("x", Dtype(name)),), as_of_us=_AS_OF_US)


def test_infinite_value_missing_column_and_no_features_are_refused() -> None:
    field = Field("x", Dtype.FLOAT64)
    with pytest.raises(TrainingError, match="`x` is infinite in row 1"):
        feature_frame(pa.table({"x": [1.0, -np.inf]}), (field,), as_of_us=_AS_OF_US)
    with pytest.raises(TrainingError, match="no column `x`"):
        feature_frame(pa.table({"y": [1.0, 2.0]}), (field,), as_of_us=_AS_OF_US)
    with pytest.raises(TrainingError, match="no features"):
        feature_frame(pa.table({"y": [1.0, 2.0]}), (), as_of_us=_AS_OF_US)


def test_labels_are_flags_or_zero_and_one() -> None:
    table = pa.table({"flag": [True, False], "one": [1, 0], "two": [1, 2], "text": ["a", "b"]})
    assert labels_of(table, "flag").tolist() == [True, False]
    assert labels_of(table, "one").tolist() == [True, False]
    for name in ("two", "text"):
        with pytest.raises(TrainingError, match=f"`{name}` .* is not a yes or no"):
            labels_of(table, name)
