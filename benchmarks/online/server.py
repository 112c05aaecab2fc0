"""The Redis of one measurement: a real redis-server, empty, on a free port of this machine.

Its settings are Redis' own but for two: it writes no file, and it refuses to grow without bound.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.kept import free_port, kept_process
from evenstore.errors import OnlineStoreUnavailableError
from evenstore.redis_binary import find_redis_server

__all__ = ["MeasuredServer", "ServerUse", "measured_server", "server_version"]

_START_S = 60.0
_POLL_S = 0.02
_LAST_LINES = 3


@dataclass(frozen=True, slots=True)
class ServerUse:
    """What a server has used until now.

    Attributes:
        cpu_s: Processor time, system included.
        data_bytes: Memory but for the buffers of connections.
    """

    cpu_s: float
    data_bytes: int


@dataclass(frozen=True, slots=True)
class MeasuredServer:
    """A running server.

    Attributes:
        port: Where it listens.
        pid: Its process.
    """

    port: int
    pid: int

    def use(self) -> ServerUse:
        """Ask what it has used."""
        with redis.Redis(port=self.port) as client:
            cpu = client.info("cpu")
            memory = client.info("memory")
        buffers = memory.get("mem_clients_normal", 0) + memory.get("mem_clients_slaves", 0)
        return ServerUse(
            cpu_s=cpu["used_cpu_user"] + cpu["used_cpu_sys"],
            data_bytes=memory["used_memory"] - buffers,
        )


@contextlib.contextmanager
def measured_server(folder: Path, *, max_bytes: int) -> Iterator[MeasuredServer]:
    """Run the block with a server of its own, which holds what `dump.rdb` in the folder has.

    Args:
        folder: For its log; empty, or with a snapshot.
        max_bytes: What it may hold; more is refused with an error, nothing is evicted.

    Raises:
        ConfigurationError: No server program.
        OnlineStoreUnavailableError: It does not answer.
    """
    binary = find_redis_server()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "redis.log"
    port = free_port()
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--maxmemory", str(max_bytes), "--dir", str(folder)]
    with kept_process(command, log) as pid:
        _await_answer(port, pid, log)
        yield MeasuredServer(port, pid)


def server_version() -> str:
    """Name the server program's version."""
    done = subprocess.run(
        [str(find_redis_server()), "--version"], capture_output=True, text=True, check=False
    )
    words = [word for word in done.stdout.split() if word.startswith("v=")]
    return words[0].removeprefix("v=") if words else "unknown"


def _await_answer(port: int, pid: int, log: Path) -> None:
    ends_s = time.monotonic() + _START_S
    while time.monotonic() < ends_s:
        with contextlib.suppress(redis.RedisError), redis.Redis(port=port) as client:
            # Another server may have taken the port in between.
            # An error while a snapshot is being read.
            if client.info("server")["process_id"] == pid and client.ping():
                return
        time.sleep(_POLL_S)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    msg = "redis-server does not answer: " + " | ".join(lines[-_LAST_LINES:])
    raise OnlineStoreUnavailableError(msg, hint="is there memory left? run again")
