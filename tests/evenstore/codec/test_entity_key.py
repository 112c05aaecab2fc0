from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import (
    Int64List,
    Map,
    RepeatedValue,
    ScalarMap,
    StringSet,
    Value,
    ZonedTimestamp,
)

from evenstore.codec.entity_key import (
    DUMMY_JOIN_KEY,
    EntityKeyEncoder,
    check_key_value,
    split_project,
)
from evenstore.dtypes import ENTITY_KEY_DTYPES, Dtype
from evenstore.errors import EntityRowsError, UnsupportedDtypeError
from evenstore.schema.model import Field
from tests.evenstore.codec.golden import golden

_DRIVER = Field("driver_id", Dtype.INT64)
_SHOP = Field("shop", Dtype.STRING)


def test_key_has_the_documented_bytes() -> None:
    assert EntityKeyEncoder([_DRIVER], "exp").encode([3]) == bytes.fromhex(
        "01000000 02000000 09000000 6472697665725f6964 04000000 08000000 0300000000000000 657870"
    )


@pytest.mark.parametrize(
    ("name", "keys", "values"),
    [
        ("key_int64", [_DRIVER], [3]),
        ("key_composite", [_SHOP, _DRIVER], ["Zürich", -1]),
        ("key_int32", [Field("k", Dtype.INT32)], [-(2**31)]),
        ("key_bytes", [Field("k", Dtype.BYTES)], [b"\x00\xff"]),
        ("key_timestamp", [Field("k", Dtype.UNIX_TIMESTAMP)], [-1]),
        ("key_nfc", [_SHOP], ["\u00e9"]),
        ("key_nfd", [_SHOP], ["e\u0301"]),
        ("key_entityless", [], []),
    ],
)
def test_key_equals_its_golden_bytes(name: str, keys: list[Field], values: list[Any]) -> None:
    assert EntityKeyEncoder(keys, "shop").encode(values) == golden(name)


def test_declared_order_of_join_keys_does_not_change_the_key() -> None:
    forward = EntityKeyEncoder([_DRIVER, _SHOP], "p").encode([7, "a"])
    backward = EntityKeyEncoder([_SHOP, _DRIVER], "p").encode(["a", 7])

    assert forward == backward


def test_one_means_three_keys_in_three_types() -> None:
    keys = {
        EntityKeyEncoder([Field("k", dtype)], "p").encode([value])
        for dtype, value in [(Dtype.INT32, 1), (Dtype.INT64, 1), (Dtype.STRING, "1")]
    }

    assert len(keys) == 3


def test_entityless_view_has_feasts_dummy_key() -> None:
    feast_key = EntityKey(join_keys=[DUMMY_JOIN_KEY.name], entity_values=[Value(string_val="")])

    assert EntityKeyEncoder([], "p").encode(()) == serialize_entity_key(feast_key, 3) + b"p"


@pytest.mark.parametrize(
    "dtype", [dtype for dtype in Dtype if dtype.is_list or dtype.is_float or dtype is Dtype.BOOL]
)
def test_type_without_key_bytes_is_refused(dtype: Dtype) -> None:
    with pytest.raises(UnsupportedDtypeError, match=r"join key `k`"):
        EntityKeyEncoder([Field("k", dtype)], "p")


_PROTOS = {
    "Bytes": Value(bytes_val=b""),
    "String": Value(string_val=""),
    "Int32": Value(int32_val=0),
    "Int64": Value(int64_val=0),
    "Float32": Value(float_val=0),
    "Float64": Value(double_val=0),
    "Bool": Value(bool_val=False),
    "UnixTimestamp": Value(unix_timestamp_val=0),
    "Uuid": Value(uuid_val=""),
    "TimeUuid": Value(time_uuid_val=""),
    "Decimal": Value(decimal_val=""),
    "Json": Value(json_val=""),
    "Map": Value(map_val=Map()),
    "ScalarMap": Value(scalar_map_val=ScalarMap()),
    "ZonedTimestamp": Value(zoned_timestamp_val=ZonedTimestamp()),
    "Array(Int64)": Value(int64_list_val=Int64List()),
    "Set(String)": Value(string_set_val=StringSet()),
    'Struct({"a": Int64})': Value(struct_val=Map()),
    "Array(Array(Int64))": Value(list_val=RepeatedValue()),
}


@pytest.mark.parametrize("name", _PROTOS)
def test_types_of_join_keys_are_those_that_feast_has_key_bytes_for(name: str) -> None:
    dtype = Dtype(name)
    key = EntityKey(join_keys=["k"], entity_values=[_PROTOS[name]])
    try:
        serialize_entity_key(key, 3)
    except ValueError:
        assert dtype not in ENTITY_KEY_DTYPES
        with pytest.raises(UnsupportedDtypeError, match=r"join key `k`"):
            EntityKeyEncoder([Field("k", dtype)], "p")
    else:
        assert dtype in ENTITY_KEY_DTYPES


_NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - a naive one is the case.


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (Dtype.INT64, "1"),
        (Dtype.INT64, 1.7),
        (Dtype.INT64, 1.0),
        (Dtype.INT64, True),
        (Dtype.INT64, None),
        (Dtype.INT64, 2**63),
        (Dtype.INT64, -(2**63) - 1),
        pytest.param(Dtype.INT64, 10**5000, id="too-long-to-print"),
        (Dtype.INT64, b"1"),
        (Dtype.INT64, [1]),
        (Dtype.INT32, 2**31),
        (Dtype.INT32, -(2**31) - 1),
        (Dtype.INT32, False),
        (Dtype.STRING, 1),
        (Dtype.STRING, b"a"),
        (Dtype.STRING, None),
        (Dtype.STRING, "\ud800"),
        (Dtype.STRING, "x" * 1000 + "\udfff"),
        (Dtype.BYTES, "a"),
        (Dtype.BYTES, bytearray(b"a")),
        (Dtype.UNIX_TIMESTAMP, _NAIVE),
        (Dtype.UNIX_TIMESTAMP, 1.5),
        (Dtype.UNIX_TIMESTAMP, "2026-01-01T00:00:00Z"),
        (Dtype.UNIX_TIMESTAMP, True),
    ],
)
def test_value_that_is_not_of_the_declared_type_is_refused(dtype: Dtype, value: Any) -> None:
    with pytest.raises(EntityRowsError, match=r"join key `k` .* in row 17") as refusal:
        check_key_value(value, Field("k", dtype), row_idx=17)

    assert refusal.value.hint
    assert len(str(refusal.value)) < 300
    str(refusal.value).encode("utf-8")


@pytest.mark.parametrize(
    ("dtype", "value", "checked"),
    [
        (Dtype.INT64, 2**63 - 1, 2**63 - 1),
        (Dtype.INT32, -(2**31), -(2**31)),
        (Dtype.STRING, "", ""),
        (Dtype.STRING, "a\0b\U0001f600", "a\0b\U0001f600"),
        (Dtype.BYTES, b"", b""),
        (Dtype.UNIX_TIMESTAMP, -5, -5),
        (Dtype.UNIX_TIMESTAMP, datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC), -1),
        (Dtype.UNIX_TIMESTAMP, datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 0),
    ],
)
def test_value_of_the_declared_type_is_kept(dtype: Dtype, value: Any, checked: Any) -> None:
    assert check_key_value(value, Field("k", dtype), row_idx=0) == checked


def test_project_is_not_the_end_of_another_ones_name() -> None:
    assert split_project(EntityKeyEncoder([_DRIVER], "my_exp").encode([3])) == b"my_exp"


def test_value_that_ends_like_a_project_is_part_of_the_value() -> None:
    assert split_project(EntityKeyEncoder([_SHOP], "exp").encode(["my_exp"])) == b"exp"


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"exp",
        b"evenstore:watermarks:exp",
        b"\x00\x00\x00\x00exp",
        b"\xff\xff\xff\xffexp",
        # A name of a type that no name has, and a value of a type that no value has.
        bytes.fromhex("01000000 07000000 01000000 6b 02000000 00000000 657870"),
        bytes.fromhex("01000000 02000000 01000000 6b 63000000 00000000 657870"),
    ],
)
def test_key_that_is_no_entity_key_has_no_project(key: bytes) -> None:
    assert split_project(key) is None
