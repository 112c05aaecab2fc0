"""`compat: strict`: stock Feast's column order, null timestamps, status codes and error bodies.

Statuses and the ttl stay true, keys of a wrong type stay refused. What stock has no answer for (API
keys, limits, an absent Redis) keeps the gateway's own.

Stock takes the features of one view from a set of text, whose order Python draws anew at every
start: inside a view there is no order to restore, and the one asked for is kept.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import orjson

from evenstore.errors import (
    EntityRowsError,
    EvenstoreError,
    TransformError,
    UnknownFeatureError,
    UnknownFeatureServiceError,
)
from evenstore.schema.request import FeatureRequest
from serving.errors import InvalidRequestError, UnknownPushSourceError

__all__ = [
    "STRICT_NULL_TIMESTAMP",
    "StrictError",
    "StrictOrder",
    "missing_request_data",
    "strict_error",
    "strict_order",
]

STRICT_NULL_TIMESTAMP = -(2**63)
"""What stock gives for a UnixTimestamp feature whose value is null in a row that is there."""

_NOT_FOUND = 404
_MAX_POSITION_DIGITS = 9
_INVALID = 422
_FAILED = 500


@dataclass(frozen=True, slots=True)
class StrictOrder:
    """Stock's order of the columns of an answer.

    Attributes:
        keys: Indexes into `FeatureRequest.entity_columns`.
        features: Indexes into `FeatureRequest.columns`.
    """

    keys: tuple[int, ...]
    features: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StrictError:
    """An error as stock's server tells it: status and JSON body."""

    status: int
    body: bytes


def strict_order(request: FeatureRequest, sent: Iterable[str]) -> StrictOrder:
    """Return stock's order: keys as sent, then view by view as first asked for.

    On-demand features come last. Depends on the names sent and on nothing else, so that an answer's
    head can be prepared for each.

    Args:
        request: What is asked for.
        sent: Names of the request's `entities`, in its order.
    """
    places = {name: place for place, name in enumerate(sent)}
    keys = [column.name for column in request.entity_columns]
    views = _views_as_asked_for(request)
    return StrictOrder(
        keys=tuple(sorted(range(len(keys)), key=lambda i: places.get(keys[i], len(places)))),
        features=tuple(
            sorted(
                range(len(request.columns)),
                key=lambda i: (
                    request.columns[i].is_on_demand,
                    views[request.columns[i].view_name],
                ),
            )
        ),
    )


def _views_as_asked_for(request: FeatureRequest) -> dict[str, int]:
    """Number views in stock's order: an on-demand view's sources stand where it is asked for."""
    sources = {view.name: [name for name, _ in view.inputs] for view in request.on_demand}
    views: dict[str, int] = {}
    for column in request.columns:
        for name in (*sources.get(column.view_name, ()), column.view_name):
            views.setdefault(name, len(views))
    return views


def missing_request_data(request: FeatureRequest, sent: Collection[str]) -> list[str]:
    """Name the fields that on-demand views need and a request has not."""
    return [field.name for field in request.request_fields if field.name not in sent]


def strict_error(
    error: EvenstoreError,
    *,
    project: str,
    known_views: Collection[str],
    missing: Sequence[str] = (),
) -> StrictError | None:
    """Render an error of a caller as stock does, None for one that stock does not know.

    Args:
        error: What went wrong.
        project: The Feast project.
        known_views: Names of all views, on-demand ones included.
        missing: What `missing_request_data` found, where there was a plan.
    """
    if isinstance(error, UnknownFeatureServiceError | UnknownFeatureError | UnknownPushSourceError):
        return _unknown_name(error, project, known_views)
    if isinstance(error, InvalidRequestError) and error.problems:
        return StrictError(_INVALID, orjson.dumps({"detail": _details(error)}))
    if isinstance(error, EntityRowsError) and missing:
        text = (
            f"Required request data source features {list(missing)} not found in the entity rows,"
            " but required by feature views"
        )
        return _of_feast("RequestDataNotFoundInEntityRowsException", text, status=_NOT_FOUND)
    # Stock answers so to every other mistake, with whatever text Python had for it.
    if isinstance(error, InvalidRequestError | EntityRowsError | TransformError):
        return StrictError(_FAILED, orjson.dumps(error.message))
    return None


def _unknown_name(
    error: UnknownFeatureServiceError | UnknownFeatureError | UnknownPushSourceError,
    project: str,
    known_views: Collection[str],
) -> StrictError:
    if isinstance(error, UnknownFeatureServiceError):
        text = f"Feature service {error.missing} does not exist in project {project}"
        return _of_feast("FeatureServiceNotFoundException", text, status=_NOT_FOUND)
    if isinstance(error, UnknownFeatureError):
        return _unknown_feature(error, project, known_views)
    return _of_feast("PushSourceNotFoundException", error.message, status=_INVALID)


def _unknown_feature(
    error: UnknownFeatureError, project: str, known_views: Collection[str]
) -> StrictError:
    views = [reference.partition(":")[0] for reference in error.missing]
    unknown = next((view for view in views if view not in known_views), None)
    if unknown is not None:
        text = f"Feature view {unknown} does not exist in project {project}"
        return _of_feast("FeatureViewNotFoundException", text, status=_NOT_FOUND)
    view, _, feature = error.missing[0].partition(":")
    # The quotes are Python's, around the text of a KeyError.
    text = f"'Feature {feature} not found in projection {view}'"
    return StrictError(_FAILED, orjson.dumps(text))


def _of_feast(name: str, message: str, *, status: int) -> StrictError:
    """Render an error of Feast's own: a JSON text that holds JSON."""
    # Not orjson: stock's text has blanks after commas, and callers compare texts.
    inner = json.dumps({"module": "feast.errors", "class": name, "message": message})
    return StrictError(status, orjson.dumps(inner))


def _details(error: InvalidRequestError) -> list[dict[str, object]]:
    return [
        {
            "type": "value_error",
            "loc": ["body", *(_part(part) for part in problem["where"].split(".") if part)],
            "msg": problem["problem"],
        }
        for problem in error.problems
    ]


def _part(part: str) -> str | int:
    # Positions in a list; a key of the caller's may be any text.
    is_position = part.isascii() and part.isdecimal() and len(part) <= _MAX_POSITION_DIGITS
    return int(part) if is_position else part
