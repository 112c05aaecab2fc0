from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from feast.protos.feast.types.Value_pb2 import Value

from evenstore.codec.feast_value import value_decoder, value_encoder
from evenstore.codec.refusal import show_value
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


@pytest.mark.parametrize(
    "name", ["Uuid", "Map", "Array(Json)", "Set(Int64)", "Array(Array(Int64))"]
)
def test_type_that_is_kept_offline_only_has_no_bytes(name: str) -> None:
    for make in (value_encoder, value_decoder):
        with pytest.raises(
            UnsupportedDtypeError, match=f"type `{re.escape(name)}` is kept offline"
        ):
            make(Dtype(name))
