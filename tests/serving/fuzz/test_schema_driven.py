"""Requests drawn from the worker's own OpenAPI document: those that it allows, and others.

Each drawn request is sent three times: as it is, with what it asks for replaced by what exists, and
spoilt.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core import NotSet

from serving.openapi.completion import completed
from tests.serving.fuzz.judge import judge
from tests.serving.fuzz.mutations import Spoiler
from tests.serving.fuzz.raw_http import Answer, Connection
from tests.serving.fuzz.valid import LOOKUPS, VECTORS
from tests.serving.processes import Running
from tests.support.scale import scaled

pytestmark = [pytest.mark.redis, pytest.mark.slow]

N_EXAMPLES = scaled(10, 500)
"""Per route and kind of request."""

PATH = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"
_KNOWN = {"entities": LOOKUPS[0], "entity_rows": VECTORS[0]}
_JSON = "application/json"


@pytest.fixture(scope="module")
def document(target: Running) -> dict[str, Any]:
    """What the worker says of itself."""
    found: dict[str, Any] = target.get("/openapi.json").json()
    return found


def test_worker_states_what_is_checked_in(document: dict[str, Any]) -> None:
    checked_in = json.loads(PATH.read_text(encoding="utf-8"))
    stated = completed(document)["paths"]
    # This one takes no writes, for want of a writer process.
    assert len(stated) > 7
    assert stated == {path: checked_in["paths"][path] for path in stated}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_drawn_requests_are_answered_as_documented(
    connection: Connection, document: dict[str, Any], mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_dict(document)
    statuses: Counter[int] = Counter()
    for path, method in sorted(operations(document)):
        operation = document["paths"][path][method]
        if mode is GenerationMode.NEGATIVE and "requestBody" not in operation:
            continue  # Nothing can be wrong with a path.
        documented = Documented(operation, document)
        n_examples = N_EXAMPLES if "requestBody" in operation else N_EXAMPLES // 5
        for case in drawn(schema[path][method.upper()], mode, n_examples):
            for body, headers in forms(case):
                answer = connection.request(case.method, target_of(case), body, headers)
                judge(answer, (case.method, case.formatted_path, headers, body))
                documented.check(answer)
                statuses[answer.status] += 1
    if mode is GenerationMode.POSITIVE:
        assert statuses[200]
    assert statuses[422]


def drawn(operation: Any, mode: GenerationMode, n_examples: int) -> list[Any]:
    """Draw requests of one route."""
    cases: list[Any] = []

    @seed(1)
    @settings(
        max_examples=n_examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def draw(case: Any) -> None:
        cases.append(case)

    with suppress(Unsatisfiable):  # Any text is right in a path: nothing wrong can be drawn.
        draw()
    return cases


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, item in document["paths"].items():
        for method in item:
            yield path, method


def target_of(case: Any) -> str:
    return httpx.URL(case.formatted_path, params=case.query or None).raw_path.decode("ascii")


def forms(case: Any) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Yield what is sent for one drawn request."""
    media_type = case.media_type or _JSON
    if isinstance(case.body, NotSet):
        yield b"", {}
        return
    body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    yield body, {"content-type": media_type}
    if not isinstance(case.body, dict):
        return
    spoiler = Spoiler(len(body))
    for rows, known in _KNOWN.items():
        if rows in case.body or "features" in case.body:
            yield json.dumps({**case.body, **known}).encode(), {"content-type": media_type}
    yield spoiler.body(case.body), spoiler.headers()


class Documented:
    """What one route may answer."""

    def __init__(self, operation: dict[str, Any], document: dict[str, Any]) -> None:
        self._responses = operation["responses"]
        self._components = document["components"]
        self._validators: dict[int, Any] = {}

    def check(self, answer: Answer) -> None:
        """Fail on a status that the document does not name, or a body not of its schema."""
        if answer.status in {400, 405}:
            return  # Of the transport: any route may answer so.
        assert str(answer.status) in self._responses, (answer.status, answer.body[:300])
        if answer.headers.get("content-type") == _JSON and answer.body:
            self._validator(answer.status).validate(answer.json())

    def _validator(self, status: int) -> Any:
        validator = self._validators.get(status)
        if validator is None:
            schema = self._responses[str(status)]["content"][_JSON]["schema"]
            validator = jsonschema_rs.validator_for({**schema, "components": self._components})
            self._validators[status] = validator
        return validator
