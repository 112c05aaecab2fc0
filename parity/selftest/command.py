"""`evenstore-parity selftest`: plants known faults, and tells whether they are found."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from evenstore.clock import clock_from_environment
from evenstore.errors import ConfigurationError

if TYPE_CHECKING:
    from parity.selftest.result import SelftestResult

__all__ = ["DESCRIPTION", "EPILOG", "SUMMARY", "add_arguments", "print_result", "run"]

SUMMARY = "plant known faults in a copy, and see whether each is found"

DESCRIPTION = """\
Make a small repo with a Redis of its own, load it, and plant one known fault after another: a ttl
that is a microsecond off, a late row, a narrowed number, a key of another type, and so on. Each
must be found by the comparison that the other commands make, put down to its cause, and nothing
else may differ. Then compare repos without any fault, each with random rows of its own: none may
differ. Touches no repo, Redis or gateway of yours; what it makes is gone when it ends."""

EPILOG = """\
examples:
  evenstore-parity selftest
  evenstore-parity selftest --clean-runs 100 --seed 7 --json

exit codes:
  0    every fault was found, 95 % of them with their cause, and there was no false alarm
  1    could not be run: there is no Redis server to start, or the clock is frozen
  2    wrong usage
  3    a fault was not found, too many have another cause, or something else was said to differ
  130  interrupted"""

_EXIT_PASSED = 0
_EXIT_FAILED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--clean-runs",
        type=_not_negative,
        default=10,
        metavar="N",
        help="comparisons of random rows without a fault (%(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=_not_negative,
        default=0,
        metavar="N",
        help="another seed makes other rows (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Run the self-test and print what it found; returns the exit code.

    Raises:
        ConfigurationError: The clock is frozen, or there is no Redis server to start.
        EvenstoreError: A comparison failed.
    """
    if clock_from_environment().is_frozen:
        msg = "the clock is frozen, and the self-test has instants of its own"
        raise ConfigurationError(msg, hint="unset EVENSTORE_FROZEN_TIME")
    # Imported late: Feast takes seconds, and a wrong argument need not wait for it.
    from evenstore.processes import interrupt_on_termination
    from parity.selftest.run import run_selftest

    interrupt_on_termination()
    result = run_selftest(n_clean_runs=arguments.clean_runs, seed=arguments.seed)
    return print_result(result, is_json=arguments.json)


def print_result(result: SelftestResult, *, is_json: bool) -> int:
    """Print what was found, as a table or as one JSON document; returns the exit code."""
    from parity.selftest.result import build_document, format_table

    if is_json:
        sys.stdout.write(f"{json.dumps(build_document(result), indent=2, ensure_ascii=False)}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in format_table(result))
    return _EXIT_PASSED if result.has_passed else _EXIT_FAILED


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        msg = f"{text} is below 0"
        raise argparse.ArgumentTypeError(msg)
    return number
