"""On-demand views: one typed answer whatever rows are in the batch."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import dill
import numpy as np
import pandas as pd
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError, UnsupportedDtypeError
from evenstore.schema.model import (
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    OnDemandViewSchema,
    Projection,
    RegistrySchema,
)
from evenstore.schema.on_demand import FeatureValues, OnDemandFunction, OnDemandStage, coerce_value
from evenstore.schema.request import resolve_service
from evenstore.semantics import Status

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
NEW_YORK = dt.timezone(dt.timedelta(hours=-5))
NAN = float("nan")

KEPT: list[tuple[Dtype, Any, Any]] = [
    (Dtype.INT32, 2**31 - 1, 2**31 - 1),
    (Dtype.INT64, -(2**63), -(2**63)),
    (Dtype.INT64, np.int64(2**53 + 1), 2**53 + 1),
    (Dtype.FLOAT64, 1, 1.0),
    (Dtype.FLOAT64, -0.0, -0.0),
    (Dtype.FLOAT64, np.float32(0.1), 0.10000000149011612),
    (Dtype.FLOAT32, 0.1, 0.10000000149011612),
    (Dtype.FLOAT32, 1e39, math.inf),
    (Dtype.FLOAT32, -1e39, -math.inf),
    (Dtype.FLOAT32, math.inf, math.inf),
    (Dtype.BOOL, np.True_, True),
    (Dtype.STRING, "é\U0001f600\0", "é\U0001f600\0"),
    (Dtype.BYTES, b"\xff\0", b"\xff\0"),
    (Dtype.UNIX_TIMESTAMP, NOON.replace(microsecond=999_999), NOON),
    (Dtype.UNIX_TIMESTAMP, NOON.astimezone(NEW_YORK), NOON),
    (
        Dtype.UNIX_TIMESTAMP,
        dt.datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=dt.UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
    ),
    (Dtype.UNIX_TIMESTAMP, pd.Timestamp("2024-01-01T12:00:00.000000001Z"), NOON),
    (
        Dtype.UNIX_TIMESTAMP,
        dt.datetime(9999, 12, 31, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, tzinfo=dt.UTC),
    ),
    (Dtype.INT64_LIST, (1, 2), [1, 2]),
    (Dtype.FLOAT32_LIST, np.array([0.5, 1.5]), [0.5, 1.5]),
    (Dtype.STRING_LIST, [], []),
    (Dtype.UNIX_TIMESTAMP_LIST, [NOON], [NOON]),
]

REFUSED: list[tuple[Dtype, Any]] = [
    (Dtype.INT32, 2**31),
    (Dtype.INT32, -(2**31) - 1),
    (Dtype.INT64, 2**63),
    (Dtype.INT64, 1.0),
    (Dtype.INT64, True),
    (Dtype.INT64, "1"),
    (Dtype.FLOAT64, 2**53 + 1),
    (Dtype.FLOAT64, 10**400),
    (Dtype.FLOAT64, True),
    (Dtype.FLOAT64, "1.5"),
    (Dtype.FLOAT32, "1.5"),
    (Dtype.BOOL, 1),
    (Dtype.STRING, b"a"),
    (Dtype.STRING, 1),
    (Dtype.STRING, "\ud800"),
    (Dtype.BYTES, "a"),
    (Dtype.UNIX_TIMESTAMP, NOON.replace(tzinfo=None)),
    (Dtype.UNIX_TIMESTAMP, 1_700_000_000),
    (Dtype.UNIX_TIMESTAMP, pd.NaT),
    (Dtype.INT64_LIST, 1),
    (Dtype.INT64_LIST, [1, None]),
    (Dtype.INT64_LIST, [1.5]),
    (Dtype.STRING_LIST, "abc"),
    (Dtype.FLOAT64_LIST, [[1.0]]),
]


@pytest.mark.parametrize(("dtype", "value", "kept"), KEPT, ids=str)
def test_value_of_the_declared_type_is_kept(dtype: Dtype, value: Any, kept: Any) -> None:
    coerced = coerce_value(value, dtype, where="view:x")
    assert coerced == kept
    assert type(coerced) is type(kept)
    assert repr(coerced) == repr(kept)


@pytest.mark.parametrize(("dtype", "value"), REFUSED, ids=str)
def test_value_of_another_type_is_refused_with_its_place(dtype: Dtype, value: Any) -> None:
    with pytest.raises(UnsupportedDtypeError, match=r"^view:x: .* is not ") as caught:
        coerce_value(value, dtype, where="view:x")
    assert caught.value.hint == "return the declared type, or None for null"


@pytest.mark.parametrize("dtype", Dtype, ids=lambda dtype: dtype.value)
def test_null_is_null_in_every_type(dtype: Dtype) -> None:
    assert coerce_value(None, dtype, where="view:x") is None


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT64])
def test_nan_stays_nan_and_is_no_null(dtype: Dtype) -> None:
    assert math.isnan(coerce_value(NAN, dtype, where="view:x"))


def view_of(
    function: Callable[[dict[str, Any]], Any],
    *,
    mode: str = "python",
    is_singleton: bool = False,
    outputs: tuple[Field, ...] = (Field("y", Dtype.FLOAT64),),
) -> OnDemandViewSchema:
    return OnDemandViewSchema(
        name="ratio",
        mode=mode,
        is_singleton=is_singleton,
        inputs=(("stats", "x"),),
        request_fields=(Field("amount", Dtype.FLOAT64),),
        features=outputs,
        udf=dill.dumps(function, recurse=True),
        udf_source="",
    )


def double(columns: dict[str, Any]) -> dict[str, Any]:
    return {"y": [None if x is None else 2 * x for x in columns["x"]]}


def test_function_gets_plain_columns_under_both_names_and_nulls_as_none() -> None:
    seen: list[dict[str, Any]] = []

    def keep(columns: dict[str, Any]) -> dict[str, Any]:
        seen.append(columns)
        return {"y": columns["stats__x"]}

    function = OnDemandFunction(view_of(double))
    function._function = keep
    inputs = {"x": (1.0, None), "stats__x": (1.0, None), "amount": (3.0, 4.0)}
    assert function.apply(inputs, 2) == {"y": [1.0, None]}
    assert seen == [{"x": [1.0, None], "stats__x": [1.0, None], "amount": [3.0, 4.0]}]


@pytest.mark.parametrize("column", [[1, None], [None, None], [1, 2], [None, 2.5]])
def test_output_type_does_not_depend_on_the_batch(column: list[Any]) -> None:
    """D15: stock's pandas path gives int64, float64 or object for these."""
    values = OnDemandFunction(view_of(double)).apply({"x": column}, 2)["y"]
    assert {type(value) for value in values} <= {float, type(None)}
    alone = [OnDemandFunction(view_of(double)).apply({"x": [x]}, 1)["y"][0] for x in column]
    assert values == alone


def test_no_rows_do_not_call_the_function() -> None:
    def fail(_columns: dict[str, Any]) -> dict[str, Any]:
        msg = "called"
        raise AssertionError(msg)

    for is_singleton in (True, False):
        view = view_of(fail, is_singleton=is_singleton)
        assert OnDemandFunction(view).apply({"x": []}, 0) == {"y": []}


@pytest.mark.parametrize(
    ("answer", "given"),
    [
        ({}, "no column"),
        ({"y": None}, "no column"),
        ({"y": 5.0}, "no column"),
        ({"y": "ab"}, "no column"),
        ({"y": [1.0]}, "1 values"),
        ({"y": [1.0, 2.0, 3.0]}, "3 values"),
    ],
)
def test_output_of_another_length_is_refused(answer: dict[str, Any], given: str) -> None:
    function = OnDemandFunction(view_of(lambda _columns: answer))
    with pytest.raises(SchemaError) as caught:
        function.apply({"x": [1.0, 2.0]}, 2)
    assert caught.value.message == f"ratio:y: the function gave {given} for 2 rows"


@pytest.mark.parametrize("is_singleton", [True, False])
def test_answer_that_is_no_dict_is_refused(is_singleton: bool) -> None:
    function = OnDemandFunction(view_of(lambda _columns: [1.0], is_singleton=is_singleton))
    with pytest.raises(SchemaError, match="`ratio`: the function gave list"):
        function.apply({"x": [1.0]}, 1)


def test_numpy_column_is_taken_as_plain_values() -> None:
    function = OnDemandFunction(view_of(lambda columns: {"y": np.array(columns["x"]) * 2}))
    assert function.apply({"x": [1.0, 2.0]}, 2) == {"y": [2.0, 4.0]}


def test_output_of_another_type_is_refused_by_name() -> None:
    function = OnDemandFunction(view_of(lambda _columns: {"y": ["1.5"]}))
    with pytest.raises(UnsupportedDtypeError, match=r"^ratio:y: '1.5' is not Float64"):
        function.apply({"x": [1.0]}, 1)


def test_outputs_that_were_not_declared_are_left_away() -> None:
    function = OnDemandFunction(view_of(lambda columns: {"y": columns["x"], "z": [9.0]}))
    assert function.apply({"x": [1.0]}, 1) == {"y": [1.0]}


def test_singleton_gets_one_row_of_scalars() -> None:
    function = OnDemandFunction(
        view_of(lambda row: {"y": row["x"] + row["amount"]}, is_singleton=True)
    )
    assert function.apply({"x": [1.0, 2.0], "amount": [10.0, 20.0]}, 2) == {"y": [11.0, 22.0]}


def test_singleton_without_an_output_is_refused() -> None:
    function = OnDemandFunction(view_of(lambda _row: {"z": 1.0}, is_singleton=True))
    with pytest.raises(SchemaError, match="ratio:y: the function gave no value for row 0"):
        function.apply({"x": [1.0]}, 1)


@pytest.mark.parametrize("mode", ["pandas", "substrait"])
def test_other_modes_are_refused_by_name(mode: str) -> None:
    with pytest.raises(SchemaError, match=f"`ratio` has mode `{mode}`"):
        OnDemandFunction(view_of(double, mode=mode))


def test_stage_gives_the_worst_status_of_inputs_and_value() -> None:
    stats = FeatureViewSchema(
        "stats", (Field("k", Dtype.INT64),), (Field("x", Dtype.FLOAT64),), None
    )
    registry = RegistrySchema(
        project="tiny",
        feature_views=(stats,),
        on_demand_views=(view_of(double),),
        feature_services=(FeatureServiceSchema("svc", (Projection("ratio", "ratio", ("y",)),)),),
    )
    stage = OnDemandStage(resolve_service(registry, "svc"))
    statuses = [Status.PRESENT, Status.NULL_VALUE, Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE]
    read = {("stats", "x"): FeatureValues([1.0, None, None, 4.0], statuses)}
    outputs = stage.apply(read, {"amount": [0.0] * 4}, 4)
    assert outputs == {("ratio", "y"): FeatureValues([2.0, None, None, 8.0], statuses)}

    null_output = {("stats", "x"): FeatureValues([NAN, None], [Status.PRESENT, Status.PRESENT])}
    answer = stage.apply(null_output, {"amount": [0.0] * 2}, 2)["ratio", "y"]
    assert answer.statuses == [Status.PRESENT, Status.NULL_VALUE]
