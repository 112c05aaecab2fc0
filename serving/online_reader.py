"""A worker's way to Redis: one round trip per request, and one log line per outage."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from evenstore.errors import OnlineStoreError
from evenstore.online.connection import Command, execute_async, open_async_redis

__all__ = ["OnlineReader"]

logger = logging.getLogger("evenstore.serving")


class OnlineReader:
    """Sends commands over a pool of connections; belongs to one event loop.

    Connections are opened when they are needed, so that a worker starts without Redis and recovers
    by itself when Redis is back.
    """

    def __init__(self, url: str, *, timeout_s: float, max_connections: int) -> None:
        self._client = open_async_redis(url, timeout_s=timeout_s, max_connections=max_connections)
        self._is_failing = False

    async def read(self, commands: Sequence[Command]) -> list[object]:
        """Send commands in one round trip and return one reply each.

        Raises:
            OnlineStoreUnavailableError: Redis cannot be reached.
            OnlineStoreTimeoutError: Redis did not answer in time.
            OnlineStoreError: Redis refused a command.
        """
        if not commands:
            return []
        try:
            replies = await execute_async(self._client, commands)
        except OnlineStoreError as exc:
            self._note_failure(exc)
            raise
        if self._is_failing:
            self._is_failing = False
            logger.warning("Redis answers again")
        return replies

    async def ping(self) -> None:
        """Ask Redis for a sign of life; raises what `read` raises."""
        await self.read([(b"PING",)])

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _note_failure(self, exc: OnlineStoreError) -> None:
        # Once per outage: a line per request would bury everything else.
        if not self._is_failing:
            self._is_failing = True
            logger.error("%s", exc.message)
