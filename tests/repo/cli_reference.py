"""Renders docs/reference/cli.md from the commands' own help.

`python -m tests.repo.cli_reference` writes it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from importlib.metadata import entry_points
from unittest.mock import patch

from parity.commands import COMMANDS
from tests.repo.sources import ROOT

__all__ = ["PATH", "render"]

PATH = ROOT / "docs" / "reference" / "cli.md"

_COMMANDS = (
    ("evenstore",),
    ("evenstore", "redis"),
    ("evenstore", "transform"),
    ("evenstore", "index"),
    ("evenstore", "compact"),
    ("evenstore", "doctor"),
    ("evenstore", "reconcile"),
    ("evenstore-serve",),
    ("evenstore-serve", "keys"),
    ("evenstore-serve", "keys", "create"),
    ("evenstore-serve", "keys", "list"),
    ("evenstore-serve", "keys", "revoke"),
    ("evenstore-train",),
    ("evenstore-train", "dataset"),
    ("evenstore-train", "verify"),
    ("evenstore-train", "fit"),
    ("evenstore-train", "score"),
    ("evenstore-train", "agree"),
    ("evenstore-parity",),
    *(
        ("evenstore-parity", *entry.words)
        for entry in COMMANDS
        if entry.exists and not entry.is_hidden
    ),
)
_HEAD = """\
# Command line

Data goes to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 3
parity violated, 130 interrupted. This page is made from the commands' own help (`python -m
tests.repo.cli_reference`).
"""


def render() -> str:
    """Return the page."""
    sections = [_HEAD]
    for command in _COMMANDS:
        shown = " ".join(command)
        sections.append(f"\n## {shown}\n\n```text\n{_help(command)}\n```\n")
    return "".join(sections)


def _help(command: tuple[str, ...]) -> str:
    """Return what a command prints, without the second that a process of its own would take."""
    (script,) = entry_points(group="console_scripts", name=command[0])
    printed = io.StringIO()
    with (
        patch.object(sys, "argv", [*command, "--help"]),
        patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        script.load()()
    return printed.getvalue().rstrip()


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
