"""Few rows, encoded one by one: the same bytes as an encoder of columns makes."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from evenstore.dtypes import Dtype
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.schema.model import FeatureViewSchema, Field, Layout
from serving.writes.few_rows import FewRowsWriter, is_few
from serving.writes.rows import PushedRows
from serving.writes.values import read_values
from tests.support.scale import scaled

_KEYS = (
    Field("n", Dtype.INT64),
    Field("text", Dtype.STRING),
    Field("raw", Dtype.BYTES),
    Field("small", Dtype.INT32),
    Field("at", Dtype.UNIX_TIMESTAMP),
)
_JSON: dict[Dtype, Sequence[Any]] = {
    Dtype.INT32: (0, -1, 127, 128, -128, -129, 32_767, 32_768, -(2**31), 2**31 - 1),
    Dtype.INT64: (0, 1, -1, 255, 2**15, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63)),
    Dtype.UNIX_TIMESTAMP: (0, -1, 1_767_268_800, "2026-01-02T03:04:05.999Z", -62_135_596_800),
    Dtype.FLOAT32: (0.0, -0.0, 0.1, 1e-45, 3.4028234e38, "NaN", "-Infinity", 1),
    Dtype.FLOAT64: (0.0, -0.0, 0.1, 5e-324, "NaN", "Infinity", 2**53),
    Dtype.BOOL: (True, False),
    Dtype.STRING: ("", "a", "é\U0001f600", "x" * 253, "x" * 254, "x" * 70_000),
    Dtype.BYTES: ("", "AP8=", "QUFB" * 100),
    Dtype("Json"): ('{"a": [1]}',),
    Dtype("Uuid"): ("00112233-4455-6677-8899-aabbccddeeff",),
    Dtype("Map"): ({"a": 1}, {}),
    Dtype("Array(Int64)"): ([], [1, 2**40], [0] * 300),
    Dtype("Array(String)"): (["", "é"],),
    Dtype("Set(Float64)"): ([0.5, 1.5],),
}


@pytest.mark.parametrize("case", range(scaled(60, 2_000)))
def test_bytes_are_those_of_the_encoder_of_columns(case: int) -> None:
    dice = random.Random(case)
    rows = _draw(dice)
    view = rows.view
    with redis.Redis() as nowhere:
        few = FewRowsWriter(nowhere, "shop", view).encode(rows, 1_767_268_800_000_001)
        encoded = open_encoder(view, "shop", Layout.PACKED).encode(
            rows.batch(1_767_268_800_000_001)
        )
        (call,) = RowWriter(nowhere, "shop", view)._calls(encoded)

    assert few == b"".join(call)


def _draw(dice: random.Random) -> PushedRows:
    keys = tuple(dice.sample(_KEYS, dice.randint(0, 3)))
    dtypes = dice.choices(list(_JSON), k=dice.choice((1, 2, 5, 9, 17)))
    fields = [Field(f"f{dice.randrange(10**6)}_{i}", dtype) for i, dtype in enumerate(dtypes)]
    view = FeatureViewSchema("stats", keys, tuple(fields), ttl_us=None)
    n_rows = dice.randint(1, 6)
    null_rate = dice.choice((0.0, 0.3, 1.0))
    now_us = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    return PushedRows(
        view,
        [_column(dice, key.dtype, n_rows, 0.0) for key in keys],
        [_column(dice, field.dtype, n_rows, null_rate) for field in fields],
        [dice.choice((now_us, 0, -1, -62_135_596_800_000_000, now_us + 5)) for _ in range(n_rows)],
        [dice.choice((None, now_us, now_us + 10**9, 0)) for _ in range(n_rows)],
    )


def _column(dice: random.Random, dtype: Dtype, n_rows: int, null_rate: float) -> list[Any]:
    sent = [None if dice.random() < null_rate else dice.choice(_JSON[dtype]) for _ in range(n_rows)]
    return read_values(sent, dtype)


def test_many_values_are_left_to_the_encoder_of_columns() -> None:
    dice = random.Random(1)
    view = FeatureViewSchema("v", (_KEYS[0],), (Field("x", Dtype.FLOAT64),), ttl_us=None)

    def rows(n_rows: int) -> PushedRows:
        column = _column(dice, Dtype.INT64, n_rows, 0.0)
        return PushedRows(view, [column], [[math.pi] * n_rows], [0] * n_rows, [None] * n_rows)

    assert is_few(rows(1))
    assert not is_few(rows(1_000))
