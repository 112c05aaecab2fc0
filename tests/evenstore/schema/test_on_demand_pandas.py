"""On-demand views of mode `pandas`: one type per column whatever rows are in the batch (D15)."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dill
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError, UnsupportedDtypeError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import (
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    OnDemandViewSchema,
    Projection,
    RegistrySchema,
)
from evenstore.schema.on_demand import FeatureValues, OnDemandFunction, OnDemandStage
from evenstore.schema.on_demand_pandas import PandasFunction, build_frame
from evenstore.schema.request import resolve_service
from evenstore.semantics import Status
from tests.support.scale import scaled

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
NAN = float("nan")

FRAME_DTYPES = {
    Dtype.INT32: "Int32",
    Dtype.INT64: "Int64",
    Dtype.BOOL: "boolean",
    Dtype.FLOAT32: "float32",
    Dtype.FLOAT64: "float64",
    Dtype.STRING: "object",
    Dtype.BYTES: "object",
    Dtype.UNIX_TIMESTAMP: "datetime64[us, UTC]",
}
VALUES: dict[Dtype, Any] = {
    Dtype.INT32: 1,
    Dtype.INT64: 2**60 + 1,
    Dtype.BOOL: True,
    Dtype.FLOAT32: 0.5,
    Dtype.FLOAT64: 0.1,
    Dtype.STRING: "é",
    Dtype.BYTES: b"\xff",
    Dtype.UNIX_TIMESTAMP: NOON,
}


def view_of(
    function: Callable[[pd.DataFrame], Any],
    output: Dtype = Dtype.FLOAT64,
    *,
    request_fields: tuple[Field, ...] = (),
) -> OnDemandViewSchema:
    return OnDemandViewSchema(
        name="ratio",
        mode="pandas",
        is_singleton=False,
        inputs=(("stats", "x"),),
        request_fields=request_fields,
        features=(Field("y", output),),
        udf=dill.dumps(function, recurse=True),
        udf_source="",
    )


def run(
    function: Callable[[pd.DataFrame], Any],
    values: Sequence[Any],
    *,
    given: Dtype = Dtype.FLOAT64,
    output: Dtype = Dtype.FLOAT64,
) -> pa.Array:
    frames = PandasFunction(view_of(function, output), function)
    column = pa.array(values, arrow_type(given))
    return frames.apply({"stats__x": column, "x": column}, len(values))["y"]


def as_y(expression: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
    return lambda frame: pd.DataFrame({"y": expression(frame)})


@pytest.mark.parametrize("dtype", Dtype, ids=lambda dtype: dtype.value)
def test_column_has_one_type_whatever_its_rows(dtype: Dtype) -> None:
    value = VALUES[dtype.element]
    value = [value] if dtype.is_list else value
    for rows in ([value, value], [value, None], [None, None], []):
        frame = build_frame({"x": pa.array(rows, arrow_type(dtype))}, len(rows))
        wanted = "object" if dtype.is_list else FRAME_DTYPES[dtype]
        assert str(frame["x"].dtype) == wanted
        assert frame["x"].isna().tolist() == [row is None for row in rows]


def test_frame_has_exact_values_and_arrays_for_lists() -> None:
    frame = build_frame(
        {
            "n": pa.array([2**53 + 1, None], pa.int64()),
            "t": pa.array([NOON, None], pa.timestamp("us", "UTC")),
            "s": pa.array(["a", None]),
            "l": pa.array([[1.5], None], pa.list_(pa.float32())),
            "m": pa.array([{"a": "b"}, None], pa.map_(pa.string(), pa.string())),
        },
        2,
    )
    assert frame["n"][0] == 2**53 + 1
    assert frame["n"][1] is pd.NA
    assert frame["t"][0] == pd.Timestamp(NOON)
    assert frame["s"].tolist() == ["a", None]
    assert isinstance(frame["l"][0], np.ndarray)
    assert frame["l"][0].dtype == np.float32
    assert frame["m"].tolist() == [{"a": "b"}, None]


def test_function_may_change_its_frame_and_not_the_input() -> None:
    def write(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[0, "x"] = 9.0
        frame["y"] = frame["x"]
        return frame

    column = pa.array([1.0, 2.0])
    frames = PandasFunction(view_of(write), write)
    assert frames.apply({"x": column}, 2)["y"].to_pylist() == [9.0, 2.0]
    assert column.to_pylist() == [1.0, 2.0]


# What functions written for stock Feast do with integers that may be null.
STOCK_HABITS: list[tuple[str, Callable[[pd.DataFrame], Any], Dtype, list[Any]]] = [
    ("divide", lambda f: f["x"] / 2, Dtype.FLOAT64, [2.0, None]),
    ("divide by zero", lambda f: f["x"] / 0, Dtype.FLOAT64, [math.inf, None]),
    ("add a float", lambda f: f["x"] + 0.5, Dtype.FLOAT64, [4.5, None]),
    ("fill", lambda f: f["x"].fillna(0), Dtype.INT64, [4, 0]),
    ("fill and cast", lambda f: f["x"].fillna(0).astype(int), Dtype.INT64, [4, 0]),
    ("where", lambda f: np.where(f["x"].fillna(0) > 3, 1, 0), Dtype.INT64, [1, 0]),
    ("where missing", lambda f: np.where(f["x"].isna(), 0, f["x"]), Dtype.INT64, [4, 0]),
    ("cast to float", lambda f: f["x"].astype(float), Dtype.FLOAT64, [4.0, None]),
    ("root", lambda f: np.sqrt(f["x"]), Dtype.FLOAT64, [2.0, None]),
    ("clip", lambda f: f["x"].clip(0, 3), Dtype.INT64, [3, None]),
    ("compare", lambda f: f["x"] > 3, Dtype.BOOL, [True, None]),
    ("apply", lambda f: f["x"].apply(lambda v: 1 if v > 3 else 0), Dtype.INT64, [1, 0]),
    ("map", lambda f: f["x"].map({4: "four"}), Dtype.STRING, ["four", None]),
    ("to text", lambda f: f["x"].astype("string"), Dtype.STRING, ["4", None]),
]


@pytest.mark.parametrize(
    ("function", "output", "wanted"),
    [c[1:] for c in STOCK_HABITS],
    ids=[c[0] for c in STOCK_HABITS],
)
def test_habits_of_functions_written_for_stock_feast(
    function: Callable[[pd.DataFrame], Any], output: Dtype, wanted: list[Any]
) -> None:
    together = run(as_y(function), [4, None], given=Dtype.INT64, output=output)
    assert together.type == arrow_type(output)
    assert together.to_pylist() == wanted
    for value, answer in zip([4, None], wanted, strict=True):
        alone = run(as_y(function), [value], given=Dtype.INT64, output=output)
        assert alone.type == together.type
        assert alone.to_pylist() == [answer]


OUTPUTS: list[tuple[Dtype, Any, list[Any]]] = [
    (Dtype.INT64, np.array([1, 2], np.int8), [1, 2]),
    (Dtype.INT64, np.array([1.0, NAN]), [1, None]),
    (Dtype.INT64, pd.array([2**53 + 1, None], "Int64"), [2**53 + 1, None]),
    (Dtype.INT64, pd.array([1.0, None], "Float64"), [1, None]),
    (Dtype.INT64, pd.Series([1.0, None, np.float32(3)], dtype=object)[:2], [1, None]),
    (Dtype.INT64, [None, None], [None, None]),
    (Dtype.INT32, np.array([2**31 - 1, -(2**31)]), [2**31 - 1, -(2**31)]),
    (Dtype.FLOAT64, np.array([1, 2]), [1.0, 2.0]),
    (Dtype.FLOAT64, np.array([0.5, 1.5], np.float16), [0.5, 1.5]),
    (Dtype.FLOAT64, np.array([NAN, math.inf]), [None, math.inf]),
    (Dtype.FLOAT64, pd.Series([NAN, -0.0], dtype=object), [None, -0.0]),
    (Dtype.FLOAT64, np.array([2**60, 0]), [2.0**60, 0.0]),
    (Dtype.FLOAT32, np.array([0.1, 1e39]), [0.10000000149011612, math.inf]),
    (Dtype.BOOL, pd.array([True, None], "boolean"), [True, None]),
    (Dtype.BOOL, pd.Series([True, NAN], dtype=object), [True, None]),
    (Dtype.STRING, pd.Series(["a", NAN], dtype=object), ["a", None]),
    (Dtype.STRING, pd.Series(["a", None], dtype="category"), ["a", None]),
    (Dtype.STRING, pd.array(["a", None], "string"), ["a", None]),
    (Dtype.BYTES, pd.Series([b"\xff", None], dtype=object), [b"\xff", None]),
    (
        Dtype.UNIX_TIMESTAMP,
        pd.to_datetime(["1969-12-31T23:59:58.999999999Z", "NaT"], utc=True),
        [dt.datetime(1969, 12, 31, 23, 59, 58, tzinfo=dt.UTC), None],
    ),
    (
        Dtype.UNIX_TIMESTAMP,
        pd.to_datetime(["2024-01-01T07:00:00", "NaT"]).tz_localize("America/New_York"),
        [NOON, None],
    ),
    (Dtype.UNIX_TIMESTAMP, pd.Series([NOON, pd.NaT], dtype=object), [NOON, None]),
    (Dtype.INT64_LIST, [[1], None], [[1], None]),
    (Dtype.FLOAT32_LIST, [np.array([0.1]), []], [[0.10000000149011612], []]),
    (Dtype.FLOAT64_LIST, [[NAN], None], [[NAN], None]),
    (
        Dtype.UNIX_TIMESTAMP_LIST,
        [np.array(["2024-01-01T12:00:00.5"], "datetime64[us]"), None],
        [[NOON], None],
    ),
    (Dtype("Set(Int64)"), [{2, 1}, None], [[1, 2], None]),
    (Dtype("Map"), [{"a": "b"}, None], [[("a", "b")], None]),
]


@pytest.mark.parametrize(("dtype", "column", "kept"), OUTPUTS, ids=repr)
def test_output_of_the_declared_type_is_kept(dtype: Dtype, column: Any, kept: list[Any]) -> None:
    answer = run(
        lambda _frame: pd.DataFrame({"y": column}, index=range(2)), [0.0, 0.0], output=dtype
    )
    assert answer.type == arrow_type(dtype)
    assert repr(answer.to_pylist()) == repr(pa.array(kept, answer.type).to_pylist())


REFUSED: list[tuple[Dtype, Any, str]] = [
    (Dtype.INT64, np.array([1.0, 1.5]), "1.5"),
    (Dtype.INT64, np.array([1.0, math.inf]), "inf"),
    (Dtype.INT64, np.array([1.0, 2.0**54]), r"1.8014398509481984e\+16"),
    (Dtype.INT64, np.array([True, False]), "True"),
    (Dtype.INT64, pd.Series([1, "1"], dtype=object), "'1'"),
    (Dtype.INT64, np.array([0, 2**63], np.uint64), "9223372036854775808"),
    (Dtype.INT32, np.array([0, 2**31]), "2147483648"),
    (Dtype.FLOAT64, np.array([0, 2**53 + 1]), "9007199254740993"),
    (Dtype.FLOAT64, np.array([True, False]), "True"),
    (Dtype.FLOAT64, pd.Series([1.0, True], dtype=object), "True"),
    (Dtype.FLOAT64, pd.Series(["1.5", None], dtype=object), "'1.5'"),
    (Dtype.BOOL, np.array([1, 0]), "1"),
    (Dtype.BOOL, np.array([1.0, NAN]), "1.0"),
    (Dtype.STRING, np.array([1, 2]), "1"),
    (Dtype.STRING, pd.Series(["a", b"b"], dtype=object), "b'b'"),
    (Dtype.STRING, pd.Series(["\ud800", ""], dtype=object), "'\\\\ud800'"),
    (Dtype.BYTES, pd.Series(["a", None], dtype=object), "'a'"),
    (Dtype.BYTES, pd.Series([b"a", "b"], dtype=object), "'b'"),
    (Dtype.UNIX_TIMESTAMP, pd.to_datetime(["2024-01-01", "NaT"]), "Timestamp"),
    (Dtype.UNIX_TIMESTAMP, np.array([1, 2]), "1"),
    (Dtype.INT64_LIST, [[1, None], None], r"\[1, None\]"),
    (Dtype.INT64_LIST, np.array([1, 2]), "1"),
]


@pytest.mark.parametrize(("dtype", "column", "shown"), REFUSED, ids=repr)
def test_output_of_another_type_is_refused_by_name(dtype: Dtype, column: Any, shown: str) -> None:
    with pytest.raises(UnsupportedDtypeError, match=rf"^ratio:y: {shown}.* is not ") as caught:
        run(lambda _frame: pd.DataFrame({"y": column}, index=range(2)), [0.0, 0.0], output=dtype)
    assert caught.value.hint == "return the declared type, or None for null"


BAD_ANSWERS: list[tuple[Callable[[pd.DataFrame], Any], str, str]] = [
    (lambda f: f["x"], "the function gave Series", "return a DataFrame"),
    (lambda f: {"y": f["x"]}, "the function gave dict", "return a DataFrame"),
    (lambda f: f, "ratio:y: the function gave no columns", "one column per declared feature"),
    (
        lambda f: pd.DataFrame([[1.0, 2.0]] * len(f), columns=["y", "y"]),
        "ratio:y: the function gave 2 columns",
        "one column per declared feature",
    ),
    (lambda f: f.head(1).assign(y=1.0), "the function gave 1 rows for 2", "one row per input row"),
    (
        lambda f: f.assign(y=f["x"]).sort_values("x"),
        "the function changed the frame's index",
        "reset_index",
    ),
    (lambda f: f["z"], "raised KeyError: 'z'", "the frame has `stats__x`, `x`"),
    (lambda f: len(f) // 0, "raised ZeroDivisionError", "fillna"),
]


@pytest.mark.parametrize(
    ("function", "message", "hint"), BAD_ANSWERS, ids=[b[1] for b in BAD_ANSWERS]
)
def test_answer_that_cannot_be_used_is_refused(
    function: Callable[[pd.DataFrame], Any], message: str, hint: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        run(function, [2.0, 1.0])
    assert "ratio" in caught.value.message
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_null_integer_in_a_condition_says_what_to_do() -> None:
    with pytest.raises(SchemaError, match="raised TypeError: boolean value of NA") as caught:
        run(as_y(lambda f: np.where(f["x"] > 3, 1, 0)), [4, None], given=Dtype.INT64)
    assert ".fillna(...)" in str(caught.value.hint)


def stage_of(view: OnDemandViewSchema, dtype: Dtype) -> OnDemandStage:
    stats = FeatureViewSchema("stats", (Field("k", Dtype.INT64),), (Field("x", dtype),), None)
    service = FeatureServiceSchema("svc", (Projection("ratio", "ratio", ("y",)),))
    registry = RegistrySchema("tiny", (stats,), (view,), (service,))
    return OnDemandStage(resolve_service(registry, "svc"))


def read_of(values: Sequence[Any]) -> Mapping[tuple[str, str], FeatureValues]:
    statuses = [Status.NULL_VALUE if value is None else Status.PRESENT for value in values]
    return {("stats", "x"): FeatureValues(values, statuses)}


def test_stage_feeds_plain_values_and_request_data() -> None:
    view = view_of(
        lambda f: pd.DataFrame({"y": f["x"] * f["amount"] + f["stats__x"]}),
        request_fields=(Field("amount", Dtype.INT64),),
    )
    stage = stage_of(view, Dtype.FLOAT64)
    outputs = stage.apply(read_of([2.0, None]), {"amount": [3, 4]}, 2)
    assert outputs["ratio", "y"] == FeatureValues([8.0, None], [Status.PRESENT, Status.NULL_VALUE])
    empty = stage.apply(read_of([]), {"amount": []}, 0)
    assert empty == {("ratio", "y"): FeatureValues([], [])}


@pytest.mark.parametrize(
    ("dtype", "strategy"),
    [
        (Dtype.INT64, st.integers(-(2**63), 2**63 - 1)),
        (Dtype.INT32, st.integers(-(2**31), 2**31 - 1)),
        (Dtype.FLOAT64, st.floats(allow_nan=False)),
        (Dtype.FLOAT32, st.floats(allow_nan=False, width=32)),
        (Dtype.BOOL, st.booleans()),
        (Dtype.STRING, st.text(st.characters(codec="utf-8"))),
        (Dtype.BYTES, st.binary()),
        (Dtype.INT64_LIST, st.lists(st.integers(-(2**63), 2**63 - 1))),
        (Dtype.STRING_LIST, st.lists(st.text(st.characters(codec="utf-8")))),
    ],
    ids=lambda value: value.value if isinstance(value, Dtype) else "",
)
@settings(max_examples=scaled(15, 300), deadline=None)
@given(data=st.data())
def test_value_goes_through_unchanged_alone_and_among_others(
    dtype: Dtype, strategy: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """D15: in stock a value's type depends on its neighbours, and above 2^53 the value too."""
    rows = data.draw(st.lists(st.none() | strategy, min_size=1, max_size=5))
    stage = stage_of(view_of(lambda f: f.rename(columns={"x": "y"}), dtype), dtype)
    together = stage.apply(read_of(rows), {}, len(rows))["ratio", "y"].values
    alone = [stage.apply(read_of([row]), {}, 1)["ratio", "y"].values[0] for row in rows]
    assert repr(together) == repr(alone) == repr(rows)


def test_function_of_mode_pandas_needs_the_types_of_its_inputs() -> None:
    function = OnDemandFunction(view_of(as_y(lambda f: f["x"])), {"x": Dtype.FLOAT64})
    assert function.apply({"x": [1.0, None]}, 2) == {"y": [1.0, None]}
