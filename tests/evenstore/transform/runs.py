"""Feature SQL run on small files of invoice lines, and its rows as plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.transform.feature_sql import FeatureSql, load_feature_sql
from evenstore.transform.run import TransformReport, run_transform

__all__ = ["COUNT_SQL", "HOURLY_SQL", "Table", "shop_sql", "write_sql"]

TRANSFORMS = Path(__file__).parents[3] / "feature_repo" / "transforms"

COUNT_SQL = """\
-- name: daily_lines
-- version: 1
-- description: Lines of a customer on a day.
-- join keys: customer_id
-- source: shop_lines by InvoiceDate
-- window end: day
-- look back: 1 day
-- publication delay: 2 hours

select
    CustomerID as customer_id,
    cast(cast(InvoiceDate as date) + 1 as timestamp) as window_end,
    count(*) as n_lines
from shop_lines
where cast(InvoiceDate as date) between $first_day and $last_day
group by all
"""

HOURLY_SQL = COUNT_SQL.replace("window end: day", "window end: hour").replace(
    "cast(cast(InvoiceDate as date) + 1 as timestamp)",
    "date_trunc('hour', InvoiceDate) + interval 1 hour",
)


def shop_sql(name: str) -> FeatureSql:
    """Load a SQL file of the feature repo."""
    return load_feature_sql(TRANSFORMS / f"{name}.sql")


def write_sql(path: Path, text: str) -> FeatureSql:
    """Write and load a SQL file."""
    path.write_text(text, encoding="utf-8")
    return load_feature_sql(path)


class Table:
    """One feature table in a folder, made from one file of lines."""

    def __init__(self, folder: Path, sql: FeatureSql, lines: Path) -> None:
        self.folder = folder / sql.name
        self.sql = sql
        self.lines = lines

    def run(
        self, first: str, last: str, *, now: str = "2012-01-01T00:00", **options: Any
    ) -> TransformReport:
        """Run over days, both inclusive; `now` is ISO 8601 in UTC."""
        now_us = datetime_to_us(datetime.fromisoformat(now).replace(tzinfo=UTC))
        return run_transform(
            self.sql,
            sources={source.name: self.lines for source in self.sql.sources},
            destination=self.folder,
            first_day=date.fromisoformat(first),
            last_day=date.fromisoformat(last),
            clock=FrozenClock(now_us),
            **options,
        )

    def contents(self) -> dict[str, bytes]:
        """Return every file of the folder, whatever its name."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows, in the order of days, keys and event timestamps."""
        return [
            row
            for path in sorted(self.folder.glob("*.parquet"))
            for row in pq.read_table(path, partitioning=None).to_pylist()
        ]

    def by_key(self) -> Mapping[tuple[Any, datetime], dict[str, Any]]:
        """Return rows by entity key (a tuple where join keys are several) and event timestamp."""
        key_of = itemgetter(*self.sql.join_keys)
        return {(key_of(row), row["event_timestamp"]): row for row in self.rows()}
