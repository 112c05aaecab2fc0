"""`POST /push` and `/write-to-online-store` on the layer below FastAPI.

FastAPI would take most of what a worker spends on handing a small request to the writer process. It
declares both routes for the OpenAPI document, and answers their other methods.
"""

from __future__ import annotations

import logging
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from evenstore.errors import EvenstoreError
from serving.errors import RequestTooLargeError, error_response, unexpected_response
from serving.guard.middleware import ERROR_KEY
from serving.writes.client import WriterClient
from serving.writes.routes import write_response

__all__ = ["RowRoute"]

logger = logging.getLogger("evenstore.serving")

_PATHS: Final = frozenset({"/push", "/write-to-online-store"})


class _CallerGoneError(Exception):
    """The caller hung up before its request had come."""


class RowRoute:
    """ASGI application: hands rows to the writer process, and passes all else on.

    Args:
        app: Answers all else.
        client: The writer process.
        max_body_bytes: Longest body.
    """

    def __init__(self, app: ASGIApp, client: WriterClient, *, max_body_bytes: int) -> None:
        self._app = app
        self._client = client
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope.get("path") not in _PATHS or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await self._answer(scope, receive)
        except _CallerGoneError:
            return
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        try:
            body = await self._receive(scope, receive)
            return write_response(await self._client.write(scope["path"], body))
        except EvenstoreError as exc:
            scope[ERROR_KEY] = exc
            return error_response(exc)
        except _CallerGoneError:
            raise
        except Exception:
            logger.exception("a request failed", extra={"route": scope["path"]})
            return unexpected_response()

    async def _receive(self, scope: Scope, receive: Receive) -> bytes:
        """Receive a body; of one that is too large only so much that it is seen to be."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_body_bytes:
                raise self._too_large()
        pieces: list[bytes] = []
        n_bytes = 0
        has_more = True
        while has_more:
            message = await receive()
            if message["type"] != "http.request":
                raise _CallerGoneError
            pieces.append(message.get("body", b""))
            n_bytes += len(pieces[-1])
            if n_bytes > self._max_body_bytes:
                raise self._too_large()
            has_more = message.get("more_body", False)
        return b"".join(pieces)

    def _too_large(self) -> RequestTooLargeError:
        msg = f"the request body has more than {self._max_body_bytes} bytes"
        return RequestTooLargeError(msg, hint="send fewer rows in each of several requests")
