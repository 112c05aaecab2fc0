"""Starts and stops the gateway of the walk-through, and cleans up one that a crash left behind."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from demo.commands import CommandError, script_path
from demo.settings import DemoSettings
from evenstore.processes import process_start

__all__ = ["Gateway", "find_gateway", "start_gateway", "stop_gateway", "temporary_gateway"]

_READY_S = 60.0
_STOP_S = 15.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway; the process's start time tells it from another that has got its pid."""

    url: str
    pid: int
    started: str


def find_gateway(home: Path) -> Gateway | None:
    """Return the gateway that this home's state names, if it still runs; remove stale state."""
    path = _state_path(home)
    try:
        gateway = Gateway(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        path.unlink(missing_ok=True)
        return None
    if not _is_alive(gateway):
        path.unlink(missing_ok=True)
        return None
    return gateway


def start_gateway(settings: DemoSettings, environ: Mapping[str, str], *, detached: bool) -> Gateway:
    """Start a gateway and wait until it is ready; it ends with this process unless detached.

    Raises:
        CommandError: It ended before it was ready, or was not ready in time.
    """
    log_path = settings.home / "gateway.log"
    with log_path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603 - our own script, no shell.
            [
                str(script_path("evenstore-serve")),
                *("--repo", str(settings.repo)),
                *("--port", str(settings.port)),
                *(() if detached else ("--owner-pid", str(os.getpid()))),
            ],
            cwd=settings.root,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    gateway = None
    try:
        started = process_start(process.pid) or "ended at once"
        # Recorded before it is ready: a crash from here on is cleaned up by the next start.
        _write_state(settings.home, Gateway("", process.pid, started))
        url = _await_url(process, log_path)
        gateway = Gateway(url, process.pid, started)
        _write_state(settings.home, gateway)
    finally:
        if gateway is None:
            stop_gateway(settings.home)
    return gateway


def stop_gateway(home: Path) -> bool:
    """Stop this home's gateway, first with patience; True if one ran."""
    gateway = find_gateway(home)
    if gateway is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline_s = time.monotonic() + _STOP_S
        if _is_alive(gateway):
            with contextlib.suppress(ProcessLookupError):
                os.kill(gateway.pid, number)
        while _is_alive(gateway) and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
    _state_path(home).unlink(missing_ok=True)
    return True


@contextmanager
def temporary_gateway(settings: DemoSettings, environ: Mapping[str, str]) -> Iterator[Gateway]:
    """Run a gateway for the block."""
    try:
        yield start_gateway(settings, environ, detached=False)
    finally:
        stop_gateway(settings.home)


def _await_url(process: subprocess.Popen[str], log_path: Path) -> str:
    """Wait for the line that the gateway prints when its workers are ready."""
    if process.stdout is None:
        msg = "the gateway has no output"
        raise CommandError(msg, exit_code=1)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        is_readable = selector.select(_READY_S)
    line = process.stdout.readline().strip() if is_readable else ""
    if line.startswith("http"):
        return line
    tail = "\n".join(log_path.read_text(encoding="utf-8").strip().splitlines()[-10:])
    msg = f"the gateway did not start\n\n{tail}"
    raise CommandError(msg, exit_code=process.poll() or 1, hint=f"its log is {log_path}")


def _is_alive(gateway: Gateway) -> bool:
    # A process that took the pid over later has another start.
    return process_start(gateway.pid) == gateway.started


def _state_path(home: Path) -> Path:
    return home / "gateway.json"


def _write_state(home: Path, gateway: Gateway) -> None:
    temporary = _state_path(home).with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(gateway)), encoding="utf-8")
    temporary.replace(_state_path(home))
