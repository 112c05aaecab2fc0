"""The plan of all documents: sale invoices, cancellations, adjustments, fees; without their lines.

Small enough to hold in memory at any size of data (a document has about twenty lines), so that
lines can be made a piece at a time and still refer back to earlier ones.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np

from demo.shop.calendar import ShopCalendar
from demo.shop.customers import HOME, Customers, OrderPlan, plan_orders

__all__ = ["Documents", "Kind", "plan_documents"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

# Shares of lines and habits of the real set. Of its duplicates (1 %) most arise here by chance too:
# the same product twice in a basket; the rest is added.
_SALE_LINES = 0.7245
_LINES_PER_ORDER = 21.5
_ANONYMOUS_LINES_PER_ORDER = 80.0
_ADJUSTMENT_LINES = 0.0045
_FEE_LINES = 0.0012
_DUPLICATE_LINES = 0.003
_RETURN_OF_ORDER = 0.19
_UNMATCHED_RETURNS = 0.13
_RETURN_DELAY_DAYS = 11.0
_RETURN_DELAY_SPREAD = 1.4
_N_DEBT_LINES = 3


class Kind(enum.IntEnum):
    """What a document is."""

    SALE = 0
    ANONYMOUS = 1
    RETURN = 2
    ADJUSTMENT = 3
    FEE = 4
    DEBT = 5


@dataclass(frozen=True, slots=True)
class Documents:
    """One document an entry, in the order of time.

    Attributes:
        kind: A `Kind`.
        minute: Minutes since the epoch.
        customer: Index, or -1 for none.
        country: Index into COUNTRIES.
        n_lines: Lines, duplicates not counted.
        sale: For a cancellation the index of the sale it returns lines of; else -1.
        n_duplicates: Exact duplicates to strew over the lines of sales, in all.
    """

    kind: Integers
    minute: Integers
    customer: Integers
    country: Integers
    n_lines: Integers
    sale: Integers
    n_duplicates: int

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Documents of one kind before they are sorted; `sale` indexes the batch of sales."""

    kind: Kind
    minute: Integers
    customer: Integers
    country: Integers
    n_lines: Integers
    sale: Integers


def plan_documents(
    rng: np.random.Generator, customers: Customers, shop_calendar: ShopCalendar, *, n_lines: int
) -> Documents:
    """Plan documents whose lines and duplicates add up to exactly `n_lines`."""
    n_sale_lines = round(_SALE_LINES * n_lines)
    n_orders = max(len(customers), round(n_sale_lines / _LINES_PER_ORDER))
    orders = plan_orders(rng, customers, n_orders=n_orders, n_days=shop_calendar.n_days)
    sales = _Batch(
        Kind.SALE,
        shop_calendar.minutes_at(orders.position),
        orders.customer,
        orders.country,
        _fit(rng, rng.lognormal(2.6, 0.95, n_orders), n_sale_lines),
        np.full(n_orders, -1),
    )
    n_duplicates = round(_DUPLICATE_LINES * n_lines)
    batches = [
        sales,
        _returns(rng, sales, orders, shop_calendar),
        _without_customer(rng, Kind.ADJUSTMENT, round(_ADJUSTMENT_LINES * n_lines), shop_calendar),
        _without_customer(rng, Kind.FEE, round(_FEE_LINES * n_lines), shop_calendar),
        _without_customer(rng, Kind.DEBT, _N_DEBT_LINES, shop_calendar),
    ]
    n_left = n_lines - n_duplicates - sum(int(batch.n_lines.sum()) for batch in batches)
    batches.append(_anonymous_sales(rng, n_left, shop_calendar))
    return _sort(batches, n_duplicates)


def _returns(
    rng: np.random.Generator, sales: _Batch, orders: OrderPlan, shop_calendar: ShopCalendar
) -> _Batch:
    n_sales = len(sales.minute)
    sale = np.flatnonzero(rng.random(n_sales) < _RETURN_OF_ORDER)
    delays = rng.lognormal(np.log(_RETURN_DELAY_DAYS), _RETURN_DELAY_SPREAD, len(sale))
    position = orders.position[sale] + delays
    is_in_time = position < shop_calendar.n_days
    sale, position = sale[is_in_time], position[is_in_time]
    # What was bought before the data begin comes back too, with no sale to match it.
    n_unmatched = round(_UNMATCHED_RETURNS * len(sale))
    buyer = np.concatenate((sale, rng.integers(0, n_sales, n_unmatched)))
    position = np.concatenate((position, rng.uniform(0.0, shop_calendar.n_days, n_unmatched)))
    n_returned = rng.geometric(0.42, len(buyer))
    return _Batch(
        Kind.RETURN,
        shop_calendar.minutes_at(position),
        sales.customer[buyer],
        sales.country[buyer],
        np.minimum(n_returned, sales.n_lines[buyer]),
        np.concatenate((sale, np.full(n_unmatched, -1))),
    )


def _anonymous_sales(rng: np.random.Generator, n_lines: int, shop_calendar: ShopCalendar) -> _Batch:
    n_documents = max(1, round(n_lines / _ANONYMOUS_LINES_PER_ORDER))
    raw = np.minimum(rng.lognormal(3.2, 1.5, n_documents), 600.0)
    batch = _without_customer(rng, Kind.ANONYMOUS, n_documents, shop_calendar)
    return _Batch(
        batch.kind,
        batch.minute,
        batch.customer,
        batch.country,
        _fit(rng, raw, n_lines),
        batch.sale,
    )


def _without_customer(
    rng: np.random.Generator, kind: Kind, n_documents: int, shop_calendar: ShopCalendar
) -> _Batch:
    positions = rng.uniform(0.0, shop_calendar.n_days, n_documents)
    nobody = np.full(n_documents, -1)
    ones = np.ones(n_documents, dtype=np.int64)
    home = np.full(n_documents, HOME)
    return _Batch(kind, shop_calendar.minutes_at(positions), nobody, home, ones, nobody)


def _fit(rng: np.random.Generator, raw: Floats, total: int) -> Integers:
    """Round line counts so that each is at least 1 and they add up to `total`."""
    counts: Integers = np.maximum(raw * (total / raw.sum()), 1).astype(np.int64)
    while (difference := total - int(counts.sum())) != 0:
        candidates = np.flatnonzero(counts > 1) if difference < 0 else np.arange(len(counts))
        n_changed = min(abs(difference), len(candidates))
        changed = rng.choice(candidates, size=n_changed, replace=False)
        counts[changed] += 1 if difference > 0 else -1
    return counts


def _sort(batches: list[_Batch], n_duplicates: int) -> Documents:
    kind = np.concatenate([np.full(len(batch.minute), batch.kind) for batch in batches])
    minute = np.concatenate([batch.minute for batch in batches])
    order = np.argsort(minute, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    # Sales come first among the batches, so their index there is their index before sorting. In the
    # same minute a sale therefore stays before its return.
    sale = np.concatenate([batch.sale for batch in batches])
    sale = np.where(sale >= 0, place[sale], -1)
    return Documents(
        kind=kind[order].astype(np.int64),
        minute=minute[order],
        customer=np.concatenate([batch.customer for batch in batches])[order],
        country=np.concatenate([batch.country for batch in batches])[order],
        n_lines=np.concatenate([batch.n_lines for batch in batches])[order],
        sale=sale[order],
        n_duplicates=n_duplicates,
    )
