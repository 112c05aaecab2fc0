"""Requests in Feast's form, parsed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from evenstore.schema.request import split_reference
from serving.errors import InvalidRequestError
from serving.models import OnlineFeaturesRequest

__all__ = ["FeastRequest", "check_references", "parse_feast_request", "repeated_references"]

_REFERENCE_PARTS = 2


# Not frozen: that would cost as much as parsing a small request.
@dataclass(slots=True)
class FeastRequest:
    """Which features of which entities.

    As a caller sent them: `parse_feast_request` gives none without having looked at the types.

    Attributes:
        entities: One column per join key and request field, as JSON has it.
        feature_service: Its name, or None.
        features: References, where no service is named.
        full_feature_names: Whether features are named `view__feature`.
        lists_views: Whether the metadata names the feature views read.
    """

    entities: Any
    feature_service: Any
    features: Any
    full_feature_names: Any
    lists_views: Any


def parse_feast_request(body: bytes) -> FeastRequest:
    """Parse a request's JSON, whatever its content type says: Feast's callers often send none.

    Raises:
        InvalidRequestError: The body is not JSON, or has not the form of a request.
    """
    try:
        asked = orjson.loads(body)
        request = FeastRequest(
            asked["entities"],
            asked.get("feature_service"),
            asked.get("features", ()),
            asked.get("full_feature_names", False),
            asked.get("include_feature_view_version_metadata", False),
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return _parse_carefully(body)
    return request if _is_plain(request) else _parse_carefully(body)


def check_references(references: Sequence[str]) -> None:
    """Refuse references that are not `view:feature` or `view@v2:feature`, or stand twice.

    Raises:
        InvalidRequestError: One of them cannot be answered.
    """
    for reference in references:
        parts = reference.split(":")
        if len(parts) != _REFERENCE_PARTS or not all(parts) or reference.startswith("@"):
            msg = f"not a feature reference: {reference!r}"
            raise InvalidRequestError(msg, hint="write `view:feature`, or `view@v2:feature`")
    repeated = repeated_references(references)
    if repeated:
        msg = f"asked for twice: {', '.join(f'`{reference}`' for reference in repeated)}"
        raise InvalidRequestError(msg, hint="ask for each feature once")


def repeated_references(references: Sequence[str]) -> list[str]:
    """Return what stands twice among references; `view@latest:feature` is `view:feature`."""
    counted = Counter(":".join(split_reference(reference)) for reference in references)
    return [reference for reference, count in counted.items() if count > 1]


def _is_plain(request: FeastRequest) -> bool:
    """Tell whether a request has the right types; where not, a closer look says what is wrong."""
    entities = request.entities
    if type(entities) is not dict or any(type(column) is not list for column in entities.values()):
        return False
    if type(request.full_feature_names) is not bool or type(request.lists_views) is not bool:
        return False
    if request.feature_service is not None:
        return type(request.feature_service) is str
    features = request.features
    return type(features) is list and bool(features) and all(type(name) is str for name in features)


def _parse_carefully(body: bytes) -> FeastRequest:
    try:
        asked = OnlineFeaturesRequest.model_validate_json(body)
    except ValidationError as exc:
        problems = [
            {"where": ".".join(str(part) for part in problem["loc"]), "problem": problem["msg"]}
            for problem in exc.errors(include_url=False, include_input=False)
        ]
        first = problems[0]
        where = f" at `{first['where']}`" if first["where"] else ""
        msg = f"not a request for online features{where}: {first['problem']}"
        raise InvalidRequestError(
            msg,
            hint='for example {"feature_service": "...", "entities": {"customer_id": [1]}}',
            problems=problems,
        ) from exc
    if asked.feature_service is None and not asked.features:
        msg = "no features were asked for"
        raise InvalidRequestError(
            msg, hint="name a `feature_service`, or `features` like `view:feature`"
        )
    return FeastRequest(
        asked.entities,
        asked.feature_service,
        asked.features,
        asked.full_feature_names,
        asked.include_feature_view_version_metadata,
    )
