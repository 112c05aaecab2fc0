"""The rows of a small shop in which every rule of the semantics decides something.

They are plain Python, so that the oracle can judge them; `world` writes the same rows as Parquet.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.oracle import Row, Rules

__all__ = ["INSTANTS", "VIEWS", "ViewRows", "to_us"]

INSTANTS = tuple(datetime(2011, 12, day, 0, 0, 0, 250, tzinfo=UTC) for day in (8, 9, 10))
"""When the shop is asked: not at whole milliseconds, as no row happened at one."""

_HOUR = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)
_ODD = timedelta(microseconds=123_457)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ACTIVITY_TTL, _PAIRS_TTL = timedelta(days=1), timedelta(days=2)


@dataclass(frozen=True, slots=True)
class ViewRows:
    """All rows of one view.

    Attributes:
        keys: Join keys, in the order in which the view declares them.
        rows: Each with its join keys, features, `event_timestamp` and `created`.
        has_created: Whether the source keeps created timestamps.
        ttl: None for none.
    """

    keys: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    has_created: bool = True
    ttl: timedelta | None = None

    @property
    def rules(self) -> Rules:
        """What the oracle must know of the view."""
        ttl_us = None if self.ttl is None else self.ttl // _MICROSECOND
        return Rules(ttl_us=ttl_us, is_as_known=True, has_created=self.has_created)

    def of_oracle(self) -> list[Row]:
        """Return the rows in the oracle's form: values as a store of declared types keeps them."""
        return [
            Row(
                key=tuple(row[name] for name in self.keys),
                event_us=to_us(row["event_timestamp"]),
                created_us=to_us(row["created"]) if row.get("created") else None,
                values={
                    name: _kept(name, value)
                    for name, value in row.items()
                    if name not in {*self.keys, "event_timestamp", "created"}
                },
            )
            for row in self.rows
        ]


def to_us(instant: datetime) -> int:
    """Return microseconds since the epoch."""
    return (instant - _EPOCH) // _MICROSECOND


def _kept(name: str, value: Any) -> Any:
    """Round to float32 what is declared so, and cut instants to whole seconds, downwards."""
    if isinstance(value, datetime):
        return to_us(value) // 1_000_000
    if name == "share" and value is not None:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    return value


def _activity(customer_id: int, n: int, event: datetime, **more: Any) -> dict[str, Any]:
    """Return a row whose values no narrower type holds."""
    return {
        "customer_id": customer_id,
        "counts": [n, -n, 2**53 + n],
        "first_order": datetime(2010, 12, 1, 8, 26, n % 60, 600_000, tzinfo=UTC),
        "flags": [n % 2 == 0, True],
        "is_member": n % 2 == 0,
        "name": f"Ren\u00e9 {n}",
        "orders": 2**53 + n,
        "refund": -n / 100,
        "recent": [f"P{n}", "\u00e9"],
        "share": 0.1 * n,
        "spend": n / 10,
        "token": bytes([n % 256, 255]),
        "visits": -n,
        "weights": [1 / 3, n + 0.5],
        "event_timestamp": event,
        "created": event + timedelta(minutes=30) + _MICROSECOND,
    } | more


_FEATURES = frozenset(_activity(0, 0, _EPOCH)) - {"customer_id", "event_timestamp", "created"}
_PLAIN = (*range(100, 108), -7, 0, 2**53 + 1, 2**53 + 2)
"""Customers with a row before each instant; two of them are one in float64."""


def _activity_rows() -> Iterator[dict[str, Any]]:
    days = [at - 2 * _HOUR + _ODD for at in INSTANTS]
    for customer_id in _PLAIN:
        for i, event in enumerate(days):
            yield _activity(customer_id, (customer_id + i) % 50 + 1, event)
    yield from _aged(days)
    yield from _late(300, days)
    for event in days[1:]:
        yield from _tied(200, event)
        yield from _odd_values(400, event)


def _aged(days: list[datetime]) -> Iterator[dict[str, Any]]:
    """Customers whose last row is older than its ttl at an instant, or is so to the microsecond."""
    yield _activity(150, 3, days[0])
    yield _activity(156, 3, days[0], orders=None, name=None)
    for customer_id, at in ((151, INSTANTS[1]), (152, INSTANTS[2])):
        edge = at - _ACTIVITY_TTL
        yield _activity(customer_id, 4, edge)
        yield _activity(customer_id + 10, 5, edge - _MICROSECOND)
        # Known at the very instant at which it is about to expire.
        yield _activity(customer_id + 20, 6, edge, created=at)
        # An event at the instant itself counts, one of a microsecond later does not.
        yield _activity(customer_id + 30, 7, at, created=at)
        yield _activity(customer_id + 30, 8, at + _MICROSECOND, created=at)


def _tied(first: int, event: datetime) -> Iterator[dict[str, Any]]:
    """Customers with two rows at one place in the order, told apart by their content alone."""
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"orders": 5}, {"orders": -6}),
        ({"orders": None}, {"orders": -(2**62)}),
        ({"spend": math.nan}, {"spend": math.inf}),
        ({"name": "a"}, {"name": "B"}),
        ({"recent": ["b"]}, {"recent": ["a", "z"]}),
        ({"is_member": True}, {"is_member": False}),
        # The first feature that differs decides, by name.
        ({"counts": [1], "visits": 9}, {"counts": [2], "visits": 1}),
    ]
    for i, (one, other) in enumerate(pairs):
        yield _activity(first + i, 9, event) | one
        yield _activity(first + i, 9, event) | other


def _late(first: int, days: list[datetime]) -> Iterator[dict[str, Any]]:
    """Customers of whom something became known long after it had happened."""
    known = INSTANTS[1] + 7 * _HOUR
    for customer_id in range(first, first + 6):
        yield _activity(customer_id, 11, days[0])
        yield _activity(customer_id, 12, days[1])
    # A row that is newer, and one that is older than what is stored by then.
    yield _activity(first, 40, INSTANTS[1] - _HOUR, created=known)
    yield _activity(first + 1, 41, days[1] - _HOUR, created=known)
    # A correction downwards: neither its event nor its content is the greater one.
    yield _activity(first + 2, 1, days[1], created=known)
    yield _activity(first + 3, 42, days[2], created=None)
    # Written before it happens, and of two writings of one event the second.
    yield _activity(first + 4, 43, INSTANTS[1] + _HOUR, created=INSTANTS[0])
    yield _activity(first + 5, 45, days[2])
    yield _activity(first + 5, 44, days[2], created=days[2] + _HOUR)


def _odd_values(first: int, event: datetime) -> Iterator[dict[str, Any]]:
    """Customers whose values are null, empty, extreme or of several bytes a character."""
    yield _activity(first, 13, event) | dict.fromkeys(_FEATURES)
    yield _activity(first + 1, 14, event, spend=math.nan, share=math.inf, weights=[math.nan])
    nothing = {"counts": [], "flags": [], "recent": [], "weights": [], "name": "", "token": b""}
    zeros = {"is_member": False, "orders": 0, "refund": 0.0, "share": 0.0, "spend": 0.0}
    yield _activity(first + 2, 0, event) | nothing | zeros
    least = {"orders": -(2**63), "visits": -(2**31), "spend": 5e-324, "counts": [-(2**63)]}
    before_1970 = datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)
    yield _activity(first + 3, 15, event, first_order=before_1970) | least
    most = {"orders": 2**63 - 1, "visits": 2**31 - 1, "spend": -1.7e308, "counts": [2**63 - 1]}
    texts = {"name": "e\u0301\u00e9\U0001f6d2" * 40, "recent": ["", "e\u0301", "\u00e9"] * 30}
    yield _activity(first + 4, 16, event) | most | texts
    # Lengths at which their own form changes.
    yield _activity(first + 5, 17, event, name="n" * 253, token=b"t" * 254)
    yield _activity(first + 6, 18, event, name="n" * 254, token=b"t" * 255)


def _demand_rows() -> Iterator[dict[str, Any]]:
    products = [*(f"P{i}" for i in range(8)), "\u00e9", "e\u0301", "p1", "P1 ", ""]
    for i, at in enumerate(INSTANTS):
        for j, product in enumerate(products):
            event = at - _HOUR + j * _ODD
            yield {"product": product, "sold": 100 * i + j, "event_timestamp": event}


def _pair_rows() -> Iterator[dict[str, Any]]:
    """Rows whose values are at the edges of each width of an integer."""
    edges = [sign * 2**bits + more for bits in (7, 15, 31) for sign in (1, -1) for more in (-1, 0)]
    for i, customer_id in enumerate(_PLAIN):
        for j in range(2):
            event = INSTANTS[j] - _MICROSECOND * (i + 1)
            yield {
                "product": f"P{(i + j) % 8}",
                "customer_id": customer_id,
                "bought": edges[i],
                "event_timestamp": event,
                "created": event,
            }
    # At the last microsecond of their ttl at the last instant, and a microsecond later.
    for i in range(2):
        event = INSTANTS[2] - _PAIRS_TTL - i * _MICROSECOND
        yield {"product": "P8", "customer_id": 100 + i, "bought": 3 + i} | {
            "event_timestamp": event,
            "created": event,
        }


def _transfer_rows() -> Iterator[dict[str, Any]]:
    """Entities of two keys of one type, each of which is another entity the other way round."""
    for i in range(6):
        for j in range(6):
            if i != j:
                event = INSTANTS[(i + j) % 3] - _HOUR
                yield {"from_store": i, "to_store": j, "boxes": 10 * i + j} | {
                    "event_timestamp": event
                }


def _aisle_rows() -> Iterator[dict[str, Any]]:
    """Rows of a narrow key from before 1970, where most entities have no others.

    They are many, because stores read many entities by other code than few.
    """
    edges = (-(2**31), -1, 0, 1, 255, 256, 2**31 - 1)
    for i, aisle in enumerate((*edges, *range(1_000, 1_033))):
        event = datetime(1930 + i, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC)
        yield {"aisle": aisle, "level": -i, "event_timestamp": event}
    for i, aisle in enumerate(edges):
        yield {"aisle": aisle, "level": i, "event_timestamp": INSTANTS[i % 3] - _HOUR}


VIEWS: Mapping[str, ViewRows] = {
    "activity": ViewRows(("customer_id",), tuple(_activity_rows()), ttl=_ACTIVITY_TTL),
    "demand": ViewRows(("product",), tuple(_demand_rows()), has_created=False),
    "pairs": ViewRows(("product", "customer_id"), tuple(_pair_rows()), ttl=_PAIRS_TTL),
    "transfers": ViewRows(("from_store", "to_store"), tuple(_transfer_rows()), has_created=False),
    "aisles": ViewRows(("aisle",), tuple(_aisle_rows()), has_created=False),
}
"""By the view's name."""
