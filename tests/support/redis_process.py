"""Processes that start an embedded Redis, as the demo does, and what can be seen of it from
outside.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

__all__ = ["answers", "spawn_starter", "wait_until"]

_STARTER = """
import sys, time
from pathlib import Path
from evenstore.redis_server import start_redis

home, search_path, mode, stay_s = sys.argv[1:]
server = start_redis(Path(home), environ={"PATH": search_path}, detached=mode == "detached")
print(server.pid, server.was_running, server.url, flush=True)
time.sleep(float(stay_s))
"""


def spawn_starter(
    home: Path, search_path: str, *, detached: bool = False, stay_s: float = 60.0
) -> subprocess.Popen[str]:
    """Start a process that starts Redis, prints `pid was_running url` and stays a while."""
    mode = "detached" if detached else "bound"
    return subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(home), search_path, mode, str(stay_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answers(url: str) -> bool:
    """Tell whether a Redis answers at a URL."""
    try:
        with Redis.from_url(url) as client:
            return bool(client.ping())
    except RedisError:
        return False


def wait_until(is_done: Callable[[], bool], *, limit_s: float = 120.0) -> bool:
    """Wait for a condition, with a limit far above the need: no test asserts a time."""
    deadline_s = time.monotonic() + limit_s
    while not is_done():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True
