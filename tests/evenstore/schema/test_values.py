"""Arrow columns made their declared types, and values that are refused although the type fits."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import UnsupportedDtypeError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.values import holds_records, refuse_unfit_values, to_declared_array

MAP = pa.map_(pa.string(), pa.list_(pa.int64()))
IDS = ["00112233-4455-6677-8899-aabbccddeeff", None]


def made(name: str, values: list[Any]) -> tuple[pa.Array, Dtype]:
    dtype = Dtype(name)
    return pa.array(values, arrow_type(dtype, MAP if name == "Map" else None)), dtype


FIT: list[tuple[str, list[Any]]] = [
    ("Array(Int64)", [[1], [], None]),
    ("Array(Array(Int64))", [[[1], []], [], None]),
    ("Set(String)", [["a"], None]),
    (
        'Struct({"a": Array(Int64), "b": Uuid})',
        [{"a": None, "b": None}, {"a": [], "b": IDS[0]}, None],
    ),
    ("Map", [[("a", None), ("b", [1])], [], None]),
    ("Uuid", IDS),
    ("Decimal", ["1e-7", " -0.10", "NaN", None]),
    ("Json", ['{"a": [1, null]}', "null", '"x"', "1", None]),
    ("String", ["not JSON", None]),
]
UNFIT: list[tuple[str, list[Any], str]] = [
    ("Array(Int64)", [[1], [None]], "a list holds a null"),
    ("Array(Array(Int64))", [[[1], None]], "a list holds a null"),
    ("Set(Set(Int64))", [[[1, None]]], "a list holds a null"),
    ('Struct({"a": Struct({"b": Array(Int64)})})', [{"a": {"b": [None]}}], "a list holds a null"),
    ("Map", [[("a", [None])]], "a list holds a null"),
    ("Map", [[("a", [])], [("b", []), ("b", [1])]], "a map holds a key twice"),
    (
        "Uuid",
        [IDS[0], "00112233445566778899aabbccddeeff"],
        "'00112233445566778899aabbccddeeff' is no Uuid",
    ),
    ("TimeUuid", ["x"], "'x' is no TimeUuid"),
    ("Array(Decimal)", [["1", ""]], "'' is no Decimal"),
    ('Array(Struct({"j": Json}))', [[{"j": "{"}]], "'{' is no Json"),
    ("Json", ["[" * 100_000], f"{'[' * 80 + '...'!r} is no Json"),
]


@pytest.mark.parametrize(("name", "values"), FIT)
def test_value_of_its_type_is_accepted(name: str, values: list[Any]) -> None:
    array, dtype = made(name, values)
    refuse_unfit_values(array, dtype, where="view:x")


@pytest.mark.parametrize(("name", "values", "message"), UNFIT)
def test_value_that_is_not_of_its_type_is_refused(
    name: str, values: list[Any], message: str
) -> None:
    array, dtype = made(name, values)
    with pytest.raises(UnsupportedDtypeError) as caught:
        refuse_unfit_values(array, dtype, where="view:x")
    assert caught.value.message == f"view:x: {message}"
    assert caught.value.hint
    # What lies outside of a slice is not the column's.
    refuse_unfit_values(array[:0], dtype, where="view:x")
    refuse_unfit_values(pa.concat_arrays([array, array[:0]])[len(array) :], dtype, where="view:x")


@pytest.mark.parametrize(("name", "values"), FIT)
def test_column_is_given_its_declared_type(name: str, values: list[Any]) -> None:
    array, dtype = made(name, values)
    declared = to_declared_array(array, dtype)
    assert declared.type == array.type
    assert declared.to_pylist() == array.to_pylist()


@pytest.mark.parametrize("name", ["Map", "Array(Map)", 'Struct({"m": ScalarMap})', "Array(Uuid)"])
def test_column_of_nulls_has_a_type_though_its_source_has_none(name: str) -> None:
    dtype = Dtype(name)
    for kind in (pa.null(), pa.int32(), arrow_type(dtype)):
        declared = to_declared_array(pa.nulls(2, kind), dtype)
        assert (declared.type, declared.null_count) == (arrow_type(dtype), 2)
    of_integers = pa.map_(pa.string(), pa.int64())
    kept = to_declared_array(pa.nulls(2, of_integers), Dtype("Map"))
    assert kept.type == of_integers


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.int64(), False),
        (pa.list_(pa.list_(pa.int64())), False),
        (MAP, True),
        (pa.struct([("a", pa.int64())]), True),
        (pa.list_(pa.list_(pa.struct([("a", pa.int64())]))), True),
    ],
    ids=str,
)
def test_structs_and_maps_are_found_inside_lists(kind: pa.DataType, expected: bool) -> None:
    assert holds_records(kind) == expected
