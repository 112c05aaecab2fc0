"""Entity rows of the nightly batch: each customer, one night a week, and whether they buy again.

A production batch scores every night; training takes the Mondays, because neighbouring nights are
almost the same row. Features are published by 02:00 and the batch runs at 04:00. The first night is
the first Monday whose midnight lies at least 90 days after the first line: before it the 90-day
windows are cut by the start of the data, so those nights are not made and not counted.
A row whose 60 days are not over at the end of the data has no label yet: it is left out and
counted, never called "does not buy".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demo.labels.product_lines import (
    LineCounts,
    naive_utc,
    open_product_lines,
    refuse_future_end,
)
from evenstore.clock import Clock, datetime_to_us, format_us, us_to_datetime
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import TransformError
from evenstore.whole_file import whole_file

__all__ = [
    "CHURN_SCHEMA",
    "LABEL_WINDOW_DAYS",
    "ChurnReport",
    "PeriodCount",
    "build_churn_rows",
    "first_night_us",
]

LABEL_WINDOW_DAYS = 60
"""How long after the night a sale counts; the label column is named after it."""

_FEATURE_WINDOW = timedelta(days=90)
_RUN_TIME = timedelta(hours=4)
_INSTANT = pa.timestamp("us", tz="UTC")

CHURN_SCHEMA = pa.schema(
    [
        pa.field("customer_id", pa.int64(), nullable=False),
        pa.field("event_timestamp", _INSTANT, nullable=False),
        pa.field("buys_within_60d", pa.bool_(), nullable=False),
        pa.field("label_timestamp", _INSTANT, nullable=False),
    ]
)
"""`label_timestamp` is when the label became known: 60 days after the event timestamp."""


@dataclass(frozen=True, slots=True)
class PeriodCount:
    """Labelled rows of one night or month.

    Attributes:
        period: The night as RFC 3339, or the month as `2011-03`.
        n_rows: Labelled rows, at least one.
        n_positive: Rows whose customer bought within the label window.
    """

    period: str
    n_rows: int
    n_positive: int

    @property
    def positive_rate(self) -> float:
        """Share of rows whose customer bought."""
        return self.n_positive / self.n_rows


@dataclass(frozen=True, slots=True)
class ChurnReport:
    """What was written.

    Attributes:
        nights: Labelled rows of each night, oldest first: how the base rate drifts.
        n_censored: Rows left out, because their 60 days are not over.
        n_lines: Invoice lines up to the end of the data.
        n_lines_without_customer: Those that name no customer.
    """

    nights: tuple[PeriodCount, ...]
    n_censored: int
    n_lines: int
    n_lines_without_customer: int

    @property
    def n_rows(self) -> int:
        """Labelled rows."""
        return sum(night.n_rows for night in self.nights)

    @property
    def n_positive(self) -> int:
        """Labelled rows whose customer bought."""
        return sum(night.n_positive for night in self.nights)

    @property
    def n_nights(self) -> int:
        """Nights with labelled rows."""
        return len(self.nights)

    @property
    def positive_rate(self) -> float:
        """Share of labelled rows whose customer bought."""
        return self.n_positive / self.n_rows

    @property
    def share_without_customer(self) -> float:
        """Share of invoice lines that name no customer."""
        return self.n_lines_without_customer / self.n_lines

    @property
    def months(self) -> tuple[PeriodCount, ...]:
        """Labelled rows of each month, oldest first."""
        months = sorted({night.period[:7] for night in self.nights})
        return tuple(_sum(month, self.nights) for month in months)


def build_churn_rows(
    lines_path: Path,
    destination: Path,
    *,
    data_end_us: int,
    clock: Clock,
    limits: SessionLimits | None = None,
) -> ChurnReport:
    """Write one labelled entity row for each Monday night and customer known by then.

    Args:
        lines_path: Invoice lines, Parquet, in the columns of `SHOP_SCHEMA`.
        destination: The Parquet file to write, in the columns of `CHURN_SCHEMA`, sorted by event
            timestamp and customer.
        data_end_us: Instant up to which the lines are complete; later lines are not looked at.
        clock: What lies after its now cannot be known, so the data cannot end later.
        limits: Threads and memory of DuckDB.

    Guarantees:
        The file is whole or not there; the same lines give the same bytes. A label depends only on
        the customer's sales after its event timestamp and up to its label timestamp.

    Raises:
        TransformError: The data would end after now, the file of lines is missing or empty, or not
            one row has its 60 days over.
        ConfigurationError: The destination cannot be written.
        OfflineStoreError: DuckDB cannot read the lines.
    """
    refuse_future_end(data_end_us, clock)
    with open_product_lines(lines_path, data_end_us=data_end_us, limits=limits) as lines:
        counts = lines.counts
        first_us = first_night_us(counts.first_us)
        params = {
            "first_night": naive_utc(first_us),
            "data_end": naive_utc(data_end_us),
            "label_days": LABEL_WINDOW_DAYS,
        }
        rows = lines.fetch("churn.sql", params).cast(CHURN_SCHEMA)
    is_known = pc.less_equal(rows["label_timestamp"], pa.scalar(data_end_us, _INSTANT))
    labelled = rows.filter(is_known)
    if labelled.num_rows == 0:
        msg = (
            f"none of {rows.num_rows} rows from {format_us(first_us)} on has its "
            f"{LABEL_WINDOW_DAYS} days over at {format_us(data_end_us)}"
        )
        raise TransformError(msg, hint="take data that covers a longer time, half a year at least")
    with whole_file(destination) as temporary:
        pq.write_table(labelled, temporary, compression="zstd")
    return _report(labelled, rows.num_rows - labelled.num_rows, counts)


def first_night_us(first_line_us: int) -> int:
    """Return 04:00 UTC of the first Monday whose 90-day feature windows are whole.

    The windows of that night end at its midnight, so it is the midnight that must lie at least 90
    days after the first line.

    Args:
        first_line_us: Instant of the first invoice line, microseconds UTC.
    """
    earliest = us_to_datetime(first_line_us) + _FEATURE_WINDOW
    midnight = earliest.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight + timedelta(days=-midnight.weekday() % 7)
    if monday < earliest:
        monday += timedelta(days=7)
    return datetime_to_us(monday + _RUN_TIME)


def _report(labelled: pa.Table, n_censored: int, counts: LineCounts) -> ChurnReport:
    # One thread keeps the groups in the order of the rows, which is the order of nights.
    groups = labelled.group_by("event_timestamp", use_threads=False)
    nights = groups.aggregate([("buys_within_60d", "count"), ("buys_within_60d", "sum")])
    return ChurnReport(
        nights=tuple(
            PeriodCount(
                period=format_us(datetime_to_us(row["event_timestamp"])),
                n_rows=row["buys_within_60d_count"],
                n_positive=row["buys_within_60d_sum"],
            )
            for row in nights.to_pylist()
        ),
        n_censored=n_censored,
        n_lines=counts.n_lines,
        n_lines_without_customer=counts.n_without_customer,
    )


def _sum(month: str, nights: tuple[PeriodCount, ...]) -> PeriodCount:
    chosen = [night for night in nights if night.period.startswith(month)]
    return PeriodCount(
        period=month,
        n_rows=sum(night.n_rows for night in chosen),
        n_positive=sum(night.n_positive for night in chosen),
    )
