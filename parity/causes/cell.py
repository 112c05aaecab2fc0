"""`evenstore-parity cell`: one entity row of one view, both sides, and why they differ."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TypeVar

from evenstore.errors import ConfigurationError
from parity.argument_types import instant_us

__all__ = ["DESCRIPTION", "EPILOG", "SUMMARY", "add_arguments", "run"]

SUMMARY = "show one entity row on both sides, and why they differ"

DESCRIPTION = """\
Read the features of one entity row from both stores at one instant, and compare them: the values,
the rows they come from with their place in the total order, the rows of the source around them, and
how far the view is loaded. Each feature that differs has its one cause and the evidence for it.
Reads both stores itself and needs no gateway; writes nothing."""

EPILOG = """\
examples:
  evenstore-parity cell --repo feature_repo --view customer_activity --key customer_id=12347 \\
      --as-of 2011-12-09T12:50:00Z
  evenstore-parity cell --repo feature_repo --feature-service returns_v1 --view basket_at_till \\
      --key customer_id=12347 --key amount=18.5 --as-of 2011-12-09T12:50:00Z --json

exit codes:
  0  both sides give the same answer
  1  could not compare: unknown view, unreadable source, Redis down
  2  wrong usage
  3  a feature differs"""

_Value = TypeVar("_Value")

_EXIT_SAME = 0
_EXIT_DIFFERS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--repo", type=Path, required=True, metavar="PATH", help="folder of the Feast repo"
    )
    parser.add_argument(
        "--view",
        required=True,
        metavar="NAME",
        help="feature view or on-demand view, by the name that the service gives it",
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        type=_key_pair,
        metavar="COLUMN=VALUE",
        help="one join key, or one field of the request; once for each. Bytes in base64",
    )
    parser.add_argument(
        "--as-of",
        type=instant_us,
        required=True,
        metavar="INSTANT",
        help="the instant both sides answer for, with a time zone",
    )
    parser.add_argument(
        "--feature",
        action="append",
        default=[],
        metavar="NAME",
        help="only this feature; may be repeated (all features of the view)",
    )
    parser.add_argument(
        "--feature-service",
        metavar="NAME",
        help="read the view as this service does: its aliases, versions and defaults",
    )
    parser.add_argument(
        "--until",
        action="append",
        default=[],
        type=_view_instant,
        metavar="VIEW=INSTANT",
        help="offline, only rows of this view up to this event timestamp, once for each view: a "
        "report's command has it where rows that are due with the next run were left out",
    )
    parser.add_argument(
        "--as-known",
        action="store_true",
        help="offline, only rows that were created by the instant",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Compare the cell and print it; returns the exit code.

    Raises:
        EvenstoreError: It cannot be compared.
    """
    # Imported late: Feast takes seconds, and a wrong argument need not wait for it.
    from parity.causes.cell_comparison import AskedCell, compare_cell
    from parity.causes.cell_document import build_cell_document, format_cell

    asked = AskedCell(
        repo=arguments.repo,
        view=arguments.view,
        keys=_unique("--key", arguments.key),
        as_of_us=arguments.as_of,
        features=tuple(arguments.feature),
        feature_service=arguments.feature_service,
        is_as_known=arguments.as_known,
        until_us=_unique("--until", arguments.until),
    )
    compared = compare_cell(asked)
    if arguments.json:
        document = build_cell_document(compared)
        sys.stdout.write(f"{json.dumps(document, indent=2, ensure_ascii=False)}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in format_cell(compared))
    return _EXIT_DIFFERS if compared.differences else _EXIT_SAME


def _unique(option: str, pairs: list[tuple[str, _Value]]) -> dict[str, _Value]:
    named = dict(pairs)
    if len(named) < len(pairs):
        msg = f"{option} names something twice"
        raise ConfigurationError(msg, hint="the command shows one entity row")
    return named


def _view_instant(text: str) -> tuple[str, int]:
    name, separator, instant = text.partition("=")
    if not separator or not name:
        msg = f"{text!r} is not VIEW=INSTANT"
        raise argparse.ArgumentTypeError(msg)
    return name, instant_us(instant)


def _key_pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        msg = f"{text!r} is not COLUMN=VALUE"
        raise argparse.ArgumentTypeError(msg)
    return name, value
