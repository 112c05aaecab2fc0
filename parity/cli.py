"""`evenstore-parity`: proves that the online store serves what the offline store says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenstore.clock import SystemClock
from evenstore.errors import EvenstoreError
from parity.commands import COMMANDS, GROUPS, Command, CommandEntry
from parity.outputs.options import add_output_arguments, output_settings

if TYPE_CHECKING:
    from parity.report import ParityReport

__all__ = ["main"]

_EXIT_PASSED = 0
_EXIT_FAILED = 1
_EXIT_VIOLATED = 3
_EXIT_INTERRUPTED = 130

_DESCRIPTION = """\
Compare the values that the online store serves with the values of a point-in-time join at the very
same instants, cell by cell: value, status and event timestamp. Every differing cell has a cause."""

_EPILOG = """\
exit codes:
  0    parity holds
  1    could not compare
  2    wrong usage
  3    parity is violated
  130  interrupted; nothing was written"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    entry: CommandEntry = arguments.entry
    try:
        return _run(entry.load(), entry, arguments)
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _EXIT_FAILED
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return _EXIT_INTERRUPTED


def _run(command: Command, entry: CommandEntry, arguments: argparse.Namespace) -> int:
    if not entry.has_report:
        outcome = command.run(arguments)
        return outcome if isinstance(outcome, int) else _exit_code(outcome)
    from parity.outputs.delivery import Delivery

    delivery = Delivery(output_settings(arguments), SystemClock())
    outcome = command.run(arguments)
    return outcome if isinstance(outcome, int) else _exit_code(delivery.deliver(outcome))


def _exit_code(report: ParityReport) -> int:
    from parity.report import Verdict

    return _EXIT_PASSED if report.verdict is Verdict.PASSED else _EXIT_VIOLATED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evenstore-parity",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    groups = {}
    for entry in COMMANDS:
        if not entry.exists:
            continue
        if len(entry.words) == 1:
            _add_command(commands, entry)
            continue
        group = entry.words[0]
        if group not in groups:
            summary = GROUPS[group]
            grouped = commands.add_parser(group, help=summary, description=f"{summary}.")
            groups[group] = grouped.add_subparsers(
                title="commands", metavar="COMMAND", required=True
            )
        _add_command(groups[group], entry)
    return parser


def _add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], entry: CommandEntry
) -> None:
    command = entry.load()
    shown: dict[str, Any] = {} if entry.is_hidden else {"help": command.SUMMARY}
    parser = commands.add_parser(
        entry.words[-1],
        description=command.DESCRIPTION,
        epilog=command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",
        **shown,
    )
    command.add_arguments(parser)
    if entry.has_report:
        add_output_arguments(parser)
    parser.set_defaults(entry=entry)
