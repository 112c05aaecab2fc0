"""Which changes of an OpenAPI document break callers; pure rules over plain JSON.

What a caller sends may become wider and never narrower; what a caller gets may become narrower and
never wider. Error answers may come and go, because every caller must expect any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import override

__all__ = ["Change", "breaking_changes"]

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_ALL_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_FORMS = ("pattern", "format")

_Direction = Literal["request", "response"]
_Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One change that breaks callers.

    Attributes:
        where: Route, side and field, such as `POST /push request.to`.
        rule: Stable name of the rule.
        what: The change in words.
    """

    where: str
    rule: str
    what: str

    @override
    def __str__(self) -> str:
        return f"{self.where}: {self.what} [{self.rule}]"


def breaking_changes(old: _Schema, new: _Schema) -> tuple[Change, ...]:
    """List what breaks callers of an old document when a new one takes its place."""
    return tuple(sorted(set(_Comparison(old, new).routes())))


class _Comparison:
    """Walks two documents side by side; references are followed, each pair once."""

    def __init__(self, old: _Schema, new: _Schema) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str, _Direction]] = set()

    def routes(self) -> Iterator[Change]:
        new_paths = self._new.get("paths", {})
        for path, old_item in self._old.get("paths", {}).items():
            new_item = new_paths.get(path, {})
            for method in _METHODS:
                if method not in old_item:
                    continue
                route = f"{method.upper()} {path}"
                if method not in new_item:
                    yield Change(route, "removed-route", "the route is gone")
                    continue
                # Pairs of schemas are told per route: the first one found would hide the others.
                self._seen.clear()
                yield from self._parameters(route, old_item[method], new_item[method])
                yield from self._request_body(route, old_item[method], new_item[method])
                yield from self._responses(route, old_item[method], new_item[method])

    def _parameters(self, route: str, old: _Schema, new: _Schema) -> Iterator[Change]:
        old_parameters = {(p["in"], p["name"]): p for p in old.get("parameters", [])}
        new_parameters = {(p["in"], p["name"]): p for p in new.get("parameters", [])}
        for key, parameter in old_parameters.items():
            where = f"{route} {key[0]}.{key[1]}"
            if key not in new_parameters:
                yield Change(where, "removed-field", "the parameter is gone")
                continue
            yield from self._schemas(
                where, parameter.get("schema", {}), new_parameters[key].get("schema", {}), "request"
            )
        for key, parameter in new_parameters.items():
            was_required = old_parameters.get(key, {}).get("required", False)
            if parameter.get("required", False) and not was_required:
                where = f"{route} {key[0]}.{key[1]}"
                yield Change(where, "new-required-field", "the parameter is now required")

    def _request_body(self, route: str, old: _Schema, new: _Schema) -> Iterator[Change]:
        old_body, new_body = old.get("requestBody", {}), new.get("requestBody", {})
        where = f"{route} request"
        if new_body.get("required", False) and not old_body.get("required", False):
            yield Change(where, "new-required-field", "a body is now required")
        yield from self._contents(where, old_body, new_body, "request")

    def _responses(self, route: str, old: _Schema, new: _Schema) -> Iterator[Change]:
        new_responses = new.get("responses", {})
        for status, response in old.get("responses", {}).items():
            where = f"{route} {status}"
            is_success = status.startswith("2")
            if status not in new_responses:
                if is_success:
                    yield Change(where, "removed-response", "the answer is gone")
                continue
            yield from self._contents(where, response, new_responses[status], "response")
            if is_success:
                yield from _headers(where, response, new_responses[status])

    def _contents(
        self, where: str, old: _Schema, new: _Schema, direction: _Direction
    ) -> Iterator[Change]:
        new_contents = new.get("content", {})
        for media_type, content in old.get("content", {}).items():
            if media_type not in new_contents:
                yield Change(where, "removed-media-type", f"`{media_type}` is gone")
                continue
            old_schema, new_schema = (
                content.get("schema", {}),
                new_contents[media_type].get("schema", {}),
            )
            yield from self._schemas(where, old_schema, new_schema, direction)

    def _schemas(
        self, where: str, old: _Schema, new: _Schema, direction: _Direction
    ) -> Iterator[Change]:
        pair = (old.get("$ref", ""), new.get("$ref", ""), direction)
        if pair[0] and pair[1]:
            if pair in self._seen:
                return
            self._seen.add(pair)
        old_kinds, new_kinds = _kinds(self._old, old), _kinds(self._new, new)
        yield from _type_changes(where, frozenset(old_kinds), frozenset(new_kinds), direction)
        for kind in old_kinds.keys() & new_kinds.keys():
            forms = old_kinds[kind], new_kinds[kind]
            yield from _form_changes(where, len(forms[0]), len(forms[1]), direction)
            for old_form, new_form in zip(*forms, strict=False):
                yield from _value_changes(where, kind, old_form, new_form, direction)
                if kind == "object":
                    yield from self._objects(where, old_form, new_form, direction)
                elif kind == "array" and ("items" in old_form or "items" in new_form):
                    items = old_form.get("items", {}), new_form.get("items", {})
                    yield from self._schemas(f"{where}[]", *items, direction)

    def _objects(
        self, where: str, old: _Schema, new: _Schema, direction: _Direction
    ) -> Iterator[Change]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        for name, field in old_fields.items():
            if name not in new_fields:
                yield Change(f"{where}.{name}", "removed-field", "the field is gone")
                continue
            yield from self._schemas(f"{where}.{name}", field, new_fields[name], direction)
        yield from _required_changes(where, old, new, direction)
        old_rest, new_rest = (schema.get("additionalProperties", True) for schema in (old, new))
        if direction == "request" and new_rest is False and old_rest is not False:
            yield Change(where, "narrowed-form", "fields that are not named are now refused")
        if isinstance(old_rest, Mapping) and isinstance(new_rest, Mapping):
            yield from self._schemas(f"{where}.*", old_rest, new_rest, direction)


def _headers(where: str, old: _Schema, new: _Schema) -> Iterator[Change]:
    for name in old.get("headers", {}).keys() - new.get("headers", {}).keys():
        yield Change(f"{where} header.{name}", "removed-field", "the header is gone")


def _required_changes(
    where: str, old: _Schema, new: _Schema, direction: _Direction
) -> Iterator[Change]:
    old_required, new_required = set(old.get("required", [])), set(new.get("required", []))
    if direction == "request":
        for name in new_required - old_required:
            yield Change(f"{where}.{name}", "new-required-field", "the field is now required")
        return
    for name in (old_required - new_required) & new.get("properties", {}).keys():
        yield Change(f"{where}.{name}", "optional-field", "the field may now be absent")


def _kinds(document: _Schema, schema: _Schema) -> dict[str, list[_Schema]]:
    """Return the alternatives of a schema by JSON type; one without a type has all types."""
    schema = _resolve(document, schema)
    alternatives = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    kinds: dict[str, list[_Schema]] = {}
    if alternatives:
        for alternative in alternatives:
            for kind, found in _kinds(document, alternative).items():
                kinds.setdefault(kind, []).extend(found)
        return kinds
    for kind in _types(schema):
        kinds.setdefault(kind, []).append(schema)
    return kinds


def _types(schema: _Schema) -> frozenset[str]:
    stated = schema.get("type")
    if stated is None:
        return _ALL_TYPES
    types = frozenset([stated] if isinstance(stated, str) else stated)
    return types | {"integer"} if "number" in types else types


def _resolve(document: _Schema, schema: _Schema) -> _Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return _resolve(document, found)


def _type_changes(
    where: str, old: frozenset[str], new: frozenset[str], direction: _Direction
) -> Iterator[Change]:
    offending = old - new if direction == "request" else new - old
    if offending:
        verb = "is no longer taken" if direction == "request" else "may now come"
        yield Change(where, "changed-type", f"{', '.join(sorted(offending))} {verb}")


def _form_changes(where: str, n_old: int, n_new: int, direction: _Direction) -> Iterator[Change]:
    if direction == "request" and n_new < n_old:
        yield Change(where, "narrowed-form", "one of its forms is gone")
    elif direction == "response" and n_new > n_old:
        yield Change(where, "new-answer-value", "another form may now come")


def _value_changes(
    where: str, kind: str, old: _Schema, new: _Schema, direction: _Direction
) -> Iterator[Change]:
    if kind == "integer" and "number" in _types(old) and "number" in _types(new):
        return  # The same schema, looked at as a number.
    yield from _enum_changes(where, old, new, direction)
    if direction == "request":
        yield from _narrowed_bounds(where, old, new)


def _enum_changes(
    where: str, old: _Schema, new: _Schema, direction: _Direction
) -> Iterator[Change]:
    old_values, new_values = _values(old), _values(new)
    if new_values is not None and old_values is not None:
        for value in sorted(old_values - new_values):
            yield Change(where, "removed-enum-value", f"{value} is gone")
        if direction == "response":
            for value in sorted(new_values - old_values):
                yield Change(where, "new-answer-value", f"{value} may now come")
    elif direction == "request" and new_values is not None:
        yield Change(where, "narrowed-form", f"only {', '.join(sorted(new_values))} are now taken")
    elif direction == "response" and old_values is not None:
        yield Change(where, "new-answer-value", "any value may now come")


def _values(schema: _Schema) -> set[str] | None:
    if "const" in schema:
        return {repr(schema["const"])}
    return {repr(value) for value in schema["enum"]} if "enum" in schema else None


def _narrowed_bounds(where: str, old: _Schema, new: _Schema) -> Iterator[Change]:
    for name in (*_LOWER_BOUNDS, *_UPPER_BOUNDS):
        if name not in new:
            continue
        is_lower = name in _LOWER_BOUNDS
        is_narrower = name not in old or (
            new[name] > old[name] if is_lower else new[name] < old[name]
        )
        if is_narrower and not (is_lower and new[name] == 0 and name.startswith("min")):
            yield Change(where, "narrowed-form", f"{name} is now {new[name]}")
    for name in _FORMS:
        if name in new and new[name] != old.get(name):
            yield Change(where, "narrowed-form", f"{name} is now {new[name]!r}")
