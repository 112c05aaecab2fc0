"""`POST /get-online-features` on the layer below FastAPI, where half a request's time would go.

FastAPI declares the route for the OpenAPI document and answers it the same way where this layer is
not in front.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from time import perf_counter
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from evenstore.clock import format_us
from evenstore.errors import EvenstoreError
from serving.compat.strict_form import StrictForm
from serving.errors import (
    RequestTooLargeError,
    error_response,
    status_of,
    unexpected_response,
)
from serving.gateway import Answer, Gateway
from serving.guard.api_keys import presented_key
from serving.guard.middleware import Guarding

__all__ = ["FEAST_PATH", "FeastRoute"]

logger = logging.getLogger("evenstore.serving")

FEAST_PATH: Final = "/get-online-features"
_US_PER_S = 1_000_000
# What is counted for a caller that did not wait; nobody receives it.
_CLIENT_GONE = 499


class _ClientGoneError(Exception):
    """The caller hung up before its request had come."""


class _Caller:
    """What the headers of one request say."""

    __slots__ = ("api_key", "length", "request_id")

    def __init__(self) -> None:
        self.api_key = ""
        self.length: bytes | None = None
        self.request_id = b""


class FeastRoute:
    """ASGI application: answers the one route itself and passes all others on.

    Args:
        app: Answers all others, guarded by itself.
        gateway: What is answered from.
        guarding: Keys, admission, request ids, metrics and log, as for the other routes.
        strict: Gives answers stock's shape.
    """

    def __init__(
        self,
        app: ASGIApp,
        gateway: Gateway,
        guarding: Guarding,
        strict: StrictForm | None = None,
    ) -> None:
        self._app = app
        self._gateway = gateway
        self._guarding = guarding
        self._strict = strict
        self._metrics = guarding.metrics.route(FEAST_PATH)
        clock = b"frozen" if gateway.clock.is_frozen else b"system"
        self._clock_header = (b"evenstore-clock", clock)
        self._second = (-1, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope.get("path") != FEAST_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        begun = perf_counter()
        caller = _Caller()
        body = b""
        try:
            self._admit(scope, caller)
            try:
                body = await self._receive(receive, caller.length)
                answer = await self._gateway.get_online_features(body)
            finally:
                self._guarding.admission.leave()
            if self._strict is not None:
                answer.body = self._strict.restore(body, answer.body)
            await self._send(answer, caller.request_id, send)
            status = 200
        except EvenstoreError as exc:
            response = None if self._strict is None else self._strict.error(exc, body)
            response = response or error_response(exc)
            status = response.status_code
            self._guarding.log.log_error(exc, route=FEAST_PATH, status=status_of(exc))
            await _respond(response, caller, scope, receive, send)
        except _ClientGoneError:
            status = _CLIENT_GONE
        except Exception:
            logger.exception("a request failed", extra={"route": FEAST_PATH})
            status = 500
            await _respond(unexpected_response(), caller, scope, receive, send)
        seconds = perf_counter() - begun
        self._metrics.observe(status, seconds)
        if self._guarding.log.is_on:
            self._guarding.log.log_request(
                FEAST_PATH, "POST", status, seconds, api_key=caller.api_key
            )

    def _admit(self, scope: Scope, caller: _Caller) -> None:
        """Read the headers and let the request in; `admission.leave` is due afterwards."""
        authorization = x_api_key = x_request_id = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"x-api-key":
                x_api_key = value
            elif name == b"x-request-id":
                x_request_id = value
            elif name == b"content-length":
                caller.length = value
        guarding = self._guarding
        caller.request_id = guarding.request_ids.take(x_request_id)
        if guarding.keys is not None:
            key = presented_key(authorization, x_api_key)
            caller.api_key = guarding.keys.authorize(key, "read")
        guarding.admission.enter()

    async def _receive(self, receive: Receive, length: bytes | None) -> bytes:
        limit = self._gateway.limits.max_body_bytes
        if length is not None and length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        message = await receive()
        if message["type"] != "http.request":
            raise _ClientGoneError
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            pieces = [body]
            n_bytes = len(body)
            while message.get("more_body", False):
                message = await receive()
                if message["type"] != "http.request":
                    raise _ClientGoneError
                pieces.append(message.get("body", b""))
                n_bytes += len(pieces[-1])
                if n_bytes > limit:
                    raise _too_large(limit)
            body = b"".join(pieces)
        if len(body) > limit:
            raise _too_large(limit)
        return body

    async def _send(self, answer: Answer, request_id: bytes, send: Send) -> None:
        body = answer.body
        as_of_us = answer.as_of_us
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"evenstore-as-of", self._instant(as_of_us)),
            (b"evenstore-as-of-us", b"%d" % as_of_us),
            self._clock_header,
            (b"x-request-id", request_id),
        ]
        if answer.is_degraded:
            headers.append((b"evenstore-degraded", b"true"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _instant(self, as_of_us: int) -> bytes:
        second, rest_us = divmod(as_of_us, _US_PER_S)
        if second != self._second[0]:
            # All requests of a second share the text of all but its fraction.
            text = format_us(second * _US_PER_S).removesuffix("Z").encode()
            self._second = second, text
        if rest_us == 0:
            return self._second[1] + b"Z"
        return b"%b.%06dZ" % (self._second[1], rest_us)


async def _respond(
    response: Response, caller: _Caller, scope: Scope, receive: Receive, send: Send
) -> None:
    response.headers["x-request-id"] = caller.request_id.decode("ascii")
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = "Bearer"
    await response(scope, receive, send)


def _too_large(limit: int) -> RequestTooLargeError:
    msg = f"the request body has more than {limit} bytes"
    return RequestTooLargeError(msg, hint="send fewer entity rows in each of several requests")
