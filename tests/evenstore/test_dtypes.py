from __future__ import annotations

import pytest
from feast.types import Array, PrimitiveFeastType

from evenstore.dtypes import ENTITY_KEY_DTYPES, Dtype
from evenstore.errors import UnsupportedDtypeError


def test_values_are_names_of_feast_types() -> None:
    scalars = {str(feast_type): feast_type for feast_type in PrimitiveFeastType}
    for dtype in Dtype:
        feast_type = scalars[dtype.element.value]
        assert dtype.value == str(Array(feast_type) if dtype.is_list else feast_type)


@pytest.mark.parametrize("dtype", Dtype)
def test_name_leads_back_to_the_type(dtype: Dtype) -> None:
    assert Dtype.from_name(dtype.value, where="view:feature") is dtype


def test_every_scalar_has_its_list_and_nothing_else_is_a_list() -> None:
    lists = [dtype for dtype in Dtype if dtype.is_list]
    scalars = [dtype for dtype in Dtype if not dtype.is_list]
    assert [dtype.element for dtype in lists] == scalars
    assert [dtype.element for dtype in scalars] == scalars


def test_only_types_of_float_elements_can_be_nan() -> None:
    floats = {Dtype.FLOAT32, Dtype.FLOAT64, Dtype.FLOAT32_LIST, Dtype.FLOAT64_LIST}
    assert {dtype for dtype in Dtype if dtype.is_float} == floats


def test_entity_key_types_are_scalars_without_floats_and_booleans() -> None:
    assert not any(dtype.is_list or dtype.is_float for dtype in ENTITY_KEY_DTYPES)
    assert Dtype.BOOL not in ENTITY_KEY_DTYPES


@pytest.mark.parametrize("name", ["Decimal", "int64", "Array(Array(Int64))", "Map", ""])
def test_unknown_name_is_refused_with_the_column(name: str) -> None:
    with pytest.raises(UnsupportedDtypeError) as caught:
        Dtype.from_name(name, where="customer:spend")
    assert caught.value.message == f"customer:spend: type `{name}` is not supported yet"
    assert "Array(UnixTimestamp)" in (caught.value.hint or "")
