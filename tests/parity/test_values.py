from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from evenstore.schema.arrow import arrow_type
from evenstore.semantics import Status
from parity.compare import are_values_equal
from parity.values import (
    PlainValue,
    Undecodable,
    decode_offline,
    decode_online,
    format_value,
    to_json,
)
from tests.support.scale import scaled


def decode_one(dtype: Dtype, value: Any, status: Status = Status.PRESENT) -> PlainValue | None:
    return decode_online(dtype, [value], [status])[0]


def decode_one_offline(
    dtype: Dtype, value: Any, status: Status = Status.PRESENT
) -> PlainValue | None:
    column = pa.array([value], arrow_type(dtype))
    return decode_offline(dtype, column, [status], where="view:feature")[0]


@pytest.mark.parametrize(
    ("dtype", "sent", "expected"),
    [
        (Dtype.BYTES, "AP8=", b"\x00\xff"),
        (Dtype.STRING, "NaN", "NaN"),
        (Dtype.INT32, -(2**31), -(2**31)),
        (Dtype.INT64, 2**63 - 1, 2**63 - 1),
        (Dtype.FLOAT32, 0.1, struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        (Dtype.FLOAT32, 0.10000000149011612, struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        (Dtype.FLOAT64, 12, 12.0),
        (Dtype.FLOAT64, "Infinity", math.inf),
        (Dtype.FLOAT64, "-Infinity", -math.inf),
        (Dtype.BOOL, False, False),
        (Dtype.UNIX_TIMESTAMP, -1, -1),
        (Dtype.INT64_LIST, [], ()),
        (Dtype.INT64_LIST, [2**53 + 1, 0], (2**53 + 1, 0)),
        (Dtype.BYTES_LIST, ["AA==", ""], (b"\x00", b"")),
        (Dtype.UNIX_TIMESTAMP_LIST, [0, 5], (0, 5)),
    ],
)
def test_online_value_of_the_declared_type_is_kept(
    dtype: Dtype, sent: Any, expected: PlainValue
) -> None:
    decoded = decode_one(dtype, sent)
    assert decoded == expected
    assert type(decoded) is type(expected)


@pytest.mark.parametrize(
    ("dtype", "sent"),
    [
        (Dtype.BYTES, "not base64!"),
        (Dtype.BYTES, 1),
        (Dtype.STRING, 1),
        (Dtype.INT32, 2**31),
        (Dtype.INT64, 12.0),
        (Dtype.INT64, "12"),
        (Dtype.INT64, 2**63),
        (Dtype.INT64, True),
        (Dtype.FLOAT32, 1e39),
        (Dtype.FLOAT64, "1.5"),
        (Dtype.FLOAT64, True),
        (Dtype.FLOAT64, 10**400),
        (Dtype.BOOL, 0),
        (Dtype.UNIX_TIMESTAMP, "1970-01-01T00:00:00Z"),
        (Dtype.INT64_LIST, 1),
        (Dtype.INT64_LIST, [1, None]),
        (Dtype.STRING_LIST, ["a", 1]),
    ],
)
def test_online_value_of_another_type_is_undecodable_and_shows_what_came(
    dtype: Dtype, sent: Any
) -> None:
    decoded = decode_one(dtype, sent)
    assert isinstance(decoded, Undecodable)
    assert decoded.raw == json.dumps(sent)


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT64])
def test_online_null_is_nan_only_beside_present_for_floats(dtype: Dtype) -> None:
    statuses = [Status.PRESENT, Status.NULL_VALUE, Status.NOT_FOUND, Status.PRESENT]
    decoded = decode_online(dtype, [None, None, None, "NaN"], statuses)
    assert isinstance(decoded[0], float)
    assert math.isnan(decoded[0])
    assert decoded[1:3] == [None, None]
    assert isinstance(decoded[3], float)
    assert math.isnan(decoded[3])


def test_online_null_is_null_for_other_types_and_for_lists() -> None:
    assert decode_one(Dtype.INT64, None) is None
    assert decode_one(Dtype.FLOAT64_LIST, None) is None


def test_nan_inside_an_online_list_is_nan_in_both_spellings() -> None:
    decoded = decode_one(Dtype.FLOAT64_LIST, [None, "NaN", 1.5])
    assert isinstance(decoded, tuple)
    assert [str(item) for item in decoded] == ["nan", "nan", "1.5"]


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (Dtype.BYTES, b"\x00", b"\x00"),
        (Dtype.STRING, "\u00e9", "\u00e9"),
        (Dtype.INT64, 2**53 + 1, 2**53 + 1),
        (Dtype.FLOAT32, 0.1, struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        (Dtype.BOOL, True, True),
        (Dtype.UNIX_TIMESTAMP, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), -1),
        (Dtype.UNIX_TIMESTAMP_LIST, [datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)], (5,)),
        (Dtype.STRING_LIST, ["b", "a"], ("b", "a")),
        (Dtype.STRING_LIST, [], ()),
    ],
)
def test_offline_value_keeps_its_value(dtype: Dtype, value: Any, expected: PlainValue) -> None:
    assert decode_one_offline(dtype, value) == expected


@pytest.mark.parametrize("dtype", list(Dtype))
def test_offline_null_is_null(dtype: Dtype) -> None:
    assert decode_one_offline(dtype, None, Status.NULL_VALUE) is None


def test_offline_nan_is_kept_beside_present_and_null_where_json_cannot_say_nan() -> None:
    kept = decode_one_offline(Dtype.FLOAT64, math.nan)
    assert isinstance(kept, float)
    assert math.isnan(kept)
    assert decode_one_offline(Dtype.FLOAT64, math.nan, Status.OUTSIDE_MAX_AGE) is None
    assert decode_one_offline(Dtype.FLOAT64, 1.5, Status.OUTSIDE_MAX_AGE) == 1.5


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (Dtype.UNIX_TIMESTAMP, 1),
        (Dtype.UNIX_TIMESTAMP_LIST, [0, 1]),
        (Dtype.UNIX_TIMESTAMP_LIST, [None]),
        (Dtype.INT64_LIST, [None]),
    ],
)
def test_offline_value_that_breaks_its_declaration_is_undecodable(dtype: Dtype, value: Any) -> None:
    assert isinstance(decode_one_offline(dtype, value), Undecodable)


def test_offline_column_of_another_arrow_type_is_refused_by_name() -> None:
    with pytest.raises(ParityError, match="activity:orders: the offline store gave double"):
        decode_offline(Dtype.INT64, pa.array([1.0]), [Status.PRESENT], where="activity:orders")


def test_undecodable_equals_nothing_so_that_it_is_always_a_difference() -> None:
    assert Undecodable("1") != Undecodable("1")


@pytest.mark.parametrize(
    ("value", "rendered", "shown"),
    [
        (None, None, "null"),
        (math.nan, "NaN", "NaN"),
        (math.inf, "Infinity", "Infinity"),
        (-math.inf, "-Infinity", "-Infinity"),
        (0.1 + 0.2, 0.1 + 0.2, "0.30000000000000004"),
        (2**63 - 1, 2**63 - 1, "9223372036854775807"),
        (True, True, "true"),
        ("it's \u00e9", "it's \u00e9", '"it\'s \u00e9"'),
        (b"\x00", "AA==", '"AA=="'),
        ((math.nan, 1.5), ["NaN", 1.5], '["NaN", 1.5]'),
        (Undecodable("12.0"), {"undecodable": "12.0"}, "undecodable(12.0)"),
    ],
)
def test_value_is_rendered_for_json_and_for_people(
    value: PlainValue | None, rendered: object, shown: str
) -> None:
    assert to_json(value) == rendered
    assert format_value(value) == shown


def test_value_cannot_rearrange_the_line_it_is_shown_in() -> None:
    assert format_value("\u202eabc\x9b1m\ud800\n") == '"\\u202eabc\\u009b1m\\ud800\\n"'


def test_long_value_is_cut_for_people_only() -> None:
    assert format_value("x" * 200) == '"' + "x" * 76 + "..."
    assert to_json("x" * 200) == "x" * 200


@settings(max_examples=scaled(200, 5_000), deadline=None)
@given(st.one_of(st.floats(), st.floats(width=32)))
def test_floats_survive_both_ways(value: float) -> None:
    # What the gateway does: Infinity as text, NaN as null, the rest as the shortest digits.
    sent = None if math.isnan(value) else to_json(value)
    online = decode_one(Dtype.FLOAT64, json.loads(json.dumps(sent)))
    offline = decode_one_offline(Dtype.FLOAT64, value)
    assert isinstance(online, float)
    assert isinstance(offline, float)
    assert struct.pack("<d", online) == struct.pack("<d", offline) or math.isnan(value)


_ID = "00112233-4455-6677-8899-aabbccddeeff"
_SECOND = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
_FURTHER: list[tuple[str, Any, Any, Any]] = [
    # Type, offline value, the gateway's JSON, another JSON.
    ("PdfBytes", b"%PDF", "JVBERg==", "JVBERg="),
    ("Json", '{"a":  1}', '{"a":  1}', {"a": 1}),
    ("Uuid", _ID, _ID, _ID.upper()),
    ("Decimal", "1.50", "1.50", "1.5"),
    ("ZonedTimestamp", _SECOND, "1970-01-01T05:29:59+05:30", "1969-12-31T23:59:59"),
    ("Set(Float64)", [0.5, math.nan], [0.5, "NaN"], [0.5, None]),
    ("Set(UnixTimestamp)", [_SECOND], [-1], ["-1"]),
    ("Array(Array(Bytes))", [[b"a"], []], [["YQ=="], []], [["YQ=="], None]),
    ("Array(Array(Int64))", [[2**53 + 1]], [[2**53 + 1]], [[2**53]]),
    ("Map", {"b": "x", "a": None}, {"a": None, "b": "x"}, {"b": "x"}),
    ("Array(Map)", [{"b": "x"}, {}], [{"b": "x"}, {}], [{"b": "x"}]),
    ('Struct({"x": Float32, "n": Int64})', {"x": 0.5, "n": None}, {"n": None, "x": 0.5}, [0.5]),
]


@pytest.mark.parametrize(("name", "offline", "sent", "other"), _FURTHER, ids=str)
def test_values_that_hold_values_agree_where_their_json_does(
    name: str, offline: Any, sent: Any, other: Any
) -> None:
    expected = decode_one_offline(Dtype(name), offline)
    assert are_values_equal(expected, decode_one(Dtype(name), sent))
    assert not are_values_equal(expected, decode_one(Dtype(name), other))
    assert not are_values_equal(expected, decode_one(Dtype(name), None))
    assert decode_one_offline(Dtype(name), None) is None
    assert json.loads(format_value(expected)) is not None


def test_map_of_the_sources_own_types_is_decoded() -> None:
    column = pa.array([[("a", [datetime(2026, 1, 1)])]], pa.map_(pa.string(), pa.list_(_NAIVE)))  # noqa: DTZ001
    (offline,) = decode_offline(Dtype("Map"), column, [Status.PRESENT], where="view:feature")
    assert offline == decode_one(Dtype("Map"), {"a": [1_767_225_600]})


_NAIVE = pa.timestamp("us")


def test_column_that_is_no_map_is_refused() -> None:
    with pytest.raises(ParityError, match="gave int64 for Map"):
        decode_offline(Dtype("Map"), pa.array([1]), [Status.PRESENT], where="view:feature")
