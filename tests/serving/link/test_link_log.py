"""What the log says of a connection, and of whom."""

from __future__ import annotations

import asyncio
import logging
import signal

import pytest
from typing_extensions import override

from evenstore.errors import OnlineStoreError
from serving.guard.request_id import REQUEST_ID
from serving.link.link import RedisLink
from tests.serving.link.servers import on_loop
from tests.serving.redis_process import RedisProcess

pytestmark = [pytest.mark.redis, pytest.mark.slow]


class _Ids(logging.Handler):
    """Keeps each line with the request that the gateway's log would give it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, bytes]] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.getMessage(), REQUEST_ID.get()))


@pytest.mark.parametrize("is_away_first", [False, True])
def test_lines_about_the_connection_are_not_of_the_request_that_opened_it(
    own_redis: RedisProcess, is_away_first: bool
) -> None:
    seen = _Ids()

    async def ask(link: RedisLink, request_id: bytes) -> None:
        REQUEST_ID.set(request_id)
        await link.ping()

    async def main() -> None:
        link = RedisLink(own_redis.url, timeout_s=30)
        if is_away_first:
            own_redis.kill()
            with pytest.raises(OnlineStoreError):
                await asyncio.create_task(ask(link, b"opener"))
        else:
            await asyncio.create_task(ask(link, b"opener"))
            own_redis.send(signal.SIGSTOP)
            waiting = asyncio.create_task(ask(link, b"waiting"))
            await asyncio.sleep(0)
            own_redis.kill()
            with pytest.raises(OnlineStoreError):
                await waiting
        await link.close()

    logger = logging.getLogger("evenstore.serving")
    logger.addHandler(seen)
    try:
        on_loop(main())
    finally:
        logger.removeHandler(seen)
    assert [request_id for _, request_id in seen.lines] == [b""], seen.lines
