"""On-demand views over Arrow columns: the answers of the stage over Python values."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

import dill
import pandas as pd
import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import EntityRowsError, SchemaError
from evenstore.schema.model import (
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    OnDemandViewSchema,
    Projection,
    RegistrySchema,
)
from evenstore.schema.on_demand import FeatureValues, OnDemandStage
from evenstore.schema.on_demand_arrow import (
    ArrowFeature,
    ArrowOnDemandStage,
    compute_on_demand_columns,
    read_request_data,
)
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.semantics import Status

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)


def in_python(columns: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(columns["x"], columns["amount"], strict=True)
    return {"y": [None if x is None else x * n for x, n in pairs], "n": columns["amount"]}


def in_rows(row: dict[str, Any]) -> dict[str, Any]:
    x, n = row["x"], row["amount"]
    return {"y": None if x is None else x * n, "n": n}


def in_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"y": frame["x"] * frame["amount"], "n": frame["amount"]})


MODES: dict[str, tuple[str, bool, Callable[[Any], Any]]] = {
    "python": ("python", False, in_python),
    "singleton": ("python", True, in_rows),
    "pandas": ("pandas", False, in_pandas),
}


def view_of(kind: str, name: str = "ratio") -> OnDemandViewSchema:
    mode, is_singleton, function = MODES[kind]
    return OnDemandViewSchema(
        name=name,
        mode=mode,
        is_singleton=is_singleton,
        inputs=(("stats", "x"),),
        request_fields=(Field("amount", Dtype.INT64),),
        features=(Field("y", Dtype.FLOAT64), Field("n", Dtype.INT64)),
        udf=dill.dumps(function, recurse=True),
        udf_source="",
    )


def request_of(view: OnDemandViewSchema) -> FeatureRequest:
    stats = FeatureViewSchema(
        "stats", (Field("k", Dtype.INT64),), (Field("x", Dtype.FLOAT64),), None
    )
    service = FeatureServiceSchema("svc", (Projection("ratio", "ratio", ("y", "n")),))
    return resolve_service(RegistrySchema("tiny", (stats,), (view,), (service,)), "svc")


@pytest.mark.parametrize("kind", MODES)
@pytest.mark.parametrize("n_rows", [5, 1, 0])
def test_stage_over_arrow_gives_what_the_stage_over_values_gives(kind: str, n_rows: int) -> None:
    values = [2.0, None, None, None, 8.0][:n_rows]
    statuses = [
        Status.PRESENT,
        Status.NULL_VALUE,
        Status.NOT_FOUND,
        Status.OUTSIDE_MAX_AGE,
        Status.PRESENT,
    ][:n_rows]
    amounts = [2**53 + 1, 1, 2, 3, None][:n_rows]
    if kind != "pandas":
        amounts = [0 if amount is None else amount for amount in amounts]
    request = request_of(view_of(kind))
    in_values = OnDemandStage(request).apply(
        {("stats", "x"): FeatureValues(values, statuses)}, {"amount": amounts}, n_rows
    )
    in_arrow = ArrowOnDemandStage(request).apply(
        {
            ("stats", "x"): ArrowFeature(
                pa.array(values, pa.float64()), pa.array(statuses, pa.int8())
            )
        },
        {"amount": pa.array(amounts, pa.int64())},
        n_rows,
    )
    assert in_arrow.keys() == in_values.keys()
    for name, feature in in_arrow.items():
        assert feature.values.type == (pa.float64() if name[1] == "y" else pa.int64())
        assert feature.statuses.type == pa.int8()
        assert feature.values.to_pylist() == list(in_values[name].values)
        assert feature.statuses.to_pylist() == list(in_values[name].statuses)
    assert in_arrow["ratio", "n"].values.to_pylist() == amounts


TABLE = pa.table(
    {
        "k": pa.array([1, 2]),
        "amount": pa.array([3, 4], pa.int32()),
        "x": pa.array([0.5, None], pa.float64()),
    }
)


@pytest.mark.parametrize("kind", MODES)
@pytest.mark.parametrize("is_full", [True, False])
def test_columns_have_feasts_names_and_declared_types(kind: str, is_full: bool) -> None:
    table = TABLE.rename_columns({"x": "stats__x"}) if is_full else TABLE
    columns = compute_on_demand_columns(
        [view_of(kind)],
        table,
        feature_refs=["stats:x", "ratio:n", "ratio:y"],
        full_feature_names=is_full,
    )
    prefix = "ratio__" if is_full else ""
    assert [name for name, _ in columns] == [f"{prefix}n", f"{prefix}y"]
    assert dict(columns)[f"{prefix}y"] == pa.array([1.5, None], pa.float64())
    assert dict(columns)[f"{prefix}n"] == pa.array([3, 4], pa.int64())


@pytest.mark.parametrize("kind", MODES)
def test_no_rows_have_the_declared_types(kind: str) -> None:
    columns = compute_on_demand_columns(
        [view_of(kind)],
        TABLE.slice(0, 0),
        feature_refs=["ratio:y", "ratio:n"],
        full_feature_names=True,
    )
    assert [(name, values.type, len(values)) for name, values in columns] == [
        ("ratio__y", pa.float64(), 0),
        ("ratio__n", pa.int64(), 0),
    ]


def test_only_what_was_asked_for_is_computed_in_the_order_of_the_references() -> None:
    broken = dataclasses.replace(view_of("python", "broken"), mode="substrait")
    columns = compute_on_demand_columns(
        [view_of("python"), broken, view_of("pandas", "other@v1")],
        TABLE,
        feature_refs=["other@V1:y", "ratio:y"],
        full_feature_names=True,
    )
    assert [name for name, _ in columns] == ["other@v1__y", "ratio__y"]
    with pytest.raises(SchemaError, match="`broken` has mode `substrait`"):
        compute_on_demand_columns(
            [broken], TABLE, feature_refs=["broken:y"], full_feature_names=True
        )


def test_full_name_of_an_input_is_looked_up_first() -> None:
    table = TABLE.append_column("stats__x", pa.array([10.0, 20.0]))
    columns = compute_on_demand_columns(
        [view_of("python")], table, feature_refs=["ratio:y"], full_feature_names=True
    )
    assert columns[0][1].to_pylist() == [30.0, 80.0]


def test_missing_or_ambiguous_input_is_refused() -> None:
    with pytest.raises(SchemaError, match="no column `stats__x`"):
        compute_on_demand_columns(
            [view_of("python")],
            TABLE.drop_columns("x"),
            feature_refs=["ratio:y"],
            full_feature_names=False,
        )
    shared = dataclasses.replace(view_of("python"), inputs=(("stats", "x"), ("other", "x")))
    with pytest.raises(SchemaError, match="no column `stats__x`") as caught:
        compute_on_demand_columns(
            [shared], TABLE, feature_refs=["ratio:y"], full_feature_names=False
        )
    assert caught.value.hint == "pass full_feature_names=True"


def test_column_that_is_there_already_is_refused() -> None:
    table = TABLE.append_column("y", pa.array([1, 2]))
    with pytest.raises(EntityRowsError, match="column `y` has the name of a feature asked for"):
        compute_on_demand_columns(
            [view_of("python")], table, feature_refs=["ratio:y"], full_feature_names=False
        )


def test_request_data_gets_its_declared_types() -> None:
    fields = {
        "small": Field("small", Dtype.INT64),
        "whole": Field("whole", Dtype.FLOAT64),
        "rounded": Field("rounded", Dtype.FLOAT32),
        "nothing": Field("nothing", Dtype.STRING),
        "when": Field("when", Dtype.UNIX_TIMESTAMP),
        "list": Field("list", Dtype.INT64_LIST),
    }
    table = pa.table(
        {
            "small": pa.array([1, None], pa.uint8()),
            "whole": pa.array([2**53, None], pa.int64()),
            "rounded": pa.array([0.1, None]),
            "nothing": pa.nulls(2),
            "when": pa.array([-1, None], pa.timestamp("ns", "America/New_York")),
            "list": pa.array([[1], None], pa.large_list(pa.int32())),
        }
    )
    read = read_request_data(table, list(fields.values()))
    assert {name: str(array.type) for name, array in read.items()} == {
        "small": "int64",
        "whole": "double",
        "rounded": "float",
        "nothing": "string",
        "when": "timestamp[us, tz=UTC]",
        "list": str(pa.list_(pa.int64())),
    }
    assert read["when"].to_pylist() == [dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC), None]
    assert read["list"].to_pylist() == [[1], None]
    assert read["rounded"].to_pylist() == [0.10000000149011612, None]


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (pa.array([1.0, 2.0]), Dtype.INT64),
        (pa.array([2**53 + 1]), Dtype.FLOAT64),
        (pa.array(["1"]), Dtype.INT64),
        (pa.array([b"a"]), Dtype.STRING),
        (pa.array([0], pa.timestamp("us")), Dtype.UNIX_TIMESTAMP),
        (pa.array([0], pa.date32()), Dtype.UNIX_TIMESTAMP),
        (pa.array([[1, None]]), Dtype.INT64_LIST),
    ],
    ids=str,
)
def test_request_data_of_another_type_is_refused_by_name(column: pa.Array, dtype: Dtype) -> None:
    with pytest.raises(EntityRowsError, match=r"request data `r`: .* is not") as caught:
        read_request_data(pa.table({"r": column}), [Field("r", dtype)])
    assert caught.value.hint == f"convert it to {dtype.value}"


def test_request_data_that_is_missing_is_refused_by_name() -> None:
    with pytest.raises(EntityRowsError, match="no column `amount`") as caught:
        read_request_data(TABLE.drop_columns("amount"), [Field("amount", Dtype.INT64)])
    assert "Int64" in str(caught.value.hint)


def test_naive_request_timestamps_are_utc_at_feasts_border_only() -> None:
    table = pa.table({"when": pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us"))})
    fields = [Field("when", Dtype.UNIX_TIMESTAMP)]
    assert read_request_data(table, fields, naive_is_utc=True)["when"].to_pylist() == [NOON]
    with pytest.raises(EntityRowsError, match="`when`"):
        read_request_data(table, fields)
