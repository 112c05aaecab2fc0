"""A server of a measurement, which ends with the process that started it, however that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["free_port", "kept_process"]

# The shell ends the server when its own input ends, which a SIGKILL of the writer brings about too.
_KEEPER = (
    '"$@" </dev/null >"$LOG" 2>&1 & pid=$!; echo $pid; read _; kill $pid 2>/dev/null; wait $pid'
)
_STOP_S = 30.0


@contextlib.contextmanager
def kept_process(
    command: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Run the block with a server beside it; yields the server's process id.

    Args:
        command: Program and arguments.
        log: Where its output goes.
        cwd: Its working folder.
        environ: Added to this process' environment.
    """
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **(environ or {}), "LOG": str(log)},
        # A Ctrl-C at the terminal must reach the benchmark first, which then stops its servers.
        start_new_session=True,
    )
    try:
        yield int(keeper.stdout.readline()) if keeper.stdout else 0
    finally:
        try:
            keeper.communicate("", timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            # The server is in the keeper's own session.
            os.killpg(keeper.pid, signal.SIGKILL)
            keeper.communicate()


def free_port() -> int:
    """Return a port of this machine that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
