from __future__ import annotations

import itertools

import pytest
from feast.infra.online_stores.helpers import _mmh3
from google.protobuf.timestamp_pb2 import Timestamp

from evenstore.codec.feast_row import (
    FeastRowLayout,
    decode_order,
    decode_timestamp,
    encode_order,
    encode_timestamp,
    feature_field,
)
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError, CorruptRowError, FormatVersionError
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import Origin, RowOrder
from tests.evenstore.codec.golden import golden

_T_US = 1_767_268_800_123_456


def _view(*features: str, name: str = "stats") -> FeatureViewSchema:
    return FeatureViewSchema(
        name=name,
        join_keys=(Field("driver_id", Dtype.INT64),),
        features=tuple(Field(feature, Dtype.INT64) for feature in features),
        ttl_us=None,
    )


def _colliding_features(view_name: str) -> tuple[str, str]:
    # With 32 bits one collision is expected among some 80,000 names.
    seen: dict[bytes, str] = {}
    for number in itertools.count():
        name = f"f{number}"
        other = seen.setdefault(feature_field(view_name, name), name)
        if other != name:
            return other, name
    raise AssertionError


def test_layout_has_feasts_field_names_and_one_of_our_own() -> None:
    layout = FeastRowLayout(_view("trips"))

    assert layout.timestamp_field == b"_ts:stats"
    assert layout.feature_fields == {"trips": _mmh3("stats:trips")}
    # Stock's deletion takes every field that begins with `_ts:` for a view.
    assert layout.order_field == b"_order:stats"


def test_features_that_share_a_field_name_are_refused_and_named() -> None:
    other, name = _colliding_features("stats")

    with pytest.raises(CodecError, match=f"stats: features `{other}` and `{name}` share") as error:
        FeastRowLayout(_view("a", other, "b", name))

    assert error.value.hint is not None


@pytest.mark.parametrize(
    ("name", "order", "origin"),
    [
        ("order_run", RowOrder(_T_US, _T_US - 1, _T_US + 2), Origin.RUN),
        ("order_push", RowOrder(_T_US, None, _T_US + 2), Origin.PUSH),
        ("order_before_1970", RowOrder(-1, -2, 0), Origin.UNKNOWN),
        ("order_at_1970", RowOrder(0, 0, 1), Origin.RUN),
    ],
)
def test_order_field_equals_its_golden_bytes(name: str, order: RowOrder, origin: Origin) -> None:
    stored = golden(name)

    assert encode_order(order, origin) == stored
    assert decode_order(stored, encode_timestamp(order.event_us)) == (order, origin)


def test_row_of_stock_feast_has_no_order_field() -> None:
    assert decode_order(None, encode_timestamp(_T_US)) == (
        RowOrder(_T_US, None, 0),
        Origin.UNKNOWN,
    )


def test_order_field_out_of_step_counts_as_stock_feasts_row() -> None:
    ours = encode_order(RowOrder(_T_US, _T_US, 5), Origin.RUN)

    assert decode_order(ours, encode_timestamp(_T_US + 1)) == (
        RowOrder(_T_US + 1, None, 0),
        Origin.UNKNOWN,
    )


@pytest.mark.parametrize("version", [0, 2, 255])
def test_order_field_of_an_unknown_version_is_refused_even_out_of_step(version: int) -> None:
    ours = bytes([version]) + encode_order(RowOrder(_T_US, None, 5), Origin.RUN)[1:]

    for instant_us in (_T_US, _T_US + 1):
        with pytest.raises(FormatVersionError, match=f"version {version:02x}") as error:
            decode_order(ours, encode_timestamp(instant_us))
        assert "upgrade" in str(error.value)


def test_empty_order_field_is_refused() -> None:
    with pytest.raises(FormatVersionError):
        decode_order(b"", encode_timestamp(_T_US))


@pytest.mark.parametrize("length", [1, 2, 25])
def test_order_field_cut_short_is_refused(length: int) -> None:
    ours = encode_order(RowOrder(_T_US, None, 5), Origin.RUN)

    with pytest.raises(CorruptRowError):
        decode_order(ours[:length], encode_timestamp(_T_US))


def test_order_field_of_an_unknown_origin_is_refused() -> None:
    ours = bytearray(encode_order(RowOrder(_T_US, None, 5), Origin.RUN))
    ours[1] = 9

    with pytest.raises(CorruptRowError):
        decode_order(bytes(ours), encode_timestamp(_T_US))


def test_order_field_whose_two_event_timestamps_differ_is_refused() -> None:
    ours = bytearray(encode_order(RowOrder(_T_US, None, 5), Origin.RUN))
    ours[9] ^= 1

    with pytest.raises(CorruptRowError, match="contradicts itself"):
        decode_order(bytes(ours), encode_timestamp(_T_US))


@pytest.mark.parametrize(
    ("text", "instant_us"),
    [
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01T12:00:00.123456Z", _T_US),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ],
)
def test_timestamp_is_protobufs_from_the_year_1_to_9999(text: str, instant_us: int) -> None:
    message = Timestamp()
    message.FromJsonString(text)

    assert encode_timestamp(instant_us) == message.SerializeToString()
    assert decode_timestamp(message.SerializeToString()) == instant_us


@pytest.mark.parametrize("instant_us", [-62_135_596_800_000_001, 253_402_300_800_000_000])
def test_instant_that_no_timestamp_holds_is_refused(instant_us: int) -> None:
    with pytest.raises(CodecError, match="years 1 to 9999"):
        encode_timestamp(instant_us)


def test_nanoseconds_of_another_writer_are_floored() -> None:
    message = Timestamp(seconds=-1, nanos=999_999_999)

    assert decode_timestamp(message.SerializeToString()) == -1


@pytest.mark.parametrize(
    "stored",
    [
        b"\x08",
        b"\x08\xff",
        b"\x1a\x00",
        b"\x08" + b"\xff" * 10 + b"\x01",
        Timestamp(seconds=253_402_300_800).SerializeToString(),
        Timestamp(nanos=1_000_000_000).SerializeToString(),
        Timestamp(nanos=-1).SerializeToString(),
    ],
)
def test_bytes_that_are_no_timestamp_are_refused(stored: bytes) -> None:
    with pytest.raises(CorruptRowError):
        decode_timestamp(stored)
