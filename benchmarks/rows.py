"""Seeded random feature rows and entity rows, as Arrow tables.

Every number depends on the seed, the view and the part only, so that parts can be made one at a
time and data of one seed are the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.cases import SPAN_US, Case, KeyKind

__all__ = [
    "FEATURES",
    "FLOAT_FEATURES",
    "INT_FEATURES",
    "ROW_ID",
    "START_US",
    "Part",
    "entity_rows",
    "feature_rows",
    "key_columns",
]

Int64s = NDArray[np.int64]

START_US = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""

FLOAT_FEATURES = tuple(f"float_{number}" for number in range(6))
INT_FEATURES = tuple(f"int_{number}" for number in range(4))
FEATURES = (*FLOAT_FEATURES, *INT_FEATURES)
ROW_ID = "row_id"

_TIED_SHARE = 0.01
_UNKNOWN_SHARE = 0.03
_EDGE_SHARE = 0.01
_NULL_SHARE = 0.01
_NAN_SHARE = 0.01
_HOUR_US = 3_600_000_000
_REGIONS = 8
_TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Part:
    """What is generated at once: a stretch of one file.

    Attributes:
        view: Number of the view.
        number: Number of the part within the view; seeds it.
        n_rows: Rows.
        from_us: Start of its time slice, in microseconds after `START_US`.
        until_us: End of its time slice, exclusive.
    """

    view: int
    number: int
    n_rows: int
    from_us: int = 0
    until_us: int = SPAN_US


def key_columns(kind: KeyKind) -> tuple[str, ...]:
    """Name the join keys of a kind."""
    return {
        "int": ("driver_id",),
        "string": ("driver_name",),
        "composite": ("driver_id", "region"),
    }[kind]


def feature_rows(case: Case, part: Part, *, seed: int) -> pa.Table:
    """Make one part of a view, its rows in random order.

    One in a hundred has the entity and event timestamp of another row and another created
    timestamp. One value in a hundred is null in `float_5` and `int_2`, and NaN in `float_4`;
    `int_3` lies above 2^53. Those are what wrong joins and detours over float get wrong.
    """
    times = _part_times(case, part, seed=seed)
    rng = _rng(seed, part.view, part.number, 1)
    n_rows = part.n_rows
    columns: dict[str, Any] = _key_arrays(case.key, times.entities)
    columns["event_timestamp"] = _timestamps(times.event_us)
    columns["created"] = _timestamps(times.created_us)
    for name in FLOAT_FEATURES:
        columns[name] = pa.array(rng.standard_normal(n_rows))
    for name in INT_FEATURES:
        columns[name] = pa.array(rng.integers(0, 1_000_000, n_rows))
    columns["int_3"] = pa.array(rng.integers(2**53, 2**62, n_rows))
    columns["float_4"] = pa.array(
        np.where(rng.random(n_rows) < _NAN_SHARE, np.nan, columns["float_4"].to_numpy())
    )
    for name in ("float_5", "int_2"):
        columns[name] = pa.array(columns[name].to_numpy(), mask=rng.random(n_rows) < _NULL_SHARE)
    return pa.table(columns)


def entity_rows(case: Case, first_part: Part, *, seed: int) -> pa.Table:
    """Make the entity rows: `row_id` from 0, the join keys and `event_timestamp`.

    One in a hundred is at the very edge of a feature row of the first part: at its event
    timestamp, its ttl later, or a microsecond beyond either.
    """
    rng = _rng(seed, 2**31, 0, 0)
    n_rows = case.n_entity_rows
    entities = rng.integers(0, case.n_entities, n_rows)
    as_of_us = rng.integers(0, SPAN_US, n_rows)
    edges = rng.random(n_rows) < _EDGE_SHARE
    times = _part_times(case, first_part, seed=seed)
    chosen = rng.integers(0, first_part.n_rows, int(edges.sum()))
    ttl_us = case.ttl_us or 0
    offsets = np.array([0, -1, ttl_us, ttl_us + 1])
    entities[edges] = times.entities[chosen]
    as_of_us[edges] = times.event_us[chosen] + offsets[rng.integers(0, 4, len(chosen))]
    unknown = rng.random(n_rows) < _UNKNOWN_SHARE
    entities[unknown] += case.n_entities
    return pa.table(
        {
            ROW_ID: pa.array(np.arange(n_rows)),
            **_key_arrays(case.key, entities),
            "event_timestamp": _timestamps(as_of_us),
        }
    )


@dataclass(frozen=True, slots=True)
class _Times:
    entities: Int64s
    event_us: Int64s
    created_us: Int64s


def _part_times(case: Case, part: Part, *, seed: int) -> _Times:
    rng = _rng(seed, part.view, part.number, 0)
    n_rows = part.n_rows
    entities = rng.integers(0, case.n_entities, n_rows)
    event_us = rng.integers(part.from_us, part.until_us, n_rows)
    created_us = event_us + rng.integers(1, _HOUR_US, n_rows)
    n_tied = int(n_rows * _TIED_SHARE)
    if n_tied:
        twins = rng.integers(0, n_rows - n_tied, n_tied)
        entities[-n_tied:] = entities[twins]
        event_us[-n_tied:] = event_us[twins]
        # Half the twins are the older ones, and none has the other's created timestamp.
        delay_us = rng.integers(1, _HOUR_US, n_tied) * rng.choice([-1, 1], n_tied)
        created_us[-n_tied:] = created_us[twins] + delay_us
    order = rng.permutation(n_rows)
    return _Times(entities[order], event_us[order], created_us[order])


def _key_arrays(kind: KeyKind, entities: Int64s) -> dict[str, Any]:
    if kind == "int":
        return {"driver_id": pa.array(entities)}
    if kind == "string":
        return {"driver_name": _named("driver-", entities)}
    return {
        "driver_id": pa.array(entities // _REGIONS),
        "region": _named("region-", entities % _REGIONS),
    }


def _named(prefix: str, numbers: Int64s) -> pa.Array:
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 8, "0")
    return pc.binary_join_element_wise(pa.scalar(prefix), digits, "")


def _timestamps(offsets_us: Int64s) -> pa.Array:
    return pa.array(offsets_us + START_US).cast(_TIMESTAMP)


def _rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
