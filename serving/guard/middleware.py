"""The guard in front of the FastAPI routes: API key, admission, request id, metrics, log line.

The hot route does the same by itself, with the same objects, in the layer below.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evenstore.errors import EvenstoreError
from serving.errors import NotAuthenticatedError, error_response, status_of
from serving.guard.access import KNOWN_PATHS, OPEN_PATHS, READ_PATHS, SAFE_METHODS, AccessRules
from serving.guard.admission import Admission
from serving.guard.api_keys import ApiKeys, presented_key
from serving.guard.request_id import HEADER, RequestIds
from serving.telemetry.metrics import Metrics
from serving.telemetry.request_log import RequestLog

__all__ = ["ERROR_KEY", "Guard", "Guarding"]

ERROR_KEY = "evenstore.error"
"""Under this key of the ASGI scope an error handler leaves the error, to be logged once."""

_NO_ROUTE = "unmatched"
_UNANSWERED = 500


@dataclass(frozen=True, slots=True)
class Guarding:
    """What guards the requests of one worker, on the hot route and on all others.

    Attributes:
        keys: The API keys; None checks none.
        rules: Which scope a route needs.
        admission: How many requests are taken at once.
        request_ids: Gives each request its id.
        metrics: Counts.
        log: Writes lines about requests.
    """

    keys: ApiKeys | None
    rules: AccessRules
    admission: Admission
    request_ids: RequestIds
    metrics: Metrics
    log: RequestLog


class Guard:
    """ASGI middleware: lets a request through, or answers for the application.

    Probes and documentation (`OPEN_PATHS`) are never shed, so that an overloaded worker is not
    taken for a dead one. Others hold a place from when their body is here: those who never finish
    a body take nobody's.

    Args:
        app: The application; its routes tell which paths there are.
        guarding: What guards it.
        inner: What answers in its place, where something stands before it.
    """

    def __init__(self, app: Starlette, guarding: Guarding, inner: ASGIApp | None = None) -> None:
        self._routes = app.router.routes
        self._app = app if inner is None else inner
        self._guarding = guarding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request; other things than requests pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarding = self._guarding
        begun = time.perf_counter()
        headers = dict(scope["headers"])
        answer = _Answer(send, guarding.request_ids.take(headers.get(HEADER)))
        api_key = ""
        try:
            try:
                api_key = self._authorize(scope, headers)
            except EvenstoreError as exc:
                await self._refuse(exc, scope, receive, answer)
            else:
                await self._admit(scope, receive, answer)
        finally:
            self._tell(scope, answer.status, time.perf_counter() - begun, api_key)

    def _authorize(self, scope: Scope, headers: dict[bytes, bytes]) -> str:
        keys = self._guarding.keys
        if keys is None:
            return ""
        needed = self._guarding.rules.scope_of(scope["method"], scope["path"])
        if needed is None:
            return ""
        key = presented_key(headers.get(b"authorization"), headers.get(b"x-api-key"))
        if scope["path"] not in READ_PATHS and not self._has_route(scope):
            # No scope would help: whoever has a key is told that there is no such route.
            needed = None
        return keys.authorize(key, needed)

    def _has_route(self, scope: Scope) -> bool:
        # Asked of the routes themselves, so that what is answered is what would be called.
        return any(route.matches(dict(scope))[0] is not Match.NONE for route in self._routes)

    async def _admit(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, answer.send)
            return
        entry = _Entry(self._guarding.admission, scope, receive)
        try:
            entry.begin()
        except EvenstoreError as exc:
            await self._refuse(exc, scope, receive, answer)
            return
        try:
            await self._app(scope, entry.receive, answer.send)
        finally:
            entry.end()

    async def _refuse(
        self, error: EvenstoreError, scope: Scope, receive: Receive, answer: _Answer
    ) -> None:
        scope[ERROR_KEY] = error
        response = error_response(error)
        if isinstance(error, NotAuthenticatedError):
            response.headers["www-authenticate"] = "Bearer"
        await response(scope, receive, answer.send)

    def _tell(self, scope: Scope, status: int, seconds: float, api_key: str) -> None:
        guarding = self._guarding
        route = _route_of(scope)
        guarding.metrics.route(route).observe(status, seconds)
        error = scope.get(ERROR_KEY)
        if isinstance(error, EvenstoreError):
            guarding.log.log_error(error, route=route, status=status_of(error))
        if guarding.log.is_on:
            guarding.log.log_request(route, scope["method"], status, seconds, api_key=api_key)


def _route_of(scope: Scope) -> str:
    """Return the template of a request's route, never its path.

    A path could hold anything, and there is no bound to how many there are.
    """
    path: str = scope["path"]
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return path if path in KNOWN_PATHS else _NO_ROUTE
    # A route does not know the prefix it was included with; the prefix is plain text.
    own = template.split("/")[1:]
    return "/".join([*path.split("/")[: -len(own)], *own])


class _Entry:
    """Takes a request's place among those under way, and gives it back."""

    def __init__(self, admission: Admission, scope: Scope, receive: Receive) -> None:
        method, path = scope["method"], scope["path"]
        self._awaits_body = method not in SAFE_METHODS
        is_read = not self._awaits_body or path in READ_PATHS
        self._enter = admission.enter if is_read else admission.enter_write
        self._leave = admission.leave if is_read else admission.leave_write
        self._receive = receive
        self._is_in = False

    def begin(self) -> None:
        """Take the place, or see that there is one: to refuse early spares the body."""
        self._enter()
        if self._awaits_body:
            self._leave()
        else:
            self._is_in = True

    def end(self) -> None:
        if self._is_in:
            self._leave()

    async def receive(self) -> Message:
        message = await self._receive()
        is_whole = message["type"] == "http.request" and not message.get("more_body", False)
        if is_whole and not self._is_in:
            self._enter()
            self._is_in = True
        return message


class _Answer:
    """Notes an answer's status on its way, and puts the request id into its headers."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self.status = _UNANSWERED
        self._send = send
        self._request_id = request_id.decode("ascii")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["x-request-id"] = self._request_id
        await self._send(message)
