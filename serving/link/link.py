"""The way to Redis of all requests of a worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any

from evenstore.codec.command import encode_command
from evenstore.errors import OnlineStoreError, OnlineStoreUnavailableError
from serving.link.address import parse_address
from serving.link.circuit import Circuit
from serving.link.connection import Bounds, LinkConnection, Receiver
from serving.link.failures import CLOSED, Failure, check, check_greeting, connect_failure

__all__ = ["RedisLink", "check"]

logger = logging.getLogger("evenstore.serving")

_MEGABYTE = 1024 * 1024

Command = tuple[bytes, ...]


class _FutureReply:
    """Replies that somebody waits for, who may give up meanwhile."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Any]] = loop.create_future()

    def take(self, replies: list[Any]) -> None:
        if not self.future.done():
            self.future.set_result(replies)

    def fail(self, error: OnlineStoreError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class RedisLink:
    """Sends the commands of concurrent requests over one connection; belongs to one event loop.

    The connection is opened when it is needed, so that a worker starts without Redis. After three
    failures in a row (no connection, or no answer in time) requests fail at once, and only probes
    ask whether Redis is back, every 0.2 s to 1 s: no restart is needed.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with user, password and database.
        timeout_s: Longest wait of a request, from `send` to its last reply, for a connection too.
        max_pending: Most requests under way.
        max_reply_bytes: Longest answer to one request.
        max_unsent_bytes: Most bytes of requests that Redis has not taken yet.
        circuit: When to stop asking.

    Raises:
        ConfigurationError: The URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        max_pending: int = 1024,
        max_reply_bytes: int = 64 * _MEGABYTE,
        max_unsent_bytes: int = 16 * _MEGABYTE,
        circuit: Circuit | None = None,
    ) -> None:
        self._address = parse_address(url)
        self._bounds = Bounds(timeout_s, max_pending, max_unsent_bytes, max_reply_bytes)
        self._circuit = circuit or Circuit()
        self._connection: LinkConnection | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._last_failure: Failure | None = None
        self._is_closed = False
        self._n_connections = 0
        self._n_timeouts = 0

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open: requests are refused until Redis answers again."""
        return self._circuit.is_open

    @property
    def n_pending(self) -> int:
        """How many requests have no answer yet."""
        return 0 if self._connection is None else self._connection.n_pending

    @property
    def n_reconnects(self) -> int:
        """How many connections came after the first one."""
        return max(0, self._n_connections - 1)

    @property
    def n_timeouts(self) -> int:
        """How many requests got no answer in time."""
        return self._n_timeouts

    def send(self, payload: bytes, n_replies: int) -> asyncio.Future[list[Any]]:
        """Do as `ask` for callers that wait: return a future of the replies; it may be cancelled.

        Raises:
            OnlineStoreUnavailableError: As there.
            OverloadedError: As there.
        """
        reply = _FutureReply()
        self.ask(payload, n_replies, reply)
        return reply.future

    def ask(self, payload: bytes, n_replies: int, receiver: Receiver) -> None:
        """Send commands that are RESP already; call it from the event loop.

        Args:
            payload: One command or several, one after the other.
            n_replies: How many commands they are, at least one. A wrong number ends the connection
                or gives later requests wrong replies.
            receiver: Takes the replies in order: bytes, int, None, a list, or a
                `hiredis.ReplyError`, which is given, not raised: see `check`. Or it hears of an
                `OnlineStoreTimeoutError`, `OnlineStoreUnavailableError` or `OnlineStoreError`.
                Never before this returns.

        Raises:
            OnlineStoreUnavailableError: The circuit is open, or the link is closed.
            OverloadedError: Too much is under way; nothing was sent.
        """
        connection = self._connection
        if connection is None:
            connection = self._open()
        connection.send(payload, n_replies, receiver)

    async def read(self, commands: Sequence[Command]) -> list[object]:
        """Send commands in one round trip and return one reply each.

        Raises:
            OnlineStoreUnavailableError: Redis cannot be reached, or is loading.
            OnlineStoreTimeoutError: Redis did not answer in time.
            OnlineStoreError: Redis refused a command.
            OverloadedError: Too much is under way; nothing was sent.
        """
        if not commands:
            return []
        payload = b"".join([encode_command(command) for command in commands])
        replies = await self.send(payload, len(commands))
        check(replies)
        return replies

    async def ping(self) -> None:
        """Ask Redis for a sign of life; raises what `read` raises."""
        await self.read([(b"PING",)])

    async def close(self) -> None:
        """End the connection; what is still under way fails. A second call does nothing."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.end(CLOSED)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _open(self) -> LinkConnection:
        if self._is_closed:
            raise CLOSED.to_error()
        if self._circuit.is_open:
            raise self._refusal()
        connection = self._connection = self._new_connection()
        self._start(self._connect(connection))
        return connection

    def _refusal(self) -> OnlineStoreUnavailableError:
        why = (
            ""
            if self._last_failure is None
            else f"; the last attempt: {self._last_failure.message}"
        )
        return OnlineStoreUnavailableError(
            f"Redis is away and is not asked for the moment{why}",
            hint=None if self._last_failure is None else self._last_failure.hint,
        )

    def _new_connection(self) -> LinkConnection:
        return LinkConnection(asyncio.get_running_loop(), self._bounds, self._on_end)

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        # All requests share a connection: the lines about it are not of the one that opened it.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: LinkConnection) -> bool:
        """Open a connection; whatever hinders it ends it with that reason.

        Returns:
            Whether it can be used.
        """
        address = self._address
        try:
            async with asyncio.timeout(self._bounds.timeout_s):
                await address.connect(lambda: connection)
                greeted = _FutureReply()
                connection.greet(address.encoded_greeting, len(address.greeting), greeted)
                check_greeting(await greeted.future)
        except asyncio.CancelledError:
            connection.end(CLOSED)
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            connection.end(connect_failure(exc))
            return False
        if not connection.begin():
            return False
        self._n_connections += 1
        self._note_success()
        return True

    async def _probe(self) -> None:
        loop = asyncio.get_running_loop()
        while self._circuit.is_open:
            await asyncio.sleep(self._circuit.seconds_to_probe(loop.time()))
            self._circuit.begin_probe(loop.time())
            connection = self._new_connection()
            if await self._connect(connection):
                # Only now: requests that come during a probe are refused, not made to wait.
                self._connection = connection

    def _on_end(self, connection: LinkConnection, failure: Failure | None) -> None:
        if self._connection is connection:
            self._connection = None
        self._n_timeouts += connection.n_timeouts
        if failure is None or failure is CLOSED:
            return
        was_open, was_failing = self._circuit.is_open, self._circuit.is_failing
        self._last_failure = failure
        if failure.counts:
            self._circuit.note_failure(asyncio.get_running_loop().time())
        if not was_failing:
            # Once per outage: a line per request would bury everything else.
            logger.error("%s (%s)", failure.message, self._address.text)
        if self._circuit.is_open and not was_open:
            self._start(self._probe())

    def _note_success(self) -> None:
        if self._circuit.is_failing:
            logger.warning("Redis answers again")
        self._circuit.note_success()
