"""From invoice lines to feature vectors, the way production and training go.

Lines become the four feature tables by their SQL (`run_transform`), and entity rows become vectors
by the point-in-time join of the service `returns_v1` (`read_history`): nothing is imitated here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import FeatureStore

from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.duckdb_session import SessionLimits
from evenstore.offline.history import read_history
from evenstore.schema.compile import compile_store
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.semantics import Knowledge
from evenstore.transform.feature_sql import FeatureSql
from evenstore.transform.incidents import NO_INCIDENTS, Incidents
from evenstore.transform.run import run_transform
from evenstore.transform.window import US_PER_DAY, day_start_us
from tests.demo.lines import instant, write_lines
from tests.demo.shop_repo import ShopRepo
from tests.evenstore.transform.runs import shop_sql

__all__ = ["SHOP_SQL", "Asked", "Features", "Lines", "Shop", "Vector"]

Lines = Sequence[Mapping[str, Any]]
Vector = Mapping[str, str]
"""By `view__feature`: value, status and event timestamp, written out exactly."""

SHOP_SQL: Mapping[str, FeatureSql] = {
    name: shop_sql(name)
    for name in ("customer_activity", "customer_profile", "product_demand", "customer_product")
}

# One thread: the tables are tiny, and starting threads would take longer than the work.
_LIMITS = SessionLimits(threads=1)
# What the till sends is the same everywhere, so that it moves nothing.
_REQUEST = {"quantity": 2, "unit_price": 3.0, "basket_value": 12.0}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: what was known of this customer and this product at this instant?"""

    customer: int
    product: str
    at: datetime


class Features:
    """The four feature tables that were made from one world of lines.

    Attributes:
        store: The applied feature repo, whose feature files these tables are.
    """

    def __init__(self, store: FeatureStore, request: FeatureRequest) -> None:
        self.store = store
        self._request = request

    def vectors(self, asked: Iterable[Asked], knowledge: Knowledge) -> dict[Asked, Vector]:
        """Answer all questions with all features of all views, the on-demand view included."""
        questions = list(asked)
        rows = [
            {
                "customer_id": question.customer,
                "stock_code": question.product,
                "event_timestamp": question.at,
                **_REQUEST,
            }
            for question in questions
        ]
        joined = read_history(
            self.store,
            self._request,
            pa.Table.from_pylist(rows),
            knowledge=knowledge,
            limits=_LIMITS,
        )
        return {
            question: self._vector(row)
            for question, row in zip(questions, joined.to_pylist(), strict=True)
        }

    def _vector(self, row: Mapping[str, Any]) -> Vector:
        # `repr` of a float names one float and no other, and tells -0.0 from 0.0.
        names = (column.output_name(full_feature_names=True) for column in self._request.columns)
        return {
            name: repr((row[name], row[f"{name}__status"], row[f"{name}__event_timestamp"]))
            for name in names
        }


class Shop:
    """Makes feature tables in a folder, as many as are asked for.

    Args:
        folder: Empty.
        days: The days that the tables are made for.
    """

    def __init__(self, folder: Path, days: Sequence[date]) -> None:
        self.days = days
        self._folder = folder
        self._repo = ShopRepo(folder)
        self._request = resolve_service(compile_store(self._repo.store), "returns_v1")
        self._numbers = itertools.count()
        self._tables: dict[str, Path] = {}

    def features(
        self,
        lines: Lines,
        *,
        sql: Mapping[str, FeatureSql] = SHOP_SQL,
        incidents: Incidents = NO_INCIDENTS,
    ) -> Features:
        """Make the tables as a backfill does, long after the last day."""
        now_us = day_start_us(self.days[-1]) + 30 * US_PER_DAY
        return self._made(lines, sql, _Runs((tuple(self.days),), incidents, now_us))

    def features_as_of(self, at: datetime, lines: Lines, incidents: Incidents) -> Features:
        """Make the tables as they were at an instant: the runs until then, on what had arrived.

        The engine is not told of the incidents: lines that had not arrived are not there, and in an
        outage the tables are those of the moment before it.
        """
        now_us = datetime_to_us(at)
        for outage in incidents.outages:
            if outage.since_us <= now_us < outage.until_us:
                now_us = outage.since_us - 1
        arrived = [line for line in lines if _arrived_us(line, incidents) <= now_us]
        return self._made(arrived, SHOP_SQL, _Runs((tuple(self.days),), NO_INCIDENTS, now_us))

    def _made(self, lines: Lines, sql: Mapping[str, FeatureSql], runs: _Runs) -> Features:
        world = self._folder / f"world-{next(self._numbers)}"
        store = self._repo.open_beside(world / "feature_repo")
        path = write_lines(world / "lines.parquet", lines)
        tables = world / ".evenstore" / "features"
        tables.mkdir(parents=True)
        for table in sql.values():
            # The same lines, SQL and runs make the same table: it is made only once.
            origin = repr((list(lines), table.fingerprint, runs))
            if origin not in self._tables:
                self._tables[origin] = world / "made" / table.name
                _run(table, path, self._tables[origin], runs)
            (tables / table.name).symlink_to(self._tables[origin])
        return Features(store, self._request)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Which days are run together, what went wrong, and when it is now."""

    days: tuple[tuple[date, ...], ...]
    incidents: Incidents
    now_us: int


def _run(table: FeatureSql, lines: Path, destination: Path, runs: _Runs) -> None:
    for days in runs.days:
        run_transform(
            table,
            sources={"shop_lines": lines},
            destination=destination,
            first_day=days[0],
            last_day=days[-1],
            clock=FrozenClock(runs.now_us),
            incidents=runs.incidents,
            limits=_LIMITS,
        )


def _arrived_us(line: Mapping[str, Any], incidents: Incidents) -> int:
    """Return when a line could be read: when it happened, or when its late upload arrived."""
    happened_us = datetime_to_us(instant(line["InvoiceDate"]))
    for late in incidents.late_events:
        if late.since_us <= happened_us < late.until_us:
            return late.arrived_us
    return happened_us
