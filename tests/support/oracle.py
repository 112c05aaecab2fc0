"""The semantics of DESIGN section 3 in plain Python, written to be obviously right.

Nothing here is fast or clever, and nothing but names comes from evenstore: SQL, Lua and Python code
are judged by this file. Instants are int microseconds; a value is what `to_pylist` gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.semantics import Status

__all__ = ["Answer", "Row", "Rules", "is_same_value", "join", "look_up", "newest", "place"]


@dataclass(frozen=True)
class Row:
    """One feature row; a key with a None in it names no entity."""

    key: tuple[Any, ...]
    event_us: int
    created_us: int | None
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Rules:
    """What a view and a caller choose."""

    ttl_us: int | None = None
    is_enforced: bool = True
    withholds_expired: bool = True
    is_as_known: bool = False
    has_created: bool = True


@dataclass(frozen=True)
class Answer:
    """What one entity row gets from one view."""

    event_us: int | None
    values: Mapping[str, Any]
    statuses: Mapping[str, Status]


def place(row: Row) -> tuple[Any, ...]:
    """Place a row in the total order: event, created (null lowest), content by feature name."""
    return (
        row.event_us,
        _null_lowest(row.created_us),
        [_null_lowest(row.values[name]) for name in sorted(row.values)],
    )


def newest(
    rows: Sequence[Row], until_us: int, *, known_at_us: int | None = None
) -> dict[tuple[Any, ...], Row]:
    """Choose the greatest row of every entity that is not after an instant, and was known then."""
    winners: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if None in row.key or row.event_us > until_us:
            continue
        if known_at_us is not None and (row.created_us is None or row.created_us > known_at_us):
            continue
        if row.key not in winners or place(row) > place(winners[row.key]):
            winners[row.key] = row
    return winners


def look_up(
    rows: Sequence[Row], key: tuple[Any, ...], as_of_us: int, names: Sequence[str], rules: Rules
) -> Answer:
    """Answer for one entity at one instant."""
    known_at_us = as_of_us if rules.is_as_known and rules.has_created else None
    row = newest(rows, as_of_us, known_at_us=known_at_us).get(key)
    if row is None:
        return Answer(None, dict.fromkeys(names), dict.fromkeys(names, Status.NOT_FOUND))
    is_expired = (
        rules.is_enforced and rules.ttl_us is not None and as_of_us - row.event_us > rules.ttl_us
    )
    if is_expired:
        values = dict.fromkeys(names) if rules.withholds_expired else dict(row.values)
        return Answer(row.event_us, values, dict.fromkeys(names, Status.OUTSIDE_MAX_AGE))
    statuses = {
        name: Status.NULL_VALUE if row.values[name] is None else Status.PRESENT for name in names
    }
    return Answer(row.event_us, row.values, statuses)


def join(
    rows: Sequence[Row],
    entity_rows: Sequence[tuple[tuple[Any, ...], int]],
    names: Sequence[str],
    rules: Rules,
) -> list[Answer]:
    """Answer for every entity row `(key, as-of)`: one each, in order, duplicates kept."""
    return [look_up(rows, key, as_of_us, names, rules) for key, as_of_us in entity_rows]


def is_same_value(offline_value: Any, other_value: Any) -> bool:
    """Compare two values: NaN equals NaN and differs from null."""
    if isinstance(offline_value, list) and isinstance(other_value, list):
        return len(offline_value) == len(other_value) and all(
            map(is_same_value, offline_value, other_value)
        )
    if isinstance(offline_value, float) and isinstance(other_value, float):
        both_nan = math.isnan(offline_value) and math.isnan(other_value)
        return both_nan or offline_value == other_value
    return type(offline_value) is type(other_value) and bool(offline_value == other_value)


def _null_lowest(value: Any) -> tuple[Any, ...]:
    """Make null the least, then numbers, texts and lists in their own order, then NaN."""
    if value is None:
        return (0,)
    if isinstance(value, float) and math.isnan(value):
        return (2,)
    return (1, [_null_lowest(item) for item in value] if isinstance(value, list) else value)
