"""`POST /get-online-features` on the layer below FastAPI, where half a request's time would go.

FastAPI declares the route for the OpenAPI document and answers it the same way where this layer is
not in front.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from evenstore.clock import format_us
from evenstore.errors import EvenstoreError, OnlineStoreError
from evenstore.online.row_schemas import RowSchemaNeeded
from serving.compat.strict_form import StrictForm
from serving.errors import (
    RequestTooLargeError,
    error_response,
    status_of,
    unexpected_response,
)
from serving.gateway import Answer, Gateway, Lookup
from serving.guard.api_keys import presented_key
from serving.guard.key_file import hash_key
from serving.guard.middleware import Guarding
from serving.guard.request_id import REQUEST_ID

__all__ = ["FEAST_PATH", "Caller", "FeastRoute", "Reply"]

logger = logging.getLogger("evenstore.serving")

FEAST_PATH: Final = "/get-online-features"
_US_PER_S = 1_000_000
_OK = 200
_HEAD = (
    b"content-type: application/json\r\ncontent-length: %d\r\nevenstore-as-of: %b\r\n"
    b"evenstore-as-of-us: %d\r\nevenstore-clock: CLOCK\r\nx-request-id: %b\r\n"
)


class _ClientGoneError(Exception):
    """The caller hung up before its request had come."""


class Caller:
    """What the headers of one request say.

    Attributes:
        api_key: Name of the key; empty where none is asked for.
        key_digest: What is known of the key that was presented; None without one.
        request_id: The caller's own, or a new one.
        has_own_id: Whether it is the caller's own.
        refusal: Why the request is not answered.
    """

    __slots__ = ("api_key", "has_own_id", "key_digest", "refusal", "request_id")

    def __init__(self) -> None:
        self.api_key = ""
        self.key_digest: bytes | None = None
        self.refusal: EvenstoreError | None = None
        self.request_id = b""
        self.has_own_id = False


@dataclass(slots=True)  # Not frozen: one is made per request.
class Reply:
    """An HTTP answer; `head` has its headers, each with the end of its line."""

    status: int
    head: bytes
    body: bytes

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers one by one."""
        lines = [line.partition(b": ") for line in self.head.splitlines()]
        return [(name, value) for name, _, value in lines]


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
        self.gateway = gateway
        self.guarding = guarding
        self.strict = strict
        self.max_body_bytes = gateway.limits.max_body_bytes
        self._metrics = guarding.metrics.route(FEAST_PATH)
        clock = b"frozen" if gateway.clock.is_frozen else b"system"
        self._head = _HEAD.replace(b"CLOCK", clock)
        self._second = (-1, b"")
        self._tasks: set[asyncio.Task[None]] = set()

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
        caller.request_id = self.guarding.request_ids.take(x_request_id)
        if length is not None and length.isdigit() and int(length) > self.max_body_bytes:
            caller.refusal = _too_large(self.max_body_bytes)
        if self.guarding.keys is not None:
            key = presented_key(authorization, x_api_key)
            caller.key_digest = None if key is None else hash_key(key)
            self._authorize(caller)
        caller.has_own_id = x_request_id is not None
        return caller

    def meet_again(self, key_digest: bytes | None) -> Caller:
        """Do as `meet` for headers that were met before, and had no id of their own.

        Args:
            key_digest: What they were found to present.
        """
        caller = Caller()
        caller.request_id = self.guarding.request_ids.take(None)
        if self.guarding.keys is not None:
            caller.key_digest = key_digest
            self._authorize(caller)
        return caller

    def _authorize(self, caller: Caller) -> None:
        keys = self.guarding.keys
        try:
            caller.api_key = (
                "" if keys is None else keys.authorize_digest(caller.key_digest, "read")
            )
        except EvenstoreError as exc:
            caller.refusal = exc

    async def reply(self, caller: Caller, body: bytes) -> Reply:
        """Answer one request, whatever happens; see `answer`."""
        replied: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def done(reply: Reply) -> None:
            if not replied.done():  # The caller may be gone.
                replied.set_result(reply)

        self.answer(caller, body, done)
        return await replied

    def answer(self, caller: Caller, body: bytes, done: Callable[[Reply], object]) -> None:
        """Answer one request, whatever happens.

        Without a task: what a request does before and after Redis is done in one go each.

        Args:
            caller: What `meet` made of its headers.
            body: As it came, or nothing where `caller.refusal` says why it is not looked at.
            done: Called once with the answer, maybe before this returns.
        """
        _Exchange(self, caller, body, done).begin()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what is left of a request beside others."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def admit(self, caller: Caller, body: bytes) -> None:
        """Let a request in, or raise why not; `admission.leave` is due afterwards."""
        if caller.refusal is not None:
            raise caller.refusal
        if len(body) > self.max_body_bytes:
            raise _too_large(self.max_body_bytes)
        self.guarding.admission.enter()

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

    def render(self, answer: Answer, caller: Caller, body: bytes, lookup: Lookup) -> Reply:
        """Return the HTTP answer that has an answer's JSON."""
        if self.strict is not None:
            answer.body = self.strict.restore(body, lookup.asked.plan.request, answer.body)
        body, as_of_us = answer.body, answer.as_of_us
        instant, request_id = self._instant(as_of_us), caller.request_id
        head = self._head % (len(body), instant, as_of_us, request_id)
        if answer.is_degraded:
            head += b"evenstore-degraded: true\r\n"
        return Reply(_OK, head, body)

    def refuse(self, exc: Exception, caller: Caller, body: bytes) -> Reply:
        """Return the HTTP answer that says what went wrong, and tell the log."""
        if not isinstance(exc, EvenstoreError):
            logger.error("a request failed", extra={"route": FEAST_PATH}, exc_info=exc)
            return _refusal(unexpected_response(), caller.request_id)
        response = None if self.strict is None else self.strict.error(exc, body)
        self.guarding.log.log_error(exc, route=FEAST_PATH, status=status_of(exc))
        return _refusal(response or error_response(exc), caller.request_id)

    def note(self, reply: Reply, caller: Caller, seconds: float) -> None:
        """Count an answered request, and write its line to the log."""
        self._metrics.observe(reply.status, seconds)
        if self.guarding.log.is_on:
            self.guarding.log.log_request(
                FEAST_PATH, "POST", reply.status, seconds, api_key=caller.api_key
            )

    def _instant(self, as_of_us: int) -> bytes:
        second, rest_us = divmod(as_of_us, _US_PER_S)
        if second != self._second[0]:
            # All requests of a second share the text of all but its fraction.
            text = format_us(second * _US_PER_S).removesuffix("Z").encode()
            self._second = second, text
        if rest_us == 0:
            return self._second[1] + b"Z"
        return b"%b.%06dZ" % (self._second[1], rest_us)


class _Exchange:
    """One request and its answer."""

    __slots__ = ("_begun", "_body", "_caller", "_done", "_is_inside", "_lookup", "_route")

    _lookup: Lookup

    def __init__(
        self, route: FeastRoute, caller: Caller, body: bytes, done: Callable[[Reply], object]
    ) -> None:
        self._route = route
        self._caller = caller
        self._body = body
        self._done: Callable[[Reply], object] | None = done
        self._begun = perf_counter()
        self._is_inside = False

    def begin(self) -> None:
        """Ask Redis, or answer at once where there is nothing to ask."""
        # For the lines of the log; whoever calls resets it, and `take` and `fail` set it anew.
        REQUEST_ID.set(self._caller.request_id)
        gateway = self._route.gateway
        try:
            self._route.admit(self._caller, self._body)
            self._is_inside = True
            lookup = self._lookup = gateway.begin(self._body)
            if lookup.batch.n_commands:
                self._ask(lookup)
            else:
                self._finish([])
        except Exception as exc:  # noqa: BLE001 - whatever it is, the caller must hear of it
            self._refuse(exc)

    def _ask(self, lookup: Lookup) -> None:
        try:
            self._route.gateway.ask(lookup, self)
        except OnlineStoreError as exc:
            self.fail(exc)

    def take(self, replies: list[Any]) -> None:
        """Answer with what Redis has."""
        token = REQUEST_ID.set(self._caller.request_id)
        try:
            self._finish(replies)
        except OnlineStoreError as exc:
            self.fail(exc)
        except Exception as exc:  # noqa: BLE001 - as in `begin`
            self._refuse(exc)
        finally:
            REQUEST_ID.reset(token)

    def fail(self, error: OnlineStoreError) -> None:
        """Answer without Redis, where that is possible."""
        token = REQUEST_ID.set(self._caller.request_id)
        try:
            self._reply(self._route.gateway.degrade(self._lookup, error))
        except Exception as exc:  # noqa: BLE001 - as in `begin`
            self._refuse(exc)
        finally:
            REQUEST_ID.reset(token)

    def _finish(self, replies: list[Any]) -> None:
        try:
            answer = self._route.gateway.finish(self._lookup, replies)
        except RowSchemaNeeded as needed:
            self._route.start(self._finish_with_schemas(replies, needed))
        else:
            self._reply(answer)

    async def _finish_with_schemas(self, replies: list[Any], needed: RowSchemaNeeded) -> None:
        try:
            answer = await self._route.gateway.finish_with_schemas(self._lookup, replies, needed)
            self._reply(answer)
        except Exception as exc:  # noqa: BLE001 - as in `begin`
            self._refuse(exc)

    def _reply(self, answer: Answer) -> None:
        self._end(self._route.render(answer, self._caller, self._body, self._lookup))

    def _refuse(self, exc: Exception) -> None:
        try:
            reply = self._route.refuse(exc, self._caller, self._body)
        except Exception:
            # Whatever happens, the request ends: its place is another's.
            logger.exception("a refusal failed", extra={"route": FEAST_PATH})
            reply = _refusal(unexpected_response(), self._caller.request_id)
        self._end(reply)

    def _end(self, reply: Reply) -> None:
        done, self._done = self._done, None
        if done is None:  # What went wrong is that the answer could not be written.
            return
        if self._is_inside:
            self._route.guarding.admission.leave()
        self._route.note(reply, self._caller, perf_counter() - self._begun)
        done(reply)


def _refusal(response: Response, request_id: bytes) -> Reply:
    headers = [*response.raw_headers, (b"x-request-id", request_id)]
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    head = b"".join([b"%b: %b\r\n" % header for header in headers])
    return Reply(response.status_code, head, bytes(response.body))


def _too_large(limit: int) -> RequestTooLargeError:
    msg = f"the request body has more than {limit} bytes"
    return RequestTooLargeError(msg, hint="send fewer entity rows in each of several requests")
