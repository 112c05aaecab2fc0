"""Runs the project's commands as a user would: child processes, their output kept in a log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenstore.errors import EvenstoreError
from evenstore.progress import open_progress

__all__ = ["CommandError", "CommandRunner", "Finished", "child_environment", "script_path"]

_TICK_S = 1.0
_STOP_S = 10.0
_TAIL_LINES = 15


class CommandError(EvenstoreError):
    """A command of the walk-through failed; carries its exit code."""

    code = "demo-command"

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        self.exit_code = exit_code
        super().__init__(message, hint=hint)


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command that ended well had printed."""

    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class CommandRunner:
    """Runs commands of this environment in the clone, one after the other.

    Attributes:
        root: Working folder.
        log: File that gets every command's output.
        environ: The children's environment.
    """

    root: Path
    log: Path
    environ: Mapping[str, str]

    def run(self, label: str, name: str, *arguments: str | Path) -> Finished:
        """Run a console script of this environment to its end; `label` is shown meanwhile.

        Raises:
            CommandError: It ended with another code than 0; the message has its last lines.
        """
        command = [str(script_path(name)), *map(str, arguments)]
        process = subprocess.Popen(  # noqa: S603 - our own scripts, no shell.
            command,
            cwd=self.root,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            stdout, stderr = _wait(process, label)
        finally:
            _end(process)
        self._keep(command, stdout, stderr)
        if process.returncode != 0:
            tail = "\n".join((stdout + stderr).strip().splitlines()[-_TAIL_LINES:])
            msg = f"`{name}` ended with exit code {process.returncode}\n\n{tail}"
            raise CommandError(
                msg, exit_code=process.returncode, hint=f"the whole output is in {self.log}"
            )
        return Finished(stdout, stderr)

    def _keep(self, command: Sequence[str], stdout: str, stderr: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{stdout}{stderr}\n")


def script_path(name: str) -> Path:
    """Return a console script of the running interpreter's environment."""
    return Path(sys.executable).parent / name


def _wait(process: subprocess.Popen[str], label: str) -> tuple[str, str]:
    with open_progress(label, unit="s", shows_rate=False) as progress:
        while True:
            try:
                return process.communicate(timeout=_TICK_S)
            except subprocess.TimeoutExpired:
                progress.advance()


def _end(process: subprocess.Popen[str]) -> None:
    """Leave no child behind, also after Ctrl-C, which the terminal has sent to it as well."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def child_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with changes."""
    return {**os.environ, **changes}
