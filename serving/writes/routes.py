"""The HTTP routes that write. Bodies pass through unread: the writer process checks them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from serving.errors import RETRY_AFTER_S
from serving.models import ErrorAnswer
from serving.writes.client import WriterClient
from serving.writes.models import (
    MaterializationAccepted,
    MaterializeIncrementalRequest,
    MaterializeRequest,
    PushRequest,
    WriteRequest,
)
from serving.writes.wire import WriteAnswer

__all__ = ["write_response", "write_routes"]

_Responses = dict[int | str, dict[str, Any]]

_ERRORS: _Responses = {
    413: {"model": ErrorAnswer, "description": "More than the gateway's limits allow."},
    422: {
        "model": ErrorAnswer,
        "description": "The request or its rows are not valid; nothing was written.",
    },
    500: {"model": ErrorAnswer, "description": "A definition or a source cannot be used."},
    503: {
        "model": ErrorAnswer,
        "description": "Redis or the writer process is away; `retry-after` says when to retry. "
        "Repeating does no harm.",
    },
}
_ROW_ERRORS: _Responses = {
    404: {"model": ErrorAnswer, "description": "Unknown push source or feature view."},
    **_ERRORS,
    504: {
        "model": ErrorAnswer,
        "description": "Redis or the writer process did not answer in time: the rows may be "
        "written or not. Repeating does no harm.",
    },
}
_RUN_ERRORS: _Responses = {
    202: {"model": MaterializationAccepted, "description": "It goes on after this answer."},
    404: {"model": ErrorAnswer, "description": "Unknown feature view."},
    409: {"model": ErrorAnswer, "description": "A materialization of a view is under way."},
    **_ERRORS,
    504: {
        "model": ErrorAnswer,
        "description": "Redis did not answer in time; or the materialization takes longer than "
        "a request may wait: it goes on.",
    },
}

_Async = Annotated[
    bool, Query(alias="async", description="Answer 202 at once; the materialization goes on.")
]
_Force = Annotated[
    bool, Query(description="End a materialization of the same views first; nothing is lost.")
]


def write_routes(client: WriterClient) -> APIRouter:
    """Make the routes `/push`, `/write-to-online-store` and `/materialize[-incremental]`.

    Args:
        client: The writer process; closing it is the caller's.
    """
    router = APIRouter()
    _add_row_routes(router, client)
    _add_materialization_routes(router, client)
    return router


def _add_row_routes(router: APIRouter, client: WriterClient) -> None:
    @router.post(
        "/push",
        tags=["writes"],
        summary="Push rows to the views of a push source",
        response_class=Response,
        responses=_ROW_ERRORS,
        openapi_extra=_body_of(PushRequest),
    )
    async def push(request: Request) -> Response:
        """Answers 200 when all rows are stored: the next lookup finds them.

        Of several rows of an entity the latest is kept; a row that is not later than the stored one
        changes nothing, so that repeating a push does no harm.
        """
        return write_response(await client.write("/push", await request.body()))

    @router.post(
        "/write-to-online-store",
        tags=["writes"],
        summary="Write rows of a view to the online store",
        response_model=None,
        responses=_ROW_ERRORS,
        openapi_extra=_body_of(WriteRequest),
    )
    async def write_to_online_store(request: Request) -> Response:
        """As a push, for one view that needs no push source; what Feast's remote store sends."""
        return write_response(await client.write("/write-to-online-store", await request.body()))


def _add_materialization_routes(router: APIRouter, client: WriterClient) -> None:
    @router.post(
        "/materialize",
        tags=["materialization"],
        summary="Load an interval into the online store",
        response_model=None,
        responses=_RUN_ERRORS,
        openapi_extra=_body_of(MaterializeRequest),
    )
    async def materialize(
        request: Request, *, is_async: _Async = False, force: _Force = False
    ) -> Response:
        """Answers 200 at its end. Lookups go on meanwhile; a run that is ended loses nothing."""
        body = await request.body()
        return write_response(
            await client.materialize("/materialize", body, is_async=is_async, force=force)
        )

    @router.post(
        "/materialize-incremental",
        tags=["materialization"],
        summary="Load what is new into the online store",
        response_model=None,
        responses=_RUN_ERRORS,
        openapi_extra=_body_of(MaterializeIncrementalRequest),
    )
    async def materialize_incremental(
        request: Request, *, is_async: _Async = False, force: _Force = False
    ) -> Response:
        """Answers 200 at its end. Begins where the last run of each view ended."""
        body = await request.body()
        return write_response(
            await client.materialize(
                "/materialize-incremental", body, is_async=is_async, force=force
            )
        )


def _body_of(model: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def write_response(answer: WriteAnswer) -> Response:
    """Render what the writer process answered; a 503 says when to try again."""
    headers = {}
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = str(RETRY_AFTER_S)
    media_type = "application/json" if answer.body else None
    return Response(answer.body, status_code=answer.status, media_type=media_type, headers=headers)
