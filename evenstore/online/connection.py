"""Connections to Redis, and its errors as ours: the one place that opens a socket to the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from evenstore.errors import (
    EvenstoreError,
    OnlineStoreError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
)

__all__ = [
    "Command",
    "execute",
    "execute_async",
    "open_async_redis",
    "open_redis",
    "translate_redis_error",
]

Command = tuple[bytes, ...]

_UNAVAILABLE_HINT = "is Redis running? `evenstore redis status` tells for the embedded one"


def open_redis(url: str, *, timeout_s: float = 10.0) -> redis.Redis:
    """Open a synchronous client; it connects at the first command.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: Longest wait for a connection and for a reply.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
        protocol=2,
    )


def open_async_redis(
    url: str, *, timeout_s: float = 1.0, max_connections: int = 32
) -> redis.asyncio.Redis:
    """Open an asynchronous client for one event loop; it connects at the first command.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: Longest wait for a connection and for a reply.
        max_connections: Bound of the pool; a request waits for a free one.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        max_connections=max_connections,
        protocol=2,
    )
    return redis.asyncio.Redis.from_pool(pool)


def execute(client: redis.Redis, commands: Iterable[Sequence[bytes | str | int]]) -> list[object]:
    """Send commands in one pipelined round trip and return one reply each.

    Raises:
        OnlineStoreUnavailableError: Redis cannot be reached or is loading.
        OnlineStoreTimeoutError: Redis did not answer in time.
        OnlineStoreError: Redis refused a command.
    """
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    try:
        return list(pipeline.execute())
    except (redis.RedisError, OSError) as exc:
        raise translate_redis_error(exc) from exc


async def execute_async(
    client: redis.asyncio.Redis, commands: Iterable[Sequence[bytes | str | int]]
) -> list[object]:
    """Send commands in one pipelined round trip; the asynchronous twin of `execute`."""
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    try:
        return list(await pipeline.execute())
    except (redis.RedisError, OSError, TimeoutError) as exc:
        raise translate_redis_error(exc) from exc


def translate_redis_error(exc: BaseException) -> EvenstoreError:
    """Map an error of the driver or the socket to ours; the most specific line wins."""
    for kinds, error, what in _TRANSLATIONS:
        if isinstance(exc, kinds):
            return error(f"{what}: {_first_line(exc)}", hint=_UNAVAILABLE_HINT)
    return OnlineStoreError(f"Redis refused the command: {_first_line(exc)}")


_TRANSLATIONS: tuple[tuple[tuple[type[BaseException], ...], type[OnlineStoreError], str], ...] = (
    (
        (redis.TimeoutError, TimeoutError),
        OnlineStoreTimeoutError,
        "Redis did not answer in time",
    ),
    (
        (redis.AuthenticationError, redis.exceptions.AuthorizationError),
        OnlineStoreUnavailableError,
        "Redis refused the credentials",
    ),
    ((redis.BusyLoadingError,), OnlineStoreUnavailableError, "Redis is loading its data"),
    ((redis.ConnectionError, OSError), OnlineStoreUnavailableError, "Redis cannot be reached"),
)


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
