"""Real gateway processes for tests: a lone worker, and a supervisor with its workers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from serving.listener import base_url, bind_socket, start_listening
from serving.settings import READY_LINE, Limits, WorkerSettings

LIMITS = Limits(max_body_bytes=20_000, max_entity_rows=100, max_features=12, max_values=500)


class Running:
    """A process that answers at `url`, with its log in a file."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
        self.process = process
        self.url = url
        self._log_path = log_path

    @property
    def log(self) -> str:
        return self._log_path.read_text()

    def post(self, body: object, **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/get-online-features", json=body, timeout=60, **options)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60)

    def children(self) -> list[int]:
        """Return the processes whose parent this one is, by asking the system."""
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        )
        pairs = (line.split() for line in listed.stdout.splitlines())
        return [int(pid) for pid, parent in pairs if int(parent) == self.process.pid]


@contextmanager
def run_worker(
    folder: Path,
    schema_path: Path,
    redis_url: str,
    *,
    environ: dict[str, str] | None = None,
    **settings_of_its_own: Any,
) -> Iterator[Running]:
    """Run one worker as the supervisor would, with small limits and time for a slow machine."""
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / "worker.log"
    with bind_socket("127.0.0.1", 0) as listener, log_path.open("wb") as log:
        start_listening(listener)
        chosen: dict[str, Any] = {"redis_timeout_s": 20.0, "drain_s": 60, "limits": LIMITS}
        settings = WorkerSettings(
            name="worker 1",
            listen_fd=listener.fileno(),
            schema_path=str(schema_path),
            redis_url=redis_url,
            schema_poll_s=0.05,
            **(chosen | settings_of_its_own),
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(listener.fileno(),),
            env={**os.environ, **(environ or {})},
        )
        with process:
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(settings.to_json().encode() + b"\n")
                process.stdin.flush()
                assert process.stdout.readline() == READY_LINE, log_path.read_text()
                yield Running(process, base_url(listener), log_path)
            finally:
                process.kill()


@contextmanager
def run_gateway(
    repo: Path, folder: Path, *options: str, has_writer: bool = False
) -> Iterator[Running]:
    """Run `evenstore-serve` on a free port; kills what is left of it at the end.

    Without `has_writer` the process that writes, which imports Feast, starts at the first write.
    """
    if not has_writer:
        options = (*options, "--lazy-writer")
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / "gateway.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*serve_command(repo, folder), *options], stdout=subprocess.PIPE, stderr=log
        )
    running = Running(process, "", log_path)
    with process:
        try:
            assert process.stdout is not None
            running.url = process.stdout.readline().decode().strip()
            assert running.url, running.log
            yield running
        finally:
            if process.poll() is None:
                leftover = running.children()
                process.kill()
                wait_until(lambda: not any(is_alive(pid) for pid in leftover), "workers end")


def serve_command(repo: Path, home: Path, *, port: int = 0) -> list[str]:
    command = [sys.executable, "-m", "serving", "--repo", str(repo), "--home", str(home)]
    # A machine that is busy with other tests is no outage.
    patience = ["--redis-timeout-s", "20", "--writer-timeout-s", "120"]
    return [*command, "--port", str(port), "--registry-poll-s", "0.2", *patience]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended but was not waited for does not."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state = listed.stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that other processes bring about; fails after minutes."""
    limit_s = time.monotonic() + 180
    while not is_so():
        assert time.monotonic() < limit_s, f"waited in vain until {what}"
        time.sleep(0.05)
