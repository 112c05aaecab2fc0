"""`POST /get-online-features` answered by the HTTP protocol itself, without an ASGI call.

uvicorn spends three times as long on a small request as parsing and writing it takes: on a URL, an
event, a scope and two messages that this route has no use for. Here uvicorn's protocol goes on
parsing, queueing and closing; only what it calls a cycle, one request and its answer, is replaced.
All other requests take uvicorn's way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.hot.feast_route import FEAST_PATH, FeastRoute

__all__ = ["with_hot_route"]

_URL = FEAST_PATH.encode("ascii")


class _HotCycle:
    """One request and its answer; has what uvicorn's protocol asks of its own cycles.

    A request that is refused by its headers is answered before its body has come. Of others the
    body is kept until all of it is here, which only callers with a key can make the worker do.

    It is its own `message_event`: uvicorn sets that whenever a part of the body has come, when all
    of it has, and when the caller is gone.
    """

    __slots__ = (
        "_caller",
        "_has_begun",
        "_is_due",
        "_protocol",
        "_task",
        "body",
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
        self, protocol: HttpToolsProtocol, route: FeastRoute, on_response: Callable[[], None]
    ) -> None:
        self.scope = protocol.scope
        self.body = b""
        self.more_body = True
        self.disconnected = False
        self.keep_alive = protocol.parser.should_keep_alive()
        self.response_started = False
        self.response_complete = False
        self.message_event = self
        self.on_response = on_response
        self._protocol: Any = protocol
        self._caller = route.meet(protocol.headers)
        self._is_due = False
        self._has_begun = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Answer as soon as the request is here: those before it have been answered."""
        self._is_due = True
        self.set()

    def set(self) -> None:
        """Begin if the request is here as a whole and its turn has come."""
        if self._has_begun or self.disconnected or not self._is_due:
            return
        protocol = self._protocol
        is_wanted = self._caller.refusal is None and len(self.body) <= protocol.route.max_body_bytes
        if self.more_body and is_wanted:
            # uvicorn stops reading at 64 kB until the application has taken what there is.
            protocol.flow.resume_reading()
            return
        self._has_begun = True
        task = self._task = protocol.loop.create_task(self._run(protocol.route))
        protocol.tasks.add(task)
        task.add_done_callback(protocol.tasks.discard)

    async def _run(self, route: FeastRoute) -> None:
        reply = await route.reply(self._caller, self.body)
        protocol = self._protocol
        if protocol.flow.write_paused and not self.disconnected:
            await protocol.flow.drain()
        transport = protocol.transport
        if not self.disconnected and not transport.is_closing():
            head = [STATUS_LINE[reply.status]]
            for name, value in protocol.server_state.default_headers:
                head += (name, b": ", value, b"\r\n")
            for name, value in reply.headers:
                head += (name, b": ", value, b"\r\n")
            if not self.keep_alive:
                head.append(b"connection: close\r\n")
            head += (b"\r\n", reply.body)
            self.response_started = True
            transport.write(b"".join(head))
        self.response_complete = True
        if not self.keep_alive:
            transport.close()
        self.on_response()


def with_hot_route(base: type[HttpToolsProtocol], hot_route: FeastRoute) -> type[HttpToolsProtocol]:
    """Return a protocol that answers one route by itself.

    Args:
        base: Answers all others.
        hot_route: Answers that one.
    """
    parent: Any = base  # A class that is only known here is no type to a checker.

    class HotProtocol(parent):  # type: ignore[misc]
        route = hot_route

        @override
        def on_headers_complete(self) -> None:
            parser = self.parser
            if (
                self.url != _URL
                or self.root_path
                or self.expect_100_continue
                or parser.get_method() != b"POST"
                or parser.get_http_version() != "1.1"
                or parser.should_upgrade()
            ):
                base.on_headers_complete(self)
                return
            before: Any = vars(self)["cycle"]
            cycle = self.cycle = _HotCycle(self, hot_route, self.on_response_complete)
            if before is None or before.response_complete:
                cycle.start()
            else:
                self.flow.pause_reading()
                self.pipeline.appendleft((cycle, self.app))

        @override
        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            if isinstance(cycle, _HotCycle):
                cycle.start()
            else:
                base._start_asgi_task(self, cycle, app)  # noqa: SLF001

    return HotProtocol
