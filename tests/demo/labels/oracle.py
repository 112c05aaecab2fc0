"""The labels in plain Python, written to be obviously right: every line looked at, unit by unit."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

__all__ = ["churn_rows", "match_units", "product_lines", "returns_rows"]

Line = Mapping[str, Any]
Row = dict[str, Any]

WINDOW = timedelta(days=60)


def product_lines(lines: Iterable[Line], data_end: datetime) -> tuple[list[Row], list[Row]]:
    """Return sales and cancellations, each line once."""
    seen: dict[tuple[Any, ...], Row] = {}
    for line in lines:
        if line["CustomerID"] is None or line["UnitPrice"] <= 0 or line["InvoiceDate"] > data_end:
            continue
        if re.match(r"\s*[0-9]{5}", line["StockCode"]):
            row = {**line, "StockCode": line["StockCode"].strip().upper()}
            seen[tuple(row.values())] = row
    is_c = [(row, row["InvoiceNo"].startswith("C")) for row in seen.values()]
    sales = [row for row, cancels in is_c if not cancels and row["Quantity"] > 0]
    return sales, [row for row, cancels in is_c if cancels and row["Quantity"] < 0]


def churn_rows(lines: Iterable[Line], nights: Iterable[datetime], data_end: datetime) -> list[Row]:
    """Return the labelled rows of the nights whose 60 days are over."""
    sales, _ = product_lines(lines, data_end)
    rows = []
    for night in nights:
        if night + WINDOW > data_end:
            continue
        known = {sale["CustomerID"] for sale in sales if sale["InvoiceDate"] < night}
        for customer in sorted(known):
            instants = [sale["InvoiceDate"] for sale in sales if sale["CustomerID"] == customer]
            rows.append(
                {
                    "customer_id": customer,
                    "event_timestamp": night.replace(tzinfo=UTC),
                    "buys_within_60d": any(night < at <= night + WINDOW for at in instants),
                    "label_timestamp": (night + WINDOW).replace(tzinfo=UTC),
                }
            )
    return rows


def match_units(
    pairs: Sequence[int], quantities: Sequence[int]
) -> tuple[dict[tuple[int, int], int], list[int]]:
    """Match one unit at a time, looking through everything earlier for the nearest sale.

    Returns:
        Units by (cancellation, sale), and for each event how many sales a cancellation could take
        from when its turn came.
    """
    left = [max(quantity, 0) for quantity in quantities]
    units: dict[tuple[int, int], int] = defaultdict(int)
    n_open = [0] * len(pairs)
    for at, quantity in enumerate(quantities):
        if quantity < 0:
            n_open[at] = sum(pairs[i] == pairs[at] and left[i] > 0 for i in range(at))
        for _ in range(-quantity):
            earlier = [i for i in range(at) if pairs[i] == pairs[at] and left[i] > 0]
            if earlier:
                left[max(earlier)] -= 1
                units[at, max(earlier)] += 1
    return dict(units), n_open


def returns_rows(lines: Iterable[Line], data_end: datetime) -> list[Row]:
    """Return every checkout row with its label, censored ones as well, in no order."""
    sales, cancellations = product_lines(lines, data_end)
    rows = list(_checkout_rows(sales))
    sold, back = defaultdict(list), defaultdict(list)
    for row in rows:
        sold[row["customer_id"], row["stock_code"]].append(row)
    for line in cancellations:
        back[line["CustomerID"], line["StockCode"]].append(line)
    for pair, own in sold.items():
        _label(own, back[pair])
    return rows


def _checkout_rows(sales: list[Row]) -> Iterable[Row]:
    invoices: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for sale in sales:
        invoices[sale["CustomerID"], sale["InvoiceNo"]].append(sale)
    for (customer, number), lines in invoices.items():
        at = min(line["InvoiceDate"] for line in lines)
        for code in {line["StockCode"] for line in lines}:
            own = [line for line in lines if line["StockCode"] == code]
            n_units = sum(line["Quantity"] for line in own)
            price = (_value(own) / n_units).quantize(Decimal("0.0001"), ROUND_HALF_UP)
            yield {
                "customer_id": customer,
                "stock_code": code,
                "event_timestamp": at.replace(tzinfo=UTC),
                "quantity": n_units,
                "unit_price": float(price),
                "basket_value": float(_value(lines)),
                "returned_within_60d": False,
                "label_timestamp": (at + WINDOW).replace(tzinfo=UTC),
                "_invoice": number,
            }


def _value(lines: list[Row]) -> Decimal:
    return sum(
        (Decimal(str(line["UnitPrice"])) * line["Quantity"] for line in lines), start=Decimal(0)
    )


def _label(sold: list[Row], back: list[Row]) -> None:
    events: list[tuple[Any, ...]] = [
        (row["event_timestamp"], 0, len(row["_invoice"]), row["_invoice"], row["quantity"], row)
        for row in sold
    ]
    events += [
        (
            line["InvoiceDate"].replace(tzinfo=UTC),
            1,
            len(line["InvoiceNo"]),
            line["InvoiceNo"],
            line["Quantity"],
            None,
        )
        for line in back
    ]
    events.sort(key=lambda event: event[:5])
    units, _ = match_units([0] * len(events), [event[4] for event in events])
    for cancellation, sale in units:
        age = events[cancellation][0] - events[sale][0]
        if timedelta(0) < age <= WINDOW:
            events[sale][5]["returned_within_60d"] = True
