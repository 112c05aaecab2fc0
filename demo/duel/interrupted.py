"""A run that is stopped at the moment when it has begun: for good, or for a while."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from demo.commands import CommandError
from demo.duel.side import Running

__all__ = ["await_begun", "kill", "pause", "registry_state", "resume"]

_POLL_S = 0.002
_SETTLED_S = 0.01
_DEADLINE_S = 120.0

_State = tuple[int, int]


def await_begun(run: Running, registry: Path, before: _State) -> None:
    """Return when Feast has noted in its registry that a run is under way.

    Args:
        run: The run.
        registry: The registry's file.
        before: What `registry_state` was before the run started.

    Raises:
        CommandError: It ended, or said nothing for two minutes.
    """
    deadline_s = time.monotonic() + _DEADLINE_S
    while registry_state(registry) == before:
        if run.process.poll() is not None or time.monotonic() > deadline_s:
            run.process.kill()
            msg = f"`{' '.join(run.line)}` noted no begin in {registry}"
            raise CommandError(msg, exit_code=1, hint=f"its output is in {run.log}")
        time.sleep(_POLL_S)
    # Feast writes the file in place: let it end.
    state = registry_state(registry)
    time.sleep(_SETTLED_S)
    while registry_state(registry) != state:
        state = registry_state(registry)
        time.sleep(_SETTLED_S)


def registry_state(registry: Path) -> _State:
    """Return what changes when a registry is written."""
    found = registry.stat()
    return found.st_mtime_ns, found.st_size


def kill(run: Running) -> None:
    """End a run as a machine that fails does."""
    run.process.kill()
    run.process.wait()


def pause(run: Running) -> None:
    """Let a run stand still where it is."""
    run.process.send_signal(signal.SIGSTOP)


def resume(run: Running) -> None:
    """Let a paused run go on."""
    run.process.send_signal(signal.SIGCONT)
