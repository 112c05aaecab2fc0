"""A shell as a reader of the documents has one: commands are pasted into it one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Terminal"]

_ENDED = "ended with exit code"


class Terminal:
    """A bash that keeps its variables and folder from command to command.

    Args:
        folder: Where it starts.
        environ: Its environment.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        # With what it runs: a test that was stopped leaves no command at work.
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()

    def run(self, command: str) -> str:
        """Run a command to its end; returns what it printed on both streams.

        Raises:
            AssertionError: It failed; with what it printed.
        """
        assert self._shell.stdin
        assert self._shell.stdout
        # Not the shell's own input, which holds the commands to come.
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null; echo {_ENDED} $?\n")
        self._shell.stdin.flush()
        printed = ""
        for line in self._shell.stdout:
            text, mark, code = line.partition(f"{_ENDED} ")
            printed += text
            if mark:
                assert int(code) == 0, f"{command}\n{printed}"
                return printed
        message = f"the shell ended: {command}\n{printed}"
        raise AssertionError(message)
