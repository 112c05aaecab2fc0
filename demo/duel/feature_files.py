"""The feature tables that both sides read: day by day, as the week brings them.

All days are computed beforehand; a day becomes visible when it is published. Both sides read the
very same files.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evenstore.clock import datetime_to_us

__all__ = ["TABLES", "FeatureFiles"]

TABLES = ("customer_activity", "customer_profile", "customer_product", "product_demand")

_HISTORY = "history.parquet"
_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class FeatureFiles:
    """One folder per table, and what is in it so far.

    Attributes:
        made: All days, as `evenstore transform` made them.
        published: What both sides read.
    """

    made: Path
    published: Path

    def publish_history(self, *, before: date) -> None:
        """Publish everything up to a day, exclusive, as one file per table."""
        for table in TABLES:
            folder = self.published / table
            folder.mkdir(parents=True)
            days = [path for path in self._days(table) if path.name < before.isoformat()]
            rows = pa.concat_tables([pq.read_table(path) for path in days])
            pq.write_table(rows, folder / _HISTORY)

    def publish_day(self, day: date, *, tables: Sequence[str] = TABLES) -> None:
        """Publish one day of some tables as it is."""
        for table in tables:
            for path in self._of_day(table, day):
                shutil.copy(path, self.published / table / path.name)

    def publish_late(self, day: date, *, table: str, created: datetime) -> int:
        """Publish one day of a table that was readable only later; returns its rows."""
        n_rows = 0
        for path in self._of_day(table, day):
            rows = _created_at(pq.read_table(path), created)
            pq.write_table(rows, self.published / table / path.name)
            n_rows += rows.num_rows
        return n_rows

    def publish_wrong(
        self, day: date, *, table: str, columns: Sequence[str], factor: float
    ) -> None:
        """Publish one day of a table with some numbers too large by a factor."""
        for path in self._of_day(table, day):
            rows = pq.read_table(path)
            for column in columns:
                wrong = pc.multiply(rows[column], pa.scalar(factor, rows[column].type))
                rows = rows.set_column(rows.column_names.index(column), column, wrong)
            pq.write_table(rows, self.published / table / path.name)

    def _of_day(self, table: str, day: date) -> list[Path]:
        return [path for path in self._days(table) if path.name.startswith(day.isoformat())]

    def _days(self, table: str) -> list[Path]:
        return sorted((self.made / table).glob("*.parquet"))


def _created_at(rows: pa.Table, created: datetime) -> pa.Table:
    instants = pa.array([datetime_to_us(created)] * rows.num_rows, pa.int64()).cast(_INSTANT)
    return rows.set_column(
        rows.column_names.index("created"), "created", instants.cast(rows["created"].type)
    )
