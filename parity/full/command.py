"""`evenstore-parity full`: every entity of a view, in both stores.

Light, so that a wrong argument is refused before Feast is imported.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evenstore.clock import clock_from_environment
from parity.argument_types import add_min_coverage, positive, share
from parity.full.settings import FullSettings

if TYPE_CHECKING:
    from parity.report import ParityReport

__all__ = ["DESCRIPTION", "EPILOG", "SUMMARY", "add_arguments", "run"]

SUMMARY = "compare every entity of a view in both stores"

DESCRIPTION = """\
Compare every entity of one feature view in both directions: each entity of the offline store is
looked up in Redis, and each key in Redis is looked for offline. Values, statuses and event
timestamps must be equal at one instant. What differs is read once more; rows written meanwhile
are left out and counted. Memory does not grow with the number of entities. Reads Redis and the
sources directly, without a gateway, and writes to neither."""

EPILOG = """\
examples:
  evenstore-parity full --repo feature_repo --view customer_activity
  evenstore-parity full --repo feature_repo --view customer_activity --sample-share 0.01 --seed 7
  evenstore-parity full --repo feature_repo --view customer_activity --max-keys-per-s 20000 \\
    --json full.json

exit codes:
  0    every value is equal, and enough values were there to compare
  1    could not compare: no such view, no entity in it, Redis or the source cannot be read
  2    wrong usage
  3    parity is violated: a value differs, or coverage is below --min-coverage
  130  interrupted: nothing was written"""

_UNTIL_WATERMARK = "watermark"
_UNTIL_NOW = "now"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--repo", type=Path, required=True, metavar="PATH", help="folder of the Feast repo"
    )
    parser.add_argument("--view", required=True, metavar="NAME", help="feature view to compare")
    parser.add_argument(
        "--sample-share",
        type=_share_above_none,
        default=1.0,
        metavar="X",
        help="compare this part of the entities, the same on both sides (all)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another seed samples others (%(default)s)"
    )
    parser.add_argument(
        "--until",
        choices=(_UNTIL_WATERMARK, _UNTIL_NOW),
        default=_UNTIL_WATERMARK,
        help="look at source rows up to the view's watermark, because later ones are due with the "
        "next run, or up to now, so that they are differences (%(default)s)",
    )
    _add_pace_arguments(parser)
    parser.add_argument(
        "--max-differences",
        type=positive,
        default=100,
        metavar="N",
        help="differing values listed of each feature and outcome; all are counted (%(default)s)",
    )
    parser.add_argument(
        "--max-differing-entities",
        type=positive,
        default=1_000_000,
        metavar="N",
        help="stop when more entities than this differ (%(default)s)",
    )
    add_min_coverage(parser)
    parser.add_argument(
        "--no-causes",
        action="store_true",
        help="do not look for the causes of the listed differences",
    )


def run(arguments: argparse.Namespace) -> ParityReport:
    """Compare both stores.

    Raises:
        EvenstoreError: The sides cannot be compared.
    """
    # Imported late: Feast takes seconds, and `--help` or a wrong argument need not wait for it.
    from parity.full.result import run_full

    return run_full(
        FullSettings(
            repo=arguments.repo,
            view=arguments.view,
            sample_share=arguments.sample_share,
            seed=arguments.seed,
            until_watermark=arguments.until == _UNTIL_WATERMARK,
            max_keys_per_s=arguments.max_keys_per_s,
            max_redis_latency_ms=arguments.max_redis_latency_ms,
            max_differences=arguments.max_differences,
            max_differing_entities=arguments.max_differing_entities,
            min_coverage=arguments.min_coverage,
            finds_causes=not arguments.no_causes,
        ),
        clock_from_environment(),
    )


def _add_pace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-keys-per-s",
        type=positive,
        metavar="N",
        help="Redis keys read or walked in a second at most (as many as can be)",
    )
    parser.add_argument(
        "--max-redis-latency-ms",
        type=_positive_float,
        metavar="MS",
        help="pause while Redis takes longer than this to answer a PING (never)",
    )


def _positive_float(text: str) -> float:
    number = float(text)
    if not number > 0:
        msg = f"{text} is not above 0"
        raise argparse.ArgumentTypeError(msg)
    return number


def _share_above_none(text: str) -> float:
    if not (number := share(text)):
        msg = "a sample of 0 compares nothing"
        raise argparse.ArgumentTypeError(msg)
    return number
