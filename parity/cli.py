"""`evenstore-parity`: proves that the online store serves what the offline store says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evenstore.client.base_url import base_url
from evenstore.errors import ConfigurationError, EvenstoreError
from parity.settings import CheckSettings

if TYPE_CHECKING:
    from parity.report import ParityReport

__all__ = ["main"]

_EXIT_PASSED = 0
_EXIT_FAILED = 1
_EXIT_VIOLATED = 3
_EXIT_INTERRUPTED = 130
_STDOUT = "-"

_DESCRIPTION = """\
Compare the values a running gateway serves with the values of a point-in-time join at the very
same instants, cell by cell: value, status and event timestamp. Reads both stores, writes to
neither."""

_CHECK_DESCRIPTION = """\
Draw a golden set of entity rows from the offline store (hot, cold, expired, null, tied, ordinary
and unknown keys), look each up through the gateway, join the same rows offline, and compare.
One line per differing cell, counts per view, and a verdict on standard output."""

_CHECK_EPILOG = """\
example:
  evenstore-parity check --repo feature_repo --feature-service churn_v1
  evenstore-parity check --repo feature_repo --feature-service churn_v1 --json parity.json

exit codes:
  0  every value is equal, and enough values were there to compare
  1  could not compare: gateway down, unknown service, another schema, unreadable source
  2  wrong usage
  3  parity is violated: a value differs, or coverage is below --min-coverage"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return _check(_settings(arguments), arguments.json)
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _EXIT_FAILED
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return _EXIT_INTERRUPTED


def _check(settings: CheckSettings, json_target: str | None) -> int:
    if json_target not in {None, _STDOUT}:
        _refuse_unwritable(Path(str(json_target)))
    # Imported late: Feast takes seconds, and `--help` or a wrong argument need not wait for it.
    from parity.check import run_check
    from parity.report import Verdict

    report = run_check(settings)
    _print_report(report, json_target)
    return _EXIT_PASSED if report.verdict is Verdict.PASSED else _EXIT_VIOLATED


def _refuse_unwritable(target: Path) -> None:
    # Before the comparison, which takes longer than finding this out.
    if target.is_dir() or not target.parent.is_dir():
        msg = f"no place for the report: {str(target)!r}"
        raise ConfigurationError(msg, hint="name a file in a folder that exists")


def _print_report(report: ParityReport, json_target: str | None) -> None:
    from parity.document import build_document, render_document, write_document
    from parity.text import format_report

    # With `--json -` standard output is for the machine; people read standard error.
    text_stream = sys.stderr if json_target == _STDOUT else sys.stdout
    if json_target == _STDOUT:
        sys.stdout.write(render_document(build_document(report)))
    elif json_target is not None:
        write_document(build_document(report), Path(json_target))
    for line in format_report(report):
        print(line, file=text_stream)


def _settings(arguments: argparse.Namespace) -> CheckSettings:
    return CheckSettings(
        repo=arguments.repo,
        gateway=arguments.gateway,
        feature_service=arguments.feature_service,
        n_entity_rows=arguments.entity_rows,
        seed=arguments.seed,
        batch_rows=arguments.batch_rows,
        min_coverage=arguments.min_coverage,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evenstore-parity",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check",
        help="compare a running gateway with the offline store",
        description=_CHECK_DESCRIPTION,
        epilog=_CHECK_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_check_arguments(check)
    return parser


def _add_check_arguments(check: argparse.ArgumentParser) -> None:
    check.add_argument(
        "--repo", type=Path, required=True, metavar="PATH", help="folder of the Feast repo"
    )
    check.add_argument(
        "--gateway",
        type=base_url,
        default="http://127.0.0.1:6566",
        metavar="URL",
        help="base URL of the running gateway (%(default)s)",
    )
    check.add_argument(
        "--feature-service", required=True, metavar="NAME", help="feature service to compare"
    )
    check.add_argument(
        "--entity-rows",
        type=_positive,
        default=1_000,
        metavar="N",
        help="entity rows to draw at most (%(default)s)",
    )
    check.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another seed draws others (%(default)s)"
    )
    check.add_argument(
        "--batch-rows",
        type=_positive,
        default=100,
        metavar="N",
        help="entity rows per request to the gateway (%(default)s)",
    )
    check.add_argument(
        "--min-coverage",
        type=_share,
        default=0.3,
        metavar="X",
        help="least share of compared values that are not null on both sides (%(default)s)",
    )
    check.add_argument(
        "--json", metavar="PATH", help="write the whole report as JSON; - for standard output"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = f"{text} is not 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        msg = f"{text} is not between 0 and 1"
        raise argparse.ArgumentTypeError(msg)
    return number
