"""The entity rows that both sides are asked for: every customer with what they bought last."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["write_entity_rows"]


def write_entity_rows(lines: Path, destination: Path, *, before: datetime) -> int:
    """Write one row per customer: the request of their newest sale, as the till knew it.

    Args:
        lines: Invoice lines, Parquet.
        destination: The Parquet file to write.
        before: Sales from this instant on are not known yet.

    Returns:
        How many rows.
    """
    table = pq.read_table(lines)
    is_sale = pc.and_(pc.greater(table["Quantity"], 0), pc.greater(table["UnitPrice"], 0))
    is_known = pc.and_(pc.is_valid(table["CustomerID"]), pc.invert(_is_cancelled(table)))
    is_past = pc.less(table["InvoiceDate"], pa.scalar(before.replace(tzinfo=None)))
    sales = table.filter(pc.and_(is_past, pc.and_(is_sale, is_known)))
    baskets = (
        sales.append_column("value", pc.multiply(sales["Quantity"], sales["UnitPrice"]))
        .group_by("InvoiceNo")
        .aggregate([("value", "sum")])
    )
    newest: dict[int, dict[str, object]] = {}
    values = dict(
        zip(baskets["InvoiceNo"].to_pylist(), baskets["value_sum"].to_pylist(), strict=True)
    )
    # The file is in the order of time, so the last line of a customer stays.
    for line in sales.to_pylist():
        newest[line["CustomerID"]] = {
            "customer_id": line["CustomerID"],
            "stock_code": line["StockCode"].upper(),
            "quantity": line["Quantity"],
            "unit_price": line["UnitPrice"],
            "basket_value": round(values[line["InvoiceNo"]], 2),
        }
    rows = pa.Table.from_pylist(
        [newest[customer] for customer in sorted(newest)],
        schema=pa.schema(
            {
                "customer_id": pa.int64(),
                "stock_code": pa.string(),
                "quantity": pa.int64(),
                "unit_price": pa.float64(),
                "basket_value": pa.float64(),
            }
        ),
    )
    pq.write_table(rows, destination)
    return len(newest)


def _is_cancelled(table: pa.Table) -> pa.Array:
    return pc.starts_with(table["InvoiceNo"], "C")
