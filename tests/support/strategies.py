"""Hypothesis strategies: small worlds of feature rows and entity rows, dense with ties and edges.

Instants lie a few microseconds apart, so that equal timestamps, rows just before and after an
as-of, and ages of exactly the ttl are common, not lucky.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from evenstore.dtypes import Dtype
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import Field
from tests.support.oracle import Row, Rules

__all__ = ["FEATURES", "World", "worlds"]

FEATURES = (
    Field("n", Dtype.INT64),
    Field("at", Dtype.UNIX_TIMESTAMP),
    Field("x", Dtype.FLOAT64),
    Field("text", Dtype.STRING),
    Field("tags", Dtype.FLOAT32_LIST),
    Field("id", Dtype("Uuid")),
    Field("pairs", Dtype("Array(Array(Int64))")),
    Field("spread", Dtype("Set(Float64)")),
)

_SPAN_US = 7
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Before 1970, around it, today, and far enough for sums of microseconds to pass through no float.
_ORIGINS_US = (-2_208_988_800_000_000, -3, 1_700_000_000_000_000, 4_102_444_800_000_001)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1]),
    "at": st.sampled_from([-(2**31), -1, 0, 1_700_000_000]).map(
        lambda second: _EPOCH + timedelta(seconds=second)
    ),
    "x": st.sampled_from([0.0, -0.0, 1.5, -1.5, float("inf"), float("-inf"), float("nan")]),
    "text": st.sampled_from(
        ["", "a", "A", "Z", "é", "e\u0301", "\U0001f600", "\uffff", 'it\'s "x"']
    ),
    "tags": st.lists(st.sampled_from([0.0, 0.5, float("nan")]), max_size=2),
    "id": st.sampled_from([f"{text}0112233-4455-6677-8899-aabbccddeeff" for text in "09f"]),
    "pairs": st.lists(st.lists(st.sampled_from([2**53, 2**53 + 1]), max_size=2), max_size=2),
    # As a set is returned: distinct and ascending, NaN last.
    "spread": st.sampled_from([[], [0.5], [-1.5, 0.5], [0.5, float("inf")], [0.5, float("nan")]]),
}
_TEXT_KEYS = st.sampled_from(["", "1", "01", "é", "e\u0301", "a'b\"c", " ", "\U0001f600"])
_INTEGER_KEYS = st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1])
_JOIN_KEYS: dict[tuple[Field, ...], tuple[st.SearchStrategy[Any], ...]] = {
    (): (),
    (Field("k", Dtype.INT64),): (_INTEGER_KEYS,),
    (Field("k", Dtype.STRING),): (_TEXT_KEYS,),
    (Field("k", Dtype.STRING), Field("a", Dtype.STRING)): (_TEXT_KEYS, _TEXT_KEYS),
    (Field("k", Dtype.INT32), Field("a", Dtype.BYTES)): (
        st.sampled_from([1, 12, -1]),
        st.sampled_from([b"", b"\x00", b"2"]),
    ),
}


@dataclass(frozen=True)
class World:
    """One case: the source's files, what is asked of them, and by which rules.

    Attributes:
        join_keys: The view's join keys.
        files: Feature rows, file by file.
        entity_rows: `(key, as-of in microseconds)`.
        rules: Of the view and the caller.
        unit: Of the source's timestamps, `us` or `ns`.
        zone: Of the source's timestamps.
    """

    join_keys: tuple[Field, ...]
    files: tuple[tuple[Row, ...], ...]
    entity_rows: tuple[tuple[tuple[Any, ...], int], ...]
    rules: Rules
    unit: str
    zone: str | None

    @property
    def rows(self) -> list[Row]:
        """All feature rows."""
        return [row for file in self.files for row in file]

    def file_table(self, file: tuple[Row, ...]) -> pa.Table:
        """Make one file's table; nanosecond timestamps get a fraction that flooring must drop."""
        columns: dict[str, Any] = {
            key.name: pa.array([row.key[i] for row in file], arrow_type(key.dtype))
            for i, key in enumerate(self.join_keys)
        }
        columns["event_timestamp"] = self._instants([row.event_us for row in file])
        if self.rules.has_created:
            columns["created"] = self._instants([row.created_us for row in file])
        for field in FEATURES:
            values = [_as_written(row.values[field.name], field.dtype) for row in file]
            columns[field.name] = pa.array(values, arrow_type(field.dtype))
        return pa.table(columns)

    def entity_table(self) -> pa.Table:
        """Make the entity rows' table."""
        columns: dict[str, Any] = {
            key.name: pa.array([row[i] for row, _ in self.entity_rows], arrow_type(key.dtype))
            for i, key in enumerate(self.join_keys)
        }
        instants = pa.array([as_of_us for _, as_of_us in self.entity_rows], pa.int64())
        columns["event_timestamp"] = instants.cast(pa.timestamp("us", "UTC"))
        return pa.table(columns)

    def _instants(self, instants_us: list[int | None]) -> pa.Array:
        scale, rest = (1000, 999) if self.unit == "ns" else (1, 0)
        raw = [None if us is None else us * scale + rest for us in instants_us]
        return pa.array(raw, pa.int64()).cast(pa.timestamp(self.unit, self.zone))


def _as_written(value: Any, dtype: Dtype) -> Any:
    """Write a value otherwise than it is returned, where a type has more than one way."""
    if value is not None and dtype.value == "Uuid":
        return value.upper()
    if value and dtype.is_set:
        return [*reversed(value), value[-1]]
    return value


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world of at most a dozen feature rows about three entities.

    Every entity is asked for at every instant of the world, so that each age, the ttl's included,
    is met; some rows repeat another but for one value, so that ties are.
    """
    origin_us = draw(st.sampled_from(_ORIGINS_US))
    written_us = st.integers(0, 3).map(lambda offset: origin_us + offset)
    known_us = st.integers(0, _SPAN_US).map(lambda offset: origin_us + offset)
    join_keys = draw(st.sampled_from(list(_JOIN_KEYS)))
    any_key = st.tuples(*_JOIN_KEYS[join_keys])
    keys = draw(st.lists(any_key, min_size=1, max_size=draw(st.sampled_from([1, 3]))))
    some_key = st.sampled_from([*keys * 4, *_keys_with_null(keys[0])])
    has_created = draw(st.booleans())
    row = st.builds(
        Row,
        key=some_key,
        event_us=written_us,
        created_us=st.none() | known_us if has_created else st.none(),
        values=st.fixed_dictionaries(
            {name: st.none() | values for name, values in _VALUES.items()}
        ),
    )
    files = draw(st.lists(_rows_and_twins(row), min_size=1, max_size=2))
    asked_keys = [*keys, draw(any_key), *_keys_with_null(keys[0])]
    entity_rows = [(key, origin_us + offset) for key in asked_keys for offset in range(_SPAN_US)]
    draw(st.randoms(use_true_random=False)).shuffle(entity_rows)
    return World(
        join_keys=join_keys,
        files=(*files, files[0][:1]),
        # Sometimes nobody asks; else one asks twice.
        entity_rows=(*entity_rows, entity_rows[0]) if draw(st.integers(0, 9)) else (),
        rules=Rules(
            ttl_us=draw(st.none() | st.integers(1, 4)),
            is_enforced=draw(st.sampled_from([True, True, False])),
            withholds_expired=draw(st.booleans()),
            is_as_known=draw(st.booleans()),
            has_created=has_created,
        ),
        unit=draw(st.sampled_from(["us", "ns"])),
        zone=draw(st.sampled_from([None, "UTC", "America/New_York"])),
    )


@st.composite
def _rows_and_twins(draw: st.DrawFn, row: st.SearchStrategy[Row]) -> tuple[Row, ...]:
    rows = draw(st.lists(row, min_size=draw(st.sampled_from([0, 2])), max_size=4))
    twins = [
        dataclasses.replace(twin, values={**twin.values, name: draw(row).values[name]})
        for twin in rows[:2]
        for name in draw(st.lists(st.sampled_from(sorted(_VALUES)), max_size=1))
    ]
    return (*rows, *twins)


def _keys_with_null(key: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [(*key[:i], None, *key[i + 1 :]) for i in range(len(key))]
