"""Errors as HTTP answers: the only place where an error meets an HTTP status.

Every error of every route has one shape, `{"error": {"code", "message", "hint", "details"}}`, and
its `code` is stable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from evenstore.errors import (
    CodecError,
    ConfigurationError,
    CorruptRowError,
    EntityRowsError,
    EvenstoreError,
    FormatVersionError,
    FutureRowError,
    GatewayError,
    MaterializationError,
    OfflineStoreError,
    OnlineStoreError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
    ParityError,
    SchemaDriftError,
    SchemaError,
    SourceChangedError,
    SourceUnavailableError,
    TrainingError,
    TransformError,
    UnknownFeatureError,
    UnknownFeatureServiceError,
    UnsupportedDtypeError,
)

__all__ = [
    "HTTP_STATUSES",
    "AccessDeniedError",
    "ConflictError",
    "InvalidRequestError",
    "MaterializationTimeoutError",
    "NotAcceptableError",
    "NotAuthenticatedError",
    "OverloadedError",
    "RequestTooLargeError",
    "UnknownPushSourceError",
    "WriterUnavailableError",
    "error_response",
    "install_error_handlers",
    "status_of",
    "unexpected_response",
]

RETRY_AFTER_S = 1
"""What a 503 tells callers to wait: Redis is back within a second or stays away for long."""


class InvalidRequestError(EvenstoreError, ValueError):
    """A request that has not the form this route takes; `problems` lists places and reasons."""

    code = "invalid-request"

    def __init__(
        self, message: str, *, hint: str | None = None, problems: Sequence[dict[str, str]] = ()
    ) -> None:
        self.problems = list(problems)
        super().__init__(message, hint=hint)


class RequestTooLargeError(EvenstoreError, ValueError):
    """A request that asks for more than the gateway's limits allow."""

    code = "request-too-large"


class UnknownPushSourceError(EvenstoreError, LookupError):
    """A push source that the registry does not have."""

    code = "unknown-push-source"


class NotAcceptableError(EvenstoreError, ValueError):
    """The request accepts no form that this route has."""

    code = "not-acceptable"


class ConflictError(EvenstoreError):
    """What was asked for is under way already."""

    code = "conflict"


class NotAuthenticatedError(EvenstoreError, PermissionError):
    """A request without an API key, or with one that is not known."""

    code = "not-authenticated"


class AccessDeniedError(EvenstoreError, PermissionError):
    """An API key that does not allow this route."""

    code = "access-denied"


class WriterUnavailableError(EvenstoreError):
    """The process that writes is not there, or did not answer in time; to repeat does no harm."""

    code = "writer-unavailable"


class MaterializationTimeoutError(EvenstoreError, TimeoutError):
    """A materialization that a request waited for takes too long; it goes on."""

    code = "materialization-timeout"


class OverloadedError(EvenstoreError):
    """More requests wait than the gateway takes; nothing was done."""

    code = "overloaded"


HTTP_STATUSES: dict[type[EvenstoreError], int] = {
    # What the caller can mend.
    InvalidRequestError: 422,
    EntityRowsError: 422,
    FutureRowError: 409,
    RequestTooLargeError: 413,
    UnknownFeatureError: 404,
    UnknownFeatureServiceError: 404,
    UnknownPushSourceError: 404,
    NotAcceptableError: 406,
    ConflictError: 409,
    NotAuthenticatedError: 401,
    AccessDeniedError: 403,
    # What passes: the caller may try again.
    OnlineStoreError: 503,
    OnlineStoreUnavailableError: 503,
    OnlineStoreTimeoutError: 504,
    OverloadedError: 503,
    WriterUnavailableError: 503,
    MaterializationTimeoutError: 504,
    OfflineStoreError: 503,
    SourceChangedError: 503,
    SourceUnavailableError: 503,
    GatewayError: 502,
    # What the owner of the feature store must mend.
    EvenstoreError: 500,
    ConfigurationError: 500,
    SchemaError: 500,
    UnsupportedDtypeError: 500,
    SchemaDriftError: 500,
    CodecError: 500,
    CorruptRowError: 500,
    FormatVersionError: 500,
    MaterializationError: 500,
    TransformError: 500,
    ParityError: 500,
    TrainingError: 500,
}
"""One status per error class; a test fails on a class that is not here."""

_CODES_BY_STATUS = {
    400: "invalid-request",
    404: "unknown-route",
    405: "method-not-allowed",
    408: "request-timeout",
    413: "request-too-large",
    431: "headers-too-large",
}
_HINTS_BY_STATUS = {
    404: "GET /docs lists the routes",
    405: "GET /docs lists the routes and their methods",
}
_STORE_MESSAGES: dict[type[EvenstoreError], str] = {
    OnlineStoreError: "the online store refused the request",
    OnlineStoreUnavailableError: "the online store cannot be reached",
    OnlineStoreTimeoutError: "the online store did not answer in time",
}
"""What callers are told: the errors' own texts name the store's address, which the log keeps."""

_UNEXPECTED = "the gateway failed on this request"


def status_of(error: EvenstoreError) -> int:
    """Return the HTTP status of an error: its class's, or that of the nearest base."""
    return next(HTTP_STATUSES[kind] for kind in type(error).__mro__ if kind in HTTP_STATUSES)


def error_response(error: EvenstoreError, *, status: int | None = None) -> Response:
    """Render an error; a 503 says when to try again.

    Args:
        error: What went wrong.
        status: Another HTTP status than the error's own.
    """
    store_message = _STORE_MESSAGES.get(type(error))
    return _response(
        status_of(error) if status is None else status,
        error.code,
        error.message if store_message is None else store_message,
        hint=error.hint if store_message is None else "try again; the gateway's log says why",
        details=_details(error),
    )


def unexpected_response() -> Response:
    """Render what no error class foresaw."""
    return _response(
        500, EvenstoreError.code, _UNEXPECTED, hint="the worker's log says where", details={}
    )


def install_error_handlers(app: FastAPI) -> None:
    """Give all errors of an application the one shape, those of its framework included."""
    app.add_exception_handler(EvenstoreError, _on_evenstore_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


def _response(
    status: int, code: str, message: str, *, hint: str | None, details: dict[str, Any]
) -> Response:
    error = {"code": code, "message": message, "hint": hint, "details": details}
    headers = (
        {"retry-after": str(RETRY_AFTER_S)} if status == HTTP_STATUSES[OnlineStoreError] else {}
    )
    return Response(
        orjson.dumps({"error": error}, default=str),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )


def _details(error: EvenstoreError) -> dict[str, Any]:
    if isinstance(error, UnknownFeatureError | UnknownFeatureServiceError):
        return {"missing": error.missing}
    if isinstance(error, InvalidRequestError) and error.problems:
        return {"problems": error.problems}
    return {}


async def _on_evenstore_error(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, EvenstoreError):
        raise exc
    # For the guard's log.
    request.scope["evenstore.error"] = exc
    return error_response(exc)


async def _on_validation_error(_request: Request, exc: Exception) -> Response:
    if not isinstance(exc, RequestValidationError):
        raise exc
    problems = [
        {"where": ".".join(str(part) for part in problem["loc"]), "problem": problem["msg"]}
        for problem in exc.errors()
    ]
    return error_response(InvalidRequestError("the request is not valid", problems=problems))


async def _on_http_exception(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        raise exc
    response = _response(
        exc.status_code,
        _CODES_BY_STATUS.get(exc.status_code, "http"),
        f"{request.method} {request.url.path}: {exc.detail}",
        hint=_HINTS_BY_STATUS.get(exc.status_code),
        details={},
    )
    response.headers.update(exc.headers or {})
    return response


async def _on_unexpected(_request: Request, _exc: Exception) -> Response:
    return unexpected_response()
