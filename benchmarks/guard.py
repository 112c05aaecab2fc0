"""A child process with a time limit and a memory guard; none outlives the one that started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

__all__ = ["Ended", "Limits", "rss_bytes", "run_guarded"]

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may take.

    Attributes:
        time_s: Seconds from its start.
        memory_bytes: Resident memory; watched where there is a /proc.
    """

    time_s: float = 300
    memory_bytes: int = 14_000_000_000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes:
        how: By itself, or killed for what it took.
        exit_code: Its exit code.
        output: What it wrote to stdout.
        errors: What it wrote to stderr.
    """

    how: Literal["exited", "timeout", "memory"]
    exit_code: int
    output: str
    errors: str


def run_guarded(command: Sequence[str], *, limits: Limits, cwd: Path | None = None) -> Ended:
    """Run a command to its end, or kill it and its children when it takes too much.

    An exception, Ctrl-C included, kills it too.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        # In a session of its own, a Ctrl-C at the terminal reaches this process alone.
        child = subprocess.Popen(
            command, stdout=output, stderr=errors, cwd=cwd, start_new_session=True
        )
        try:
            how = _watch(child, limits)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            exit_code = child.wait()
        return Ended(how, exit_code, _text_of(output), _text_of(errors))


def _watch(
    child: subprocess.Popen[bytes], limits: Limits
) -> Literal["exited", "timeout", "memory"]:
    ends_s = time.monotonic() + limits.time_s
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_POLL_S)
            return "exited"
        if time.monotonic() > ends_s:
            return "timeout"
        if rss_bytes(child.pid) > limits.memory_bytes:
            return "memory"


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 where there is no such process, or no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _text_of(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")
