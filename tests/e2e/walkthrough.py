"""Runs `python -m demo` as `make` does, in a home of its own."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from demo.__main__ import main
from tests.repo.sources import ROOT

__all__ = [
    "SMALL",
    "call_demo",
    "left_running",
    "run_command",
    "run_demo",
    "start_demo",
]

SMALL = ("--customers", "60", "--lines", "4000")
"""A small shop: every step is real, none takes long."""

_LIMIT_S = 800


def run_demo(
    command: str, home: Path, *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m demo` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "demo", command, *arguments],
        cwd=ROOT,
        env=_environment(home) | (environ or {}),
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )


def call_demo(
    command: str, home: Path, *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Do as `run_demo`, in this process: for commands that end before they start another."""
    stdout, stderr = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with (
            patch.dict(os.environ, _environment(home) | (environ or {})),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            code = main([command, *arguments])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess(command, code, stdout.getvalue(), stderr.getvalue())


def start_demo(home: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    """Start `python -m demo run` in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "run", *arguments],
        cwd=ROOT,
        env=_environment(home) | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_command(home: Path, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a console script of this environment against a walk-through's home."""
    name, *arguments = map(str, command)
    return subprocess.run(
        [str(Path(sys.executable).parent / name), *arguments],
        cwd=ROOT,
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )


def left_running(home: Path) -> list[str]:
    """Name what a walk-through left running or recorded as running."""
    listed = subprocess.run(
        ["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True
    )
    processes = [line for line in listed.stdout.splitlines() if str(home) in line]
    return processes + [
        str(path) for path in (home / "redis/server.json", home / "gateway.json") if path.exists()
    ]


def _environment(home: Path) -> dict[str, str]:
    # A Python under test, such as pytest, leaves variables that a user's shell does not have.
    return {**os.environ, "EVENSTORE_HOME": str(home), "EVENSTORE_FEATURES": str(home / "features")}
