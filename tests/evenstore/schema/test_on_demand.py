"""On-demand views: one typed answer whatever rows are in the batch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dill
import numpy as np
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
from evenstore.schema.on_demand import FeatureValues, OnDemandFunction, OnDemandStage
from evenstore.schema.request import resolve_service
from evenstore.semantics import Status

NAN = float("nan")


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


@pytest.mark.parametrize("mode", ["substrait", "ray", "spark"])
def test_other_modes_are_refused_by_name(mode: str) -> None:
    with pytest.raises(SchemaError, match=f"`ratio` has mode `{mode}`") as caught:
        OnDemandFunction(view_of(double, mode=mode))
    assert caught.value.hint == 'declare it with mode="python" or mode="pandas"'


def test_view_without_a_function_is_refused() -> None:
    with pytest.raises(SchemaError, match="`ratio` has no function of its own"):
        OnDemandFunction(dataclasses.replace(view_of(double), udf=b""))


def test_python_mode_imports_neither_pandas_nor_arrow(tmp_path: Path) -> None:
    """A gateway worker stays small unless one of its views needs pandas."""
    program = tmp_path / "run.py"
    program.write_text(
        "import sys, dill\n"
        "from evenstore.dtypes import Dtype\n"
        "from evenstore.schema.model import Field, OnDemandViewSchema\n"
        "from evenstore.schema.on_demand import OnDemandFunction\n"
        "def double(columns):\n"
        "    return {'y': [2 * x for x in columns['x']]}\n"
        "view = OnDemandViewSchema('v', 'python', False, (('s', 'x'),), (),\n"
        "    (Field('y', Dtype.INT64),), dill.dumps(double, recurse=True), '')\n"
        "print(OnDemandFunction(view).apply({'x': [1, 2]}, 2))\n"
        "print(sorted({'pandas', 'pyarrow', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["{'y': [2, 4]}", "[]"]


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
