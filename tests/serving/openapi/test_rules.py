"""One test per rule: a document, what is changed in it, and what is told."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from serving.openapi.rules import breaking_changes

Edit = Callable[[dict[str, Any]], object]

DOCUMENT: dict[str, Any] = {
    "paths": {
        "/look-up": {
            "post": {
                "parameters": [
                    {"in": "query", "name": "limit", "schema": {"type": "integer"}},
                    {
                        "in": "path",
                        "name": "view",
                        "required": True,
                        "schema": {"type": "string"},
                    },
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Request"}},
                        "application/msgpack": {"schema": {}},
                    },
                },
                "responses": {
                    "200": {
                        "headers": {"as-of": {"schema": {"type": "string"}}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Answer"}},
                            "application/msgpack": {"schema": {}},
                        },
                    },
                    "202": {"description": "later"},
                    "404": {"content": {"application/json": {"schema": {"type": "object"}}}},
                },
            },
            "get": {"responses": {}},
        },
        "/health": {"get": {"responses": {"200": {}}}},
    },
    "components": {
        "schemas": {
            "Request": {
                "type": "object",
                "required": ["rows"],
                "properties": {
                    "rows": {"type": "array", "items": {"type": "object"}, "maxItems": 10},
                    "mode": {"enum": ["a", "b"], "type": "string"},
                    "depth": {"type": "number", "minimum": 0},
                    "name": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "any": {},
                    "nested": {"$ref": "#/components/schemas/Request"},
                },
            },
            "Answer": {
                "type": "object",
                "required": ["values", "status"],
                "properties": {
                    "values": {"type": "array", "items": {}},
                    "status": {"enum": ["x", "y"], "type": "string"},
                    "age": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                    "by_view": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "next": {"$ref": "#/components/schemas/Answer"},
                },
            },
        }
    },
}


def told(edit: Edit) -> list[tuple[str, str]]:
    changed = copy.deepcopy(DOCUMENT)
    edit(changed)
    return [(change.rule, change.where) for change in breaking_changes(DOCUMENT, changed)]


def post(document: dict[str, Any]) -> Any:
    return document["paths"]["/look-up"]["post"]


def sent(document: dict[str, Any]) -> Any:
    return document["components"]["schemas"]["Request"]


def got(document: dict[str, Any]) -> Any:
    return document["components"]["schemas"]["Answer"]


def field(document: dict[str, Any], name: str) -> Any:
    return {**sent(document)["properties"], **got(document)["properties"]}[name]


@pytest.mark.parametrize(
    ("rule", "where", "edit"),
    [
        ("removed-route", "GET /health", lambda d: d["paths"].pop("/health")),
        ("removed-route", "GET /look-up", lambda d: d["paths"]["/look-up"].pop("get")),
        ("removed-response", "POST /look-up 202", lambda d: post(d)["responses"].pop("202")),
        (
            "removed-media-type",
            "POST /look-up request",
            lambda d: post(d)["requestBody"]["content"].pop("application/msgpack"),
        ),
        (
            "removed-media-type",
            "POST /look-up 200",
            lambda d: post(d)["responses"]["200"]["content"].pop("application/msgpack"),
        ),
        ("removed-field", "POST /look-up query.limit", lambda d: post(d)["parameters"].pop(0)),
        (
            "removed-field",
            "POST /look-up 200 header.as-of",
            lambda d: post(d)["responses"]["200"].pop("headers"),
        ),
        (
            "removed-field",
            "POST /look-up request.mode",
            lambda d: sent(d)["properties"].pop("mode"),
        ),
        ("removed-field", "POST /look-up 200.age", lambda d: got(d)["properties"].pop("age")),
        (
            "new-required-field",
            "POST /look-up request.new",
            lambda d: (
                sent(d)["properties"].update(new={"type": "string"}),
                sent(d)["required"].append("new"),
            ),
        ),
        (
            "new-required-field",
            "POST /look-up request.mode",
            lambda d: sent(d)["required"].append("mode"),
        ),
        (
            "new-required-field",
            "POST /look-up query.limit",
            lambda d: post(d)["parameters"][0].update(required=True),
        ),
        (
            "new-required-field",
            "POST /look-up query.new",
            lambda d: post(d)["parameters"].append(
                {"in": "query", "name": "new", "required": True}
            ),
        ),
        (
            "new-required-field",
            "GET /look-up request",
            lambda d: d["paths"]["/look-up"]["get"].update(requestBody={"required": True}),
        ),
        (
            "optional-field",
            "POST /look-up 200.status",
            lambda d: got(d)["required"].remove("status"),
        ),
        (
            "changed-type",
            "POST /look-up request.depth",
            lambda d: field(d, "depth").update(type="integer"),
        ),
        (
            "changed-type",
            "POST /look-up request.name",
            lambda d: field(d, "name")["anyOf"].pop(),
        ),
        (
            "changed-type",
            "POST /look-up request.any",
            lambda d: field(d, "any").update(type="string"),
        ),
        (
            "changed-type",
            "POST /look-up query.limit",
            lambda d: post(d)["parameters"][0]["schema"].update(type="string"),
        ),
        (
            "changed-type",
            "POST /look-up 200.age",
            lambda d: field(d, "age")["anyOf"].append({"type": "string"}),
        ),
        (
            "changed-type",
            "POST /look-up 200.by_view.*",
            lambda d: field(d, "by_view").update(additionalProperties={"type": "number"}),
        ),
        (
            "changed-type",
            "POST /look-up request.rows[]",
            lambda d: field(d, "rows").update(items={"type": "array"}),
        ),
        (
            "removed-enum-value",
            "POST /look-up request.mode",
            lambda d: field(d, "mode")["enum"].pop(),
        ),
        (
            "removed-enum-value",
            "POST /look-up 200.status",
            lambda d: field(d, "status")["enum"].pop(),
        ),
        (
            "new-answer-value",
            "POST /look-up 200.status",
            lambda d: field(d, "status")["enum"].append("z"),
        ),
        ("new-answer-value", "POST /look-up 200.status", lambda d: field(d, "status").pop("enum")),
        (
            "new-answer-value",
            "POST /look-up 200.by_view",
            lambda d: got(d)["properties"].update(
                by_view={"anyOf": [field(d, "by_view"), {"type": "object"}]}
            ),
        ),
        (
            "narrowed-form",
            "POST /look-up request.name",
            lambda d: field(d, "name")["anyOf"][0].update(enum=["only"]),
        ),
        (
            "narrowed-form",
            "POST /look-up request.rows",
            lambda d: field(d, "rows").update(maxItems=9),
        ),
        (
            "narrowed-form",
            "POST /look-up request.rows",
            lambda d: field(d, "rows").update(minItems=1),
        ),
        (
            "narrowed-form",
            "POST /look-up request.depth",
            lambda d: field(d, "depth").update(minimum=1),
        ),
        (
            "narrowed-form",
            "POST /look-up request.mode",
            lambda d: field(d, "mode").update(pattern="^a$"),
        ),
        (
            "narrowed-form",
            "POST /look-up request",
            lambda d: sent(d).update(additionalProperties=False),
        ),
    ],
)
def test_change_that_breaks_callers_is_told(rule: str, where: str, edit: Edit) -> None:
    assert told(edit) == [(rule, where)]


@pytest.mark.parametrize(
    "edit",
    [
        lambda _d: None,
        lambda d: d["paths"].update({"/new": {"get": {}}}),
        lambda d: post(d)["responses"].pop("404"),
        lambda d: post(d)["responses"].update({"503": {}}),
        lambda d: post(d)["parameters"].append({"in": "query", "name": "new"}),
        lambda d: post(d)["requestBody"].update(required=False),
        lambda d: sent(d)["properties"].update(new={"type": "string"}),
        lambda d: sent(d).update(required=[]),
        lambda d: got(d)["properties"].update(new={"type": "string"}),
        lambda d: got(d)["required"].append("age"),
        lambda d: field(d, "mode")["enum"].append("c"),
        lambda d: field(d, "mode").pop("enum"),
        lambda d: field(d, "mode").update(description="a"),
        lambda d: field(d, "depth").update(minimum=-1),
        lambda d: field(d, "rows").pop("maxItems"),
        lambda d: field(d, "rows").update(minItems=0),
        lambda d: field(d, "age")["anyOf"].pop(),
        lambda d: field(d, "by_view").update(
            additionalProperties={"type": "integer", "minimum": 0}
        ),
        lambda d: post(d)["parameters"][0]["schema"].update(type="number"),
    ],
)
def test_change_that_breaks_nobody_is_not_told(edit: Edit) -> None:
    assert told(edit) == []


def test_one_change_of_a_shared_schema_is_told_for_each_route() -> None:
    old = copy.deepcopy(DOCUMENT)
    old["paths"]["/again"] = {"post": copy.deepcopy(post(old))}
    new = copy.deepcopy(old)
    sent(new)["properties"].pop("mode")
    assert [change.where for change in breaking_changes(old, new)] == [
        "POST /again request.mode",
        "POST /look-up request.mode",
    ]


def test_change_reads_as_a_line() -> None:
    (change,) = breaking_changes({"paths": {"/a": {"get": {}}}}, {"paths": {}})
    assert str(change) == "GET /a: the route is gone [removed-route]"
