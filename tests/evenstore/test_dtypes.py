from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from feast.types import Array, FeastType, PrimitiveFeastType, Set, String, Struct

from evenstore.dtypes import ENTITY_KEY_DTYPES, FURTHER_SCALARS, Dtype, struct_name
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


FURTHER = [
    *sorted(FURTHER_SCALARS),
    "Array(Array(Int64))",
    "Array(Uuid)",
    "Set(String)",
    "Set(Array(Set(Bool)))",
    'Struct({"a": Int64})',
    'Array(Struct({"a, \\"b\\": {": Struct({"\\u00e9": Set(Map)}), "": Float64}))',
]


@pytest.mark.parametrize("name", FURTHER)
def test_every_other_type_is_one_object_made_by_its_name(name: str) -> None:
    dtype = Dtype.from_name(name, where="view:feature")
    assert dtype.value == name
    assert dtype is Dtype(name)
    assert copy.deepcopy(dtype) is dtype
    assert pickle.loads(pickle.dumps(dtype)) is dtype  # noqa: S301 - our own bytes.
    assert not dtype.is_plain


def test_members_are_plain_and_alone_are_iterated() -> None:
    made = {Dtype(name) for name in FURTHER}
    assert all(dtype.is_plain for dtype in Dtype)
    assert made.isdisjoint(Dtype)
    assert len(list(Dtype)) == 16


def _feast_type(dtype: Dtype) -> FeastType:
    if dtype.is_list or dtype.is_set:
        return (Array if dtype.is_list else Set)(_feast_type(dtype.element))
    scalars = {str(feast_type): feast_type for feast_type in PrimitiveFeastType}
    return Struct({"a": String}) if dtype.is_struct else scalars[dtype.value]


@pytest.mark.parametrize("kind", ["{}", "Array({})", "Set({})", "Array(Array({}))", "Set(Set({}))"])
@pytest.mark.parametrize(
    "name", [*sorted(FURTHER_SCALARS), *(dtype.value for dtype in Dtype), 'Struct({"a": String})']
)
def test_types_kept_online_are_those_that_feast_has_a_value_type_for(name: str, kind: str) -> None:
    dtype = Dtype(kind.format(name))
    try:
        _feast_type(dtype).to_value_type()
    except (KeyError, ValueError):
        # Inside another collection Feast does not look for one.
        assert not dtype.is_kept_online or dtype.element.element is not dtype.element
    else:
        assert dtype.is_kept_online


def test_every_scalar_of_feast_is_known() -> None:
    """A new one in a new Feast must be decided upon."""
    known = {str(feast_type) for feast_type in PrimitiveFeastType} - {"Invalid"}
    assert known == FURTHER_SCALARS | {dtype.value for dtype in Dtype if not dtype.is_list}


def test_parts_of_a_type_are_types() -> None:
    nested = Dtype("Array(Set(Int64))")
    assert (nested.is_list, nested.is_set, nested.element.is_set) == (True, False, True)
    assert nested.element.element is Dtype.INT64
    assert not nested.is_float
    text = struct_name([('b, "}', "Array(Map)"), ("a", "Bool")])
    struct = Dtype(text)
    assert (struct.is_struct, struct.element) == (True, struct)
    assert struct.fields == (('b, "}', Dtype("Array(Map)")), ("a", Dtype.BOOL))
    assert Dtype.INT64.fields == Dtype("Map").fields == ()
    assert [Dtype(name).is_map for name in ("Map", "ScalarMap", "Array(Map)")] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "name", ["Map", "Array(ScalarMap)", "Set(Array(Map))", 'Struct({"a": Map})']
)
def test_a_map_anywhere_inside_is_told(name: str) -> None:
    assert Dtype(name).holds_map
    assert not Dtype(name.replace("ScalarMap", "Map").replace("Map", "Bool")).holds_map


@pytest.mark.parametrize(
    "name",
    [
        "",
        "int64",
        "Invalid",
        "Array()",
        "Array(Int64",
        "Array(Int64))",
        "Array(Array(int64))",
        "Map(String, Int64)",
        "Struct",
        "Struct({})",
        'Struct({"a":Int64})',
        'Struct({"a": Int64,"b": Int64})',
        'Struct({"a": Int64, })',
        'Struct({"a": Int64, "a": Bool})',
        'Struct({"\u00e9": Bool})',
        "Struct({5: Bool})",
        "Struct({a: Bool})",
        'Struct({"a',
    ],
)
def test_unknown_name_is_refused_with_the_column(name: str) -> None:
    with pytest.raises(UnsupportedDtypeError) as caught:
        Dtype.from_name(name, where="customer:spend")
    assert caught.value.message == f"customer:spend: type `{name}` is not supported"
    assert "Array(UnixTimestamp)" in (caught.value.hint or "")
    assert "Uuid" in (caught.value.hint or "")


@pytest.mark.parametrize("value", [None, 5, b"Int64"])
def test_only_a_text_names_a_type(value: Any) -> None:
    with pytest.raises(ValueError, match="is not a valid Dtype"):
        Dtype(value)
