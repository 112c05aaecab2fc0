"""`POST /get-online-features` answered by the HTTP protocol itself, without an ASGI call.

uvicorn spends three times as long on a small request as parsing and writing it takes: on a URL, an
event, a scope and two messages that this route has no use for. Here uvicorn's protocol goes on
parsing, queueing and closing; only what it calls a cycle, one request and its answer, is replaced.
All other requests take uvicorn's way.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from serving.guard.receiving import BoundedProtocol
from serving.guard.request_id import REQUEST_ID
from serving.hot.feast_route import FEAST_PATH, Caller, FeastRoute, Reply
from serving.hot.known_heads import KnownHead, KnownHeads

__all__ = ["with_hot_route"]

_URL = FEAST_PATH.encode("ascii")
# So many heads in a row that were new, and a connection is one of a caller that has no other.
_MAX_UNKNOWN = 16


class _HotCycle:
    """One request and its answer; has what uvicorn's protocol asks of its own cycles.

    A request that is refused by its headers is answered before its body has come. Of others the
    body is kept until all of it is here: where keys are asked for, only callers that have one make
    the worker do that.

    It is its own `message_event`: uvicorn sets that whenever a part of the body has come, when all
    of it has, and when the caller is gone.
    """

    __slots__ = (
        "_has_begun",
        "_is_due",
        "_protocol",
        "body",
        "caller",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "on_response",
        "response_complete",
        "response_started",
        "scope",
    )

    def __init__(
        self, protocol: Any, caller: Caller, *, keep_alive: bool, body: bytes | None = None
    ) -> None:
        self.scope = protocol.scope
        # Of parts that come one by one: adding to bytes would copy all of them each time.
        self.body: bytes | bytearray = bytearray() if body is None else body
        self.more_body = body is None
        self.disconnected = False
        self.keep_alive = keep_alive
        self.response_started = False
        self.response_complete = False
        self.message_event = self
        self.on_response: Callable[[], None] = protocol.on_response_complete
        self.caller = caller
        self._protocol = protocol
        self._is_due = False
        self._has_begun = False

    @property
    def can_be_noted(self) -> bool:
        """Whether a request with the same head would be taken in the same way."""
        caller = self.caller
        is_whole = not self.more_body and self.keep_alive
        return is_whole and caller.refusal is None and not caller.has_own_id

    def start(self) -> None:
        """Answer as soon as the request is here: those before it have been answered."""
        self._is_due = True
        self.set()

    def set(self) -> None:
        """Begin if the request is here as a whole and its turn has come."""
        if self._has_begun or self.disconnected or not self._is_due:
            return
        protocol = self._protocol
        is_wanted = self.caller.refusal is None and len(self.body) <= protocol.route.max_body_bytes
        if self.more_body and is_wanted:
            # uvicorn stops reading at 64 kB until the application has taken what there is.
            protocol.flow.resume_reading()
            return
        self._has_begun = True
        protocol.route.answer(self.caller, bytes(self.body), self._reply)

    def _reply(self, reply: Reply) -> None:
        protocol = self._protocol
        if protocol.flow.write_paused and not self.disconnected:
            protocol.route.start(self._reply_later(reply))
        else:
            self._write(reply)

    async def _reply_later(self, reply: Reply) -> None:
        await self._protocol.flow.drain()
        self._write(reply)

    def _write(self, reply: Reply) -> None:
        protocol = self._protocol
        transport = protocol.transport
        if not self.disconnected and not transport.is_closing():
            end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
            self.response_started = True
            transport.write(
                b"".join(
                    (
                        STATUS_LINE[reply.status],
                        protocol.default_head(),
                        reply.head,
                        end,
                        reply.body,
                    )
                )
            )
        self.response_complete = True
        if not self.keep_alive:
            transport.close()
        self.on_response()


class _DefaultHead:
    """The headers that uvicorn gives all answers; it makes a new list of them each second."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._head = b""

    def of(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        if headers is not self._headers:
            self._headers = headers
            self._head = b"".join([b"%b: %b\r\n" % header for header in headers])
        return self._head


class _HotProtocol(BoundedProtocol):
    route: FeastRoute
    heads: KnownHeads
    defaults: _DefaultHead
    _n_unknown = 0
    # The head that came last on this connection: uvicorn keeps its headers just as long.
    _last_head = b""
    _last_known: KnownHead | None = None

    def default_head(self) -> bytes:
        """Return the headers of all answers."""
        return self.defaults.of(self.server_state.default_headers)

    @override
    def data_received(self, data: bytes) -> None:
        # All connections share one context, in which no request's id may stay.
        token = REQUEST_ID.set(REQUEST_ID.get())
        try:
            self._take(data)
        finally:
            REQUEST_ID.reset(token)

    def _take(self, data: bytes) -> None:
        if self._n_unknown >= _MAX_UNKNOWN or not self.is_idle:
            super().data_received(data)
            return
        head, last = self._last_head, self._last_known
        if (
            last is not None
            and data.startswith(head)
            and len(data) == len(head) + last.n_body_bytes
        ):
            self._answer_known(last, data[len(head) :])
            return
        known, head = self.heads.find(data)
        if known is not None:
            self._n_unknown = 0
            self._last_head, self._last_known = head, known
            self._answer_known(known, data[len(head) :])
            return
        self._n_unknown += 1
        before: Any = vars(self)["cycle"]
        super().data_received(data)
        cycle: Any = vars(self)["cycle"]
        if cycle is not before and isinstance(cycle, _HotCycle) and cycle.can_be_noted:
            self.heads.note(data, bytes(cycle.body), cycle.caller.key_digest)

    def _answer_known(self, head: KnownHead, body: bytes) -> None:
        self.take_whole()
        caller = self.route.meet_again(head.key_digest)
        cycle: Any = _HotCycle(self, caller, keep_alive=True, body=body)
        self.cycle = cycle
        cycle.start()

    @override
    def on_headers_complete(self) -> None:
        parser: Any = self.parser
        if not _is_hot(self, parser):
            super().on_headers_complete()
            return
        before: Any = vars(self)["cycle"]
        caller = self.route.meet(self.headers)
        cycle: Any = _HotCycle(self, caller, keep_alive=parser.should_keep_alive())
        self.cycle = cycle
        if before is None or before.response_complete:
            cycle.start()
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    @override
    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if isinstance(cycle, _HotCycle):
            # Not from within the answer before it: hundreds may follow one another without Redis.
            self.loop.call_soon(cycle.start, context=contextvars.copy_context())
        else:
            super()._start_asgi_task(cycle, app)


def with_hot_route(base: type[BoundedProtocol], hot_route: FeastRoute) -> type[BoundedProtocol]:
    """Return a protocol that answers one route by itself.

    Args:
        base: Answers all others.
        hot_route: Answers that one.
    """
    members = {"route": hot_route, "heads": KnownHeads(), "defaults": _DefaultHead()}
    return type("HotProtocol", (_HotProtocol, base), members)


def _is_hot(protocol: Any, parser: Any) -> bool:
    return (
        protocol.url == _URL
        and not protocol.root_path
        and not protocol.expect_100_continue
        and parser.get_method() == b"POST"
        and parser.get_http_version() == "1.1"
        and not parser.should_upgrade()
    )
