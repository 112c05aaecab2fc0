"""Makes shop data of the Online Retail schema at any size: similar in shape and in dirt.

Seeded and vectorised; the same arguments give the same bytes for one version of numpy and pyarrow.
Nothing in it is a real customer, product or price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demo.shop.calendar import ShopCalendar, months_before
from demo.shop.catalogue import Catalogue, make_catalogue
from demo.shop.customers import COUNTRIES, draw_customers
from demo.shop.documents import Documents, Kind, plan_documents
from demo.shop.lines import NO_DESCRIPTION, REMARKS, LineFiller, Lines
from demo.shop.schema import SHOP_SCHEMA
from evenstore.clock import us_to_datetime
from evenstore.errors import ConfigurationError
from evenstore.progress import NullProgress, Progress
from evenstore.whole_file import whole_file

__all__ = ["ShopReport", "generate_shop"]

Integers = np.ndarray[Any, np.dtype[np.int64]]

_N_MONTHS = 13
_US_PER_MINUTE = 60_000_000
_MIN_CUSTOMERS = 20
_MIN_LINES_PER_CUSTOMER = 40
_MAX_PRODUCTS = 4000
_LINES_PER_ROW_GROUP = 131_072
_FIRST_CUSTOMER_ID = 12_346
_FIRST_INVOICE_NUMBER = 536_365
_PREFIXES = {Kind.RETURN: "C", Kind.FEE: "C", Kind.DEBT: "A"}


@dataclass(frozen=True, slots=True)
class ShopReport:
    """What was made.

    Attributes:
        n_lines: Invoice lines, exactly as asked for.
        n_invoices: Documents of every kind.
        n_customers: Customers, each with at least one sale.
        first_us: Instant of the first line, microseconds UTC.
        last_us: Instant of the last line.
    """

    n_lines: int
    n_invoices: int
    n_customers: int
    first_us: int
    last_us: int


def generate_shop(
    path: Path,
    *,
    end_us: int,
    n_customers: int = 2_000,
    n_lines: int = 200_000,
    seed: int = 20_111_209,
    progress: Progress | None = None,
) -> ShopReport:
    """Write 13 months of invoice lines as one Parquet file, sorted by time and invoice.

    Args:
        path: The file to write; replaced when it is there.
        end_us: No line is at or after this instant.
        n_customers: At least 20.
        n_lines: At least 40 for each customer; the real set has 124.
        seed: Any integer from 0.
        progress: Is told of lines written.

    Guarantees:
        Same arguments, same bytes. The file is whole or not there. Memory is bounded by the number
        of invoices (about a twentieth of lines), not of lines.

    Raises:
        ConfigurationError: A count is too small, the seed is negative, or the path cannot be
            written.
    """
    _check_sizes(n_customers, n_lines, seed)
    shop_calendar = ShopCalendar(
        months_before(us_to_datetime(end_us).date(), _N_MONTHS), end_minute=end_us // _US_PER_MINUTE
    )
    # One stream each, so that a change in one part does not reshuffle the others.
    streams = [np.random.default_rng([seed, part]) for part in range(4)]
    catalogue = make_catalogue(streams[0], min(_MAX_PRODUCTS, max(200, n_lines // 60)))
    customers = draw_customers(streams[1], n_customers, catalogue.draw)
    documents = plan_documents(streams[2], customers, shop_calendar, n_lines=n_lines)
    filler = LineFiller(streams[3], catalogue, customers, documents)
    tables = _tables(filler, _Columns(catalogue, documents), documents)
    _write(path, tables, progress or NullProgress())
    minutes = documents.minute
    return ShopReport(
        n_lines=n_lines,
        n_invoices=len(documents),
        n_customers=n_customers,
        first_us=int(minutes[0]) * _US_PER_MINUTE,
        last_us=int(minutes[-1]) * _US_PER_MINUTE,
    )


def _check_sizes(n_customers: int, n_lines: int, seed: int) -> None:
    if n_customers < _MIN_CUSTOMERS:
        msg = f"{n_customers} customers are too few for a shop"
        raise ConfigurationError(msg, hint=f"ask for at least {_MIN_CUSTOMERS}")
    if n_lines < _MIN_LINES_PER_CUSTOMER * n_customers:
        msg = f"{n_lines:,} lines are too few for {n_customers:,} customers"
        least = _MIN_LINES_PER_CUSTOMER * n_customers
        raise ConfigurationError(msg, hint=f"ask for at least {least:,} lines")
    if seed < 0:
        msg = f"the seed is negative: {seed}"
        raise ConfigurationError(msg, hint="use 0 or more")


class _Columns:
    """Turns lines into a table of the shop's schema; holds the strings they point at."""

    def __init__(self, catalogue: Catalogue, documents: Documents) -> None:
        codes = [*catalogue.codes, *(code.lower() for code in catalogue.codes)]
        self._n_items = len(catalogue.codes)
        self._codes = pa.array(codes)
        self._code_rank = np.argsort(np.argsort(np.array(codes), kind="stable"))
        self._descriptions = pa.array([*REMARKS, *catalogue.descriptions])
        self._countries = pa.array(COUNTRIES)
        self._documents = documents
        self._invoices = pa.array(
            [
                f"{_PREFIXES.get(Kind(kind), '')}{number}"
                for number, kind in enumerate(documents.kind.tolist(), _FIRST_INVOICE_NUMBER)
            ]
        )

    def table(self, lines: Lines) -> pa.Table:
        """Sort lines by instant, invoice and stock code, and write out what they point at."""
        documents = self._documents
        code = lines.item + lines.is_lower_case * self._n_items
        minute = documents.minute[lines.document] + lines.second_minute
        order = np.lexsort((self._code_rank[code], lines.document, minute))
        lines, code, minute = lines.take(order), code[order], minute[order]
        customer = documents.customer[lines.document]
        is_own = lines.remark == len(REMARKS)
        description = np.where(is_own, lines.item + len(REMARKS), lines.remark)
        columns = [
            self._invoices.take(pa.array(lines.document)),
            self._codes.take(pa.array(code)),
            self._descriptions.take(pa.array(description, mask=description == NO_DESCRIPTION)),
            pa.array(lines.quantity.astype(np.int32)),
            pa.array(minute * _US_PER_MINUTE).cast(pa.timestamp("us")),
            pa.array(lines.price),
            pa.array(customer + _FIRST_CUSTOMER_ID, mask=customer < 0),
            self._countries.take(pa.array(documents.country[lines.document])),
        ]
        return pa.Table.from_arrays(columns, schema=SHOP_SCHEMA)


def _tables(filler: LineFiller, columns: _Columns, documents: Documents) -> Iterator[pa.Table]:
    n_lines_until = np.cumsum(documents.n_lines)
    # A run ends where the shop is idle for two minutes (every night, at the latest), because an
    # invoice may go on for a second minute and the file is sorted by time.
    idle = np.append(np.flatnonzero(np.diff(documents.minute) > 1) + 1, len(documents))
    first = 0
    while first < len(documents):
        n_done = int(n_lines_until[first - 1]) if first else 0
        full = int(np.searchsorted(n_lines_until, n_done + _LINES_PER_ROW_GROUP))
        stop = int(idle[np.searchsorted(idle, min(full + 1, len(documents)))])
        yield columns.table(filler.fill(first, stop))
        first = stop


def _write(path: Path, tables: Iterator[pa.Table], progress: Progress) -> None:
    with (
        whole_file(path) as temporary,
        pq.ParquetWriter(temporary, SHOP_SCHEMA, compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table, row_group_size=len(table))
            progress.advance(len(table))
