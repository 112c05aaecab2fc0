"""Entity rows for training: every checkout of a known customer, and whether they bought again.

The label looks at what lies after the row, the features (joined later, by the offline store) at
what lies at or before it. A row whose 60 days are not over at the end of the data has no label yet:
it is left out and counted, never called "did not buy".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evenstore.clock import Clock, format_us, us_to_datetime
from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import TransformError
from evenstore.whole_file import whole_file

__all__ = ["CHECKOUT_SCHEMA", "LABEL_WINDOW_DAYS", "CheckoutReport", "build_checkouts"]

LABEL_WINDOW_DAYS = 60
"""How long after a checkout a purchase counts as "again"; the column is named after it."""

_INSTANT = pa.timestamp("us", tz="UTC")

CHECKOUT_SCHEMA = pa.schema(
    [
        pa.field("customer_id", pa.int64(), nullable=False),
        pa.field("stock_code", pa.string(), nullable=False),
        pa.field("event_timestamp", _INSTANT, nullable=False),
        pa.field("basket_value", pa.float64(), nullable=False),
        pa.field("buys_again_60d", pa.bool_(), nullable=False),
        pa.field("label_timestamp", _INSTANT, nullable=False),
    ]
)
"""`basket_value` is request data in pounds; `label_timestamp` is when the label became known."""


@dataclass(frozen=True, slots=True)
class CheckoutReport:
    """What was written.

    Attributes:
        n_rows: Labelled rows.
        n_censored: Checkouts left out, because their 60 days are not over.
        n_positive: Labelled rows whose customer bought again.
    """

    n_rows: int
    n_censored: int
    n_positive: int

    @property
    def positive_rate(self) -> float | None:
        """Share of labelled rows whose customer bought again; None without rows."""
        return self.n_positive / self.n_rows if self.n_rows else None


def build_checkouts(
    lines_path: Path,
    destination: Path,
    *,
    data_end_us: int,
    clock: Clock,
    limits: SessionLimits | None = None,
) -> CheckoutReport:
    """Write one labelled entity row for each sale invoice of a customer.

    Args:
        lines_path: Invoice lines, Parquet, in the columns of `SHOP_SCHEMA`.
        destination: The Parquet file to write, in the columns of `CHECKOUT_SCHEMA`, sorted by event
            timestamp.
        data_end_us: Instant up to which the lines are complete; later lines are not looked at.
        clock: What lies after its now cannot be known, so the data cannot end later.
        limits: Threads and memory of DuckDB.

    Guarantees:
        The file is whole or not there; the same lines give the same bytes.

    Raises:
        TransformError: The data would end after now, the file of lines is missing, or not one
            checkout has its 60 days over.
        ConfigurationError: The destination cannot be written.
        OfflineStoreError: DuckDB cannot read the lines.
    """
    if data_end_us > clock.now_us():
        msg = f"the data would end at {format_us(data_end_us)}, which is still to come"
        raise TransformError(msg, hint="give the instant of the newest line")
    if not lines_path.is_file():
        msg = f"no invoice lines at `{lines_path}`"
        raise TransformError(msg, hint="make the shop data first")
    checkouts = _query(lines_path, us_to_datetime(data_end_us), limits)
    is_known = pc.less_equal(checkouts["label_timestamp"], pa.scalar(data_end_us, _INSTANT))
    labelled = checkouts.filter(is_known)
    if labelled.num_rows == 0:
        msg = f"none of {checkouts.num_rows} checkouts has its {LABEL_WINDOW_DAYS} days over"
        raise TransformError(msg, hint="take data that covers a longer time")
    with whole_file(destination) as temporary:
        pq.write_table(labelled, temporary, compression="zstd")
    return CheckoutReport(
        n_rows=labelled.num_rows,
        n_censored=checkouts.num_rows - labelled.num_rows,
        n_positive=pc.sum(labelled["buys_again_60d"]).as_py(),
    )


def _query(lines_path: Path, data_end: datetime, limits: SessionLimits | None) -> pa.Table:
    sql = Path(__file__).with_name("checkouts.sql").read_text(encoding="utf-8")
    with open_session(limits) as connection:
        connection.read_parquet(str(lines_path)).create_view("shop_lines")
        result = connection.sql(
            sql, params={"data_end": data_end.replace(tzinfo=None), "label_days": LABEL_WINDOW_DAYS}
        )
        return result.to_arrow_table().cast(CHECKOUT_SCHEMA)
