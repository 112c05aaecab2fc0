"""The options of `evenstore-parity audit`, and what they ask for.

Light, so that a wrong argument is refused before Feast is imported.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evenstore.clock import clock_from_environment
from evenstore.errors import ConfigurationError
from parity.argument_types import instant_us, positive, share
from parity.audit.settings import AuditSettings

if TYPE_CHECKING:
    from parity.report import ParityReport

__all__ = ["DESCRIPTION", "EPILOG", "SUMMARY", "add_arguments", "audit_settings", "run"]

_NOW = "now"

SUMMARY = "compare the stores of any Feast repo, changing nothing"

DESCRIPTION = """\
Audit a Feast repo that evenstore is not part of, on whatever stores it has. Every row of the
sources is pulled through the repo's own offline store, joined by evenstore's semantics, and
compared with what Feast's SDK gives online. Nothing is installed into the repo and nothing in it
changes."""

EPILOG = """\
examples:
  evenstore-parity audit --repo their_repo
  evenstore-parity audit --repo their_repo --feature-service churn_v1 --json audit.json
  evenstore-parity audit --repo their_repo --feature-service churn_v1 \\
    --model models/churn_v1 --trust-models

exit codes:
  0  every value is equal, and enough values were there to compare
  1  could not compare: no Feast repo, unreadable source, unusable model
  2  wrong usage
  3  a value differs, or coverage is below --min-coverage"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    parser.add_argument(
        "--repo", type=Path, required=True, metavar="PATH", help="folder of the Feast repo"
    )
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--feature-service", metavar="NAME", help="feature service to compare")
    subject.add_argument(
        "--views",
        nargs="+",
        default=[],
        metavar="VIEW",
        help="feature views to compare (default: all that are online)",
    )
    parser.add_argument(
        "--as-of",
        type=_instant_or_now,
        default=_NOW,
        metavar="INSTANT",
        help="instant that rows and ttl are judged at, such as 2011-12-09T12:00:00Z (now)",
    )
    parser.add_argument(
        "--materialized-only",
        action="store_true",
        help="leave out rows after each view's last recorded run, so that a run that is only due "
        "is no difference",
    )
    _add_row_arguments(parser)
    parser.add_argument(
        "--min-coverage",
        type=share,
        default=0.0,
        metavar="X",
        help="least share of compared values that are not null on both sides (%(default)s)",
    )
    _add_model_arguments(parser)


def run(arguments: argparse.Namespace) -> ParityReport:
    """Audit the repo that the options name.

    Raises:
        EvenstoreError: See `parity.audit.audit.run_audit`.
    """
    settings = audit_settings(arguments)
    # Imported late: Feast takes seconds, and `--help` or a wrong argument need not wait for it.
    from parity.audit.audit import run_audit

    return run_audit(settings, clock_from_environment())


def audit_settings(arguments: argparse.Namespace) -> AuditSettings:
    """Read the settings from parsed options.

    Raises:
        ConfigurationError: Models are named without the word that they may be loaded, or there are
            more thresholds than models.
    """
    if arguments.model and not arguments.trust_models:
        msg = "a model file can run any code when it is loaded"
        raise ConfigurationError(msg, hint="add --trust-models if you know who made it")
    if len(arguments.threshold) not in {0, 1, len(arguments.model)}:
        msg = f"{len(arguments.threshold)} thresholds for {len(arguments.model)} models"
        raise ConfigurationError(msg, hint="give --threshold once, or once per --model")
    return AuditSettings(
        repo=arguments.repo,
        feature_service=arguments.feature_service,
        views=tuple(arguments.views),
        as_of_us=arguments.as_of,
        is_materialized_only=arguments.materialized_only,
        entity_rows=arguments.entities,
        entities=tuple(arguments.entity),
        n_entity_rows=arguments.entity_rows,
        seed=arguments.seed,
        batch_rows=arguments.batch_rows,
        min_coverage=arguments.min_coverage,
        models=tuple(arguments.model),
        trusts_models=arguments.trust_models,
        thresholds=tuple(arguments.threshold) or (0.5,),
    )


def _add_row_arguments(parser: argparse.ArgumentParser) -> None:
    rows = parser.add_argument_group("entity rows")
    rows.add_argument(
        "--entities",
        type=Path,
        metavar="FILE",
        help="Parquet file of entity rows to compare (default: draw them)",
    )
    rows.add_argument(
        "--entity",
        action="append",
        default=[],
        metavar="JSON",
        help="compare this entity row, a JSON object; repeatable",
    )
    rows.add_argument(
        "--entity-rows",
        type=positive,
        default=1_000,
        metavar="N",
        help="entity rows to draw at most (%(default)s)",
    )
    rows.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another seed draws others (%(default)s)"
    )
    rows.add_argument(
        "--batch-rows",
        type=positive,
        default=200,
        metavar="N",
        help="entity rows per online read (%(default)s)",
    )


def _add_model_arguments(audit: argparse.ArgumentParser) -> None:
    models = audit.add_argument_group("model impact")
    models.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="model whose scores to compare: a folder of `evenstore-train fit`; repeatable",
    )
    models.add_argument(
        "--trust-models",
        action="store_true",
        help="load the models, which can run code: say so only of files you trust",
    )
    models.add_argument(
        "--threshold",
        type=share,
        action="append",
        default=[],
        metavar="X",
        help="score from which a decision is yes (0.5); repeat it for one per model",
    )


def _instant_or_now(text: str) -> int | None:
    return None if text == _NOW else instant_us(text)
