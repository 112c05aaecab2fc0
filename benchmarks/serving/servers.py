"""The two servers: stock `feast serve` and `evenstore-serve`, one worker each, on a free port."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kept import free_port, kept_process
from benchmarks.serving.cases import STOCK
from benchmarks.serving.processes import tree_use
from evenstore.errors import EvenstoreError

__all__ = ["HOST", "Server", "ServerUse", "running_server"]

HOST = "127.0.0.1"
_ROOT = Path(__file__).resolve().parents[2]
_READY_S = 120.0
_POLL_S = 0.02
_HTTP_OK = 200
_LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class ServerUse:
    """What a server's processes have used until now.

    Attributes:
        cpu_s: Processor time of all of them.
        worker_rss_bytes: Resident memory of the worker.
        total_rss_bytes: Of all; pages that they share count more than once.
    """

    cpu_s: float
    worker_rss_bytes: int
    total_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        contender: Its name.
        port: Where it listens.
        pid: The process that was started.
        ready_s: From its start until it said that it is ready.
        api_key: What it wants to see; None without.
    """

    contender: str
    port: int
    pid: int
    ready_s: float
    api_key: str | None

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://{HOST}:{self.port}"

    def use(self) -> ServerUse:
        """Read what it has used from /proc."""
        tree = tree_use(self.pid)
        workers = [process.rss_bytes for process in tree if process.is_leaf]
        return ServerUse(
            cpu_s=sum(process.cpu_s for process in tree),
            worker_rss_bytes=max(workers, default=0),
            total_rss_bytes=sum(process.rss_bytes for process in tree),
        )


@contextlib.contextmanager
def running_server(contender: str, repo: Path, folder: Path) -> Iterator[Server]:
    """Run the block with a server that is ready.

    Args:
        contender: Which one.
        repo: Its Feast repo.
        folder: For its log and private files; a gateway that ran there before starts from what it
            left.

    Raises:
        EvenstoreError: It did not become ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    port = free_port()
    stock = contender == STOCK
    keys = folder / "keys.json"
    api_key = None if stock else _create_key(keys)
    command = _stock_command(port) if stock else _gateway_command(port, repo, folder, keys)
    started_s = time.monotonic()
    with kept_process(command, log, cwd=repo if stock else _ROOT, environ=_ENVIRON) as pid:
        _await_ready(port, "/health" if stock else "/readyz", log)
        yield Server(contender, port, pid, time.monotonic() - started_s, api_key)


_ENVIRON = {"FEAST_USAGE": "False"}


def _stock_command(port: int) -> list[str]:
    # The defaults recycle the worker every 1,000 requests, and log every request.
    command = [str(Path(sys.executable).with_name("feast")), "serve", "--host", HOST]
    command += ["--port", str(port), "--workers", "1", "--max-requests", "0"]
    return [*command, "--max-requests-jitter", "0", "--no-access-log"]


def _create_key(path: Path) -> str:
    """Make the key that every request carries: checking it is part of what is measured."""
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "serving", "keys", "create", "--file", str(path)]
    command += ["--name", "benchmark", "--scope", "read", "--scope", "write"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"no API key was made: {done.stderr.strip()[-300:]}"
        raise EvenstoreError(msg)
    return done.stdout.strip()


def _gateway_command(port: int, repo: Path, folder: Path, keys: Path) -> list[str]:
    command = [sys.executable, "-m", "serving", "--repo", str(repo), "--home", str(folder)]
    command += ["--port", str(port), "--workers", "1", "--owner-pid", str(os.getpid())]
    # Started with the gateway, the process that writes would take a core of the first rounds.
    return [*command, "--lazy-writer", "--api-keys", str(keys)]


def _await_ready(port: int, path: str, log: Path) -> None:
    ends_s = time.monotonic() + _READY_S
    while time.monotonic() < ends_s:
        connection = http.client.HTTPConnection(HOST, port, timeout=_READY_S)
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(connection),
        ):
            connection.request("GET", path)
            if connection.getresponse().status == _HTTP_OK:
                return
        time.sleep(_POLL_S)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    msg = "the server does not become ready: " + " | ".join(lines[-_LAST_LINES:])
    raise EvenstoreError(msg, hint=f"its whole log is `{log}`")
