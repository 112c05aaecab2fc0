"""The checked-in OpenAPI document is the application's, and complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from serving.openapi.document import build_document, render_document
from serving.openapi.rules import breaking_changes

PATH = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
DOCUMENT = build_document()


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every JSON body that is described: what is sent, and what successes bring."""
    for route, operation in operations():
        parts = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for part, body in parts.items():
            content = body.get("content", {}).get("application/json")
            if content is not None and content.get("schema"):
                yield f"{route} {part}", content


BODIES = dict(bodies())


def test_checked_in_document_is_the_applications() -> None:
    assert PATH.exists(), "run: python -m serving.openapi write docs/reference/openapi.json"
    text = PATH.read_text(encoding="utf-8")
    if text != render_document(DOCUMENT):
        changes = breaking_changes(json.loads(text), DOCUMENT)
        told = "\n".join(["these changes break callers:", *map(str, changes)]) if changes else ""
        pytest.fail(f"run: python -m serving.openapi write docs/reference/openapi.json\n{told}")


@pytest.mark.parametrize(
    ("route", "operation"), list(operations()), ids=lambda item: str(item)[:40]
)
def test_every_route_says_what_it_does(route: str, operation: dict[str, Any]) -> None:
    assert operation.get("summary"), route
    assert operation.get("description"), route


@pytest.mark.parametrize("where", list(BODIES))
def test_every_body_has_an_example_of_its_own_schema(where: str) -> None:
    content = BODIES[where]
    schema = content["schema"]
    examples = [example["value"] for example in content.get("examples", {}).values()]
    examples += [content["example"]] if "example" in content else []
    examples += resolved(schema).get("examples", [])
    assert examples, f"{where} has no example"
    validator = jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]})
    for example in examples:
        validator.validate(example)


def test_every_error_has_the_one_shape() -> None:
    others = {
        where: content["schema"]
        for where, content in BODIES.items()
        if where.rsplit(" ", 1)[1][0] in "45"
    }
    assert others
    assert {schema.get("$ref") for schema in others.values()} == {
        "#/components/schemas/ErrorAnswer"
    }


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference: str | None = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][reference.rsplit("/", 1)[1]]
    return found
