"""Entity rows of the checkout: each product of each invoice, and whether it comes back in 60 days.

A cancellation does not name its sale; `matching.py` says which one it takes back. A row is
positive if a cancellation after its event timestamp, and at most 60 days after it, takes any of its
quantity. Cancellations of the very minute of the sale take quantity too, but are no return: a label
looks only after its event timestamp (the real set has 12, half of them an invoice written anew).
What comes back later than 60 days is negative and counted. A row whose 60 days are not over at the
end of the data is left out and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demo.labels.matching import match_cancellations
from demo.labels.product_lines import LineCounts, open_product_lines, refuse_future_end
from evenstore.clock import Clock
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import TransformError
from evenstore.whole_file import whole_file

__all__ = ["LABEL_WINDOW_DAYS", "RETURNS_SCHEMA", "ReturnsReport", "build_returns_rows"]

LABEL_WINDOW_DAYS = 60
"""How long after a checkout a cancellation counts; the label column is named after it."""

_LABEL_WINDOW_US = LABEL_WINDOW_DAYS * 86_400_000_000
_INSTANT = pa.timestamp("us", tz="UTC")

RETURNS_SCHEMA = pa.schema(
    [
        pa.field("customer_id", pa.int64(), nullable=False),
        pa.field("stock_code", pa.string(), nullable=False),
        pa.field("event_timestamp", _INSTANT, nullable=False),
        pa.field("quantity", pa.int64(), nullable=False),
        pa.field("unit_price", pa.float64(), nullable=False),
        pa.field("basket_value", pa.float64(), nullable=False),
        pa.field("returned_within_60d", pa.bool_(), nullable=False),
        pa.field("label_timestamp", _INSTANT, nullable=False),
    ]
)
"""Quantity, unit price and basket value (pounds) are request data: the till knows them."""

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class ReturnsReport:
    """What was written, and how sure its labels are.

    The cancellations are all those up to the end of the data, also of rows censored or not drawn;
    `n_matched + n_partly_unmatched + n_unmatched == n_cancellations`.

    Attributes:
        n_rows: Labelled rows.
        n_censored: Rows left out, because their 60 days are not over.
        n_positive: Labelled rows of which something came back in time.
        n_returned_late: Labelled negative rows of which something came back after the 60 days.
        n_cancellations: Cancellation lines of products, exact duplicates once.
        n_matched: Those whose whole quantity has earlier sales.
        n_partly_unmatched: Those of which only a part has.
        n_unmatched: Those without any earlier sale that had quantity left.
        n_ambiguous: Those for which more than one earlier sale had quantity left, so that the
            nearest was a choice.
        n_late: Those whose nearest sale lies more than 60 days before.
        n_same_minute: Those whose nearest sale is of the same minute.
        n_units_cancelled: Units of all cancellations.
        n_units_unmatched: Units that found no earlier sale.
        n_lines: Invoice lines up to the end of the data.
        n_lines_without_customer: Those that name no customer.
    """

    n_rows: int
    n_censored: int
    n_positive: int
    n_returned_late: int
    n_cancellations: int
    n_matched: int
    n_partly_unmatched: int
    n_unmatched: int
    n_ambiguous: int
    n_late: int
    n_same_minute: int
    n_units_cancelled: int
    n_units_unmatched: int
    n_lines: int
    n_lines_without_customer: int

    @property
    def positive_rate(self) -> float:
        """Share of labelled rows of which something came back in time."""
        return self.n_positive / self.n_rows

    @property
    def share_without_customer(self) -> float:
        """Share of invoice lines that name no customer."""
        return self.n_lines_without_customer / self.n_lines


def build_returns_rows(
    lines_path: Path,
    destination: Path,
    *,
    data_end_us: int,
    clock: Clock,
    one_invoice_in: int = 1,
    limits: SessionLimits | None = None,
) -> ReturnsReport:
    """Write one labelled entity row for each product on each sale invoice of a customer.

    Args:
        lines_path: Invoice lines, Parquet, in the columns of `SHOP_SCHEMA`.
        destination: The Parquet file to write, in the columns of `RETURNS_SCHEMA`, sorted by event
            timestamp, customer and product.
        data_end_us: Instant up to which the lines are complete; later lines are not looked at.
        clock: What lies after its now cannot be known, so the data cannot end later.
        one_invoice_in: Take only the rows of one invoice in so many; every line still takes part in
            the matching.
        limits: Threads and memory of DuckDB.

    Guarantees:
        The file is whole or not there; the same lines give the same bytes. A label depends only on
        sales and cancellations of its customer and product from its event timestamp up to its label
        timestamp; at the event timestamp itself only on what else the pair did in that minute.

    Raises:
        TransformError: The data would end after now, the file of lines is missing or empty, or not
            one row has its 60 days over.
        ConfigurationError: The destination cannot be written.
        OfflineStoreError: DuckDB cannot read the lines.
    """
    refuse_future_end(data_end_us, clock)
    with open_product_lines(lines_path, data_end_us=data_end_us, limits=limits) as lines:
        counts = lines.counts
        lines.run("checkout_lines.sql")
        params: dict[str, object] = {
            "label_days": LABEL_WINDOW_DAYS,
            "one_invoice_in": one_invoice_in,
        }
        rows = lines.fetch("returns.sql", params)
        events = lines.fetch("pair_events.sql")
    outcome = _match(events, rows.num_rows)
    is_drawn: Bools = rows["is_drawn"].to_numpy()
    rows = rows.drop_columns(["is_drawn"])
    column = RETURNS_SCHEMA.get_field_index("returned_within_60d")
    rows = rows.add_column(column, "returned_within_60d", pa.array(outcome.is_returned))
    rows = rows.cast(RETURNS_SCHEMA)
    known = pc.less_equal(rows["label_timestamp"], pa.scalar(data_end_us, _INSTANT))
    is_known: Bools = known.to_numpy()
    labelled = rows.filter(pa.array(is_known & is_drawn))
    if labelled.num_rows == 0:
        msg = f"none of {rows.num_rows} checkout lines has its {LABEL_WINDOW_DAYS} days over"
        raise TransformError(msg, hint="take data that covers a longer time")
    with whole_file(destination) as temporary:
        pq.write_table(labelled, temporary, compression="zstd")
    return _report(outcome, is_known, is_drawn, counts)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the matching says, by row and by cancellation.

    Attributes:
        is_returned: By row, whether something came back in time.
        is_late: By row, whether something came back, but nothing in time.
        n_units: By cancellation, units taken back.
        n_matched: By cancellation, units that found a sale.
        n_open_sales: By cancellation, sales it could have taken from.
        age_us: By cancellation, time since its nearest sale; -1 without one.
    """

    is_returned: Bools
    is_late: Bools
    n_units: Integers
    n_matched: Integers
    n_open_sales: Integers
    age_us: Integers


def _match(events: pa.Table, n_rows: int) -> _Outcome:
    quantities: Integers = events["quantity"].to_numpy()
    happened_us: Integers = events["happened_us"].to_numpy()
    row_idx: Integers = events["row_idx"].to_numpy()
    matching = match_cancellations(events["pair"].to_pylist(), quantities.tolist())
    cancellation_idx = np.array(matching.cancellation_idx, dtype=np.int64)
    sale_idx = np.array(matching.sale_idx, dtype=np.int64)
    age_us = happened_us[cancellation_idx] - happened_us[sale_idx]
    is_returned, is_late = np.zeros(n_rows, dtype=np.bool_), np.zeros(n_rows, dtype=np.bool_)
    is_in_time = (age_us > 0) & (age_us <= _LABEL_WINDOW_US)
    is_returned[row_idx[sale_idx[is_in_time]]] = True
    is_late[row_idx[sale_idx[age_us > _LABEL_WINDOW_US]]] = True
    n_matched = np.zeros(len(events), dtype=np.int64)
    np.add.at(n_matched, cancellation_idx, np.array(matching.quantity, dtype=np.int64))
    nearest_age_us = np.full(len(events), -1, dtype=np.int64)
    cancellations, first_match = np.unique(cancellation_idx, return_index=True)
    nearest_age_us[cancellations] = age_us[first_match]
    is_cancellation = quantities < 0
    return _Outcome(
        is_returned=is_returned,
        is_late=is_late & ~is_returned,
        n_units=-quantities[is_cancellation],
        n_matched=n_matched[is_cancellation],
        n_open_sales=np.array(matching.n_open_sales, dtype=np.int64)[is_cancellation],
        age_us=nearest_age_us[is_cancellation],
    )


def _report(
    outcome: _Outcome, is_known: Bools, is_drawn: Bools, counts: LineCounts
) -> ReturnsReport:
    is_labelled = is_known & is_drawn
    is_whole = outcome.n_matched == outcome.n_units
    n_unmatched = int((outcome.n_matched == 0).sum())
    n_cancellations = len(outcome.n_units)
    return ReturnsReport(
        n_rows=int(is_labelled.sum()),
        n_censored=int((is_drawn & ~is_known).sum()),
        n_positive=int((outcome.is_returned & is_labelled).sum()),
        n_returned_late=int((outcome.is_late & is_labelled).sum()),
        n_cancellations=n_cancellations,
        n_matched=int(is_whole.sum()),
        n_partly_unmatched=n_cancellations - int(is_whole.sum()) - n_unmatched,
        n_unmatched=n_unmatched,
        n_ambiguous=int((outcome.n_open_sales > 1).sum()),
        n_late=int((outcome.age_us > _LABEL_WINDOW_US).sum()),
        n_same_minute=int((outcome.age_us == 0).sum()),
        n_units_cancelled=int(outcome.n_units.sum()),
        n_units_unmatched=int((outcome.n_units - outcome.n_matched).sum()),
        n_lines=counts.n_lines,
        n_lines_without_customer=counts.n_without_customer,
    )
