"""The four feature tables in plain Python, written to be obviously right: no joins, no windows.

Each function says what the rows of one window end are, and reads all lines anew for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from struct import pack, unpack
from typing import Any

__all__ = ["ORACLES", "Trade", "read_trade"]

Line = Mapping[str, Any]
Row = dict[str, Any]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Trade:
    """Sales and returns of products; service codes, gifts and stock adjustments are neither."""

    sales: list[Line]
    returns: list[Line]

    def within(self, end: datetime, span: timedelta) -> Trade:
        """Return what happened in the span before `end`: its start is in, `end` is not."""
        return self._chosen(lambda line: end - span <= line["InvoiceDate"] < end)

    def before(self, end: datetime) -> Trade:
        """Return all that happened before `end`."""
        return self._chosen(lambda line: line["InvoiceDate"] < end)

    def of(self, **key: Any) -> Trade:
        """Return the lines with these values."""
        return self._chosen(lambda line: all(line[name] == value for name, value in key.items()))

    def _chosen(self, is_chosen: Callable[[Line], bool]) -> Trade:
        return Trade(list(filter(is_chosen, self.sales)), list(filter(is_chosen, self.returns)))


def read_trade(lines: Iterable[Line]) -> Trade:
    """Clean the raw lines: codes in capitals, exact duplicates once, money as decimals."""
    named = [
        {
            **line,
            "StockCode": line["StockCode"].strip().upper(),
            "UnitPrice": Decimal(str(line["UnitPrice"])),
        }
        for line in lines
    ]
    distinct = {tuple(line.items()): line for line in named}.values()
    products = [
        line
        for line in distinct
        if re.match("[0-9]{5}", line["StockCode"]) and line["UnitPrice"] > 0
    ]
    return Trade(
        sales=[line for line in products if not _is_cancelled(line) and line["Quantity"] > 0],
        returns=[line for line in products if _is_cancelled(line) and line["Quantity"] < 0],
    )


def customer_activity_rows(trade: Trade, end: datetime) -> dict[int, Row]:
    """Return a row for each customer who bought in the 90 days before a midnight."""
    rows = {}
    window = trade.within(end, 90 * DAY)
    for customer in _values(window.sales, "CustomerID"):
        mine = window.of(CustomerID=customer)
        week, month = mine.within(end, 7 * DAY).sales, mine.within(end, 30 * DAY).sales
        last_day = max(line["InvoiceDate"] for line in mine.sales).date()
        rows[customer] = {
            "orders_7d": _orders(week),
            "orders_30d": _orders(month),
            "orders_90d": _orders(mine.sales),
            "spend_7d": _money(week),
            "spend_30d": _money(month),
            "spend_90d": _money(mine.sales),
            "avg_basket_30d": _money(month) / _orders(month) if month else None,
            "avg_basket_90d": _money(mine.sales) / _orders(mine.sales),
            "return_rate_90d": _float32(_units(mine.returns) / _units(mine.sales)),
            "days_since_last_order": ((end - DAY).date() - last_day).days,
            "distinct_products_90d": len(_values(mine.sales, "StockCode")),
            "is_wholesale": _units(mine.sales) >= 20 * len(mine.sales),
        }
    return rows


def customer_profile_rows(trade: Trade, end: datetime) -> dict[int, Row]:
    """Return a row for each customer who came on the day before `end` and has ever bought."""
    rows = {}
    today, ever = trade.within(end, DAY), trade.before(end)
    for customer in _values(today.sales + today.returns, "CustomerID"):
        mine = ever.of(CustomerID=customer)
        if not mine.sales:
            continue
        last = max(mine.sales, key=_by_instant_and("Country"))
        rows[customer] = {
            "country": last["Country"],
            "first_order_at": _instant(min(line["InvoiceDate"] for line in mine.sales)),
            "last_order_at": _instant(last["InvoiceDate"]),
            "lifetime_orders": _orders(mine.sales),
            "lifetime_spend": _money(mine.sales),
            "has_returned": bool(mine.returns),
            "favourite_products": _favourites(mine.sales),
        }
    return rows


def product_demand_rows(trade: Trade, end: datetime) -> dict[str, Row]:
    """Return a row for each product traded in the hour before `end`, or sold in 30 days at 00:00.

    Only a product that was sold in 30 days has one.
    """
    rows = {}
    month = trade.within(end, 30 * DAY)
    hour = trade.within(end, HOUR)
    asked = month.sales if end.hour == 0 else hour.sales + hour.returns
    for code in _values(asked, "StockCode"):
        its = month.of(StockCode=code)
        if not its.sales:
            continue
        day, week = its.within(end, DAY).sales, its.within(end, 7 * DAY).sales
        units = _units(its.sales)
        rows[code] = {
            "units_24h": _units(day),
            "units_7d": _units(week),
            "units_30d": units,
            "orders_7d": _orders(week, part="%F %H"),
            "buyers_7d": len(_values(week, "CustomerID")),
            "revenue_30d": _money(its.sales),
            "avg_unit_price_30d": _money(its.sales) / units,
            "return_rate_30d": _float32(_units(its.returns) / units),
            "last_sold_at": _instant(max(line["InvoiceDate"] for line in its.sales)),
        }
    return rows


def customer_product_rows(trade: Trade, end: datetime) -> dict[tuple[int, str], Row]:
    """Return a row for each pair of the day before `end` whose customer ever bought the product."""
    rows = {}
    today, ever = trade.within(end, DAY), trade.before(end)
    lines = [line for line in today.sales + today.returns if line["CustomerID"] is not None]
    for customer, code in {(line["CustomerID"], line["StockCode"]) for line in lines}:
        its = ever.of(CustomerID=customer, StockCode=code)
        if not its.sales:
            continue
        last = max(its.sales, key=_by_instant_and("UnitPrice"))
        rows[customer, code] = {
            "times_bought": _orders(its.sales),
            "units_bought": _units(its.sales),
            "units_returned": _units(its.returns),
            "return_rate": _float32(_units(its.returns) / _units(its.sales)),
            "last_unit_price": float(last["UnitPrice"]),
            "last_bought_at": _instant(last["InvoiceDate"]),
            "was_returned": bool(its.returns),
        }
    return rows


ORACLES: Mapping[str, Callable[[Trade, datetime], Mapping[Any, Row]]] = {
    "customer_activity": customer_activity_rows,
    "customer_profile": customer_profile_rows,
    "product_demand": product_demand_rows,
    "customer_product": customer_product_rows,
}
"""By feature table: the rows of one window end (without zone, UTC) by entity key."""


def _is_cancelled(line: Line) -> bool:
    return str(line["InvoiceNo"]).startswith("C")


def _values(lines: list[Line], name: str) -> set[Any]:
    return {line[name] for line in lines} - {None}


def _orders(lines: list[Line], part: str = "%F") -> int:
    # An invoice with lines on two days (in two hours) counts on both.
    return len({(line["InvoiceNo"], line["InvoiceDate"].strftime(part)) for line in lines})


def _units(lines: list[Line]) -> int:
    return abs(sum(int(line["Quantity"]) for line in lines))


def _money(lines: list[Line]) -> float:
    return float(sum((line["UnitPrice"] * line["Quantity"] for line in lines), Decimal(0)))


def _favourites(sales: list[Line]) -> list[str]:
    orders = {(line["StockCode"], line["InvoiceNo"], line["InvoiceDate"].date()) for line in sales}
    counts = Counter(code for code, _, _ in orders)
    return sorted(counts, key=lambda code: (-counts[code], code))[:5]


def _by_instant_and(name: str) -> Callable[[Line], tuple[Any, ...]]:
    return lambda line: (line["InvoiceDate"], line["InvoiceNo"], line[name])


def _instant(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC)


def _float32(value: float) -> float:
    return float(unpack("<f", pack("<f", value))[0])
