"""Seeded random feature rows of the online cases, as Arrow tables."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.cases import DAY_US
from benchmarks.online.cases import OnlineCase, RowKind, Step

__all__ = [
    "CREATED",
    "EVENT",
    "FULL_END_US",
    "INCREMENTAL_END_US",
    "START_US",
    "Times",
    "changed_times",
    "feature_rows",
    "feature_types",
    "key_array",
    "loaded_times",
    "unknown_keys",
]

Int64s = NDArray[np.int64]

EVENT = "event_timestamp"
CREATED = "created"

START_US = 1_735_689_600_000_000
"""2025-01-01T00:00:00Z. The rows of `load` lie in the 20 days after it."""

FULL_END_US = START_US + 30 * DAY_US
"""Where all full runs end; the rows of `changed` lie in the 10 days before it."""

INCREMENTAL_END_US = FULL_END_US + DAY_US
"""The rows of `incremental` lie in the day before it."""

_LOAD_END_US = START_US + 20 * DAY_US
_HOUR_US = 3_600_000_000
_TIED_SHARE = 0.01
_SPECIAL_SHARE = 0.01
_LIST_LENGTH = 8
_WORDS = ("amber", "basalt", "cinnabar", "dolomite", "emerald", "feldspar", "garnet", "halite")
_STEP_NUMBERS: dict[Step, int] = {"load": 0, "again": 0, "changed": 1, "incremental": 2}


@dataclass(frozen=True, slots=True)
class Times:
    """Which entity a row is of, and when: parallel arrays.

    Attributes:
        entities: Numbers of the entities, from 0.
        event_us: Event timestamps, microseconds since 1970.
        created_us: Created timestamps, microseconds since 1970.
    """

    entities: Int64s
    event_us: Int64s
    created_us: Int64s

    def part(self, start: int, stop: int) -> Times:
        """Return some of the rows."""
        rows = slice(start, stop)
        return Times(self.entities[rows], self.event_us[rows], self.created_us[rows])


def feature_types(kind: RowKind) -> dict[str, pa.DataType]:
    """Name the 10 features of a view with their types."""
    counts = {"int": 4, "double": 4, "single": 2} if kind == "numeric" else {}
    counts = counts or {"int": 2, "double": 3, "single": 1, "text": 3, "list": 1}
    types = {
        "int": pa.int64(),
        "double": pa.float64(),
        "single": pa.float32(),
        "text": pa.string(),
        "list": pa.list_(pa.float64()),
    }
    return {f"{name}_{i}": types[name] for name, count in counts.items() for i in range(count)}


def loaded_times(case: OnlineCase, view: int, *, seed: int) -> Times:
    """Draw the rows of the first load, in random order.

    With a history, one row in a hundred has the event timestamp of another row of its entity and a
    later or earlier created timestamp.
    """
    rng = _rng(seed, view, 0, 0)
    n_rows = case.n_rows
    entities = np.arange(n_rows) % case.n_entities
    event_us = rng.integers(START_US, _LOAD_END_US, n_rows)
    created_us = event_us + rng.integers(_HOUR_US, 2 * _HOUR_US, n_rows)
    if case.rows_per_entity > 1:
        tied = np.flatnonzero(rng.random(n_rows - case.n_entities) < _TIED_SHARE)
        event_us[tied + case.n_entities] = event_us[tied]
        shift_us = rng.integers(1, _HOUR_US, len(tied)) * rng.choice([-1, 1], len(tied))
        created_us[tied + case.n_entities] = created_us[tied] + shift_us
    order = rng.permutation(n_rows)
    return Times(entities[order], event_us[order], created_us[order])


def changed_times(case: OnlineCase, view: int, step: Step, *, seed: int) -> Times:
    """Draw the rows of a file of changes, each newer than what its entity has."""
    rng = _rng(seed, view, _STEP_NUMBERS[step], 0)
    entities = rng.choice(case.n_entities, case.n_changed, replace=False)
    until_us = FULL_END_US if step == "changed" else INCREMENTAL_END_US
    since_us = _LOAD_END_US if step == "changed" else FULL_END_US + 1
    event_us = rng.integers(since_us, until_us, len(entities))
    return Times(entities, event_us, event_us + rng.integers(1, _HOUR_US, len(entities)))


def feature_rows(
    case: OnlineCase, view: int, times: Times, keys: pa.Array, *, step: Step, part: int, seed: int
) -> pa.Table:
    """Make one part of a file.

    One value in a hundred is null in `int_1`, `double_1` and `text_1`, and NaN in `double_2`;
    `int_0` lies above 2^53 and has no null, which stock Feast would carry through float64.

    Args:
        case: The case.
        view: Number of the view.
        times: The part's rows.
        keys: Keys of all entities, by their number.
        step: Which file it is a part of.
        part: Number of the part.
        seed: Of the data.
    """
    rng = _rng(seed, view, _STEP_NUMBERS[step], 1 + part)
    columns: dict[str, Any] = {
        case.key_column: keys.take(pa.array(times.entities)),
        EVENT: _timestamps(times.event_us),
        CREATED: _timestamps(times.created_us),
    }
    for name, dtype in feature_types(case.kind).items():
        columns[name] = _values(name, dtype, len(times.entities), rng)
    return pa.table(columns)


def key_array(case: OnlineCase, *, seed: int) -> pa.Array:
    """Make the keys of all entities, by their number."""
    if case.kind == "numeric":
        return pa.array(np.arange(case.n_entities))
    return _uuids(_rng(seed, 0, 9, 0), case.n_entities)


def unknown_keys(case: OnlineCase, count: int, *, seed: int) -> pa.Array:
    """Make keys of entities that have no row."""
    if case.kind == "numeric":
        return pa.array(np.arange(case.n_entities, case.n_entities + count))
    return _uuids(_rng(seed, 1, 9, 0), count)


def _values(name: str, dtype: pa.DataType, n_rows: int, rng: np.random.Generator) -> pa.Array:
    special = rng.random(n_rows) < _SPECIAL_SHARE
    if pa.types.is_integer(dtype):
        low, high = (2**53, 2**62) if name == "int_0" else (0, 1_000_000)
        numbers = rng.integers(low, high, n_rows)
        return pa.array(numbers, mask=special if name == "int_1" else None)
    if pa.types.is_string(dtype):
        drawn = rng.integers(0, len(_WORDS) * 1000, n_rows).tolist()
        words = [f"{_WORDS[number % len(_WORDS)]}-{number:04}" for number in drawn]
        return pa.array(np.array(words, dtype=object), dtype, mask=special & (name == "text_1"))
    if pa.types.is_list(dtype):
        offsets = np.arange(n_rows + 1, dtype=np.int32) * _LIST_LENGTH
        return pa.ListArray.from_arrays(
            pa.array(offsets), pa.array(rng.standard_normal(n_rows * _LIST_LENGTH))
        )
    values = rng.standard_normal(n_rows)
    if name == "double_2":
        values = np.where(special, np.nan, values)
    return pa.array(
        values.astype(dtype.to_pandas_dtype()), mask=special if name == "double_1" else None
    )


def _uuids(rng: np.random.Generator, count: int) -> pa.Array:
    data = rng.bytes(16 * count)
    return pa.array(str(uuid.UUID(bytes=data[i : i + 16])) for i in range(0, len(data), 16))


def _timestamps(values_us: Int64s) -> pa.Array:
    # Stock Feast's DuckDB store fails on nanoseconds with a time zone.
    return pa.array(values_us).cast(pa.timestamp("us", tz="UTC"))


def _rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
