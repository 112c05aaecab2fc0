"""The HTTP application of a worker: routes, headers, and the OpenAPI document.

Neither Feast nor pandas is imported here or below: a worker starts in a second and stays small.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from evenstore.clock import format_us
from evenstore.errors import OnlineStoreError
from serving.body_limit import BodyLimit
from serving.errors import error_response, install_error_handlers
from serving.gateway import Gateway
from serving.models import (
    AS_OF_HEADERS,
    ErrorAnswer,
    OnlineFeaturesAnswer,
    OnlineFeaturesRequest,
    Readiness,
)
from serving.openapi.completion import complete_openapi
from serving.schema_status import read_schema_status

__all__ = ["create_app"]

_DESCRIPTION = (
    "Online lookups of feature values, in the form of Feast's feature server. Every answer states "
    "the instant it holds for in the header `evenstore-as-of`; a value is as old as its event "
    "timestamp, and its status says whether it may still be used."
)
_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "Unknown feature service, view or feature."},
    409: {"model": ErrorAnswer, "description": "A stored row is later than the request."},
    413: {"model": ErrorAnswer, "description": "More than the gateway's limits allow."},
    422: {"model": ErrorAnswer, "description": "The request or its entity rows are not valid."},
    500: {"model": ErrorAnswer, "description": "A definition or a stored row cannot be served."},
    503: {"model": ErrorAnswer, "description": "Redis is away; `retry-after` says when to retry."},
    504: {"model": ErrorAnswer, "description": "Redis did not answer in time."},
}
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    gateway: Gateway,
    *,
    routers: Sequence[APIRouter] = (),
    status_path: Path | None = None,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """Make the application around a gateway.

    Args:
        gateway: What it answers from; closing it is the caller's.
        routers: More routes.
        status_path: Where the supervisor says where the schema comes from.
        lifespan: Runs beside the application, from start to end.
    """
    app = FastAPI(
        title="evenstore gateway",
        version=version("evenstore"),
        description=_DESCRIPTION,
        lifespan=lifespan or _no_lifespan,
        redoc_url=None,
        # A redirect would name this server's own host and scheme: not the proxy's in front of it,
        # and without TLS; and callers would follow it with their key.
        redirect_slashes=False,
    )
    app.add_middleware(BodyLimit, max_body_bytes=gateway.limits.max_body_bytes)
    install_error_handlers(app)
    app.include_router(_lookup_routes(gateway))
    app.include_router(_health_routes(gateway, status_path))
    for router in routers:
        app.include_router(router)
    complete_openapi(app)
    return app


def _lookup_routes(gateway: Gateway) -> APIRouter:
    router = APIRouter(tags=["features"])
    request_schema = OnlineFeaturesRequest.model_json_schema()

    # The body is parsed by the gateway: FastAPI would insist on a content type that Feast's callers
    # do not send, and would validate the answer value by value.
    @router.post(
        "/get-online-features",
        summary="Look up features of entities",
        response_model=OnlineFeaturesAnswer,
        responses={200: {"headers": AS_OF_HEADERS}, **_ERRORS},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": request_schema}},
            }
        },
    )
    async def get_online_features(request: Request) -> Response:
        """One column per join key and feature; item i of every column is entity row i."""
        answer = await gateway.get_online_features(await request.body())
        return Response(
            answer.body,
            media_type="application/json",
            headers=_as_of_headers(gateway, answer.as_of_us),
        )

    return router


def _health_routes(gateway: Gateway, status_path: Path | None) -> APIRouter:
    router = APIRouter(tags=["health"])
    not_ready: dict[int | str, dict[str, Any]] = {503: _ERRORS[503]}

    # Many load balancers probe with HEAD; the server leaves such an answer's body out.
    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="Is the process alive?", response_class=PlainTextResponse)
    async def healthz() -> Response:
        """Answers 200 whatever the state of Redis; restart the process only when it does not."""
        return PlainTextResponse("ok")

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", summary="Can it answer?", response_model=Readiness, responses=not_ready)
    async def readyz() -> Response:
        """Answers 200 only when a schema is loaded and Redis answers, and says what is served."""
        return await _readiness(gateway, status_path)

    @router.head("/health", include_in_schema=False)
    @router.get(
        "/health", summary="Feast's name of readyz", response_class=Response, responses=not_ready
    )
    async def health() -> Response:
        """Answers like readyz, without a body: where Feast's callers look."""
        readiness = await _readiness(gateway, status_path)
        return Response() if readiness.status_code == HTTPStatus.OK else readiness

    return router


async def _readiness(gateway: Gateway, status_path: Path | None) -> Response:
    try:
        await gateway.reader.ping()
    except OnlineStoreError as exc:
        return error_response(exc, status=HTTPStatus.SERVICE_UNAVAILABLE)
    as_of_us = gateway.clock.now_us()
    plans = gateway.plans
    status = None if status_path is None else read_schema_status(status_path)
    readiness = Readiness(
        status="ready",
        project=plans.schema.project,
        schema_fingerprint=plans.fingerprint,
        clock=_clock_name(gateway),
        as_of=format_us(as_of_us),
        as_of_us=as_of_us,
        schema_source=None if status is None else status.schema_source,
        compiled_at=None if status is None else status.compiled_at,
    )
    return Response(
        readiness.model_dump_json(),
        media_type="application/json",
        headers=_as_of_headers(gateway, as_of_us),
    )


def _as_of_headers(gateway: Gateway, as_of_us: int) -> dict[str, str]:
    return {
        "evenstore-as-of": format_us(as_of_us),
        "evenstore-as-of-us": str(as_of_us),
        "evenstore-clock": _clock_name(gateway),
    }


def _clock_name(gateway: Gateway) -> str:
    return "frozen" if gateway.clock.is_frozen else "system"


@asynccontextmanager
async def _no_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield
