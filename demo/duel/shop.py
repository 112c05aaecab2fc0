"""What the week begins with: a shop's lines, every day's features, entity rows, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demo.commands import Command, CommandRunner, child_environment
from demo.duel.calendar import DATA_END, FIRST_DAY, MONDAY, at
from demo.duel.entity_rows import write_entity_rows
from demo.duel.feature_files import TABLES, FeatureFiles
from demo.labels.churn import build_churn_rows
from demo.labels.returns import build_returns_rows
from demo.shop.generator import generate_shop
from evenstore.clock import FrozenClock, datetime_to_us

__all__ = ["MODELS", "Shop", "ShopModel", "make_shop"]


@dataclass(frozen=True, slots=True)
class ShopModel:
    """One of the two models.

    Attributes:
        service: Its feature service and its name.
        label: What it predicts.
        threshold: Score from which the shop acts.
    """

    service: str
    label: str
    threshold: float


MODELS = (
    ShopModel("churn_v1", "buys_within_60d", 0.5),
    # Few lines come back: the till asks again at twice the usual rate.
    ShopModel("returns_v1", "returned_within_60d", 0.04),
)


@dataclass(frozen=True, slots=True)
class Shop:
    """The shop on the Monday of the week.

    Attributes:
        home: Where everything is.
        definitions: The clone's feature repo.
        files: The feature tables.
        entity_rows: What both sides are asked for.
        n_customers: How many entity rows.
    """

    home: Path
    definitions: Path
    files: FeatureFiles
    entity_rows: Path
    n_customers: int

    def labels(self, model: ShopModel) -> Path:
        """Return the file of a model's labelled entity rows."""
        return self.home / f"{model.service}_rows.parquet"

    def model(self, model: ShopModel) -> Path:
        """Return a model's folder."""
        return self.home / "models" / model.service

    def fits(self, repo: Path) -> Sequence[Command]:
        """Return the commands that train both models on what was known at the time."""
        return [
            Command(
                "evenstore-train",
                (
                    "fit",
                    *("--repo", repo, "--feature-service", model.service),
                    *("--entity-rows", self.labels(model), "--label", model.label),
                    *("--label-timestamp", "label_timestamp", "--knowledge", "as_known"),
                    *("--out", self.model(model)),
                ),
            )
            for model in MODELS
        ]


def make_shop(home: Path, definitions: Path, *, n_customers: int, n_lines: int, seed: int) -> Shop:
    """Generate a shop, compute the features of every day, and label what is long past.

    Raises:
        CommandError: A feature table cannot be computed.
        ConfigurationError: The shop is too small.
    """
    lines = home / "lines.parquet"
    generate_shop(
        lines,
        end_us=datetime_to_us(DATA_END),
        n_customers=n_customers,
        n_lines=n_lines,
        seed=seed,
    )
    files = FeatureFiles(home / "made", home / "features")
    runner = CommandRunner(home, home / "shop.log", child_environment(EVENSTORE_HOME=str(home)))
    runner.run_all(
        "feature tables", [_transform(table, lines, definitions, files) for table in TABLES]
    )
    known = home / "known_lines.parquet"
    _write_lines_before(lines, known, datetime.combine(MONDAY, time(), UTC))
    end_us = datetime_to_us(datetime.combine(MONDAY, time(), UTC))
    clock = FrozenClock(end_us)
    entity_rows = home / "entity_rows.parquet"
    # The late files of Monday and Tuesday are about sales that the till knows already.
    n_rows = write_entity_rows(lines, entity_rows, before=at(2, 0))
    shop = Shop(home, definitions, files, entity_rows, n_rows)
    churn, returns = MODELS
    build_churn_rows(known, shop.labels(churn), data_end_us=end_us, clock=clock)
    build_returns_rows(known, shop.labels(returns), data_end_us=end_us, clock=clock)
    return shop


def _transform(table: str, lines: Path, definitions: Path, files: FeatureFiles) -> Command:
    last_day = (DATA_END - timedelta(days=1)).date()
    return Command(
        "evenstore",
        (
            "transform",
            definitions / "transforms" / f"{table}.sql",
            *("--source", f"shop_lines={lines}", "--out", files.made / table),
            *("--from", FIRST_DAY.isoformat(), "--to", last_day.isoformat()),
        ),
    )


def _write_lines_before(lines: Path, destination: Path, instant: datetime) -> None:
    table = pq.read_table(lines)
    is_known = pc.less(table["InvoiceDate"], pa.scalar(instant.replace(tzinfo=None)))
    pq.write_table(table.filter(is_known), destination)
