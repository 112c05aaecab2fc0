"""Connections to Redis, and its errors as ours: the one place that opens a socket to the store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from evenstore.codec.command import encode_command
from evenstore.errors import (
    ConfigurationError,
    OnlineStoreError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
)

__all__ = [
    "DRIVER_ERRORS",
    "Command",
    "exchange",
    "execute",
    "execute_payload",
    "execute_raw",
    "open_redis",
    "translate_redis_error",
]

Command = tuple[bytes, ...]

# A command that timed out may still run: it is not sent again into a slow server.
_RETRY = Retry(
    ExponentialWithJitterBackoff(base=0.05, cap=0.5), 2, supported_errors=(redis.ConnectionError,)
)

DRIVER_ERRORS = (redis.RedisError, redis.exceptions.RedisClusterException, OSError)
"""Everything that a command can raise; `translate_redis_error` maps all of it."""


def open_redis(url: str, *, timeout_s: float = 10.0) -> redis.Redis:
    """Open a synchronous client; it connects at the first command.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: Longest wait for a connection and for a reply.

    Raises:
        ConfigurationError: The URL asks for replies as text.
    """
    client: redis.Redis = redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=_RETRY,
        protocol=2,
    )
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        msg = "the connection string asks for decoded replies, and rows are bytes"
        raise ConfigurationError(msg, hint="leave `decode_responses` out of it")
    return client


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
        replies = list(pipeline.execute(raise_on_error=False))
    except DRIVER_ERRORS as exc:
        raise translate_redis_error(exc) from exc
    return _refuse_errors(replies)


def execute_raw(client: redis.Redis, commands: Sequence[Command]) -> list[object]:
    """Send commands in one round trip, as `execute` does, for less: bytes only, and repeatable.

    Raises:
        OnlineStoreUnavailableError: Redis cannot be reached or is loading.
        OnlineStoreTimeoutError: Redis did not answer in time.
        OnlineStoreError: Redis refused a command.
    """
    payload = b"".join([encode_command(command) for command in commands])
    return execute_payload(client, payload, len(commands))


def execute_payload(client: redis.Redis, payload: bytes, n_commands: int) -> list[object]:
    """Send commands that are bytes already, as `execute_raw` does.

    Raises:
        OnlineStoreError: As there.
    """
    try:
        replies = exchange(client, [payload], n_replies=n_commands)
    except DRIVER_ERRORS as exc:
        raise translate_redis_error(exc) from exc
    return _refuse_errors(replies)


def exchange(
    client: redis.Redis, pieces: Sequence[bytes | memoryview], *, n_replies: int
) -> list[object]:
    """Send commands that are bytes already, in one round trip, and return their replies.

    A lost connection is opened anew and all is sent again: only for commands that may be repeated.

    Args:
        client: Redis.
        pieces: The commands' bytes, one after the other.
        n_replies: How many commands they are.

    Returns:
        One reply each; an error's is the exception, not raised.
    """
    pool = client.connection_pool

    def attempt() -> list[object]:
        connection = pool.get_connection()
        try:
            connection.send_packed_command(pieces)
            return [_reply(connection) for _ in range(n_replies)]
        except BaseException:
            connection.disconnect()  # Replies that nobody reads would be taken for later ones.
            raise
        finally:
            pool.release(connection)

    return list(_RETRY.call_with_retry(attempt, lambda _: None))


def _reply(connection: Any) -> object:
    try:
        return connection.read_response()
    except redis.ResponseError as exc:
        return exc


def _refuse_errors(replies: list[object]) -> list[object]:
    # The pipeline would raise these itself, but with the command and all its values in the message.
    for reply in replies:
        if isinstance(reply, Exception):
            raise translate_redis_error(reply) from reply
    return replies


def translate_redis_error(exc: BaseException) -> OnlineStoreError:
    """Map an error of the driver or the socket to ours; the most specific line wins."""
    in_script = _SCRIPT_ERROR.search(str(exc))
    kind = _KINDS_IN_SCRIPTS.get(in_script[1], type(exc)) if in_script else type(exc)
    for translation in _TRANSLATIONS:
        if issubclass(kind, translation.kinds):
            return translation.apply(exc)
    return OnlineStoreError(f"Redis refused the command: {_first_line(exc)}")


@dataclass(frozen=True, slots=True)
class _Translation:
    kinds: tuple[type[BaseException], ...]
    error: type[OnlineStoreError]
    what: str
    hint: str

    def apply(self, exc: BaseException) -> OnlineStoreError:
        return self.error(f"{self.what}: {_first_line(exc)}", hint=self.hint)


# Redis before 7 hides the code of an error within a script in its text.
_SCRIPT_ERROR = re.compile(r"@user_script: ?\d+: -?([A-Z]+) ")
_KINDS_IN_SCRIPTS: dict[str, type[BaseException]] = {
    "OOM": redis.OutOfMemoryError,
    "READONLY": redis.ReadOnlyError,
}
_TRANSLATIONS = (
    _Translation(
        (redis.OutOfMemoryError,),
        OnlineStoreError,
        "Redis is out of memory",
        "raise its `maxmemory` and repeat: the refused rows were not written",
    ),
    _Translation(
        (redis.TimeoutError, TimeoutError),
        OnlineStoreTimeoutError,
        "Redis did not answer in time",
        "is it overloaded or far away? `timeout_s` sets how long to wait",
    ),
    _Translation(
        (
            redis.AuthenticationError,
            redis.exceptions.AuthenticationWrongNumberOfArgsError,
            redis.exceptions.AuthorizationError,
            redis.exceptions.ExternalAuthProviderError,
        ),
        OnlineStoreUnavailableError,
        "Redis refused the credentials",
        "check the user and the password in the connection string",
    ),
    _Translation(
        (redis.exceptions.NoPermissionError,),
        OnlineStoreError,
        "the Redis user may not do this",
        "grant it the command and the keys (`ACL SETUSER`)",
    ),
    _Translation(
        (redis.BusyLoadingError,),
        OnlineStoreUnavailableError,
        "Redis is loading its data",
        "wait until it has started, then repeat",
    ),
    _Translation(
        (redis.ReadOnlyError,),
        OnlineStoreUnavailableError,
        "Redis is a replica that takes no writes",
        "connect to the primary",
    ),
    _Translation(
        (
            redis.exceptions.AskError,
            redis.exceptions.ClusterCrossSlotError,
            redis.exceptions.ClusterError,
            redis.exceptions.RedisClusterException,
            redis.exceptions.TryAgainError,
        ),
        OnlineStoreUnavailableError,
        "Redis answered as a cluster or a replica without its primary",
        "connect to a standalone Redis that is up: clusters are not supported yet",
    ),
    _Translation(
        (redis.ConnectionError, OSError),
        OnlineStoreUnavailableError,
        "Redis cannot be reached",
        "is it running? `evenstore redis status` tells for the embedded one",
    ),
)


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
