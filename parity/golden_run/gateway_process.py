"""A gateway of a run's own: started at once, waited for when it is needed, ended with the run."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from evenstore.clock import format_us
from evenstore.errors import ParityError
from evenstore.processes import deferred_signals

__all__ = ["GatewayProcess", "run_gateway"]

_READY_S = 120.0
_STOP_S = 15.0
_TAIL_LINES = 10
_LOG_NAME = "gateway.log"


class GatewayProcess:
    """A gateway that was started; `wait_until_ready` gives its base URL."""

    def __init__(self, process: subprocess.Popen[str], log_path: Path) -> None:
        self._process = process
        self._log_path = log_path

    def wait_until_ready(self) -> str:
        """Return the base URL when the gateway takes requests.

        Raises:
            ParityError: It ended, or took too long; with the last lines of its log.
        """
        line = _read_line(self._process.stdout, _READY_S)
        if line.startswith("http"):
            return line
        log = self._log_path.read_text(encoding="utf-8", errors="replace").strip()
        told = "the run's own gateway did not start; its log ends with:"
        msg = "\n  ".join([told, *log.splitlines()[-_TAIL_LINES:]])
        raise ParityError(msg, hint="does `evenstore-serve --repo PATH` start on the repo itself?")


@contextmanager
def run_gateway(repo: Path, folder: Path, *, frozen_us: int) -> Iterator[GatewayProcess]:
    """Run a gateway for the block; it also ends when this process is killed.

    It is in test mode, so that requests name their instants, and its clock stands still.

    Args:
        repo: Folder of its Feast repo.
        folder: For its log and what it compiles.
        frozen_us: What its clock shows.

    Raises:
        ParityError: It cannot be started.
    """
    log_path = folder / _LOG_NAME
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FEAST_")},
        "EVENSTORE_TEST_MODE": "1",
        "EVENSTORE_FROZEN_TIME": format_us(frozen_us),
    }
    with log_path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603 - our own script, no shell.
            [
                str(_script()),
                *("--repo", str(repo), "--home", str(folder / "home")),
                *("--port", "0", "--no-writes", "--test-mode"),
                *("--owner-pid", str(os.getpid())),
                *("--redis-timeout-s", "10"),
            ],
            cwd=repo,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # A Ctrl-C in the terminal is for the run, which ends its gateway itself.
            start_new_session=True,
        )
    try:
        yield GatewayProcess(process, log_path)
    finally:
        with deferred_signals():
            _end(process)


def _script() -> Path:
    script = Path(sys.executable).parent / "evenstore-serve"
    if not script.is_file():
        msg = f"there is no `{script}`"
        raise ParityError(msg, hint="install evenstore into this environment")
    return script


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _read_line(stream: IO[str] | None, timeout_s: float) -> str:
    if stream is None:
        return ""
    deadline_s = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while time.monotonic() < deadline_s:
            if selector.select(timeout_s):
                return stream.readline().strip()
    return ""
