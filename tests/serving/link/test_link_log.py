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


@pytest.mark.parametrize("end", ["away", "killed", "silent"])
def test_lines_about_the_connection_are_of_no_request(own_redis: RedisProcess, end: str) -> None:
    seen = _Ids()

    async def ask(link: RedisLink, request_id: bytes) -> None:
        REQUEST_ID.set(request_id)
        await link.ping()

    async def main() -> None:
        link = RedisLink(own_redis.url, timeout_s=1 if end == "silent" else 30)
        if end == "away":
            own_redis.kill()
            with pytest.raises(OnlineStoreError):
                await asyncio.create_task(ask(link, b"opener"))
        else:
            await asyncio.create_task(ask(link, b"opener"))
            if end == "silent":
                # So long that nothing is watched any more: the next request starts it anew.
                await asyncio.sleep(1.5)
            own_redis.send(signal.SIGSTOP)
            waiting = asyncio.create_task(ask(link, b"waiting"))
            await asyncio.sleep(0)
            if end == "killed":
                own_redis.kill()
            with pytest.raises(OnlineStoreError):
                await waiting
            if end == "silent":
                own_redis.send(signal.SIGCONT)
        await link.close()

    logger = logging.getLogger("evenstore.serving")
    logger.addHandler(seen)
    try:
        on_loop(main())
    finally:
        logger.removeHandler(seen)
    assert [request_id for _, request_id in seen.lines] == [b""], seen.lines
