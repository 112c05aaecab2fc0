"""Entities decoded column by column against the same entities decoded one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.clock import us_to_datetime
from evenstore.codec.feast_row import encode_timestamp
from evenstore.codec.feast_value import value_encoder
from evenstore.codec.nullable_array import NullableArray
from evenstore.codec.packed_encoder import PackedRowEncoder
from evenstore.codec.packed_row import (
    RowSchema,
    encode_tombstone,
    read_row,
    split_slots,
    view_id,
)
from evenstore.codec.rows import RowBatch, RowInstants
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError, FutureRowError
from evenstore.online.column_lookup import plain_column
from evenstore.online.feast_view_decoder import FeastViewDecoder
from evenstore.online.key_group import open_key_group
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.online.view_columns import ViewColumns
from evenstore.online.view_decoder import PackedViewDecoder
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import FeatureViewSchema, Field, Layout
from evenstore.schema.request import ViewRead
from evenstore.semantics import ExpiredValues, Origin, RowOrder, Status, TtlEnforcement
from tests.support.packed_entity import join_slots
from tests.support.scale import scaled

_NOW_US = 1_700_000_000_000_000
_DAY_US = 86_400_000_000
_PROJECT = "p"
_FIXED = [Dtype.INT64, Dtype.INT32, Dtype.FLOAT64, Dtype.FLOAT32, Dtype.BOOL, Dtype.UNIX_TIMESTAMP]
_VARIABLE = [Dtype.STRING, Dtype.BYTES, Dtype.INT64_LIST]


def _column(dtype: Dtype, chance: np.random.Generator, n_rows: int) -> list[Any]:
    """Make values of which some have few bytes and some many."""
    sizes = chance.integers(1, 60, n_rows)
    whole = [int(chance.integers(-(2**size), 2**size)) for size in sizes]
    made: dict[Dtype, list[Any]] = {
        Dtype.INT64: whole,
        Dtype.INT32: [
            number % 2**31 >> int(size) % 31 for number, size in zip(whole, sizes, strict=True)
        ],
        Dtype.FLOAT64: [float("nan") if number % 7 == 0 else number / 3 for number in whole],
        Dtype.FLOAT32: [float(np.float32(number / 3)) for number in whole],
        Dtype.BOOL: [number % 2 == 0 for number in whole],
        Dtype.UNIX_TIMESTAMP: [number % 4_000_000_000 for number in whole],
        Dtype.STRING: ["é" * int(size) * 5 for size in sizes],
        Dtype.BYTES: [bytes(int(size)) for size in sizes],
        Dtype.INT64_LIST: [
            [number] * (int(size) % 3) for number, size in zip(whole, sizes, strict=True)
        ],
    }
    return made[dtype]


def _rows(
    view: FeatureViewSchema, chance: np.random.Generator, n_rows: int, *, null_rate: float
) -> list[bytes]:
    """Encode rows of a view, as a run does; most are fresh, some expired, one may be late."""
    event_us = (
        _NOW_US - chance.integers(0, 40, n_rows) * _DAY_US - chance.integers(0, 10**6, n_rows)
    )
    if chance.random() < 0.2:
        event_us[0] = _NOW_US + 10 * _DAY_US
    created_us = event_us + chance.integers(-5, 5, n_rows) * 10 ** chance.integers(0, 12, n_rows)
    instants = RowInstants(
        event_us=event_us,
        created_us=created_us,
        is_created_null=chance.random(n_rows) < 0.2,
        sequence_us=np.full(n_rows, _NOW_US),
        origin=Origin.RUN,
    )
    columns = []
    for field in view.features:
        is_null = chance.random(n_rows) < null_rate
        values = _column(field.dtype, chance, n_rows)
        kept = [None if null else value for value, null in zip(values, is_null, strict=True)]
        seconds = field.dtype is Dtype.UNIX_TIMESTAMP
        column = pa.array(kept, pa.timestamp("s") if seconds else arrow_type(field.dtype))
        columns.append(column.cast(arrow_type(field.dtype)) if seconds else column)
    batch = RowBatch([], columns, frozenset(), instants)
    cells: list[bytes] = PackedRowEncoder(view, _PROJECT).encode(batch).columns[0].to_pylist()
    return cells


@st.composite
def _views(draw: st.DrawFn) -> list[FeatureViewSchema]:
    views = []
    for name in draw(st.sampled_from([["a"], ["a", "b"], ["c", "a", "b"]])):
        pool = _FIXED if draw(st.booleans()) else _FIXED + _VARIABLE
        dtypes = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=9))
        if draw(st.integers(0, 5)) == 0:
            # More than the bits of a word, in rows that are still short.
            dtypes += [Dtype.BOOL] * 70
        fields = tuple(Field(f"f{i}", dtype) for i, dtype in enumerate(dtypes))
        ttl_us = draw(st.sampled_from([None, 30 * _DAY_US]))
        enforcement = draw(st.sampled_from(TtlEnforcement))
        expired = draw(st.sampled_from(ExpiredValues))
        views.append(FeatureViewSchema(name, (), fields, ttl_us, enforcement, expired))
    return views


def _entities(
    views: Sequence[FeatureViewSchema], seed: int, n_rows: int, oddities: frozenset[str]
) -> list[bytes | None]:
    chance = np.random.default_rng(seed)
    null_rate = 0.2 if "nulls" in oddities else 0.0
    rows = [_rows(view, chance, n_rows, null_rate=null_rate) for view in views]
    entities: list[bytes | None] = []
    for i in range(n_rows):
        slots = {view_id(view.name): cells[i] for view, cells in zip(views, rows, strict=True)}
        odd = chance.random() < 0.1
        if odd and "absent view" in oddities:
            slots.pop(view_id(views[-1].name))
        if odd and "tombstone" in oddities:
            slots[view_id(views[0].name)] = encode_tombstone(RowOrder(_NOW_US, None, _NOW_US))
        if odd and "other view" in oddities:
            slots = {view_id("other"): b"anything", **slots}
        entity = join_slots(slots)
        if odd and "cut" in oddities:
            entity = entity[: -int(chance.integers(1, 12))]
        elif odd and "flipped" in oddities and slots:
            entity = _flip_width(entity, chance)
        entities.append(None if odd and "unknown" in oddities else entity)
    return entities


def _flip_width(entity: bytes, chance: np.random.Generator) -> bytes:
    """Change a bit between the schema and the values of the last row: nulls, widths, sizes."""
    *_, row = split_slots(entity).values()
    at = len(entity) - len(row) + read_row(row).payload_start
    changed = bytearray(entity)
    if at < len(entity):
        changed[at] ^= 1 << int(chance.integers(0, 8))
    return bytes(changed)


def _one_by_one(
    decoder: PackedViewDecoder, entities: Sequence[bytes | None]
) -> list[tuple[int | None, list[Any], list[Status]]]:
    answers = []
    for entity in entities:
        try:
            slots = {} if entity is None else split_slots(entity)
            event_us, values, statuses = decoder.decode(slots.get(decoder.view_id), _NOW_US)
            answers.append((event_us, list(values), list(statuses)))
        except (CodecError, FutureRowError):
            n_features = len(decoder.read.features)
            answers.append((None, [None] * n_features, [Status.INVALID] * n_features))
    return answers


def _by_row(view: ViewColumns, n_rows: int) -> list[tuple[int | None, list[Any], list[Status]]]:
    events = plain_column(view.event_us)
    columns = [plain_column(column) for column in view.values]
    present = [Status.PRESENT] * n_rows
    statuses = [present if column is None else column for column in view.statuses]
    return [
        (events[i], [column[i] for column in columns], [column[i] for column in statuses])
        for i in range(n_rows)
    ]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


_ODDITIES = ["flipped", "nulls", "absent view", "tombstone", "other view", "cut", "unknown"]


@settings(max_examples=scaled(100, 10_000))
@given(
    _views(),
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 7, 24, 40]),
    st.frozensets(st.sampled_from(_ODDITIES)),
)
def test_columns_are_the_rows(
    views: list[FeatureViewSchema], seed: int, n_rows: int, oddities: frozenset[str]
) -> None:
    entities = _entities(views, seed, n_rows, oddities)
    # Of some views only features of fixed width, where there are any.
    asked = [
        tuple(field for field in view.features[::-1] if seed % 2 or field.dtype in _FIXED)
        for view in views
    ]
    reads = [
        ViewRead(view, view.name, (), features or view.features)
        for view, features in zip(views, asked, strict=True)
    ]
    group = open_key_group(Layout.PACKED, _PROJECT, reads)

    for _ in range(2):  # The second time, shapes are known.
        decoded = group.decode_columns([entities], _NOW_US)
        for read, view in zip(reads, decoded, strict=True):
            expected = _one_by_one(PackedViewDecoder(_PROJECT, read), entities)
            assert _same(_by_row(view, n_rows), expected)
            invalid = {i for i, row in enumerate(expected) if Status.INVALID in row[2]}
            assert set(view.errors) == invalid


@settings(max_examples=scaled(70, 5_000))
@given(
    _views(),
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 30]),
    st.frozensets(st.sampled_from(["nulls", "absent", "unknown", "damaged"])),
)
def test_columns_are_the_rows_in_the_layout_of_feast(
    views: list[FeatureViewSchema], seed: int, n_rows: int, oddities: frozenset[str]
) -> None:
    chance = np.random.default_rng(seed)
    reads = [ViewRead(view, view.name, (), view.features[::-1]) for view in views]
    columns = [_hash_columns(read, chance, n_rows, oddities) for read in reads]
    replies = [[cell for view in columns for cell in view[i]] for i in range(n_rows)]
    group = open_key_group(Layout.FEAST, _PROJECT, reads)

    decoded = group.decode_columns(replies, _NOW_US)

    for read, rows, view in zip(reads, columns, decoded, strict=True):
        assert _same(_by_row(view, n_rows), _each(FeastViewDecoder(read), rows))


def _hash_columns(
    read: ViewRead, chance: np.random.Generator, n_rows: int, oddities: frozenset[str]
) -> list[list[bytes | None]]:
    columns = []
    for field in read.features:
        encode = value_encoder(field.dtype)
        values = _column(field.dtype, chance, n_rows)
        if field.dtype is Dtype.UNIX_TIMESTAMP:
            values = [us_to_datetime(seconds * 1_000_000) for seconds in values]
        columns.append([encode(value) for value in values])
    rows: list[list[bytes | None]] = []
    for i in range(n_rows):
        event_us = _NOW_US - int(chance.integers(0, 40)) * _DAY_US
        row: list[bytes | None] = [encode_timestamp(event_us), *(each[i] for each in columns)]
        odd = chance.choice(sorted(oddities)) if oddities and chance.random() < 0.2 else ""
        at = int(chance.integers(1, len(row)))
        row[at] = {"nulls": b"", "absent": None, "damaged": chance.bytes(9)}.get(odd, row[at])
        rows.append([None] * len(row) if odd == "unknown" else row)
    return rows


def _each(
    decoder: FeastViewDecoder, rows: Sequence[Sequence[bytes | None]]
) -> list[tuple[int | None, list[Any], list[Status]]]:
    answers: list[tuple[int | None, list[Any], list[Status]]] = []
    for row in rows:
        try:
            event_us, values, statuses = decoder.decode(row, _NOW_US)
            answers.append((event_us, list(values), list(statuses)))
        except (CodecError, FutureRowError):
            n_features = len(decoder.read.features)
            answers.append((None, [None] * n_features, [Status.INVALID] * n_features))
    return answers


@pytest.mark.parametrize("n_each", [3, 15])
def test_row_of_an_older_schema_is_read_by_that(n_each: int) -> None:
    """Of few entities, which are read by their shape, and of a block."""
    older = FeatureViewSchema("a", (), (Field("x", Dtype.INT64), Field("y", Dtype.INT64)), None)
    newer = FeatureViewSchema("a", (), (Field("y", Dtype.INT64), Field("z", Dtype.INT64)), None)
    chance = np.random.default_rng(3)
    rows = _rows(older, chance, n_each, null_rate=0) + _rows(newer, chance, n_each, null_rate=0)
    entities = [join_slots({view_id("a"): row}) for row in rows]
    group = open_key_group(Layout.PACKED, _PROJECT, [ViewRead(newer, "a", (), newer.features)])

    needed = None
    try:
        group.decode_columns([entities], _NOW_US)
    except RowSchemaNeeded as exc:
        needed = exc
    assert needed is not None
    group.learn(needed, RowSchema.of(older.features).to_json().encode())
    (view,) = group.decode_columns([entities], _NOW_US)

    in_both, only_newer = (_by_row(view, 2 * n_each)[i][2] for i in (0, -1))
    assert in_both == [Status.PRESENT, Status.NOT_FOUND]
    assert only_newer == [Status.PRESENT, Status.PRESENT]


@pytest.mark.parametrize("n_features", [1, 63, 64, 65, 130, 400])
def test_many_rows_are_read_together_however_wide(n_features: int) -> None:
    """Where the parts of a row were taken for others, each would be read by itself, slowly."""
    features = tuple(Field(f"f{i:03}", Dtype.BOOL) for i in range(n_features))
    view = FeatureViewSchema("a", (), features, None)
    # The first may be of tomorrow, and is then read by itself.
    _, *rows = _rows(view, np.random.default_rng(5), 51, null_rate=0.3)
    entities = [join_slots({view_id("a"): row}) for row in rows]
    read = ViewRead(view, "a", (), view.features)
    group = open_key_group(Layout.PACKED, _PROJECT, [read])

    (decoded,) = group.decode_columns([entities], _NOW_US)

    assert all(isinstance(column, np.ndarray | NullableArray) for column in decoded.values)
    expected = _one_by_one(PackedViewDecoder(_PROJECT, read), entities)
    assert _same(_by_row(decoded, 50), expected)


@pytest.mark.parametrize("n_rows", [1, 23, 24, 100])
def test_nobody_is_known(n_rows: int) -> None:
    view = FeatureViewSchema("a", (), (Field("x", Dtype.INT64),), None)
    group = open_key_group(Layout.PACKED, _PROJECT, [ViewRead(view, "a", (), view.features)])

    (decoded,) = group.decode_columns([[None] * n_rows], _NOW_US)

    assert _by_row(decoded, n_rows) == [(None, [None], [Status.NOT_FOUND])] * n_rows


@pytest.mark.parametrize("n_rows", [1, 30])
def test_instant_that_no_datetime_holds_is_an_error_of_its_row(n_rows: int) -> None:
    view = FeatureViewSchema("a", (), (Field("t", Dtype.UNIX_TIMESTAMP),), None)
    rows = _rows(view, np.random.default_rng(4), n_rows, null_rate=0)
    head = read_row(rows[-1])
    # Of eight bytes: the widths say so, and the value is far behind the year 9999.
    rows[-1] = rows[-1][: head.payload_start] + b"\x03" + (2**62).to_bytes(8, "little")
    entities = [join_slots({view_id("a"): row}) for row in rows]
    group = open_key_group(Layout.PACKED, _PROJECT, [ViewRead(view, "a", (), view.features)])

    (decoded,) = group.decode_columns([entities], _NOW_US)

    assert set(decoded.errors) == {n_rows - 1}
    assert _by_row(decoded, n_rows)[-1] == (None, [None], [Status.INVALID])


@pytest.mark.parametrize("n_rows", [1, 5, 40])
def test_deleted_entity_is_not_found(n_rows: int) -> None:
    view = FeatureViewSchema("a", (), (Field("x", Dtype.INT64),), None)
    _, *rows = _rows(view, np.random.default_rng(6), n_rows + 1, null_rate=0)
    rows[-1] = encode_tombstone(RowOrder(_NOW_US - 1, None, _NOW_US))
    entities = [join_slots({view_id("a"): row}) for row in rows]
    group = open_key_group(Layout.PACKED, _PROJECT, [ViewRead(view, "a", (), view.features)])

    (decoded,) = group.decode_columns([entities], _NOW_US)

    assert _by_row(decoded, n_rows)[-1] == (None, [None], [Status.NOT_FOUND])
    assert not decoded.errors
