"""A redis-server that may be killed, started again and paused, and keeps what it acknowledged."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

import redis

from evenstore.redis_binary import find_redis_server
from tests.support.ports import free_port
from tests.support.redis_process import wait_until

__all__ = ["DurableRedis"]


class DurableRedis:
    """Keeps its port, and its rows in a file: a kill loses nothing that a writer was told of."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        # Each write reaches the kernel before it is acknowledged; the disk may take its time.
        self._command = [
            *(str(find_redis_server()), "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--dir", str(folder), "--save", "", "--appendonly", "yes", "--appendfsync", "no"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> float:
        """Start, wait for the first answer, and return its monotonic instant."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        assert wait_until(self._answers)
        return time.monotonic()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> float:
        """Let it run on; returns the monotonic instant."""
        self._send(signal.SIGCONT)
        return time.monotonic()

    def cut_connections(self) -> None:
        """Close the connection of every client."""
        with redis.Redis(port=self.port) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain:
                plain.sendall(b"PING\r\n")
                return plain.recv(100).startswith(b"+PONG")
        except OSError:
            return False
