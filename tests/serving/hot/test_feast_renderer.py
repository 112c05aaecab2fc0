"""Columns as arrays are rendered as the same columns of Python values are."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstore.codec.nullable_array import NullableArray
from evenstore.dtypes import Dtype
from evenstore.online.column_lookup import ColumnAnswer
from evenstore.online.view_columns import Column
from evenstore.schema.model import (
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    Projection,
    RegistrySchema,
)
from evenstore.schema.request import resolve_service
from evenstore.semantics import Status
from serving.feast_json import FeastForm
from serving.hot.feast_renderer import FeastRenderer

_NUMERIC = {
    Dtype.INT64: (np.int64, st.integers(-(2**63), 2**63 - 1)),
    Dtype.FLOAT64: (np.float64, st.floats()),
    Dtype.FLOAT32: (np.float64, st.floats(width=32)),
    Dtype.BOOL: (np.bool_, st.booleans()),
}


def _renderer(dtypes: list[Dtype]) -> FeastRenderer:
    features = tuple(Field(f"f{i}", dtype) for i, dtype in enumerate(dtypes))
    view = FeatureViewSchema("v", (Field("k", Dtype.INT64),), features, None)
    names = tuple(field.name for field in features)
    service = FeatureServiceSchema("s", (Projection("v", "v", names),))
    request = resolve_service(RegistrySchema("p", (view,), (), (service,)), "s")
    return FeastRenderer(request, FeastForm(request))


def _rendered(renderer: FeastRenderer, answer: ColumnAnswer, n_rows: int) -> Any:
    body = renderer.render(
        [list(range(n_rows))], answer, n_rows, full_feature_names=False, lists_views=False
    )
    return json.loads(body)


@st.composite
def _columns(draw: st.DrawFn) -> tuple[list[Dtype], list[list[Any]], int]:
    n_rows = draw(st.integers(2, 5))
    dtypes = draw(st.lists(st.sampled_from([*_NUMERIC]), min_size=1, max_size=4))
    if draw(st.booleans()):
        dtypes.append(Dtype.STRING)
    columns = []
    for dtype in dtypes:
        values = st.text(max_size=3) if dtype is Dtype.STRING else _NUMERIC[dtype][1]
        columns.append(draw(st.lists(st.none() | values, min_size=n_rows, max_size=n_rows)))
    return dtypes, columns, n_rows


def _as_array(dtype: Dtype, values: list[Any]) -> Column:
    if dtype is Dtype.STRING:
        return values
    is_null = np.array([value is None for value in values])
    plain: npt.NDArray[Any] = np.array(
        [0 if value is None else value for value in values], _NUMERIC[dtype][0]
    )
    return NullableArray(plain, is_null) if is_null.any() else plain


@given(_columns())
def test_arrays_are_rendered_as_lists_are(drawn: tuple[list[Dtype], list[list[Any]], int]) -> None:
    dtypes, columns, n_rows = drawn
    renderer = _renderer(dtypes)
    statuses = [
        [Status.NULL_VALUE if value is None else Status.PRESENT for value in values]
        for values in columns
    ]
    missing = np.array([True] + [False] * (n_rows - 1))
    event_us = np.arange(1, n_rows + 1) * 1_000_001
    listed = [None, *event_us.tolist()[1:]]
    arrays = [_as_array(dtype, values) for dtype, values in zip(dtypes, columns, strict=True)]

    of_arrays = ColumnAnswer(
        arrays, [*statuses], [NullableArray(event_us, missing)] * len(dtypes), {}
    )
    of_lists = ColumnAnswer([*columns], [*statuses], [listed] * len(dtypes), {})

    expected = _rendered(renderer, of_lists, n_rows)
    assert _rendered(renderer, of_arrays, n_rows) == expected
    for values, result in zip(columns, expected["results"][1:], strict=True):
        for value, written in zip(values, result["values"], strict=True):
            assert _is_written(value, written)


def _is_written(value: Any, written: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        sign = "" if value > 0 else "-"
        return bool(written == (None if math.isnan(value) else f"{sign}Infinity"))
    return bool(written == value) and type(written) is type(value)


@pytest.mark.parametrize("dtype", [*_NUMERIC])
def test_column_of_nulls_alone_is_written_as_nulls(dtype: Dtype) -> None:
    nothing = NullableArray(np.zeros(3, _NUMERIC[dtype][0]), np.ones(3, bool))
    nowhere = NullableArray(np.zeros(3, np.int64), np.ones(3, bool))
    answer = ColumnAnswer([nothing], [[Status.NOT_FOUND] * 3], [nowhere], {})
    result = _rendered(_renderer([dtype]), answer, 3)["results"][1]
    assert result["values"] == [None] * 3
    assert result["statuses"] == ["NOT_FOUND"] * 3


@pytest.mark.parametrize("n_rows", [1, 16, 17, 400])
def test_statuses_are_written_by_their_names(n_rows: int) -> None:
    statuses = [*Status, *[Status.PRESENT, Status.NULL_VALUE] * n_rows][:n_rows]
    answer = ColumnAnswer([[1] * n_rows], [statuses], [None], {})

    (_, feature) = _rendered(_renderer([Dtype.INT64]), answer, n_rows)["results"]

    assert feature["statuses"] == [status.name for status in statuses]
