"""Opens invoice lines for the labels: one definition of a sale and of a cancellation for all.

The definition itself is `product_lines.sql`; the queries of both models and of the golden rows read
the table it makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from evenstore.clock import Clock, format_us, us_to_datetime
from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import TransformError

__all__ = ["LineCounts", "ProductLines", "naive_utc", "open_product_lines", "refuse_future_end"]

_COUNTS_SQL = """
select
    count(*),
    count(*) - count(CustomerID),
    epoch_us(min(InvoiceDate)),
    epoch_us(max(InvoiceDate))
from shop_lines
where InvoiceDate <= $data_end
"""


@dataclass(frozen=True, slots=True)
class LineCounts:
    """All invoice lines up to the end of the data, duplicates and dirt included.

    Attributes:
        n_lines: Lines.
        n_without_customer: Lines that name no customer: nobody can be scored for them.
        first_us: Instant of the first line, microseconds UTC.
        last_us: Instant of the last line.
    """

    n_lines: int
    n_without_customer: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class ProductLines:
    """An open session whose table `product_lines` holds the sales and cancellations.

    Attributes:
        connection: The session; lives as long as the block of `open_product_lines`.
        counts: What the lines held before they were chosen from.
    """

    connection: duckdb.DuckDBPyConnection
    counts: LineCounts

    def run(self, name: str) -> None:
        """Run a statement of the SQL file `name` beside this module."""
        self.connection.execute(_read_sql(name))

    def fetch(self, name: str, params: dict[str, object] | None = None) -> pa.Table:
        """Return the result of the query in the SQL file `name` beside this module."""
        return self.connection.sql(_read_sql(name), params=params or {}).to_arrow_table()


@contextmanager
def open_product_lines(
    lines_path: Path, *, data_end_us: int | None = None, limits: SessionLimits | None = None
) -> Iterator[ProductLines]:
    """Open a session with the sales and cancellations of a file of invoice lines.

    Args:
        lines_path: Invoice lines, Parquet, in the columns of `SHOP_SCHEMA`.
        data_end_us: Instant up to which lines are looked at, inclusive; None for all of them.
        limits: Threads and memory of DuckDB.

    Raises:
        TransformError: The file is missing or has no line up to the end of the data.
        OfflineStoreError: DuckDB cannot read the lines.
    """
    if not lines_path.is_file():
        msg = f"no invoice lines at `{lines_path}`"
        raise TransformError(msg, hint="make the shop data first")
    data_end = "infinity" if data_end_us is None else naive_utc(data_end_us)
    with open_session(limits) as connection:
        connection.read_parquet(str(lines_path)).create_view("shop_lines")
        params = {"data_end": data_end}
        row = connection.execute(_COUNTS_SQL, params).fetchone()
        if row is None or not row[0]:
            until = "" if data_end_us is None else f" up to {format_us(data_end_us)}"
            msg = f"`{lines_path}` has no lines{until}"
            raise TransformError(msg, hint="give the lines' file, and the instant of the newest")
        connection.execute(_read_sql("product_lines.sql"), params)
        yield ProductLines(connection, LineCounts(*row))


def refuse_future_end(data_end_us: int, clock: Clock) -> None:
    """Refuse data that would end after now: a label cannot be known before its time.

    Raises:
        TransformError: The end of the data lies after the clock's now.
    """
    if data_end_us > clock.now_us():
        msg = f"the data would end at {format_us(data_end_us)}, which is still to come"
        raise TransformError(msg, hint="give the instant of the newest line")


def naive_utc(instant_us: int) -> str:
    """Render an instant as the lines hold it: UTC without saying so."""
    return us_to_datetime(instant_us).replace(tzinfo=None).isoformat()


def _read_sql(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
