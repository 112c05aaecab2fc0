"""Processes of the operating system.

Started without a parent, and told from later ones with their pid.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = [
    "deferred_signals",
    "interrupt_on_termination",
    "process_start",
    "process_start_by_ps",
    "spawn",
]


def process_start(pid: int) -> str | None:
    """Return what tells a process from a later one with its pid; None when it has ended."""
    if not Path("/proc/self/stat").exists():
        return process_start_by_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name may hold blanks and parentheses; the fields begin after the last one.
    state, *fields = stat.rpartition(")")[2].split()
    # The main thread of a killed server may have ended while others still hold its sockets.
    if state in "ZX" and int(fields[16]) <= 1:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{fields[18]} ticks after boot {boot}"


def process_start_by_ps(pid: int) -> str | None:
    """Do the same where there is no /proc, as on macOS."""
    # Without a fixed zone and language, the same start would read differently later.
    plain = {"LC_ALL": "C", "TZ": "UTC"}
    line = _output_of(["/bin/ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)], env=plain)
    state, _, started = line.partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def spawn(command: list[str], *, log: Path) -> int:
    """Start a process that is nobody's child, in a session of its own; return its pid.

    Its output is appended to `log`.

    The shell between ends at once. So a starter has nothing to reap, and a Ctrl-C in its terminal
    does not reach the process.
    """
    script = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'
    return int(_output_of(["/bin/sh", "-c", script, "sh", str(log), *command]))


def _output_of(command: list[str], *, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(  # noqa: S603 - no shell; the words are ours and paths of this machine
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        start_new_session=True,
        env=env,
        cwd="/",
    )
    return done.stdout.strip()


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Hold an interrupt back while a process exists that no state file knows of yet."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [
        signal.signal(number, lambda received, _: arrived.append(received)) for number in numbers
    ]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            # None stands for a handler that Python did not install and cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for received in arrived:
            signal.raise_signal(received)


def interrupt_on_termination() -> None:
    """Let SIGTERM and SIGHUP end the main thread as Ctrl-C does, so that it cleans up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
