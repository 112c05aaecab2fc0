"""The week: what happens to both sides, day by day, and what an audit finds each time.

Both sides get the same files and the same commands at the same instants. An audit leaves out rows
that no finished run could know, so that a run that is only due counts against nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path

from demo.commands import CommandRunner
from demo.duel.calendar import FIRST_DAY, MONDAY, at, day_of_week
from demo.duel.interrupted import await_begun, kill, pause, registry_state, resume
from demo.duel.results import IncidentResult, read_audit
from demo.duel.shop import MODELS, Shop
from demo.duel.side import EVENSTORE, Running, Side, finish_all

__all__ = ["Week"]

_SERVICE = "returns_v1"
"""Reads every view, so that both models have their inputs in it."""

_NEW_FEATURE = (
    '        Field(name="last_order_at", dtype=UnixTimestamp, '
    'description="Instant of the last order"),\n'
)
_FIRST_FEATURE = '        Field(name="country", dtype=String, '
_DELAYED = ("customer_profile", "customer_product")
_ON_TIME = ("customer_activity", "product_demand")
_CORRECTED = "customer_activity"
_WRONG_COLUMNS = ("spend_7d", "spend_30d", "spend_90d", "avg_basket_30d", "avg_basket_90d")
_WRONG_FACTOR = 1.5


@dataclass(frozen=True, slots=True)
class Week:
    """The week of two sides.

    Attributes:
        shop: What both read.
        sides: Stock Feast and evenstore.
        say: Prints a line.
    """

    shop: Shop
    sides: tuple[Side, Side]
    say: Callable[[str], None]

    def live(self) -> Iterator[IncidentResult]:
        """Let the week pass; gives each incident when it has been audited.

        Raises:
            CommandError: A command failed that should not.
        """
        yield from self._monday()
        yield from self._thursday()
        yield self._friday()
        yield self._saturday()

    def _monday(self) -> Iterator[IncidentResult]:
        """A feature is added while some customers have long bought nothing."""
        self.shop.files.publish_history(before=MONDAY)
        for side in self.sides:
            side.edit_definitions(_NEW_FEATURE, "")
        self._feast(at(0, 3), "apply")
        self._materialize_all(at(0, 3))
        for side in self.sides:
            side.edit_definitions(_FIRST_FEATURE, _NEW_FEATURE + _FIRST_FEATURE)
        self._feast(at(0, 6), "apply")
        self._materialize_all(at(0, 6))
        self._train()
        reports = self._audit(at(0, 7))
        yield _judge(
            reports,
            "a new feature",
            "`customer_profile:last_order_at` is added, and all history is materialized again",
            "new-feature-not-backfilled",
        )
        yield _judge(
            reports,
            "expired customers",
            "customers bought nothing for 90 days, so their last row is older than its ttl",
            "ttl-boundary",
        )

    def _thursday(self) -> Iterator[IncidentResult]:
        """Files come late, and one comes again with other numbers."""
        self._publish(0, tables=_ON_TIME)
        self._publish(1, tables=_ON_TIME)
        self._feast(at(2, 3), "materialize-incremental", _iso(at(2, 3)))
        for table in _DELAYED:
            for n_days in (0, 1):
                self.shop.files.publish_late(day_of_week(n_days), table=table, created=at(2, 12))
        self._publish(2, tables=(*_DELAYED, "product_demand"))
        self.shop.files.publish_wrong(
            day_of_week(2), table=_CORRECTED, columns=_WRONG_COLUMNS, factor=_WRONG_FACTOR
        )
        self._feast(at(3, 3), "materialize-incremental", _iso(at(3, 3)))
        self.shop.files.publish_late(day_of_week(2), table=_CORRECTED, created=at(3, 12))
        day = (_iso(at(2, 0)), _iso(at(3, 13)))
        self._feast(at(3, 13), "materialize", *day, "--views", _CORRECTED)
        reports = self._audit(at(3, 14))
        yield _judge(
            reports,
            "a late file",
            "Monday's and Tuesday's profiles and purchases come on Wednesday noon",
            "late-arrival",
        )
        yield _judge(
            reports,
            "a correction at the same timestamp",
            "Wednesday's spend was half as much again too high; the right file comes, and the day "
            "is materialized again",
            "dropped-correction",
        )

    def _friday(self) -> IncidentResult:
        """The nightly run is killed; a later one ends well."""
        self._publish(3)
        for side in self.sides:
            kill(self._begin(side, at(4, 3)))
        reports = self._audit(at(4, 4))
        self._feast(at(4, 5), "materialize-incremental", _iso(at(4, 5)))
        return _judge(
            reports,
            "a killed run",
            "the machine of the nightly run fails when the run has just begun",
            "not-materialized",
        )

    def _saturday(self) -> IncidentResult:
        """Values are asked for while the nightly run is under way."""
        self._publish(4)
        runs = []
        try:
            for side in self.sides:
                run = self._begin(side, at(5, 3))
                pause(run)
                runs.append(run)
            reports = self._audit(at(5, 3))
        finally:
            for run in runs:
                resume(run)
            finish_all(runs)
        return _judge(
            reports,
            "a scheduled run while serving",
            "values are asked for while the nightly run is under way",
            "not-materialized",
        )

    def _publish(self, n_days: int, *, tables: tuple[str, ...] | None = None) -> None:
        day = day_of_week(n_days)
        if tables is None:
            self.shop.files.publish_day(day)
        else:
            self.shop.files.publish_day(day, tables=tables)

    def _materialize_all(self, now: datetime) -> None:
        start = datetime.combine(FIRST_DAY, time(), UTC)
        self._feast(now, "materialize", _iso(start), _iso(now))

    def _feast(self, now: datetime, *arguments: str) -> None:
        finish_all([side.feast(now, *arguments) for side in self.sides])

    def _begin(self, side: Side, now: datetime) -> Running:
        """Start the nightly run of one view, and return when it has begun."""
        before = registry_state(side.registry)
        run = side.feast(now, "materialize-incremental", _iso(now), "--views", _CORRECTED)
        await_begun(run, side.registry, before)
        return run

    def _train(self) -> None:
        ours = next(side for side in self.sides if side.name == EVENSTORE)
        runner = CommandRunner(
            self.shop.home, self.shop.home / "shop.log", ours.environment(at(0, 6))
        )
        runner.run_all("training", self.shop.fits(ours.repo))

    def _audit(self, now: datetime) -> dict[str, Path]:
        """Audit both sides; returns the report of each, by its name."""
        self.say(f"{now:%a %H:%M}  audit of both")
        reports = {
            side.name: self.shop.home / f"{now:%d%H}-{side.repo.name}.json" for side in self.sides
        }
        finish_all(
            [
                side.audit(
                    now,
                    service=_SERVICE,
                    entity_rows=self.shop.entity_rows,
                    models=[(self.shop.model(model), model.threshold) for model in MODELS],
                    report=reports[side.name],
                )
                for side in self.sides
            ]
        )
        return reports


def _judge(reports: Mapping[str, Path], title: str, story: str, cause: str) -> IncidentResult:
    found = {name: read_audit(report, cause=cause) for name, report in reports.items()}
    return IncidentResult(title, story, cause, found)


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat()
