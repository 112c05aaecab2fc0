"""Bodies of requests as their models, with JSON errors in the one shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from serving.errors import InvalidRequestError

__all__ = ["parse_body", "read_interval_end"]

_Model = TypeVar("_Model", bound=BaseModel)


def parse_body(model: type[_Model], body: bytes) -> _Model:
    """Parse a body, whatever its content type says: Feast's callers often send none.

    Raises:
        InvalidRequestError: It is not JSON, or has not the form of the model.
    """
    try:
        return model.model_validate(_parse_json(body))
    except ValidationError as exc:
        problems = [
            {"where": ".".join(str(part) for part in problem["loc"]), "problem": problem["msg"]}
            for problem in exc.errors(include_url=False, include_input=False)
        ]
        first = problems[0]
        msg = f"not a {model.__name__}: `{first['where']}`: {first['problem']}"
        raise InvalidRequestError(
            msg, hint="GET /docs shows the form with examples", problems=problems
        ) from exc


def read_interval_end(text: str | None, name: str) -> datetime:
    """Read one end of an interval; UTC where it names no zone.

    Raises:
        InvalidRequestError: It is missing, or no ISO 8601 text.
    """
    if text is None:
        msg = f"`{name}` is missing"
        raise InvalidRequestError(msg, hint="or `disable_event_timestamp: true` loads everything")
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        msg = f"`{name}` is no timestamp: {text[:40]!r}"
        raise InvalidRequestError(msg, hint="for example 2026-01-02T03:04:05Z") from exc


def _parse_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        # Feast's remote online store writes NaN as Python does, which is no JSON.
        if b"NaN" in body or b"Infinity" in body:
            try:
                return json.loads(body)
            except (ValueError, RecursionError):
                pass
        msg = f"the body is not JSON: {exc}"
        raise InvalidRequestError(msg, hint="GET /docs shows the form with examples") from exc
