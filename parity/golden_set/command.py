"""`evenstore-parity golden build`: draws a golden set and writes its file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from evenstore.clock import clock_from_environment, format_us
from evenstore.errors import ConfigurationError
from parity.argument_types import instant_us, positive
from parity.golden_set.settings import BuildSettings

if TYPE_CHECKING:
    from parity.golden_set.golden_file import GoldenFile

__all__ = ["DESCRIPTION", "EPILOG", "SUMMARY", "add_arguments", "run"]

SUMMARY = "draw a golden set from the offline store, to be kept in your repository"

DESCRIPTION = """\
Draw entity rows and the instants to ask for them at from the offline store: hot, cold, expired,
null, tied, ordinary and unknown entities at a few main instants, and rows on both sides of the
microsecond at which a row expires or a late row becomes known. Writes one file of JSON lines for
your repository. The same data, registry and seed give the same file."""

EPILOG = """\
examples:
  evenstore-parity golden build --repo feature_repo --feature-service churn_v1 \\
      --out golden/churn_v1.jsonl
  evenstore-parity golden build --repo feature_repo --feature-service churn_v1 \\
      --out golden/churn_v1.jsonl --as-of 2011-11-01T00:00:00Z --as-of 2011-12-01T00:00:00Z --freeze

exit codes:
  0  the file is written
  1  nothing could be drawn: unknown service, unreadable source, no place for the file
  2  wrong usage"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--repo", type=Path, required=True, metavar="PATH", help="folder of the Feast repo"
    )
    parser.add_argument(
        "--feature-service", required=True, metavar="NAME", help="feature service to draw for"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    parser.add_argument(
        "--entity-rows",
        type=positive,
        default=1_000,
        metavar="N",
        help="entity rows at each main instant at most (%(default)s)",
    )
    parser.add_argument(
        "--instants",
        type=positive,
        default=3,
        metavar="N",
        help="main instants, chosen from the data (%(default)s)",
    )
    parser.add_argument(
        "--as-of",
        type=instant_us,
        action="append",
        default=[],
        metavar="INSTANT",
        help="a main instant, RFC 3339 with a zone, instead of chosen ones; may be repeated",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another seed draws others (%(default)s)"
    )
    parser.add_argument(
        "--freeze",
        action="store_true",
        help="keep today's values as expected ones: a third side that both stores must equal",
    )


def run(arguments: argparse.Namespace) -> int:
    """Build the golden set; returns the exit code.

    Raises:
        EvenstoreError: Nothing could be drawn, or the file cannot be written.
    """
    out: Path = arguments.out
    if out.is_dir() or not out.parent.is_dir():
        msg = f"no place for the golden set: {str(out)!r}"
        raise ConfigurationError(msg, hint="name a file in a folder that exists")
    # Imported late: Feast takes seconds, and `--help` or a wrong argument need not wait for it.
    from parity.golden_set.build import build_golden_set
    from parity.golden_set.golden_file import write_golden_file

    settings = BuildSettings(
        repo=arguments.repo,
        feature_service=arguments.feature_service,
        out=out,
        n_entity_rows=arguments.entity_rows,
        n_instants=arguments.instants,
        as_of_us=tuple(arguments.as_of),
        seed=arguments.seed,
        is_frozen=arguments.freeze,
    )
    golden = build_golden_set(settings, clock_from_environment())
    content_sha256 = write_golden_file(golden, out)
    sys.stdout.writelines(f"{line}\n" for line in _format_summary(golden, content_sha256))
    return 0


def _format_summary(golden: GoldenFile, content_sha256: str) -> Iterator[str]:
    instants_us = golden.instants_us
    frozen = ", values frozen" if golden.is_frozen else ""
    yield (
        f"{golden.n_rows:,} entity rows x {len(golden.features)} features at {len(instants_us)} "
        f"instants from {format_us(instants_us[0])} to {format_us(instants_us[-1])}{frozen}"
    )
    for view_name in dict.fromkeys(count.view_name for count in golden.strata):
        counts = [count for count in golden.strata if count.view_name == view_name]
        drawn = ", ".join(f"{c.n_rows:,} {c.stratum.value}" for c in counts if c.n_rows)
        missing = ", ".join(count.stratum.value for count in counts if not count.n_rows)
        yield f"{view_name}: {drawn}" + (f"; none: {missing}" if missing else "")
    yield f"content {content_sha256}"
