"""Bounds on how a request arrives: how long it may take, how large its head may be.

uvicorn bounds neither: a caller that sends a byte now and then keeps its connection for ever, and
one that sends headers without end fills the memory. Both happen before an application hears of the
request, so they are stopped in the protocol. One look a second at all connections does it, without
a timer per request; so does uvicorn's keep-alive here, which has a timer per answer otherwise.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from serving.settings import Limits

__all__ = ["BoundedProtocol", "Receiving"]

_SWEEP_S = 1.0
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
_CHUNKING_OVERHEAD = 4
"""How much longer than its body a chunked request may be, with the heads of small chunks."""


class Receiving:
    """The bounds of one worker, and how often they were met.

    `uvicorn.Config(http=receiving.protocol)` applies them.

    Args:
        limits: The size of heads and bodies, and the time in which a request must have come.
    """

    def __init__(self, limits: Limits) -> None:
        self.n_too_slow = 0
        self.n_too_large = 0
        self.max_head_bytes = limits.max_head_bytes
        self.max_message_bytes = limits.max_head_bytes + _CHUNKING_OVERHEAD * limits.max_body_bytes
        self._max_receive_s = limits.max_receive_s
        self._sweep_s = min(_SWEEP_S, limits.max_receive_s / 2)
        self._connections: set[BoundedProtocol] = set()
        self._timer: asyncio.TimerHandle | None = None
        receiving = self

        class BoundProtocol(BoundedProtocol):
            bounds = receiving

        self.protocol: type[BoundedProtocol] = BoundProtocol

    def add(self, connection: BoundedProtocol) -> None:
        """Look at a connection from now on."""
        self._connections.add(connection)
        if self._timer is None:
            self._timer = connection.loop.call_later(self._sweep_s, self._sweep, connection.loop)

    def remove(self, connection: BoundedProtocol) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now_s = loop.time()
        for connection in tuple(self._connections):
            connection.check(now_s, now_s - self._max_receive_s)
        if self._connections:
            self._timer = loop.call_later(self._sweep_s, self._sweep, loop)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which tells what it is receiving and since when."""

    bounds: Receiving

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._since_s: float | None = None
        self._idle_since_s: float | None = None
        self._receiving: object = None
        self._n_bytes = 0
        self._is_refused = False
        self._ignores_rest = False

    @property
    def _is_between(self) -> bool:
        """Whether what comes next begins a request."""
        cycle: RequestResponseCycle | None = vars(self)["cycle"]
        if cycle is None:
            return self.scope is None
        return not cycle.more_body and cycle.scope is self.scope

    @property
    def is_idle(self) -> bool:
        """Whether nothing is received, nothing is answered and nothing is wrong."""
        cycle: RequestResponseCycle | None = vars(self)["cycle"]
        if self._is_refused or self._ignores_rest or self.transport.is_closing():
            return False
        if cycle is None:
            return self.scope is None
        return cycle.response_complete and not cycle.more_body and cycle.scope is self.scope

    @property
    def _is_head(self) -> bool:
        # In a head, the cycle is that of the request before, if there was one.
        cycle: RequestResponseCycle | None = vars(self)["cycle"]
        return cycle is None or cycle.scope is not self.scope

    def take_whole(self) -> None:
        """Note that a request came as a whole, which the parser need not see."""
        self._since_s = None
        self._idle_since_s = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # A connection owes its first request; between requests, uvicorn's keep-alive bounds it.
        self._since_s = self.loop.time()
        self.bounds.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.bounds.remove(self)
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._ignores_rest:
            return
        self._idle_since_s = None
        if b"pgrade" in data and self._is_between:
            data = _without_upgrade(data)
        # By its name: `super()` and one method more per event took 3 microseconds of a request.
        HttpToolsProtocol.data_received(self, data)
        cycle = self.cycle
        # Truth, not `is not None`: uvicorn declares that there always is one.
        if cycle and not cycle.more_body and cycle.scope is self.scope:
            self._since_s = None
            if cycle.response_complete:
                # What came is no request, such as an empty line.
                self._idle_since_s = self.loop.time()
        else:
            self._note_part(len(data))

    @override
    def send_400_response(self, msg: str) -> None:
        if not self._is_refused:
            self._refuse(400, "invalid-request", "this is no HTTP request")

    @override
    def _unsupported_upgrade_warning(self) -> None:
        # The parser has left the body of a request out that asks for another protocol in a way
        # that was not seen before. What follows is no request, and must not be taken for one.
        self._ignores_rest = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    @override
    def on_response_complete(self) -> None:
        # uvicorn's own, but for a timer that is made and cancelled with every request.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self._idle_since_s = self.loop.time()

    def check(self, now_s: float, deadline_s: float) -> None:
        """Close a connection that has been idle for long, or cut off a slow request.

        Args:
            now_s: The loop's time.
            deadline_s: A request that began before is too slow if it is not here yet.
        """
        cycle: RequestResponseCycle | None = vars(self)["cycle"]
        is_answered = cycle is None or cycle.response_complete  # Another may have begun since.
        idle_since_s = self._idle_since_s if is_answered else None
        if idle_since_s is not None and now_s - idle_since_s > self.timeout_keep_alive:
            self.timeout_keep_alive_handler()
            return
        if self._since_s is None or self._since_s > deadline_s:
            return
        if self.flow.read_paused:
            # It waits for us: for an answer before it, or for the application to read.
            self._since_s = self.loop.time()
            return
        if not self._is_head and self.cycle.response_complete:
            # Answered before its body had come, if it ever does: nothing is owed.
            self.transport.close()
            return
        self.bounds.n_too_slow += 1
        self._refuse(408, "request-timeout", "the request did not come in time")

    def _note_part(self, n_bytes: int) -> None:
        """Note that a request is not here as a whole."""
        if self._receiving is not self.scope or self._since_s is None:
            self._receiving = self.scope
            self._since_s = self.loop.time()
            self._n_bytes = 0
        self._n_bytes += n_bytes
        bounds = self.bounds
        if self._is_head and self._n_bytes > bounds.max_head_bytes:
            bounds.n_too_large += 1
            self._refuse(
                431,
                "headers-too-large",
                f"the request's headers have more than {bounds.max_head_bytes} bytes",
            )
        elif self._n_bytes > bounds.max_message_bytes:
            bounds.n_too_large += 1
            self._refuse(413, "request-too-large", "the request is too large")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer, unless an answer has begun, and close."""
        self._is_refused = True
        self._since_s = None
        if self.transport.is_closing():
            return
        under_way: RequestResponseCycle | None = vars(self)["cycle"]
        if under_way and not under_way.response_complete and not under_way.more_body:
            # It is here as a whole and gets its answer: what is wrong came behind it.
            under_way.keep_alive = False
            self._ignores_rest = True
            return
        has_answer = False
        if self.cycle is not None:
            has_answer = self.cycle.response_started and not (
                self._is_head and self.cycle.response_complete
            )
            if not self.cycle.response_complete:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        # With requests queued before it, the answer would be taken for theirs.
        if not has_answer and not self.pipeline:
            self.transport.write(_answer(status, code, message))
        self.transport.close()


def _without_upgrade(data: bytes) -> bytes:
    """Rename the headers that ask for another protocol, which a server may ignore.

    httptools would not read the body of such a request, and Java's client asks for HTTP/2 with each
    of its requests in the clear.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-ignored-upgrade:", head) + end + rest


def _answer(status: int, code: str, message: str) -> bytes:
    error: dict[str, Any] = {"code": code, "message": message, "hint": None, "details": {}}
    body = orjson.dumps({"error": error})
    phrase = {400: "Bad Request", 408: "Request Timeout", 413: "Content Too Large"}.get(
        status, "Request Header Fields Too Large"
    )
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
