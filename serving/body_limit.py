"""Refuses request bodies over a size, before and while they are read."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import RequestTooLargeError, error_response

__all__ = ["BodyLimit"]


class BodyLimit:
    """ASGI middleware: answers 413 by the announced length, else stops reading at the limit."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._max_body_bytes:
            await error_response(self._error())(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        n_bytes = 0

        async def receive_counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._max_body_bytes:
                raise self._error()
            return message

        return receive_counted

    def _error(self) -> RequestTooLargeError:
        msg = f"the request body has more than {self._max_body_bytes} bytes"
        return RequestTooLargeError(msg, hint="send fewer entity rows in each of several requests")
