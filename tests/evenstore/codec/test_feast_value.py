from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from feast.protos.feast.types.Value_pb2 import Map, RepeatedValue, StringSet, Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.value_type import ValueType

from evenstore.codec.feast_value import value_decoder, value_encoder
from evenstore.codec.refusal import show_value
from evenstore.codec.wire import encode_varint
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError, CorruptRowError, UnsupportedDtypeError
from tests.evenstore.codec.golden import golden

_VALUES: list[tuple[Dtype, Any]] = [
    (Dtype.BYTES, b"\x00\xff"),
    (Dtype.STRING, "Zürich \U0001f600"),
    (Dtype.INT32, -1),
    (Dtype.INT64, 2**53 + 1),
    (Dtype.FLOAT32, 0.5),
    (Dtype.FLOAT64, -0.0),
    (Dtype.BOOL, False),
    (Dtype.UNIX_TIMESTAMP, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    (Dtype.BYTES_LIST, [b"", b"a"]),
    (Dtype.STRING_LIST, ["", "a"]),
    (Dtype.INT32_LIST, [0, -1]),
    (Dtype.INT64_LIST, [2**63 - 1]),
    (Dtype.FLOAT32_LIST, [0.5, 0.25]),
    (Dtype.FLOAT64_LIST, []),
    (Dtype.BOOL_LIST, [True, False]),
    (Dtype.UNIX_TIMESTAMP_LIST, [datetime(2026, 1, 1, tzinfo=UTC)]),
]


def test_every_type_has_a_golden_value() -> None:
    assert {dtype for dtype, _ in _VALUES} == set(Dtype)


@pytest.mark.parametrize(("dtype", "value"), _VALUES, ids=[case[0].name for case in _VALUES])
def test_value_equals_its_golden_bytes(dtype: Dtype, value: Any) -> None:
    stored = golden(f"value_{dtype.name.lower()}")

    assert value_encoder(dtype)(value) == stored
    assert value_decoder(dtype)(stored) == value


@pytest.mark.parametrize("dtype", Dtype)
def test_null_is_no_bytes(dtype: Dtype) -> None:
    assert value_encoder(dtype)(None) == b""
    assert value_decoder(dtype)(b"") is None
    assert Value().SerializeToString() == b""


@pytest.mark.parametrize("dtype", [dtype for dtype in Dtype if dtype.is_list])
def test_empty_list_is_not_null(dtype: Dtype) -> None:
    assert value_encoder(dtype)([]) != b""
    assert value_decoder(dtype)(value_encoder(dtype)([])) == []


@pytest.mark.parametrize("dtype", [dtype for dtype in Dtype if dtype.is_list])
def test_null_in_a_list_is_refused(dtype: Dtype) -> None:
    with pytest.raises(CodecError, match=r"cannot be stored as Array"):
        value_encoder(dtype)([None])


def test_lone_surrogate_is_refused() -> None:
    with pytest.raises(CodecError, match="cannot be stored as String"):
        value_encoder(Dtype.STRING)("\ud800")


def test_unix_timestamp_loses_its_fraction_downwards() -> None:
    decoded = value_decoder(Dtype.UNIX_TIMESTAMP)(
        value_encoder(Dtype.UNIX_TIMESTAMP)(datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC))
    )

    assert decoded == datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert decoded.tzinfo is UTC


def test_integer_beyond_32_bits_is_no_int32() -> None:
    beyond = b"\x18" + value_encoder(Dtype.INT64)(2**31)[1:]

    with pytest.raises(CorruptRowError):
        value_decoder(Dtype.INT32)(beyond)


def test_instant_beyond_the_year_9999_is_refused() -> None:
    stored = Value(unix_timestamp_val=2**62).SerializeToString()

    with pytest.raises(CorruptRowError):
        value_decoder(Dtype.UNIX_TIMESTAMP)(stored)


def test_bytes_behind_a_value_are_refused() -> None:
    with pytest.raises(CorruptRowError, match="1 bytes behind"):
        value_decoder(Dtype.BOOL)(value_encoder(Dtype.BOOL)(True) + b"\x00")


def test_retyped_feature_is_refused_with_a_next_step() -> None:
    with pytest.raises(CorruptRowError, match="materialize it again"):
        value_decoder(Dtype.STRING)(value_encoder(Dtype.INT64)(1))


def test_shown_value_is_short_and_always_printable() -> None:
    assert show_value("a") == "'a'"
    assert len(show_value("a" * 10_000)) == 80
    assert show_value(10**5000) == "<int too long to print>"


@pytest.mark.parametrize("name", ["Array(PdfBytes)", "Set(Json)", "Set(ImageBytes)"])
def test_type_that_feast_has_no_field_for_has_no_bytes(name: str) -> None:
    for make in (value_encoder, value_decoder):
        with pytest.raises(
            UnsupportedDtypeError, match=f"type `{re.escape(name)}` has no online value"
        ):
            make(Dtype(name))


_ID = "00112233-4455-6677-8899-aabbccddeeff"
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_PERSON = Dtype('Struct({"name": String, "age": Int32, "seen": Array(UnixTimestamp)})')
_FURTHER: dict[str, tuple[Dtype, Any]] = {
    "pdf": (Dtype("PdfBytes"), b"%PDF"),
    "image": (Dtype("ImageBytes"), b""),
    "json": (Dtype("Json"), '{"a":  [1]}'),
    "json_list": (Dtype("Array(Json)"), ["1", "{}"]),
    "uuid": (Dtype("Uuid"), _ID),
    "uuid_list": (Dtype("Array(Uuid)"), [_ID]),
    "uuid_set": (Dtype("Set(Uuid)"), [_ID]),
    "time_uuid": (Dtype("TimeUuid"), _ID),
    "decimal": (Dtype("Decimal"), "-12.50"),
    "decimal_set": (Dtype("Set(Decimal)"), ["1", "1.0"]),
    "int32_set": (Dtype("Set(Int32)"), [-1, 0]),
    "float32_set": (Dtype("Set(Float32)"), [0.5]),
    "string_set": (Dtype("Set(String)"), ["", "a"]),
    "unix_timestamp_set": (Dtype("Set(UnixTimestamp)"), [_NOON]),
    "list_of_lists": (Dtype("Array(Array(Int32))"), [[1, -1], []]),
    "set_of_lists": (Dtype("Set(Array(Float32))"), [[], [0.5]]),
    "list_of_lists_of_lists": (Dtype("Array(Array(Array(Bool)))"), [[[True], []], []]),
    "map": (Dtype("Map"), {"b": 2**53 + 1, "a": [0.5], "": None, "m": {"x": b"y"}}),
    "map_list": (Dtype("Array(Map)"), [{"a": "b"}, {}]),
    "scalar_map": (Dtype("ScalarMap"), {2: "x", 1: None}),
    "struct": (_PERSON, {"name": "\u00e9", "age": -1, "seen": [_NOON]}),
    "struct_list": (Dtype(f"Array({_PERSON.value})"), [{"name": "a", "age": None, "seen": None}]),
    "zoned": (Dtype("ZonedTimestamp"), _NOON.astimezone(ZoneInfo("Europe/Zurich"))),
    "zoned_1970": (Dtype("ZonedTimestamp"), datetime(1970, 1, 1, tzinfo=UTC)),
}


@pytest.mark.parametrize("name", _FURTHER)
def test_value_that_holds_values_equals_its_golden_bytes(name: str) -> None:
    dtype, value = _FURTHER[name]
    stored = golden(f"value_{name}")

    assert value_encoder(dtype)(value) == stored
    assert value_decoder(dtype)(stored) == value
    assert value_encoder(dtype)(None) == b""
    assert value_decoder(dtype)(b"") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Map", {}),
        ("Map", {"empty list": [], "lists": [[], [[]]], "empty map": {}, "text": ""}),
        ("Map", {"nan": math.inf, "ids": [Decimal("1.50")], "flags": [True], "blobs": [b""]}),
        ("Map", {"keyed by number": {1: "a"}, "many": [{1: "a"}, {}]}),
        ("ScalarMap", {}),
        ("ScalarMap", {Decimal("1.50"): {"a": []}}),
        ("ScalarMap", {_ID: [1]}),
        ("ScalarMap", {_NOON: 1.5, datetime(1970, 1, 1, tzinfo=UTC): None}),
        ("Array(Map)", []),
        ('Struct({"m": Map, "s": ScalarMap})', {"m": {}, "s": {}}),
        ('Struct({"x": Array(Array(Int64)), "b": Bytes})', {"x": [[1], []], "b": b""}),
        ('Struct({"x": Array(Struct({"y": Set(Uuid)}))})', {"x": []}),
        ('Struct({"x": Float32, "n": Float64})', {"x": 0.5, "n": -0.0}),
        ("Array(Array(PdfBytes))", [[b"a"]]),
        ("Array(Array(ZonedTimestamp))", [[_NOON]]),
        ("Array(Array(ScalarMap))", [[{1: 2}, {}], []]),
    ],
    ids=str,
)
def test_value_that_stock_cannot_write_is_kept_in_fields_that_stock_reads(
    name: str, value: Any
) -> None:
    stored = value_encoder(Dtype(name))(value)

    assert value_decoder(Dtype(name))(stored) == value
    assert feast_value_type_to_python_type(Value.FromString(stored)) is not None


def test_maps_may_come_as_arrows_pairs() -> None:
    encode = value_encoder(Dtype("Map"))

    assert encode([("b", [("x", 1)]), ("a", None)]) == encode({"a": None, "b": {"x": 1}})
    with pytest.raises(CodecError, match="cannot be stored as Map"):
        encode([("a", 1), ("a", 2)])


def test_instants_of_a_map_are_whole_seconds_and_without_a_zone_in_utc() -> None:
    encode, decode = value_encoder(Dtype("Map")), value_decoder(Dtype("Map"))
    local = datetime(1969, 12, 31, 23, 59, 59, 1)  # noqa: DTZ001 - a source's type may lack it.

    assert decode(encode({"a": local, "b": date(2026, 1, 1)})) == {
        "a": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        "b": datetime(2026, 1, 1, tzinfo=UTC),
    }


def test_set_is_distinct_and_ascending_whoever_wrote_it() -> None:
    dtype = Dtype("Set(String)")
    stored = Value(string_set_val=StringSet(val=["b", "a", "b"])).SerializeToString()

    assert value_decoder(dtype)(stored) == ["a", "b"]
    assert value_encoder(dtype)({"b", "a"}) == value_encoder(dtype)(["a", "b", "b"])


def test_nan_inside_a_struct_is_kept_although_stock_makes_it_null() -> None:
    dtype = Dtype('Struct({"x": Float64})')
    (stock,) = python_values_to_proto_values([{"x": math.nan}], ValueType.STRUCT)

    assert value_decoder(dtype)(stock.SerializeToString()) == {"x": None}
    kept = value_decoder(dtype)(value_encoder(dtype)({"x": math.nan}))
    assert math.isnan(kept["x"])


def test_struct_that_was_pushed_has_the_types_of_its_fields() -> None:
    numbers = '"i": Int32, "f": Float32, "w": Float64, "l": Array(Int32)'
    dtype = Dtype(f'Struct({{{numbers}, "d": Decimal, "u": Uuid}})')
    pushed = {"i": 1, "f": 0.1, "d": Decimal("1.50"), "u": UUID(_ID), "w": 2, "l": [3], "new": "?"}
    (stock,) = python_values_to_proto_values([pushed], ValueType.STRUCT)

    decoded = value_decoder(dtype)(stock.SerializeToString())

    assert decoded == {"i": 1, "f": 0.10000000149011612, "d": "1.50", "u": _ID, "w": 2.0, "l": [3]}
    assert type(decoded["w"]) is float


def test_stocks_null_of_a_timestamp_that_a_run_read_is_null() -> None:
    stored = Value(unix_timestamp_val=-(2**63)).SerializeToString()

    assert value_decoder(Dtype.UNIX_TIMESTAMP)(stored) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Map", {1: 2}),
        ("Map", {"a": [1, None]}),
        ("Map", {"a": [1, 0.5]}),
        ("Map", {"a": 2**63}),
        ("Map", {"a": range(1)}),
        ("Map", {"a": [[1], 2]}),
        ("Map", "{}"),
        ("ScalarMap", {None: 1}),
        ("ScalarMap", {"a": 1}),
        ("Array(Map)", [{}, None]),
        ("Array(Array(Int64))", [[1], None]),
        ("Array(Array(Int64))", [[1, None]]),
        ("Set(Int64)", [1, None]),
        ("Set(Int64)", "12"),
        ('Struct({"a": Int32})', {"a": 2**31}),
        ('Struct({"a": Int32})', {"b": 1}),
        ('Struct({"a": Array(Int32)})', {"a": [None]}),
        ("Json", "{"),
        ("Json", {"a": 1}),
        ("Uuid", _ID.upper()),
        ("Decimal", "1,5"),
        ("PdfBytes", "%PDF"),
        ("ZonedTimestamp", "2026-01-01"),
    ],
    ids=str,
)
def test_value_that_is_not_of_its_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(CodecError, match=re.escape(f"cannot be stored as {name}")):
        value_encoder(Dtype(name))(value)


@pytest.mark.parametrize(
    ("name", "value", "is_told"),
    [
        ("Array(Int64)", [1, None], True),
        ("Map", {"a": [{"b": [None]}]}, True),
        ("Map", [("a", None), ("b", {1})], False),
        ("Map", {"a": None, "b": [1, 0.5]}, False),
    ],
)
def test_refusal_tells_a_null_inside_a_list(name: str, value: Any, is_told: bool) -> None:
    with pytest.raises(CodecError) as caught:
        value_encoder(Dtype(name))(value)
    assert (caught.value.hint is not None) == is_told


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Uuid", Value(uuid_val="no")),
        ("Decimal", Value(decimal_val="no")),
        ('Struct({"a": Int32})', Value(struct_val=Map(val={"a": Value(int64_val=2**31)}))),
        ('Struct({"a": Int32})', Value(struct_val=Map(val={"a": Value(double_val=0.5)}))),
        ('Struct({"a": Float64})', Value(struct_val=Map(val={"a": Value(int64_val=2**53 + 1)}))),
        ('Struct({"a": String})', Value(struct_val=Map(val={"a": Value(bytes_val=b"")}))),
        ('Struct({"a": Map})', Value(struct_val=Map(val={"a": Value(int64_val=1)}))),
        ("Array(Array(Int64))", Value(list_val=RepeatedValue(val=[Value(int64_val=1)]))),
        ("Map", Value(struct_val=Map(val={}))),
    ],
    ids=str,
)
def test_stored_value_that_is_not_of_its_type_is_never_misread(name: str, message: Value) -> None:
    with pytest.raises(CorruptRowError):
        value_decoder(Dtype(name))(message.SerializeToString())


def test_bytes_nested_too_deep_are_refused() -> None:
    stored = value_encoder(Dtype("Map"))({"a": 1})
    for _ in range(2000):
        stored = b"\xa2\x01" + _delimited(b"\x0a" + _delimited(b"\x12" + _delimited(stored)))

    with pytest.raises(CorruptRowError):
        value_decoder(Dtype("Map"))(stored)


def _delimited(payload: bytes) -> bytes:
    return encode_varint(len(payload)) + payload
