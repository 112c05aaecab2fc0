"""The two feature tables in plain Python, written to be obviously right: no joins, no windows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from struct import pack, unpack
from typing import Any

__all__ = ["customer_rows", "product_rows"]

Line = Mapping[str, Any]
Row = dict[str, Any]


def customer_rows(lines: Iterable[Line], day: date) -> dict[int, Row]:
    """Return the customer_activity rows of one day's window by customer."""
    sales, returns = _split(lines, day)
    rows = {}
    for customer in {line["CustomerID"] for line in sales} - {None}:
        bought = [line for line in sales if line["CustomerID"] == customer]
        back = [line for line in returns if line["CustomerID"] == customer]
        last = max(bought, key=lambda line: (line["InvoiceDate"], line["InvoiceNo"]))
        units = sum(line["Quantity"] for line in bought)
        rows[customer] = {
            "orders_7d": _orders(_last(bought, day, 7)),
            "orders_30d": _orders(_last(bought, day, 30)),
            "orders_90d": _orders(bought),
            "spend_7d": _money(_last(bought, day, 7)),
            "spend_30d": _money(_last(bought, day, 30)),
            "spend_90d": _money(bought),
            "avg_basket_30d": _divide(
                _money(_last(bought, day, 30)), _orders(_last(bought, day, 30))
            ),
            "avg_basket_90d": _money(bought) / _orders(bought),
            "return_rate_90d": _float32(-sum(line["Quantity"] for line in back) / units),
            "days_since_last_order": (day - last["InvoiceDate"].date()).days,
            "distinct_products_90d": len({line["StockCode"] for line in bought}),
            "last_country": last["Country"],
            "is_wholesale": units >= 20 * len(bought),
            "last_order_at": last["InvoiceDate"].replace(tzinfo=UTC),
        }
    return rows


def product_rows(lines: Iterable[Line], day: date) -> dict[str, Row]:
    """Return the product_demand rows of one day's window by stock code."""
    sales, returns = _split(lines, day)
    rows = {}
    for code in {line["StockCode"] for line in sales}:
        sold = [line for line in sales if line["StockCode"] == code]
        month = _last(sold, day, 30)
        back = [line for line in _last(returns, day, 30) if line["StockCode"] == code]
        units = sum(line["Quantity"] for line in month)
        rows[code] = {
            "units_1d": sum(line["Quantity"] for line in _last(sold, day, 1)),
            "units_7d": sum(line["Quantity"] for line in _last(sold, day, 7)),
            "units_30d": units,
            "orders_7d": _orders(_last(sold, day, 7)),
            "buyers_7d": len({line["CustomerID"] for line in _last(sold, day, 7)} - {None}),
            "revenue_30d": _money(month),
            "avg_unit_price_30d": _divide(_money(month), units),
            "return_rate_30d": _float32(
                _divide(float(-sum(line["Quantity"] for line in back)), units)
            ),
            "last_sold_at": max(line["InvoiceDate"] for line in sold).replace(tzinfo=UTC),
        }
    return rows


def _split(lines: Iterable[Line], day: date) -> tuple[list[Line], list[Line]]:
    """Return the sales and the returns of the 90 days that end with `day`."""
    end = datetime.combine(day, time()) + timedelta(days=1)
    distinct = {tuple(line.items()): line for line in lines}.values()
    products: list[Line] = [
        {**line, "StockCode": line["StockCode"].strip().upper()}
        for line in distinct
        if re.match(r"\s*[0-9]{5}", line["StockCode"])
        and line["UnitPrice"] > 0
        and end - timedelta(days=90) <= line["InvoiceDate"] < end
    ]
    is_return = [line["InvoiceNo"].startswith("C") for line in products]
    pairs = list(zip(products, is_return, strict=True))
    sales = [line for line, back in pairs if not back and line["Quantity"] > 0]
    return sales, [line for line, back in pairs if back and line["Quantity"] < 0]


def _last(lines: list[Line], day: date, n_days: int) -> list[Line]:
    return [line for line in lines if (day - line["InvoiceDate"].date()).days < n_days]


def _orders(lines: list[Line]) -> int:
    # An invoice with lines on two days counts on both.
    return len({(line["InvoiceNo"], line["InvoiceDate"].date()) for line in lines})


def _money(lines: list[Line]) -> float:
    return float(
        sum((Decimal(str(line["UnitPrice"])) * line["Quantity"] for line in lines), Decimal(0))
    )


def _divide(value: float, by: int) -> float | None:
    return value / by if by else None


def _float32(value: float | None) -> float | None:
    return None if value is None else float(unpack("<f", pack("<f", value))[0])
