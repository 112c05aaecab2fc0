"""The subcommands of `evenstore-parity`, and what each of their modules must offer.

A command is a light module (no Feast, DuckDB or Redis at import) with

* `SUMMARY`, one line for the list of commands, `DESCRIPTION` and `EPILOG` for its own help;
* `add_arguments(parser)`: its own options. To a command that ends with a report the caller adds
  those of `parity.outputs.options`: `--json`, `--junit`, `--markdown`, `--parquet`,
  `--prometheus`, `--previous`, `--waivers`, `--allow-unknown-causes`;
* `run(arguments) -> ParityReport | int`: does the work. A report is judged, written and turned
  into the exit code by the caller, so the command prints nothing but progress; an int is the exit
  code of a command without a report, which prints what it has to say itself.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from parity.report import ParityReport

__all__ = ["COMMANDS", "GROUPS", "Command", "CommandEntry"]


class Command(Protocol):
    """What a command's module offers."""

    SUMMARY: str
    DESCRIPTION: str
    EPILOG: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own options."""
        ...

    def run(self, arguments: argparse.Namespace) -> ParityReport | int:
        """Do the work: a report to be judged and written, or an exit code."""
        ...


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One subcommand.

    Attributes:
        words: What is typed: `live`, or `golden build`.
        module: Where it is.
        has_report: Whether it ends with a report, and so has the options of the outputs.
        is_hidden: Whether the help leaves it out, as an old name of another.
    """

    words: tuple[str, ...]
    module: str
    has_report: bool = True
    is_hidden: bool = False

    @property
    def exists(self) -> bool:
        """Tell whether the command's module is part of this installation."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False

    def load(self) -> Command:
        """Import the command's module."""
        return cast("Command", importlib.import_module(self.module))


COMMANDS = (
    CommandEntry(("live",), "parity.live.command"),
    CommandEntry(("check",), "parity.live.command", is_hidden=True),
    CommandEntry(("golden", "build"), "parity.golden_set.command", has_report=False),
    CommandEntry(("golden", "run"), "parity.golden_run.command"),
    CommandEntry(("full",), "parity.full.command"),
    CommandEntry(("audit",), "parity.audit.command"),
    CommandEntry(("cell",), "parity.causes.cell", has_report=False),
    CommandEntry(("selftest",), "parity.selftest.command", has_report=False),
)

GROUPS = {"golden": "build a golden set, and run it: parity as it was at each of its instants"}
"""Commands that have commands, with their summaries."""
