"""A redis-server of a test's own, on TCP, that the test may kill and start again."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import redis

from evenstore.redis_binary import find_redis_server
from tests.support.ports import free_port
from tests.support.redis_process import answers, wait_until


class RedisProcess:
    """Keeps its port over restarts and its data never."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [str(find_redis_server()), "--port", str(self.port), "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, "--save", "", "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        assert wait_until(lambda: answers(self.url)), "redis-server did not start"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)
