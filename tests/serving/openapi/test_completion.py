from __future__ import annotations

import copy
from typing import Any

from fastapi import FastAPI

from serving.models import ErrorAnswer
from serving.openapi.completion import complete_openapi, completed


def made() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{name}", responses={404: {"model": ErrorAnswer}})
    async def item(name: str, n: int = 1) -> dict[str, int]:
        """Say how many."""
        return {name: n}

    @app.get("/healthz")
    async def healthz() -> str:
        """Say that it lives."""
        return "ok"

    return app


def operation(app: FastAPI, path: str) -> dict[str, Any]:
    found: dict[str, Any] = app.openapi()["paths"][path]["get"]
    return found


def test_errors_of_the_framework_take_the_one_shape() -> None:
    app = made()
    complete_openapi(app)
    responses = operation(app, "/items/{name}")["responses"]
    bodies = {
        status: response["content"]["application/json"]["schema"].get("$ref")
        for status, response in responses.items()
        if status != "200"
    }
    assert bodies == dict.fromkeys(
        ["401", "403", "404", "422", "503"], "#/components/schemas/ErrorAnswer"
    )
    assert "HTTPValidationError" not in app.openapi()["components"]["schemas"]


def test_routes_take_a_key_unless_they_are_probes() -> None:
    app = made()
    complete_openapi(app)
    keyed = operation(app, "/items/{name}")["security"]
    assert keyed == [{"bearer": []}, {"api_key": []}, {}]
    assert set(app.openapi()["components"]["securitySchemes"]) == {"bearer", "api_key"}
    probe = operation(app, "/healthz")
    assert probe["security"] == []
    assert set(probe["responses"]) == {"200"}


def test_every_answer_has_a_request_id() -> None:
    app = made()
    complete_openapi(app)
    responses = operation(app, "/items/{name}")["responses"].values()
    assert all("x-request-id" in response["headers"] for response in responses)


def test_complete_document_stays_as_it_is() -> None:
    app = made()
    document = app.openapi()
    before = copy.deepcopy(document)
    once = completed(document)
    assert document == before
    assert completed(once) == once
