"""One HTTP exchange as plain data, and what its outcome means: an answer, or a failure.

Nothing here sends anything; both clients do, each in its own way.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpcore
import httpx

from evenstore.errors import GatewayError
from evenstore.redis_url import redact_url

__all__ = [
    "REQUEST_ID_HEADER",
    "Exchange",
    "Failure",
    "Reply",
    "broken_exchange",
    "deadline_passed",
    "failure_of",
    "foreign_answer",
    "read_answer",
]

REQUEST_ID_HEADER = "x-request-id"

_NO_ANSWER = 0
_SUCCESSES = range(200, 300)
_PASSING = frozenset({429, 503, 504})
"""What a gateway answers when nothing is wrong with the request: too busy, Redis away or slow."""

_LONGEST_RETRY_AFTER_S = 3600.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange(Generic[Answer]):
    """One request, and how its answer is read.

    Attributes:
        method: `GET` or `POST`.
        path: Below the base URL, with its query; percent-encoded.
        read: Makes the answer of a success.
        body: JSON, or None.
        is_retried: Whether a failure that may pass is tried again; lookups and writes are
            idempotent, probes want the first answer.
    """

    method: str
    path: str
    read: Callable[[Reply], Answer]
    body: bytes | None = None
    is_retried: bool = True


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that brought no success.

    Attributes:
        error: What the caller gets when nobody tries again.
        may_pass: Whether the same request may succeed a little later.
        retry_after_s: The least pause that the gateway asks for.
        request_id: As the reply states it.
        cause: What the HTTP library raised.
    """

    error: GatewayError
    may_pass: bool
    retry_after_s: float = 0.0
    request_id: str | None = None
    cause: Exception | None = None

    def raised(self, headers: Mapping[str, str]) -> GatewayError:
        """Return the error with the id of its request: the gateway's, else the one sent."""
        self.error.request_id = self.request_id or headers.get(REQUEST_ID_HEADER)
        return self.error


def read_answer(exchange: Exchange[Answer], reply: Reply, headers: Mapping[str, str]) -> Answer:
    """Make the answer of a success.

    Args:
        exchange: What was sent.
        reply: What came back.
        headers: What was sent with it.

    Raises:
        GatewayError: The reply is not a gateway's.
    """
    try:
        return exchange.read(reply)
    except GatewayError as exc:
        exc.request_id = reply.headers.get(REQUEST_ID_HEADER) or headers.get(REQUEST_ID_HEADER)
        raise


def failure_of(reply: Reply) -> Failure | None:
    """Judge a reply; None where it is a success."""
    if reply.status in _SUCCESSES:
        return None
    try:
        error = json.loads(reply.body)["error"]
        message, code, hint = str(error["message"]), str(error["code"]), error["hint"]
    except (ValueError, TypeError, KeyError, RecursionError):
        refusal = foreign_answer(reply.status)
    else:
        refusal = GatewayError(message, status=reply.status, remote_code=code, hint=hint)
    return Failure(
        refusal,
        may_pass=reply.status in _PASSING,
        retry_after_s=_retry_after_s(reply.headers.get("retry-after", "")),
        request_id=reply.headers.get(REQUEST_ID_HEADER),
    )


def broken_exchange(base_url: str, cause: Exception) -> Failure:
    """Judge what the HTTP library raised instead of a reply."""
    if isinstance(cause, httpx.DecodingError):
        return Failure(foreign_answer(_NO_ANSWER), may_pass=False, cause=cause)
    reason = str(cause) or type(cause).__name__
    error = GatewayError(
        f"the gateway at {redact_url(base_url)} gave no answer: {reason}",
        status=_NO_ANSWER,
        remote_code="unreachable",
        hint="does it run? `evenstore-serve --repo PATH` starts one",
    )
    is_ours = isinstance(
        cause,
        httpx.UnsupportedProtocol
        | httpx.LocalProtocolError
        | httpcore.UnsupportedProtocol
        | httpcore.LocalProtocolError,
    )
    return Failure(error, may_pass=not is_ours, cause=cause)


def deadline_passed(base_url: str, timeout_s: float, cause: Exception | None = None) -> Failure:
    """Make the failure of a call whose time is up."""
    error = GatewayError(
        f"the gateway at {redact_url(base_url)} gave no answer within {timeout_s:g} s",
        status=_NO_ANSWER,
        remote_code="deadline-exceeded",
        hint="allow more time (`timeout_s`), or send fewer entity rows per call",
    )
    return Failure(error, may_pass=False, cause=cause)


def foreign_answer(status: int) -> GatewayError:
    """Make the error for an answer that no gateway writes."""
    return GatewayError(
        f"HTTP {status} without the gateway's form" if status else "an answer that is no HTTP",
        status=status,
        remote_code="unknown",
        hint="does the address belong to an evenstore gateway, or to something before it?",
    )


def _retry_after_s(text: str) -> float:
    # The header's other form is a date, which no gateway sends: our own pause is as good.
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return min(seconds, _LONGEST_RETRY_AFTER_S) if math.isfinite(seconds) and seconds > 0 else 0.0
