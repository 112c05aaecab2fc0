"""The `evenstore doctor` command: its options, what it prints and its exit code."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evenstore.doctor.finding import exit_code

__all__ = ["add_doctor", "run_doctor"]

_DESCRIPTION = """\
Look at a feature repo, its registry, its sources and its Redis, and say what is wrong, what follows
from it and what to do. Changes nothing. Works on a repo of stock Feast too."""

_EXIT_CODES = """\
exit codes:
  0  no error; with --strict: no warning either
  1  an error was found"""


def add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a program's commands."""
    doctor = commands.add_parser(
        "doctor",
        help="say what is wrong with a repo and its Redis",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument(
        "--repo", type=Path, required=True, help="the Feast repo, with feature_store.yaml"
    )
    doctor.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    doctor.add_argument(
        "--count-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="longest time to count the entities of one view that is not loaded yet (%(default)s)",
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")


def run_doctor(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    # Feast takes seconds to import, and the other commands do without.
    from evenstore.doctor.examination import examine
    from evenstore.doctor.report import render_json, render_text

    examination = examine(arguments.repo, count_s=arguments.count_seconds)
    render = render_json if arguments.json else render_text
    sys.stdout.write(f"{render(examination)}\n")
    return exit_code(examination.findings, is_strict=arguments.strict)
