"""The `/v1` routes: feature vectors, feature services, and how fresh views are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from evenstore.clock import format_us
from serving.errors import InvalidRequestError, error_response
from serving.models import AS_OF_HEADERS, ErrorAnswer
from serving.native.freshness import read_freshness
from serving.native.media_type import Form, choose_form, read_content_type
from serving.native.models import (
    FeatureVectorsAnswer,
    FeatureVectorsRequest,
    ServedService,
    ServedServices,
    ViewFreshness,
)
from serving.native.service_description import describe_service, list_services
from serving.native.vectors import FeatureVectorService

if TYPE_CHECKING:
    from serving.gateway import Gateway

__all__ = ["native_routes"]

_UNSUPPORTED_MEDIA_TYPE = 415
_VECTORS_TEXT = """\
One feature vector per entity row, in the request's order. Item j of `values` and `statuses` is
`feature_names[j]`; `event_timestamps` and `ages_s` stand once per feature view. An entity row at
fault carries its `error`, and the others are answered.

`Accept` chooses the form, with q-values: `application/json`, `application/msgpack` or
`application/vnd.apache.arrow.stream`; `Content-Type` says whether the request is JSON or
MessagePack. All forms have the same names. JSON and MessagePack write instants as RFC 3339 text;
JSON writes bytes as base64 text, and NaN and the infinities as the texts `NaN`, `Infinity` and
`-Infinity`; MessagePack has binary and floats. Arrow is one record batch of six structs,
`keys` to `error`, in the declared types whatever rows are asked for; the fields before
`feature_vectors` are JSON in the schema's metadata under `evenstore`. An int64 is exact in every
form: a JSON reader that makes floats of numbers loses what is above 2^53."""


def _error(description: str) -> dict[str, Any]:
    return {"model": ErrorAnswer, "description": description}


_NOT_FOUND = _error("Unknown feature service, view or feature.")
_STORE_ERRORS: dict[int | str, dict[str, Any]] = {
    500: _error("A definition or a stored row cannot be served."),
    503: _error("Redis is away; `retry-after` says when to retry."),
    504: _error("Redis did not answer in time."),
}
_VECTOR_ERRORS: dict[int | str, dict[str, Any]] = {
    404: _NOT_FOUND,
    406: _error("The request accepts none of the forms."),
    409: _error("With `on_error: fail`: a stored row is later than the request."),
    413: _error("More than the gateway's limits allow."),
    415: _error("The body is neither JSON nor MessagePack."),
    422: _error("The request, or with `on_error: fail` an entity row, is not valid."),
    **_STORE_ERRORS,
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def native_routes(gateway: Gateway) -> APIRouter:
    """Make the routes around a gateway."""
    router = APIRouter(prefix="/v1")
    router.include_router(_vector_routes(gateway))
    router.include_router(_schema_routes(gateway))
    return router


def _vector_routes(gateway: Gateway) -> APIRouter:
    router = APIRouter(tags=["features"])
    service = FeatureVectorService(gateway)
    body_schema = {"schema": FeatureVectorsRequest.model_json_schema()}

    # The body is parsed by the service: it may be MessagePack, and each entity row is checked for
    # itself.
    @router.post(
        "/feature-vectors",
        summary="Look up feature vectors",
        description=_VECTORS_TEXT,
        response_model=FeatureVectorsAnswer,
        responses={
            200: {
                "description": "One feature vector per entity row.",
                "headers": AS_OF_HEADERS,
                "content": {Form.MESSAGE_PACK.value: _BINARY, Form.ARROW.value: _BINARY},
            },
            **_VECTOR_ERRORS,
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {Form.JSON.value: body_schema, Form.MESSAGE_PACK.value: body_schema},
            }
        },
    )
    async def feature_vectors(request: Request) -> Response:
        chosen = choose_form(request.headers.get("accept"))
        sent = read_content_type(request.headers.get("content-type"))
        if sent is None:
            return _unsupported(request.headers["content-type"])
        answer = await service.answer(await request.body(), sent, chosen.form)
        headers = {
            "evenstore-as-of": format_us(answer.as_of_us),
            "evenstore-as-of-us": str(answer.as_of_us),
            "evenstore-clock": "frozen" if gateway.clock.is_frozen else "system",
        }
        if answer.is_degraded:
            headers["evenstore-degraded"] = "true"
        return Response(answer.body, media_type=chosen.media_type, headers=headers)

    return router


def _schema_routes(gateway: Gateway) -> APIRouter:
    router = APIRouter(tags=["schema"])

    @router.get("/feature-services", summary="List the feature services")
    async def feature_services() -> ServedServices:
        """All services of the loaded schema, those that cannot be served included."""
        return list_services(gateway.plans)

    @router.get(
        "/feature-services/{name}",
        summary="Describe a feature service",
        responses={404: _NOT_FOUND, 500: _STORE_ERRORS[500]},
    )
    async def feature_service(name: str) -> ServedService:
        """What it takes and answers, with JSON Schemas of the bodies of `/v1/feature-vectors`."""
        return describe_service(gateway.plans, name)

    @router.get(
        "/feature-views/{name}/freshness",
        summary="How far a feature view is materialized",
        responses={404: _NOT_FOUND, **_STORE_ERRORS},
    )
    async def freshness(name: str) -> ViewFreshness:
        """Its watermark and last run, from Redis, where they live and die with the rows."""
        return await read_freshness(gateway, name)

    return router


def _unsupported(content_type: str) -> Response:
    msg = f"the body is {content_type}, which is not read here"
    forms = f"{Form.JSON.value} or {Form.MESSAGE_PACK.value}"
    error = InvalidRequestError(msg, hint=f"send `content-type: {forms}`")
    return error_response(error, status=_UNSUPPORTED_MEDIA_TYPE)
