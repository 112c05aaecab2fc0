from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from evenstore import errors
from evenstore.errors import EvenstoreError, UnknownFeatureError
from serving.errors import HTTP_STATUSES, InvalidRequestError, install_error_handlers, status_of
from tests.serving import rows
from tests.serving.processes import LIMITS, Running

ENTITIES = {"customer_id": [rows.FRESH]}
SERVICE = {"feature_service": "all_types"}
FEATURES = {"features": ["numbers:f_int32"]}


def all_errors(kind: type[EvenstoreError] = EvenstoreError) -> Iterator[type[EvenstoreError]]:
    if kind.__module__.startswith(("evenstore.", "serving.")):
        yield kind
    for child in kind.__subclasses__():
        yield from all_errors(child)


def shape_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert set(answer) == {"error"}
    error: dict[str, Any] = answer["error"]
    assert set(error) == {"code", "message", "hint", "details"}
    assert error["code"]
    assert error["message"]
    return error


@pytest.mark.parametrize("kind", list(all_errors()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status(kind: type[EvenstoreError]) -> None:
    assert HTTP_STATUSES[kind] >= 400


def test_every_public_error_is_seen() -> None:
    assert {kind.__name__ for kind in all_errors()} >= set(errors.__all__)


def test_an_error_without_a_status_has_that_of_its_base() -> None:
    class NewError(UnknownFeatureError):
        pass

    assert status_of(NewError(["a"], [])) == 404


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"entities": ENTITIES, "feature_service": "nope"}, 404, "unknown-feature-service", "nope"),
        ({"entities": ENTITIES, "features": ["nope:x"]}, 404, "unknown-feature", "nope:x"),
        ({"entities": ENTITIES, "features": ["numbers:x"]}, 404, "unknown-feature", "numbers:x"),
        ({"entities": ENTITIES, "features": []}, 422, "invalid-request", "no features"),
        ({"entities": ENTITIES}, 422, "invalid-request", "no features"),
        ({"entities": ENTITIES, "features": ["numbers"]}, 422, "invalid-request", "numbers"),
        ({"entities": ENTITIES, "features": ["a:b:c"]}, 422, "invalid-request", "a:b:c"),
        ({"entities": ENTITIES, "features": ["numbers@v2:f"]}, 422, "invalid-request", "version"),
        ({"entities": ENTITIES, "features": "numbers:x"}, 422, "invalid-request", "features"),
        (SERVICE, 422, "invalid-request", "entities"),
        ({**SERVICE, "entities": [1]}, 422, "invalid-request", "entities"),
        ({**SERVICE, "entities": {"customer_id": 7}}, 422, "invalid-request", "customer_id"),
        ({**SERVICE, "entities": {}}, 422, "entity-rows", "customer_id"),
        ({**SERVICE, "entities": {"customer_id": []}}, 422, "invalid-request", "no entity rows"),
        ({**SERVICE, "entities": {"customer": [7]}}, 422, "entity-rows", "customer_id"),
        ({**SERVICE, "entities": {"customer_id": [7, None]}}, 422, "entity-rows", "row 1"),
        ({**SERVICE, "entities": {"customer_id": ["1"]}}, 422, "entity-rows", "'1'"),
        ({**SERVICE, "entities": {"customer_id": [1.7]}}, 422, "entity-rows", "1.7"),
        ({**SERVICE, "entities": {"customer_id": [True]}}, 422, "entity-rows", "True"),
        ({**SERVICE, "entities": {"customer_id": [2**63]}}, 422, "entity-rows", "Int64"),
        ({**SERVICE, "entities": {"customer_id": [[7]]}}, 422, "entity-rows", "row 0"),
        (
            {"feature_service": "checkout", "entities": ENTITIES},
            422,
            "entity-rows",
            "amount",
        ),
        (
            {"feature_service": "checkout", "entities": {**ENTITIES, "amount": ["x"]}},
            422,
            "entity-rows",
            "amount",
        ),
        (
            {"feature_service": "checkout", "entities": {**ENTITIES, "amount": [1, 2]}},
            422,
            "entity-rows",
            "length",
        ),
        (
            {"features": ["scans:pages"], "entities": {"document_id": ["no base64"]}},
            422,
            "entity-rows",
            "document_id",
        ),
        (
            {"features": ["numbers:f_string", "profile:f_string"], "entities": ENTITIES},
            422,
            "invalid-request",
            "f_string",
        ),
        (
            {
                "features": ["numbers:f_string", "numbers:f_string"],
                "entities": ENTITIES,
                "full_feature_names": True,
            },
            422,
            "invalid-request",
            "numbers:f_string",
        ),
        ({**SERVICE, "entities": ENTITIES, "full_feature_names": "si"}, 422, "invalid-request", ""),
        ([], 422, "invalid-request", "object"),
        (
            {**FEATURES, "entities": {"customer_id": [7] * (LIMITS.max_entity_rows + 1)}},
            413,
            "request-too-large",
            "101 entity rows",
        ),
        (
            {**SERVICE, "entities": {"customer_id": [7] * 60}},
            413,
            "request-too-large",
            "600 values",
        ),
        (
            {"features": ["numbers:f_int32"] * (LIMITS.max_features + 1), "entities": ENTITIES},
            413,
            "request-too-large",
            "13 features",
        ),
    ],
)
def test_client_mistakes_are_refused_clearly(
    worker: Running, body: object, status: int, code: str, says: str
) -> None:
    response = worker.post(body)
    assert response.status_code == status, response.text
    error = shape_of(response)
    assert error["code"] == code
    assert says in error["message"]
    assert error["hint"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"entities": {"customer_id": ["\\ud800"]}, "feature_service": "all_types"}',
        b"[" * 10_000,
        b'{"entities": {"customer_id": [' + b"9" * 5_000 + b']}, "feature_service": "all_types"}',
        b'{"entities": {"customer_id": [NaN]}, "feature_service": "all_types"}',
    ],
    ids=["empty", "cut", "no utf-8", "lone surrogate", "deep", "long number", "nan"],
)
def test_hostile_bodies_are_refused(worker: Running, body: bytes) -> None:
    response = httpx.post(f"{worker.url}/get-online-features", content=body, timeout=60)
    assert response.status_code == 422, response.text
    shape_of(response)


def test_names_close_to_what_was_asked_are_offered(worker: Running) -> None:
    error = shape_of(worker.post({"entities": ENTITIES, "feature_service": "all_type"}))
    assert error["hint"] == "did you mean `all_types`?"
    assert error["details"] == {"missing": "all_type"}


def test_places_of_mistakes_are_listed(worker: Running) -> None:
    error = shape_of(worker.post({"entities": {"customer_id": 7}, "features": 1}))
    assert [problem["where"] for problem in error["details"]["problems"]] == [
        "entities.customer_id",
        "features",
    ]


def test_announced_body_over_the_limit_is_refused(worker: Running) -> None:
    response = httpx.post(f"{worker.url}/get-online-features", content=b" " * 20_001, timeout=60)
    assert response.status_code == 413
    assert shape_of(response)["code"] == "request-too-large"


def test_streamed_body_over_the_limit_is_refused(worker: Running) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 1000

    response = httpx.post(f"{worker.url}/get-online-features", content=chunks(), timeout=60)
    assert response.status_code == 413
    assert shape_of(response)["code"] == "request-too-large"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "unknown-route"),
        ("GET", "/get-online-features", 405, "method-not-allowed"),
        ("DELETE", "/readyz", 405, "method-not-allowed"),
    ],
)
def test_wrong_routes_have_the_error_shape(
    worker: Running, method: str, path: str, status: int, code: str
) -> None:
    response = httpx.request(method, worker.url + path, timeout=60)
    assert response.status_code == status
    error = shape_of(response)
    assert error["code"] == code
    assert path in error["message"]


def fetch_failing(path: str) -> httpx.Response:
    """Ask an application with routes that fail in ways which the gateway's own never should."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/typed")
    async def typed(count: int) -> int:
        return count

    @app.get("/broken")
    async def broken() -> None:
        message = "customer 17850"
        raise RuntimeError(message)

    @app.get("/problem")
    async def problem() -> None:
        message = "no"
        raise InvalidRequestError(message, problems=[{"where": "a", "problem": "b"}])

    async def fetch() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(fetch())


def test_framework_validation_has_the_error_shape() -> None:
    response = fetch_failing("/typed?count=many")
    assert response.status_code == 422
    error = shape_of(response)
    assert error["code"] == "invalid-request"
    assert error["details"]["problems"][0]["where"] == "query.count"


def test_unexpected_failure_has_the_error_shape_and_tells_nothing() -> None:
    response = fetch_failing("/broken")
    assert response.status_code == 500
    assert shape_of(response)["code"] == "internal"
    assert "17850" not in response.text


def test_problems_are_details() -> None:
    error = shape_of(fetch_failing("/problem"))
    assert error["details"] == {"problems": [{"where": "a", "problem": "b"}]}
