"""Renders docs/reference/cli.md from the commands' own help.

`python -m tests.repo.cli_reference` writes it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
    ("evenstore-parity", "check"),
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
    script = Path(sys.executable).parent / command[0]
    done = subprocess.run(
        [str(script), *command[1:], "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
    )
    return done.stdout.rstrip()


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
