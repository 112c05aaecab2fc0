"""A redis-server on TCP: stock Feast's `localhost:6379` has no form for the embedded one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evenstore.redis_binary import find_redis_server
from tests.support.ports import free_port
from tests.support.redis_process import answers, wait_until

__all__ = ["redis_on_tcp"]


@contextmanager
def redis_on_tcp(folder: Path) -> Iterator[int]:
    """Run a server on a free port, without persistence; yields the port."""
    port = free_port()
    command = [str(find_redis_server()), "--port", str(port), "--bind", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        assert wait_until(lambda: answers(f"redis://127.0.0.1:{port}/0"))
        yield port
    finally:
        server.kill()
        server.wait()
