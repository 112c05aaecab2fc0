"""Adds to the framework's OpenAPI document what holds for every route, and what it loses.

That is: how a request shows its API key, the answers of the gate in front of the routes, the
request id, and examples with their nulls. Errors have the one shape, also where the framework
states its own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from serving.openapi.examples import EXAMPLES

__all__ = ["complete_openapi", "completed"]

_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/health"})
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, where the gateway asks for one.",
    },
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key in a header of its own.",
    },
}
# Whether keys are asked for is a setting of the gateway: the empty requirement is none.
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}, {}]
_GATE_ERRORS = {
    "401": "No API key, or one that is not known.",
    "403": "The API key does not allow this route.",
    "503": "Too many requests wait; `retry-after` says when to try again.",
}
_REQUEST_ID = {
    "description": "The request's id in the gateway's log: the caller's own where it sent a sane "
    "one.",
    "schema": {"type": "string"},
}
_ERROR_REFERENCE = {"$ref": "#/components/schemas/ErrorAnswer"}
_FRAMEWORK_ERROR = {"$ref": "#/components/schemas/HTTPValidationError"}
_FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")
_INVALID = "The request is not valid."


def complete_openapi(app: FastAPI) -> None:
    """Make an application state the complete document at `/openapi.json` and `/docs`."""
    made = app.openapi
    kept: list[dict[str, Any]] = []

    def openapi() -> dict[str, Any]:
        if not kept:
            kept.append(completed(made()))
        return kept[0]

    app.openapi = openapi  # type: ignore[method-assign]


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Return a complete copy of a document; one that is complete stays as it is."""
    document = copy.deepcopy(document)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for path, operation in _operations(document):
        _complete_operation(operation, is_open=path in _OPEN_PATHS)
    for name in _FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    for name, examples in EXAMPLES.items():
        if name in schemas:
            schemas[name]["examples"] = copy.deepcopy(examples)
    document["components"]["securitySchemes"] = copy.deepcopy(_SECURITY_SCHEMES)
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for operation in item.values():
            yield path, operation


def _complete_operation(operation: dict[str, Any], *, is_open: bool) -> None:
    responses = operation["responses"]
    framework = responses.get("422", {}).get("content", {}).get("application/json", {})
    if framework.get("schema") == _FRAMEWORK_ERROR:
        responses["422"] = _error(_INVALID)
    operation["security"] = [] if is_open else copy.deepcopy(_SECURITY)
    if not is_open:
        for status, description in _GATE_ERRORS.items():
            responses.setdefault(status, _error(description))
    for response in responses.values():
        response.setdefault("headers", {})["x-request-id"] = copy.deepcopy(_REQUEST_ID)


def _error(description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": dict(_ERROR_REFERENCE)}}
    return {"description": description, "content": content}
