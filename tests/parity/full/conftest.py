from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis import Redis

from evenstore.redis_server import RedisServer
from evenstore.schema.model import Layout
from tests.parity.full.taxis import Taxis, open_taxis


@pytest.fixture(scope="module", params=list(Layout), ids=lambda layout: layout.value)
def loaded_taxis(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Taxis]:
    """A loaded repo in either layout; `taxis` mends what a test damages."""
    layout: Layout = request.param
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        folder = tmp_path_factory.mktemp("taxis")
        yield open_taxis(folder, redis_server.url, client, layout)


@pytest.fixture
def taxis(loaded_taxis: Taxis) -> Iterator[Taxis]:
    """The repo, which the test may damage: Redis and the sources are put back afterwards."""
    client = loaded_taxis.redis
    rows = {key: client.execute_command("DUMP", key) for key in client.scan_iter()}
    files = set(loaded_taxis.source.iterdir())
    yield replace(loaded_taxis)
    client.flushall()
    for key, row in rows.items():
        client.execute_command("RESTORE", key, 0, row)
    for added in set(loaded_taxis.source.iterdir()) - files:
        added.unlink()
