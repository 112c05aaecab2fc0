"""One connection to Redis that concurrent requests share: written in order, answered in order.

A connection is used until the first thing goes wrong and is then dropped with all its requests: a
reply that comes late can never be taken for the answer to another request.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Protocol, cast

import hiredis
from typing_extensions import override

from evenstore.errors import OnlineStoreError, OnlineStoreTimeoutError
from serving.errors import OverloadedError
from serving.link.failures import (
    CLOSED,
    NOT_REDIS,
    SILENT,
    TOO_LARGE,
    WENT_SILENT,
    Failure,
    lost_failure,
)

__all__ = ["Bounds", "LinkConnection", "Receiver"]

_INCOMPLETE: Any = object()
_LATE_S = 0.01
"""What a reply gets on top that may lie in the socket already, while the loop was busy."""


class Receiver(Protocol):
    """Whoever sent commands; hears once what became of them, and must not raise.

    Called from within the connection, in its context: a future would cost a turn of the event loop
    and a tenth of what a small lookup takes.
    """

    def take(self, replies: list[Any]) -> None:
        """Take the replies, in order."""

    def fail(self, error: OnlineStoreError) -> None:
        """Hear why there are none."""


_Request = tuple[Receiver, int, float]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may take up.

    Args:
        timeout_s: Longest wait for an answer, from the call to `send`.
        max_pending: Most requests under way.
        max_unsent_bytes: Most bytes that Redis has not taken yet.
        max_reply_bytes: Longest answer to one request.
    """

    timeout_s: float
    max_pending: int
    max_unsent_bytes: int
    max_reply_bytes: int


class LinkConnection(asyncio.Protocol):
    """Takes requests from the beginning; writes them once Redis has been greeted.

    Belongs to one event loop. `on_end` is called once, with why it ended; None says that Redis
    closed it while nothing was under way.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bounds: Bounds,
        on_end: Callable[[LinkConnection, Failure | None], None],
    ) -> None:
        self.n_timeouts = 0
        self._loop = loop
        self._bounds = bounds
        self._timeout_s = bounds.timeout_s
        self._max_pending = bounds.max_pending
        self._on_end = on_end
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._write: Callable[[bytes], None] = self._unsent.append
        self._n_unsent_bytes = 0
        # Apart from those under way, so that only what was written can be matched to a reply.
        self._waiting: deque[_Request] = deque()
        self._under_way: deque[_Request] = deque()
        self._queue = self._waiting
        self._gathered: list[Any] = []
        self._n_partial_bytes = 0
        self._is_paused = True  # Until Redis is greeted.
        self._is_crowded = False
        self._has_ended = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def n_pending(self) -> int:
        """How many requests have no answer yet, those of callers that are gone included."""
        return len(self._waiting) + len(self._under_way)

    def send(self, payload: bytes, n_replies: int, receiver: Receiver) -> None:
        """Write commands; see `RedisLink.ask`."""
        queue = self._queue
        if self._is_paused or len(queue) >= self._max_pending or n_replies < 1:
            self._check_room(len(payload), n_replies)
        loop = self._loop
        if queue or self._is_crowded:
            # Others are under way and more will come in this turn of the loop: one write for all
            # takes a third of the CPU per request at eight tasks. A lone request does not wait.
            if not self._unsent:
                loop.call_soon(self._flush)
            self._unsent.append(payload)
        else:
            self._write(payload)
        queue.append((receiver, n_replies, loop.time() + self._timeout_s))
        if self._timer is None:
            self._watch()

    def greet(self, payload: bytes, n_replies: int, receiver: Receiver) -> None:
        """Send the first commands of the connection, before those that wait.

        Raises:
            OnlineStoreUnavailableError: The connection has ended.
        """
        if self._has_ended or self._transport is None:
            raise CLOSED.to_error()
        # The attempt to connect has a deadline of its own.
        self._under_way.append((receiver, n_replies, math.inf))
        self._transport.write(payload)

    def begin(self) -> bool:
        """Write what waited; from here on requests go straight to Redis.

        Returns:
            False if the connection has ended meanwhile.
        """
        if self._has_ended or self._transport is None:
            return False
        self._under_way.extend(self._waiting)
        self._waiting.clear()
        self._queue = self._under_way
        self._write = self._transport.write
        self._is_paused = False
        self._flush()
        self._watch()
        return True

    def end(self, failure: Failure | None) -> None:
        """Drop the connection and fail what is under way; a second call does nothing."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        requests = [*self._under_way, *self._waiting]
        self._under_way.clear()
        self._waiting.clear()
        self._unsent.clear()
        if failure is not None:
            self._fail(requests, failure)
        self._on_end(self, failure)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._has_ended:
            self._transport.abort()
            return
        tcp = transport.get_extra_info("socket")
        if tcp is not None and tcp.family != socket.AF_UNIX:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.end(lost_failure(exc) if self.n_pending else None)

    @override
    def pause_writing(self) -> None:
        self._is_paused = True

    @override
    def resume_writing(self) -> None:
        self._is_paused = False

    @override
    def data_received(self, data: bytes) -> None:
        reader, under_way = self._reader, self._under_way
        n_before = len(under_way)
        try:
            reader.feed(data)
            while under_way:
                reply = reader.gets()
                if reply is _INCOMPLETE:
                    break
                receiver, n_replies, _ = under_way[0]
                if n_replies == 1:
                    replies = [reply]
                else:
                    replies = self._gathered
                    replies.append(reply)
                    if len(replies) < n_replies:
                        continue
                    self._gathered = []
                under_way.popleft()
                self._n_partial_bytes = 0
                receiver.take(replies)
        except hiredis.ProtocolError:
            self.end(NOT_REDIS)
        self._is_crowded = n_before - len(under_way) > 1
        self._check_rest(len(data))

    def _check_rest(self, n_bytes: int) -> None:
        if not self._under_way:
            if self._reader.has_data():
                self.end(NOT_REDIS)
            return
        self._n_partial_bytes += n_bytes
        if self._n_partial_bytes > self._bounds.max_reply_bytes:
            self.end(TOO_LARGE)

    def _flush(self) -> None:
        unsent = self._unsent
        if unsent and self._queue is self._under_way and self._transport is not None:
            self._transport.write(b"".join(unsent))
            unsent.clear()

    def _check_room(self, n_bytes: int, n_replies: int) -> None:
        if n_replies < 1:
            msg = f"a request has at least one reply, not {n_replies}"
            raise ValueError(msg)
        hint = "try again; if it lasts, add workers"
        if len(self._queue) >= self._max_pending:
            msg = f"{self._max_pending} requests wait for Redis already"
            raise OverloadedError(msg, hint=hint)
        n_unsent = self._n_unsent_bytes
        if self._queue is self._under_way and self._transport is not None:
            n_unsent = self._transport.get_write_buffer_size()
        else:
            self._n_unsent_bytes += n_bytes
        if n_unsent >= self._bounds.max_unsent_bytes:
            msg = f"Redis has not taken {n_unsent} bytes of requests yet"
            raise OverloadedError(msg, hint=hint)

    def _watch(self) -> None:
        # One timer for the oldest request: those behind it were sent later. Until Redis is greeted,
        # the attempt to connect has a deadline of its own, which is the earliest.
        if self._queue is self._under_way and self._under_way:
            # In no request's context: what it says is of all of them.
            self._timer = self._loop.call_at(
                self._under_way[0][2], self._check_deadline, context=Context()
            )
        else:
            self._timer = None

    def _check_deadline(self) -> None:
        if self._under_way and self._loop.time() >= self._under_way[0][2]:
            # The loop may have been busy and the reply be there: it looks once more.
            self._timer = self._loop.call_later(_LATE_S, self._give_up, self._under_way[0])
        else:
            self._watch()

    def _give_up(self, request: _Request) -> None:
        if self._under_way and self._under_way[0] is request:
            self.end(SILENT)
        else:
            self._watch()

    def _fail(self, requests: list[_Request], failure: Failure) -> None:
        # Only those whose time is over timed out, and only the first one's reply was too large: the
        # others just lost their connection.
        now_s = self._loop.time()
        is_timeout = failure.kind is OnlineStoreTimeoutError
        for i, (receiver, _, deadline_s) in enumerate(requests):
            own = failure
            if is_timeout and deadline_s > now_s:
                own = WENT_SILENT
            elif failure is TOO_LARGE and i > 0:
                own = lost_failure(None)
            self.n_timeouts += own.kind is OnlineStoreTimeoutError
            receiver.fail(own.to_error())
