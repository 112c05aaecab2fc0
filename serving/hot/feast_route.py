"""`POST /get-online-features` on the layer below FastAPI, where half a request's time would go.

FastAPI declares the route for the OpenAPI document and answers it the same way where this layer is
not in front.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
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
from serving.guard.request_id import REQUEST_ID

__all__ = ["FEAST_PATH", "Caller", "FeastRoute", "Reply"]

logger = logging.getLogger("evenstore.serving")

FEAST_PATH: Final = "/get-online-features"
_US_PER_S = 1_000_000
_OK = 200


class _ClientGoneError(Exception):
    """The caller hung up before its request had come."""


class Caller:
    """What the headers of one request say.

    Attributes:
        api_key: Name of the key; empty where none is asked for.
        request_id: The caller's own, or a new one.
        refusal: Why the request is not answered.
    """

    __slots__ = ("api_key", "refusal", "request_id")

    def __init__(self) -> None:
        self.api_key = ""
        self.refusal: EvenstoreError | None = None
        self.request_id = b""


@dataclass(slots=True)  # Not frozen: one is made per request.
class Reply:
    """An HTTP answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class FeastRoute:
    """ASGI application: answers the one route itself and passes all others on.

    Args:
        app: Answers all others, guarded by itself.
        gateway: What is answered from.
        guarding: Keys, admission, request ids, metrics and log, as for the other routes.
        strict: Gives answers stock's shape.

    Attributes:
        max_body_bytes: Longest body that is answered; more need not be received.
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
        self.max_body_bytes = gateway.limits.max_body_bytes
        self._metrics = guarding.metrics.route(FEAST_PATH)
        clock = b"frozen" if gateway.clock.is_frozen else b"system"
        self._clock_header = (b"evenstore-clock", clock)
        self._second = (-1, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request where the server leaves this route to ASGI."""
        if scope.get("path") != FEAST_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        caller = self.meet(scope["headers"])
        try:
            body = b"" if caller.refusal is not None else await self._receive(receive)
        except _ClientGoneError:
            return
        reply = await self.reply(caller, body)
        await send(
            {"type": "http.response.start", "status": reply.status, "headers": reply.headers}
        )
        await send({"type": "http.response.body", "body": reply.body})

    def meet(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Read the headers of a request: whose it is, and whether its body is worth receiving.

        Args:
            headers: Names in lower case.
        """
        caller = Caller()
        authorization = x_api_key = x_request_id = length = None
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"x-api-key":
                x_api_key = value
            elif name == b"x-request-id":
                x_request_id = value
            elif name == b"content-length":
                length = value
        caller.request_id = self._guarding.request_ids.take(x_request_id)
        if length is not None and length.isdigit() and int(length) > self.max_body_bytes:
            caller.refusal = _too_large(self.max_body_bytes)
        if self._guarding.keys is not None:
            self._authorize(caller, presented_key(authorization, x_api_key))
        return caller

    def _authorize(self, caller: Caller, key: bytes | None) -> None:
        keys = self._guarding.keys
        try:
            caller.api_key = "" if keys is None else keys.authorize(key, "read")
        except EvenstoreError as exc:
            caller.refusal = exc

    async def reply(self, caller: Caller, body: bytes) -> Reply:
        """Answer one request, whatever happens.

        Args:
            caller: What `meet` made of its headers.
            body: As it came, or nothing where `caller.refusal` says why it is not looked at.
        """
        begun = perf_counter()
        # Of this task: the connection's other requests have ids of their own.
        REQUEST_ID.set(caller.request_id)
        try:
            self._admit(caller, body)
            try:
                answer = await self._gateway.get_online_features(body)
            finally:
                self._guarding.admission.leave()
            if self._strict is not None:
                answer.body = self._strict.restore(body, answer.body)
            reply = self._reply(answer, caller.request_id)
        except EvenstoreError as exc:
            response = None if self._strict is None else self._strict.error(exc, body)
            self._guarding.log.log_error(exc, route=FEAST_PATH, status=status_of(exc))
            reply = _refusal(response or error_response(exc), caller.request_id)
        except Exception:
            logger.exception("a request failed", extra={"route": FEAST_PATH})
            reply = _refusal(unexpected_response(), caller.request_id)
        seconds = perf_counter() - begun
        self._metrics.observe(reply.status, seconds)
        if self._guarding.log.is_on:
            self._guarding.log.log_request(
                FEAST_PATH, "POST", reply.status, seconds, api_key=caller.api_key
            )
        return reply

    def _admit(self, caller: Caller, body: bytes) -> None:
        """Let a request in, or raise why not; `admission.leave` is due afterwards."""
        if caller.refusal is not None:
            raise caller.refusal
        if len(body) > self.max_body_bytes:
            raise _too_large(self.max_body_bytes)
        self._guarding.admission.enter()

    async def _receive(self, receive: Receive) -> bytes:
        """Receive a body; of one that is too large only so much that it is seen to be."""
        pieces: list[bytes] = []
        n_bytes = 0
        has_more = True
        while has_more and n_bytes <= self.max_body_bytes:
            message = await receive()
            if message["type"] != "http.request":
                raise _ClientGoneError
            pieces.append(message.get("body", b""))
            n_bytes += len(pieces[-1])
            has_more = message.get("more_body", False)
        return b"".join(pieces)

    def _reply(self, answer: Answer, request_id: bytes) -> Reply:
        as_of_us = answer.as_of_us
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer.body)),
            (b"evenstore-as-of", self._instant(as_of_us)),
            (b"evenstore-as-of-us", b"%d" % as_of_us),
            self._clock_header,
            (b"x-request-id", request_id),
        ]
        if answer.is_degraded:
            headers.append((b"evenstore-degraded", b"true"))
        return Reply(_OK, headers, answer.body)

    def _instant(self, as_of_us: int) -> bytes:
        second, rest_us = divmod(as_of_us, _US_PER_S)
        if second != self._second[0]:
            # All requests of a second share the text of all but its fraction.
            text = format_us(second * _US_PER_S).removesuffix("Z").encode()
            self._second = second, text
        if rest_us == 0:
            return self._second[1] + b"Z"
        return b"%b.%06dZ" % (self._second[1], rest_us)


def _refusal(response: Response, request_id: bytes) -> Reply:
    headers = [*response.raw_headers, (b"x-request-id", request_id)]
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    return Reply(response.status_code, headers, bytes(response.body))


def _too_large(limit: int) -> RequestTooLargeError:
    msg = f"the request body has more than {limit} bytes"
    return RequestTooLargeError(msg, hint="send fewer entity rows in each of several requests")
