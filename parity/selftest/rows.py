"""The rows of the generated repo: random ones of a seed, and a few with a part to play.

The parts are the same whatever the seed, because faults are planted on them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

__all__ = [
    "CORRECTED",
    "EDGE",
    "EMPTY",
    "HOUR",
    "MICROSECOND",
    "NAN",
    "NOW",
    "OVER",
    "PLAIN",
    "PRE_EPOCH",
    "STATS_ROWS",
    "TIED",
    "TTL",
    "UNICODE",
    "UNKNOWN_CUSTOMER",
    "generate_offers",
    "generate_products",
    "generate_stats",
    "newest_first",
]

HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
NOW = datetime(2025, 3, 10, tzinfo=UTC)
TTL = timedelta(days=7)

PLAIN, TIED, CORRECTED, EMPTY, NAN, EDGE, OVER = range(1_000, 1_007)
"""Customers: with three plain rows; with two rows at one place in the order; with a corrected row;
with nulls; with NaN; at the last microsecond of their ttl; a microsecond after it."""
_N_RANDOM = 40
_RARELY = 0.1
_FIRST_RANDOM = 1_100
UNKNOWN_CUSTOMER = 9_999
UNICODE, PRE_EPOCH = "caf\u00e9", "old"
"""Products: one whose name has two Unicode forms, one with rows of before 1970."""

_INSTANT = pa.timestamp("us", tz="UTC")
STATS_ROWS = pa.schema(
    {
        "customer_id": pa.int64(),
        "orders": pa.int64(),
        "spend": pa.float64(),
        "refund": pa.float64(),
        "share": pa.float32(),
        "active": pa.bool_(),
        "since": _INSTANT,
        "name": pa.string(),
        "token": pa.binary(),
        "recent": pa.list_(pa.string()),
        "vector": pa.list_(pa.float64()),
        "event_timestamp": _INSTANT,
        "created": _INSTANT,
    }
)
_KEPT_WHERE_EMPTY = frozenset({"customer_id", "event_timestamp", "created"})


def generate_stats(seed: int) -> list[dict[str, Any]]:
    """Return all rows of the customers' view, in no order."""
    chance = _chance(seed)
    rows = [*_parts()]
    for customer in range(_FIRST_RANDOM, _FIRST_RANDOM + _N_RANDOM):
        rows += _random_rows(chance, customer)
    chance.shuffle(rows)
    return rows


def generate_products(seed: int) -> pa.Table:
    """Return all rows of the products' view, which keeps no created timestamp and has no ttl."""
    chance = _chance(seed)
    rows = [(f"P{i}", chance.randrange(2**62), NOW - i * HOUR) for i in range(12)]
    rows.append((UNICODE, 7, NOW - HOUR))
    rows += [(PRE_EPOCH, year, datetime(year, 1, 1, tzinfo=UTC)) for year in (1_960, 1_961)]
    product, sold, event = zip(*rows, strict=True)
    return pa.table(
        {
            "product": pa.array(product),
            "sold": pa.array(sold, pa.int64()),
            "event_timestamp": pa.array(event, _INSTANT),
        }
    )


def generate_offers(price: float) -> pa.Table:
    """Return one row of each named customer."""
    customers = [*range(PLAIN, OVER + 1)]
    return pa.table(
        {
            "customer_id": pa.array(customers, pa.int64()),
            "price": pa.array([price + customer for customer in customers], pa.float64()),
            "rebate": pa.array([0.5] * len(customers), pa.float64()),
            "event_timestamp": pa.array([NOW - HOUR for _ in customers], _INSTANT),
        }
    )


def newest_first(rows: list[dict[str, Any]], customer: int) -> list[dict[str, Any]]:
    """Return a customer's rows up to NOW, the greatest in the total order first."""
    own = [row for row in rows if row["customer_id"] == customer and row["event_timestamp"] <= NOW]
    return sorted(own, key=lambda row: (row["event_timestamp"], row["created"]), reverse=True)


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - nothing secret is drawn


def _parts() -> Iterator[dict[str, Any]]:
    for customer in (PLAIN, TIED, CORRECTED, EMPTY, NAN):
        for age in range(3):
            yield _row(customer, age)
    # The other row of a tie, and a correction of the newest row.
    yield _row(TIED, 0) | {"orders": 2**53 + 77, "refund": 77.5}
    yield _row(CORRECTED, 0, hours=2) | {"spend": 55.25, "name": "corrected"}
    yield dict.fromkeys(STATS_ROWS.names) | _kept(_row(EMPTY, 0, minutes=5))
    yield _row(NAN, 0, minutes=5) | {"spend": math.nan, "share": math.nan}
    for customer, life in ((EDGE, TTL), (OVER, TTL + MICROSECOND)):
        yield _row(customer, 0) | {"event_timestamp": NOW - life, "created": NOW - life}


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name in _KEPT_WHERE_EMPTY}


def _row(customer: int, age: int, *, minutes: int = 0, hours: int = 0) -> dict[str, Any]:
    """Return a plain row, so many days old, with values that no narrower type can hold."""
    event = NOW - HOUR - timedelta(days=age) + timedelta(minutes=minutes, microseconds=250_123)
    return {
        "customer_id": customer,
        "orders": 2**53 + 1 + 2 * age,
        "spend": 10.1 + age,
        "refund": 7.3 + age,
        "share": 0.1,
        "active": age % 2 == 0,
        "since": datetime(2020, 5, 1, 12, 0, age, 600_000, tzinfo=UTC),
        "name": f"Ren\u00e9 {age}",
        "token": bytes([age, 255]),
        "recent": [f"P{age}", "\u00e9"],
        "vector": [1 / 3, math.nan, age + 0.5],
        "event_timestamp": event,
        "created": event + timedelta(minutes=1) + hours * HOUR,
    }


def _random_rows(chance: random.Random, customer: int) -> Iterator[dict[str, Any]]:
    """Return some rows of one customer: hot, cold, expired, late, tied, not due yet."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        age = timedelta(microseconds=chance.randrange(-(2**34), 2**40))
        event = chance.choice((NOW - age, NOW - HOUR, NOW - TTL, NOW - TTL - MICROSECOND, NOW))
        created = event + chance.choice((timedelta(0), HOUR, timedelta(days=2)))
        row = {
            "customer_id": customer,
            "orders": chance.choice((0, chance.randrange(-(2**63), 2**63))),
            "spend": chance.choice((0.0, -0.0, chance.uniform(-1e9, 1e9), math.nan, math.inf)),
            "refund": chance.gauss(0, 1),
            "share": chance.random(),
            "active": chance.choice((True, False)),
            "since": NOW - timedelta(microseconds=chance.randrange(2**52)),
            "name": chance.choice(("", "e\u0301", "\u00e9", "\u0000 ", f"{chance.random()}")),
            "token": chance.randbytes(chance.randrange(5)),
            "recent": [f"{chance.random()}" for _ in range(chance.randrange(4))],
            "vector": [chance.random() for _ in range(chance.randrange(4))],
        }
        row = {name: None if chance.random() < _RARELY else row[name] for name in row}
        row |= {"customer_id": customer, "event_timestamp": event, "created": created}
        yield row
        if chance.random() < _RARELY:
            yield row | {"orders": 1}
