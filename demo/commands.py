"""Runs the project's commands as a user would: child processes, their output kept in a log."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenstore.errors import EvenstoreError
from evenstore.progress import open_progress

__all__ = [
    "Command",
    "CommandError",
    "CommandRunner",
    "Finished",
    "child_environment",
    "script_path",
]

_AT_ONCE = 2
_TICK_S = 1.0
_POLL_S = 0.02
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
class Command:
    """A console script of this environment, and its arguments."""

    name: str
    arguments: tuple[str | Path, ...]


@dataclass(frozen=True, slots=True)
class CommandRunner:
    """Runs commands of this environment in the clone.

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
        return self.run_all(label, [Command(name, arguments)])[0]

    def run_all(self, label: str, commands: Sequence[Command]) -> list[Finished]:
        """Run commands that do not need each other, two at a time.

        Returns:
            What each had printed, in the order of the commands.

        Raises:
            CommandError: One ended with another code than 0; those still running are stopped.
        """
        waiting = list(enumerate(commands))
        running: dict[int, subprocess.Popen[bytes]] = {}
        finished: dict[int, Finished] = {}
        with (
            tempfile.TemporaryDirectory(prefix="evenstore-demo-") as outputs,
            open_progress(label, unit="s", shows_rate=False) as progress,
        ):
            try:
                while waiting or running:
                    while waiting and len(running) < _AT_ONCE:
                        i, command = waiting.pop(0)
                        running[i] = self._start(command, Path(outputs, str(i)))
                    _wait_a_moment(running)
                    progress.advance()
                    for i in [i for i, process in running.items() if process.poll() is not None]:
                        process = running.pop(i)
                        finished[i] = self._finish(
                            commands[i], Path(outputs, str(i)), process.returncode
                        )
            finally:
                for process in running.values():
                    _end(process)
        return [finished[i] for i in range(len(commands))]

    def _start(self, command: Command, output: Path) -> subprocess.Popen[bytes]:
        # Files, not pipes: nobody has to read while several commands print.
        with (
            output.with_suffix(".out").open("wb") as out,
            output.with_suffix(".err").open("wb") as err,
        ):
            return subprocess.Popen(  # noqa: S603 - our own scripts, no shell.
                _line(command),
                cwd=self.root,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def _finish(self, command: Command, output: Path, exit_code: int) -> Finished:
        stdout = output.with_suffix(".out").read_text(encoding="utf-8", errors="replace")
        stderr = output.with_suffix(".err").read_text(encoding="utf-8", errors="replace")
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(_line(command))}\n{stdout}{stderr}\n")
        if exit_code != 0:
            tail = "\n".join((stdout + stderr).strip().splitlines()[-_TAIL_LINES:])
            msg = f"`{command.name}` ended with exit code {exit_code}\n\n{tail}"
            raise CommandError(msg, exit_code=exit_code, hint=f"the whole output is in {self.log}")
        return Finished(stdout, stderr)


def _line(command: Command) -> list[str]:
    return [str(script_path(command.name)), *map(str, command.arguments)]


def script_path(name: str) -> Path:
    """Return a console script of the running interpreter's environment."""
    return Path(sys.executable).parent / name


def _wait_a_moment(running: Mapping[int, subprocess.Popen[bytes]]) -> None:
    """Return after a second, or when one of the processes has ended."""
    deadline_s = time.monotonic() + _TICK_S
    while time.monotonic() < deadline_s:
        if any(process.poll() is not None for process in running.values()):
            return
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
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
