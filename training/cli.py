"""`evenstore-train`: training datasets, models and scores on the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evenstore.errors import EvenstoreError
from evenstore.processes import interrupt_on_termination

__all__ = ["main"]

_FAILED = 1
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    try:
        # Imported here, as they take most of a second in which an interrupt is one too.
        from training.arguments import parse_arguments
        from training.commands import COMMANDS

        arguments = parse_arguments(argv)
        interrupt_on_termination()
        outcome = COMMANDS[arguments.command](arguments)
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("interrupted: no partial file or folder is left", file=sys.stderr)
        return _INTERRUPTED
    print(outcome.text)
    if outcome.message is not None:
        print(outcome.message, file=sys.stderr)
    return outcome.exit_code
