"""The columns of the Online Retail data set, as both the reader and the generator keep them.

Source: Chen, D. (2015), Online Retail, UCI Machine Learning Repository, CC BY 4.0.
"""

from __future__ import annotations

import pyarrow as pa

__all__ = ["SHOP_SCHEMA"]

SHOP_SCHEMA = pa.schema(
    [
        pa.field("InvoiceNo", pa.string(), nullable=False),
        pa.field("StockCode", pa.string(), nullable=False),
        pa.field("Description", pa.string()),
        pa.field("Quantity", pa.int32(), nullable=False),
        pa.field("InvoiceDate", pa.timestamp("us"), nullable=False),
        pa.field("UnitPrice", pa.float64(), nullable=False),
        pa.field("CustomerID", pa.int64()),
        pa.field("Country", pa.string(), nullable=False),
    ]
)
"""One invoice line a row; `InvoiceDate` has no zone and is read as UTC."""
