"""`evenstore-parity live`: the running gateway against the offline store.

Light, so that a wrong argument is refused before Feast is imported.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evenstore.client.base_url import base_url
from parity.argument_types import add_min_coverage, positive
from parity.settings import CheckSettings

if TYPE_CHECKING:
    from parity.report import ParityReport

__all__ = ["DESCRIPTION", "EPILOG", "SUMMARY", "add_arguments", "run"]

SUMMARY = "compare a running gateway with the offline store"

DESCRIPTION = """\
Draw a golden set of entity rows from the offline store (hot, cold, expired, null, tied, ordinary
and unknown keys), look each up through the gateway, join the same rows offline at the instant that
the gateway states, up to each view's watermark, and compare. One line per differing cell with its
cause, counts per view, and a verdict on standard output. Reads both stores, writes to neither."""

EPILOG = """\
examples:
  evenstore-parity live --repo feature_repo --feature-service churn_v1
  evenstore-parity live --repo feature_repo --feature-service churn_v1 --json parity.json \\
    --junit parity.xml --waivers parity_waivers.toml
  evenstore-parity live --repo feature_repo --feature-service churn_v1 --max-rows-per-s 200

exit codes:
  0  every value is equal, and enough values were there to compare
  1  could not compare: gateway down, unknown service, another schema, unreadable source
  2  wrong usage
  3  parity is violated: a value differs, or coverage is below --min-coverage"""

_UNTIL_WATERMARK = "watermark"
_UNTIL_NOW = "now"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--repo", type=Path, required=True, metavar="PATH", help="folder of the Feast repo"
    )
    parser.add_argument(
        "--gateway",
        type=base_url,
        default="http://127.0.0.1:6566",
        metavar="URL",
        help="base URL of the running gateway (%(default)s)",
    )
    parser.add_argument(
        "--feature-service", required=True, metavar="NAME", help="feature service to compare"
    )
    parser.add_argument(
        "--entity-rows",
        type=positive,
        default=1_000,
        metavar="N",
        help="entity rows to draw at most (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another seed draws others (%(default)s)"
    )
    parser.add_argument(
        "--batch-rows",
        type=positive,
        default=100,
        metavar="N",
        help="entity rows per request to the gateway (%(default)s)",
    )
    parser.add_argument(
        "--max-rows-per-s",
        type=positive,
        metavar="N",
        help="entity rows asked for in a second at most (as fast as answers come)",
    )
    parser.add_argument(
        "--until",
        choices=(_UNTIL_WATERMARK, _UNTIL_NOW),
        default=_UNTIL_WATERMARK,
        help="look at source rows up to each view's watermark, because later ones are due with "
        "the next run, or up to now, so that they are differences (%(default)s)",
    )
    _add_gate_arguments(parser)


def run(arguments: argparse.Namespace) -> ParityReport:
    """Compare the gateway with the offline store.

    Raises:
        EvenstoreError: The sides cannot be compared.
    """
    # Imported late: Feast takes seconds, and `--help` or a wrong argument need not wait for it.
    from parity.check import run_check

    return run_check(
        CheckSettings(
            repo=arguments.repo,
            gateway=arguments.gateway,
            feature_service=arguments.feature_service,
            n_entity_rows=arguments.entity_rows,
            seed=arguments.seed,
            batch_rows=arguments.batch_rows,
            min_coverage=arguments.min_coverage,
            max_rows_per_s=arguments.max_rows_per_s,
            until_watermark=arguments.until == _UNTIL_WATERMARK,
            counts_leaks=arguments.count_leaks,
            finds_causes=not arguments.no_causes,
        )
    )


def _add_gate_arguments(parser: argparse.ArgumentParser) -> None:
    add_min_coverage(parser)
    parser.add_argument(
        "--count-leaks",
        action="store_true",
        help="join a second and a third time, and count entity rows whose newest row was not known "
        "yet at their instant",
    )
    parser.add_argument(
        "--no-causes",
        action="store_true",
        help="do not look for the causes of differences, which reads Redis and the sources again",
    )
