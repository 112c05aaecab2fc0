from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.redis_process import RedisProcess


@pytest.fixture(scope="package")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A Redis that keeps running; `key:i` holds `value:i`."""
    server = RedisProcess(tmp_path_factory.mktemp("redis"))
    server.start()
    fill(server)
    yield server
    server.kill()


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """One that the test may stop; `key:i` holds `value:i`."""
    server = RedisProcess(tmp_path_factory.mktemp("redis"))
    server.start()
    fill(server)
    yield server
    server.kill()


def fill(server: RedisProcess) -> None:
    with server.client() as client:
        client.mset({f"key:{i}": f"value:{i}" for i in range(N_KEYS)})


N_KEYS = 500
