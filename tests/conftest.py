"""What every test can rely on.

Its own Redis, and an environment no developer's shell can change.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from redis import Redis

from evenstore.redis_server import RedisServer, embedded_redis

# Time is never judged here, and a failure prints what replays it: CI keeps no example database.
settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("ci")

# Threads of scikit-learn that wait for work shall not burn the core that another process needs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep tests that share a fixture of their module in one process, which sets it up once."""
    if _shares_module_fixture(item) and not item.get_closest_marker("xdist_group"):
        item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Redis, so that `make test-fast` can leave it to `make test`.

    What takes longest comes first, so that no process ends with it alone.
    """
    for item in items:
        if "redis_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.redis)
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


def _shares_module_fixture(item: pytest.Item) -> bool:
    fixtures = getattr(item, "_fixtureinfo", None)
    defined = {} if fixtures is None else fixtures.name2fixturedefs
    return any(found[-1].scope == "module" for found in defined.values())


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
