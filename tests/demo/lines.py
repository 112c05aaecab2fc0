"""Invoice lines by hand: a few tuples to a Parquet file of the shop's schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from demo.shop.schema import SHOP_SCHEMA

__all__ = ["instant", "line", "write_lines"]


def line(
    invoice: str,
    when: str,
    *,
    customer: int | None = 1,
    code: str = "10001",
    quantity: int = 1,
    price: float = 2.5,
    country: str = "United Kingdom",
    description: str | None = "RED MUG",
) -> dict[str, Any]:
    """Make one line; `when` is ISO 8601 without zone."""
    return {
        "InvoiceNo": invoice,
        "StockCode": code,
        "Description": description,
        "Quantity": quantity,
        "InvoiceDate": datetime.fromisoformat(when),
        "UnitPrice": price,
        "CustomerID": customer,
        "Country": country,
    }


def instant(when: datetime) -> datetime:
    """Return the instant of a line: `InvoiceDate` has no zone and is UTC."""
    return when.replace(tzinfo=UTC)


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    """Write lines as Parquet and return the path."""
    pq.write_table(pa.Table.from_pylist([dict(row) for row in lines], schema=SHOP_SCHEMA), path)
    return path
