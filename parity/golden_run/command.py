"""`evenstore-parity golden run`: runs a golden set through a gateway of its own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evenstore.clock import clock_from_environment
from evenstore.processes import interrupt_on_termination
from parity.argument_types import add_min_coverage, positive
from parity.golden_run.settings import RunSettings

if TYPE_CHECKING:
    from parity.report import ParityReport

__all__ = ["DESCRIPTION", "EPILOG", "SUMMARY", "add_arguments", "run"]

SUMMARY = "run a golden set through a gateway of its own, and compare"

DESCRIPTION = """\
Start a gateway on a copy of the registry under a project of its own, step through the golden set's
instants, load at each one what was known by then and no more, look the entity rows up over HTTP,
and compare with the point-in-time join as known and with the frozen values. The project's own
keys, sources and registry are only read; the run's own are removed however it ends, and those of a
run that was killed by the next one."""

EPILOG = """\
examples:
  evenstore-parity golden run --repo feature_repo --golden golden/churn_v1.jsonl
  evenstore-parity golden run --repo feature_repo --golden golden/churn_v1.jsonl --own-redis

exit codes:
  0    every value is equal, and enough values were there to compare
  1    could not compare: no such golden set, another schema, unreadable source
  2    wrong usage
  3    parity is violated: a value differs, or coverage is below --min-coverage
  130  interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--repo", type=Path, required=True, metavar="PATH", help="folder of the Feast repo"
    )
    parser.add_argument(
        "--golden", type=Path, required=True, metavar="FILE", help="the golden set's file"
    )
    parser.add_argument(
        "--own-redis",
        action="store_true",
        help="start an embedded Redis for the run instead of using the repo's",
    )
    parser.add_argument(
        "--batch-rows",
        type=positive,
        default=100,
        metavar="N",
        help="entity rows per request to the gateway (%(default)s)",
    )
    add_min_coverage(parser)


def run(arguments: argparse.Namespace) -> ParityReport:
    """Run the golden set.

    Raises:
        EvenstoreError: The set or a store cannot be used.
    """
    # A stopped job shall clean up as an interrupted one does.
    interrupt_on_termination()
    # Imported late: Feast takes seconds, and `--help` or a wrong argument need not wait for it.
    from parity.golden_run.run import run_golden_set

    settings = RunSettings(
        repo=arguments.repo,
        golden=arguments.golden,
        has_own_redis=arguments.own_redis,
        batch_rows=arguments.batch_rows,
        min_coverage=arguments.min_coverage,
    )
    return run_golden_set(settings, clock_from_environment())
