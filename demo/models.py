"""The two models of the walk-through: labelled rows, walk-forward evaluation, scores both ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from demo.commands import Command, CommandRunner
from demo.gateway import Gateway
from demo.labels.churn import build_churn_rows
from demo.labels.golden import draw_churn_golden, draw_returns_golden, list_customers
from demo.labels.returns import build_returns_rows
from demo.settings import DemoSettings
from demo.steps import Steps
from evenstore.clock import Clock

__all__ = ["MODELS", "ModelSteps", "ShopModel"]

_N_GOLDEN = 1_000
_TEST_SHARE = 0.4
_N_FOLDS = 3
# All lines of the real set take the join half a minute; a third of them tell nearly as much.
_ONE_INVOICE_IN = 3


@dataclass(frozen=True, slots=True)
class Labelled:
    """What labelling did.

    Attributes:
        did: Lines for the account.
        notes: Caveats for the model's report.
    """

    did: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShopModel:
    """One model.

    Attributes:
        service: Its feature service; also the name of its folder and report.
        label: What it predicts.
        baseline_features: What a recency and frequency rule would look at.
        compares_knowledge: Whether its report tells as-known from latest truth: a second join.
        label_rows: Writes labelled entity rows.
        draw_golden: Writes entity rows on which both sides must score alike.
    """

    service: str
    label: str
    baseline_features: tuple[str, ...]
    compares_knowledge: bool
    label_rows: Callable[..., Labelled]
    draw_golden: Callable[..., object]


def _label_churn(lines: Path, rows: Path, *, data_end_us: int, clock: Clock) -> Labelled:
    report = build_churn_rows(lines, rows, data_end_us=data_end_us, clock=clock)
    first, last = report.months[0], report.months[-1]
    did = (
        (
            f"{report.n_rows:,} customer-nights of {report.n_nights} Mondays, "
            f"{report.positive_rate:.1%} buy within 60 days"
        ),
        (
            f"{first.positive_rate:.1%} in {first.period}, {last.positive_rate:.1%} in "
            f"{last.period}; {report.n_censored:,} too recent to tell"
        ),
    )
    notes = (
        (
            f"{report.share_without_customer:.1%} of invoice lines name no customer: they count as "
            "demand for their product, and nobody can be scored for them."
        ),
        f"{report.n_censored:,} rows whose 60 days are not over are left out, never called no.",
    )
    return Labelled(did, notes)


def _label_returns(lines: Path, rows: Path, *, data_end_us: int, clock: Clock) -> Labelled:
    report = build_returns_rows(
        lines, rows, data_end_us=data_end_us, clock=clock, one_invoice_in=_ONE_INVOICE_IN
    )
    did = (
        (
            f"{report.n_rows:,} lines of one invoice in {_ONE_INVOICE_IN}, "
            f"{report.positive_rate:.2%} returned within 60 days; {report.n_censored:,} too recent"
        ),
        (
            f"{report.n_cancellations:,} cancellations: {report.n_unmatched:,} without an earlier "
            f"sale, {report.n_ambiguous:,} with several (the nearest is taken), "
            f"{report.n_late:,} after 60 days"
        ),
    )
    notes = (
        (
            f"{report.share_without_customer:.1%} of invoice lines name no customer: their returns "
            "cannot be matched, so the model is neither trained nor judged on them."
        ),
        (
            f"Label noise: of {report.n_cancellations:,} cancellations {report.n_unmatched:,} have "
            f"no earlier sale, {report.n_ambiguous:,} have several (the nearest is taken); "
            f"{report.n_returned_late:,} of the labelled rows came back only later and count as no."
        ),
        (
            f"One invoice in {_ONE_INVOICE_IN} is taken, by its number; all lines take part in the "
            "matching. In the first 90 days the features' windows are cut by the start of the data."
        ),
        f"{report.n_censored:,} rows whose 60 days are not over are left out, never called no.",
    )
    return Labelled(did, notes)


CHURN = ShopModel(
    service="churn_v1",
    label="buys_within_60d",
    baseline_features=("customer_profile__last_order_at", "customer_profile__lifetime_orders"),
    compares_knowledge=True,
    label_rows=_label_churn,
    draw_golden=draw_churn_golden,
)
RETURNS = ShopModel(
    service="returns_v1",
    label="returned_within_60d",
    baseline_features=(
        "customer_profile__last_order_at",
        "customer_profile__lifetime_orders",
        "customer_activity__return_rate_90d",
        "product_demand__return_rate_30d",
    ),
    compares_knowledge=False,
    label_rows=_label_returns,
    draw_golden=draw_returns_golden,
)
MODELS = (CHURN, RETURNS)
_SEGMENT = "customer_profile__country"
_TUNED = (
    "The classifier's settings were chosen after eight trials on the folds of the real set: expect "
    "a little less on rows that nobody has looked at."
)


@dataclass(frozen=True, slots=True)
class ModelSteps:
    """The steps of the models, on the lines and feature tables that the walk-through made.

    Attributes:
        steps: Say what was done.
        settings: Where the walk-through works.
        runner: Runs the project's commands.
        lines: Invoice lines.
        data_end_us: Instant of the newest line.
        clock: The walk-through's.
    """

    steps: Steps
    settings: DemoSettings
    runner: CommandRunner
    lines: Path
    data_end_us: int
    clock: Clock

    def train(self, models: Sequence[ShopModel]) -> None:
        """Label entity rows, join features as they were known, evaluate walk-forward, report."""
        self._shop.mkdir(parents=True, exist_ok=True)
        fits = []
        for model in models:
            with self.steps.step(f"{model.service} entity rows") as did:
                labelled = model.label_rows(
                    self.lines, self._rows(model), data_end_us=self.data_end_us, clock=self.clock
                )
                did.extend(labelled.did)
                fits.append(self._fit(model, labelled.notes))
        with self.steps.step("training") as did:
            finished = self.runner.run_all("training", fits)
            did.append(f"{len(fits)} models, each on features as known then, {_N_FOLDS} folds")
            did.extend(f"report: {self.settings.show(self._report(model))}" for model in models)
        for fit in finished:
            self.steps.quote(fit.stdout)

    def compare(self, models: Sequence[ShopModel], gateway: Gateway, parity: Command) -> str:
        """Score all customers as the nightly batch does, golden rows on both sides, and run parity.

        Returns:
            The verdict of parity.

        Raises:
            CommandError: Scores or stores differ, or could not be compared.
        """
        customers = self._shop / "customers.parquet"
        batch = Command(
            "evenstore-train",
            (
                "score",
                *("--model", self._folder(CHURN)),
                *("--repo", self.settings.repo),
                *("--entity-rows", customers),
                *("--out", self.settings.home / "models" / "churn_scores.parquet"),
                "--json",
            ),
        )
        with self.steps.step("scores and parity") as did:
            list_customers(self.lines, customers)
            agreements = [self._agree(model, gateway) for model in models]
            # The longest first: two run at a time.
            commands = [parity, *agreements, batch]
            checked, *agreed, scored = self.runner.run_all("scores and parity", commands)
            batch_report = json.loads(scored.stdout)
            did.append(
                f"{CHURN.service} of all {batch_report['n_rows']:,} customers, "
                f"mean {batch_report['mean_score']:.1%}"
            )
            for model, finished in zip(models, agreed, strict=True):
                did.append(f"{model.service} {finished.stdout.splitlines()[-1]}")
        printed, _, verdict = checked.stdout.rstrip().rpartition("\n")
        self.steps.quote(printed)
        return verdict

    def _fit(self, model: ShopModel, notes: Sequence[str]) -> Command:
        features = [("--baseline-feature", name) for name in model.baseline_features]
        caveats = [("--note", note) for note in (*notes, _TUNED)]
        return Command(
            "evenstore-train",
            (
                "fit",
                *("--repo", self.settings.repo),
                *("--feature-service", model.service),
                *("--entity-rows", self._rows(model)),
                *("--label", model.label),
                *("--label-timestamp", "label_timestamp"),
                *("--knowledge", "as_known"),
                *(("--compare-knowledge",) if model.compares_knowledge else ()),
                *("--test-share", str(_TEST_SHARE)),
                *("--folds", str(_N_FOLDS)),
                *("--segment", _SEGMENT),
                *chain.from_iterable([*features, *caveats]),
                *("--out", self._folder(model)),
                *("--report", self._report(model)),
            ),
        )

    def _agree(self, model: ShopModel, gateway: Gateway) -> Command:
        golden = self._shop / f"{model.service}_golden.parquet"
        model.draw_golden(self.lines, golden, n_rows=_N_GOLDEN, seed=self.settings.seed)
        return Command(
            "evenstore-train",
            (
                "agree",
                *("--model", self._folder(model)),
                *("--repo", self.settings.repo),
                *("--gateway", gateway.url),
                *("--entity-rows", golden),
            ),
        )

    @property
    def _shop(self) -> Path:
        return self.settings.home / "shop"

    def _rows(self, model: ShopModel) -> Path:
        return self._shop / f"{model.service}_rows.parquet"

    def _folder(self, model: ShopModel) -> Path:
        return self.settings.home / "models" / model.service

    def _report(self, model: ShopModel) -> Path:
        return self.settings.home / "reports" / model.service
