"""A client of the test's Redis, and each layout in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from evenstore.online.connection import open_redis
from evenstore.schema.model import Layout


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


@pytest.fixture(params=list(Layout), ids=lambda layout: layout.value)
def layout(request: pytest.FixtureRequest) -> Layout:
    chosen: Layout = request.param
    return chosen
