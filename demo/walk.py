"""The walk-through: every step that a team takes, on shop data, with what each step did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demo.commands import Command, CommandRunner, child_environment
from demo.gateway import Gateway
from demo.lookups import describe_vector, time_lookups
from demo.models import ModelSteps
from demo.settings import DemoSettings
from demo.shop.generator import generate_shop
from demo.shop.incidents import draw_incidents
from demo.steps import Steps
from evenstore.clock import (
    Clock,
    FrozenClock,
    SystemClock,
    datetime_to_us,
    format_us,
    us_to_datetime,
)
from evenstore.progress import open_progress

__all__ = ["Walk"]

_SERVICE = "returns_v1"
_TABLES = ("customer_activity", "customer_profile", "customer_product", "product_demand")
_N_NEW_DAYS = 3


@dataclass
class Walk:
    """One walk-through, step after step; each step leaves what the next one needs.

    Args:
        settings: Where and on what.
        steps: Say what was done.
    """

    settings: DemoSettings
    steps: Steps
    lines: Path = field(init=False)
    incidents: Path = field(init=False)
    first_day: date = field(init=False)
    end_us: int = field(init=False)
    clock: Clock = field(init=False)
    runner: CommandRunner = field(init=False)
    _newest_us: int = field(init=False)

    def take_shop_data(self, data: pa.Table | None) -> None:
        """Keep the real lines or generate some, and set the clock to what the data know."""
        with self.steps.step("shop data") as did:
            self.lines = self.settings.home / "shop" / "lines.parquet"
            self.lines.parent.mkdir(parents=True, exist_ok=True)
            if data is None:
                self._generate()
            else:
                pq.write_table(data, self.lines)
            self._newest_us = newest = self._scan_lines(did)
            if self.settings.data is None:
                self.clock = SystemClock()
                self.end_us = self.clock.now_us()
            else:
                self.clock = FrozenClock(newest)
                self.end_us = newest
                did.append(f"the clock stands still at the end of the data, {format_us(newest)}")
            did.append(self._draw_incidents())
        self.runner = CommandRunner(
            self.settings.root, self.settings.home / "demo.log", self.environment()
        )

    def environment(self) -> Mapping[str, str]:
        """Return the environment of every command: the home, the clock, the feature tables."""
        changes = {
            "EVENSTORE_HOME": str(self.settings.home),
            "EVENSTORE_FEATURES": str(self.settings.features),
        }
        if self.clock.is_frozen:
            changes |= {
                "EVENSTORE_TEST_MODE": "1",
                "EVENSTORE_FROZEN_TIME": us_to_datetime(self.end_us).isoformat(),
            }
        return child_environment(**changes)

    def make_features(self, *, until: date, since: date | None = None) -> None:
        """Run the feature SQL over a range of days."""
        commands = [
            Command(
                "evenstore",
                (
                    "transform",
                    self.settings.repo / "transforms" / f"{table}.sql",
                    *("--source", f"shop_lines={self.lines}"),
                    *("--out", self.settings.features / table),
                    *("--from", (since or self.first_day).isoformat()),
                    *("--to", until.isoformat()),
                    *("--incidents", self.incidents),
                ),
            )
            for table in _TABLES
        ]
        with self.steps.step("feature tables") as did:
            for finished in self.runner.run_all("feature tables", commands):
                did.append(finished.stdout.strip())

    def copy_repo(self) -> None:
        """Give the project a name and a registry of its own, in a copy of the feature repo."""
        if not self.settings.copies_repo:
            return
        shutil.copytree(self.settings.root / "feature_repo", self.settings.repo)
        yaml = self.settings.repo / "feature_store.yaml"
        text = yaml.read_text(encoding="utf-8")
        text = text.replace("project: shop\n", f"project: {self.settings.project}\n")
        text = text.replace("../.evenstore/registry.db", str(self.settings.home / "registry.db"))
        yaml.write_text(text, encoding="utf-8")

    def apply(self) -> None:
        """Run `feast apply`."""
        with self.steps.step("feast apply") as did:
            self.runner.run("feast apply", "feast", "-c", self.settings.repo, "apply")
            did.append(f"project {self.settings.project}, feature services churn_v1, returns_v1")

    def materialize(self) -> None:
        """Load all but the last days, let those days pass, load them incrementally."""
        last_day = us_to_datetime(self.end_us).date()
        before = last_day - timedelta(days=_N_NEW_DAYS + 1)
        self.make_features(until=before)
        start = datetime.combine(self.first_day, datetime.min.time(), UTC)
        end = datetime.combine(before + timedelta(days=2), datetime.min.time(), UTC)
        self._feast("materialize", _iso(start), _iso(end))
        self.make_features(since=before + timedelta(days=1), until=last_day)
        self._feast("materialize-incremental", _iso(us_to_datetime(self.end_us)))

    def print_curl_commands(self, gateway: Gateway) -> None:
        """Print three commands that can be pasted as they are."""
        customers, products = self._known_keys()
        body = json.dumps(
            {
                "feature_service": _SERVICE,
                "full_feature_names": True,
                "entities": {
                    "customer_id": customers[:2],
                    "stock_code": products[:2],
                    "quantity": [6, 1],
                    "unit_price": [2.55, 12.75],
                    "basket_value": [120.0, 15.5],
                },
            }
        )
        references = json.dumps(
            {
                "features": ["customer_activity:orders_30d", "customer_activity:spend_30d"],
                "entities": {"customer_id": [customers[0], 1]},
            }
        )
        self.steps.say("\nRedis and the gateway stay up; `make stop` stops them. Try:\n")
        self.steps.say(f"curl -s -w '\\n' {gateway.url}/readyz\n")
        for request in (body, references):
            self.steps.say(
                f"curl -s -w '\\n' {gateway.url}/get-online-features "
                f"-H 'content-type: application/json' -d '{request}'\n"
            )

    def look_up(self, gateway: Gateway) -> None:
        """Ask the gateway as an application would."""
        with self.steps.step("lookups over HTTP") as did:
            customers, products = self._known_keys()
            did.append(time_lookups(gateway.url, _SERVICE, customers, products))
        for line in describe_vector(gateway.url, _SERVICE, customers[0], products[0]):
            self.steps.say(line)

    def models(self) -> ModelSteps:
        """Return the steps of the models, on what has been made so far."""
        return ModelSteps(
            self.steps, self.settings, self.runner, self.lines, self._newest_us, self.clock
        )

    def parity_check(self, gateway: Gateway) -> Command:
        """Return the command that compares both stores."""
        return Command(
            "evenstore-parity",
            (
                "check",
                *("--repo", self.settings.repo),
                *("--gateway", gateway.url),
                *("--feature-service", _SERVICE),
                *("--seed", str(self.settings.seed)),
                *("--json", self.settings.home / "parity.json"),
            ),
        )

    def _draw_incidents(self) -> str:
        self.incidents = self.lines.with_name("incidents.json")
        drawn = draw_incidents(
            self.incidents,
            first_day=self.first_day,
            last_day=us_to_datetime(self.end_us).date(),
            seed=self.settings.seed,
        )
        return (
            f"{drawn.n_outages} outages and {drawn.n_broken_uploads} broken uploads, "
            "drawn: what was known differs from what was true"
        )

    def _generate(self) -> None:
        with open_progress("shop data", total=self.settings.n_lines, unit="lines") as progress:
            generate_shop(
                self.lines,
                n_customers=self.settings.n_customers,
                n_lines=self.settings.n_lines,
                seed=self.settings.seed,
                end_us=SystemClock().now_us(),
                progress=progress,
            )

    def _scan_lines(self, did: list[str]) -> int:
        table = pq.read_table(self.lines, columns=["InvoiceDate", "CustomerID"])
        span = pc.min_max(table["InvoiceDate"]).as_py()
        n_customers = pc.count_distinct(table["CustomerID"], mode="only_valid").as_py()
        self.first_day = span["min"].date()
        did.append(
            f"{table.num_rows:,} invoice lines of {n_customers:,} customers, "
            f"{span['min']:%Y-%m-%d} to {span['max']:%Y-%m-%d}"
        )
        return datetime_to_us(span["max"], naive_is_utc=True)

    def _feast(self, command: str, *arguments: str) -> None:
        with self.steps.step(f"feast {command}") as did:
            label = f"feast {command}"
            finished = self.runner.run(
                label, "feast", "-c", self.settings.repo, command, *arguments
            )
            # Feast takes the views in no fixed order.
            did.extend(
                sorted(line for line in finished.stderr.splitlines() if " rows read, " in line)
            )

    def _known_keys(self) -> tuple[list[int], list[str]]:
        """Return customers and products of the newest feature files, the most active first."""
        customers = _newest_keys(self.settings.features / "customer_activity", "customer_id")
        products = _newest_keys(self.settings.features / "product_demand", "stock_code")
        return [int(key) for key in customers], products


def _newest_keys(folder: Path, column: str) -> list[str]:
    """Return the keys of the newest file with rows: on a Sunday nothing has been sold yet."""
    newest_first = sorted(folder.rglob("*.parquet"), reverse=True)
    newest = next(path for path in newest_first if pq.read_metadata(path).num_rows)
    return [str(key) for key in pq.read_table(newest, columns=[column])[column].to_pylist()]


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat()
