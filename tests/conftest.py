"""What every test can rely on.

Its own Redis, and an environment no developer's shell can change.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis

from evenstore.redis_server import RedisServer, embedded_redis
from tests.support.schedule import Schedule, sort_longest_first

# Time is never judged here: a slow machine draws slowly. What the examples of a test share, they
# share on purpose. A failure prints what replays it: CI keeps no example database.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ci")

# Threads of scikit-learn that wait for work shall not burn the core that another process needs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Start each shared server once, in one process (pytest-xdist calls this, where it is used)."""
    return Schedule(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Redis, so that `make test-fast` can leave it to `make test`.

    What takes longest comes first, so that no process ends with it alone.
    """
    for item in items:
        if "redis_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.redis)
    sort_longest_first(items)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.startswith("EVENSTORE_") and name != "EVENSTORE_TEST_SCALE":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real server of this test process (one per pytest-xdist worker), stopped at its end."""
    # Without EVENSTORE_REDIS_URL: tests flush their server, so it must never be somebody's own.
    environ = {"PATH": os.environ.get("PATH", "")}
    with embedded_redis(tmp_path_factory.mktemp("redis"), environ=environ) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of the test server, emptied."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url
