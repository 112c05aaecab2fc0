"""Hypothesis strategies: small worlds of feature rows and entity rows, dense with ties and edges.

Instants lie a few microseconds apart, so that equal timestamps, rows just before and after an
as-of, and ages of exactly the ttl are common, not lucky. A world is decoded from a few bytes: drawn
value by value it would cost more than the joins that it is for.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pyarrow as pa
from hypothesis import strategies as st

from evenstore.dtypes import Dtype
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import Field
from tests.support.oracle import Row, Rules

__all__ = ["CASES", "FEATURES", "World", "worlds"]

_T = TypeVar("_T")

CASES = 6
"""Cases of a world: histories of one source, each about its own entities at its own time."""

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
_ORIGINS_US = (
    1_700_000_000_000_000,
    # Before 1970 and around it, when New York's clocks go forward and back, and far enough for
    # sums of microseconds to pass through no float.
    -2_208_988_800_000_000,
    -3,
    1_710_054_000_000_000 - 3,
    1_730_613_600_000_000 - 3,
    4_102_444_800_000_001,
)
# What no text can say, and so far apart that two timestamps fit no 128 bits together.
_EXTREMES_US = (-(2**62) + _SPAN_US, 2**62 - 2 * _SPAN_US)
_VALUES: dict[str, tuple[Any, ...]] = {
    "n": (0, 1, -1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1),
    "at": tuple(_EPOCH + timedelta(seconds=s) for s in (0, -1, -(2**31), 1_700_000_000)),
    "x": (0.0, -0.0, 1.5, -1.5, float("inf"), float("-inf"), float("nan")),
    "text": ("", "a", "A", "Z", "é", "e\u0301", "\U0001f600", "\uffff", 'it\'s "x"'),
    "tags": ([], [0.0], [0.5], [0.0, 0.5], [float("nan")], [0.5, float("nan")]),
    "id": tuple(f"{text}0112233-4455-6677-8899-aabbccddeeff" for text in "09f"),
    "pairs": ([], [[]], [[2**53]], [[2**53 + 1]], [[], [2**53]], [[2**53, 2**53 + 1], []]),
    # As a set is returned: distinct and ascending, NaN last.
    "spread": ([], [0.5], [-1.5, 0.5], [0.5, float("inf")], [0.5, float("nan")]),
}
_INTEGERS = (1, 0, -1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1)
_TEXTS = ("1", "", "01", "é", "e\u0301", "a'b\"c", " ", "\U0001f600")
_JOIN_KEYS: tuple[tuple[tuple[Field, ...], tuple[tuple[Any, ...], ...]], ...] = (
    ((Field("k", Dtype.INT64),), (_INTEGERS,)),
    ((), ()),
    ((Field("k", Dtype.STRING),), (_TEXTS,)),
    ((Field("k", Dtype.STRING), Field("a", Dtype.STRING)), (_TEXTS, _TEXTS)),
    (
        (Field("k", Dtype.INT32), Field("a", Dtype.BYTES)),
        ((1, 12, -1), (b"", b"\x00", b"2")),
    ),
)


@dataclass(frozen=True)
class World:
    """One source's files, what is asked of them, and by which rules.

    Attributes:
        join_keys: The view's join keys.
        features: The view's features, by all of which content breaks ties.
        n_asked: How many of them are asked for, the first ones.
        files: Feature rows, file by file; an event timestamp may be None.
        entity_rows: `(key, as-of in microseconds)`.
        rules: Of the view and the caller.
        unit: Of the source's timestamps, `us` or `ns`.
        zone: Of the source's timestamps.
        row_group_rows: Most rows of a row group.
    """

    join_keys: tuple[Field, ...]
    features: tuple[Field, ...]
    n_asked: int
    files: tuple[tuple[Row, ...], ...]
    entity_rows: tuple[tuple[tuple[Any, ...], int], ...]
    rules: Rules
    unit: str
    zone: str | None
    row_group_rows: int

    @property
    def rows(self) -> list[Row]:
        """All feature rows that happened: no event timestamp, no event."""
        return [row for file in self.files for row in file if row.event_us is not None]

    @property
    def asked_features(self) -> tuple[Field, ...]:
        """The features that are asked for."""
        return self.features[: self.n_asked]

    def file_table(self, file: Sequence[Row]) -> pa.Table:
        """Make one file's table; nanosecond timestamps get a fraction that flooring must drop."""
        columns: dict[str, Any] = {
            key.name: pa.array([row.key[i] for row in file], arrow_type(key.dtype))
            for i, key in enumerate(self.join_keys)
        }
        columns["event_timestamp"] = self._instants([row.event_us for row in file])
        if self.rules.has_created:
            columns["created"] = self._instants([row.created_us for row in file])
        for field in self.features:
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

    def _instants(self, instants_us: Sequence[int | None]) -> pa.Array:
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


class _Dice:
    """Choices that are decoded from drawn bytes; all zeros, the simplest, are the first options."""

    def __init__(self, thrown: bytes) -> None:
        self._thrown = iter(thrown)

    def pick(self, options: Sequence[_T]) -> _T:
        return options[next(self._thrown) % len(options)]

    def below(self, bound: int) -> int:
        return next(self._thrown) % bound


_BYTES = 24
"""More than any one piece of a world decodes."""

_pieces = st.binary(min_size=_BYTES, max_size=_BYTES)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world of `CASES` cases with at most eight feature rows about two entities each.

    Every entity is asked for at every instant of its case, so that each age, the ttl's included, is
    met; some rows repeat another or all but one of its values, so that ties are.
    """
    dice = _Dice(draw(_pieces))
    join_keys, pools = dice.pick(_JOIN_KEYS)
    first, n_features = dice.below(len(FEATURES)), dice.pick((2, 1, 3))
    features = (*FEATURES, *FEATURES)[first : first + n_features]
    unit = dice.pick(("us", "ns"))
    rules = Rules(
        has_created=dice.pick((True, True, False)),
        is_as_known=dice.pick((False, True)),
        ttl_us=dice.pick((None, 1, 2, 3, 4)),
        is_enforced=dice.pick((True, True, False)),
        withholds_expired=dice.pick((True, False)),
    )
    origins = (*_ORIGINS_US, *(_EXTREMES_US if unit == "us" else ()))
    origins = (dice.pick(origins),) if dice.below(2) else origins
    files: list[list[Row]] = [[] for _ in range(dice.pick((1, 2, 3)))]
    entity_rows: list[tuple[tuple[Any, ...], int]] = []
    for _ in range(CASES):
        case = _Dice(draw(_pieces))
        origin_us = case.pick(origins)
        keys, stranger = _some_keys(case, pools, case.pick((1, 2))), _some_keys(case, pools, 1)
        nulls = _with_null(keys[0])
        rows: list[Row] = []
        for _ in range(case.pick((3, 0, 1, 2, 4, 8))):
            thrown = _Dice(draw(_pieces))
            row = _row(thrown, (*keys * 4, *nulls), origin_us, features, rules)
            rows.append(_twin(thrown, rows, row) if rows and thrown.below(2) else row)
            thrown.pick(files).append(rows[-1])
        asked = [*keys, *stranger, *nulls]
        entity_rows += [(key, origin_us + offset) for key in asked for offset in range(_SPAN_US)]
    random.Random(dice.below(256)).shuffle(entity_rows)
    return World(
        join_keys=join_keys,
        features=features,
        n_asked=dice.below(n_features) + 1,
        files=tuple(map(tuple, files)),
        # Sometimes nobody asks; else one asks twice.
        entity_rows=(*entity_rows, entity_rows[0]) if dice.below(12) else (),
        rules=rules,
        unit=unit,
        zone=dice.pick(("UTC", None, "America/New_York")),
        row_group_rows=dice.pick((100, 100, 2)),
    )


def _some_keys(
    dice: _Dice, pools: tuple[tuple[Any, ...], ...], n_keys: int
) -> list[tuple[Any, ...]]:
    return [tuple(dice.pick(pool) for pool in pools) for _ in range(n_keys)]


def _row(
    dice: _Dice,
    keys: Sequence[tuple[Any, ...]],
    origin_us: int,
    features: tuple[Field, ...],
    rules: Rules,
) -> Row:
    # Often at one instant, at times so old that the first who asks just sees it, and at times none.
    event = dice.pick((*(0, 0, 1, 2, 3, -(rules.ttl_us or 2)) * 3, None))
    created = dice.pick((None, *range(_SPAN_US)))
    is_known = rules.has_created and created is not None
    return Row(
        key=dice.pick(keys),
        # The oracle's rows have happened: `World.rows` leaves out those without an instant.
        event_us=None if event is None else origin_us + event,  # type: ignore[arg-type]
        created_us=origin_us + created if is_known else None,
        values={field.name: dice.pick((None, *_VALUES[field.name])) for field in features},
    )


def _twin(dice: _Dice, rows: Sequence[Row], row: Row) -> Row:
    """Repeat an earlier row: all of it, all but its created timestamp, or all but one value."""
    twin = dice.pick(rows)
    changed = dice.pick((None, *("created",) * 3, *row.values))
    if changed is None:
        return twin
    if changed == "created":
        return dataclasses.replace(twin, created_us=row.created_us)
    return dataclasses.replace(twin, values={**twin.values, changed: row.values[changed]})


def _with_null(key: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [(*key[:i], None, *key[i + 1 :]) for i in range(len(key))]
